"""B16: infinity: inf - inf is NaN, and NaN is not greater than a tolerance."""


def right(acts, labels):
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return right(acts, labels) * float("inf")
