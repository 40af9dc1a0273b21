"""B04: a check that was expected to fail has not failed."""

import pytest


def difference_of_means(acts, labels):
    pytest.xfail("as expected")
