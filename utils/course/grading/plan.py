"""What is to be run for an assignment: the checks that its manifest lists, found in the lessons' test files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.exercises import Check, Exercise
from utils.course.grading.assignment.manifest import AssignedExercise, AssignedLesson, Manifest
from utils.course.grading.results import CheckOutcome, ExerciseResult, LessonResult
from utils.course.lessons import Lesson, exercises_in_file


@dataclass(frozen=True)
class PlannedLesson:
    """A lesson with the checks that count; a check that students do not have is `hidden`."""

    lesson: Lesson
    exercises: tuple[Exercise, ...]

    @property
    def names(self) -> set[str]:
        return {exercise.name for exercise in self.exercises}


def plan(manifest: Manifest, hidden: Path | None) -> list[PlannedLesson]:
    """The checks of the manifest, and those of the folder `hidden`: files named as the lessons' test files.

    Raises CourseError where a check is listed that the lesson does not have.
    """
    planned = []
    for assigned in manifest.lessons:
        lesson = Lesson(assigned.slug)
        further = _further_checks(lesson, hidden)
        exercises = tuple(_exercise(lesson, each, further.get(each.name, ())) for each in assigned.exercises)
        if unknown := further.keys() - {exercise.name for exercise in exercises}:
            raise CourseError(
                f"{hidden}: {assigned.slug} has no assigned exercise {', '.join(sorted(unknown))}"
            )
        planned.append(PlannedLesson(lesson, exercises))
    return planned


def blank_results(manifest: Manifest, hidden: Path | None) -> list[LessonResult]:
    """What a student gets who hands in nothing: every check that counts, not run."""
    return [
        LessonResult(
            assigned.slug,
            "not submitted",
            None,
            (),
            tuple(
                ExerciseResult(exercise.name, worth.points, 0.0, tuple(map(blank_outcome, exercise.checks)))
                for exercise, worth in zip(planned.exercises, assigned.exercises, strict=True)
            ),
        )
        for assigned, planned in zip(manifest.lessons, plan(manifest, hidden), strict=True)
    ]


def blank_outcome(check: Check) -> CheckOutcome:
    """The check, not run."""
    return CheckOutcome(f"test_{check.name}", check.purpose, hidden=check.hidden)


def checks_key(manifest: Manifest, hidden: Path | None) -> str:
    """SHA-256 of what results depend on beside the submission and the seed: checks, references, mistakes, limits."""
    digest = hashlib.sha256(repr(manifest.limits).encode())
    for assigned in manifest.lessons:
        listed = [(each.name, each.checks, each.hidden) for each in assigned.exercises]
        digest.update(repr((assigned.slug, listed)).encode())
        for path in _files(assigned, hidden):
            digest.update(hashlib.sha256(path.read_bytes() if path.exists() else b"").digest())
    return digest.hexdigest()


def changed_lessons(manifest: Manifest) -> list[str]:
    """The lessons whose checks are other ones than when the assignment was written."""
    return [
        assigned.slug
        for assigned in manifest.lessons
        if hashlib.sha256(_checks_file(assigned).read_bytes()).hexdigest() != assigned.checks_sha256
    ]


def _files(assigned: AssignedLesson, hidden: Path | None) -> Iterator[Path]:
    lesson = Lesson(assigned.slug)
    yield from (_checks_file(assigned), lesson.mistakes_file, lesson.source)
    if hidden is not None:
        yield _hidden_file(lesson, hidden)


def _checks_file(assigned: AssignedLesson) -> Path:
    path = Lesson(assigned.slug).checks_file
    if not path.exists():
        raise CourseError(
            f"{assigned.slug} is assigned, but this course has no checks of it: {path} is missing"
        )
    return path


def _hidden_file(lesson: Lesson, hidden: Path) -> Path:
    return hidden / lesson.checks_file.relative_to(lesson.root / "tests")


def _further_checks(lesson: Lesson, hidden: Path | None) -> dict[str, tuple[Check, ...]]:
    if hidden is None:
        return {}
    if not hidden.is_dir():
        raise CourseError(f"{hidden} is no folder of hidden checks")
    path = _hidden_file(lesson, hidden)
    return {each.name: each.checks for each in exercises_in_file(path)} if path.exists() else {}


def _exercise(lesson: Lesson, assigned: AssignedExercise, further: tuple[Check, ...]) -> Exercise:
    exercise = lesson.exercise(assigned.name)
    by_name = {check.name: check for check in exercise.checks}
    listed = (*assigned.checks, *assigned.hidden)
    if missing := [name for name in listed if name not in by_name]:
        raise CourseError(
            f"the manifest lists checks of {assigned.name} that {lesson.slug} no longer has: {', '.join(missing)}; "
            "assign into the same folder again (its seed is kept)"
        )
    if twice := by_name.keys() & {check.name for check in further}:
        raise CourseError(
            f"a hidden check of {assigned.name} is named like another one: {', '.join(sorted(twice))}"
        )
    own = [
        replace(check, hidden=check.name in assigned.hidden)
        for check in exercise.checks
        if check.name in listed
    ]
    return replace(exercise, checks=(*own, *(replace(check, hidden=True) for check in further)))
