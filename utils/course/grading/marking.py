"""Grades one submission: runs in a grading process, where none of the student's code does, and returns plain data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from utils.course.diagnosis import diagnose
from utils.course.errors import CourseError
from utils.course.exercises import Check, Exercise
from utils.course.grading.assignment.manifest import Limits, read_manifest, read_seed
from utils.course.grading.bounds import bounded_memory
from utils.course.grading.budget import Budget
from utils.course.grading.intake.extract import Work, works
from utils.course.grading.plan import PlannedLesson, blank_outcome, blank_results, plan
from utils.course.grading.results import CheckOutcome, ExerciseResult, LessonResult, Mistake
from utils.course.grading.sandbox.levels import SandboxLevel, require
from utils.course.grading.tasks import CHECK_SECONDS, DIAGNOSIS_SECONDS, Job
from utils.course.learner import Learner, Transport, UnreadableAnswer, WorkerDied
from utils.course.lessons import Lesson
from utils.course.runner import ENDLESS, CheckResult, Recording, run_exercise
from utils.course.submissions import Submission
from utils.course.text import readable
from utils.course.timelimit import TimeLimit, limited
from utils.course.transports import ProcessTransport

NOTES, NOTE_LENGTH = 20, 300
OUT_OF_TIME = "not run to its end: the time for this exercise was used up"


class TransportFactory(Protocol):
    """Opens a way to a submission's code. `slot` tells apart what runs at the same time on one machine."""

    def __call__(
        self,
        submission: Submission,
        guarded: Sequence[str],
        level: SandboxLevel,
        slot: int,
        call_seconds: float | None = None,
    ) -> AbstractContextManager[Transport]: ...


def open_transport(
    submission: Submission,
    guarded: Sequence[str],
    level: SandboxLevel,
    slot: int,
    call_seconds: float | None = None,
) -> AbstractContextManager[Transport]:
    """The way into the sandbox. Raises CourseError where this machine has none of that level."""
    require(level)
    if sys.platform != "linux":
        return ProcessTransport(submission, guarded, call_seconds)
    # Its modules import what only Linux has.
    from utils.course.grading.sandbox.transport import SandboxedTransport

    return SandboxedTransport(submission, guarded, level, slot, call_seconds)


def blank_lessons(assignment: Path, hidden: Path | None, level: SandboxLevel) -> list[dict]:
    """The lessons of a student who handed in nothing.

    Raises CourseError where the manifest does not fit the checks, or where this machine has no sandbox of the level.
    """
    require(level)
    return [asdict(result) for result in blank_results(read_manifest(assignment), hidden)]


def mark_job(job: Job, slot: int, transport: TransportFactory = open_transport) -> list[dict]:
    """Grade one student's files: the lessons that something was handed in for, as plain data, without points."""
    manifest = read_manifest(Path(job.assignment))
    seed = read_seed(Path(job.seed_file))
    planned = plan(manifest, Path(job.hidden) if job.hidden else None)
    found = works([(name, Path(path)) for name, path in job.files], job.problems, planned)

    def open_for(lesson: PlannedLesson, submission: Submission) -> AbstractContextManager[Transport]:
        guarded, seconds = lesson.lesson.guarded(), manifest.limits.call_seconds
        return transport(submission, guarded, job.sandbox, slot, seconds)

    results = [
        _lesson_result(lesson, found[lesson.lesson.slug], seed, manifest.limits, open_for)
        for lesson in planned
        if lesson.lesson.slug in found
    ]
    return [asdict(result) for result in results]


Opener = Callable[[PlannedLesson, Submission], AbstractContextManager[Transport]]


def _lesson_result(
    planned: PlannedLesson, work: Work, seed: int, limits: Limits, open_for: Opener
) -> LessonResult:
    slug, submission = planned.lesson.slug, work.submission
    if submission is None:
        return LessonResult(slug, "unreadable", None, _notes(work.notes), ())
    exercises = []
    waiting = list(planned.exercises)
    while waiting:
        with open_for(planned, submission) as transport:
            is_sound = True
            while waiting and is_sound:
                exercise = waiting.pop(0)
                start = time.monotonic()
                results, is_sound = _run(exercise, transport, seed, limits)
                seconds = time.monotonic() - start
                mistake = _mistake(planned.lesson, exercise.name, results)
                outcomes = tuple(map(_outcome, exercise.checks, results))
                exercises.append(
                    ExerciseResult(exercise.name, 0.0, 0.0, outcomes, mistake, round(seconds, 3))
                )
    notes = _notes([*work.notes, *submission.notes])
    return LessonResult(slug, "graded", submission.name, notes, tuple(exercises))


def _run(
    exercise: Exercise, transport: Transport, seed: int, limits: Limits
) -> tuple[list[CheckResult], bool]:
    """What each check of the exercise found, and whether the transport can be used for the next one."""
    budget = Budget(transport, limits.exercise_seconds)
    deadline = limits.exercise_seconds + CHECK_SECONDS
    start = time.monotonic()
    try:
        with bounded_memory():
            results = limited(
                deadline, lambda: run_exercise(exercise, Learner(budget, strict=True), seed, CHECK_SECONDS)
            )
    except (WorkerDied, UnreadableAnswer) as error:
        return _all_failed(exercise, str(error)), False
    except TimeLimit:
        return _all_failed(exercise, OUT_OF_TIME), False
    except CourseError:
        # The sandbox or the course is at fault, not the student.
        raise
    except Exception as error:
        # Nothing that a student's code returns may stop the other exercises, let alone the other students.
        return _all_failed(exercise, f"the checks could not be run on it ({type(error).__name__})"), False
    if budget.is_spent:
        results = [replace(r, message=OUT_OF_TIME) if r.message == ENDLESS else r for r in results]
    return results, time.monotonic() - start < deadline


def _all_failed(exercise: Exercise, message: str) -> list[CheckResult]:
    nothing = Recording((), ())
    return [
        CheckResult(check.name, check.purpose, "error", readable(message), "", nothing)
        for check in exercise.checks
    ]


def _mistake(lesson: Lesson, exercise: str, results: Sequence[CheckResult]) -> Mistake | None:
    """The known mistake that was made. It is replayed on what the checks asked; the answers are only compared with."""
    try:
        with bounded_memory():
            diagnosis = limited(DIAGNOSIS_SECONDS, lambda: diagnose(lesson, exercise, results))
    except (Exception, TimeLimit):
        # An answer of an odd kind must cost the diagnosis, not the grade.
        return None
    return Mistake(diagnosis.mistake, diagnosis.text) if diagnosis else None


def _outcome(check: Check, result: CheckResult) -> CheckOutcome:
    return replace(blank_outcome(check), outcome=result.outcome, message=result.message)


def _notes(notes: Sequence[str]) -> tuple[str, ...]:
    """As many notes as anyone reads, a line each, safe to show: some files give rise to any number of them."""
    distinct = list(dict.fromkeys(" ".join(note[:NOTE_LENGTH].split()) for note in notes))
    kept = [readable(note)[:NOTE_LENGTH] for note in distinct[:NOTES]]
    return (*kept, f"and {len(distinct) - NOTES} more") if len(distinct) > NOTES else tuple(kept)
