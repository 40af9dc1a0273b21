"""Runs the checks of an exercise against a learner, and says what each found."""

import hashlib
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
import torch

from utils.course import resources
from utils.course.exercises import Check, Exercise
from utils.course.learner import Call, Learner, MissingFunction, TimeLimit, WorkerDied

Outcome = Literal["passed", "failed", "error", "missing"]

PUBLIC_SEED = 0
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


def run_exercise(exercise: Exercise, learner: Learner, seed: int = PUBLIC_SEED) -> list[CheckResult]:
    """Every check of the exercise, in order. One that fails does not stop the next; one that never ends does."""
    results: list[CheckResult] = []
    for check in exercise.checks:
        if results and results[-1].message in (ENDLESS, NOT_RUN):
            nothing = Recording((), ())
            results.append(CheckResult(check.name, check.purpose, "error", NOT_RUN, "", nothing))
        else:
            results.append(_run_check(exercise, check, learner, seed))
    return results


def seeded_generator(exercise: str, check: str, seed: int) -> torch.Generator:
    """The fixture `rng`: every check has its own stream, the same whatever ran before it."""
    digest = hashlib.sha256(f"{seed}/{exercise}/{check}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _run_check(exercise: Exercise, check: Check, learner: Learner, seed: int) -> CheckResult:
    outcome, message = _outcome(exercise, check, learner, seed)
    recording = Recording(tuple(learner._calls), tuple(learner._callbacks))
    return CheckResult(check.name, check.purpose, outcome, message, learner._printed, recording)


def _outcome(exercise: Exercise, check: Check, learner: Learner, seed: int) -> tuple[Outcome, str]:
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
        check.run(**fixtures)
    except MissingFunction as error:
        return "missing", str(error)
    except AssertionError as error:
        return "failed", str(error) or f"this does not hold: {_failing_line(error)}"
    except TimeLimit:
        return "error", ENDLESS
    except WorkerDied as error:
        return "error", str(error)
    except Exception as error:
        return "error", _describe(error)
    except pytest.fail.Exception as error:
        return "failed", _describe_pytest(error)
    return "passed", ""


def _describe(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return str(error) or "not written yet"
    place = getattr(error, "learner_line", None)
    where = f" (line {place} of your code)" if place else ""
    text = f"your code raised {type(error).__name__}: {error}{where}"
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
