"""What a worker can do to the grader by the bytes it sends, or does not send: no sandbox is needed to try."""

import json
import os
import struct
import sys
import threading
import time

import numpy as np
import pytest
import torch

from utils.course import resources, wire
from utils.course.compare import assert_close
from utils.course.frames import HEAD, LOAD, PAYLOAD_LIMIT, REPLY, REQUEST, RESET, Frame
from utils.course.grading.bounds import bounded_memory
from utils.course.grading.budget import Budget
from utils.course.grading.sandbox.connection import PipeConnection
from utils.course.learner import ArgumentsChanged, Learner, UnreadableAnswer, WorkerDied
from utils.course.submissions import Chunk, Submission
from utils.course.timelimit import TimeLimit
from utils.course.worker_transport import WorkerTransport


class Scripted:
    """A transport whose worker answers with whatever the test says."""

    def __init__(self, *replies: bytes):
        self.replies = list(replies)

    def defined(self, name):
        return True

    def send(self, request, callback):
        return self.replies.pop(0)

    def prepare(self, resource):
        pass

    def reset(self):
        pass

    def renew(self):
        pass


def raw(tree: object) -> bytes:
    """A message with this JSON, whatever it is."""
    header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "big") + header


def raw_reply(**parts: object) -> bytes:
    return raw({"!": "dict", "items": [list(part) for part in parts.items()]})


def reply_with(tag: dict) -> Learner:
    return Learner(Scripted(raw_reply(value=tag)))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8 + b"{}",
        raw([1, 2]),
        raw_reply(),
        raw_reply(value=1, error=2),
        raw_reply(value={"no": "tag"}),
        raw_reply(value={"!": "handle", "id": [], "type": "x"}),
        raw_reply(value={"!": "handle"}),
        raw_reply(value={"!": "tensor", "at": "0"}),
        raw_reply(value={"!": "resource", "name": "tiny_model"}),
        raw_reply(value={"!": "resource", "name": "os.system"}),
        raw_reply(value={"!": "exec", "code": "1"}),
        raw_reply(value={"!": "dict", "items": [[{"!": "dict", "items": []}, 1]]}),
        raw_reply(value=1, printed=7),
        raw_reply(value=1, after=[1]),
        raw_reply(unreadable=7),
        raw_reply(error="ValueError"),
        raw_reply(error={"!": "dict", "items": [["kinds", []], ["message", "m"]]}),
        raw_reply(error={"!": "dict", "items": [["kinds", [["ValueError"]]], ["message", "m"]]}),
        raw_reply(error={"!": "dict", "items": [["kinds", ["ValueError"]], ["message", 1]]}),
        raw_reply(error={"!": "dict", "items": [["kinds", ["A"]], ["message", "m"], ["line", "x"]]}),
        len(b"[" * 10**6).to_bytes(8, "big") + b"[" * 10**6,
        raw_reply(value=1)[:8] + b'{"!": "dict", "items": [["value", ' + b"9" * 5000 + b"]]}",
    ],
)
def test_malformed_replies_are_the_workers_failure(reply):
    with pytest.raises(WorkerDied, match="the reply"):
        Learner(Scripted(reply)).f(1)


def test_values_are_of_the_exact_types():
    values = [1, 1.5, True, None, "text", b"bytes", (1,), {1}, {"a": 1}, torch.ones(2), np.ones(2)]
    for value in wire.decode(wire.encode(values)):
        assert type(value).__module__ in ("builtins", "torch", "numpy")


def test_a_callback_that_comes_back_is_no_function():
    """The grader's own function must not answer for the learner's."""
    for number in (0, -1, 5):
        learner = reply_with({"!": "callback", "id": number})
        returned = learner.f(lambda values: torch.tensor([3.0, 7.0]))
        assert not callable(returned)
        with pytest.raises(AssertionError):
            assert_close(returned, torch.tensor([3.0, 7.0]))


def test_only_resources_that_were_passed_come_back():
    model = resources.get("tiny_board_model")
    learner = reply_with({"!": "resource", "name": "tiny_board_model"})
    assert learner.f(model) is model
    learner = reply_with({"!": "resource", "name": "tiny_model"})
    with pytest.raises(WorkerDied):
        learner.f(model)


def test_a_handle_is_neither_true_nor_false():
    learner = reply_with({"!": "handle", "id": 0, "type": "Equal" * 1000})
    handle = learner.f(1)
    with pytest.raises(UnreadableAnswer, match="where a check expects a value"):
        assert handle
    assert handle != 3.0
    assert len(repr(handle)) < 100
    for operation in (lambda: handle > 0, lambda: handle - 1, lambda: len(handle), lambda: float(handle)):
        with pytest.raises(TypeError):
            operation()


@pytest.mark.parametrize("kind", ["StopIteration", "StopAsyncIteration"])
def test_no_error_ends_a_loop_of_the_check(kind):
    error = {"!": "dict", "items": [["kinds", [kind]], ["message", "m"], ["line", None]]}
    learner = Learner(Scripted(*[raw_reply(error=error)] * 3))
    with pytest.raises(RuntimeError):
        all(map(learner.f, [1, 2, 3]))


@pytest.mark.parametrize(
    "kind", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "print", "__import__", "exec"]
)
def test_no_error_leaves_the_check(kind):
    error = {"!": "dict", "items": [["kinds", [kind]], ["message", "m"]]}
    with pytest.raises(RuntimeError):
        Learner(Scripted(raw_reply(error=error))).f(1)


def test_a_stored_tensor_is_used_once():
    """Or a small message makes ten thousand generators."""
    message = wire.encode({"value": [torch.Generator()]})
    size = 8 + int.from_bytes(message[:8], "big")
    header = json.loads(message[8:size])
    header["items"][0][1] *= 10_000
    encoded = json.dumps(header).encode()
    forged = len(encoded).to_bytes(8, "big") + encoded + message[size:]
    with pytest.raises(wire.MalformedMessage):
        wire.decode(forged)


def test_large_headers_are_refused_before_they_are_read():
    text = b"[" + b"[]," * 1_000_000 + b"[]]"
    began = time.monotonic()
    with pytest.raises(wire.MalformedMessage, match="over the limit"):
        wire.decode(len(text).to_bytes(8, "big") + text)
    assert time.monotonic() - began < 1


def test_too_much_is_unreadable_not_malformed():
    for value in ([[]] * 1_000_000, torch.zeros(PAYLOAD_LIMIT // 4 + 1)):
        with pytest.raises(wire.Unsendable, match="more than a check takes"):
            wire.encode(value)


@pytest.mark.parametrize("name", ["float32", "int64"])
def test_dtypes_come_back(name):
    assert wire.decode(raw({"!": "dtype", "name": name})) is getattr(torch, name)


@pytest.mark.parametrize("name", ["os", "_dynamo", "load", "__dict__", ""])
def test_nothing_but_dtypes_is_a_dtype(name):
    with pytest.raises(wire.MalformedMessage):
        wire.decode(raw({"!": "dtype", "name": name}))


def after(args: list, kwargs: dict | None = None) -> bytes:
    return wire.encode({"value": 1, "after": {"args": args, "kwargs": kwargs or {}}})


@pytest.mark.parametrize(
    ("passed", "returned"),
    [
        (torch.ones(3), torch.zeros(3)),
        (torch.ones(3), torch.zeros(4)),
        (torch.ones(3), torch.ones(3, dtype=torch.float64)),
        (torch.ones(3), None),
        (np.ones(3), np.zeros(3)),
        ([1, 2], [1, 3]),
        ([1, 2], [1, 2, 3]),
        ((1, [2]), (1, [3])),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({1, 2}, {1}),
        ([torch.ones(1)], [torch.zeros(1)]),
        ("text", "other"),
    ],
)
def test_changed_arguments_are_an_error_where_strict(passed, returned):
    """A check that computes what it expects from its own inputs must not compute it from the learner's."""
    before = wire.encode(passed)
    learner = Learner(Scripted(after([passed]), after([returned])), strict=True)
    assert learner.f(passed) == 1
    with pytest.raises(ArgumentsChanged, match="work on a copy"):
        learner.f(passed)
    assert wire.encode(passed) == before


def test_nan_is_no_change():
    values = torch.tensor([float("nan"), 1.0])
    assert Learner(Scripted(after([values])), strict=True).f(values) == 1


def test_a_generator_moves_on_but_not_where_the_learner_says():
    one, two = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    chosen, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    learner = Learner(Scripted(after([chosen]), after([other])), strict=True)
    learner.f(one)
    learner.f(two)
    draws = [
        torch.rand(2, generator=g).tolist() for g in (one, two, chosen, torch.Generator().manual_seed(3))
    ]
    assert draws[0] == draws[1]
    assert draws[0] not in draws[2:]


class Pipes(WorkerTransport):
    """A transport whose worker is a function that reads and writes at the other ends of two pipes."""

    definition_seconds = 0.5

    def __init__(self, worker, call_seconds=0.5):
        super().__init__(Submission("s", [Chunk("def f(): pass", "s.py", 1)]), (), call_seconds)
        self.worker = worker

    def _connect(self):
        source, self.sink = os.pipe()
        self.source, sink = os.pipe()
        thread = threading.Thread(target=self._run, args=(source, sink), daemon=True)
        thread.start()
        return PipeConnection(self.source, self.sink)

    def _run(self, source, sink):
        try:
            self.worker(PipeConnection(source, sink))
        except (EOFError, OSError):
            pass
        finally:
            for descriptor in (source, sink):
                os.close(descriptor)


def answering(answer):
    """A worker that loads as it should, and answers a request as the test says."""

    def work(connection):
        while True:
            frame = connection.read(time.monotonic() + 5)
            if frame.kind == REQUEST:
                answer(connection, frame)
            else:
                loaded = wire.encode({"defined": ["f"], "notes": []}) if frame.kind == LOAD else b""
                connection.write(Frame(REPLY, frame.number, loaded), time.monotonic() + 5)

    return work


def send(connection, *frames):
    for frame in frames:
        connection.write(frame, time.monotonic() + 5)


ONE = wire.encode({"value": 1})


def test_an_honest_worker():
    with Pipes(answering(lambda c, f: send(c, Frame(REPLY, f.number, ONE)))) as transport:
        learner = Learner(transport)
        assert learner.f() == 1
        learner._begin()
        assert learner.f() == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda c, f: send(c, Frame(REPLY, f.number + 1, ONE)),
        lambda c, f: send(c, Frame(REPLY, 0, ONE)),
        lambda c, f: send(c, Frame(b"!", f.number, ONE)),
        lambda c, f: send(c, Frame(RESET, f.number, ONE)),
        lambda c, f: os.write(c._sink, HEAD.pack(REPLY, f.number, PAYLOAD_LIMIT + 1)),
        lambda c, f: os.write(c._sink, struct.pack(">cIQ", REPLY, f.number, 1 << 63)),
        lambda c, f: os.write(c._sink, os.urandom(64)),
    ],
)
def test_what_is_no_reply_ends_the_worker(forge):
    with Pipes(answering(forge)) as transport:
        learner = Learner(transport)
        with pytest.raises((WorkerDied, TimeLimit)):
            learner.f()
        assert transport._connection is None
        with pytest.raises(WorkerDied, match="has ended"):
            learner.f()


def test_replies_ahead_of_their_calls_are_not_taken():
    def flood(connection, frame):
        send(connection, *[Frame(REPLY, frame.number, ONE)] * 3)

    with Pipes(answering(flood)) as transport:
        learner = Learner(transport)
        assert learner.f() == 1
        with pytest.raises(WorkerDied, match="no reply"):
            learner.f()


def test_a_dripped_reply_has_one_deadline():
    def drip(connection, frame):
        for byte in Frame(REPLY, frame.number, ONE).encode():
            os.write(connection._sink, bytes([byte]))
            time.sleep(0.1)

    began = time.monotonic()
    with Pipes(answering(drip)) as transport, pytest.raises(TimeLimit):
        Learner(transport).f()
    assert time.monotonic() - began < 3


def test_a_worker_that_does_not_read_does_not_hold_the_grader():
    def deaf(connection, frame):
        send(connection, Frame(REPLY, frame.number, ONE))
        time.sleep(5)

    with Pipes(answering(deaf)) as transport:
        learner = Learner(transport)
        assert learner.f(0) == 1
        with pytest.raises(TimeLimit):
            learner.f(torch.zeros(1 << 20))


def test_a_flood_waits_in_the_pipe():
    def flood(connection, frame):
        send(connection, Frame(REPLY, frame.number, ONE))
        while True:
            os.write(connection._sink, bytes(1 << 16))

    with Pipes(answering(flood)) as transport:
        learner = Learner(transport)
        assert learner.f() == 1
        time.sleep(0.3)
        with pytest.raises((WorkerDied, TimeLimit)):
            learner.f()


def test_many_slow_calls_have_a_limit_together():
    def slow(connection, frame):
        time.sleep(0.2)
        send(connection, Frame(REPLY, frame.number, ONE))

    with Pipes(answering(slow)) as transport:
        learner = Learner(Budget(transport, 0.7))
        with pytest.raises(TimeLimit):
            list(map(learner.f, range(100)))


def test_many_large_replies_have_a_limit_together():
    with Pipes(
        answering(lambda connection, frame: send(connection, Frame(REPLY, frame.number, ONE)))
    ) as transport:
        learner = Learner(Budget(transport, 60, reply_bytes=4 * len(ONE)))
        with pytest.raises(WorkerDied, match="more than a check can look at"):
            list(map(learner.f, range(5)))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_memory_of_the_grader_is_bounded():
    column = torch.zeros(1 << 20, 1)
    with bounded_memory(), pytest.raises((MemoryError, RuntimeError)):
        torch.eq(column, column.T[:, : 1 << 13])
    assert torch.eq(column, column).all()


def test_loading_has_a_limit_however_often():
    def slow(connection):
        while True:
            frame = connection.read(time.monotonic() + 5)
            time.sleep(0.3 if frame.kind == LOAD else 0)
            loaded = wire.encode({"defined": ["f"], "notes": []}) if frame.kind == LOAD else b""
            connection.write(Frame(REPLY, frame.number, loaded), time.monotonic() + 5)
            if frame.kind == LOAD:
                return

    transport = Pipes(slow)
    transport._loading_left = 1.0
    began = time.monotonic()
    with transport:
        learner = Learner(transport)
        for _ in range(50):
            learner._begin()
        with pytest.raises(WorkerDied, match="definitions"):
            learner.f()
    assert time.monotonic() - began < 10
