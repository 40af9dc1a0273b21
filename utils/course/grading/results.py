"""What grading found, one JSON file a student: the one record from which every report is made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from utils.course.errors import CourseError
from utils.storage import atomic_write

SCHEMA = 1
NAME_LENGTH = 60
# Names that Windows keeps for devices, whatever their suffix.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")

Outcome = Literal["passed", "failed", "error", "missing", "not run"]
Status = Literal["graded", "unreadable", "not submitted"]


@dataclass(frozen=True)
class CheckOutcome:
    """What one check found. `message` is for the student, empty where it passed; a hidden check's is not."""

    id: str
    purpose: str
    outcome: Outcome = "not run"
    message: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Mistake:
    """The known mistake that a wrong answer equals."""

    name: str
    diagnosis: str


@dataclass(frozen=True)
class ExerciseResult:
    """`earned` is all of `points` where every check passed, else 0, unless it was overridden by hand."""

    name: str
    points: float
    earned: float
    checks: tuple[CheckOutcome, ...]
    mistake: Mistake | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every check ran and passed."""
        return bool(self.checks) and all(check.outcome == "passed" for check in self.checks)


@dataclass(frozen=True)
class LessonResult:
    """One lesson of one student. `notes`: what was left out or could not be read."""

    lesson: str
    status: Status
    file: str | None
    notes: tuple[str, ...]
    exercises: tuple[ExerciseResult, ...]


@dataclass(frozen=True)
class Keys:
    """SHA-256 of what a result depends on: while they stay the same, it need not be made again."""

    submission: str
    checks: str
    seed: str


@dataclass(frozen=True)
class Override:
    """Points given by hand: what the exercise earns now, what the checks gave, and why."""

    points: float
    earned: float
    reason: str


@dataclass(frozen=True)
class Result:
    """Everything about one student's submission. `overridden` maps exercises to the points given by hand."""

    student: str
    assignment: str
    graded_at: str
    sandbox: str
    keys: Keys
    late: bool
    flags: tuple[str, ...]
    score: float
    points: float
    seconds: float
    overridden: dict[str, Override] | None
    lessons: tuple[LessonResult, ...]

    @property
    def exercises(self) -> list[ExerciseResult]:
        """Of all lessons, in their order."""
        return [exercise for lesson in self.lessons for exercise in lesson.exercises]

    @property
    def unreadable(self) -> bool:
        """Something was handed in, and none of it could be read."""
        return "graded" not in self.statuses and "unreadable" in self.statuses

    @property
    def statuses(self) -> set[Status]:
        return {lesson.status for lesson in self.lessons}

    def without_timings(self) -> Result:
        """What two runs over the same submission must agree on, byte for byte in `to_json`."""
        lessons = tuple(
            replace(lesson, exercises=tuple(replace(exercise, seconds=0.0) for exercise in lesson.exercises))
            for lesson in self.lessons
        )
        return replace(self, graded_at="", seconds=0.0, lessons=lessons)


def to_json(result: Result) -> str:
    """The canonical text of a result file."""
    text = json.dumps({"schema": SCHEMA, **asdict(result)}, indent=1, ensure_ascii=False) + "\n"
    # A lone surrogate cannot be written as UTF-8; as an escape it can.
    return text.encode("utf-8", "backslashreplace").decode()


def from_json(text: str, name: str = "the result") -> Result:
    """The result in a file's text. Raises CourseError, with `name`, where it is none of this schema."""
    try:
        fields = json.loads(text)
        if fields.pop("schema") != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}")
        overridden = fields["overridden"]
        return Result(
            **{
                **fields,
                "keys": Keys(**fields["keys"]),
                "flags": tuple(fields["flags"]),
                "overridden": overridden and {key: Override(**each) for key, each in overridden.items()},
                "lessons": tuple(lesson_from_dict(each) for each in fields["lessons"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CourseError(f"{name} is no result ({reason}): delete it and grade again") from error


def lesson_from_dict(fields: dict[str, Any]) -> LessonResult:
    """The inverse of `dataclasses.asdict` on a lesson's result."""
    exercises = tuple(_exercise_from_dict(each) for each in fields["exercises"])
    return LessonResult(**{**fields, "notes": tuple(fields["notes"]), "exercises": exercises})


def _exercise_from_dict(fields: dict[str, Any]) -> ExerciseResult:
    checks = tuple(CheckOutcome(**each) for each in fields["checks"])
    mistake = fields["mistake"] and Mistake(**fields["mistake"])
    return ExerciseResult(**{**fields, "checks": checks, "mistake": mistake})


def safe_name(student: str) -> str:
    """A file name for a student's id, on every system, another for every id.

    Lower-case letters, digits and `._@+-` stay; what is changed gets a digest of the id behind it.
    """
    clean = re.sub(r"[^\w.@+-]", "_", student.lower(), flags=re.ASCII).lstrip(".")[:NAME_LENGTH]
    if clean and clean == student and clean.rstrip(".") == clean and not DEVICES.match(clean):
        return clean
    digest = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean.rstrip('.')}-{digest}"


def result_path(grades: Path, student: str) -> Path:
    """Where a student's result lies, whether there is one or not."""
    return grades / "results" / f"{safe_name(student)}.json"


def write_result(grades: Path, result: Result) -> None:
    """Write a student's result: the whole file or nothing."""
    atomic_write(result_path(grades, result.student), to_json(result))


def read_result(path: Path) -> Result:
    """Raises CourseError where the file is no result."""
    return from_json(path.read_text(encoding="utf-8"), str(path))


def read_results(grades: Path) -> Iterator[Result]:
    """Every student's result, in the order of their file names; one at a time, for a large class."""
    for path in sorted((grades / "results").glob("*.json")):
        yield read_result(path)
