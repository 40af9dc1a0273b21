"""`make grade-demo`: the whole loop on twenty made-up submissions, in under two minutes.

Assigns one lesson of chapter 1, writes what twenty students might hand in, grades them in parallel, writes every
report, and says whether each submission earned what it should.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.demo_submissions import DemoSubmission, demo_submissions
from utils.course.grading.reports.grades import Grades, load_grades
from utils.course.grading.reports.pages import number
from utils.course.lessons import Lesson
from utils.course.text import readable

LESSON = "ch1_probing_basics/part2_fit_probes"
ABSENT = "walter"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. 0 where everyone earned what they should, 1 where somebody did not."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.grading.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/grade-demo"), metavar="DIR")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--sandbox", choices=("full", "uid", "none"), help="default: the best there is")
    options = parser.parse_args(arguments)
    try:
        return demo(options.out, options.jobs, options.sandbox)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def demo(out: Path, jobs: int, sandbox: str | None = None) -> int:
    """Assign, hand in, grade, report; everything lands in `out`, which is emptied first."""
    start = time.monotonic()
    if out.exists() and any(out.iterdir()) and not (out / "assignment").is_dir():
        raise CourseError(f"{out} holds something that is no demo: name another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    assignment, submissions, grades = out / "assignment", out / "submissions", out / "grades"
    # To the second, as the manifest keeps it.
    due = float(int(time.time()) - 2 * 24 * 60 * 60)

    _step(f"assign {LESSON}", start)
    _course("assign", LESSON, "--out", assignment, "--due", datetime.fromtimestamp(due).isoformat())
    made = _hand_in(assignment, submissions, due)
    roster = out / "roster.csv"
    roster.write_text(
        "student\n" + "\n".join([*(each.student for each in made), ABSENT]) + "\n", encoding="utf-8"
    )

    level = sandbox or _level()
    _step(f"grade {len(made)} submissions, {jobs} at a time, sandbox {level}", start)
    _course("grade", submissions, "--assignment", assignment, "--out", grades, "--jobs", jobs,
            "--roster", roster, "--sandbox", level)  # fmt: skip

    _step("report", start)
    _course("report", grades, "--html", "--gradescope", "--junit", grades / "junit.xml")
    wrong = print_table(load_grades(grades), made, level)
    print(f"\nOpen {grades / 'class.html'} in a browser. All of it took {time.monotonic() - start:.0f} s.")
    return 1 if wrong else 0


def print_table(grades: Grades, made: Sequence[DemoSubmission], level: str) -> int:
    """One line a student: what was handed in, what it earned, the mistakes named. The number of surprises."""
    results = {result.student: result for result in grades.results}
    print(f"\n  {'student':<9} {'handed in':<58} {'points':>6}  recognised")
    surprises = 0
    for each in made:
        result = results.get(each.student)
        if result is None:
            surprises += 1
            print(f"✗ {each.student:<9} {each.about:<58} {'–':>6}  no result")
            continue
        earned = {exercise.name for exercise in result.exercises if exercise.passed}
        right = earned == each.passes and result.late == each.late
        # Without a sandbox an attack may well succeed: that is what the level's name says.
        surprises += not right and not (each.hostile and level == "none")
        named = ", ".join(exercise.mistake.name for exercise in result.exercises if exercise.mistake)
        notes = "; ".join(note for note in ("late" if result.late else "", named) if note)
        score = f"{number(result.score)}/{number(result.points)}"
        print(readable(f"{'✓' if right else '✗'} {each.student:<9} {each.about:<58} {score:>6}  {notes}"))
    print(f"\n{len(made) - surprises} of {len(made)} earned what they should.")
    return surprises


def _hand_in(assignment: Path, submissions: Path, due: float) -> list[DemoSubmission]:
    notebook = assignment / "student" / "chapters" / f"{LESSON}.ipynb"
    made = demo_submissions(Lesson(LESSON), notebook.read_text(encoding="utf-8"))
    for each in made:
        each.write(submissions, due)
    return made


def _level() -> str:
    from utils.course.grading.sandbox.levels import available_level

    level, reason = available_level()
    if level != "full":
        print(f"Not the full sandbox but {level}: {reason}")
    return level


def _course(*words: object) -> None:
    """One of the course's commands, as the instructor would type it."""
    from utils.course.__main__ import main as course

    code = course([str(word) for word in words])
    if code:
        raise CourseError(f"`{words[0]}` ended with exit code {code}")


def _step(what: str, start: float) -> None:
    print(f"\n── {time.monotonic() - start:5.1f} s · {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
