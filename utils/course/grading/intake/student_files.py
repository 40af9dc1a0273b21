"""What comes in from one student: files kept under their hash, what could not be read, whose they say they are."""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from utils.course.grading.intake.archives import FILE_BYTES, Member, Problem, Unreadable, zip_members
from utils.course.grading.intake.lms import Owner, without_lesson
from utils.course.grading.intake.roster import Names, claims_in, mismatches
from utils.course.text import readable
from utils.storage import atomic_write

WANTED = (".ipynb", ".py")
# What a student's whole course folder holds beside the work: its .py files are nobody's answers.
COURSE_FOLDERS = {"utils", "tests", "solutions"}
ZIP_BYTES = 100 << 20
FILES, STUDENT_BYTES = 50, 200 << 20
CLAIM_BYTES = 5 << 20
NOTES = 20


@dataclass(frozen=True)
class CollectedFile:
    """A file as its owner named it, and where its bytes are kept, below the folder of grades."""

    name: str
    path: str
    modified: datetime


@dataclass(frozen=True)
class Collected:
    """What one student handed in, oldest file first. `problems`: what could not be read; `flags`: whose it may be."""

    student: str
    files: tuple[CollectedFile, ...]
    problems: tuple[str, ...]
    flags: tuple[str, ...]
    late: bool | None
    handed_in: datetime | None

    @property
    def key(self) -> str:
        """SHA-256 of all that grading depends on."""
        content = [[(file.name, file.path) for file in self.files], self.problems]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def is_late(self, due: datetime | None) -> bool:
        """As the download says; where it does not, by the time of the newest file."""
        if self.late is not None:
            return self.late
        return due is not None and self.handed_in is not None and self.handed_in > due


class Intake:
    """Takes one student's files, up to a limit. `parts` are the names of the lessons ("part2_fit_probes")."""

    def __init__(self, grades: Path, parts: Sequence[str]):
        self.aliases: set[str] = set()
        self._grades = grades
        self._parts = parts
        self._files: list[tuple[int, CollectedFile]] = []
        self._problems: list[str] = []
        self._others: list[str] = []
        self._claims: list[tuple[str, str]] = []
        self._late: bool | None = None
        self._submitted: datetime | None = None
        self._bytes = 0

    def meet(self, owner: Owner) -> None:
        """Note what the path, or the system that was downloaded from, says about the student."""
        self.aliases.update((owner.student, *owner.aliases))
        if owner.late is not None:
            self._late = bool(self._late) or owner.late
        if owner.submitted is not None:
            self._submitted = max(owner.submitted, self._submitted or owner.submitted)

    def take(self, owner: Owner, found: Member | Problem) -> None:
        """A file of the owner's, or a zip of files."""
        self.meet(owner)
        if isinstance(found, Problem):
            self._problem(owner.file, found.reason)
        elif found.path.suffix.lower() == ".zip":
            self._take_zip(owner.file, owner.upload, found)
        else:
            self._take_file(owner.file, owner.upload, found)

    def collected(self, student: str, names: Names, flags: Sequence[str]) -> Collected:
        """All of it. `names`: the names of the whole class; a claim to be somebody else becomes a flag."""
        order = sorted(self._files, key=lambda entry: (entry[1].modified, entry[0], entry[1].name))
        files = tuple(file for _, file in order)
        problems = list(self._problems)
        if not files and not problems:
            found = f" (found: {', '.join(map(shown, self._others[:5]))})" if self._others else ""
            problems.append(f"no notebook, .py file or zip{found}")
        flags = [*flags, *mismatches(student, self._claims, names)]
        handed_in = self._submitted or max((file.modified for file in files), default=None)
        return Collected(student, files, tuple(problems), tuple(flags[:NOTES]), self._late, handed_in)

    def _take_zip(self, name: str, upload: int, member: Member) -> None:
        try:
            content = member.read(ZIP_BYTES)
            for found in zip_members(io.BytesIO(content)):
                inner = f"{name}/{found.path}"
                if isinstance(found, Problem):
                    self._problem(inner, found.reason)
                elif found.path.suffix.lower() == ".zip":
                    self._problem(inner, "left out: a zip inside a zip")
                else:
                    self._take_file(inner, upload, found)
        except Unreadable as error:
            self._problem(name, str(error))

    def _take_file(self, name: str, upload: int, member: Member) -> None:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if suffix not in WANTED or (suffix == ".py" and COURSE_FOLDERS & set(path.parts[:-1])):
            self._others.append(path.name)
            return
        if len(self._files) == FILES or self._bytes > STUDENT_BYTES:
            self._problem(name, "left out: too many files")
            return
        try:
            content = member.read(FILE_BYTES)
        except Unreadable as error:
            self._problem(name, str(error))
            return
        self._bytes += len(content)
        kept = f"collected/{hashlib.sha256(content).hexdigest()}{suffix}"
        if not (self._grades / kept).exists():
            atomic_write(self._grades / kept, content)
        self._files.append((upload, CollectedFile(shown(name), kept, member.modified)))
        self._claims.append((f"the name of {shown(path.name)}", without_lesson(path.stem, self._parts)))
        if len(content) <= CLAIM_BYTES:
            self._claims += [(shown(path.name), claim) for claim in claims_in(name, content)]

    def _problem(self, name: str, reason: str) -> None:
        if len(self._problems) < NOTES:
            self._problems.append(f"{shown(name)}: {reason}")


def shown(name: str) -> str:
    """A file's name as it may be shown."""
    return readable(name.replace("\n", " "))[:120]


def clean_id(student: str) -> str:
    """One way to write an id, whatever system packed it; nothing that a terminal would trip over."""
    return shown(unicodedata.normalize("NFC", student)).strip() or "unknown"
