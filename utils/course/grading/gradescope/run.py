"""What an autograder from `bundle` does with one submission, inside Gradescope's container.

`python -m utils.course.grading.gradescope.run ROOT`, where ROOT is /autograder: it holds `submission`, the bundle as
`source`, and `results`, which gets results.json. What is printed is for instructors only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import seed_path
from utils.course.grading.reports.class_summary import grader_failed
from utils.course.grading.reports.grades import load_grades
from utils.course.grading.reports.gradescope import SORRY, failed_run, gradescope_text
from utils.storage import atomic_write

# A sandbox that broke down once may well start the next time.
TRIALS = 2
MOST_FILES, LONGEST_PATH = 2000, 4000


def main(root: Path) -> int:
    """Grade the submission and write results.json: the result, or that the grader could not do it."""
    try:
        document = grade_one(root)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        document = json.dumps(failed_run(SORRY), indent=1)
    atomic_write(root / "results" / "results.json", document)
    return 0


def grade_one(root: Path) -> str:
    """The text of results.json. Raises CourseError where this container cannot sandbox, or the grader fails."""
    from utils.course.__main__ import main as course

    level = _level()
    metadata = _metadata(root)
    with tempfile.TemporaryDirectory() as scratch:
        submissions, grades = Path(scratch) / "submissions", Path(scratch) / "grades"
        _hand_over(root / "submission", submissions / _name(metadata), _moment(metadata))
        command = [
            "grade",
            str(submissions),
            "--assignment",
            str(root / "source" / "assignment"),
            "--out",
            str(grades),
            "--seed-file",
            str(_own_seed(root, metadata, Path(scratch))),
        ]
        for _ in range(TRIALS):
            code = course([*command, "--jobs", "1", "--sandbox", level])
            results = load_grades(grades).results
            if code or len(results) != 1:
                raise CourseError(
                    f"`grade` ended with exit code {code} and {len(results)} results; expected one"
                )
            if not any(map(grader_failed, results[0].lessons)):
                return gradescope_text(results[0])
        raise CourseError("; ".join(note for lesson in results[0].lessons for note in lesson.notes))


def _level() -> str:
    """The best sandbox that the container permits; none is not enough."""
    from utils.course.grading.sandbox.levels import available_level

    level, reason = available_level()
    print(f"Sandbox level: {level}. {reason}")
    if level == "none":
        raise CourseError(
            f"this container permits no sandbox ({reason}); the bundle grades at level uid at least"
        )
    return level


def _metadata(root: Path) -> dict[str, Any]:
    """What Gradescope says about the submission; nothing where it says nothing."""
    try:
        metadata = json.loads((root / "submission_metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _name(metadata: dict[str, Any]) -> str:
    """Whose the result is: Gradescope itself keeps names and results together."""
    return f"submission_{re.sub(r'[^0-9]', '', str(metadata.get('id', '')))[:20] or '0'}"


def _own_seed(root: Path, metadata: dict[str, Any], folder: Path) -> Path:
    """A seed for this upload alone, the same when it is graded again.

    Students may upload as often as they like, and read what the checks expected of them: with one seed for all, that
    would be a table of answers for the next upload.
    """
    path = folder / "seed"
    secret = seed_path(root / "source" / "assignment").read_text(encoding="utf-8")
    path.write_text(f"{secret.strip()}/{_name(metadata)}", encoding="utf-8")
    return path


def _moment(metadata: dict[str, Any]) -> float | None:
    """When it was handed in, in seconds since 1970."""
    try:
        return datetime.fromisoformat(str(metadata["created_at"])).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _hand_over(submission: Path, target: Path, moment: float | None) -> None:
    """Copy the regular files, with the time of the submission: the container's own file times mean nothing."""
    target.mkdir(parents=True)
    for path in _regular_files(submission):
        copy = target / path.relative_to(submission)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy, follow_symlinks=False)
        if moment is not None:
            os.utime(copy, (moment, moment))


def _regular_files(folder: Path) -> Iterator[Path]:
    """At most MOST_FILES of them; no link is followed. What they hold is for `grade` to judge."""
    count = 0
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place) / name
            if count < MOST_FILES and len(str(path)) < LONGEST_PATH and stat.S_ISREG(path.lstat().st_mode):
                count += 1
                yield path


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
