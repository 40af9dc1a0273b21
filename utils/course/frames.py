"""One message between the checks and a worker: its kind, the number of the request it belongs to, a length, bytes."""

import struct
from dataclasses import dataclass
from typing import IO

# From the checks: load the definitions, build a resource, forget the handles, a request, the answer to a callback.
LOAD, PREPARE, RESET, REQUEST, ANSWER = b"L", b"P", b"Z", b"Q", b"A"
# From the worker: ready for the definitions, about to run one of them, the reply, a call of a grader's function.
READY, DEFINING, REPLY, CALLBACK = b"Y", b"D", b"R", b"C"

HEAD = struct.Struct(">cIQ")
# A reply of the course's own solutions has 24 kB.
PAYLOAD_LIMIT = 32 << 20


@dataclass(frozen=True)
class Frame:
    """A message as it crosses."""

    kind: bytes
    number: int
    payload: bytes = b""

    def encode(self) -> bytes:
        return HEAD.pack(self.kind, self.number, len(self.payload)) + self.payload


def decode_head(head: bytes) -> tuple[bytes, int, int]:
    """Kind, number and size of the payload that follows. Raises ValueError for a size beyond the limit."""
    kind, number, size = HEAD.unpack(head)
    if size > PAYLOAD_LIMIT:
        raise ValueError(f"a message of {size} bytes is over the limit of {PAYLOAD_LIMIT}")
    return kind, number, size


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    stream.write(frame.encode())
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame:
    """The next message. Raises EOFError at the end, ValueError for a length beyond the limit."""
    kind, number, size = decode_head(_exactly(stream, HEAD.size))
    return Frame(kind, number, _exactly(stream, size))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
