"""X10: stop oneself, and every child, so that nothing ever ends by itself."""

import os
import signal


def difference_of_means(acts, labels):
    for _ in range(5):
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        signal.pause()
