"""`learner` means the same live and in a worker process."""

import pytest
import torch

from utils.course.learner import Learner, MissingFunction, TimeLimit, WorkerDied
from utils.course.submissions import read_submission
from utils.course.transports import LiveTransport, ProcessTransport

SOURCE = """
import os, time
import numpy as np
import torch

SCALE = 3

def scaled(values, factor=SCALE):
    return values * factor

def in_place(values, names):
    values.mul_(2)
    names.append("more")

def draws(generator):
    return torch.randn(3, generator=generator)

def applies(function, values):
    return function(values, power=2)

def forgives(function):
    try:
        return function(0)
    except ZeroDivisionError:
        return "caught"

def fails(kind):
    raise {"value": ValueError, "key": KeyError, "own": Odd}[kind]("because")

class Odd(IndexError):
    pass

def exits():
    raise SystemExit(0)

def dies():
    os._exit(0)

def loops():
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass

def talks():
    print("hello from inside")
    return 1

def closure(amount):
    return lambda values: values + amount

def calls(model):
    return model.cfg.n_layers

class Counter:
    def fit(self, values):
        self.total_ = values.sum()
        return self

    def predict(self, values):
        return values > self.total_
"""


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    path = tmp_path_factory.mktemp("work") / "mine.py"
    path.write_text(SOURCE)
    return read_submission(path)


@pytest.fixture(params=["live", pytest.param("isolated", marks=pytest.mark.slow)], scope="module")
def learner(request, submission):
    if request.param == "live":
        yield Learner(LiveTransport(submission.namespace(), call_seconds=1.0))
    else:
        with ProcessTransport(submission, call_seconds=5.0) as transport:
            yield Learner(transport)


@pytest.fixture(autouse=True)
def _fresh(learner):
    learner._begin()


def test_values_and_keywords(learner):
    assert torch.equal(learner.scaled(torch.ones(2)), torch.full((2,), 3.0))
    assert learner.scaled(2, factor=5) == 10


def test_changed_arguments_are_seen(learner):
    values, names = torch.ones(3), ["a"]
    assert learner.in_place(values, names) is None
    assert torch.equal(values, torch.full((3,), 2.0))
    assert names == ["a", "more"]


def test_generator_advances(learner):
    mine, theirs = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    first, second = learner.draws(theirs), learner.draws(theirs)
    assert torch.equal(
        torch.cat([first, second]), torch.cat([torch.randn(3, generator=mine) for _ in range(2)])
    )


def test_callbacks(learner):
    seen = []

    def raise_to(values, power):
        seen.append(values)
        return values**power

    assert torch.equal(learner.applies(raise_to, torch.tensor([2.0, 3.0])), torch.tensor([4.0, 9.0]))
    assert torch.equal(seen[0], torch.tensor([2.0, 3.0]))


def test_callback_errors_can_be_caught(learner):
    assert learner.forgives(lambda value: 1 / value) == "caught"


@pytest.mark.parametrize(("kind", "error"), [("value", ValueError), ("key", KeyError), ("own", IndexError)])
def test_exceptions_keep_their_class(learner, kind, error):
    with pytest.raises(error, match="because"):
        learner.fails(kind)


def test_exit_is_an_error_not_an_exit(learner):
    with pytest.raises(RuntimeError, match="SystemExit"):
        learner.exits()


def test_objects_stay_on_their_side(learner):
    counter = learner.Counter()
    assert counter.fit(torch.tensor([1.0, 2.0])) is counter
    assert counter.total_ == 3
    assert counter.predict(torch.tensor([2.0, 4.0])).tolist() == [False, True]


def test_closures_can_be_called(learner):
    add = learner.closure(2)
    assert torch.equal(add(torch.zeros(2)), torch.full((2,), 2.0))


def test_print_is_kept(learner):
    assert learner.talks() == 1
    assert "hello from inside" in learner._printed


def test_missing(learner):
    with pytest.raises(MissingFunction, match="nothing_like_it"):
        learner.nothing_like_it()


def test_endless_loop(learner):
    with pytest.raises(TimeLimit):
        learner.loops()
    learner._begin()
    assert learner.scaled(1) == 3


@pytest.mark.slow
def test_death_costs_one_check(submission):
    with ProcessTransport(submission) as transport:
        learner = Learner(transport)
        with pytest.raises(WorkerDied):
            learner.dies()
        learner._begin()
        assert learner.scaled(1) == 3


@pytest.mark.slow
def test_models_cross_by_name(submission):
    from utils.course import resources

    with ProcessTransport(submission) as transport:
        learner = Learner(transport)
        model = resources.get("tiny_model")
        assert learner.calls(model) == model.cfg.n_layers  # type: ignore[attr-defined]


@pytest.mark.slow
def test_no_process_is_left_behind(submission):
    with ProcessTransport(submission) as transport:
        Learner(transport)
        process = transport._process
    assert process is not None
    assert process.poll() is not None
