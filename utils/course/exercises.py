"""How checks and mistakes are declared: decorators that mark, and the dataclasses that collect what they marked."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One test method. `purpose` is its docstring's first line: what the learner reads."""

    name: str
    purpose: str
    run: Callable[..., None]
    fixtures: tuple[str, ...]
    hidden: bool


@dataclass(frozen=True)
class Exercise:
    """The checks of one function or class that a learner writes."""

    name: str
    points: int
    checks: tuple[Check, ...]


def exercise(name: str, points: int = 1) -> Callable[[type[T]], type[T]]:
    """Mark a test class as the checks of the exercise `name`."""

    def mark(test_class: type[T]) -> type[T]:
        test_class.__exercise__ = (name, points)  # type: ignore[attr-defined]
        return test_class

    return mark


def hidden(check: Callable[..., None]) -> Callable[..., None]:
    """Mark a check whose oracle is itself a full answer: it stays in the instructor's half of an assignment."""
    check.__hidden__ = True  # type: ignore[attr-defined]
    return check


def mistake(name: str) -> Callable[[T], T]:
    """Mark a plausible wrong answer to the exercise `name`. Its docstring is the diagnosis."""
    return _tag("mistake", name)


def alternative(name: str) -> Callable[[T], T]:
    """Mark a right answer to the exercise `name` that is written differently from the reference."""
    return _tag("alternative", name)


def recogniser(name: str) -> Callable[[T], T]:
    """Mark a function `(calls) -> mistake's name or None` for an exercise whose answers draw random numbers.

    `calls` is a list of `(args, kwargs, value)` of the calls that returned.
    """
    return _tag("recogniser", name)


def _tag(role: str, name: str) -> Callable[[T], T]:
    def mark(answer: T) -> T:
        answer.__answers__ = (role, name)  # type: ignore[attr-defined]
        return answer

    return mark


def exercises_in(module: ModuleType) -> list[Exercise]:
    """The exercises of a test module, in the order in which it defines them."""
    found = []
    for test_class in vars(module).values():
        if not isinstance(test_class, type) or "__exercise__" not in vars(test_class):
            continue
        name, points = vars(test_class)["__exercise__"]
        checks = [
            _check(test_class, method, function)
            for method, function in vars(test_class).items()
            if method.startswith("test_")
        ]
        found.append(Exercise(name, points, tuple(checks)))
    return found


def _check(test_class: type, method: str, function: Callable[..., None]) -> Check:
    if not function.__doc__:
        raise ValueError(
            f"{test_class.__name__}.{method} needs a docstring: it is the line the learner reads"
        )
    return Check(
        name=method.removeprefix("test_"),
        purpose=inspect.cleandoc(function.__doc__).splitlines()[0],
        run=getattr(test_class(), method),
        fixtures=tuple(p for p in inspect.signature(function).parameters if p != "self"),
        hidden=getattr(function, "__hidden__", False),
    )


def answers_in(module: ModuleType, role: str, name: str) -> dict[str, Any]:
    """The functions and classes of a mistakes module marked `role` for the exercise `name`, by their own names."""
    return {
        key: answer
        for key, answer in vars(module).items()
        # Its own mark: a class must not count because its base class does.
        if getattr(answer, "__dict__", {}).get("__answers__") == (role, name)
    }
