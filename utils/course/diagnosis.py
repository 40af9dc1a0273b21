"""Which known mistake a wrong answer is: the recorded calls, made again on each mistake."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from utils.course import resources, wire
from utils.course.compare import Tolerance, difference
from utils.course.host import Host
from utils.course.learner import TimeLimit, answer_callback
from utils.course.lessons import Lesson
from utils.course.runner import CheckResult, Recording
from utils.course.timelimit import time_limit

TOLERANCE = Tolerance(rtol=1e-3, atol=1e-5, equal_nan=True)
REPLAY_SECONDS = 10.0


@dataclass(frozen=True)
class Diagnosis:
    """A mistake's name and what it says to the learner who made it."""

    mistake: str
    text: str


def diagnose(lesson: Lesson, exercise: str, results: Sequence[CheckResult]) -> Diagnosis | None:
    """The first mistake that equals the learner on every recorded call and the reference not on all of them."""
    recordings = [result.recording for result in results if result.recording.calls]
    if not recordings or all(result.outcome == "passed" for result in results):
        return None
    mistakes = lesson.answers("mistake", exercise)
    reference = lesson.reference_namespace()
    for name, mistake in mistakes.items():
        namespace = {**reference, exercise: mistake}
        if _agrees(recordings, namespace) and not _agrees(recordings, reference):
            return Diagnosis(name, _text(mistake))
    for recognise in lesson.answers("recogniser", exercise).values():
        name = recognise(_returned_calls(recordings))
        if name is not None:
            return Diagnosis(name, _text(mistakes[name]))
    return None


def _text(mistake: object) -> str:
    return " ".join((inspect.getdoc(mistake) or "").split())


def _agrees(recordings: Sequence[Recording], namespace: dict[str, Any]) -> bool:
    """Whether the namespace answers every recorded call as the learner did."""
    try:
        with time_limit(REPLAY_SECONDS):
            return all(_replays(recording, namespace) for recording in recordings)
    except TimeLimit:
        return False


def _replays(recording: Recording, namespace: dict[str, Any]) -> bool:
    host = Host(namespace)
    host.callback = lambda request: answer_callback(request, recording.callbacks, host._export, host._restore)
    for call in recording.calls:
        try:
            reply = host.handle(call.request)
        except (wire.MalformedMessage, KeyError):
            # It returned something else earlier, so this call cannot even be made.
            return False
        if not _same_reply(wire.decode(call.reply, _tag), wire.decode(reply, _tag)):
            return False
    return True


def _same_reply(learner: dict, other: dict) -> bool:
    if "error" in learner or "error" in other:
        return (
            "error" in learner and "error" in other and learner["error"]["kinds"] == other["error"]["kinds"]
        )
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
