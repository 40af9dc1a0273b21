"""Students get the checks without the hidden ones, and nothing that only those used."""

import ast

import pytest

from utils.course.errors import CourseError
from utils.course.grading.assignment.public_checks import without_hidden
from utils.course.lessons import all_lessons, exercises_in_file

SOURCE = '''"""Checks."""

import math
from collections import Counter, deque

import numpy as np
import torch

from utils.course import assert_close, exercise, hidden

SCALE = 3
SECRET = 4


def answer(values):
    """The whole answer."""
    return values * SECRET if len(values) else answer(values)


def rows(n):
    return torch.ones(n)


def never_used():
    return 1


@exercise("scaled")
class TestScaled:
    def test_by_hand(self, learner):
        """by hand"""
        assert_close(learner.scaled(rows(2)), rows(2) * SCALE)

    # The oracle is
    # an answer.
    @hidden
    def test_oracle(self, learner):
        """agrees with the answer"""
        assert_close(learner.scaled(np.ones(2)), answer(Counter("ab")))

    def test_last(self, learner):
        """last"""
        deque(), math.pi
'''


def test_hidden_checks_and_their_helpers_go():
    kept = without_hidden(SOURCE)
    for gone in ("hidden", "test_oracle", "oracle", "answer", "SECRET", "numpy", "Counter"):
        assert gone not in kept
    for stays in (
        "test_by_hand",
        "test_last",
        "SCALE",
        "def rows",
        "never_used",
        "import deque",
        "import math",
    ):
        assert stays in kept
    assert "\n\n\n\n" not in kept
    ast.parse(kept)


def test_an_exercise_needs_a_check_that_students_have():
    with pytest.raises(CourseError, match="TestScaled"):
        without_hidden(
            SOURCE.replace("    def test_by_hand", "    @hidden\n    def test_by_hand").replace(
                "    def test_last", "    @hidden\n    def test_last"
            )
        )


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson.part)
def test_lessons_checks_stay_runnable(lesson, tmp_path):
    path = tmp_path / lesson.checks_file.name
    path.write_text(without_hidden(lesson.checks_file.read_text(encoding="utf-8")), encoding="utf-8")
    public = [(each.name, [check.name for check in each.checks]) for each in exercises_in_file(path)]
    expected = [
        (each.name, [check.name for check in each.checks if not check.hidden]) for each in lesson.exercises()
    ]
    assert public == expected
