"""C02: bytes that are a pickle, a torch file, a numpy file with objects."""

import io
import os
import pickle

import torch


class Trap:
    def __reduce__(self):
        return os.system, ("touch /tmp/owned-by-pickle",)


def difference_of_means(acts, labels):
    buffer = io.BytesIO()
    torch.save(Trap(), buffer)
    return [pickle.dumps(Trap()), buffer.getvalue()]
