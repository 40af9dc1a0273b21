"""Code that runs too long is stopped, whatever it swallows, and what comes after it is never interrupted."""

import importlib
import re
import signal
import sys
import threading
import time

import pytest

from utils.course import timelimit
from utils.course.timelimit import TimeLimit, limited


def pure_loop():
    while True:
        pass


def swallows_exceptions():
    while True:
        try:
            sum(range(100))
        except Exception:
            continue


def swallows_everything():
    while True:
        try:
            sum(range(100))
        except BaseException:
            continue


def swallows_in_layers():
    def inner():
        try:
            pure_loop()
        finally:
            pure_loop()

    while True:
        try:
            inner()
        except BaseException:
            continue


def sleeps():
    time.sleep(60)


def huge_power():
    return 9**9**9


def backtracks():
    return re.match("(a+)+$", "a" * 40 + "b")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(timelimit, "AGAIN_AFTER", 0.02)


@pytest.mark.parametrize(
    "work",
    [
        pure_loop,
        swallows_exceptions,
        swallows_everything,
        swallows_in_layers,
        sleeps,
        huge_power,
        backtracks,
    ],
)
def test_stops(work):
    start = time.perf_counter()
    with pytest.raises(TimeLimit):
        limited(0.1, work)
    assert time.perf_counter() - start < 20
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("work", [pure_loop, swallows_exceptions])
def test_stops_in_a_thread(work):
    caught = []

    def run():
        try:
            limited(0.1, work)
        except TimeLimit as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert len(caught) == 1


def test_returns_and_leaves_no_alarm():
    assert limited(0.1, lambda: 3) == 3
    assert limited(None, lambda: 3) == 3
    time.sleep(0.15)


@pytest.mark.parametrize("in_thread", [False, True])
def test_no_import_is_left_half_done(in_thread, tmp_path, monkeypatch):
    name = f"slow_to_import_{in_thread}"
    (tmp_path / f"{name}.py").write_text("import time\ntime.sleep(0.3)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        importlib.import_module(name)
        pure_loop()

    def stop():
        with pytest.raises(TimeLimit):
            limited(0.05, work)

    if in_thread:
        thread = threading.Thread(target=stop)
        thread.start()
        thread.join(10)
    else:
        stop()
    assert sys.modules.pop(name).whole


def test_an_import_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(timelimit, "IMPORT_SECONDS", 0.2)
    (tmp_path / "never_imported.py").write_text("while True: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TimeLimit):
        limited(0.05, lambda: importlib.import_module("never_imported"))


def test_the_outer_limit_holds_after_an_inner_one():
    def work():
        limited(5, lambda: None)
        pure_loop()

    with pytest.raises(TimeLimit):
        limited(0.2, work)


def test_nothing_is_raised_in_what_comes_after():
    """The alarm may go off at the very moment when the work is over."""
    for _ in range(50):
        done = False
        try:
            limited(0.002, lambda: time.sleep(0.00195))
        except TimeLimit:
            pass
        finally:
            time.sleep(0.001)
            done = True
        assert done
