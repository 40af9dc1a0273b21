"""A limit on how long the learner's code may run in this process."""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TypeVar

T = TypeVar("T")

# Code that swallows the exception gets it again. Code that goes on swallowing gets it so soon that it meets one inside
# its own handler, where it cannot swallow it. How soon that is depends on the machine: 2 to 256 microseconds, in turn.
AGAIN_AFTER, SOON = 0.2, 2e-6
PATIENCE, TURNS = 5, 8
# A module that is left half imported stays broken: torch imports sympy, for seconds, at an optimizer's first step.
IMPORT_SECONDS = 60.0


class TimeLimit(BaseException):
    """The learner's code ran longer than a call may take. `except Exception` does not catch it."""


def limited(seconds: float | None, work: Callable[[], T]) -> T:
    """`work()`, in which TimeLimit is raised once it has run for `seconds`, again and again until it gives way.

    An import is waited for, up to IMPORT_SECONDS.
    Nothing is raised outside `work`: what the caller cleans up afterwards is never interrupted half-way. Where there
    are no alarm signals (Windows, a thread), a call into C is not interrupted, and code that swallows everything may
    go on.
    """
    if seconds is None:
        return work()
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        return _by_signal(seconds, work)
    return _by_thread(seconds, work)


def _by_signal(seconds: float, work: Callable[[], T]) -> T:
    raised = 0
    patience = time.monotonic() + seconds + IMPORT_SECONDS

    def run() -> T:
        return work()

    def expire(signum: int, frame: FrameType | None) -> None:
        nonlocal raised
        if _is_importing(run.__code__, frame) and time.monotonic() < patience:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
        elif _is_running(run.__code__, frame):
            raised += 1
            signal.setitimer(signal.ITIMER_REAL, _wait(raised))
            raise TimeLimit

    previous = signal.signal(signal.SIGALRM, expire)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *outer)


def _by_thread(seconds: float, work: Callable[[], T]) -> T:
    target = threading.get_ident()
    finished = threading.Event()
    patience = time.monotonic() + seconds + IMPORT_SECONDS

    def run() -> T:
        return work()

    def expire() -> None:
        raised, wait = 0, seconds
        while not finished.wait(wait):
            frame = sys._current_frames().get(target)
            if _is_importing(run.__code__, frame) and time.monotonic() < patience:
                wait = AGAIN_AFTER
            elif _is_running(run.__code__, frame):
                _raise_in(target, TimeLimit)
                raised += 1
                wait = _wait(raised)

    watcher = threading.Thread(target=expire, daemon=True)
    watcher.start()
    try:
        return run()
    finally:
        finished.set()
        watcher.join()
        _raise_in(target, None)


def _wait(raised: int) -> float:
    return AGAIN_AFTER if raised < PATIENCE else SOON * 2 ** (raised % TURNS)


def _is_running(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def _is_importing(code: CodeType, frame: FrameType | None) -> bool:
    importing = False
    while frame is not None and frame.f_code is not code:
        importing = importing or frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        frame = frame.f_back
    return importing and frame is not None


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Let another thread meet the exception at its next step; None takes back one that it has not met yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error else None
    )
