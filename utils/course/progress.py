"""What a learner has done, borrowed and tried, one small file a lesson in the user's data folder."""

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from utils.course.lessons import Lesson, all_lessons
from utils.storage import atomic_write, data_folder

Status = Literal["done", "borrowed", "tried", "open"]


@dataclass
class Progress:
    """The status of every exercise that the learner has touched in one lesson."""

    path: Path
    exercises: dict[str, dict] = field(default_factory=dict)

    def status(self, exercise: str) -> Status:
        return self.exercises.get(exercise, {}).get("status", "open")

    def attempts(self, exercise: str) -> int:
        """Checks run on the exercise before it passed."""
        return self.exercises.get(exercise, {}).get("attempts", 0)

    def record_check(self, exercise: str, passed: bool, borrowed: bool = False) -> None:
        """Note one run of the exercise's checks. Once done it stays done; a borrowed answer does not count."""
        entry = self.exercises.setdefault(exercise, {"status": "open", "attempts": 0})
        if entry["status"] != "done":
            entry["attempts"] += not borrowed
            entry["status"] = "borrowed" if borrowed else "done" if passed else "tried"
        self._save(entry)

    def record_borrowed(self, exercise: str) -> None:
        """Note that the learner goes on with the reference implementation."""
        entry = self.exercises.setdefault(exercise, {"status": "open", "attempts": 0})
        if entry["status"] != "done":
            entry["status"] = "borrowed"
        self._save(entry)

    def _save(self, entry: dict) -> None:
        entry["when"] = datetime.now(UTC).isoformat(timespec="seconds")
        atomic_write(self.path, json.dumps(self.exercises, indent=1))


def load_progress(lesson: Lesson) -> Progress:
    """The learner's progress in a lesson. A file that cannot be read is set aside, not overwritten."""
    # The test suite and `build` run lessons too, and must not count as the learner's work.
    elsewhere = os.environ.get("PROBING_PROGRESS")
    folder = Path(elsewhere) if elsewhere else data_folder("progress")
    path = folder / lesson.chapter / f"{lesson.part}.json"
    if not path.exists():
        return Progress(path)
    try:
        exercises = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(exercises, dict) or not all(_is_entry(entry) for entry in exercises.values()):
            raise ValueError("not a table of exercises")
    except (ValueError, RecursionError):
        path.replace(path.with_suffix(".unreadable.json"))
        return Progress(path)
    return Progress(path, exercises)


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("status") in get_args(Status)
        and isinstance(entry.get("attempts"), int)
    )


def print_table() -> None:
    """One line a lesson: exercises done, borrowed and open, and the minutes that the open ones should take."""
    total_left = 0
    print(f"{'lesson':<44} {'done':>5} {'borrowed':>9} {'open':>5} {'time left':>10}")
    for lesson in all_lessons():
        progress, minutes = load_progress(lesson), exercise_minutes(lesson)
        names = [exercise.name for exercise in lesson.exercises()]
        count = {
            status: [n for n in names if progress.status(n) == status] for status in ("done", "borrowed")
        }
        still_open = [name for name in names if name not in count["done"] + count["borrowed"]]
        left = sum(minutes.get(name, 0) for name in still_open)
        total_left += left
        row = f"{len(count['done']):>5} {len(count['borrowed']):>9} {len(still_open):>5} {left:>6} min"
        print(f"{lesson.slug:<44} {row}")
    print(f"{'about ' + str(total_left) + ' minutes of exercises left':>77}")


def exercise_minutes(lesson: Lesson) -> dict[str, int]:
    """The minutes that the lesson's notebook gives each exercise ("## Exercise · `name`" … "10 minutes")."""
    if not lesson.exercise_notebook.exists():
        return {}
    try:
        cells = json.loads(lesson.exercise_notebook.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    except (ValueError, KeyError, TypeError, OSError):
        # It is the file that the learner works in: whatever became of it, the table is still wanted.
        return {}
    return {name: int(n) for name, n in re.findall(r"## Exercise · `(\w+)`\s+[^\n]*?(\d+) minutes", text)}
