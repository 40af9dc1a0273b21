"""What one grading run left behind: one result a student, read and held against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.results import Result, read_results, safe_name
from utils.course.text import readable


@dataclass(frozen=True)
class Grades:
    """The results of one assignment, in the order of the students' ids. `finished`: no run was stopped half-way."""

    folder: Path
    assignment: str
    results: Sequence[Result]
    finished: bool = True


def load_grades(folder: Path) -> Grades:
    """Read every result of a run. Raises CourseError where there is none, where one is unreadable, where they mix."""
    results = sorted(read_results(folder), key=lambda result: (result.student.casefold(), result.student))
    if not results:
        raise CourseError(
            f"{folder} holds no results: python -m utils.course grade SUBMISSIONS --assignment DIR --out {folder}"
        )
    assignments = sorted({result.assignment for result in results})
    if len(assignments) > 1:
        names = readable(", ".join(assignments))
        raise CourseError(
            f"{folder} mixes results of several assignments ({names}): keep one folder for each"
        )
    for one, next_one in pairwise(results):
        if one.student == next_one.student:
            raise CourseError(
                f"{folder} has two results of {readable(one.student)!r}: delete one and grade again"
            )
    return Grades(folder, assignments[0], results, _is_finished(folder))


def _is_finished(folder: Path) -> bool:
    try:
        facts = json.loads((folder / "grades.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not (isinstance(facts, dict) and facts.get("finished", "") is None)


def page_name(result: Result) -> str:
    """The file name of a student's page."""
    return f"{safe_name(result.student)}.html"
