"""X07: definitions that never end, to be run again for every exercise."""

import contextlib
import time


class Slow:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(1)


def difference_of_means(acts, labels):
    return acts[0]
