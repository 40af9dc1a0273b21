"""The course's own version of an exercise is closed while the learner's code runs, and open for everyone else."""

import pytest
import torch

from utils.course.guard import Guard
from utils.course.learner import Learner
from utils.course.transports import LiveTransport
from utils.metrics import auroc
from utils.probes import MassMeanProbe

NAMES = ["utils.metrics.auroc", "utils.probes.MassMeanProbe"]
SCORES, LABELS = torch.tensor([0.1, 0.9]), torch.tensor([False, True])


def cheat(scores, labels):
    return auroc(scores, labels)


def test_closed_for_a_name_imported_earlier():
    learner = Learner(LiveTransport({"auroc": cheat}, NAMES))
    with pytest.raises(NotImplementedError, match="yours to write"):
        learner.auroc(SCORES, LABELS)
    assert auroc(SCORES, LABELS) == 1


def test_open_inside_a_callback():
    def uses(statistic, scores, labels):
        return statistic(scores, labels)

    learner = Learner(LiveTransport({"uses": uses}, NAMES))
    assert learner.uses(lambda scores, labels: auroc(scores, labels), SCORES, LABELS) == 1


def test_classes_are_closed_too():
    with Guard(NAMES).closed(), pytest.raises(NotImplementedError):
        MassMeanProbe()
    MassMeanProbe()


def test_unknown_name():
    with pytest.raises(LookupError, match="no_such"):
        Guard(["utils.metrics.no_such"])
