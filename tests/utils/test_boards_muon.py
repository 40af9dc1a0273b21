"""Our Muon against torch's, which iterates in bfloat16, and against what the iteration is for."""

import pytest
import torch

from utils.boards.muon import Muon, orthogonalised

SHAPES = ((6, 24), (24, 6), (8, 8), (1, 5))


def test_steps_like_torchs():
    """The same parameters after several steps, up to bfloat16's rounding in torch's."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(24, 96, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimisers = [
        Muon([ours], lr=0.02, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1),
    ]
    for _ in range(3):
        gradient = torch.randn(24, 96, generator=generator)
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_near_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(1000 * matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_a_gradient_of_zeros_moves_nothing():
    parameter = torch.nn.Parameter(torch.ones(4, 3))
    parameter.grad = torch.zeros(4, 3)
    Muon([parameter], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(parameter.detach(), torch.ones(4, 3))
