"""B14: frames that mean something else: ready, defining, callbacks without number, unknown kinds."""

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
    forge(*[head(kind, 4, 2) + b"{}" for kind in (b"Y", b"D", b"C", b"L", b"A", b"P", b"!", b"\x00")])
    return acts[0]
