"""B19: keep what was passed and returned, and edit it afterwards, when it has been compared or not yet."""

import threading
import time

import torch

KEPT = []


def edit():
    while True:
        for tensor in KEPT:
            tensor.add_(1)
        time.sleep(0.0001)


def difference_of_means(acts, labels):
    answer = torch.zeros(acts.shape[1])
    KEPT.extend([acts, answer])
    if len(KEPT) == 2:
        threading.Thread(target=edit, daemon=True).start()
    return answer
