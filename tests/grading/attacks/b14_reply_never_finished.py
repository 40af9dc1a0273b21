"""B14: a reply of which only half ever comes."""

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
    forge(head(b"R", 4, 1 << 20), b"x" * 1024)
    os.kill(os.getpid(), 19)
    while True:
        os.sched_yield()
    return acts[0]
