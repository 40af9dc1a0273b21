"""L2-regularised logistic regression for a stack of layers at once, to float64 precision.

Newton's method. Each Newton system is solved by conjugate gradients, preconditioned by one matrix a layer:
the Hessian with every row's weight p·(1 − p) replaced by the mean weight. Two things make it fast: with that
preconditioner a handful of products with the Hessian suffice, and those run in float32, because an
approximate step only changes how often the float64 gradient, which decides when to stop, is evaluated.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from utils.linear_solvers import standardise

GRADIENT_TOLERANCE = 1e-8
MAX_NEWTON_STEPS = 100


def solve_logistic(
    acts: Float[Tensor, "layer text d_model"], labels: Float[Tensor, "text"], l2: float
) -> tuple[Float[Tensor, "layer d_model"], Float[Tensor, "layer"]]:
    """Minimise mean log-loss + l2/2·‖w‖² on standardised features, the intercept unpenalised.

    labels: 0.0 or 1.0. Returns direction and intercept for **raw** activations.
    In scikit-learn's terms C = 1 / (text · l2) after StandardScaler. Stops when no component of the gradient
    exceeds 1e-8; raises RuntimeError when that is not reached.
    """
    features, mean, scale = standardise(acts)
    weight, bias = _newton(features, labels.double(), l2)
    coef = weight / scale
    return coef, bias - (coef * mean).sum(1)


def _newton(
    features: Float[Tensor, "layer text d_model"], labels: Float[Tensor, "text"], l2: float
) -> tuple[Float[Tensor, "layer d_model"], Float[Tensor, "layer"]]:
    n_layers, n_texts, d_model = features.shape
    single = features.float()
    preconditioner = _Preconditioner(single, l2)
    # Weight and bias travel as one vector "layer d_model+1", the bias last.
    params = features.new_zeros(n_layers, d_model + 1)
    params[:, -1] = torch.logit(labels.mean())
    logits = params[:, -1:].expand(-1, n_texts)
    loss = _loss(logits, labels, params, l2)

    for _ in range(MAX_NEWTON_STEPS):
        prob = torch.sigmoid(logits)
        gradient = _adjoint(features, (prob - labels) / n_texts)
        gradient[:, :-1] += l2 * params[:, :-1]
        size = gradient.abs().amax(1, keepdim=True)
        if size.max() <= GRADIENT_TOLERANCE:
            return params[:, :-1], params[:, -1]
        curvature = (prob * (1 - prob)).float()
        # Scaled to 1, the right-hand side keeps float32's full precision however small the gradient has become.
        scaled = (-gradient / size.clamp_min(1e-300)).float()
        precision = float(size.max().sqrt().clamp(1e-4, 0.1))
        step = _conjugate_gradients(
            single, curvature, l2, scaled, preconditioner.update(curvature), precision
        )
        step = step.double() * size
        params, logits, loss = _line_search(features, labels, l2, params, logits, loss, gradient, step)
    raise RuntimeError(
        f"the logistic fit did not converge at l2={l2} (gradient {float(size.max()):.1e}): raise l2"
    )


class _Preconditioner:
    """Cholesky factors of `mean weight · Gram + l2`, renewed when the mean weight has moved by half."""

    def __init__(self, features: Float[Tensor, "layer text d_model"], l2: float):
        self.gram = features.mT @ features / features.shape[1]
        self.l2 = l2
        self.level: Tensor | None = None

    def update(self, curvature: Float[Tensor, "layer text"]) -> "_Preconditioner":
        level = curvature.mean(1).clamp_min(1e-12)
        if self.level is None or (torch.log(level / self.level).abs() > 0.4).any():
            matrix = level[:, None, None] * self.gram
            matrix.diagonal(dim1=1, dim2=2).add_(self.l2)
            self.factor, self.level = torch.linalg.cholesky(matrix), level
        return self

    def __call__(self, vector: Float[Tensor, "layer d_model+1"]) -> Float[Tensor, "layer d_model+1"]:
        assert self.level is not None
        weight = torch.cholesky_solve(vector[:, :-1, None], self.factor).squeeze(-1)
        return torch.cat([weight, vector[:, -1:] / self.level[:, None]], dim=1)


def _conjugate_gradients(features, curvature, l2, target, precondition, precision, max_steps: int = 200):
    """Solve Hessian · step = target for every layer, until the preconditioned residual falls by `precision`."""
    step, residual = torch.zeros_like(target), target
    solved = precondition(residual)
    direction, norm = solved, (residual * solved).sum(1, keepdim=True)
    goal = precision**2 * norm
    for _ in range(max_steps):
        image = _adjoint(features, curvature * _forward(features, direction) / features.shape[1])
        image[:, :-1] += l2 * direction[:, :-1]
        stride = norm / (direction * image).sum(1, keepdim=True).clamp_min(1e-38)
        step, residual = step + stride * direction, residual - stride * image
        solved = precondition(residual)
        previous, norm = norm, (residual * solved).sum(1, keepdim=True)
        if (norm <= goal).all():
            break
        direction = solved + norm / previous.clamp_min(1e-38) * direction
    return step


def _line_search(features, labels, l2, params, logits, loss, gradient, step):
    """Halve a layer's step until its loss falls enough (Armijo); far from the optimum Newton's can overshoot."""
    change = _forward(features, step)
    slope = (gradient * step).sum(1)
    length = torch.ones_like(slope)
    while True:
        new_params = params + length[:, None] * step
        new_logits = logits + length[:, None] * change
        new_loss = _loss(new_logits, labels, new_params, l2)
        # The last term forgives rounding: at the optimum the loss can no longer fall.
        worse = new_loss > loss + 1e-4 * length * slope + 1e-13 * loss.abs()
        if not worse.any() or length.min() < 1e-8:
            return new_params, new_logits, new_loss
        length = torch.where(worse, length / 2, length)


def _loss(logits, labels, params, l2) -> Float[Tensor, "layer"]:
    log_loss = F.binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none").mean(1)
    return log_loss + l2 / 2 * params[:, :-1].square().sum(1)


def _forward(features, params) -> Float[Tensor, "layer text"]:
    # A row times the transpose: three times as fast in torch as the batched matrix times a column.
    return (params[:, None, :-1] @ features.mT).squeeze(1) + params[:, -1:]


def _adjoint(features, rows) -> Float[Tensor, "layer d_model+1"]:
    weight = (rows.unsqueeze(1) @ features).squeeze(1)
    return torch.cat([weight, rows.sum(1, keepdim=True)], dim=1)
