"""The one comparison that every check uses.

Shape exact, kind of dtype exact (float32 and float64 are one kind), finite where finite is expected, then
tolerance. NaN never passes: the test is `error <= tolerance`, never its negation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

RTOL, ATOL = 1e-4, 1e-6


def assert_close(
    received: object, expected: object, rtol: float = RTOL, atol: float = ATOL, what: str = ""
) -> None:
    """Fail, with both values in brief, unless `received` matches `expected`.

    Tensors, arrays and floats match within `atol + rtol * |expected|`; everything else exactly. Containers are
    compared item by item. `what` names the thing compared, for the learner to read.
    """
    problem = difference(received, expected, Tolerance(rtol, atol))
    if problem is not None:
        raise AssertionError(f"{what}: {problem}" if what else problem)


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may differ. `equal_nan` is for two answers compared with each other, never with the truth."""

    rtol: float = RTOL
    atol: float = ATOL
    equal_nan: bool = False


def difference(received: Any, expected: Any, tolerance: Tolerance) -> str | None:
    """None where the two match, otherwise one line that says how they differ."""
    if isinstance(expected, torch.Tensor) and expected.ndim > 0:
        if not isinstance(received, torch.Tensor):
            return f"expected a torch tensor of shape {tuple(expected.shape)}, received {brief(received)}"
        return _tensor_difference(received, expected, tolerance)
    if isinstance(expected, np.ndarray) and expected.ndim > 0:
        if not isinstance(received, np.ndarray):
            return f"expected a numpy array of shape {expected.shape}, received {brief(received)}"
        return _tensor_difference(torch.from_numpy(received), torch.from_numpy(expected), tolerance)
    if is_number(expected):
        if not is_number(received):
            return f"expected a single number, {brief(expected)}, received {brief(received)}"
        if type(received) is int and isinstance(expected, float):
            received = float(received)
        return _tensor_difference(torch.as_tensor(received), torch.as_tensor(expected), tolerance)
    if isinstance(expected, (list, tuple)):
        return _sequence_difference(received, expected, tolerance)
    if isinstance(expected, dict):
        if not isinstance(received, dict):
            return f"expected a dict, received {brief(received)}"
        if received.keys() != expected.keys():
            return f"expected the keys {brief(list(expected))}, received {brief(list(received))}"
        return _first((f"[{key!r}]", difference(received[key], expected[key], tolerance)) for key in expected)
    if isinstance(expected, torch.Generator) and isinstance(received, torch.Generator):
        # Generators are equal by identity only; what counts is what they draw next.
        same_state = torch.equal(received.get_state(), expected.get_state())
        return None if same_state else "expected the generator in another state"
    if type(received) is not type(expected) or received != expected:
        return f"expected {brief(expected)}, received {brief(received)}"
    return None


def is_number(value: object) -> bool:
    """A bool, int, float, numpy scalar, or a tensor or array with no dimensions."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.ndim == 0
    return isinstance(value, (bool, int, float, np.generic))


def brief(value: object) -> str:
    """A value in one short line, for messages."""
    if isinstance(value, torch.Tensor) and value.ndim > 0:
        kind = f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
        return f"{kind}, {_numbers(value)}" if 0 < value.numel() <= 12 else kind
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return f"a {value.dtype} numpy array of shape {value.shape}"
    if is_number(value) and not isinstance(value, (bool, int)):
        number = value.item() if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) else value
        return f"{number:.6g}" if isinstance(number, float) else repr(number)
    if isinstance(value, (list, tuple)) and len(value) <= 4:
        items = ", ".join(brief(item) for item in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' if len(value) == 1 else ''})"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} …"


def _tensor_difference(received: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> str | None:
    if received.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, received {tuple(received.shape)}"
    if _kind(received.dtype) != _kind(expected.dtype):
        return f"expected {_kind(expected.dtype)} values, received {_kind(received.dtype)} ({received.dtype})"
    if expected.numel() == 0:
        return None
    exact = torch.complex128 if expected.is_complex() else torch.float64
    got, want = received.detach().to(exact), expected.detach().to(exact)
    error = (got - want).abs()
    # Infinities of one sign subtract to NaN, yet they match.
    same = (got == want) | (got.isnan() & want.isnan() if tolerance.equal_nan else False)
    close = error <= tolerance.atol + tolerance.rtol * want.abs()
    within = same | (close & want.isfinite())
    if bool(within.all()):
        return None
    if bool((got.isnan() & ~want.isnan()).any()):
        place = _where(got.isnan() & ~want.isnan())
        return f"expected {_numbers(want) if want.numel() <= 12 else 'numbers'}, received NaN at {place}"
    worst = torch.where(within | error.isnan(), torch.zeros_like(error), error)
    at = tuple(int(i) for i in np.unravel_index(int(worst.argmax()), worst.shape))
    if expected.ndim == 0:
        return f"expected {brief(expected)}, received {brief(received)}"
    if expected.numel() <= 12:
        return f"expected {_numbers(expected)}, received {_numbers(received)}"
    place = f"[{', '.join(map(str, at))}]"
    return (
        f"{int((~within).sum())} of {within.numel()} values differ, most at {place}: "
        f"expected {brief(expected[at])}, received {brief(received[at])}"
    )


def _sequence_difference(received: Any, expected: list | tuple, tolerance: Tolerance) -> str | None:
    kind = "tuple" if isinstance(expected, tuple) else "list"
    # A list for a tuple is a matter of taste; a tensor for a tuple is not.
    if not isinstance(received, (list, tuple)):
        return f"expected a {kind} of {len(expected)}, received {brief(received)}"
    if len(received) != len(expected):
        return f"expected {len(expected)} items, received {len(received)}"
    return _first(
        (f"item {i}", difference(a, b, tolerance))
        for i, (a, b) in enumerate(zip(received, expected, strict=True))
    )


def _first(problems) -> str | None:
    return next((f"{place}: {problem}" for place, problem in problems if problem is not None), None)


def _kind(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "bool"
    if dtype.is_floating_point:
        return "float" if dtype.itemsize >= 4 else "half-precision"
    return "complex" if dtype.is_complex else "integer"


def _numbers(tensor: torch.Tensor) -> str:
    if tensor.ndim == 0:
        return brief(tensor)
    shown = [_numbers(row) for row in tensor[:12]]
    return f"[{', '.join(shown)}{', …' if len(tensor) > 12 else ''}]"


def _where(mask: torch.Tensor) -> str:
    place = mask.nonzero()[0].tolist()
    return f"index {place}" if place else "the only value"
