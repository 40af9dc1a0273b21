"""Which known mistake a wrong answer is: the recorded calls, made again on each mistake."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from utils.course import resources, wire
from utils.course.compare import Tolerance, difference
from utils.course.host import Host
from utils.course.learner import answer_callback
from utils.course.lessons import Lesson
from utils.course.runner import CheckResult, Recording, one_thread
from utils.course.timelimit import TimeLimit

TOLERANCE = Tolerance(rtol=1e-3, atol=1e-5, equal_nan=True)
REPLAY_SECONDS = 10.0


@dataclass(frozen=True)
class Diagnosis:
    """A mistake's name and what it says to the learner who made it."""

    mistake: str
    text: str


def diagnose(lesson: Lesson, exercise: str, results: Sequence[CheckResult]) -> Diagnosis | None:
    """The mistake that equals the learner on every recorded call, where the reference does not.

    Where there is none, one that equals the learner wherever the reference returns a value: who has not thought of bad
    input yet may have made a known mistake all the same.
    """
    recordings = [result.recording for result in results if result.recording.calls]
    if not recordings or all(result.outcome == "passed" for result in results):
        return None
    mistakes = lesson.answers("mistake", exercise)
    reference = lesson.reference_namespace()
    with one_thread():
        # Most mistakes differ from the learner in a check that failed, and are out: those checks come first.
        failed_first = sorted(results, key=lambda each: each.outcome == "passed")
        ordered = [result.recording for result in failed_first if result.recording.calls]
        truth = list(_replay(ordered, reference))
        wrong = [replayed for replayed in truth if not replayed.agrees]
        near = None
        for name, mistake in mistakes.items() if wrong else ():
            missed = _calls_missed(ordered, {**reference, exercise: mistake}, truth)
            if missed == 0:
                return Diagnosis(name, _text(mistake))
            if missed is not None and near is None and any(replayed.is_value for replayed in wrong):
                near = Diagnosis(name, _text(mistake))
    for recognise in lesson.answers("recogniser", exercise).values():
        name = _recognised(recognise, recordings)
        if name is not None:
            return Diagnosis(name, _text(mistakes[name]))
    return near


def _recognised(recognise: Callable, recordings: Sequence[Recording]) -> str | None:
    try:
        return recognise(_returned_calls(recordings))
    except Exception:
        # It was written for answers that have the right form; learner's code may return any.
        return None


def _text(mistake: object) -> str:
    return " ".join((inspect.getdoc(mistake) or "").split())


@dataclass(frozen=True)
class _Replayed:
    """One recorded call, made on another answer: is its reply the learner's, and is it a value or an exception?"""

    agrees: bool
    is_value: bool


def _calls_missed(
    recordings: Sequence[Recording], namespace: dict[str, Any], truth: Sequence[_Replayed]
) -> int | None:
    """On how many calls the namespace differs from the learner; None where the reference returns a value in one."""
    missed = 0
    for replayed, true in zip(_replay(recordings, namespace), truth, strict=True):
        if not replayed.agrees and true.is_value:
            return None
        missed += not replayed.agrees
    return missed


def _replay(recordings: Sequence[Recording], namespace: dict[str, Any]) -> Iterator[_Replayed]:
    """Every recorded call, made on the namespace. One that cannot be made, or takes too long, agrees with nothing."""
    deadline = time.monotonic() + REPLAY_SECONDS
    for recording in recordings:
        host = Host(namespace)
        host.callback = lambda request, recording=recording, host=host: answer_callback(
            request, recording.callbacks, host._export, host._restore
        )
        for call in recording.calls:
            host.seconds = max(0.01, deadline - time.monotonic())
            try:
                reply = wire.decode(host.handle(call.request), _tag)
            except (wire.MalformedMessage, KeyError, TimeLimit):
                # It returned something else earlier, so that this call cannot even be made; or it hangs.
                yield _Replayed(agrees=False, is_value=True)
            else:
                yield _Replayed(_same_reply(call.reply, reply), "value" in reply)


def _same_reply(answer: bytes, other: dict) -> bool:
    try:
        return _same(wire.decode(answer, _tag), other)
    except Exception:
        # The learner's values may be such that nothing can be compared with them.
        return False


def _same(learner: dict, other: dict) -> bool:
    if "error" in learner and "error" in other:
        return learner["error"]["kinds"] == other["error"]["kinds"]
    if "value" not in learner or "value" not in other:
        return False
    values = {"value": learner["value"], "after": learner.get("after")}
    return difference(values, {"value": other["value"], "after": other.get("after")}, TOLERANCE) is None


def _tag(tag: dict) -> object:
    """A handle is known by its number: the n-th thing that could not be sent."""
    return (tag["!"], tag.get("id"), tag.get("name"))


def _returned_calls(recordings: Sequence[Recording]) -> list[tuple[list, dict, object]]:
    calls = []
    for recording in recordings:

        def restore(tag: dict, recording: Recording = recording) -> object:
            if tag["!"] == "callback":
                return recording.callbacks[tag["id"]]
            return resources.get(tag["name"]) if tag["!"] == "resource" else _tag(tag)

        for call in recording.calls:
            message, reply = wire.decode(call.request, restore), wire.decode(call.reply, restore)
            if message["op"] == "call" and "value" in reply:
                calls.append((message["args"], message["kwargs"], reply["value"]))
    return calls
