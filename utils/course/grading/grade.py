"""`python -m utils.course grade`: the coordinator. It collects, hands out, scores and writes; it runs no submission."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import (
    Manifest,
    hidden_path,
    read_manifest,
    read_seed,
    seed_path,
)
from utils.course.grading.dispatch import Failed, dispatch
from utils.course.grading.intake.collect import Collection, collect
from utils.course.grading.intake.roster import Roster, read_roster
from utils.course.grading.intake.student_files import Collected
from utils.course.grading.plan import changed_lessons, checks_key
from utils.course.grading.pools import Pool, open_pool
from utils.course.grading.results import (
    Keys,
    LessonResult,
    Result,
    lesson_from_dict,
    read_result,
    result_path,
    write_result,
)
from utils.course.grading.run_folder import held, write_facts
from utils.course.grading.sandbox.levels import hold_users
from utils.course.grading.score import Overrides, read_overrides, scored
from utils.course.grading.summary import Summary
from utils.course.grading.tasks import CHECK_SECONDS, DIAGNOSIS_SECONDS, Job, blank, mark

if TYPE_CHECKING:
    from utils.course.grading.marking import TransportFactory
    from utils.course.grading.sandbox.levels import SandboxLevel


@dataclass(frozen=True)
class Run:
    """What to grade, for which assignment, and how. `seed_file` and `hidden` default to the instructor's half's."""

    submissions: Path
    assignment: Path
    grades: Path
    jobs: int = 1
    scheduler: str | None = None
    seed_file: Path | None = None
    hidden: Path | None = None
    sandbox: SandboxLevel = "full"
    roster: Path | None = None
    force: bool = False


def grade(run: Run, transport: TransportFactory | None = None, pool: Pool | None = None) -> Summary:
    """Grade every submission that has no result yet, or one of another submission, other checks or another seed.

    Each result is written when it is there, so that a run that is stopped, however, goes on where it was. Raises
    CourseError for bad input, and where another run writes to the same folder. `pool`, if given, is used and left open.
    """
    manifest = read_manifest(run.assignment)
    roster = read_roster(run.roster) if run.roster else None
    seed_file = run.seed_file or seed_path(run.assignment)
    if run.hidden is None and hidden_path(run.assignment).is_dir():
        run = replace(run, hidden=hidden_path(run.assignment))
    seed = hashlib.sha256(str(read_seed(seed_file)).encode()).hexdigest()
    keys = Keys("", checks_key(manifest, run.hidden), seed)
    opened = contextlib.nullcontext(pool) if pool else open_pool(run.jobs, run.scheduler)
    with held(run.grades), hold_users(run.sandbox), opened as pool:
        planned = pool.submit(blank, str(run.assignment.resolve()), _text(run.hidden), run.sandbox)
        collection = collect(run.submissions, run.grades, [each.slug for each in manifest.lessons], roster)
        batch = _Batch(run, manifest, keys, seed_file, _blank_lessons(planned))
        return batch.grade(collection, roster, pool, transport)


class _Batch:
    """One run over a collection: which results it keeps, makes, and writes."""

    def __init__(
        self, run: Run, manifest: Manifest, keys: Keys, seed_file: Path, planned: Sequence[LessonResult]
    ):
        self.run = run
        self.manifest = manifest
        self.keys = keys
        self.seed_file = seed_file
        self.planned = planned
        self.overrides: Overrides = read_overrides(run.grades / "overrides.csv", planned)
        self.summary = Summary(changed=changed_lessons(manifest))
        self.started = _now()

    def grade(
        self, collection: Collection, roster: Roster | None, pool: Pool, transport: TransportFactory | None
    ) -> Summary:
        entries = {entry.student: entry for entry in collection.students}
        self.summary.ignored = collection.ignored
        self.write_facts()
        jobs = [self.job(entry) for entry in collection.students if not self.has_kept(entry)]
        seconds = sum(len(lesson.exercises) for lesson in self.planned) * (
            self.manifest.limits.exercise_seconds + CHECK_SECONDS + DIAGNOSIS_SECONDS
        )
        # No bar where nobody sees it move.
        with tqdm(total=len(jobs), unit="submission", disable=None, smoothing=0.1) as bar:
            for job, found in dispatch(pool, jobs, partial(mark, transport=transport), seconds):
                self.finish(entries[job.student], found)
                bar.set_postfix_str(self.summary.text, refresh=False)
                bar.update()
        self.score_the_absent(entries, roster)
        self.write_facts(finished=_now())
        return self.summary

    def has_kept(self, entry: Collected) -> bool:
        """Whether there is a result of this very submission already; its points are brought up to date."""
        path = result_path(self.run.grades, entry.student)
        if self.run.force or not path.exists():
            return False
        try:
            result = read_result(path)
        except (CourseError, OSError, UnicodeDecodeError):
            return False
        if result.keys != self.keys_of(entry) or not self.is_current(result):
            return False
        late = entry.is_late(self.manifest.due)
        self.write(replace(result, late=late, flags=entry.flags), previous=result)
        self.summary.resumed += 1
        return True

    def is_current(self, result: Result) -> bool:
        """Whether the result was made with the checks, the seed and the sandbox of this run."""
        theirs = (result.keys.checks, result.keys.seed, result.sandbox, result.assignment)
        return theirs == (self.keys.checks, self.keys.seed, self.run.sandbox, self.manifest.id)

    def keys_of(self, entry: Collected) -> Keys:
        return replace(self.keys, submission=entry.key)

    def job(self, entry: Collected) -> Job:
        grades = self.run.grades.resolve()
        return Job(
            entry.student,
            tuple((file.name, str(grades / file.path)) for file in entry.files),
            entry.problems,
            str(self.run.assignment.resolve()),
            str(self.seed_file.resolve()),
            _text(self.run.hidden),
            self.run.sandbox,
        )

    def finish(self, entry: Collected, found: list[dict] | Failed) -> None:
        """Write the result of a student whose files were graded, or could not be."""
        keys = self.keys_of(entry)
        if isinstance(found, Failed):
            # No key, so that the next run tries again.
            keys = self.keys
            note = f"grading failed: {found.reason}"
            lessons = tuple(replace(each, status="unreadable", notes=(note,)) for each in self.planned)
        else:
            lessons = tuple(map(lesson_from_dict, found))
        self.write(self.result(entry.student, keys, lessons, entry.is_late(self.manifest.due), entry.flags))

    def score_the_absent(self, entries: Mapping[str, Collected], roster: Roster | None) -> None:
        """Those of earlier runs keep their results, with today's points; the rest of the class list gets empty ones."""
        for path in sorted((self.run.grades / "results").glob("*.json")):
            with contextlib.suppress(CourseError, UnicodeDecodeError):
                result = read_result(path)
                if result.student not in entries and self.is_current(result):
                    self.write(result, previous=result)
                    self.summary.kept += result.statuses != {"not submitted"}
        for student in roster.students if roster else ():
            if student not in entries and not result_path(self.run.grades, student).exists():
                self.write(self.result(student, self.keys, (), late=False, flags=()))

    def result(
        self, student: str, keys: Keys, lessons: Sequence[LessonResult], late: bool, flags: Sequence[str]
    ) -> Result:
        return Result(
            student,
            self.manifest.id,
            _now(),
            self.run.sandbox,
            keys,
            late,
            tuple(flags),
            *(0.0, 0.0, 0.0, None),
            tuple(lessons),
        )

    def write(self, result: Result, previous: Result | None = None) -> None:
        result = scored(result, self.planned, self.overrides.get(result.student, {}))
        if result != previous:
            write_result(self.run.grades, result)
        self.summary.add(result)

    def write_facts(self, finished: str | None = None) -> None:
        """What was run, beside the results: `grades.json`. `finished` is null while a run goes on, or was stopped."""
        facts = {
            "assignment": self.manifest.id,
            "lessons": [lesson.slug for lesson in self.manifest.lessons],
            "points": self.manifest.points,
            "due": self.manifest.due and self.manifest.due.isoformat(),
            "sandbox": self.run.sandbox,
            "keys": {"checks": self.keys.checks, "seed": self.keys.seed},
            "started": self.started,
            "finished": finished,
            "counts": {
                "students": self.summary.students,
                "resumed": self.summary.resumed,
                **self.summary.counts,
            },
        }
        write_facts(self.run.grades, facts)


def _blank_lessons(planned) -> list[LessonResult]:
    try:
        return [lesson_from_dict(each) for each in planned.result()]
    except BrokenExecutor as error:
        raise CourseError("the grading process ended while it read the lessons' checks") from error
    except ModuleNotFoundError as error:
        raise CourseError(
            f"the workers cannot import the course ({error}): start them in its environment"
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(path: Path | None) -> str | None:
    return str(path.resolve()) if path else None
