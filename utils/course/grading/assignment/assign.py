"""`python -m utils.course assign`: what students get, as a folder and a zip, and the instructor's half."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import (
    AssignedExercise,
    AssignedLesson,
    Edition,
    Manifest,
    manifest_path,
    read_points,
    write_manifest,
    write_seed,
)
from utils.course.grading.assignment.student_half import student_notebook, write_student_folder, zip_folder
from utils.course.lessons import Lesson, find_lessons
from utils.storage import atomic_path


@dataclass(frozen=True)
class Assigned:
    """Where the students' half is, as a folder and as a zip, and what was assigned."""

    student: Path
    archive: Path
    manifest: Manifest


def assign(
    names: Sequence[str],
    out: Path,
    points_file: Path | None = None,
    due: datetime | None = None,
    edition: Edition = "graded",
) -> Assigned:
    """Write `out`/student, `out`/student.zip and `out`/instructor for the lessons or chapters of these names.

    Into a folder that holds an assignment already, both halves are written anew; the secret seed is kept.
    Raises CourseError for an unknown lesson, for points of no exercise, and for a folder with something else in it.
    """
    lessons = list({lesson.slug: lesson for name in names for lesson in find_lessons(name)}.values())
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not manifest_path(out).exists())):
        raise CourseError(f"{out} holds something else already: name a new folder")
    points = {}
    if points_file is not None:
        names_of = {lesson.slug: [each.name for each in lesson.exercises()] for lesson in lessons}
        points = read_points(points_file, names_of)

    assigned, notebooks = [], {}
    for lesson in lessons:
        exercises = tuple(_exercises(lesson, points.get(lesson.slug, {}), edition))
        notebook = student_notebook(lesson, exercises, due, edition)
        notebooks[lesson] = notebook
        digest = hashlib.sha256(notebook.encode()).hexdigest()
        assigned.append(AssignedLesson(lesson.slug, checks_hash(lesson), digest, exercises))
    manifest = Manifest(out.resolve().name, edition, tuple(assigned), due)

    student, archive = out / "student", out / "student.zip"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".student.", dir=out) as scratch:
        folder = Path(scratch) / "student"
        write_student_folder(folder, notebooks, manifest)
        with atomic_path(archive) as temporary:
            zip_folder(folder, temporary, manifest.id)
        shutil.rmtree(student, ignore_errors=True)
        folder.rename(student)
    write_seed(out)
    write_manifest(out, manifest)
    return Assigned(student, archive, manifest)


def checks_hash(lesson: Lesson) -> str:
    """SHA-256 of the lesson's checks, hidden ones included."""
    return hashlib.sha256(lesson.checks_file.read_bytes()).hexdigest()


def _exercises(lesson: Lesson, points: dict[str, float], edition: Edition) -> list[AssignedExercise]:
    exercises = []
    for exercise in lesson.exercises():
        kept_back = [check.name for check in exercise.checks if check.hidden and edition == "graded"]
        public = [check.name for check in exercise.checks if check.name not in kept_back]
        worth = points.get(exercise.name, float(exercise.points))
        exercises.append(AssignedExercise(exercise.name, worth, tuple(public), tuple(kept_back)))
    return exercises
