"""B05: act later: at exit, in a finaliser, on a signal, in a thread."""

import atexit
import os
import signal
import threading
import time


class Bomb:
    def __del__(self):
        os._exit(0)


def difference_of_means(acts, labels):
    atexit.register(os._exit, 0)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, lambda *_: os._exit(0))

    def later():
        time.sleep(0.05)
        os._exit(0)

    threading.Thread(target=later, daemon=True).start()
    acts.bomb = Bomb()
    return acts[0]
