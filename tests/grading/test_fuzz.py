"""A thousand files that are no submission: each becomes a "could not read", none a traceback, none stops the others."""

import json
import random
from pathlib import Path

import pytest
from classroom import LIGHT, HerePool, assignment, live, notebook, zipped

from utils.course.grading.grade import Run, grade
from utils.course.grading.results import read_results
from utils.course.lessons import Lesson

FILES = 1_000
GOOD = "def auroc(scores, labels):\n    return 1.0\n"


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(1, len(content) - 1)]


def broken_json(draw: random.Random) -> tuple[str, bytes]:
    return ".ipynb", truncated(notebook(GOOD).encode(), draw)


def other_json(draw: random.Random) -> tuple[str, bytes]:
    values = [
        None,
        [],
        {},
        3,
        "text",
        True,
        [[]],
        {"cells": []},
        {"nbformat": 4},
        {"nbformat": "x", "cells": []},
    ]
    values += [
        {"nbformat": 4, "cells": value} for value in (None, 3, {"a": 1}, [3], [None], [[]], [{}], "text")
    ]
    values += [
        {"nbformat": 4, "cells": [{"cell_type": "code", "source": value}]} for value in (None, 3, [3], [None])
    ]
    values += [
        {"nbformat": number, "worksheets": value} for number in (3, 2, 1, 0, -1) for value in (None, 3, [3])
    ]
    return ".ipynb", json.dumps(draw.choice(values)).encode()


def deep_json(draw: random.Random) -> tuple[str, bytes]:
    depth = draw.choice([2_000, 20_000, 200_000])
    opening = draw.choice(['{"cells": ', "[", '{"nbformat": 4, "cells": [', '{"a":'])
    return ".ipynb", opening.encode() * depth


def huge_numbers(draw: random.Random) -> tuple[str, bytes]:
    return ".ipynb", b'{"nbformat": %s, "cells": []}' % (b"9" * draw.choice([5_000, 100_000]))


def other_encoding(draw: random.Random) -> tuple[str, bytes]:
    encoding = draw.choice(["utf-16", "utf-32", "utf-16-be", "cp037", "cp500"])
    suffix, text = draw.choice([(".py", GOOD + "# é"), (".ipynb", notebook(GOOD, markdown="é"))])
    return suffix, text.encode(encoding, "replace")


def noise(draw: random.Random) -> tuple[str, bytes]:
    return draw.choice([".py", ".ipynb", ".zip"]), b"\xff" + draw.randbytes(draw.randrange(1, 3_000))


def no_python(draw: random.Random) -> tuple[str, bytes]:
    kinds = [
        "def f(:\n",
        "\t x\n  y = 1\n",
        "x = '\n",
        "(" * 5_000,
        "x = 1\0",
        "f(" * 300 + ")" * 299,
        "1" * 9_000 + "j j",
    ]
    kinds += ["if x:\n", "\\", "def auroc(a, a): pass\n" + "return )", "-" * 50_000 + "", "a = [" + "[" * 250]
    return ".py", (GOOD + draw.choice(kinds)).encode()


def bad_zip(draw: random.Random) -> tuple[str, bytes]:
    whole = zipped({"work.py": GOOD + "#" * 500, "more/part.ipynb": notebook(GOOD)})
    kind = draw.randrange(3)
    if kind == 0:
        return ".zip", truncated(whole, draw)
    if kind == 1:
        # Only the end of the directory is right.
        return ".zip", draw.randbytes(300) + whole[-22:]
    return ".zip", zipped({draw.choice(["../up.py", "a/readme.md", "b.zip", "/abs.py"]): GOOD})


def damaged_zip(draw: random.Random) -> tuple[str, bytes]:
    """The data of its only member is overwritten."""
    whole = bytearray(zipped({"work.py": draw.randbytes(400).hex()}))
    whole[40:80] = draw.randbytes(40)
    return ".zip", bytes(whole)


def empty(draw: random.Random) -> tuple[str, bytes]:
    return draw.choice([".ipynb", ".zip"]), b""


MAKERS = (
    broken_json,
    other_json,
    deep_json,
    huge_numbers,
    other_encoding,
    noise,
    no_python,
    bad_zip,
    damaged_zip,
    empty,
)


@pytest.mark.slow
def test_a_thousand_malformed_submissions(tmp_path):
    draw = random.Random(0)
    source = tmp_path / "class"
    source.mkdir()
    made = {}
    for number in range(FILES):
        maker = MAKERS[number % len(MAKERS)]
        suffix, content = maker(draw)
        name = f"s{number:04}"
        made[name] = maker.__name__
        (source / f"{name}{suffix}").write_bytes(content)
    (source / "good.py").write_text(Lesson(LIGHT).source.read_text(encoding="utf-8"), encoding="utf-8")
    homework = assignment(tmp_path / "hw")
    summary = grade(Run(source, homework, tmp_path / "grades", sandbox="none"), live, HerePool())
    found = {each.student: each for each in read_results(tmp_path / "grades")}
    assert found.keys() == {*made, "good"}
    assert found["good"].score == 1
    readable = [
        (name, made[name], found[name].lessons[0].notes) for name in made if not found[name].unreadable
    ]
    assert not readable
    assert summary.counts["unreadable"] == FILES
    for name in made:
        notes = found[name].lessons[0].notes
        assert notes
        assert not [
            note for note in notes if "Traceback" in note or "grading failed" in note or "\n" in note
        ], notes
        assert len(json.dumps(notes)) < 8_000
    _only_ours(tmp_path)


def _only_ours(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"class", "grades", "hw"}
    assert {path.name for path in (folder / "grades").iterdir() if path.name != ".lock"} == {
        "collected",
        "collected.json",
        "grades.json",
        "results",
    }
