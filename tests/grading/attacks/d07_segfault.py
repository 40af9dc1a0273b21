"""D07: a crash of the interpreter."""

import ctypes


def difference_of_means(acts, labels):
    ctypes.string_at(0)
