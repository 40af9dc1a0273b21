"""Scores for Canvas: the gradebook that the instructor exported, with the assignment's column filled in.

Canvas takes the file back under Grades → Import. Students are matched by an identifier, never by a name that looks
alike; whoever cannot be matched is listed and left alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.reports.grades import Grades
from utils.course.grading.reports.pages import number
from utils.course.grading.reports.spreadsheet import safe_cell
from utils.course.grading.results import Result

IDENTIFIERS = ("ID", "SIS User ID", "SIS Login ID", "Integration ID")
# "lovelaceada_12345": a student as Canvas names a download. The number is their ID, and the name has to fit as well.
DOWNLOADED = re.compile(r"(?P<name>[^_]+)_(?P<user>\d+)")
# Columns that Canvas computes itself; older versions look for them at the end of a row, so a new one goes before them.
TOTALS = re.compile(r"(Current|Final|Override) (Score|Points|Grade|Status)")


@dataclass(frozen=True)
class Filled:
    """The gradebook's new text, how many scores it got, and what the instructor should know."""

    text: str
    count: int
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]
    without_result: tuple[str, ...]
    notes: tuple[str, ...]


def fill_gradebook(
    gradebook: Path,
    grades: Grades,
    column: str | None = None,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> Filled:
    """Fill the column called `column` (default: the assignment's id), or add it.

    aliases: other identifiers of a student, by the id in the results: a roster's. Every other cell stays as it is; one
    that a spreadsheet would take for a formula gets an apostrophe, identifiers excepted.
    Raises CourseError where the file is no export of Canvas's gradebook, or has two columns of that name.
    """
    rows, delimiter = _read(gradebook)
    points = max(result.points for result in grades.results)
    at, notes = _column(gradebook, rows, column or grades.assignment, points)
    by_identifier = _rows_by_identifier(rows)
    matched: dict[int, list[Result]] = defaultdict(list)
    unmatched, ambiguous = [], []
    for result in grades.results:
        names = [result.student, *(aliases or {}).get(result.student, ())]
        places = {place for name in names for place in by_identifier.get(_key(name), ())}
        places |= _downloaded(result.student, rows)
        if len(places) == 1:
            matched[places.pop()].append(result)
        else:
            (ambiguous if places else unmatched).append(result.student)
    count = 0
    for place, results in matched.items():
        if len(results) > 1:
            ambiguous += [result.student for result in results]
        else:
            rows[place][at] = number(results[0].score)
            count += 1
    students = {place for places in by_identifier.values() for place in places}
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(rows[0])
    for row in rows[1:]:
        writer.writerow(_safe(cell, name) for cell, name in zip(row, rows[0], strict=True))
    return Filled(
        text=text.getvalue(),
        count=count,
        unmatched=tuple(unmatched),
        ambiguous=tuple(ambiguous),
        without_result=tuple(rows[place][0].strip() for place in sorted(students - matched.keys())),
        notes=tuple(notes),
    )


def _read(gradebook: Path) -> tuple[list[list[str]], str]:
    """The rows, all as long as the header, and the delimiter: Canvas writes `;` for some languages."""
    try:
        text = gradebook.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(
            f"{gradebook} cannot be read ({error}): export the gradebook from Canvas as CSV"
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error as error:
        raise CourseError(f"{gradebook} is no CSV file ({error})") from error
    if not rows or "Student" not in rows[0] or not any(name in rows[0] for name in IDENTIFIERS):
        raise CourseError(
            f"{gradebook} is no gradebook exported from Canvas: its first row names no Student and no ID"
        )
    width = len(rows[0])
    if any(len(row) > width for row in rows):
        raise CourseError(f"{gradebook} has rows longer than its first one: export it again")
    return [[*row, *[""] * (width - len(row))] for row in rows], delimiter


def _column(gradebook: Path, rows: list[list[str]], name: str, points: float) -> tuple[int, list[str]]:
    """The index of the column to fill, which is added where there is none, and notes."""
    header = rows[0]
    # Canvas writes "Probing (12345)" for the assignment that it knows by that number.
    found = [i for i, title in enumerate(header) if re.sub(r" \(\d+\)$", "", title.strip()) == name]
    if len(found) > 1:
        raise CourseError(
            f"{gradebook} has {len(found)} columns called {name!r}: name one with --canvas-column"
        )
    possible = next((row for row in rows[1:] if row[0].strip() == "Points Possible"), None)
    if found:
        theirs = possible[found[0]].strip() if possible else ""
        if theirs and theirs not in (number(points), f"{points:.1f}", f"{points:.2f}"):
            note = f"Canvas has {theirs} points for {name!r}, the assignment {number(points)}: scores stay as they are"
            return found[0], [note]
        return found[0], []
    at = len(header)
    while at and TOTALS.search(header[at - 1]):
        at -= 1
    for row in rows:
        row.insert(at, name if row is header else number(points) if row is possible else "")
    return at, [f"the column {name!r} is new: Canvas will ask whether to make the assignment"]


def _rows_by_identifier(rows: list[list[str]]) -> dict[str, set[int]]:
    columns = [i for i, name in enumerate(rows[0]) if name.strip() in IDENTIFIERS]
    found: dict[str, set[int]] = defaultdict(set)
    for place, row in enumerate(rows[1:], start=1):
        for column in columns:
            if row[column].strip():
                found[_key(row[column])].add(place)
    return found


def _downloaded(student: str, rows: list[list[str]]) -> set[int]:
    found, header = DOWNLOADED.fullmatch(student), [name.strip() for name in rows[0]]
    if found is None or "ID" not in header:
        return set()
    user, name = header.index("ID"), header.index("Student")
    return {
        place
        for place, row in enumerate(rows[1:], start=1)
        if row[user].strip() == found["user"] and _letters(row[name]) == _letters(found["name"])
    }


def _letters(name: str) -> str:
    return "".join(re.findall(r"[^\W_]+", name.casefold()))


def _key(identifier: str) -> str:
    return identifier.strip().casefold()


def _safe(cell: str, column: str) -> str:
    return (
        cell
        if column.strip() in IDENTIFIERS or safe_cell(cell) == " ".join(cell.split())
        else safe_cell(cell)
    )
