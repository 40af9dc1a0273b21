"""The checks as ordinary pytest tests: `pytest tests/ch1_probing_basics [--learner FILE] [--seed N]`."""

from pathlib import Path

import pytest

from utils.course import resources
from utils.course.learner import Learner
from utils.course.lessons import ROOT, Lesson, all_lessons
from utils.course.runner import PUBLIC_SEED, seeded_generator
from utils.course.submissions import UnreadableSubmission, read_submission
from utils.course.transports import LiveTransport


def pytest_addoption(parser):
    parser.addoption("--learner", type=Path, help="a notebook or .py file to check (default: the solutions)")
    parser.addoption("--seed", type=int, default=PUBLIC_SEED, help="seed of the checks' random inputs")


def pytest_configure(config):
    """A file that cannot be read is said once, before any test."""
    file = config.getoption("--learner")
    try:
        config.submission = None if file is None else read_submission(file)
    except UnreadableSubmission as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config, items):
    """With --learner, keep the checks of the lesson that the file is named after."""
    file = config.getoption("--learner")
    if file is None or not any(file.stem == lesson.part for lesson in all_lessons()):
        return
    kept = [item for item in items if item.path.stem == f"test_{file.stem}"]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(autouse=True)
def _leave_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBING_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def _learner(request) -> Learner:
    lesson = _lesson(request)
    submission = request.config.submission or lesson.reference()
    assert submission is not None, "this edition has no solutions: name your own work with --learner FILE"
    return Learner(LiveTransport(submission.namespace(), lesson.guarded()))


@pytest.fixture
def learner(_learner) -> Learner:
    _learner._begin()
    return _learner


@pytest.fixture
def rng(request):
    exercise, _ = request.cls.__exercise__
    check = request.function.__name__.removeprefix("test_")
    return seeded_generator(exercise, check, request.config.getoption("--seed"))


def _resource_fixture(name: str):
    return pytest.fixture(name=name)(lambda: resources.get(name))


globals().update({name: _resource_fixture(name) for name in resources.BUILDERS})


def _lesson(request) -> Lesson:
    path = request.path.relative_to(ROOT / "tests")
    return Lesson(f"{path.parent.name}/{path.stem.removeprefix('test_')}")
