"""The options of `report` and `bundle`; their work is imported when it is wanted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_report_commands(commands: Any) -> None:
    """Add `report` and `bundle` to the course's command line."""
    report = commands.add_parser("report", help="pages, gradebooks and uploads from graded results")
    report.add_argument("grades", type=Path, metavar="GRADES", help="the folder that `grade` wrote")
    report.add_argument("--html", action="store_true", help="class page and students' pages (the default)")
    report.add_argument("--gradescope", action="store_true", help="a results.json for each student")
    report.add_argument(
        "--canvas", type=Path, metavar="FILE", help="fill in a gradebook exported from Canvas"
    )
    report.add_argument(
        "--canvas-column", metavar="NAME", help="its assignment; default: the assignment's id"
    )
    report.add_argument(
        "--roster", type=Path, metavar="FILE", help="CSV of the class, with the identifiers that Canvas knows"
    )
    report.add_argument("--junit", type=Path, metavar="FILE", help="write all results as JUnit XML")
    report.set_defaults(run=_report)

    bundle = commands.add_parser("bundle", help="an autograder that runs elsewhere")
    bundle.add_argument("--gradescope", action="store_true", required=True, help="for Gradescope")
    bundle.add_argument("--assignment", type=Path, required=True, metavar="DIR", help="what `assign` wrote")
    bundle.add_argument("--out", type=Path, default=Path("autograder.zip"), metavar="FILE")
    bundle.set_defaults(run=_bundle)


def _report(options: argparse.Namespace) -> int:
    from utils.course.grading.report import Wanted, report

    wanted = Wanted(
        html=options.html,
        gradescope=options.gradescope,
        canvas=options.canvas,
        canvas_column=options.canvas_column,
        roster=options.roster,
        junit=options.junit,
    )
    return report(options.grades, wanted)


def _bundle(options: argparse.Namespace) -> int:
    from utils.course.grading.bundle import bundle

    for line in bundle(options.assignment, options.out):
        print(line)
    return 0
