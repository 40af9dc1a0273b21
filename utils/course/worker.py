"""The process in which a submission's code runs apart from its checks: `python -m utils.course.worker`.

Reads frames from standard input, writes frames to standard output, and utters no verdict.
"""

import os
import signal
import sys

from utils.course import resources, wire
from utils.course.guard import Guard
from utils.course.host import Host
from utils.course.submissions import Chunk, Submission
from utils.course.transports import (
    ANSWER,
    CALLBACK,
    LOAD,
    PREPARE,
    REPLY,
    REQUEST,
    RESET,
    read_frame,
    write_frame,
)


def main() -> None:
    # ctrl-C at the terminal reaches the whole group: the checks decide what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # The learner's own reads and prints must not meet the frames.
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    sys.stdin = open(os.devnull)  # noqa: SIM115

    def callback(request: bytes) -> bytes:
        write_frame(sink, CALLBACK, request)
        kind, payload = read_frame(source)
        if kind != ANSWER:
            raise SystemExit("expected an answer to a callback")
        return payload

    namespace: dict = {}
    guard = Guard()
    host = Host(namespace)
    while True:
        try:
            kind, payload = read_frame(source)
        except EOFError:
            return
        if kind == LOAD:
            load = wire.decode(payload)
            submission = Submission("submission", [Chunk(*chunk) for chunk in load["chunks"]])
            namespace = submission.namespace()
            guard = Guard(load["guarded"])
            host = Host(namespace, callback, guard)
            loaded = {"defined": [str(name) for name in namespace], "notes": submission.notes}
            write_frame(sink, REPLY, wire.encode(loaded))
        elif kind == PREPARE:
            resources.get(wire.decode(payload))
            write_frame(sink, REPLY, b"")
        elif kind == RESET:
            host = Host(namespace, callback, guard)
        elif kind == REQUEST:
            write_frame(sink, REPLY, host.handle(payload))


if __name__ == "__main__":
    main()
