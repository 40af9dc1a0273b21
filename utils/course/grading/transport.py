"""A submission in the sandbox: a fresh worker for every exercise, forked from a process that has imported all."""

import sys
from collections.abc import Sequence

from utils.course.grading.connection import SandboxedWorker
from utils.course.grading.sandbox import SandboxLevel, require
from utils.course.grading.worker_template import WorkerTemplate, shared_template
from utils.course.submissions import Submission
from utils.course.transports import PipedProcess
from utils.course.worker_transport import Connection, WorkerTransport


class SandboxedTransport(WorkerTransport):
    """Drop-in for ProcessTransport, for code that nobody has looked at. Use as a context manager.

    level: see `sandbox.py`. slot: the n-th of the workers that run at the same time, each with a user of its own.
    template: default is this process's own.
    Raises CourseError where the level is not available, SandboxFailed where it breaks down meanwhile.
    """

    # Imports are done, so that definitions take milliseconds.
    definition_seconds = 20.0

    def __init__(
        self,
        submission: Submission,
        guarded: Sequence[str],
        level: SandboxLevel,
        slot: int,
        call_seconds: float | None = None,
        template: WorkerTemplate | None = None,
    ):
        super().__init__(submission, guarded, call_seconds)
        require(level)
        self._slot = slot
        self._template = template
        self._level: SandboxLevel = level

    def renew(self) -> None:
        self._stop()

    def _connect(self) -> Connection:
        if sys.platform != "linux":
            return PipedProcess()
        return SandboxedWorker(self._template or shared_template(self._level), self._slot)
