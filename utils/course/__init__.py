"""What makes the notebooks a course: exercises, checks, mistakes, progress, and the notebooks themselves."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.course.compare import assert_close
    from utils.course.exercises import alternative, exercise, hidden, mistake, recogniser
    from utils.course.inline import open_lesson, sample_size

__all__ = [
    "alternative",
    "assert_close",
    "exercise",
    "hidden",
    "mistake",
    "open_lesson",
    "recogniser",
    "sample_size",
]

_MODULES = {"assert_close": "compare", "open_lesson": "inline", "sample_size": "inline"}


def __getattr__(name: str) -> object:
    """Import on first use: `doctor` must be able to say that torch is missing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"utils.course.{_MODULES.get(name, 'exercises')}"), name)
