"""Submissions from a folder, a zip or a download: one entry a student, whoever packed them, and however."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from utils.course.errors import CourseError
from utils.course.grading.intake import lms
from utils.course.grading.intake.archives import (
    FILE_BYTES,
    MEMBERS,
    Member,
    Problem,
    Unreadable,
    file_member,
    folder_members,
    zip_members,
)
from utils.course.grading.intake.lms import Owner
from utils.course.grading.intake.roster import Names, Roster
from utils.course.grading.intake.student_files import (
    COURSE_FOLDERS,
    WANTED,
    Collected,
    Intake,
    clean_id,
    shown,
)
from utils.storage import atomic_write

DOWNLOAD_MEMBERS = 10 * MEMBERS


@dataclass(frozen=True)
class Collection:
    """Everyone's submission, in the order of the ids, and files that were nobody's."""

    students: tuple[Collected, ...]
    ignored: tuple[str, ...]


def collect(source: Path, grades: Path, slugs: Sequence[str], roster: Roster | None = None) -> Collection:
    """Read what students handed in for the lessons `slugs`; keep it, and an index of it, below `grades`.

    `source`: a folder of notebooks, .py files, zips or students' folders, a zip of such, or the download of Canvas,
    Moodle or Gradescope, unpacked or not. What cannot be read becomes a student's problem. Raises CourseError where
    there is no source, or where it is a zip that cannot be opened.
    """
    collector = _Collector(source, grades, [slug.split("/")[1] for slug in slugs], roster)
    if source.is_dir():
        collector.folder(source)
    elif source.is_file() and source.suffix.lower() == ".zip":
        with open(source, "rb") as stream:
            collector.download(stream)
    elif source.is_file():
        collector.take(file_member(source, source.parent))
    else:
        raise CourseError(f"{source} does not exist: expected a folder, a zip or a file of submissions")
    collection = collector.collection()
    atomic_write(grades / "collected.json", _index(collection))
    return collection


class _Collector:
    def __init__(self, source: Path, grades: Path, parts: Sequence[str], roster: Roster | None):
        self.source = source
        self.grades = grades
        self.parts = parts
        self.listed = roster.students if roster else {}
        self.has_roster = roster is not None
        self.known = Names(self.listed)
        self.owners: dict[str, list[Owner]] = {}
        self.intakes: dict[str, Intake] = {}
        self.ignored: list[str] = []
        # To whom a file belongs whose name says nothing but the lesson.
        self.default = source.stem if source.is_file() else source.resolve().name

    def folder(self, folder: Path) -> None:
        """A folder of submissions. Limits count for each student's part of it."""
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        # Some downloads unpack into one folder more.
        if (
            len(inside) == 1
            and inside[0].is_dir()
            and _is_download(path.name for path in inside[0].iterdir())
        ):
            self.folder(inside[0])
            return
        metadata = folder / lms.GRADESCOPE_METADATA
        if metadata.is_file():
            self.read_metadata(metadata.read_bytes())
        for path in inside:
            if path.is_symlink() or not path.is_dir():
                self.take(file_member(path, folder))
            elif path.resolve() != self.grades.resolve():
                # Who has a folder is known, whatever is in it.
                for owner in self.owners_of(PurePosixPath(path.name, "nothing")):
                    self.intake(owner).meet(owner)
                for found in folder_members(path, folder):
                    self.take(found)

    def download(self, stream: io.BufferedReader) -> None:
        """A zip of submissions. Raises CourseError where it is none: there is nothing else to read."""
        try:
            members = list(zip_members(stream, DOWNLOAD_MEMBERS))
        except Unreadable as error:
            raise CourseError(f"{self.source}: {error}") from error
        if self.has_wrapper([member.path for member in members]):
            members = [replace(each, path=PurePosixPath(*each.path.parts[1:])) for each in members]
        for member in members:
            if isinstance(member, Member) and str(member.path) == lms.GRADESCOPE_METADATA:
                self.read_metadata(member.read(FILE_BYTES))
        for member in members:
            self.take(member)

    def has_wrapper(self, paths: Sequence[PurePosixPath]) -> bool:
        """Whether one folder holds all of a zip, and is not itself a student's."""
        if len({path.parts[0] for path in paths}) != 1 or any(len(path.parts) < 2 for path in paths):
            return False
        inside = {path.parts[1] for path in paths}
        return _is_download(inside) or not any(self.is_work(name) for name in inside)

    def is_work(self, name: str) -> bool:
        """Whether a file or folder of that name is work, rather than named after whoever did it."""
        path = PurePosixPath(name)
        is_notebook = path.suffix.lower() in WANTED
        return (
            name in COURSE_FOLDERS
            or re.match(r"chapters$|ch\d+_", name) is not None
            or (is_notebook and not lms.without_lesson(path.stem, self.parts))
        )

    def read_metadata(self, content: bytes) -> None:
        try:
            self.owners = lms.gradescope_owners(content)
        except ValueError as error:
            raise CourseError(f"{self.source}: {error}") from error

    def owners_of(self, path: PurePosixPath) -> list[Owner]:
        inside = "/".join(path.parts[1:])
        if inside and path.parts[0] in self.owners:
            return [replace(owner, file=inside) for owner in self.owners[path.parts[0]]]
        return [lms.owner_by_path(path, self.parts, self.default)]

    def intake(self, owner: Owner) -> Intake:
        """Of the file's owner, under the class list's id where the list knows the owner by any name."""
        student = self.known.find((owner.student, *owner.aliases)) or clean_id(owner.student)
        return self.intakes.setdefault(student, Intake(self.grades, self.parts))

    def take(self, found: Member | Problem) -> None:
        """Give a file of the source to whom it belongs."""
        path = found.path
        is_owned = len(path.parts) > 1 or lms.is_download(path.name)
        if not is_owned and path.suffix.lower() not in (*WANTED, ".zip"):
            if path.name != lms.GRADESCOPE_METADATA:
                self.ignored.append(shown(path.name))
            return
        for owner in self.owners_of(path):
            self.intake(owner).take(owner, found)

    def collection(self) -> Collection:
        known = {
            student: (*intake.aliases, *self.listed.get(student, ()))
            for student, intake in self.intakes.items()
        }
        names = Names({**self.listed, **known})
        students = []
        for student in sorted(self.intakes):
            flags = ["not in the class list"] if self.has_roster and student not in self.listed else []
            students.append(self.intakes[student].collected(student, names, flags))
        return Collection(tuple(students), tuple(self.ignored))


def _is_download(names: Iterable[str]) -> bool:
    return any(name == lms.GRADESCOPE_METADATA or lms.is_download(name) for name in names)


def _index(collection: Collection) -> str:
    students = [
        {
            "student": each.student,
            "files": [[file.name, file.path, file.modified.isoformat()] for file in each.files],
            "problems": each.problems,
            "flags": each.flags,
            "late": each.late,
            "handed_in": each.handed_in and each.handed_in.isoformat(),
        }
        for each in collection.students
    ]
    return json.dumps({"students": students, "ignored": collection.ignored}, indent=1) + "\n"
