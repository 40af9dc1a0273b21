"""Where the learner's code runs: carries out the checks' requests on a namespace and answers with data.

A Host knows no expected answer. It runs in the notebook's process or in a worker, and speaks bytes in both.
"""

import builtins
import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from utils.course import resources, wire
from utils.course.guard import Guard
from utils.course.timelimit import TimeLimit, limited

Callback = Callable[[bytes], bytes]

PRINTED_LIMIT = 2_000
UTILS_FOLDER = str(Path(__file__).parents[1])


class Host:
    """Carries out requests on `namespace`.

    callback: carries a call of a grader's function (`fit`, `metric`) back to the checks: bytes to bytes.
    guard: closes the parts of `utils` that the lesson's exercises reimplement.
    seconds: how long the learner's code may run for one request.

    A request is `{"op": "call" | "get", "target": name or handle, "attribute": str, "args": list, "kwargs": dict}`.
    A reply is `{"value": …}`, `{"error": …}` or `{"unreadable": …}`, with `"after"` where the call changed its
    arguments and `"printed"` where it printed.
    """

    def __init__(
        self,
        namespace: Mapping[str, Any],
        callback: Callback | None = None,
        guard: Guard | None = None,
        seconds: float | None = None,
    ):
        self.namespace = namespace
        self.callback = callback
        self.guard = guard or Guard()
        self.seconds = seconds
        self.handles: list[object] = []
        # A new check begins, or its recording is played again.
        resources.restore()

    def handle(self, request: bytes) -> bytes:
        """Bytes of the reply. Only a time limit, the user's interrupt or the end of the process escapes."""
        message = wire.decode(request, self._restore)
        printed = _Printed()
        with contextlib.redirect_stdout(printed), self.guard.closed():
            reply, encoded = limited(self.seconds, lambda: self._reply(message))
        if not printed.text:
            return encoded
        return wire.encode({**reply, "printed": printed.text}, self._export)

    def _reply(self, message: dict) -> tuple[dict, bytes]:
        """The reply, and its bytes: encoding may run code of the value's class, so it belongs to the call."""
        arguments = {name: message[name] for name in ("args", "kwargs") if name in message}
        before = wire.encode(arguments, self._export)
        reply: dict[str, object]
        try:
            reply = {"value": self._perform(message)}
        except (TimeLimit, KeyboardInterrupt):
            raise
        except BaseException as error:
            reply = {"error": describe_exception(error)}
        try:
            encoded = wire.encode(reply, self._export)
        except wire.Unsendable as error:
            reply = {"unreadable": str(error)[:PRINTED_LIMIT]}
            encoded = wire.encode(reply)
        if self._same(arguments, before):
            return reply, encoded
        reply["after"] = arguments
        return reply, wire.encode(reply, self._export)

    def _perform(self, message: dict) -> object:
        target = message["target"]
        found = self.namespace[target] if isinstance(target, str) else target
        if message["op"] == "get":
            return getattr(found, message["attribute"])
        # Whoever switches gradients off and forgets to switch them on again must not break the next exercise.
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            return found(*message["args"], **message["kwargs"])

    def _same(self, arguments: dict, before: bytes) -> bool:
        try:
            return wire.encode(arguments, self._export) == before
        except wire.Unsendable:
            return True

    def _export(self, value: object) -> dict:
        if isinstance(value, _Callback):
            return {"!": "callback", "id": value.number}
        name = resources.name_of(value)
        if name is not None:
            return {"!": "resource", "name": name}
        number = next((i for i, known in enumerate(self.handles) if known is value), len(self.handles))
        if number == len(self.handles):
            self.handles.append(value)
        return {"!": "handle", "id": number, "type": type(value).__name__}

    def _restore(self, tag: dict) -> object:
        if tag["!"] == "handle":
            return self.handles[tag["id"]]
        if tag["!"] == "resource":
            return resources.get(tag["name"])
        if tag["!"] == "callback":
            return _Callback(self, tag["id"])
        raise ValueError(f"unknown tag {tag['!']!r}")


class _Printed(io.TextIOBase):
    """What the learner's code prints: the beginning is kept, and nothing can close it."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: PRINTED_LIMIT - len(self.text)]
        return len(text)

    def close(self) -> None:
        pass


class _Callback:
    """The learner's side of a function that the checks passed in."""

    def __init__(self, host: Host, number: int):
        self.host = host
        self.number = number

    def __call__(self, *args, **kwargs):
        request = wire.encode({"id": self.number, "args": list(args), "kwargs": kwargs}, self.host._export)
        assert self.host.callback is not None
        with self.host.guard.opened():
            reply = wire.decode(self.host.callback(request), self.host._restore)
        if "error" in reply:
            raise builtin_exception(reply["error"])
        return reply["value"]


def describe_exception(error: BaseException) -> dict:
    """What crosses of an exception: the names of its classes, most special first, its message, where it arose."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    try:
        message = str(error)[:PRINTED_LIMIT]
    except Exception:
        message = "its message cannot be read"
    return {"kinds": kinds, "message": message, "line": _line_of(error)}


def _line_of(error: BaseException) -> int | None:
    """The line, in the learner's own code, on which the exception arose."""
    traceback, line = error.__traceback__, None
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if "site-packages" not in filename and not filename.startswith(("<frozen", UTILS_FOLDER)):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def is_description(value: object) -> bool:
    """Whether `value` has the form that `describe_exception` makes: a worker may send anything."""
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return False
    kinds, line = value.get("kinds"), value.get("line")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        return False
    return line is None or type(line) is int


# They would end a check's own loops without an error: `all(map(learner.f, inputs))` would be True.
NOT_RAISED = (StopIteration, StopAsyncIteration)


def builtin_exception(description: dict) -> Exception:
    """The built-in exception nearest to the one described, so that `pytest.raises` sees the promised class.

    `learner_kind` and `learner_line` say what it was and where: the marks of an exception of the learner's code.
    """
    kinds, message = description["kinds"], description["message"]
    error: Exception = RuntimeError(message)
    for kind in kinds:
        found = getattr(builtins, kind, None)
        if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, NOT_RAISED):
            try:
                error = found(message)
                break
            except TypeError:
                continue
    error.learner_kind = kinds[0]  # type: ignore[attr-defined]
    error.learner_line = description.get("line")  # type: ignore[attr-defined]
    return error
