"""Which file is the work for which lesson, and that the order, the number and the labels of cells mean nothing."""

from pathlib import Path

import pytest
from classroom import notebook

from utils.course.exercises import Exercise
from utils.course.grading.intake import extract
from utils.course.grading.intake.extract import works
from utils.course.grading.plan import PlannedLesson
from utils.course.lessons import Lesson
from utils.course.submissions import read_submission


def planned(slug: str, *exercises: str) -> PlannedLesson:
    return PlannedLesson(Lesson(slug), tuple(Exercise(name, 1, ()) for name in exercises))


ONE, TWO = planned("ch1_a/part1_read", "f", "g"), planned("ch1_a/part2_fit", "h")


def chosen(tmp_path: Path, files: dict, lessons=(ONE, TWO), problems=()) -> tuple[dict, dict]:
    """By lesson, the name of the file that was taken, and the notes; files are in the order of their age."""
    listed = []
    for number, (name, content) in enumerate(files.items()):
        path = tmp_path / f"{number}{Path(name).suffix}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        listed.append((name, path))
    found = works(listed, problems, lessons)
    names = {slug: work.submission and work.submission.name for slug, work in found.items()}
    return names, {slug: " | ".join(work.notes) for slug, work in found.items()}


def define(*names: str) -> str:
    return "".join(f"def {name}():\n    return 1\n" for name in names)


def test_by_name(tmp_path):
    names, _ = chosen(
        tmp_path, {"part2_fit.ipynb": notebook(define("f")), "ada_part1-read (2).py": define("h")}
    )
    assert names == {"ch1_a/part1_read": "ada_part1-read (2).py", "ch1_a/part2_fit": "part2_fit.ipynb"}


def test_by_what_is_defined(tmp_path):
    names, _ = chosen(tmp_path, {"a.py": define("h"), "b.ipynb": notebook("import math", define("g"))})
    assert names == {"ch1_a/part1_read": "b.ipynb", "ch1_a/part2_fit": "a.py"}
    names, _ = chosen(tmp_path, {"all.py": define("f", "h")})
    assert set(names.values()) == {"all.py"}
    assert len(names) == 2


def test_the_newest_counts(tmp_path):
    names, notes = chosen(tmp_path, {"part2_fit.py": define("h"), "part2_fit-1.py": define("h")})
    assert names == {"ch1_a/part2_fit": "part2_fit-1.py"}
    assert "2 files are for this lesson; the newest was graded, part2_fit-1.py" in notes["ch1_a/part2_fit"]
    # One that is named after the lesson counts before one that is not, however new.
    names, _ = chosen(tmp_path, {"part2_fit.py": define("h"), "scratch.py": define("h")})
    assert names == {"ch1_a/part2_fit": "part2_fit.py"}


def test_chapters_tell_apart_what_is_named_alike(tmp_path):
    lessons = (planned("ch1_a/part1_read", "f"), planned("ch2_b/part1_read", "h"))
    names, _ = chosen(tmp_path, {"ch2_b/part1_read.py": "", "ch1_a/part1_read.py": ""}, lessons)
    assert names == {"ch1_a/part1_read": "ch1_a/part1_read.py", "ch2_b/part1_read": "ch2_b/part1_read.py"}


def test_the_only_lesson_needs_no_sign(tmp_path):
    names, _ = chosen(tmp_path, {"x.ipynb": notebook()}, (ONE,))
    assert names == {"ch1_a/part1_read": "x.ipynb"}


def test_nothing_to_do_with_it(tmp_path):
    names, notes = chosen(tmp_path, {"x.py": define("other")})
    assert set(names.values()) == {None}
    assert "no exercise of this assignment is defined in x.py" in notes["ch1_a/part1_read"]
    assert chosen(tmp_path, {}) == ({}, {})


def test_unreadable(tmp_path):
    names, notes = chosen(tmp_path, {"part1_read.ipynb": "{", "part2_fit.py": define("h")})
    assert names == {"ch1_a/part1_read": None, "ch1_a/part2_fit": "part2_fit.py"}
    assert "not JSON" in notes["ch1_a/part1_read"]
    # A newer one that cannot be read does not hide an older one that can.
    names, notes = chosen(tmp_path, {"part2_fit.py": define("h"), "part2_fit-1.py": b"\xff"})
    assert names == {"ch1_a/part2_fit": "part2_fit.py"}
    assert "UTF-8" in notes["ch1_a/part2_fit"]
    _, notes = chosen(tmp_path, {}, problems=["x.zip: damaged"])
    assert notes == {"ch1_a/part1_read": "x.zip: damaged", "ch1_a/part2_fit": "x.zip: damaged"}


def test_what_takes_too_long_or_is_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "READ_SECONDS", 0.5)
    # One look at every line for every magic.
    slow = notebook("!ls\n" * 20_000)
    _, notes = chosen(tmp_path, {"part1_read.ipynb": slow, "part2_fit.py": "# " + "x" * (2 << 20)})
    assert "takes longer" in notes["ch1_a/part1_read"]
    assert "larger than 1 MB" in notes["ch1_a/part2_fit"]


@pytest.mark.parametrize(
    "cells",
    [
        ["def f():\n    return 0", "def f():\n    return 1"],
        ["def g():\n    return 2", "def f():\n    return 1"],
        ["# points: 100\n### BEGIN HIDDEN TESTS\ndef f():\n    return 1\n### END HIDDEN TESTS"],
        ["def f():\n    return 1", "def f(:"],
    ],
    ids=["twice", "moved", "retagged", "broken copy"],
)
def test_cells_mean_nothing(tmp_path, cells):
    """B15: duplicated, moved, retagged and deleted cells; the name is what counts, and the last definition of it."""
    path = tmp_path / "part1_read.ipynb"
    path.write_text(notebook(*cells, nbgrader={"points": 100, "grade": True}))
    assert read_submission(path).namespace()["f"]() == 1
    names, _ = chosen(tmp_path, {"part1_read.ipynb": path.read_text()})
    assert names == {"ch1_a/part1_read": "part1_read.ipynb"}
