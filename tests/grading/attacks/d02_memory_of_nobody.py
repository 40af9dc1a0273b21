"""D02: memory that belongs to no process: files in memory, System V segments, pipes that are never read."""

import ctypes
import os


def difference_of_means(acts, labels):
    libc, got, kept = ctypes.CDLL(None), 0, []
    for number in range(64):
        descriptor = libc.memfd_create(b"hidden", 0)
        if descriptor >= 0:
            got += os.write(descriptor, bytes(60 << 20))
        if libc.shmget(number + 1, 60 << 20, 0o1600) >= 0:
            got += 60 << 20
    for _ in range(80):
        try:
            ends = os.pipe()
            os.set_blocking(ends[1], False)
            kept.append(ends)
            got += os.write(ends[1], bytes(1 << 20))
        except OSError:
            continue
    raise ValueError(f"hid {got >> 20} MB")
