"""What a run of grading came to, in numbers and in what somebody should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.course.grading.results import Result

SHOWN = 10


@dataclass
class Summary:
    """Counts of a run, and what an instructor should look at.

    resumed: results that were there already. kept: those of students who are not in this batch.
    """

    students: int = 0
    resumed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    score: float = 0.0
    points: float = 0.0
    unreadable: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    ignored: Sequence[str] = ()
    changed: Sequence[str] = ()
    kept: int = 0

    def add(self, result: Result) -> None:
        self.students += 1
        self.counts["graded"] += "graded" in result.statuses
        self.counts["unreadable"] += result.unreadable
        self.counts["not submitted"] += result.statuses == {"not submitted"}
        self.counts["full marks"] += result.score >= result.points
        self.counts["late"] += result.late
        self.score += result.score
        self.points = result.points
        unread = [lesson for lesson in result.lessons if lesson.status == "unreadable"]
        reasons = dict.fromkeys(note for lesson in unread for note in lesson.notes[:1])
        self.unreadable += [f"{result.student}: {reason}" for reason in reasons]
        self.flagged += [f"{result.student}: {flag}" for flag in result.flags]

    @property
    def text(self) -> str:
        return ", ".join(f"{self.counts[key]} {key}" for key in ("graded", "unreadable", "full marks"))

    def report(self, grades: Path) -> str:
        """What the instructor reads at the end."""
        lines = [f"{self.students} students: {self.text}, {self.counts['late']} late, "]
        lines[0] += f"{self.counts['not submitted']} not submitted"
        if self.resumed:
            lines.append(f"{self.resumed} of them had their result already; --force grades them again.")
        if self.kept:
            lines.append(f"{self.kept} of them are of an earlier batch.")
        if self.changed:
            lines.append(f"Checks that have changed since they were assigned: {', '.join(self.changed)}")
        for title, rows in (
            ("Could not be read", self.unreadable),
            ("To look at", self.flagged),
            ("Left out, because nobody's", self.ignored),
        ):
            lines += [f"{title}:", *(f"  {row}" for row in rows[:SHOWN])] if rows else []
            lines += [f"  and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
        if self.students:
            lines.append(f"Mean score: {self.score / self.students:.1f} of {self.points:g}")
        lines.append(f"Results: {grades / 'results'}. Next: python -m utils.course report {grades} --html")
        return "\n".join(lines)
