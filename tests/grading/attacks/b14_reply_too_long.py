"""B14: a reply whose length says that it will be enormous."""

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
    forge(head(b"R", 4, 1 << 62), b"x" * 4096)
    return acts[0]
