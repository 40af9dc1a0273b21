"""One page for one student: what passed, what did not and why, what was left out.

It shows what the student may see: no test source, no reference, and of a hidden check only that there was one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.course.grading.reports.class_summary import checks_passed, grader_failed
from utils.course.grading.reports.pages import number, render
from utils.course.grading.results import ExerciseResult, LessonResult, Result


@dataclass(frozen=True)
class Line:
    """What a student reads about one check."""

    passed: bool
    text: str
    message: str = ""


@dataclass(frozen=True)
class ExerciseView:
    """One exercise with the lines that its writer may read."""

    result: ExerciseResult

    @property
    def headline(self) -> str:
        return headline(self.result)

    @property
    def lines(self) -> list[Line]:
        lines = [
            Line(check.outcome == "passed", check.purpose, check.message)
            for check in self.result.checks
            if not check.hidden
        ]
        return [*lines, *further_checks(self.result)]


@dataclass(frozen=True)
class LessonView:
    """One lesson of the page."""

    result: LessonResult

    @property
    def grader_failed(self) -> bool:
        return grader_failed(self.result)

    @property
    def exercises(self) -> list[ExerciseView]:
        return [ExerciseView(exercise) for exercise in self.result.exercises]


def headline(exercise: ExerciseResult) -> str:
    """How many checks passed. Counts the hidden ones too: it never says "all" while one of them fails."""
    good, total = checks_passed(exercise), len(exercise.checks)
    return f"all {total} checks passed" if exercise.passed else f"{good} of {total} checks passed"


def further_checks(exercise: ExerciseResult) -> list[Line]:
    """The hidden checks in one line, which names none; no line where there are none."""
    hidden = [check for check in exercise.checks if check.hidden]
    if not hidden:
        return []
    good = sum(check.outcome == "passed" for check in hidden)
    if len(hidden) == 1:
        text = f"a further check, run only at grading, {'passed' if good else 'did not pass'}"
    else:
        text = f"{good} of {len(hidden)} further checks, run only at grading, passed"
    return [Line(good == len(hidden), text)]


def student_page(result: Result) -> str:
    """The HTML of a student's page."""
    lessons = [LessonView(lesson) for lesson in result.lessons]
    return render(
        "student.html",
        result=result,
        lessons=lessons,
        passed=sum(exercise.passed for exercise in result.exercises),
        total=len(result.exercises),
        by_hand=by_hand(result),
    )


def by_hand(result: Result) -> Sequence[str]:
    """What the instructor changed, a sentence an exercise."""
    return [
        f"{name}: {number(override.points)} points, set by hand instead of {number(override.earned)}"
        + (f" ({override.reason})" if override.reason else "")
        for name, override in (result.overridden or {}).items()
    ]
