"""Hands out jobs and takes back results, whatever becomes of the processes that do them."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

from utils.course.grading.pools import Pool
from utils.course.grading.tasks import Job

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Failed:
    """No result: the process that did the job ended, hung or raised. `reason` is for the instructor."""

    reason: str


@dataclass(frozen=True)
class _Running:
    job: Job
    slot: int
    started: float
    alone: bool


def dispatch(
    pool: Pool, jobs: Iterable[Job], call: Callable[[Job, int], Any], seconds: float
) -> Iterator[tuple[Job, Any]]:
    """`call(job, slot)` for every job, as results come in; Failed instead of one that could not be had.

    As many at a time as the pool does: what waits is not in anybody's memory. When a process ends, nobody knows which
    job ended it; those that were running are done again, each alone, and one that ends its process then has failed.
    A job that takes longer than `seconds` has failed too.
    """
    waiting, suspects = deque(jobs), deque[Job]()
    running: dict[Future, _Running] = {}

    def start(job: Job, alone: bool) -> None:
        used = {each.slot for each in running.values()}
        slot = next(number for number in itertools.count() if number not in used)
        running[pool.submit(call, job, slot)] = _Running(job, slot, time.monotonic(), alone)

    while waiting or suspects or running:
        if suspects and not running:
            start(suspects.popleft(), alone=True)
        while waiting and not suspects and len(running) < pool.size() and not _is_alone(running):
            start(waiting.popleft(), alone=False)
        done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        lost: list[_Running] = []
        for future in done:
            each = running.pop(future)
            try:
                result = future.result()
            except (BrokenExecutor, CancelledError):
                lost.append(each)
            except Exception as error:
                yield each.job, Failed(f"{type(error).__name__}: {error}")
            else:
                yield each.job, result
        overdue = [future for future, each in running.items() if time.monotonic() - each.started > seconds]
        for future in overdue:
            future.cancel()
            yield running.pop(future).job, Failed(f"it took longer than {seconds:.0f} s")
        if (lost or overdue) and pool.restart():
            lost += running.values()
            running.clear()
        for each in lost:
            if each.alone:
                yield each.job, Failed("the process that graded it ended")
            else:
                suspects.append(each.job)


def _is_alone(running: dict[Future, _Running]) -> bool:
    return any(each.alone for each in running.values())
