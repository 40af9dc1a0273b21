"""A submission in the sandbox: a fresh worker for every exercise, forked from a process that has imported all."""

from collections.abc import Sequence

from utils.course.grading.sandbox.connection import SandboxedWorker
from utils.course.grading.sandbox.levels import SandboxLevel
from utils.course.grading.sandbox.template import WorkerTemplate, shared_template
from utils.course.submissions import Submission
from utils.course.worker_transport import Connection, WorkerTransport


class SandboxedTransport(WorkerTransport):
    """Drop-in for ProcessTransport on Linux, for code that nobody has looked at. Use as a context manager.

    level: see `levels.py`. slot: the n-th of the workers that run at the same time, each with a user of its own.
    template: default is this process's own.
    Raises SandboxFailed where the sandbox breaks down.
    """

    # Imports are done, and models built, so that definitions take milliseconds.
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
        self._template = template or shared_template(level)
        self._slot = slot

    def __enter__(self) -> "SandboxedTransport":
        # Before any time limit runs: imports take ten seconds, on a busy machine minutes.
        self._template.start()
        return self

    def renew(self) -> None:
        self._stop()

    def _connect(self) -> Connection:
        return SandboxedWorker(self._template, self._slot)
