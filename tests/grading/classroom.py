"""What the tests of grading share: small assignments, answers, and a way to grade harmless ones without a worker.

Also imported by the processes that the tests start, hence a module and no fixtures.
"""

import io
import json
import os
import time
import zipfile
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from utils.course.grading.assignment.manifest import (
    AssignedExercise,
    AssignedLesson,
    Limits,
    Manifest,
    write_manifest,
    write_seed,
)

LIGHT = "ch1_probing_basics/part3_doubt_your_probe"

# Workers of another process of this test run must not have the same users.
FIRST_SLOT = 40 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])

RIGHT_AUROC = """
import torch

def auroc(scores, labels):
    if labels.all() or not labels.any():
        raise ValueError("both classes must occur")
    ahead = scores[labels][:, None] - scores[~labels][None, :]
    return float((ahead > 0).double().mean() + (ahead == 0).double().mean() / 2)
"""
RIGHT_SELECTIVITY = """
def selectivity(fit, acts, labels, control, test_acts, test_labels, test_control):
    raise NotImplementedError("selectivity is yours to write")
"""
WRONG_AUROC = RIGHT_AUROC.replace("> 0", "< 0")
STUB = 'def auroc(scores, labels):\n    raise NotImplementedError("auroc is yours to write")\n'


def assignment(
    folder: Path, exercises=("auroc",), slug: str = LIGHT, due=None, limits=None, keep_out=()
) -> Path:
    """An assignment of a few exercises of one lesson, without the students' half."""
    from utils.course.grading.assignment.assign import checks_hash
    from utils.course.lessons import Lesson

    lesson = Lesson(slug)
    assigned = []
    for name in exercises:
        exercise = lesson.exercise(name)
        checks = tuple(check.name for check in exercise.checks if check.name not in keep_out)
        assigned.append(AssignedExercise(name, float(exercise.points), checks))
    lessons = (AssignedLesson(slug, checks_hash(lesson), "", tuple(assigned)),)
    write_manifest(folder, Manifest(folder.name, "graded", lessons, due, limits or Limits()))
    write_seed(folder)
    return folder


def notebook(*cells: str, markdown: str = "", **metadata) -> str:
    """The text of a notebook with these code cells."""
    made = [{"cell_type": "markdown", "metadata": {}, "source": markdown}] if markdown else []
    made += [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for cell in cells
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made})


def zipped(files: dict, mode: int = 0o100644) -> bytes:
    """A zip with these members; a name may be anything."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2030, 1, 1, 12, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


@contextmanager
def live(submission, guarded, level, slot, call_seconds=None):
    """A transport into the grading process itself: for the harmless answers of these tests."""
    from utils.course.transports import LiveTransport

    namespace = submission.namespace()
    if "ENDS_THE_GRADER" in namespace:
        os._exit(3)
    if "HANGS_THE_GRADER" in namespace:
        time.sleep(3600)
    time.sleep(namespace.get("TAKES", 0))
    yield LiveTransport(namespace, guarded, call_seconds)


class HerePool:
    """Grades in the process of the test. `marked`: whose submissions were."""

    def __init__(self):
        self.marked = []

    def size(self) -> int:
        return 1

    def submit(self, function, *arguments) -> Future:
        future = Future()
        if len(arguments) == 2 and hasattr(arguments[0], "student"):
            self.marked.append(arguments[0].student)
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def restart(self) -> bool:
        return True

    def close(self) -> None:
        pass
