"""While a lesson's checks run, the `utils` functions that its exercises reimplement refuse to work."""

import importlib
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def _yours_to_write(*args, **kwargs):
    raise NotImplementedError(
        "your solution calls the course's own version of what this exercise asks for: yours to write"
    )


class Guard:
    """Closes the named functions and classes of `utils` ("utils.metrics.auroc") while learner's code runs.

    The code object is exchanged, not the module's attribute, so that a name imported earlier is closed too.
    """

    def __init__(self, names: Iterable[str] = ()):
        self._functions = [function for name in names for function in _functions_of(name)]
        self._depth = 0

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The block in which the learner's code runs."""
        with self._exchanged(_yours_to_write.__code__):
            yield

    @contextmanager
    def opened(self) -> Iterator[None]:
        """A block inside `closed` in which the checks' own code runs (a callback)."""
        with self._exchanged(None):
            yield

    @contextmanager
    def _exchanged(self, code: types.CodeType | None) -> Iterator[None]:
        before = [(function, function.__code__) for function in self._functions]
        for function in self._functions:
            function.__code__ = code or _ORIGINAL[function]
        try:
            yield
        finally:
            for function, previous in before:
                function.__code__ = previous


_ORIGINAL: dict[types.FunctionType, types.CodeType] = {}


def _functions_of(name: str) -> list[types.FunctionType]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"{name} is listed as reimplemented by a lesson, but utils has no such name"
        ) from error
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    functions = (
        [f for f in vars(found).values() if isinstance(f, types.FunctionType)]
        if isinstance(found, type)
        else [found]
    )
    # Only a function without free variables can take another's code; a method that calls super() has one.
    functions = [f for f in functions if not f.__code__.co_freevars]
    for function in functions:
        _ORIGINAL.setdefault(function, function.__code__)
    return functions
