"""A learner's file is read for its definitions; nothing else of it runs."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from utils.course.submissions import UnreadableSubmission, read_submission


def notebook(tmp_path, *cells):
    path = tmp_path / "work.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def script(tmp_path, text):
    path = tmp_path / "work.py"
    path.write_text(text)
    return path


def test_only_definitions_run(tmp_path):
    marker = tmp_path / "ran"
    text = f"""import math
SIZE = (2, 3)
open({str(marker)!r}, "w")
model = open({str(marker)!r}, "w")
def f():
    return SIZE, math.pi
"""
    namespace = read_submission(script(tmp_path, text)).namespace()
    assert not marker.exists()
    assert "model" not in namespace
    assert namespace["f"]()[0] == (2, 3)


def test_values_of_what_was_left_behind_are_left_behind_too(tmp_path):
    text = """model = load_language_model()
n_layers = model.cfg.n_layers
middle = n_layers // 2
def f(layer=middle):
    return layer
def g():
    return 1
"""
    submission = read_submission(script(tmp_path, text))
    assert set(submission.namespace()) == {"__name__", "g"}
    # A function that could not be defined is worth a note: its checks would only say that it is missing.
    assert len(submission.notes) == 1
    assert "line 4" in submission.notes[0]


def test_last_definition_wins(tmp_path):
    path = notebook(tmp_path, "def f():\n    return 1", "def f():\n    return 2")
    assert read_submission(path).namespace()["f"]() == 2


def test_magics_are_left_out_with_a_note(tmp_path):
    path = notebook(
        tmp_path,
        "%matplotlib inline\n!rm -rf x\nf?\ndef f():\n    %time pass\n    return 1",
        "%%bash\nls",
        "%%time\ndef g(): return 2",
    )
    submission = read_submission(path)
    namespace = submission.namespace()
    assert namespace["f"]() == 1
    assert namespace["g"]() == 2
    assert len(submission.notes) == 6
    assert any("rm -rf" in note for note in submission.notes)


def test_what_only_looks_like_a_magic_stays(tmp_path):
    path = notebook(
        tmp_path,
        "%time x = 1\nfiles = !ls\nREST = (\n    7\n    % 4\n)\nTEXT = '''\n! keep\n%this\n?too\n'''\n"
        "def f(a, b):\n    return (\n        a\n        != b\n    )",
    )
    submission = read_submission(path)
    namespace = submission.namespace()
    assert namespace["REST"] == 3
    assert namespace["TEXT"] == "\n! keep\n%this\n?too\n"
    assert namespace["f"](1, 2)
    assert len(submission.notes) == 2


def test_a_real_mistake_is_no_magic(tmp_path):
    submission = read_submission(notebook(tmp_path, "%time x\ndef f(:\n    !ls"))
    assert "line 2" in submission.notes[-1]


def test_lines_as_python_counts_them(tmp_path):
    path = script(tmp_path, "A = 'one\x0ctwo\u2028three'\n\x0c\ndef f():\n    return A\n")
    assert read_submission(path).namespace()["f"]() == "one\x0ctwo\u2028three"


def test_lambdas_come_along(tmp_path):
    text = "square = lambda x: pow(x, 2)\nlate = lambda x=open('no'): x\ndef f(x):\n    return square(x)\n"
    namespace = read_submission(script(tmp_path, text)).namespace()
    assert namespace["f"](3) == 9
    assert "late" not in namespace


def test_annotations_that_are_not_evaluated(tmp_path):
    text = """from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from nowhere import Tensor
@dataclass
class Box:
    side: Tensor
def f(box: Tensor) -> Tensor:
    return Box(box)
"""
    submission = read_submission(script(tmp_path, text))
    assert submission.namespace()["f"](2).side == 2
    assert submission.notes == []


def test_definitions_inside_if_and_try(tmp_path):
    text = """try:
    import no_such_package
except ImportError:
    no_such_package = None
if no_such_package is None:
    def f():
        return 1
else:
    pass
if open("no"):
    def g():
        return 2
if __name__ == "__main__":
    raise SystemExit
"""
    submission = read_submission(script(tmp_path, text))
    namespace = submission.namespace()
    assert namespace["f"]() == 1
    assert "g" not in namespace
    assert submission.notes == []


def test_only_names_are_assigned(tmp_path):
    text = "import math\nmath.pi = 3\n(math.e, x) = 3, 3\n[a, *b] = 1, 2\n(c, (d, *e)) = 1, (2, 3)\n"
    namespace = read_submission(script(tmp_path, text)).namespace()
    assert namespace["math"].pi > 3.1
    assert namespace["math"].e < 2.8
    assert namespace["e"] == [3]


@pytest.mark.parametrize(
    "how",
    ["import sys; sys.exit(0)", "raise BaseException", "print('noise')", "while True: pass"],
)
def test_definitions_can_do_no_harm(tmp_path, monkeypatch, capsys, how):
    monkeypatch.setattr("utils.course.submissions.DEFINITION_SECONDS", 0.1)
    submission = read_submission(script(tmp_path, f"class A:\n    {how}\ndef f():\n    return 1\n"))
    assert submission.namespace()["f"]() == 1
    assert capsys.readouterr().out == ""
    assert len(submission.notes) == ("print" not in how)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "work.py")
    with pytest.raises(UnreadableSubmission, match="not a file"):
        read_submission(tmp_path / "work.py")


def test_a_broken_cell_costs_only_itself(tmp_path):
    submission = read_submission(notebook(tmp_path, "def f(:", "def g():\n    return 1"))
    assert submission.namespace()["g"]() == 1
    assert "code cell 1" in submission.notes[0]
    assert "line 1" in submission.notes[0]


def test_a_failing_definition_costs_only_itself(tmp_path):
    submission = read_submission(script(tmp_path, "def f(x=nothing):\n    pass\ndef g():\n    return 1\n"))
    assert submission.namespace()["g"]() == 1
    assert "nothing" in submission.notes[0]


def test_statements_that_share_a_line(tmp_path):
    submission = read_submission(script(tmp_path, "A = 1; print('no'); B = 2\n"))
    assert submission.namespace().keys() >= {"A", "B"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("work.py", b"def f(:\n", "line 1"),
        ("work.py", b"\xff\xfe\x00", "UTF-8"),
        ("work.py", b"x = 1\x00", "null bytes"),
        ("work.ipynb", b"not json", "not JSON"),
        ("work.ipynb", b"[]", "not a notebook"),
        ("work.ipynb", b'{"cells": 3}', "not a notebook"),
        ("work.ipynb", b"[" * 100_000, "not JSON"),
        ("work.txt", b"hello", "expected a notebook"),
    ],
)
def test_unreadable_files_get_one_line(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableSubmission, match=says) as caught:
        read_submission(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UnreadableSubmission, match="No such file"):
        read_submission(tmp_path / "nothing.py")


def test_bom_and_old_notebooks(tmp_path):
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {},
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": "def f():\n    return 1",
                        "language": "python",
                        "outputs": [],
                    }
                ]
            }
        ],
    }
    path = tmp_path / "old.ipynb"
    path.write_text("\ufeff" + json.dumps(old), encoding="utf-8")
    assert read_submission(path).namespace()["f"]() == 1


@pytest.mark.slow
def test_first_import_from_c_works(tmp_path):
    """C code imports through the calling function's globals: torch.tensor does, the first time in a process."""
    work = script(tmp_path, "import torch\ndef f():\n    return torch.tensor([1, 2])\n")
    code = (
        "import pathlib, sys; from utils.course.submissions import read_submission\n"
        "namespace = read_submission(pathlib.Path(sys.argv[1])).namespace()\n"
        "assert '__builtins__' not in namespace\n"
        "print(namespace['f']().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, work], capture_output=True, text=True, check=False)
    assert done.stdout == "[1, 2]\n", done.stderr
