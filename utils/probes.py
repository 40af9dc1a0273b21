"""Linear probes with scikit-learn's contract. Directions always live in raw activation space.

Everything accepts tensors or arrays and returns NumPy arrays, so `clone`, `cross_val_score` and pipelines work.
The names from `layer_sweep` and `neural_probes` are here too: `from utils.probes import ...` finds them all.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from torch import Tensor

from utils.layer_sweep import LayerSweep, StackedProbe, fit_layers
from utils.linear_solvers import solve_mass_mean, solve_ridge
from utils.logistic_solver import solve_logistic
from utils.neural_probes import AttentionProbe, MLPProbe, mask_padding
from utils.validation import ArrayLike, as_classes, as_rows, check_positive

__all__ = [
    "AttentionProbe",
    "LayerSweep",
    "LogisticProbe",
    "MLPProbe",
    "MassMeanProbe",
    "RidgeProbe",
    "fit_layers",
    "mask_padding",
]


class _BinaryLinearProbe(ClassifierMixin, StackedProbe):
    """What the probes with one direction share.

    Learned: `coef_` (d_model,) and `intercept_` (a float) for raw activations; `classes_`: the second of the two
    (True, of False and True) is where the decision function is positive.
    """

    coef_: Float[np.ndarray, "d_model"]
    intercept_: float
    classes_: np.ndarray

    def _solve(
        self, acts: Float[Tensor, "layer text d_model"], labels: Bool[Tensor, "text"]
    ) -> tuple[Float[Tensor, "layer d_model"], Float[Tensor, "layer"]]:
        raise NotImplementedError

    def _fit_stack(
        self, acts: Float[Tensor, "layer text d_model"], labels: np.ndarray
    ) -> list[dict[str, Any]]:
        classes, index = as_classes(labels, acts.shape[1])
        if len(classes) > 2:
            raise ValueError(
                f"labels hold {len(classes)} classes; {type(self).__name__} separates two: wrap it in"
                " sklearn.multiclass.OneVsRestClassifier, or use MLPProbe"
            )
        coef, intercept = self._solve(acts, torch.from_numpy(index == 1))
        return [
            {"coef_": c, "intercept_": float(b), "classes_": classes, "n_features_in_": acts.shape[2]}
            for c, b in zip(coef.numpy(), intercept, strict=True)
        ]

    def decision_function(self, acts: Float[ArrayLike, "text d_model"]) -> Float[np.ndarray, "text"]:
        """acts @ coef_ + intercept_, in float64: positive where the second class is predicted."""
        return self._rows(acts).numpy() @ self.coef_ + self.intercept_

    def predict(self, acts: Float[ArrayLike, "text d_model"]) -> np.ndarray:
        """The predicted label of each text, as one of `classes_`."""
        chosen = (self.decision_function(acts) > 0).astype(int)
        return self.classes_[chosen]

    def score(self, acts: Float[ArrayLike, "text d_model"], labels: ArrayLike) -> float:
        """Accuracy."""
        predictions = self.predict(acts)
        return float(np.mean(predictions == as_rows(labels, len(predictions))))


class MassMeanProbe(_BinaryLinearProbe):
    """The difference of the class means; the boundary passes through their midpoint.

    whiten: multiply the direction by Σ⁻¹, the inverse pooled within-class covariance (then it is linear
        discriminant analysis with equal priors).
    shrinkage: in [0, 1], how far Σ is pulled towards a multiple of the identity; used only when whitening. With
        fewer texts than d_model, 0 leaves Σ singular and `fit` raises ValueError.
    Source: Marks & Tegmark 2023, arXiv:2310.06824, section 5 ("mass-mean probing").
    """

    def __init__(self, whiten: bool = False, shrinkage: float = 0.1):
        self.whiten = whiten
        self.shrinkage = shrinkage

    def _solve(self, acts, labels):
        if not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage={self.shrinkage!r} must lie between 0 and 1")
        return solve_mass_mean(acts, labels, self.shrinkage if self.whiten else None)


class LogisticProbe(_BinaryLinearProbe):
    """Logistic regression: mean log-loss + l2/2·‖w‖² on standardised features, the intercept unpenalised.

    Features are standardised with the training mean and population standard deviation inside `fit`; `coef_` and
    `intercept_` are already translated back to raw activations.
    l2: positive; scikit-learn's `C` is 1 / (number of texts · l2). Separable data stay finite.
    """

    def __init__(self, l2: float = 1e-2):
        self.l2 = l2

    def _solve(self, acts, labels):
        check_positive(l2=self.l2)
        return solve_logistic(acts, labels.double(), self.l2)

    def predict_proba(self, acts: Float[ArrayLike, "text d_model"]) -> Float[np.ndarray, "text 2"]:
        """The probability of each class, in the order of `classes_`."""
        logits = torch.from_numpy(self.decision_function(acts))
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy()


class RidgeProbe(RegressorMixin, StackedProbe):
    """Ridge regression in closed form: Σ‖error‖² + l2·‖W‖² on raw features, the intercept unpenalised.

    l2: positive; the same as scikit-learn's `alpha`. One factorisation serves all targets, so hundreds (a
    board of one-hot squares) cost little more than one.
    Learned: `coef_` (target, d_model) and `intercept_` (target,); for one-dimensional targets (d_model,) and a float.
    """

    coef_: Float[np.ndarray, "target d_model"]
    intercept_: Float[np.ndarray, "target"] | float

    def __init__(self, l2: float = 1.0):
        self.l2 = l2

    def _fit_stack(
        self, acts: Float[Tensor, "layer text d_model"], labels: np.ndarray
    ) -> list[dict[str, Any]]:
        check_positive(l2=self.l2)
        if labels.ndim > 2 or labels.dtype.kind not in "biuf":
            raise ValueError(
                f"targets have shape {labels.shape} and dtype {labels.dtype}: want numbers, 'text target'"
            )
        targets = torch.from_numpy(labels.reshape(len(labels), -1).astype(np.float64))
        coef, intercept = solve_ridge(acts, targets, self.l2)
        states = []
        for c, b in zip(coef.mT.numpy(), intercept.numpy(), strict=True):
            c, b = (c[0], float(b[0])) if labels.ndim == 1 else (c, b)
            states.append({"coef_": c, "intercept_": b, "n_features_in_": acts.shape[2]})
        return states

    def predict(self, acts: Float[ArrayLike, "text d_model"]) -> Float[np.ndarray, "text target"]:
        """acts @ coef_.T + intercept_, in float64; shape (text,) when the targets were one-dimensional."""
        return self._rows(acts).numpy() @ self.coef_.T + self.intercept_

    def score(self, acts: Float[ArrayLike, "text d_model"], targets: ArrayLike) -> float:
        """R², averaged over the targets."""
        predictions = self.predict(acts)
        return float(r2_score(as_rows(targets, len(predictions), "targets"), predictions))
