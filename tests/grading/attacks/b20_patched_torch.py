"""B20: patch torch in one exercise to break, or help, the next."""

import torch


def difference_of_means(acts, labels):
    torch.Tensor.mean = lambda self, *args, **kwargs: torch.zeros(())
    torch.Tensor.sum = torch.sum = torch.mean = lambda *args, **kwargs: torch.zeros(())
    torch.manual_seed = lambda *args: None
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    return acts[0]
