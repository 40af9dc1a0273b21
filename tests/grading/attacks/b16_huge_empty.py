"""B16: no numbers at all, but a dimension of 2⁴⁰."""

import torch


def right(acts, labels):
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return torch.zeros(0, 1 << 40)
