"""The process in which a submission's code runs apart from its checks: `python -m utils.course.worker`.

Reads frames from standard input, writes frames to standard output, and utters no verdict.
"""

import os
import signal
import sys
from typing import IO

from utils.course import resources, wire
from utils.course.frames import (
    ANSWER,
    CALLBACK,
    DEFINING,
    LOAD,
    PREPARE,
    REPLY,
    REQUEST,
    RESET,
    Frame,
    read_frame,
    write_frame,
)
from utils.course.guard import Guard
from utils.course.host import Host
from utils.course.submissions import Chunk, Submission


def main() -> None:
    """A worker of its own: frames come from standard input."""
    # ctrl-C at the terminal reaches the whole group: the checks decide what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # The learner's own reads and prints must not meet the frames.
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    serve(source, sink)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer frames until there are no more."""
    namespace: dict = {}
    guard = Guard()
    host = Host(namespace)
    while True:
        try:
            frame = read_frame(source)
        except EOFError:
            return

        def send(kind: bytes, payload: bytes, number: int = frame.number) -> None:
            write_frame(sink, Frame(kind, number, payload))

        def callback(request: bytes) -> bytes:
            send(CALLBACK, request)
            answer = read_frame(source)
            if answer.kind != ANSWER:
                raise SystemExit("expected an answer to a callback")
            return answer.payload

        reply = b""
        if frame.kind == LOAD:
            load = wire.decode(frame.payload)
            submission = Submission("submission", [Chunk(*chunk) for chunk in load["chunks"]])
            namespace = submission.namespace(lambda index: send(DEFINING, index.to_bytes(4, "big")))
            guard = Guard(load["guarded"])
            host = Host(namespace, guard=guard)
            reply = wire.encode({"defined": [str(name) for name in namespace], "notes": submission.notes})
        elif frame.kind == PREPARE:
            resources.get(wire.decode(frame.payload))
        elif frame.kind == RESET:
            host = Host(namespace, guard=guard)
        elif frame.kind == REQUEST:
            host.callback = callback
            reply = host.handle(frame.payload)
        send(REPLY, reply)


if __name__ == "__main__":
    main()
