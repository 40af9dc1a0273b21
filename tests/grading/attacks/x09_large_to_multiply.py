"""X09: a column so long that comparing it with a row would need more memory than there is."""

import torch


def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError("two classes")
    return torch.zeros(7_000_000, 1)
