"""B04: unittest's way to skip."""

import unittest


def difference_of_means(acts, labels):
    raise unittest.SkipTest("not today")
