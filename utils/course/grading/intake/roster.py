"""The class list, and who is meant by a name: the path or the list say who a student is, never the notebook."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from utils.course.errors import CourseError

# Lines by which a notebook says whose it is: "Name: Ada Lovelace", `STUDENT = "ada"`.
CLAIM = re.compile(
    r"""^[\s#>*_"'-]*(?:your|student'?s?|full)?[\s_]*(?:name|student|author|id|number|e?-?mail)[\s*_]*
        (?::|=\s*(?=["']))\s*(?P<who>.+)$""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
NAME_COLUMNS = (("first name", "first", "given name"), ("last name", "last", "surname", "family name"))
CLAIM_CELLS, CLAIM_CHARACTERS, CLAIMS = 8, 4_000, 5


@dataclass(frozen=True)
class Roster:
    """Students by id, in the list's order, each with the other names that the list has for them."""

    students: Mapping[str, tuple[str, ...]]


def read_roster(path: Path) -> Roster:
    """A CSV with a header. The column `student` or `id`, else the first, holds the ids; all others are further names.

    Raises CourseError where it cannot be read or an id stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(text.splitlines(), delimiter=_delimiter(text)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path}: {error}") from error
    if not rows:
        raise CourseError(f"{path}: expected a header (student, name, …) and a line a student")
    columns = [column for column in rows[0] if column is not None]
    key = next((column for column in columns if column.strip().lower() in ("student", "id")), columns[0])
    students: dict[str, tuple[str, ...]] = {}
    for row in rows:
        student = (row[key] or "").strip()
        if not student:
            continue
        if student in students:
            raise CourseError(f"{path}: {student!r} stands twice")
        named = {column.strip().lower(): (value or "").strip() for column, value in row.items() if column}
        whole = " ".join(
            next((named[column] for column in columns if named.get(column)), "") for columns in NAME_COLUMNS
        )
        others = [value for column, value in named.items() if column != key.strip().lower()]
        students[student] = tuple(name for name in (*others, whole.strip()) if name)
    return Roster(students)


def _delimiter(text: str) -> str:
    header = text.splitlines()[0] if text.splitlines() else ""
    return max(",;\t", key=header.count)


class Names:
    """Looks up whom a name means, among students with the names that are known for them.

    Words count in any order and without what stands between them: "Lovelace, Ada" is "adalovelace" is "LovelaceAda".
    """

    def __init__(self, students: Mapping[str, Iterable[str]]):
        self._students: dict[str, set[str]] = {}
        for student, others in students.items():
            for name in (student, *others):
                words = _words(name)
                orders = itertools.permutations(words) if len(words) <= 4 else [words]
                for order in orders:
                    self._students.setdefault("".join(order), set()).add(student)

    def meant_by(self, name: str) -> set[str]:
        """The students whom the name means; empty where it means nobody."""
        words = "".join(_words(name))
        return self._students.get(words, set()) if words else set()

    def find(self, names: Iterable[str]) -> str | None:
        """The one student whom any of these names means; None where that is nobody, or not one person alone."""
        found = {student for name in names for student in self.meant_by(name)}
        return found.pop() if len(found) == 1 else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


def claims_in(name: str, content: bytes) -> list[str]:
    """What a notebook or .py file says about whose it is, near its beginning."""
    text = content[: 1 << 20].decode("utf-8", "replace")
    if name.lower().endswith(".ipynb"):
        try:
            notebook = json.loads(content)
            authors = [str(author["name"]) for author in notebook.get("metadata", {}).get("authors", ())]
            text = "\n".join("".join(cell["source"]) for cell in notebook["cells"][:CLAIM_CELLS])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []
    else:
        authors = []
    lines = [found["who"].strip(" \t*_`\"'#.,;<>") for found in CLAIM.finditer(text[:CLAIM_CHARACTERS])]
    return [who[:80] for who in (*authors, *lines) if who][:CLAIMS]


def mismatches(student: str, claims: Iterable[tuple[str, str]], names: Names) -> list[str]:
    """A line for every claim (where, who) that means somebody else of the class."""
    found = []
    for where, who in dict.fromkeys(claims):
        meant = names.meant_by(who)
        if meant and student not in meant:
            found.append(f"{where} says {who!r}: that is {', '.join(sorted(meant))}, not {student}")
    return found
