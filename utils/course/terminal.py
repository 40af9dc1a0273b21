"""`python -m utils.course check`: the checks of a lesson at the terminal, live or in a worker process."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.course.diagnosis import diagnose
from utils.course.learner import Learner
from utils.course.lessons import Lesson, LessonError, find_lessons
from utils.course.report import Report
from utils.course.runner import PUBLIC_SEED, run_exercise
from utils.course.submissions import Submission, read_submission
from utils.course.text import readable
from utils.course.transports import LiveTransport, ProcessTransport

WATCH_SECONDS = 0.5


def check_lesson(
    lesson: Lesson, submission: Submission, isolated: bool = False, seed: int = PUBLIC_SEED
) -> list[Report]:
    """Run every exercise's checks of a lesson on a submission."""
    reports = []
    with open_learner(lesson, submission, isolated) as learner:
        for exercise in lesson.exercises():
            results = run_exercise(exercise, learner, seed)
            reports.append(Report(exercise.name, results, diagnose(lesson, exercise.name, results)))
    return reports


@contextmanager
def open_learner(lesson: Lesson, submission: Submission, isolated: bool = False) -> Iterator[Learner]:
    """The submission as checks see it: in this process, or in a worker that is stopped at the end."""
    if isolated:
        with ProcessTransport(submission, lesson.guarded()) as transport:
            yield Learner(transport)
    else:
        yield Learner(LiveTransport(submission.namespace(), lesson.guarded()))


def check_command(name: str, file: Path | None, isolated: bool, as_json: bool) -> int:
    """Check and print. 0: everything passed, 1: something did not. Errors in the input raise."""
    lessons = _lessons(name, file)
    printed: dict[str, dict] = {}
    passed = True
    for lesson in lessons:
        submission = _submission(lesson, file)
        reports = check_lesson(lesson, submission, isolated)
        passed &= all(report.passed for report in reports)
        printed[lesson.slug] = {
            "file": submission.name,
            "notes": [readable(note) for note in submission.notes],
            "exercises": {report.exercise: report.as_dict() for report in reports},
        }
        if not as_json:
            _print(lesson, submission, reports)
    if as_json:
        print(json.dumps({"lessons": printed, "passed": passed}, indent=1, ensure_ascii=False))
    return 0 if passed else 1


def watch(name: str, file: Path, isolated: bool) -> int:
    """Check again whenever the file is saved, until interrupted. Raises LessonError where there is nothing to watch."""
    _lessons(name, file)
    seen: int | None = -1
    try:
        while True:
            try:
                stamp = file.stat().st_mtime_ns
            except OSError:
                stamp = None
            if stamp != seen:
                seen = stamp
                print("\033[2J\033[H" + time.strftime("%H:%M:%S"), file.name)
                try:
                    check_command(name, file, isolated, as_json=False)
                except Exception as error:
                    print(error)
                print("Watching; save the file to check again, ctrl-C to stop.", flush=True)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _lessons(name: str, file: Path | None) -> list[Lesson]:
    """The lessons of that name; of a chapter, the one that the file is named after."""
    lessons = find_lessons(name)
    if file is None or len(lessons) == 1:
        return lessons
    for lesson in lessons:
        if file.stem == lesson.part:
            return [lesson]
    names = ", ".join(lesson.slug for lesson in lessons)
    raise LessonError(f"which lesson is {file.name} for? Name one of: {names}")


def _submission(lesson: Lesson, file: Path | None) -> Submission:
    if file is not None:
        return read_submission(file)
    reference = lesson.reference()
    return reference if reference is not None else read_submission(lesson.exercise_notebook)


def _print(lesson: Lesson, submission: Submission, reports: list[Report]) -> None:
    print(f"{lesson.slug}: {submission.name}")
    for note in submission.notes:
        print(f"  note: {readable(note)}")
    for report in reports:
        print(f"\n{report}")
    done = sum(report.passed for report in reports)
    print(f"\n{done} of {len(reports)} exercises pass.")
