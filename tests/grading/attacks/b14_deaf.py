"""B14: never read again, so that a grader which writes a large request waits for ever."""

import os
import time


def difference_of_means(acts, labels):
    pid = os.fork()
    if pid == 0:
        while True:
            time.sleep(1)
    for descriptor in range(3, 32):
        try:
            os.close(descriptor)
        except OSError:
            continue
    while True:
        time.sleep(1)
