"""Grades as a plain CSV file, with cells that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from utils.course.grading.reports.grades import Grades
from utils.course.grading.results import Result
from utils.course.text import readable

# What Excel, LibreOffice or Sheets may take for the beginning of a formula; full-width forms count there too.
FORMULA = tuple("=+-@|%＝＋－＠")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


def safe_cell(value: object) -> str:
    """One cell's text: control characters escaped, line breaks as spaces, and no text that is taken for a formula.

    Numbers stay numbers; text that begins like a formula gets an apostrophe before it.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.10g}"
    text = " ".join(readable(str(value)).split())
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def class_csv(grades: Grades) -> str:
    """One row a student: score, points, what was late or read or flagged, and the points of each exercise."""
    columns = _columns(grades.results)
    header = [
        "student",
        "score",
        "points",
        "late",
        "status",
        "sandbox",
        "by hand",
        "flags",
        *columns.values(),
    ]
    return csv_text([header, *([*_facts(result), *_earned(result, columns)] for result in grades.results)])


def csv_text(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """CSV of safe cells."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(
        map(safe_cell, row) for row in rows
    )
    return stream.getvalue()


def _columns(results: Sequence[Result]) -> dict[tuple[str, str], str]:
    """Every exercise's column: its name, with the lesson before it where two lessons use one name."""
    keys = dict.fromkeys(
        (lesson.lesson, e.name) for r in results for lesson in r.lessons for e in lesson.exercises
    )
    times = Counter(name for _, name in keys)
    return {
        (lesson, name): name if times[name] == 1 else f"{lesson}: {name}"
        for lesson, name in sorted(keys, key=lambda key: key[0])
    }


def _facts(result: Result) -> list[object]:
    statuses = sorted(result.statuses)
    return [
        result.student,
        result.score,
        result.points,
        "late" if result.late else "",
        statuses[0] if len(statuses) == 1 else "partly " + " and ".join(statuses),
        result.sandbox,
        ", ".join(result.overridden or {}),
        "; ".join(result.flags),
    ]


def _earned(result: Result, columns: dict[tuple[str, str], str]) -> list[object]:
    earned = {(lesson.lesson, e.name): e.earned for lesson in result.lessons for e in lesson.exercises}
    return [earned.get(key, "") for key in columns]
