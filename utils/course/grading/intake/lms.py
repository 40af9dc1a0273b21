"""Whose a file is, by where it lies: in a student's folder, or as a learning management system's download names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import yaml

# "lovelaceada_LATE_12345_67890_part2.ipynb": name, user, upload, and what the student called the file.
CANVAS = re.compile(
    r"(?P<name>[^_/]+)(?P<late>_late)?_(?P<user>\d+)_(?P<upload>\d+)_(?P<file>.+)", re.IGNORECASE
)
# "Ada Lovelace_123_assignsubmission_file_", a folder or the beginning of a file's name.
MOODLE = re.compile(r"(?P<name>.+)_(?P<user>\d+)_assignsubmission_(?P<kind>file|onlinetext)(_(?P<file>.*))?")
GRADESCOPE_METADATA = "submission_metadata.yml"
# What browsers and systems put behind the name of a second copy.
COPY = r"([ _-]*(\(\d+\)|copy( \d+)?|\d+))?"


@dataclass(frozen=True)
class Owner:
    """student: the id that the path gives. `aliases`: other names by which a roster may know it.

    file: the path of the file as its owner named it. `late`, `submitted`: what the system says, None where it does not.
    upload: grows with every upload, where the system counts them.
    """

    student: str
    aliases: tuple[str, ...]
    file: str
    late: bool | None = None
    submitted: datetime | None = None
    upload: int = 0


def owner_by_path(path: PurePosixPath, parts: Sequence[str], default: str) -> Owner:
    """The owner of a file with that path below the folder of submissions.

    A file that lies in no folder belongs to whom its name says, the names of lessons (`parts`) taken away; to `default`
    where nothing is left.
    """
    first, inside = path.parts[0], "/".join(path.parts[1:])
    if found := MOODLE.fullmatch(first):
        name, user = found["name"], found["user"]
        return Owner(f"{name}_{user}", (name, user), inside or found["file"] or first)
    if not inside and (found := CANVAS.fullmatch(first)):
        name, user = found["name"], found["user"]
        return Owner(
            f"{name}_{user}",
            (name, user),
            found["file"],
            found["late"] is not None,
            upload=int(found["upload"]),
        )
    if inside:
        return Owner(first, (), inside)
    student = without_lesson(PurePosixPath(first).stem, parts)
    return Owner(student or default, (), first)


def is_download(name: str) -> bool:
    """Whether a file or folder is named as Canvas or Moodle name what a student handed in."""
    return bool(MOODLE.fullmatch(name) or CANVAS.fullmatch(name))


def lesson_named(file: str, parts: Sequence[str]) -> str | None:
    """Which of `parts` ("part2_fit_probes") a file is named after; the longest, where several fit."""
    found = [part for part in parts if _pattern(part).search(PurePosixPath(file).name)]
    return max(found, key=len, default=None)


def without_lesson(name: str, parts: Sequence[str]) -> str:
    """What a file's name says beside the lesson, most often who made it; "" where it says nothing."""
    part = lesson_named(name, parts)
    if part is not None:
        name = _pattern(part).sub(" ", name)
    return name.strip(" _-.")


def _pattern(part: str) -> re.Pattern[str]:
    return re.compile(r"[\s_-]?".join(map(re.escape, part.split("_"))) + COPY, re.IGNORECASE)


def gradescope_owners(metadata: bytes) -> dict[str, list[Owner]]:
    """For each folder of a Gradescope export, who handed it in: several where a group did. Their `file` is empty.

    Raises ValueError where this is no such metadata.
    """
    try:
        table = yaml.load(metadata, Loader=_Loader)
        return {
            str(folder): [_submitter(each, entry.get(":created_at")) for each in entry[":submitters"]]
            for folder, entry in table.items()
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"{GRADESCOPE_METADATA}: {type(error).__name__}") from error


def _submitter(entry: dict[str, Any], created: object) -> Owner:
    values = [entry.get(key) for key in (":sid", ":email", ":name")]
    names = [str(value) for value in values if isinstance(value, str | int) and value]
    moment = created.astimezone() if isinstance(created, datetime) else None
    return Owner(names[0] if names else "unknown", tuple(names[1:]), "", submitted=moment)


class _Loader(yaml.SafeLoader):
    """Plain data; the Ruby objects that Gradescope's export may hold become None."""


_Loader.add_constructor(None, lambda loader, node: None)  # type: ignore[arg-type]
