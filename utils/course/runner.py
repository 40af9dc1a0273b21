"""Runs the checks of an exercise against a learner, and says what each found."""

import hashlib
import linecache
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from threadpoolctl import threadpool_limits

from utils.course import resources
from utils.course.errors import CourseError
from utils.course.exercises import Check, Exercise
from utils.course.learner import (
    ArgumentsChanged,
    Call,
    Learner,
    MissingFunction,
    UnreadableAnswer,
    WorkerDied,
)
from utils.course.text import readable
from utils.course.timelimit import TimeLimit, limited

Outcome = Literal["passed", "failed", "error", "missing"]

PUBLIC_SEED = 0
MESSAGE_LIMIT = 400
ENDLESS = "your code ran too long and was stopped: is there a loop that never ends?"
NOT_RUN = "not run, because the check above had to be stopped"


@dataclass(frozen=True)
class Recording:
    """The calls that one check made, and the functions it passed in: enough to make them again elsewhere."""

    calls: tuple[Call, ...]
    callbacks: tuple[Callable, ...]


@dataclass(frozen=True)
class CheckResult:
    """What one check found. `message` is for the learner; empty where it passed."""

    name: str
    purpose: str
    outcome: Outcome
    message: str
    printed: str
    recording: Recording


def run_exercise(
    exercise: Exercise, learner: Learner, seed: int = PUBLIC_SEED, check_seconds: float | None = None
) -> list[CheckResult]:
    """Every check of the exercise, in order. One that fails does not stop the next; one that never ends does.

    check_seconds: how long one check may take in all, its own computing included; default: no limit.
    Raises CourseError where not the learner's code has failed but what runs it.
    """
    results: list[CheckResult] = []
    learner._renew()
    with one_thread():
        for check in exercise.checks:
            if results and results[-1].message in (ENDLESS, NOT_RUN):
                nothing = Recording((), ())
                results.append(CheckResult(check.name, check.purpose, "error", NOT_RUN, "", nothing))
            else:
                results.append(_run_check(exercise, check, learner, seed, check_seconds))
    return results


@contextmanager
def one_thread() -> Iterator[None]:
    """torch and BLAS on one thread: on small inputs, threads that wait for a busy core cost a hundredfold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def seeded_generator(exercise: str, check: str, seed: int) -> torch.Generator:
    """The fixture `rng`: every check has its own stream, the same whatever ran before it."""
    digest = hashlib.sha256(f"{seed}/{exercise}/{check}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _run_check(
    exercise: Exercise, check: Check, learner: Learner, seed: int, seconds: float | None
) -> CheckResult:
    outcome, message = _outcome(exercise, check, learner, seed, seconds)
    # Cut before anything looks at every character: it may be megabytes.
    shown, printed = readable(message[: MESSAGE_LIMIT + 1]), readable(learner._printed)
    message = shown if len(shown) <= MESSAGE_LIMIT else f"{shown[:MESSAGE_LIMIT]} …"
    recording = Recording(tuple(learner._calls), tuple(learner._callbacks))
    return CheckResult(check.name, check.purpose, outcome, message, printed, recording)


def _outcome(
    exercise: Exercise, check: Check, learner: Learner, seed: int, seconds: float | None
) -> tuple[Outcome, str]:
    try:
        learner._begin()
        fixtures: dict[str, object] = {}
        for name in check.fixtures:
            if name == "learner":
                fixtures[name] = learner
            elif name == "rng":
                fixtures[name] = seeded_generator(exercise.name, check.name, seed)
            else:
                fixtures[name] = resources.get(name)
                learner._prepare(name)
        limited(seconds, lambda: check.run(**fixtures))
    except CourseError:
        raise
    except MissingFunction as error:
        return "missing", str(error)
    except TimeLimit:
        return "error", ENDLESS
    except ArgumentsChanged as error:
        return "failed", str(error)
    except (WorkerDied, UnreadableAnswer) as error:
        return "error", str(error)
    except AssertionError as error:
        if hasattr(error, "learner_kind"):
            return "error", _describe(error)
        return "failed", str(error) or f"this does not hold: {_failing_line(error)}"
    except Exception as error:
        return "error", _describe(error)
    except pytest.fail.Exception as error:
        return "failed", _describe_pytest(error)
    return "passed", ""


def _describe(error: Exception) -> str:
    if not hasattr(error, "learner_kind"):
        return f"the check cannot go on with what your code returned ({type(error).__name__}: {error})"
    if isinstance(error, NotImplementedError) and (not str(error) or "yours to write" in str(error)):
        return str(error) or "not written yet"
    kind, place = getattr(error, "learner_kind", ""), getattr(error, "learner_line", None)
    # Not str(error): a KeyError would quote its message a second time.
    message = str(error.args[0]) if error.args else ""
    what = f"{kind}: {message}" if message else kind
    text = f"your code raised {what}{f' (line {place} of your code)' if place else ''}"
    if isinstance(error, NameError):
        text += ". Checks see definitions only: pass it as an argument, or define it inside the function"
    return text


def _describe_pytest(error: BaseException) -> str:
    """What `pytest.raises` says where nothing was raised, in the learner's terms."""
    message = str(error)
    if message.startswith("DID NOT RAISE "):
        return f"expected a {message.removeprefix('DID NOT RAISE ')}, but your code returned without one"
    return message


def _failing_line(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    return linecache.getline(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno).strip()
