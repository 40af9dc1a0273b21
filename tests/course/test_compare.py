"""The one comparison: accepts what is right in another form, rejects what only looks right."""

import numpy as np
import pytest
import torch

from utils.course import assert_close
from utils.course.compare import Tolerance, difference

ONES = torch.ones(4)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (torch.ones(4, dtype=torch.float64), ONES),
        (ONES + 1e-7, ONES),
        (torch.tensor(2.0), 2.0),
        (np.float32(2.0), 2.0),
        (2, 2.0),
        (torch.tensor(3), 3),
        ([1.0, ONES], (1.0, ONES)),
        ({(0, 1)}, {(0, 1)}),
        ({"a": 1.0}, {"a": 1.0}),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")])),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (None, None),
    ],
)
def test_accepts(received, expected):
    assert_close(received, expected)


@pytest.mark.parametrize(
    ("received", "expected", "says"),
    [
        (torch.ones(1), ONES, "shape"),
        (torch.ones(4, 1), ONES, "shape"),
        (torch.ones(4, dtype=torch.int64), ONES, "integer"),
        (torch.ones(4, dtype=torch.bool), ONES, "bool"),
        (ONES.tolist(), ONES, "torch tensor"),
        (ONES.numpy(), ONES, "torch tensor"),
        (ONES * float("nan"), ONES, "NaN"),
        (float("nan"), 1.0, "NaN"),
        (ONES * float("nan"), ONES * float("nan"), "expected"),
        (float("nan"), float("nan"), "expected"),
        (torch.tensor([float("-inf")]), torch.tensor([float("inf")]), "inf"),
        (ONES + 0.1, ONES, "1.1"),
        (torch.zeros(3, 3), torch.eye(3).repeat(1, 2)[:, :3] + 0, "received"),
        (True, 1.0, "bool"),
        (1.0, 1, "float"),
        ("1", 1.0, "number"),
        (None, 1.0, "number"),
        ([1.0], (1.0, 2.0), "2 items"),
        ({(1, 0)}, {(0, 1)}, "expected"),
        ({"b": 1.0}, {"a": 1.0}, "keys"),
        (torch.ones(4, dtype=torch.complex64), ONES, "complex"),
        (ONES.half(), ONES, "half-precision"),
        (ONES, None, "None"),
    ],
)
def test_rejects(received, expected, says):
    with pytest.raises(AssertionError, match=says):
        assert_close(received, expected)


def test_names_the_worst_place_of_a_large_tensor():
    expected = torch.zeros(10, 10)
    received = expected.clone()
    received[3, 7] = 2.0
    with pytest.raises(AssertionError, match=r"most at \[3, 7\]: expected 0, received 2"):
        assert_close(received, expected, what="scores")


def test_gradients_do_not_matter():
    assert_close(torch.ones(4, requires_grad=True), ONES)


def test_generators_match_by_state():
    """A call that draws leaves its generator changed: a replayed call must leave it in the same state."""
    first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert difference(first, second, Tolerance()) is None
    torch.rand(1, generator=first)
    assert difference(first, second, Tolerance()) is not None
    assert difference([first], [3], Tolerance()) is not None
    assert difference(3, first, Tolerance()) is not None
