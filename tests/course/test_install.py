"""The set-up runs in any Python, to say that it is too old, and mends what an interrupt left behind."""

import ast
import subprocess
import sys
import venv

import pytest

from utils.course import install
from utils.course.lessons import ROOT


def test_old_pythons_can_read_it():
    """macOS brings Python 3.9: the annotations must not be evaluated."""
    tree = ast.parse((ROOT / "utils/course/install.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


@pytest.mark.slow
def test_half_an_environment_is_completed(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    venv.create(install.VENV, with_pip=False)
    (install.VENV / "keep").write_text("")
    install.make_environment()
    subprocess.run([install.environment_python(), "-m", "pip", "--version"], check=True, capture_output=True)
    assert (install.VENV / "keep").exists()
    assert sys.prefix != str(install.VENV)
