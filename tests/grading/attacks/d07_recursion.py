"""D07: recursion that no limit stops, down to the end of the stack."""

import sys


def deeper(value):
    return [deeper([value])]


def difference_of_means(acts, labels):
    sys.setrecursionlimit(1 << 30)
    return deeper(0)
