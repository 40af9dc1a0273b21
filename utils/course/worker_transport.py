"""What every transport to a worker process does: load the definitions, replace a worker that dies, keep the time."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from utils.course import wire
from utils.course.frames import (
    ANSWER,
    CALLBACK,
    DEFINING,
    LOAD,
    PREPARE,
    REPLY,
    REQUEST,
    RESET,
    Frame,
)
from utils.course.learner import WorkerDied
from utils.course.submissions import Submission
from utils.course.timelimit import TimeLimit

CALL_SECONDS = 10.0
LOAD_SECONDS = 120.0
# Definitions that end or hang the process are left out one by one, so that they do not cost the other exercises.
LEFT_OUT_AT_MOST = 3
NOTES_LIMIT, NOTE_LENGTH = 50, 300

ENDED = "the process with your code has ended"


class Connection(Protocol):
    """One worker. Any call may raise TimeoutError at its deadline (of `time.monotonic`), EOFError or OSError where the
    worker has ended, ValueError for bytes that are no frame."""

    def write(self, frame: Frame, deadline: float) -> None: ...

    def read(self, deadline: float) -> Frame: ...

    def close(self) -> None:
        """End the worker, and whatever it started, as far as the kind of worker allows."""


class WorkerTransport:
    """The learner's functions in a worker process that is given their source and only ever returns data.

    A worker that dies or exceeds its time is replaced at the next check. Use as a context manager.
    call_seconds: for one call of the learner's code.
    """

    # For all that loading takes, however often; and for one definition, where that can be told.
    load_seconds = definition_seconds = LOAD_SECONDS

    def __init__(
        self, submission: Submission, guarded: Sequence[str] = (), call_seconds: float | None = None
    ):
        self._submission = submission
        self._guarded = list(guarded)
        self._call_seconds = call_seconds or CALL_SECONDS
        self._connection: Connection | None = None
        self._number = 0
        self._loading_left = self.load_seconds
        self._defined: set[str] = set()
        self._prepared: set[str] = set()
        self._left_out: set[int] = set()
        self._noted = False
        self._unloadable = ""

    def __enter__(self) -> "WorkerTransport":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def _connect(self) -> Connection:
        """A new worker that waits for definitions."""
        raise NotImplementedError

    def defined(self, name: str) -> bool:
        if self._unloadable:
            raise WorkerDied(self._unloadable)
        return name in self._defined

    def prepare(self, resource: str) -> None:
        if self._connection is not None and resource not in self._prepared:
            self._exchange(PREPARE, wire.encode(resource), time.monotonic() + self.definition_seconds)
            self._prepared.add(resource)

    def reset(self) -> None:
        if self._connection is not None:
            began = time.monotonic()
            try:
                self._exchange(RESET, b"", began + min(self._call_seconds, self._loading_left))
            except (WorkerDied, TimeLimit):
                # What the last check left behind must not cost this one.
                assert self._connection is None
            finally:
                self._loading_left -= time.monotonic() - began
        if self._connection is None and not self._unloadable:
            self._start()

    def renew(self) -> None:
        """A process started afresh costs seconds: only a transport with cheap ones starts another."""

    def send(self, request: bytes, callback: Callable[[bytes], bytes]) -> bytes:
        return self._exchange(REQUEST, request, time.monotonic() + self._call_seconds, callback)

    def _exchange(
        self, kind: bytes, payload: bytes, deadline: float, callback: Callable[[bytes], bytes] | None = None
    ) -> bytes:
        """The reply to one request. Where there is none in time, or something else, the worker is stopped."""
        connection = self._connection
        if connection is None:
            raise WorkerDied(ENDED)
        self._number = number = self._number + 1

        def read() -> Frame:
            patience = time.monotonic() + self.definition_seconds
            return connection.read(min(deadline, patience) if kind == LOAD else deadline)

        try:
            connection.write(Frame(kind, number, payload), deadline)
            while (frame := read()).kind != REPLY or frame.number != number:
                if frame.number != number:
                    raise ValueError("it belongs to another call")
                if frame.kind == DEFINING and kind == LOAD:
                    self._defining = int.from_bytes(frame.payload[:4], "big")
                elif frame.kind == CALLBACK and callback is not None:
                    connection.write(Frame(ANSWER, number, callback(frame.payload)), deadline)
                else:
                    raise ValueError(f"no frame of kind {frame.kind!r} belongs here")
            return frame.payload
        except TimeoutError:
            self._stop()
            raise TimeLimit("stopped: the call took too long") from None
        except (EOFError, OSError) as error:
            self._stop()
            raise WorkerDied(ENDED) from error
        except ValueError as error:
            self._stop()
            raise WorkerDied("the process with your code sent something that is no reply") from error
        except BaseException:
            # Its next reply would belong to this call.
            self._stop()
            raise

    def _start(self) -> None:
        """A new worker with the definitions loaded, or the reason why there can be none."""
        while not self._unloadable:
            self._connection, self._prepared, self._defining = self._connect(), set(), -1
            began = time.monotonic()
            try:
                self._loaded(self._load(began + self._loading_left))
                return
            except (WorkerDied, TimeLimit) as error:
                self._leave_out(self._defining, error)
            finally:
                self._loading_left -= time.monotonic() - began

    def _load(self, deadline: float) -> bytes:
        chunks = [
            ("" if number in self._left_out else chunk.source, chunk.name, chunk.line)
            for number, chunk in enumerate(self._submission.chunks)
        ]
        try:
            load = wire.encode({"chunks": chunks, "guarded": self._guarded})
        except wire.Unsendable as error:
            self._stop()
            self._defining = -1
            raise WorkerDied(str(error)) from error
        return self._exchange(LOAD, load, deadline)

    def _loaded(self, payload: bytes) -> None:
        try:
            loaded = wire.decode(payload)
            defined, notes = (list(map(str, loaded[part])) for part in ("defined", "notes"))
        except (wire.MalformedMessage, KeyError, TypeError) as error:
            self._stop()
            raise WorkerDied("the process with your code did not start as it should") from error
        self._defined = set(defined)
        if not self._noted:
            self._noted = True
            self._submission.notes += [note[:NOTE_LENGTH] for note in notes[:NOTES_LIMIT]]

    def _leave_out(self, number: int, error: BaseException) -> None:
        what = "hung" if isinstance(error, TimeLimit) else "ended the process"
        known = 0 <= number < len(self._submission.chunks) and number not in self._left_out
        if not known or len(self._left_out) == LEFT_OUT_AT_MOST:
            self._unloadable = "the process with your code ended, or hung, while it ran your definitions"
            return
        chunk = self._submission.chunks[number]
        self._submission.notes.append(f"{chunk.name}, line {chunk.line}: left out, because it {what}")
        self._left_out.add(number)

    def _stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
