"""What the sandbox's tests share: one pre-warmed template, and the rule of when they may be skipped."""

import os

import pytest

from utils.course.grading.sandbox import levels
from utils.course.grading.sandbox.template import WorkerTemplate


def need(level: levels.SandboxLevel) -> None:
    """Skip, with the reason, where the level does not work; in CI that is a failure."""
    problem = levels.problem_with(level)
    if problem:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no sandbox of level {level}: {problem}")


@pytest.fixture(scope="session")
def full_sandbox():
    need("full")


@pytest.fixture(scope="session")
def template(full_sandbox):
    with WorkerTemplate("full") as template:
        yield template
