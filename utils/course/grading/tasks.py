"""What the coordinator asks of a grading process. Only there is torch imported: the coordinator stays small."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.course.grading.marking import TransportFactory
    from utils.course.grading.sandbox.levels import SandboxLevel

DIAGNOSIS_SECONDS = 30.0
# For one exercise, beyond the student's own time: what the checks themselves may take, and the start of a worker.
CHECK_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """One student's files (name, path), and where everything lies that grading them needs: paths and texts only."""

    student: str
    files: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    assignment: str
    seed_file: str
    hidden: str | None
    sandbox: SandboxLevel


# The threads of a process (a Dask worker's) share its checks, its models and torch's settings.
_one_at_a_time = threading.Lock()


def blank(assignment: str, hidden: str | None, sandbox: SandboxLevel) -> list[dict]:
    """See `marking.blank_lessons`."""
    with _one_at_a_time:
        from utils.course.grading.marking import blank_lessons

        return blank_lessons(Path(assignment), Path(hidden) if hidden else None, sandbox)


def mark(job: Job, slot: int, transport: TransportFactory | None = None) -> list[dict]:
    """See `marking.mark_job`."""
    with _one_at_a_time:
        from utils.course.grading.marking import mark_job, open_transport

        return mark_job(job, slot, transport or open_transport)
