"""What a student gets: a folder in which `make learn` works, without solutions, mistakes, hidden checks and seed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import nbformat

from utils.course.grading.assignment.manifest import AssignedExercise, AssignedLesson, Edition, Manifest
from utils.course.grading.assignment.public_checks import without_hidden
from utils.course.lessons import ROOT, Lesson
from utils.course.notebooks import assigned_notebook, exercise_notebook

TEMPLATES = Path(__file__).parent / "student"
SET_UP_FILES = (
    "requirements.txt",
    "requirements-model.txt",
    "constraints.txt",
    "pyproject.toml",
    "LICENSE",
    "CITATION.cff",
)
NOTE = """\
**This notebook is an assignment: {points}.{due}** Hints are folded above each exercise. Below it, `check(...)` runs the
checks that you have; when your work is graded, they run on other inputs, and further checks run too. Only definitions
count: imports, functions, classes and constants. Hand the notebook in under its own name, `{name}`."""


def student_notebook(
    lesson: Lesson, exercises: Sequence[AssignedExercise], due: datetime | None, edition: Edition
) -> str:
    """The text of the notebook that students work in; the self-study edition's has the solutions in folds."""
    if edition == "self-study":
        return nbformat.writes(exercise_notebook(lesson)) + "\n"
    note = NOTE.format(
        points=_points(sum(exercise.points for exercise in exercises)),
        due=f" It is due on {_moment(due)}." if due else "",
        name=lesson.exercise_notebook.name,
    )
    points = {exercise.name: exercise.points for exercise in exercises}
    return nbformat.writes(assigned_notebook(lesson, note, points)) + "\n"


def write_student_folder(folder: Path, notebooks: Mapping[Lesson, str], manifest: Manifest) -> None:
    """Write the students' half: `notebooks`, the checks that students have, `utils`, what sets it up, a README."""
    folder.mkdir()
    left_out = shutil.ignore_patterns("__pycache__", ".*", "grading")
    shutil.copytree(ROOT / "utils", folder / "utils", ignore=left_out)
    for name in SET_UP_FILES:
        shutil.copy2(ROOT / name, folder / name)
    (folder / "tests").mkdir()
    shutil.copy2(ROOT / "tests" / "conftest.py", folder / "tests" / "conftest.py")
    for lesson, notebook in notebooks.items():
        checks = lesson.checks_file.read_text(encoding="utf-8")
        if manifest.edition == "self-study":
            for path in (lesson.source, lesson.mistakes_file):
                _write(folder / path.relative_to(lesson.root), path.read_text(encoding="utf-8"))
        else:
            checks = without_hidden(checks)
        _write(folder / lesson.checks_file.relative_to(lesson.root), checks)
        _write(folder / lesson.exercise_notebook.relative_to(lesson.root), notebook)
    for template in TEMPLATES.iterdir():
        _write(folder / template.name, _filled(template.read_text(encoding="utf-8"), manifest))


def zip_folder(folder: Path, archive: Path, name: str) -> None:
    """Zip the folder so that it unpacks into one called `name`."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, f"{name}/{path.relative_to(folder).as_posix()}")


def _filled(template: str, manifest: Manifest) -> str:
    """A template with its {{names}} replaced."""
    values = {
        "id": manifest.id,
        "slug": manifest.lessons[0].slug,
        "slugs": " ".join(lesson.slug for lesson in manifest.lessons),
        "first": _notebook(manifest.lessons[0]),
        "notebooks": "\n".join(f"* `{_notebook(lesson)}`" for lesson in manifest.lessons),
        "table": "\n".join(_table(manifest)),
        "due": f"Due: {_moment(manifest.due)}." if manifest.due else "",
    }
    for name, value in values.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template


def _table(manifest: Manifest) -> list[str]:
    rows = ["| notebook | exercise | points |", "|---|---|---|"]
    for lesson in manifest.lessons:
        rows += [f"| `{lesson.part}` | `{each.name}` | {each.points:g} |" for each in lesson.exercises]
    return [*rows, f"| | together | {manifest.points:g} |"]


def _notebook(lesson: AssignedLesson) -> str:
    return f"chapters/{lesson.slug}.ipynb"


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _moment(due: datetime | None) -> str:
    return f"{due:%A %d %B %Y, %H:%M} ({due:UTC%z})" if due else ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
