"""B06: the same for numpy, through `__array_function__` and `__array_ufunc__`."""

import numpy as np


class Equal(np.ndarray):
    def __array_function__(self, function, types, args, kwargs):
        return True

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        return np.zeros(self.shape)

    def __eq__(self, other):
        return True

    __hash__ = None


def difference_of_means(acts, labels):
    return np.zeros(acts.shape[1]).view(Equal)
