"""A limit on how long a block of the learner's code may run in this process."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from utils.course.learner import TimeLimit

AGAIN_AFTER = 0.2


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit inside the block once it has run for `seconds`, again and again until it gives way.

    Where there are no alarm signals (Windows, a thread), Python code is interrupted but a call into C is not.
    """
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        yield from _by_signal(seconds)
    else:
        yield from _by_thread(seconds)


def _by_signal(seconds: float) -> Iterator[None]:
    def expire(signum, frame):
        raise TimeLimit(f"stopped after {seconds:g} seconds")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_AFTER)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _by_thread(seconds: float) -> Iterator[None]:
    target = ctypes.c_ulong(threading.get_ident())
    finished = threading.Event()

    def expire():
        wait = seconds
        while not finished.wait(wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(target, ctypes.py_object(TimeLimit))
            wait = AGAIN_AFTER

    watcher = threading.Thread(target=expire, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
