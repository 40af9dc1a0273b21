"""Two ways to reach a Host: in this process, or in a worker of its own."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from utils.course import wire
from utils.course.guard import Guard
from utils.course.host import Host
from utils.course.learner import WorkerDied
from utils.course.submissions import Submission
from utils.course.timelimit import TimeLimit

CALL_SECONDS = 10.0
LOAD_SECONDS = 120.0
FRAME_LIMIT = 1 << 30

LOAD, PREPARE, RESET, REQUEST, REPLY, CALLBACK, ANSWER = b"L", b"P", b"Z", b"Q", b"R", b"C", b"A"


class LiveTransport:
    """The learner's functions in this very process: the notebook's."""

    def __init__(
        self, namespace: Mapping[str, Any], guarded: Sequence[str] = (), call_seconds: float | None = None
    ):
        self._namespace = namespace
        self._guard = Guard(guarded)
        self._call_seconds = call_seconds or CALL_SECONDS
        self.reset()

    def defined(self, name: str) -> bool:
        return name in self._namespace

    def send(self, request: bytes, callback: Callable[[bytes], bytes]) -> bytes:
        self._host.callback = callback
        return self._host.handle(request)

    def prepare(self, resource: str) -> None:
        """The checks have built it in this very process."""

    def reset(self) -> None:
        self._host = Host(self._namespace, guard=self._guard, seconds=self._call_seconds)


class ProcessTransport:
    """The learner's functions in a worker process that is given their source and only ever returns data.

    A worker that dies or exceeds its time is replaced at the next check; one that dies while it runs the definitions
    is not, since the next would too. Use as a context manager.
    """

    def __init__(
        self, submission: Submission, guarded: Sequence[str] = (), call_seconds: float | None = None
    ):
        self._submission = submission
        self._guarded = list(guarded)
        self._call_seconds = call_seconds or CALL_SECONDS
        self._process: subprocess.Popen | None = None
        self._defined: set[str] = set()
        self._prepared: set[str] = set()
        self._notes: list[str] | None = None
        self._unloadable = ""

    def __enter__(self) -> "ProcessTransport":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def defined(self, name: str) -> bool:
        if self._unloadable:
            raise WorkerDied(self._unloadable)
        return name in self._defined

    def prepare(self, resource: str) -> None:
        if self._process is not None and resource not in self._prepared:
            self._write(PREPARE, wire.encode(resource))
            self._read(time.monotonic() + LOAD_SECONDS)
            self._prepared.add(resource)

    def reset(self) -> None:
        if self._process is None and not self._unloadable:
            self._start()
        elif self._process is not None:
            self._write(RESET, b"")

    def send(self, request: bytes, callback: Callable[[bytes], bytes]) -> bytes:
        if self._process is None:
            raise WorkerDied("the process with your code has ended")
        deadline = time.monotonic() + self._call_seconds
        self._write(REQUEST, request)
        while True:
            kind, payload = self._read(deadline)
            if kind == REPLY:
                return payload
            if kind != CALLBACK:
                self._stop()
                raise WorkerDied("the process with your code sent something that is no reply")
            self._write(ANSWER, callback(payload))

    def _start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "utils.course.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._frames: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(self._process.stdout, self._frames), daemon=True).start()
        load = {
            "chunks": [(c.source, c.name, c.line) for c in self._submission.chunks],
            "guarded": self._guarded,
        }
        self._prepared = set()
        try:
            self._write(LOAD, wire.encode(load))
            _, payload = self._read(time.monotonic() + LOAD_SECONDS)
            loaded = wire.decode(payload)
            self._defined = {str(name) for name in loaded["defined"]}
            notes = [str(note) for note in loaded["notes"]]
        except (WorkerDied, TimeLimit):
            self._unloadable = "the process with your code ended, or hung, while it ran your definitions"
        except (wire.MalformedMessage, KeyError, TypeError):
            self._stop()
            self._unloadable = "the process with your code did not start as it should"
        else:
            if self._notes is None:
                self._notes = notes
                self._submission.notes += notes

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _write(self, kind: bytes, payload: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, kind, payload)
        except OSError as error:
            self._stop()
            raise WorkerDied("the process with your code has ended") from error

    def _read(self, deadline: float) -> tuple[bytes, bytes]:
        try:
            frame = self._frames.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._stop()
            raise TimeLimit("stopped: the call took too long") from None
        if frame is None:
            self._stop()
            raise WorkerDied("the process with your code has ended")
        return frame


def _pass_on(stream: IO[bytes], frames: queue.SimpleQueue) -> None:
    """Put every frame into the queue, then None. A thread of its own, so that waiting for a frame can time out."""
    with contextlib.suppress(EOFError, ValueError, OSError):
        while True:
            frames.put(read_frame(stream))
    frames.put(None)


def write_frame(stream: IO[bytes], kind: bytes, payload: bytes) -> None:
    """One message: a kind, a length, the payload."""
    stream.write(kind + len(payload).to_bytes(8, "big") + payload)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """The next message. Raises EOFError at the end, ValueError for a length beyond the limit."""
    head = stream.read(9)
    if len(head) < 9:
        raise EOFError
    size = int.from_bytes(head[1:], "big")
    if size > FRAME_LIMIT:
        raise ValueError(f"a message of {size} bytes is over the limit of {FRAME_LIMIT}")
    payload = stream.read(size)
    if len(payload) < size:
        raise EOFError
    return head[:1], payload
