"""The command line: `python -m utils.course COMMAND`, for learners, instructors and authors; --help lists them."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from utils.course.errors import CourseError

if TYPE_CHECKING:
    from utils.course.lessons import Lesson


def main(arguments: list[str] | None = None) -> int:
    """Run one command. 0: fine; 1: something to mend (a failed check, a stale notebook); 2: bad input."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no ✓ gets an escape instead of a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as error:
        print(f"error: {error}; the course's packages are in .venv: use .venv/bin/python", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output has read enough (`| head`); the interpreter must not flush into the pipe either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (CourseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m utils.course", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="write the notebooks from their sources")
    build.add_argument("lessons", nargs="*", metavar="LESSON", help="lessons or chapters; default: all")
    build.add_argument(
        "--check", action="store_true", help="write nothing; fail where a notebook is out of date"
    )
    build.add_argument("--force", action="store_true", help="execute even where the source has not changed")
    build.set_defaults(run=_build)

    prove = commands.add_parser("prove", help="try every right answer under 200 seeds, where checks changed")
    prove.add_argument("lessons", nargs="*", metavar="LESSON", help="lessons or chapters; default: all")
    prove.add_argument("--force", action="store_true", help="try again what is proved already")
    prove.set_defaults(run=_prove)

    check = commands.add_parser("check", help="run a lesson's checks on a notebook or .py file")
    check.add_argument("lesson", metavar="LESSON", help="ch1_probing_basics/part2_fit_probes, or a chapter")
    check.add_argument(
        "--learner", type=Path, metavar="FILE", help="your notebook or .py; default: the solutions"
    )
    check.add_argument(
        "--isolated", action="store_true", help="run the learner's code in a process of its own"
    )
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.add_argument("--watch", action="store_true", help="check again whenever the file is saved")
    check.set_defaults(run=_check)

    commands.add_parser("progress", help="exercises done, borrowed, open; time left").set_defaults(
        run=_progress
    )
    commands.add_parser("doctor", help="can this machine run the course?").set_defaults(run=_doctor)

    # An assigned edition has no instructor's side.
    if importlib.util.find_spec("utils.course.grading") is not None:
        from utils.course.grading.commands import add_commands

        add_commands(commands)
    return parser


def _chosen(names: list[str]) -> list[Lesson]:
    from utils.course.lessons import all_lessons, find_lessons

    return [lesson for name in names for lesson in find_lessons(name)] or all_lessons()


def _build(options: argparse.Namespace) -> int:
    from utils.course.notebooks import build, problems

    chosen = _chosen(options.lessons)
    if options.check:
        found = [problem for lesson in chosen for problem in problems(lesson)]
        print("\n".join(found) or f"{len(chosen)} lessons are up to date.")
        return 1 if found else 0
    for lesson in chosen:
        print(f"{lesson.slug} …", end=" ", flush=True)
        run = build(lesson, options.force)
        print("up to date" if run is None else f"{run.seconds:.0f} s, {run.peak_megabytes} MB at most")
    return 0


def _prove(options: argparse.Namespace) -> int:
    from utils.course.proofs import is_proved, prove

    stale = [lesson for lesson in _chosen(options.lessons) if options.force or not is_proved(lesson)]
    found = [problem for lesson in stale for problem in prove(lesson)]
    print("\n".join(found) or f"{len(stale)} lessons tried; all are proved.")
    return 1 if found else 0


def _check(options: argparse.Namespace) -> int:
    from utils.course.terminal import check_command, watch

    if options.watch and (options.learner is None or options.json):
        print("error: --watch needs --learner FILE, and prints no JSON", file=sys.stderr)
        return 2
    if options.watch:
        return watch(options.lesson, options.learner, options.isolated)
    return check_command(options.lesson, options.learner, options.isolated, options.json)


def _progress(options: argparse.Namespace) -> int:
    from utils.course.progress import print_table

    print_table()
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from utils.course.doctor import report

    return report()


def _exit(code: int) -> NoReturn:
    """Leave at once where the learner's code has left threads behind: Python would wait for them for ever."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _exit(main())
