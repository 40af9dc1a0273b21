"""The folder that a run of `grade` writes to: held by one run at a time, with the run's facts in grades.json."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from utils.course.errors import CourseError
from utils.storage import atomic_write

PACKAGES = ("torch", "numpy", "scikit-learn", "transformer-lens")


@contextmanager
def held(grades: Path) -> Iterator[None]:
    """Make the folder and hold it for this run. What a killed run was writing is cleared away."""
    (grades / "results").mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(grades / ".lock", timeout=0):
            for folder in (grades, grades / "results", grades / "collected"):
                for pattern in (".*.json.*", ".*.ipynb.*", ".*.py.*"):
                    for path in folder.glob(pattern):
                        shutil.rmtree(path, ignore_errors=True)
            yield
    except Timeout:
        raise CourseError(
            f"another run is grading into {grades}: wait for it, or name another folder"
        ) from None


def write_facts(grades: Path, facts: Mapping[str, object]) -> None:
    """What was run, and with what."""
    versions = {"python": platform.python_version(), **_versions()}
    atomic_write(
        grades / "grades.json", json.dumps({"schema": 1, **facts, "versions": versions}, indent=1) + "\n"
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
