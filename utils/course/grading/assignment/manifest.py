"""The instructor's half of an assignment: what is asked, for how many points, within which limits; and its seed."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any, Literal

from utils.course.errors import CourseError
from utils.storage import atomic_path, atomic_write

Edition = Literal["graded", "self-study"]

SCHEMA = 1
CALL_SECONDS, EXERCISE_SECONDS = 10.0, 60.0
HEAD = """\
# What is graded, and for how many points. You may change points, limits and the due date, and grade again:
# results are scored anew. Checks that are not listed here are not run.
"""


@dataclass(frozen=True)
class Limits:
    """Seconds of the student's own time: for one call, and for all calls of one exercise together.

    Every exercise has a budget of its own, so that a slow one costs no other; a submission's is their sum.
    """

    call_seconds: float = CALL_SECONDS
    exercise_seconds: float = EXERCISE_SECONDS


@dataclass(frozen=True)
class AssignedExercise:
    """`checks` that students have, and the `hidden` ones that they do not: names without `test_`."""

    name: str
    points: float
    checks: tuple[str, ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class AssignedLesson:
    """A lesson and the hashes of what was handed out: SHA-256 of its checks and of the student's notebook."""

    slug: str
    checks_sha256: str
    notebook_sha256: str
    exercises: tuple[AssignedExercise, ...]

    @property
    def part(self) -> str:
        return self.slug.split("/")[1]


@dataclass(frozen=True)
class Manifest:
    """An assignment, as `assign` wrote it and the instructor may have edited it."""

    id: str
    edition: Edition
    lessons: tuple[AssignedLesson, ...]
    due: datetime | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def points(self) -> float:
        return sum(exercise.points for lesson in self.lessons for exercise in lesson.exercises)


def manifest_path(assignment: Path) -> Path:
    return assignment / "instructor" / "manifest.toml"


def seed_path(assignment: Path) -> Path:
    return assignment / "instructor" / "seed"


def hidden_path(assignment: Path) -> Path:
    """Where an instructor may lay further checks of one's own."""
    return assignment / "instructor" / "hidden"


def write_manifest(assignment: Path, manifest: Manifest) -> None:
    """Write the manifest, atomically."""
    atomic_write(manifest_path(assignment), HEAD + "\n".join(_lines(manifest)) + "\n")


def read_manifest(assignment: Path) -> Manifest:
    """Raises CourseError, with the place, where the folder holds no assignment or the manifest cannot be used."""
    path = manifest_path(assignment)
    if not path.is_file():
        raise CourseError(
            f"{assignment} holds no assignment: {path} is missing (python -m utils.course assign …)"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _manifest(table)
    except (ValueError, KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CourseError(f"{path}: {what}") from error


def write_seed(assignment: Path) -> None:
    """Draw the secret seed, readable by its owner only; one that exists is kept, so that regrading means the same."""
    path = seed_path(assignment)
    if path.exists():
        return
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32) + "\n")


def read_seed(path: Path) -> int:
    """The seed in a file: any text will do; a longer one is harder to guess. Raises CourseError where there is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"the secret seed cannot be read: {error}") from error
    if not text:
        raise CourseError(f"{path} is empty: expected a secret seed")
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def parse_due(text: str) -> datetime:
    """A date (its whole day counts) or a date and time; local time unless it names an offset. Raises CourseError."""
    try:
        due = datetime.fromisoformat(text)
    except ValueError:
        raise CourseError(f"{text!r} is no date: write 2030-01-31 or 2030-01-31T18:00") from None
    if len(text) <= len("2030-01-31"):
        due = datetime.combine(due.date(), time(23, 59, 59))
    return due.astimezone()


def read_points(path: Path, exercises: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The points of a TOML file, for each lesson by exercise. `exercises` are the assigned lessons' exercises.

    `auroc = 2` counts wherever the name stands; below a heading `["ch1_…/part3_…"]` for that lesson only.
    Raises CourseError for a name that is not assigned and for points that are no number.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path}: {error}") from error
    found: dict[str, dict[str, float]] = {slug: {} for slug in exercises}
    for key, value in table.items():
        lessons = [key] if isinstance(value, dict) else list(exercises)
        for name, points in value.items() if isinstance(value, dict) else [(key, value)]:
            places = [slug for slug in lessons if name in exercises.get(slug, ())]
            if not places:
                known = sorted(name for names in exercises.values() for name in names)
                raise CourseError(f"{path}: {name!r} is not assigned; there are: {', '.join(known)}")
            for slug in places:
                found[slug][name] = checked_points(points, f"{path}: {name}")
    return found


def checked_points(points: object, where: str) -> float:
    """A number of points that can be earned. Raises CourseError, naming the place."""
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < float("inf"):
        raise CourseError(f"{where}: expected points, a number from 0, not {points!r}")
    return float(points)


def _lines(manifest: Manifest) -> Iterator[str]:
    yield f"schema = {SCHEMA}"
    yield f"id = {_text(manifest.id)}"
    yield f"edition = {_text(manifest.edition)}"
    if manifest.due is not None:
        yield f"due = {manifest.due.isoformat()}"
    yield "\n# Seconds of the student's own time, for one call and for all calls of one exercise."
    yield "[limits]"
    yield f"call_seconds = {manifest.limits.call_seconds}"
    yield f"exercise_seconds = {manifest.limits.exercise_seconds}"
    for lesson in manifest.lessons:
        yield f"\n[[lesson]]\nslug = {_text(lesson.slug)}"
        yield f"checks_sha256 = {_text(lesson.checks_sha256)}"
        yield f"notebook_sha256 = {_text(lesson.notebook_sha256)}"
        for exercise in lesson.exercises:
            yield f"\n[[lesson.exercise]]\nname = {_text(exercise.name)}"
            yield f"points = {exercise.points:g}"
            yield f"checks = [{', '.join(map(_text, exercise.checks))}]"
            yield f"hidden = [{', '.join(map(_text, exercise.hidden))}]"


def _text(value: str) -> str:
    # What JSON escapes, TOML escapes alike.
    return json.dumps(value, ensure_ascii=False)


def _manifest(table: dict[str, Any]) -> Manifest:
    if table["schema"] != SCHEMA:
        raise ValueError(
            f"schema {table['schema']} is not {SCHEMA}: assign again with this version of the course"
        )
    due = table.get("due")
    if due is not None and not isinstance(due, datetime):
        due = parse_due(str(due))
    limits = Limits(**{key: float(value) for key, value in table["limits"].items()})
    if not (limits.call_seconds > 0 and limits.exercise_seconds > 0):
        raise ValueError("limits are seconds, more than 0")
    lessons = tuple(
        AssignedLesson(
            lesson["slug"],
            lesson["checks_sha256"],
            lesson["notebook_sha256"],
            tuple(_exercise(each) for each in lesson["exercise"]),
        )
        for lesson in table["lesson"]
    )
    if not lessons:
        raise ValueError("no lesson is assigned")
    return Manifest(table["id"], table["edition"], lessons, due and due.astimezone(), limits)


def _exercise(table: dict[str, Any]) -> AssignedExercise:
    points = checked_points(table["points"], table["name"])
    return AssignedExercise(table["name"], points, tuple(table["checks"]), tuple(table.get("hidden", ())))
