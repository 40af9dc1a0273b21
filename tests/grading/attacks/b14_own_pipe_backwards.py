"""B14: open one's own pipes again in the other direction, to forge the grader's requests or read what it will read."""

import os


def difference_of_means(acts, labels):
    for name in os.listdir("/proc/self/fd"):
        for flags in (os.O_WRONLY | os.O_NONBLOCK, os.O_RDONLY | os.O_NONBLOCK):
            try:
                descriptor = os.open(f"/proc/self/fd/{name}", flags)
            except OSError:
                continue
            try:
                os.write(descriptor, b"Q" + bytes(12))
            except OSError:
                continue
    return acts[0]
