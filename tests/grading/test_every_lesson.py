"""Whatever the lesson: the reference earns everything, the untouched notebook nothing, a mistake nothing."""

from pathlib import Path

import pytest
from classroom import assignment, live

from utils.course.grading.assignment.manifest import seed_path
from utils.course.grading.assignment.student_half import student_notebook
from utils.course.grading.results import ExerciseResult, lesson_from_dict
from utils.course.grading.sandbox.levels import available_level
from utils.course.grading.tasks import Job, mark
from utils.course.lessons import Lesson, all_lessons

LESSONS = all_lessons()
per_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.part)


def graded(folder: Path, lesson: Lesson, file: Path, exercises=(), level=None) -> list[ExerciseResult]:
    """The exercises of a lesson after grading, in this process or in a sandbox; all of them where none is named."""
    names = exercises or [exercise.name for exercise in lesson.exercises()]
    homework = assignment(folder / "hw", names, lesson.slug)
    job = Job(
        "ada", ((file.name, str(file)),), (), str(homework), str(seed_path(homework)), None, level or "none"
    )
    (found,) = mark(job, 0, live if level is None else None)
    assert found["status"] == "graded"
    return list(lesson_from_dict(found).exercises)


def one_mistake(folder: Path, lesson: Lesson, exercise: str, name: str) -> ExerciseResult:
    """The exercise after grading a file that holds the reference, but this mistake in one place."""
    texts = [path.read_text(encoding="utf-8") for path in (lesson.source, lesson.mistakes_file)]
    file = folder / f"{lesson.part}.py"
    file.write_text("\n".join([*texts, f"{exercise} = {name}\n"]), encoding="utf-8")
    (result,) = graded(folder, lesson, file, [exercise])
    return result


@pytest.mark.slow
@per_lesson
def test_the_reference_earns_everything(lesson, tmp_path):
    level, _ = available_level()
    for exercise in graded(tmp_path, lesson, lesson.solution_notebook, level=level):
        assert [(check.id, check.message) for check in exercise.checks if check.outcome != "passed"] == []
        assert exercise.passed
        assert exercise.mistake is None


@pytest.mark.slow
@per_lesson
def test_the_untouched_notebook_earns_nothing(lesson, tmp_path):
    file = tmp_path / f"{lesson.part}.ipynb"
    file.write_text(student_notebook(lesson, (), None, "graded"), encoding="utf-8")
    for exercise in graded(tmp_path, lesson, file):
        assert not exercise.passed
        assert exercise.mistake is None
        assert f"{exercise.name} is yours to write" in {check.message for check in exercise.checks}


@pytest.mark.slow
@per_lesson
def test_a_mistake_earns_nothing_and_is_named(lesson, tmp_path):
    exercise = lesson.exercises()[0].name
    name = next(iter(lesson.answers("mistake", exercise)))
    result = one_mistake(tmp_path, lesson, exercise, name)
    assert not result.passed
    assert result.mistake is not None
    assert result.mistake.name == name


@pytest.mark.slow
@per_lesson
def test_known_mistakes_earn_nothing(lesson, tmp_path):
    """Every exercise answered by a mistake, each by another one.

    That every mistake fails a check is proved in tests/course/test_lessons.py; that this costs the points, in
    test_score.py.
    """
    texts = [path.read_text(encoding="utf-8") for path in (lesson.source, lesson.mistakes_file)]
    for at, exercise in enumerate(lesson.exercises()):
        known = list(lesson.answers("mistake", exercise.name))
        texts.append(f"{exercise.name} = {known[at % len(known)]}\n")
    file = tmp_path / f"{lesson.part}.py"
    file.write_text("\n".join(texts), encoding="utf-8")
    assert not any(exercise.passed for exercise in graded(tmp_path, lesson, file))
