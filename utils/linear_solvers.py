"""The mathematics of linear probes, for a stack of layers at once. Everything is solved in float64.

Shapes: `layer` indexes the stack, `text` the rows, `d_model` the features. Every solver returns directions
and intercepts for raw activations: `acts @ coef + intercept`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPS = torch.finfo(torch.float64).eps


def solve_mass_mean(
    acts: Float[Tensor, "layer text d_model"], labels: Bool[Tensor, "text"], shrinkage: float | None
) -> tuple[Float[Tensor, "layer d_model"], Float[Tensor, "layer"]]:
    """mean(True) − mean(False), whitened unless `shrinkage` is None; zero midway between the class means.

    Whitened: Σ⁻¹ times that direction. Σ is the pooled within-class covariance, shrunk towards a multiple
    of the identity with the same trace: (1 − shrinkage)·Σ + shrinkage·(tr Σ / d_model)·I.
    Raises ValueError when the shrunk Σ is singular.
    Source: Marks & Tegmark 2023, arXiv:2310.06824, section 5.
    """
    acts = acts.double()
    true_mean, false_mean = acts[:, labels].mean(1), acts[:, ~labels].mean(1)
    direction = true_mean - false_mean
    if shrinkage is not None:
        own_mean = torch.where(labels[:, None], true_mean[:, None], false_mean[:, None])
        within = acts - own_mean
        covariance = within.mT @ within / acts.shape[1]
        level = covariance.diagonal(dim1=1, dim2=2).mean(1)
        covariance = (1 - shrinkage) * covariance
        covariance.diagonal(dim1=1, dim2=2).add_(shrinkage * level[:, None])
        factor, singular = torch.linalg.cholesky_ex(covariance)
        smallest, largest = factor.diagonal(dim1=1, dim2=2).aminmax(dim=1)
        # Rounding can let a singular matrix through the factorisation with a pivot of about sqrt(eps).
        if singular.any() or (smallest**2 <= acts.shape[2] * EPS * largest**2).any():
            raise ValueError(
                f"the within-class covariance is singular at shrinkage={shrinkage}: raise shrinkage"
            )
        direction = torch.cholesky_solve(direction.unsqueeze(-1), factor).squeeze(-1)
    midpoint = (true_mean + false_mean) / 2
    return direction, -(direction * midpoint).sum(1)


def solve_ridge(
    acts: Float[Tensor, "layer text d_model"], targets: Float[Tensor, "text target"], l2: float
) -> tuple[Float[Tensor, "layer d_model target"], Float[Tensor, "layer target"]]:
    """Minimise Σ‖targets − acts·W − intercept‖² + l2·‖W‖², the intercept unpenalised, in closed form.

    One Cholesky factor a layer serves all targets. With more features than rows the equivalent
    system of size `text` is solved instead of the one of size `d_model`.
    """
    mean, target_mean = acts.double().mean(1, keepdim=True), targets.double().mean(0)
    centred, residual = acts.double() - mean, targets.double() - target_mean
    wide = acts.shape[2] > acts.shape[1]
    gram = centred @ centred.mT if wide else centred.mT @ centred
    gram.diagonal(dim1=1, dim2=2).add_(l2)
    factor, singular = torch.linalg.cholesky_ex(gram)
    if singular.any():
        raise ValueError(f"the ridge system is singular to rounding at l2={l2}: raise l2")
    if wide:
        coef = centred.mT @ torch.cholesky_solve(residual.expand(len(acts), -1, -1), factor)
    else:
        coef = torch.cholesky_solve(centred.mT @ residual, factor)
    return coef, target_mean - (mean @ coef).squeeze(1)


def standardise(
    acts: Float[Tensor, "layer text d_model"],
) -> tuple[
    Float[Tensor, "layer text d_model"], Float[Tensor, "layer d_model"], Float[Tensor, "layer d_model"]
]:
    """Features with mean 0 and population standard deviation 1, the mean and the scale; all in float64.

    A constant feature (to rounding) keeps scale 1.
    """
    features = acts.to(torch.float64, memory_format=torch.contiguous_format, copy=True)
    mean = features.mean(1)
    features -= mean.unsqueeze(
        1
    )  # in place: at these sizes making another copy costs more than the arithmetic
    scale = torch.linalg.vector_norm(features, dim=1) / acts.shape[1] ** 0.5
    scale = torch.where(scale <= 10 * EPS * mean.abs(), 1.0, scale)
    features /= scale.unsqueeze(1)
    return features, mean, scale
