"""A lesson and its five files: one slug, "ch1_probing_basics/part2_fit_probes", names them all."""

import difflib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.course.errors import CourseError
from utils.course.exercises import Exercise, answers_in, exercises_in
from utils.course.submissions import Submission, read_submission

ROOT = Path(__file__).parents[2]


class LessonError(CourseError):
    """A lesson or exercise that does not exist, or a file of it that is missing."""


@dataclass(frozen=True)
class Lesson:
    """The files of one lesson, and what they declare."""

    slug: str
    root: Path = ROOT

    @property
    def chapter(self) -> str:
        return self.slug.split("/")[0]

    @property
    def part(self) -> str:
        return self.slug.split("/")[1]

    @property
    def source(self) -> Path:
        return self.root / "solutions" / self.chapter / f"{self.part}.py"

    @property
    def solution_notebook(self) -> Path:
        return self.source.with_suffix(".ipynb")

    @property
    def exercise_notebook(self) -> Path:
        return self.root / "chapters" / self.chapter / f"{self.part}.ipynb"

    @property
    def checks_file(self) -> Path:
        return self.root / "tests" / self.chapter / f"test_{self.part}.py"

    @property
    def mistakes_file(self) -> Path:
        return self.root / "tests" / self.chapter / f"mistakes_{self.part}.py"

    def exercises(self) -> list[Exercise]:
        """In the order of the lesson."""
        return exercises_in_file(self.checks_file)

    def exercise(self, name: str) -> Exercise:
        """Raises LessonError, with the nearest name, where the lesson has no such exercise."""
        by_name = {exercise.name: exercise for exercise in self.exercises()}
        if name not in by_name:
            raise LessonError(f"{self.slug} has no exercise {name!r}; {_suggestion(name, list(by_name))}")
        return by_name[name]

    def guarded(self) -> Sequence[str]:
        """The `utils` names that the lesson's exercises reimplement."""
        return getattr(_module(self.checks_file), "YOURS_TO_WRITE", ())

    def answers(self, role: str, exercise: str) -> dict[str, Any]:
        """The lesson's "mistake"s, "alternative"s or "recogniser" of one exercise; none in an assigned edition."""
        return answers_in(_module(self.mistakes_file), role, exercise) if self.mistakes_file.exists() else {}

    def reference(self) -> Submission | None:
        """The definitions in the lesson's source; None in an assigned edition."""
        return read_submission(self.source) if self.source.exists() else None

    def reference_namespace(self) -> dict[str, Any]:
        """The reference implementations by name; empty in an assigned edition."""
        return (
            _reference_namespace_as_of(self, self.source.stat().st_mtime_ns) if self.source.exists() else {}
        )


def exercises_in_file(path: Path) -> list[Exercise]:
    """The exercises of a file of checks. Raises LessonError where there is none."""
    return exercises_in(_module(path))


def all_lessons(root: Path = ROOT) -> list[Lesson]:
    """Every lesson that has checks, in the order of the course."""
    files = sorted((root / "tests").glob("ch*/test_part*.py"))
    return [Lesson(f"{file.parent.name}/{file.stem.removeprefix('test_')}", root) for file in files]


def find_lessons(name: str, root: Path = ROOT) -> list[Lesson]:
    """The lesson of that slug, or the lessons of that chapter. Raises LessonError where there is none."""
    lessons = all_lessons(root)
    wanted = name.strip("/").removesuffix(".ipynb").removesuffix(".py")
    found = [lesson for lesson in lessons if wanted in (lesson.slug, lesson.chapter)]
    if not found:
        known = sorted({lesson.chapter for lesson in lessons} | {lesson.slug for lesson in lessons})
        raise LessonError(f"no lesson is called {name!r}; {_suggestion(wanted, known)}")
    return found


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _module(path: Path) -> ModuleType:
    if not path.exists():
        raise LessonError(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path} is missing")
    return _module_as_of(path, path.stat().st_mtime_ns)


@cache
def _module_as_of(path: Path, changed: int) -> ModuleType:
    """A file that has changed is another module: a process that grades for days must see it."""
    name = f"course_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _reference_namespace_as_of(lesson: Lesson, changed: int) -> dict[str, Any]:
    reference = lesson.reference()
    return reference.namespace() if reference is not None else {}
