"""`python -m utils.course bundle`: an autograder for Gradescope that runs the very same grader.

The zip holds what grading needs and no more: `utils`, and of the assigned lessons their checks, mistakes and reference
(to which an answer is compared when its mistake is looked for), and the manifest and seed of the instructor's half.
It is as secret as that half; Gradescope shows it to instructors only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import manifest_path, read_manifest, read_seed, seed_path
from utils.course.lessons import ROOT, Lesson
from utils.storage import atomic_path

IMAGE = Path(__file__).with_name("image")
SET_UP_FILES = ("requirements.txt", "constraints.txt", "pyproject.toml", "LICENSE")
# One moment for all members: the same assignment makes the same zip.
MOMENT = (1980, 1, 1, 0, 0, 0)
SCRIPT, FILE, SECRET = 0o755, 0o644, 0o600


def bundle(assignment: Path, out: Path) -> Iterator[str]:
    """Write the zip, then say what it holds. Raises CourseError where the folder holds no assignment to be graded."""
    manifest = read_manifest(assignment)
    read_seed(seed_path(assignment))
    members = dict(_members(assignment, [Lesson(lesson.slug) for lesson in manifest.lessons]))
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (path, mode) in sorted(members.items()):
            info = zipfile.ZipInfo(name, MOMENT)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, path.read_bytes())
    yield f"{out}: {len(members)} files, {out.stat().st_size / 2**20:.1f} MB, for {manifest.points:g} points"
    yield "Upload it in Gradescope under Configure Autograder. It holds checks and the seed: keep it from students."


def _members(assignment: Path, lessons: list[Lesson]) -> Iterator[tuple[str, tuple[Path, int]]]:
    for name in ("setup.sh", "run_autograder"):
        yield name, (IMAGE / name, SCRIPT)
    for path in (manifest_path(assignment), seed_path(assignment)):
        yield f"assignment/{path.relative_to(assignment).as_posix()}", (path, SECRET)
    for path in [ROOT / name for name in SET_UP_FILES] + list(_utils()):
        yield f"course/{path.relative_to(ROOT).as_posix()}", (path, FILE)
    for lesson in lessons:
        for path in (lesson.checks_file, lesson.mistakes_file, lesson.source, lesson.exercise_notebook):
            if not path.exists():
                raise CourseError(
                    f"{path} is missing: bundle from the course's own folder, not an assigned edition"
                )
            yield f"course/{path.relative_to(lesson.root).as_posix()}", (path, FILE)


def _utils() -> Iterator[Path]:
    for path in sorted((ROOT / "utils").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path
