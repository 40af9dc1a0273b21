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

from utils.course.frames import Frame, read_frame
from utils.course.guard import Guard
from utils.course.host import Host
from utils.course.worker_transport import CALL_SECONDS, Connection, WorkerTransport


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

    def renew(self) -> None:
        """The notebook's process is the learner's own."""


class ProcessTransport(WorkerTransport):
    """The learner's functions in a worker process of this user's: apart from the checks, but no sandbox."""

    def _connect(self) -> Connection:
        return PipedProcess()


class PipedProcess:
    """A worker started afresh, with pipes as its standard input and output. Works wherever Python does."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "utils.course.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        # Reading and writing wait for ever, so each has a thread, for which the checks wait only so long. A worker
        # that sends more than is asked for waits too: one frame is kept.
        self._received: queue.Queue = queue.Queue(maxsize=1)
        self._to_send: queue.SimpleQueue = queue.SimpleQueue()
        self._sent: queue.SimpleQueue = queue.SimpleQueue()
        for work in (self._receive, self._send):
            threading.Thread(target=work, daemon=True).start()

    def write(self, frame: Frame, deadline: float) -> None:
        self._to_send.put(frame)
        if not _next(self._sent, deadline):
            raise EOFError

    def read(self, deadline: float) -> Frame:
        frame = _next(self._received, deadline)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._to_send.put(None)
        # The thread that reads may wait for a place in the queue.
        with contextlib.suppress(TimeoutError):
            while not isinstance(_next(self._received, time.monotonic() + 1), Exception):
                pass

    def _receive(self) -> None:
        stream: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        with stream:
            try:
                while True:
                    self._received.put(read_frame(stream))
            except (EOFError, ValueError, OSError) as error:
                self._received.put(error)

    def _send(self) -> None:
        stream: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        with contextlib.suppress(OSError), stream:
            while (frame := self._to_send.get()) is not None:
                try:
                    stream.write(frame.encode())
                    stream.flush()
                except OSError:
                    self._sent.put(False)
                else:
                    self._sent.put(True)


def _next(waiting: queue.Queue | queue.SimpleQueue, deadline: float) -> Any:
    try:
        return waiting.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError from None
