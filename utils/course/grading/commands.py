"""The instructor's commands: their options here, their work in modules that are imported when it is wanted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add `assign` and `grade` to the course's command line."""
    assign = commands.add_parser("assign", help="write what students get, and the instructor's half")
    assign.add_argument("lessons", nargs="+", metavar="LESSON", help="lessons or chapters")
    assign.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder, or an assignment"
    )
    assign.add_argument("--points", type=Path, metavar="FILE", help="TOML: exercise = points")
    assign.add_argument("--due", metavar="DATE", help="2030-01-31 or 2030-01-31T18:00; late work is marked")
    assign.add_argument("--edition", choices=("graded", "self-study"), default="graded")
    assign.set_defaults(run=_assign)


def _assign(options: argparse.Namespace) -> int:
    from utils.course.grading.assign import assign
    from utils.course.grading.manifest import manifest_path, parse_due

    due = parse_due(options.due) if options.due else None
    assigned = assign(options.lessons, options.out, options.points, due, options.edition)
    exercises = [each for lesson in assigned.manifest.lessons for each in lesson.exercises]
    hidden = sum(len(exercise.hidden) for exercise in exercises)
    print(f"For students:  {assigned.student} and {assigned.archive}")
    print(f"For you alone: {manifest_path(options.out).parent} (manifest, secret seed)")
    print(
        f"{len(exercises)} exercises, {assigned.manifest.points:g} points; "
        f"{hidden} checks are hidden from students."
    )
    return 0
