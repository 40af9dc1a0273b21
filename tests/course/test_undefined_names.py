"""Undefined names: the linter is told to ignore them, since it takes the shape "text" for a forward reference."""

import json
import subprocess
import sys
from pathlib import Path

from utils.course.lessons import ROOT


def undefined_names(*paths: Path) -> list[str]:
    """What ruff's F821 finds, without names that follow a quotation mark: those are shapes."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "F821",
        "--output-format",
        "json",
    ]
    run = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    found = []
    for problem in json.loads(run.stdout):
        row, column = problem["location"]["row"], problem["location"]["column"]
        line = Path(problem["filename"]).read_text(encoding="utf-8").split("\n")[row - 1]
        if line[: column - 1][-1:] not in ('"', "'"):
            found.append(f"{problem['filename']}:{row}: {problem['message']}")
    return found


def test_no_name_is_undefined():
    sources = [path for folder in ("utils", "tests", "solutions") for path in (ROOT / folder).rglob("*.py")]
    # What an attack uses to forge a reply is put before it where it is run.
    assert undefined_names(*(path for path in sources if path.parent.name != "attacks")) == []


def test_an_undefined_name_is_found_and_a_shape_is_not(tmp_path):
    module = tmp_path / "module.py"
    module.write_text('def f(x: Float[Tensor, "text"]) -> str:\n    return f"{x} {missing}"\n')
    found = [line.rpartition(": ")[2] for line in undefined_names(module)]
    assert found == ["Undefined name `Float`", "Undefined name `Tensor`", "Undefined name `missing`"]
