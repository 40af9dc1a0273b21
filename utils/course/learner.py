"""The fixture `learner`: the learner's functions as a check sees them, wherever they run.

`learner.auroc(scores, labels)` encodes the call, has a transport carry it to a Host, decodes the reply, writes
changed arguments back into the caller's, and records both messages for the diagnosis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from utils.course import resources, wire
from utils.course.arguments import move_generators_on, write_back
from utils.course.host import PRINTED_LIMIT, builtin_exception, describe_exception, is_description


class MissingFunction(Exception):
    """The learner's file does not define what the exercise asks for."""


class UnreadableAnswer(Exception):
    """The learner's code returned what no check can look into."""


class ArgumentsChanged(Exception):
    """The learner's code changed what it was given, where that is graded."""


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

    def renew(self) -> None:
        """Forget, where that is cheap, whatever the learner's code has done so far: a new exercise begins."""


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
    """Attribute access gives the learner's functions and classes as callables.

    strict: for grading. Arguments that come back changed are an error: a check that goes on to compute what it expects
        from its own inputs must not compute it from the learner's. A generator does move on, but where to is not the
        learner's to choose.
    """

    def __init__(self, transport: Transport, strict: bool = False):
        self._transport = transport
        self._strict = strict
        self._begin()

    def _prepare(self, resource: str) -> None:
        self._transport.prepare(resource)

    def _renew(self) -> None:
        """A new exercise begins."""
        self._transport.renew()

    def _begin(self) -> None:
        """Start a new check: no handles, no callbacks, nothing recorded."""
        self._calls: list[Call] = []
        self._callbacks: list[Callable] = []
        self._resources: set[str] = set()
        self._handles: dict[int, Handle] = {}
        self._printed = ""
        self._transport.reset()

    def __getattr__(self, name: str) -> "Handle":
        if name.startswith("_"):
            raise AttributeError(name)
        if not self._transport.defined(name):
            raise MissingFunction(f"`{name}` is not defined in your work")
        return Handle(self, name)

    def _request(self, message: dict) -> Any:
        request = wire.encode(message, self._export)
        answer = self._transport.send(request, self._answer_callback)
        reply = self._read(answer)
        self._calls.append(Call(request, answer))
        self._printed = (self._printed + reply.get("printed", ""))[:PRINTED_LIMIT]
        if "after" in reply:
            for name in ("args", "kwargs"):
                self._take_back(message.get(name), reply["after"][name])
        if "unreadable" in reply:
            raise UnreadableAnswer(f"your code returned what a check cannot read: {reply['unreadable']}")
        if "error" in reply:
            raise builtin_exception(reply["error"])
        return reply["value"]

    def _take_back(self, original: Any, after: Any) -> None:
        if not self._strict:
            write_back(original, after)
        elif not move_generators_on(original, after):
            raise ArgumentsChanged("your code changed an argument that it was given: work on a copy")

    def _read(self, answer: bytes) -> dict:
        """The reply, once it has the form of one. Raises WorkerDied where only a broken or hostile worker made it."""
        try:
            reply = wire.decode(answer, self._restore)
        except wire.MalformedMessage as error:
            raise WorkerDied(f"the reply could not be read ({str(error)[:PRINTED_LIMIT]})") from error
        if not isinstance(reply, dict) or len({"value", "error", "unreadable"} & reply.keys()) != 1:
            raise WorkerDied("the reply is neither a value nor an error")
        after = reply.get("after", {"args": [], "kwargs": {}})
        if not (
            isinstance(after, dict)
            and isinstance(after.get("args"), list)
            and isinstance(after.get("kwargs"), dict)
        ):
            raise WorkerDied("the reply names changed arguments in an unknown form")
        if not all(isinstance(reply.get(part, ""), str) for part in ("printed", "unreadable")):
            raise WorkerDied("the reply holds something printed that is no text")
        if "error" in reply and not is_description(reply["error"]):
            raise WorkerDied("the reply describes an error in an unknown form")
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
            self._resources.add(name)
            return {"!": "resource", "name": name}
        if callable(value):
            self._callbacks.append(value)
            return {"!": "callback", "id": len(self._callbacks) - 1}
        return wire.refuse(value)

    def _restore(self, tag: dict) -> object:
        if tag["!"] == "handle":
            return self._handles.setdefault(tag["id"], Handle(self, tag["id"], str(tag["type"])[:80]))
        if tag["!"] == "resource":
            if tag["name"] not in self._resources:
                raise ValueError(f"this check has passed no {tag['name']!r}")
            return resources.get(tag["name"])
        if tag["!"] == "callback":
            return ReturnedCallback(tag["id"])
        raise ValueError(f"unknown tag {tag['!']!r}")


class ReturnedCallback:
    """A function of the check's own that the learner's code handed back: not a value, and not to be called."""

    def __init__(self, number: int):
        self._number = number

    def __repr__(self) -> str:
        return "a function that the check itself passed in"


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

    def __bool__(self) -> bool:
        # `assert learner.f(x)` must not hold because f returned some object.
        raise UnreadableAnswer(f"your code returned {self!r} where a check expects a value")

    def __repr__(self) -> str:
        return f"your {self._target}" if isinstance(self._target, str) else f"a {self._kind}"

    def _reference(self) -> "str | Handle":
        return self._target if isinstance(self._target, str) else self
