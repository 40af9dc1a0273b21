"""D06: a grandchild in a session of its own that holds every descriptor open and outlives its parents."""

import os
import time


def difference_of_means(acts, labels):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os._exit(0)
