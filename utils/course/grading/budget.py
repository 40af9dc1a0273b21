"""What one exercise may cost: seconds of the student's own time, and bytes that come back."""

from __future__ import annotations

import time
from collections.abc import Callable

from utils.course.learner import Transport, WorkerDied
from utils.course.timelimit import TimeLimit

REPLY_BYTES = 256 << 20


class Budget:
    """A transport whose calls may together take `seconds` and bring back `reply_bytes`; then every call is refused.

    Each exercise gets one of its own, so that a slow exercise takes no time from the next.
    """

    def __init__(self, transport: Transport, seconds: float, reply_bytes: int = REPLY_BYTES):
        self._transport = transport
        self._seconds = seconds
        self._bytes = reply_bytes

    @property
    def is_spent(self) -> bool:
        """Whether time ran out."""
        return self._seconds <= 0

    def defined(self, name: str) -> bool:
        return self._transport.defined(name)

    def prepare(self, resource: str) -> None:
        self._transport.prepare(resource)

    def reset(self) -> None:
        self._transport.reset()

    def renew(self) -> None:
        self._transport.renew()

    def send(self, request: bytes, callback: Callable[[bytes], bytes]) -> bytes:
        """Raises TimeLimit or WorkerDied where the budget is spent."""
        if self.is_spent:
            raise TimeLimit("this exercise's time is used up")
        start = time.monotonic()
        try:
            reply = self._transport.send(request, callback)
        finally:
            self._seconds -= time.monotonic() - start
        self._bytes -= len(reply)
        if self._bytes < 0:
            raise WorkerDied("your code returned more than a check can look at")
        return reply
