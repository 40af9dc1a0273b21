"""D08: a return value larger than memory should hold twice."""

import torch


def difference_of_means(acts, labels):
    return torch.zeros(1 << 28)
