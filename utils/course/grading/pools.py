"""Where submissions are graded: in processes of this machine, or by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from utils.course.errors import CourseError

CONNECT_SECONDS = 20


class Pool(Protocol):
    """An executor, how many calls it carries out at a time, and a way to go on after one of them ended its process."""

    def size(self) -> int: ...

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future: ...

    def restart(self) -> bool:
        """Go on after a process ended or hung. Whether everything that was running is lost."""
        ...


class LocalPool:
    """Processes of this machine. They end with this one, however it ends, and take what they started with them."""

    def __init__(self, jobs: int):
        self._jobs = jobs
        self._start()

    def size(self) -> int:
        return self._jobs

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future:
        return self._executor.submit(function, *arguments)

    def restart(self) -> bool:
        self.close()
        self._start()
        return True

    def close(self) -> None:
        """End every process, at once."""
        self._lifeline.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        # "spawn": torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        end: Any
        end, self._lifeline = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(self._jobs, context, initializer=_enter, initargs=(end,))


def _enter(lifeline: Any) -> None:
    """The first thing that a grading process does."""
    # ctrl-C at the terminal reaches all processes; the coordinator decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Any) -> None:
    """Wait until the coordinator closes its end, or is gone; then end this process and what it started."""
    import psutil

    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    children: list[int] = []
    with contextlib.suppress(psutil.Error):
        children = [child.pid for child in psutil.Process().children(recursive=True)]
    # All at one go: whatever waits for one of them goes on, ends, and ends this thread before it has come to the next.
    kill = getattr(signal, "SIGKILL", signal.SIGTERM)
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, kill)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        # What was being started just now is of this group, too.
        os.killpg(os.getpid(), kill)
    os._exit(1)


class DaskPool:
    """The workers of a running Dask scheduler, which must see the course and the folders under the same paths."""

    def __init__(self, address: str):
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise CourseError("--scheduler needs Dask: pip install distributed") from error
        try:
            self._client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise CourseError(f"no Dask scheduler answers at {address}: {error}") from error
        self._executor = self._client.get_executor()
        if not self._client.nthreads():
            raise CourseError(
                f"the scheduler at {address} has no workers: start some (dask worker {address})"
            )

    def size(self) -> int:
        return max(1, len(self._client.nthreads()))

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future:
        return self._executor.submit(function, *arguments)

    def restart(self) -> bool:
        """Dask hands a lost worker's work to another one; what hangs on a worker stays there.

        Raises CourseError where the scheduler itself is gone.
        """
        if self._client.status != "running":
            raise CourseError(
                "the Dask scheduler is gone. What is graded is kept: run the command again to go on"
            )
        return False

    def close(self) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()


@contextmanager
def open_pool(jobs: int, scheduler: str | None) -> Iterator[Pool]:
    """A pool that is closed at the end. Raises CourseError where there is no such scheduler."""
    # Before the processes import torch. On small inputs, threads that wait for a busy core cost a hundredfold.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    pool = DaskPool(scheduler) if scheduler else LocalPool(jobs)
    try:
        yield pool
    finally:
        pool.close()
