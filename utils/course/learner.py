"""The fixture `learner`: the learner's functions as a check sees them, wherever they run.

`learner.auroc(scores, labels)` encodes the call, has a transport carry it to a Host, decodes the reply, writes
changed arguments back into the caller's, and records both messages for the diagnosis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from utils.course import resources, wire
from utils.course.host import builtin_exception, describe_exception


class MissingFunction(Exception):
    """The learner's file does not define what the exercise asks for."""


class UnreadableAnswer(Exception):
    """The learner's code returned what no check can look into."""


class WorkerDied(Exception):
    """The process with the learner's code ended, or answered with something that is no reply."""


class Transport(Protocol):
    """Carries requests to a Host."""

    def defined(self, name: str) -> bool: ...

    def send(self, request: bytes, callback: Callable[[bytes], bytes]) -> bytes: ...

    def prepare(self, resource: str) -> None:
        """Build a resource before a call needs it: building is not the learner's time."""

    def reset(self) -> None:
        """Forget the handles given so far: a new check begins."""


def answer_callback(
    request: bytes, callbacks: Sequence[Callable], export: wire.Export, restore: wire.Restore
) -> bytes:
    """Call the grader's function that the learner's code asked for; an exception crosses as data."""
    try:
        message = wire.decode(request, restore)
        value = callbacks[message["id"]](*message["args"], **message["kwargs"])
        return wire.encode({"value": value}, export)
    except Exception as error:
        return wire.encode({"error": describe_exception(error)})


@dataclass(frozen=True)
class Call:
    """One request and its reply, as the bytes that crossed."""

    request: bytes
    reply: bytes


class Learner:
    """Attribute access gives the learner's functions and classes as callables."""

    def __init__(self, transport: Transport):
        self._transport = transport
        self._begin()

    def _prepare(self, resource: str) -> None:
        self._transport.prepare(resource)

    def _begin(self) -> None:
        """Start a new check: no handles, no callbacks, nothing recorded."""
        self._transport.reset()
        self._calls: list[Call] = []
        self._callbacks: list[Callable] = []
        self._handles: dict[int, Handle] = {}
        self._printed = ""

    def __getattr__(self, name: str) -> "Handle":
        if name.startswith("_"):
            raise AttributeError(name)
        if not self._transport.defined(name):
            raise MissingFunction(f"`{name}` is not defined in your work")
        return Handle(self, name)

    def _request(self, message: dict) -> Any:
        request = wire.encode(message, self._export)
        answer = self._transport.send(request, self._answer_callback)
        self._calls.append(Call(request, answer))
        reply = self._read(answer)
        self._printed += reply.get("printed", "")
        if "after" in reply:
            write_back(message["args"], reply["after"]["args"])
            write_back(message["kwargs"], reply["after"]["kwargs"])
        if "unreadable" in reply:
            raise UnreadableAnswer(f"your code returned what a check cannot read: {reply['unreadable']}")
        if "error" in reply:
            raise builtin_exception(reply["error"])
        return reply["value"]

    def _read(self, answer: bytes) -> dict:
        try:
            reply = wire.decode(answer, self._restore)
        except wire.MalformedMessage as error:
            raise WorkerDied(f"the reply could not be read ({error})") from error
        if not isinstance(reply, dict) or len({"value", "error", "unreadable"} & reply.keys()) != 1:
            raise WorkerDied("the reply is neither a value nor an error")
        after = reply.get("after", {"args": [], "kwargs": {}})
        if not (
            isinstance(after, dict)
            and isinstance(after.get("args"), list)
            and isinstance(after.get("kwargs"), dict)
        ):
            raise WorkerDied("the reply names changed arguments in an unknown form")
        return reply

    def _answer_callback(self, request: bytes) -> bytes:
        return answer_callback(request, self._callbacks, self._export, self._restore)

    def _export(self, value: object) -> dict:
        if isinstance(value, Handle):
            if isinstance(value._target, str):
                raise TypeError(f"pass what {value._target} returns, not learner.{value._target} itself")
            return {"!": "handle", "id": value._target}
        name = resources.name_of(value)
        if name is not None:
            return {"!": "resource", "name": name}
        if callable(value):
            self._callbacks.append(value)
            return {"!": "callback", "id": len(self._callbacks) - 1}
        return wire.refuse(value)

    def _restore(self, tag: dict) -> object:
        if tag["!"] == "handle":
            return self._handles.setdefault(tag["id"], Handle(self, tag["id"], str(tag["type"])))
        if tag["!"] == "resource":
            return resources.get(tag["name"])
        if tag["!"] == "callback":
            return self._callbacks[tag["id"]]
        raise ValueError(f"unknown tag {tag['!']!r}")


class Handle:
    """Something that stays on the learner's side: a function, a class, an object, a closure."""

    def __init__(self, learner: Learner, target: str | int, kind: str = "function"):
        self._learner = learner
        self._target = target
        self._kind = kind

    def __call__(self, *args, **kwargs) -> Any:
        return self._learner._request(
            {"op": "call", "target": self._reference(), "args": list(args), "kwargs": kwargs}
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._learner._request({"op": "get", "target": self._reference(), "attribute": name})

    def __repr__(self) -> str:
        return f"your {self._target}" if isinstance(self._target, str) else f"a {self._kind}"

    def _reference(self) -> "str | Handle":
        return self._target if isinstance(self._target, str) else self


def write_back(original: Any, after: Any) -> None:
    """Make the caller's argument what the call left of it, in place; only mutable plain data can differ."""
    if isinstance(original, torch.Tensor) and isinstance(after, torch.Tensor):
        if original.shape != after.shape:
            original.data = after
        else:
            with torch.no_grad():
                original.copy_(after)
    elif isinstance(original, np.ndarray) and isinstance(after, np.ndarray) and original.shape == after.shape:
        original[...] = after
    elif isinstance(original, torch.Generator) and isinstance(after, torch.Generator):
        original.set_state(after.get_state())
    elif isinstance(original, (list, tuple)) and isinstance(after, (list, tuple)):
        for mine, theirs in zip(original, after, strict=False):
            write_back(mine, theirs)
        if isinstance(original, list) and (len(original) != len(after) or not _shallow_same(original, after)):
            original[:] = after
    elif isinstance(original, dict) and isinstance(after, dict):
        for key in original.keys() & after.keys():
            write_back(original[key], after[key])
        if original.keys() != after.keys() or not _shallow_same(original.values(), after.values()):
            original.clear()
            original.update(after)
    elif isinstance(original, set) and isinstance(after, set):
        original.clear()
        original.update(after)


def _shallow_same(mine: Any, theirs: Any) -> bool:
    """Whether immutable items agree; mutable ones have been written back already."""
    mutable = (torch.Tensor, np.ndarray, torch.Generator, list, tuple, dict, set)
    return all(
        isinstance(a, mutable) or callable(a) or a is b or a == b for a, b in zip(mine, theirs, strict=True)
    )
