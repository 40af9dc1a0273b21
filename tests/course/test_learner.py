"""`learner` means the same live and in a worker process."""

import pytest
import torch

from utils.course.host import PRINTED_LIMIT
from utils.course.learner import Learner, MissingFunction, UnreadableAnswer, WorkerDied
from utils.course.submissions import read_submission
from utils.course.timelimit import TimeLimit
from utils.course.transports import LiveTransport, PipedProcess, ProcessTransport

SOURCE = """
import os, sys, time
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

def forgets_to_switch_back():
    torch.set_grad_enabled(False)

def needs_gradients():
    return torch.ones(1, requires_grad=True).sum().requires_grad

def talks():
    print("hello from inside")
    return 1

def floods():
    for _ in range(1000):
        print("x" * 1000)

def shuts_stdout():
    sys.stdout.close()
    print("still here", flush=True)
    return 1

def zero_dimensional():
    return np.array(2.5)

def backwards():
    return np.broadcast_to(np.arange(3.0)[::-1], (2, 3))

def unreadable(kind):
    return {"object": np.array([object()]), "sparse": torch.eye(2).to_sparse(), "rude": Rude(a=1)}[kind]

class Rude(dict):
    def items(self):
        raise LookupError("no items for you")

class Mute(ValueError):
    def __str__(self):
        raise KeyError("no message for you")

class Bare(BaseException):
    pass

def raises(kind):
    raise {"mute": Mute, "bare": Bare, "exit": SystemExit}[kind]("because")

def interrupted():
    raise KeyboardInterrupt

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
    with pytest.raises(RuntimeError) as caught:
        learner.exits()
    assert vars(caught.value)["learner_kind"] == "SystemExit"


def test_objects_stay_on_their_side(learner):
    counter = learner.Counter()
    assert counter.fit(torch.tensor([1.0, 2.0])) is counter
    assert counter.total_ == 3
    assert counter.predict(torch.tensor([2.0, 4.0])).tolist() == [False, True]


def test_closures_can_be_called(learner):
    add = learner.closure(2)
    assert torch.equal(add(torch.zeros(2)), torch.full((2,), 2.0))


def test_gradients_are_on_again(learner):
    learner.forgets_to_switch_back()
    assert learner.needs_gradients() is True


def test_print_is_kept(learner):
    assert learner.talks() == 1
    assert "hello from inside" in learner._printed


def test_a_flood_of_prints_is_cut(learner):
    learner.floods()
    assert len(learner._printed) == PRINTED_LIMIT


def test_stdout_cannot_be_shut(learner):
    assert learner.shuts_stdout() == 1
    assert "still here" in learner._printed


@pytest.mark.filterwarnings("error")
def test_arrays_of_every_form(learner):
    scalar, rows = learner.zero_dimensional(), learner.backwards()
    assert scalar.shape == ()
    assert scalar == 2.5
    assert rows.tolist() == [[2.0, 1.0, 0.0]] * 2


@pytest.mark.parametrize("kind", ["object", "sparse", "rude"])
def test_unreadable_values(learner, kind):
    with pytest.raises(UnreadableAnswer, match="what a check cannot read"):
        learner.unreadable(kind)


@pytest.mark.parametrize(
    ("kind", "error", "is_called"),
    [("mute", ValueError, "Mute"), ("bare", RuntimeError, "Bare"), ("exit", RuntimeError, "SystemExit")],
)
def test_odd_exceptions(learner, kind, error, is_called):
    with pytest.raises(error) as caught:
        learner.raises(kind)
    assert vars(caught.value)["learner_kind"] == is_called


def test_an_interrupt_is_the_users(submission):
    """ctrl-C while the learner's code runs must end the check, not become its verdict."""
    learner = Learner(LiveTransport(submission.namespace()))
    with pytest.raises(KeyboardInterrupt):
        learner.interrupted()


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
def test_definitions_that_end_the_process(tmp_path):
    """Each is left out, with a note; what is defined beside it is still there."""
    path = tmp_path / "mine.py"
    path.write_text("import os\nclass A:\n    os._exit(0)\nclass B:\n    [0][1]\ndef f():\n    return 1\n")
    submission = read_submission(path)
    with ProcessTransport(submission) as transport:
        assert Learner(transport).f() == 1
    assert "mine.py, line 2: left out, because it ended the process" in submission.notes
    assert any("IndexError" in note for note in submission.notes)


@pytest.mark.slow
def test_definitions_that_all_end_the_process(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import os\n" + "class A:\n    os._exit(0)\n" * 9 + "def f():\n    return 1\n")
    with ProcessTransport(read_submission(path)) as transport:
        learner = Learner(transport)
        for _ in range(2):
            with pytest.raises(WorkerDied, match="while it ran your definitions"):
                learner.f()
            learner._begin()
            assert transport._connection is None


@pytest.mark.slow
def test_building_a_model_is_not_the_learners_time(submission):
    """transformer_lens alone takes longer to import than this call may take."""
    from utils.course import resources

    with ProcessTransport(submission, call_seconds=1.0) as transport:
        learner = Learner(transport)
        learner._prepare("tiny_model")
        assert learner.calls(resources.get("tiny_model")) == 3


@pytest.mark.slow
def test_models_cross_by_name(submission):
    from utils.course import resources

    with ProcessTransport(submission) as transport:
        learner = Learner(transport)
        model = resources.get("tiny_model")
        learner._prepare("tiny_model")
        assert learner.calls(model) == model.cfg.n_layers  # type: ignore[attr-defined]


@pytest.mark.slow
def test_no_process_is_left_behind(submission):
    with ProcessTransport(submission) as transport:
        Learner(transport)
        connection = transport._connection
    assert isinstance(connection, PipedProcess)
    assert connection._process.poll() is not None
