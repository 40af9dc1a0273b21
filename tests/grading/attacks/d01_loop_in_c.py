"""D01: a computation within one C call, which no Python signal handler can interrupt."""

import re


def difference_of_means(acts, labels):
    re.match(r"(a+)+$", "a" * 64 + "b")
