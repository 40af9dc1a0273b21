"""D02: all memory there is."""

import torch


def difference_of_means(acts, labels):
    kept = []
    while True:
        kept.append(torch.ones(1 << 26))
