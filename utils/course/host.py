"""Where the learner's code runs: carries out the checks' requests on a namespace and answers with data.

A Host knows no expected answer. It runs in the notebook's process or in a worker, and speaks bytes in both.
"""

import builtins
import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.course import resources, wire
from utils.course.guard import Guard

Callback = Callable[[bytes], bytes]

PRINTED_LIMIT = 2_000
UTILS_FOLDER = str(Path(__file__).parents[1])


class Host:
    """Carries out requests on `namespace`.

    callback: carries a call of a grader's function (`fit`, `metric`) back to the checks: bytes to bytes.
    guard: closes the parts of `utils` that the lesson's exercises reimplement.

    A request is `{"op": "call" | "get", "target": name or handle, "attribute": str, "args": list, "kwargs": dict}`.
    A reply is `{"value": …}` or `{"error": …}`, with `"after"` where the call changed its arguments.
    """

    def __init__(
        self, namespace: Mapping[str, Any], callback: Callback | None = None, guard: Guard | None = None
    ):
        self.namespace = namespace
        self.callback = callback
        self.guard = guard or Guard()
        self.handles: list[object] = []

    def handle(self, request: bytes) -> bytes:
        """Bytes of the reply. Only a time limit or the end of the process escapes as an exception."""
        message = wire.decode(request, self._restore)
        arguments = {name: message[name] for name in ("args", "kwargs") if name in message}
        before = wire.encode(arguments, self._export)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), self.guard.closed():
                reply: dict[str, object] = {"value": self._perform(message)}
            encoded = wire.encode(reply, self._export)
        except Exception as error:
            reply = {"error": describe_exception(error)}
            encoded = b""
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            reply = {"error": {"kinds": ["RuntimeError"], "message": f"raised {type(error).__name__}"}}
            encoded = b""
        if not self._same(arguments, before):
            reply["after"] = arguments
        if printed.getvalue():
            reply["printed"] = printed.getvalue()[:PRINTED_LIMIT]
        return encoded if encoded and len(reply) == 1 else wire.encode(reply, self._export)

    def _perform(self, message: dict) -> object:
        target = message["target"]
        found = self.namespace[target] if isinstance(target, str) else target
        if message["op"] == "get":
            return getattr(found, message["attribute"])
        return found(*message["args"], **message["kwargs"])

    def _same(self, arguments: dict, before: bytes) -> bool:
        try:
            return wire.encode(arguments, self._export) == before
        except TypeError:
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
    kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)]
    return {"kinds": kinds or ["Exception"], "message": str(error)[:PRINTED_LIMIT], "line": _line_of(error)}


def _line_of(error: BaseException) -> int | None:
    """The line, in the learner's own code, on which the exception arose."""
    traceback, line = error.__traceback__, None
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if "site-packages" not in filename and not filename.startswith(("<frozen", UTILS_FOLDER)):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def builtin_exception(description: dict) -> Exception:
    """The built-in exception nearest to the one described, so that `pytest.raises` sees the promised class."""
    for kind in description["kinds"]:
        found = getattr(builtins, kind, None)
        if isinstance(found, type) and issubclass(found, Exception):
            try:
                error = found(description["message"])
            except TypeError:
                continue
            error.learner_line = description.get("line")  # type: ignore[attr-defined]
            return error
    return RuntimeError(description["message"])
