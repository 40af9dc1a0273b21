"""Pipes to a worker in a sandbox: whatever it sends or does not send, reading and writing end by their deadline."""

import contextlib
import os
import select
import time
from collections.abc import Iterator

from utils.course.errors import CourseError
from utils.course.frames import HEAD, READY, Frame, decode_head
from utils.course.grading.sandbox.levels import SandboxFailed, SandboxLevel, slot_to_try_out
from utils.course.grading.sandbox.template import WorkerTemplate

READY_SECONDS = 60.0
CHUNK = 1 << 16


class PipeConnection:
    """A `Connection` over two pipe ends, which it closes.

    Nothing is read before it is asked for: a worker that floods waits at a full pipe.
    """

    def __init__(self, source: int, sink: int):
        self._source, self._sink = source, sink
        os.set_blocking(source, False)
        os.set_blocking(sink, False)

    def write(self, frame: Frame, deadline: float) -> None:
        rest = memoryview(frame.encode())
        while rest:
            self._wait([], [self._sink], deadline)
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._sink, rest[:CHUNK]) :]

    def read(self, deadline: float) -> Frame:
        kind, number, size = decode_head(self._read_exactly(HEAD.size, deadline))
        return Frame(kind, number, self._read_exactly(size, deadline))

    def close(self) -> None:
        for descriptor in (self._source, self._sink):
            if descriptor >= 0:
                os.close(descriptor)
        self._source = self._sink = -1

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        """Grows with what arrives, not with what was announced."""
        data = bytearray()
        while len(data) < size:
            self._wait([self._source], [], deadline)
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._source, min(CHUNK, size - len(data)))
                if not part:
                    raise EOFError
                data += part
        return bytes(data)

    def _wait(self, read: list[int], write: list[int], deadline: float) -> None:
        if self._source < 0:
            raise EOFError
        poll = select.poll()
        for descriptor in read:
            poll.register(descriptor, select.POLLIN)
        for descriptor in write:
            poll.register(descriptor, select.POLLOUT)
        if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
            raise TimeoutError


class SandboxedWorker(PipeConnection):
    """A worker that a template has forked.

    Raises SandboxFailed where it could not be shut in, or where the template has died: nothing that a student has done.
    """

    def __init__(self, template: WorkerTemplate, slot: int):
        self._template = template
        self._pid = 0
        source, sink = os.pipe()
        answers, replies = os.pipe()
        super().__init__(answers, sink)
        try:
            self._pid = template.fork(slot, source, replies)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(source)
            os.close(replies)
        self._wait_until_ready()

    def write(self, frame: Frame, deadline: float) -> None:
        with self._blaming_the_template():
            super().write(frame, deadline)

    def read(self, deadline: float) -> Frame:
        with self._blaming_the_template():
            return super().read(deadline)

    def close(self) -> None:
        pid, self._pid = self._pid, 0
        if pid:
            self._template.end(pid)
        super().close()

    @contextlib.contextmanager
    def _blaming_the_template(self) -> Iterator[None]:
        """A worker that has ended because the template has is not the student's failure."""
        try:
            yield
        except (EOFError, BrokenPipeError):
            self._template.must_live()
            raise

    def _wait_until_ready(self) -> None:
        """The first frame is sent before the worker has seen a byte of a student's."""
        try:
            ready = self.read(time.monotonic() + READY_SECONDS)
            if ready.kind != READY or ready.payload:
                raise SandboxFailed(
                    f"a worker could not be shut in: {ready.payload.decode(errors='replace')}"
                )
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise SandboxFailed("a worker ended, or hung, before it was shut in") from error
        except SandboxFailed:
            self.close()
            raise


def try_out(level: SandboxLevel) -> str:
    """Why no worker of that level can be had; empty where it can."""
    try:
        with WorkerTemplate(level, preload=()) as template:
            SandboxedWorker(template, slot_to_try_out()).close()
    except CourseError as error:
        return str(error)
    return ""
