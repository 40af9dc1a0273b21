"""`check` and `use_reference` as a notebook sees them."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from utils.course.diagnosis import diagnose
from utils.course.learner import Learner
from utils.course.lessons import Lesson, LessonError, find_lessons
from utils.course.progress import load_progress
from utils.course.report import Report
from utils.course.runner import run_exercise
from utils.course.transports import LiveTransport

T = TypeVar("T")

HELP_AFTER_ATTEMPTS = 3


def open_lesson(slug: str) -> tuple[Callable[[Any], None], Callable[[str], Any]]:
    """The two functions that a lesson's notebook needs: `check, use_reference = open_lesson("ch1_…/part1_…")`.

    check(function): runs the exercise's checks on your function or class and shows the result.
    use_reference("name"): puts the course's implementation in place of yours, so that you can go on.
    Raises LessonError for an unknown lesson.
    """
    lesson = find_lessons(slug)[0]
    if lesson.slug != slug:
        raise LessonError(
            f"{slug!r} is a chapter; a notebook opens one lesson of it, for example {lesson.slug!r}"
        )

    def check(answer: Any) -> None:
        """Run the checks of the exercise with this function's name, and show what they found."""
        show(check_answer(lesson, answer))

    def use_reference(name: str) -> Any:
        """Bind the course's implementation of an exercise in the notebook, and return it."""
        lesson.exercise(name)
        reference = lesson.reference_namespace().get(name)
        if reference is None:
            raise LessonError(
                "use_reference is not available here: an assigned edition carries no solutions. "
                f"{name} is yours to write"
            )
        _noted(lambda: load_progress(lesson).record_borrowed(name))
        sys._getframe(1).f_globals[name] = reference
        print(f"{name} is now the course's implementation; the progress table calls it borrowed.")
        return reference

    return check, use_reference


def check_answer(lesson: Lesson, answer: Any, name: str | None = None) -> Report:
    """Run one exercise's checks on a live function or class, note the progress, and say what comes next."""
    name = name or getattr(answer, "__name__", None)
    if name is None or not callable(answer):
        raise LessonError("check takes the function or class itself: check(auroc), not check(auroc(...))")
    exercise = lesson.exercise(name)
    learner = Learner(LiveTransport({name: answer}, lesson.guarded()))
    results = run_exercise(exercise, learner)
    borrowed = answer is lesson.reference_namespace().get(name)
    report = Report(name, results, diagnose(lesson, name, results))

    def note() -> int:
        progress = load_progress(lesson)
        progress.record_check(name, report.passed, borrowed)
        return progress.attempts(name)

    return replace(report, next_step=next_step(lesson, report, _noted(note) or 0))


def _noted(note: Callable[[], T]) -> T | None:
    """Write to the progress table. A full disk must not keep the learner from the verdict."""
    try:
        return note()
    except OSError as error:
        print(f"This could not be noted in the progress table: {error}", file=sys.stderr)
        return None


def next_step(lesson: Lesson, report: Report, attempts: int) -> str:
    """What the learner does next: the exercise after this one, or how to get unstuck."""
    name = report.exercise
    names = [exercise.name for exercise in lesson.exercises()]
    if report.passed:
        at = names.index(name)
        if at + 1 < len(names):
            return f"Exercise {at + 1} of {len(names)} done. Next: `{names[at + 1]}`."
        return f"That was the last of {len(names)} exercises in this lesson. Read on to its end."
    if any(result.message == f"{name} is yours to write" for result in report.results):
        return "Replace the `raise NotImplementedError` line with your code, then run this cell again."
    if attempts >= HELP_AFTER_ATTEMPTS and lesson.source.exists():
        return (
            "Change the cell above and run it again. The hints are above, the solution is folded below; "
            f'`use_reference("{name}")` lets you go on without it.'
        )
    return "Change the cell above and run it again; the hints are folded above it."


def show(report: Report) -> None:
    """Display in a notebook, print anywhere else."""
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(report)
    else:
        print(report)


def sample_size(full: int, quick: int) -> int:
    """`full`, or `quick` where PROBING_QUICK is set: the test suite runs lessons on smaller samples."""
    return quick if os.environ.get("PROBING_QUICK") else full
