"""B16: a tensor of a layout that cannot be looked into."""


def right(acts, labels):
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return right(acts, labels).to_sparse()
