"""A wrong answer is named when it is a known one, also by someone who has not thought of bad input yet."""

import pytest

from utils.course.diagnosis import diagnose
from utils.course.learner import Learner
from utils.course.lessons import Lesson
from utils.course.runner import run_exercise
from utils.course.transports import LiveTransport

LESSON = Lesson("ch1_probing_basics/part2_fit_probes")


def named(answer):
    learner = Learner(LiveTransport({"difference_of_means": answer}))
    diagnosis = diagnose(
        LESSON, "difference_of_means", run_exercise(LESSON.exercise("difference_of_means"), learner)
    )
    return diagnosis and diagnosis.mistake


def test_known_mistake_without_the_promised_error():
    assert named(lambda acts, labels: acts[~labels].mean(0) - acts[labels].mean(0)) == "reversed_direction"


def test_another_mistake_is_not_named():
    assert named(lambda acts, labels: 2 * (acts[labels].mean(0) - acts[~labels].mean(0))) is None


def test_right_but_for_bad_input_is_named_for_that():
    """It equals the reference on every value, so no mistake about values can be named."""
    assert named(lambda acts, labels: acts[labels].mean(0) - acts[~labels].mean(0)) == "silent_on_one_class"


@pytest.mark.parametrize("answer", [None, "text", 3.0])
def test_nonsense_is_not_named(answer):
    assert named(lambda acts, labels: answer) is None
