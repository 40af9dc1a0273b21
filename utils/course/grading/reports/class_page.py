"""The class at a glance: scores, who needs help, every student by every exercise, the commonest mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from utils.course.grading.reports.class_summary import (
    ExerciseSummary,
    State,
    checks_passed,
    grader_failed,
    share,
    state_of,
    summarise,
)
from utils.course.grading.reports.grades import Grades, page_name
from utils.course.grading.reports.pages import render
from utils.course.grading.results import ExerciseResult, LessonResult, Result

BINS = 10
MARKS: Mapping[State, str] = {
    "passed": "✓",
    "partly": "",
    "failed": "✗",
    "not written": "○",
    "unreadable": "?",
    "not submitted": "–",
}
MISTAKES_SHOWN, WRITERS_NAMED = 12, 40


@dataclass(frozen=True)
class Cell:
    """One student's exercise: `mark` is what a reader sees without colour, `order` what the column sorts by."""

    style: str
    mark: str
    title: str
    order: float


@dataclass(frozen=True)
class Row:
    """One student's line in the heat map."""

    result: Result
    link: str
    status: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class Group:
    """The exercises of one lesson: neighbouring columns."""

    lesson: str
    exercises: Sequence[ExerciseSummary]


def class_page(grades: Grades, student_folder: str = "students") -> str:
    """The HTML of the class page. Students' pages are expected in `student_folder` beside it."""
    summary = summarise(grades.results)
    groups = _groups(summary.exercises)
    columns = [(group.lesson, exercise.name) for group in groups for exercise in group.exercises]
    rows = [
        _row(result, f"{quote(student_folder)}/{quote(page_name(result))}", columns)
        for result in grades.results
    ]
    return render(
        "class.html",
        script="table.js",
        grades=grades,
        sandboxes=sorted({result.sandbox for result in grades.results}),
        graded_at=max(result.graded_at for result in grades.results),
        seconds=sum(result.seconds for result in grades.results),
        late=sum(result.late for result in grades.results),
        flagged=[result for result in grades.results if result.flags],
        summary=summary,
        groups=groups,
        rows=rows,
        links={row.result.student: row.link for row in rows},
        bars=_histogram(summary.submitted),
        open_exercises={result.student: _open_exercises(result) for result in summary.need_help},
        mistakes_shown=MISTAKES_SHOWN,
        writers_named=WRITERS_NAMED,
        lowest=_lowest(summary.exercises),
    )


def _groups(exercises: Sequence[ExerciseSummary]) -> list[Group]:
    lessons = sorted({exercise.lesson for exercise in exercises})
    return [Group(lesson, [e for e in exercises if e.lesson == lesson]) for lesson in lessons]


def _row(result: Result, link: str, columns: Sequence[tuple[str, str]]) -> Row:
    found = {
        (lesson.lesson, exercise.name): _cell(lesson, exercise)
        for lesson in result.lessons
        for exercise in lesson.exercises
    }
    status = "not submitted" if result.statuses == {"not submitted"} else ""
    if "unreadable" in result.statuses:
        status = "not graded" if any(map(grader_failed, result.lessons)) else "unreadable"
    return Row(result, link, status, [found.get(column) for column in columns])


def _cell(lesson: LessonResult, exercise: ExerciseResult) -> Cell:
    state, good, total = state_of(lesson, exercise), checks_passed(exercise), len(exercise.checks)
    title = state if lesson.status != "graded" else f"{state}: {good} of {total} checks"
    if exercise.mistake:
        title += f" · {exercise.mistake.name}"
    fraction = good / total if total else 0.0
    if state == "partly":
        style = "nearly" if fraction >= 0.5 else "partly"
        return Cell(style + (" known" if exercise.mistake else ""), f"{good}/{total}", title, fraction)
    style = state.replace(" ", "-") + (" known" if exercise.mistake else "")
    order = {"passed": 1.0, "failed": 0.0, "not written": -1.0, "unreadable": -2.0}.get(state, -3.0)
    return Cell(style, MARKS[state], title, order)


def _histogram(submitted: Sequence[Result]) -> list[dict[str, Any]]:
    """How many students scored 0–10 %, 10–20 %, …; `height` is in hundredths of the tallest bar."""
    counts = [0] * BINS
    for result in submitted:
        counts[min(BINS - 1, max(0, int(share(result) * BINS)))] += 1
    tallest = max([*counts, 1])
    return [
        {
            "low": 100 * i // BINS,
            "high": 100 * (i + 1) // BINS,
            "count": n,
            "height": round(100 * n / tallest),
        }
        for i, n in enumerate(counts)
    ]


def _open_exercises(result: Result) -> Sequence[ExerciseResult]:
    """The exercises that did not pass, in the order of the course."""
    return [
        exercise
        for lesson in result.lessons
        for exercise in lesson.exercises
        if state_of(lesson, exercise) != "passed"
    ]


def _lowest(exercises: Sequence[ExerciseSummary]) -> set[tuple[str, str]]:
    """The exercises with the lowest pass rates: up to three, and only such as half of the class missed."""
    missed = sorted((e for e in exercises if e.graded and e.pass_rate < 0.5), key=lambda e: e.pass_rate)
    return {(exercise.lesson, exercise.name) for exercise in missed[:3]}
