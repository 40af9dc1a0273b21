"""B16: a row for each text, one of which will be right."""


def right(acts, labels):
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return right(acts, labels).expand(len(acts), -1)
