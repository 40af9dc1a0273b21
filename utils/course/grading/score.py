"""From what the checks found to points: an exercise whose checks all passed earns, or one with points given by hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.results import ExerciseResult, LessonResult, Override, Result


@dataclass(frozen=True)
class GivenPoints:
    """A line of overrides.csv."""

    points: float
    reason: str


Overrides = Mapping[str, Mapping[str, GivenPoints]]


def scored(result: Result, blank: Sequence[LessonResult], given: Mapping[str, GivenPoints]) -> Result:
    """The result with points: those of `blank` (which lists what counts), and those `given` by hand to exercises.

    What the checks found stays as it is; a check that counts and was not reached earns nothing. Scoring twice is
    scoring once.
    """
    found = {lesson.lesson: lesson for lesson in result.lessons}
    overridden: dict[str, Override] = {}
    lessons = []
    for planned in blank:
        lesson = found.get(planned.lesson, planned)
        by_name = {exercise.name: exercise for exercise in lesson.exercises}
        exercises = []
        for expected in planned.exercises:
            exercise = _scored_exercise(by_name.get(expected.name, expected), expected)
            if expected.name in given:
                by_hand = given[expected.name]
                overridden[expected.name] = Override(by_hand.points, exercise.earned, by_hand.reason)
                exercise = replace(exercise, earned=by_hand.points)
            exercises.append(exercise)
        lessons.append(replace(lesson, exercises=tuple(exercises)))
    earned = [exercise for lesson in lessons for exercise in lesson.exercises]
    return replace(
        result,
        lessons=tuple(lessons),
        score=float(sum(exercise.earned for exercise in earned)),
        points=float(sum(exercise.points for exercise in earned)),
        seconds=round(sum(exercise.seconds for exercise in earned), 3),
        overridden=overridden or None,
    )


def _scored_exercise(exercise: ExerciseResult, expected: ExerciseResult) -> ExerciseResult:
    outcomes = {check.id: check for check in exercise.checks}
    checks = tuple(outcomes.get(check.id, check) for check in expected.checks)
    complete = replace(exercise, checks=checks, points=expected.points)
    return replace(complete, earned=expected.points if complete.passed else 0.0)


def read_overrides(path: Path, blank: Sequence[LessonResult]) -> Overrides:
    """By student and exercise, the points of a CSV with the columns student, exercise, points, reason; {} without one.

    Raises CourseError, with the line, for an exercise that is not assigned and for points that are no number.
    """
    if not path.exists():
        return {}
    assigned = {exercise.name for lesson in blank for exercise in lesson.exercises}
    found: dict[str, dict[str, GivenPoints]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: {error}") from error
    delimiter = ";" if lines and ";" in lines[0] else ","
    for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter), start=2):
        where = f"{path}, line {number}"
        try:
            student, exercise = row["student"].strip(), row["exercise"].strip()
            points, reason = float(row["points"]), (row.get("reason") or "").strip()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CourseError(f"{where}: expected student, exercise, points, reason ({error})") from error
        if exercise not in assigned:
            raise CourseError(
                f"{where}: {exercise!r} is not assigned; there are: {', '.join(sorted(assigned))}"
            )
        if not 0 <= points < float("inf"):
            raise CourseError(f"{where}: expected points from 0, not {points}")
        found.setdefault(student, {})[exercise] = GivenPoints(points, reason)
    return found
