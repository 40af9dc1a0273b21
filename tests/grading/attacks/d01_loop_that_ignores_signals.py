"""D01: a loop that swallows whatever is raised in it, and ignores every signal that it can."""

import signal


def difference_of_means(acts, labels):
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            continue
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
