"""What crosses: plain data and nothing else, back as it was sent."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.course import wire
from utils.course.compare import Tolerance, difference

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_data_comes_back(value):
    assert wire.decode(wire.encode(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).T,
        torch.tensor(2.5),
        torch.tensor([True, False]),
        torch.arange(3),
        torch.zeros(0, 5),
        torch.randn(2).bfloat16(),
        torch.tensor([float("inf"), 1.0]),
        [torch.ones(2), {"a": (torch.zeros(1), None)}],
    ],
    ids=lambda value: str(type(value)),
)
def test_tensors_come_back(value):
    received = wire.decode(wire.encode(value))
    assert difference(received, value, Tolerance(0, 0)) is None


def test_numpy_comes_back_as_numpy():
    array, scalar = wire.decode(wire.encode([np.arange(6.0).reshape(2, 3), np.float32(1.5)]))
    assert type(array) is np.ndarray
    assert (array == np.arange(6.0).reshape(2, 3)).all()
    assert type(scalar) is np.float32
    assert scalar == 1.5


def test_generator_continues_where_it_was():
    generator = torch.Generator().manual_seed(3)
    torch.randn(5, generator=generator)
    copy = wire.decode(wire.encode(generator))
    assert torch.equal(torch.randn(4, generator=copy), torch.randn(4, generator=generator))


def test_sets_dtypes_and_bytes():
    value = {
        "kinds": {1, 2},
        "edges": {frozenset({0, 1}), frozenset({1, 2})},
        "dtype": torch.bfloat16,
        "raw": b"\x00\xff",
    }
    assert wire.decode(wire.encode(value)) == value


def test_subclasses_arrive_as_their_base():
    class Sly(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    received = wire.decode(wire.encode(Sly(2.0)))
    assert type(received) is float
    assert received != 3.0


def test_tensors_that_share_memory():
    base = torch.arange(6.0)
    first, second = wire.decode(wire.encode([base[:3], base]))
    assert torch.equal(first, base[:3])
    assert torch.equal(second, base)


def test_objects_are_refused():
    with pytest.raises(TypeError, match="not plain data"):
        wire.encode([object()])


def test_recursive_list_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError):
        wire.encode(loop)


@given(st.binary(max_size=200))
def test_noise_is_malformed(noise):
    with pytest.raises(wire.MalformedMessage):
        wire.decode(b"\x00" * 7 + b"\x05" + noise[:4])


@pytest.mark.parametrize(
    "tree",
    [
        b'{"!": "tensor", "at": "9"}',
        b'{"!": "nonsense"}',
        b'{"no": 1}',
        b'{"!": "dtype", "name": "load"}',
        b"[" * 100_000,
    ],
)
def test_hostile_trees_are_malformed(tree):
    with pytest.raises(wire.MalformedMessage):
        wire.decode(len(tree).to_bytes(8, "big") + tree)
