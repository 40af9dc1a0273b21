"""The instructor's commands: their options here, their work in modules that are imported when it is wanted."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError


def add_commands(commands: Any) -> None:
    """Add `assign`, `grade`, `report` and `bundle` to the course's command line."""
    assign = commands.add_parser("assign", help="write what students get, and the instructor's half")
    assign.add_argument("lessons", nargs="+", metavar="LESSON", help="lessons or chapters")
    assign.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder, or an assignment"
    )
    assign.add_argument("--points", type=Path, metavar="FILE", help="TOML: exercise = points")
    assign.add_argument("--due", metavar="DATE", help="2030-01-31 or 2030-01-31T18:00; late work is marked")
    assign.add_argument("--edition", choices=("graded", "self-study"), default="graded")
    assign.set_defaults(run=_assign)

    grade = commands.add_parser("grade", help="grade what students handed in")
    grade.add_argument(
        "submissions", type=Path, metavar="SUBMISSIONS", help="a folder, a zip, an LMS download"
    )
    grade.add_argument("--assignment", type=Path, required=True, metavar="DIR", help="what `assign` wrote")
    grade.add_argument(
        "--out", type=Path, required=True, metavar="GRADES", help="results; a second run goes on"
    )
    grade.add_argument(
        "--jobs", type=int, default=_cores(), metavar="N", help="processes; default: one a core"
    )
    grade.add_argument("--scheduler", metavar="tcp://…", help="a Dask scheduler, instead of --jobs")
    grade.add_argument("--seed-file", type=Path, metavar="FILE", help="default: the assignment's secret seed")
    grade.add_argument("--hidden", type=Path, metavar="DIR", help="further checks: DIR/ch1_…/test_part1_….py")
    grade.add_argument("--sandbox", choices=("full", "uid", "none"), default="full")
    grade.add_argument("--roster", type=Path, metavar="FILE", help="CSV of the class: student, name, …")
    grade.add_argument("--force", action="store_true", help="grade again what has a result")
    grade.set_defaults(run=_grade)

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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _assign(options: argparse.Namespace) -> int:
    from utils.course.grading.assignment.assign import assign
    from utils.course.grading.assignment.manifest import manifest_path, parse_due

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


def _grade(options: argparse.Namespace) -> int:
    from utils.course.grading.grade import Run, grade

    if options.jobs < 1:
        raise CourseError(f"--jobs {options.jobs}: expected 1 or more")
    run = Run(
        options.submissions,
        options.assignment,
        options.out,
        options.jobs,
        options.scheduler,
        options.seed_file,
        options.hidden,
        options.sandbox,
        options.roster,
        options.force,
    )
    try:
        summary = grade(run)
    except KeyboardInterrupt:
        print("Stopped. What is graded is kept: run the same command again to go on.", file=sys.stderr)
        return 130
    print(summary.report(options.out))
    return 0


def _report(options: argparse.Namespace) -> int:
    from utils.course.grading.reports.report import Wanted, report

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
    from utils.course.grading.gradescope.bundle import bundle

    for line in bundle(options.assignment, options.out):
        print(line)
    return 0
