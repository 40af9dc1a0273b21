"""Every lesson keeps the course's promises: its reference passes, its mistakes do not, its notebooks are current."""

import re

import pytest

from utils.course.diagnosis import diagnose
from utils.course.learner import Learner
from utils.course.lessons import Lesson, all_lessons
from utils.course.notebooks import cells_too_long, execute, problems
from utils.course.progress import exercise_minutes
from utils.course.proofs import failing_seeds, is_proved
from utils.course.runner import run_exercise
from utils.course.submissions import read_submission
from utils.course.terminal import check_lesson, open_learner
from utils.course.transports import LiveTransport

MISTAKES_AN_EXERCISE = 5
# A sample of what `python -m utils.course prove` tries.
SEEDS = range(1, 11)

LESSONS = all_lessons()
EXERCISES = [(lesson, exercise) for lesson in LESSONS for exercise in lesson.exercises()]
ANSWERS = {
    role: [
        (lesson, exercise, name)
        for lesson, exercise in EXERCISES
        for name in lesson.answers(role, exercise.name)
    ]
    for role in ("mistake", "alternative")
}

per_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.part)


def per_exercise(cases):
    ids = [f"{lesson.part}-{'-'.join(getattr(c, 'name', c) for c in rest)}" for lesson, *rest in cases]
    return pytest.mark.parametrize(("lesson", "exercise", "name")[: len(cases[0])], cases, ids=ids)


def learner_with(lesson: Lesson, exercise: str, role: str, name: str) -> Learner:
    answer = lesson.answers(role, exercise)[name]
    return Learner(LiveTransport({**lesson.reference_namespace(), exercise: answer}))


def failures(results) -> list[str]:
    return [f"{result.name}: {result.message}" for result in results if result.outcome != "passed"]


@per_exercise(EXERCISES)
def test_has_mistakes_and_an_alternative(lesson, exercise):
    mistakes = lesson.answers("mistake", exercise.name)
    assert len(mistakes) >= MISTAKES_AN_EXERCISE
    assert all(mistake.__doc__ for mistake in mistakes.values())
    assert lesson.answers("alternative", exercise.name)


@pytest.mark.slow
@per_exercise(ANSWERS["mistake"])
def test_mistake_is_rejected_and_named(lesson, exercise, name):
    results = run_exercise(exercise, learner_with(lesson, exercise.name, "mistake", name))
    assert failures(results), "every check passed"
    diagnosis = diagnose(lesson, exercise.name, results)
    assert diagnosis is not None, failures(results)
    assert diagnosis.mistake == name, failures(results)


@per_exercise(ANSWERS["alternative"])
def test_alternative_passes(lesson, exercise, name):
    results = run_exercise(exercise, learner_with(lesson, exercise.name, "alternative", name))
    assert not failures(results)


@pytest.mark.slow
@per_exercise(ANSWERS["alternative"])
def test_alternative_passes_under_seeds(lesson, exercise, name):
    assert not failing_seeds(lesson, exercise, name, SEEDS)


@pytest.mark.slow
@per_exercise(EXERCISES)
def test_reference_passes_under_seeds(lesson, exercise):
    assert not failing_seeds(lesson, exercise, None, SEEDS)


@per_lesson
def test_is_proved(lesson):
    assert is_proved(lesson), f"python -m utils.course prove {lesson.slug}"


@pytest.mark.slow
@per_lesson
def test_reference_passes_isolated(lesson):
    reports = check_lesson(lesson, lesson.reference(), isolated=True)
    assert not [failures(report.results) for report in reports if not report.passed]


@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True], ids=["live", "isolated"])
@per_lesson
def test_stubs_fail_as_they_should(lesson, isolated):
    submission = read_submission(lesson.exercise_notebook)
    for report in check_lesson(lesson, submission, isolated):
        assert {result.outcome for result in report.results} == {"error"}
        assert {result.message for result in report.results} == {f"{report.exercise} is yours to write"}
        assert report.diagnosis is None
    assert submission.notes == []


@pytest.mark.slow
@per_lesson
def test_mistakes_fail_isolated(lesson):
    """A wrong answer is as wrong in a worker as live: the first mistake of each exercise, sent as source."""
    submission = read_submission(lesson.mistakes_file)
    mistakes = {each: next(iter(lesson.answers("mistake", each.name))) for each in lesson.exercises()}
    chunk = type(submission.chunks[0])
    submission.chunks += [chunk(f"{each.name} = {name}", "rename", 1) for each, name in mistakes.items()]
    with open_learner(lesson, submission, isolated=True) as learner:
        for exercise, name in mistakes.items():
            results = run_exercise(exercise, learner)
            assert failures(results)
            diagnosis = diagnose(lesson, exercise.name, results)
            assert diagnosis is not None
            assert diagnosis.mistake == name


@per_lesson
def test_notebooks_are_up_to_date(lesson):
    assert problems(lesson) == []


@per_lesson
def test_checks_are_in_the_order_of_the_lesson(lesson):
    """ "Next: …" after an exercise names the one that comes next in the notebook."""
    called = re.findall(r"^check\((\w+)\)", lesson.source.read_text(encoding="utf-8"), re.MULTILINE)
    assert [exercise.name for exercise in lesson.exercises()] == called


@per_lesson
def test_every_exercise_says_how_long_it_takes(lesson):
    assert exercise_minutes(lesson).keys() == {exercise.name for exercise in lesson.exercises()}


@per_lesson
def test_cells_are_short(lesson):
    assert list(cells_too_long(lesson)) == []


@per_lesson
def test_solutions_do_not_import_what_they_reimplement(lesson):
    source = lesson.source.read_text(encoding="utf-8")
    for name in lesson.guarded():
        module, _, function = name.rpartition(".")
        imports = [line for line in source.splitlines() if line.startswith(f"from {module} import")]
        assert not any(function in line.replace(",", " ").split() for line in imports), name


@pytest.mark.slow
@per_lesson
def test_solution_notebook_runs(lesson):
    code = [cell for cell in execute(lesson, quick=True).notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
