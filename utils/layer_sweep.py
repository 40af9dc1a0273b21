"""Fit one probe family at every layer in one batched computation, and read the scores by layer."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from utils.validation import ArrayLike, as_activations, as_rows

STACK_BYTES = (
    2**24
)  # of float64 activations at a time: what a processor cache holds is faster than everything at once


class StackedProbe(BaseEstimator):
    """A scikit-learn estimator that knows how to fit a whole stack of layers at once.

    A subclass writes `_fit_stack`; fitting a single layer is the same computation on a stack of one.
    """

    n_features_in_: int

    @abstractmethod
    def _fit_stack(
        self, acts: Float[Tensor, "layer text d_model"], labels: np.ndarray
    ) -> list[dict[str, Any]]:
        """For each layer its learned state: attribute names (ending in `_`) and values."""

    def fit(self, acts: Float[ArrayLike, "text d_model"], labels: ArrayLike) -> Self:
        """Fit to activations, one row a text, and one label (or row of targets) a text. Returns self.

        Raises ValueError for NaN or infinity, lengths that differ, or fewer than two classes.
        """
        rows = as_activations(acts, 2)
        return self._restore(self._fit_stack(rows.unsqueeze(0), as_rows(labels, len(rows)))[0])

    def _restore(self, state: dict[str, Any]) -> Self:
        for name, value in state.items():
            setattr(self, name, value)
        return self

    def _rows(self, acts: ArrayLike) -> Float[Tensor, "text d_model"]:
        """Activations to predict for, checked against those of the fit."""
        check_is_fitted(self)
        rows = as_activations(acts, 2)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"acts has d_model={rows.shape[1]}; the probe was fitted with d_model={self.n_features_in_}"
            )
        return rows


@dataclass(frozen=True)
class LayerSweep(Mapping):
    """Fitted probes by layer number: `sweep[12].score(acts, labels)`, `for layer, probe in sweep.items()`."""

    layers: tuple[int, ...]
    probes: tuple[Any, ...]

    def __getitem__(self, layer: int) -> Any:
        if layer not in self.layers:
            raise KeyError(f"no probe for layer {layer}: this sweep holds layers {list(self.layers)}")
        return self.probes[self.layers.index(layer)]

    def __iter__(self) -> Iterator[int]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def scores(
        self,
        acts: Float[ArrayLike, "text layer d_model"],
        labels: ArrayLike,
        metric: Callable[[np.ndarray, ArrayLike], float] | None = None,
    ) -> Float[np.ndarray, "layer"]:
        """Each layer's score on other texts (the layers in the order of the fit).

        metric: called as `metric(decision values, labels)`, such as `auroc`; by default the probe's own
        `score` (accuracy for a classifier, mean R² for RidgeProbe).
        """
        pairs = zip(self.probes, self._by_layer(acts), strict=True)
        if metric is None:
            return np.array([probe.score(rows, labels) for probe, rows in pairs])
        return np.array([metric(probe.decision_function(rows), labels) for probe, rows in pairs])

    def best_layer(self, acts: Float[ArrayLike, "text layer d_model"], labels: ArrayLike, metric=None) -> int:
        """The layer with the highest score. Give it validation data, never the test set."""
        return self.layers[int(np.argmax(self.scores(acts, labels, metric)))]

    def _by_layer(self, acts: ArrayLike) -> list[Tensor]:
        values = as_activations(acts, 3)
        if values.shape[1] != len(self.layers):
            raise ValueError(
                f"acts holds {values.shape[1]} layers; the sweep was fitted on {len(self.layers)}"
            )
        return list(values.unbind(1))


def fit_layers(
    probe: StackedProbe,
    acts: Float[ArrayLike, "text layer d_model"],
    labels: ArrayLike,
    layers: Sequence[int] | None = None,
) -> LayerSweep:
    """Fit a copy of `probe` at every layer of `acts`, all layers in one batched computation.

    probe: unfitted (its settings are copied, it stays as it is): MassMeanProbe, LogisticProbe, RidgeProbe, MLPProbe.
    labels: shared by all layers: one a text, or "text target" for RidgeProbe.
    layers: the layers' numbers, if `acts` does not hold 0, 1, 2, …; `sweep[number]` then finds the probe.
    Returns the same probes, to rounding, as fitting each layer by itself.
    Raises TypeError for an estimator that cannot be stacked, ValueError for what the probe's own `fit` refuses.
    """
    if not isinstance(probe, StackedProbe):
        raise TypeError(f"{type(probe).__name__} cannot be stacked: fit it layer by layer, on acts[:, layer]")
    values = as_activations(acts, 3)
    n_texts, n_layers, d_model = values.shape
    numbers = tuple(range(n_layers)) if layers is None else tuple(int(layer) for layer in layers)
    if len(set(numbers)) != len(numbers) or len(numbers) != n_layers:
        raise ValueError(f"layers={numbers} must name each of the {n_layers} layers of acts once")
    rows = as_rows(labels, n_texts)
    depth = max(1, STACK_BYTES // (8 * n_texts * d_model))
    states: list[dict[str, Any]] = []
    for start in range(0, n_layers, depth):
        states += probe._fit_stack(values[:, start : start + depth].transpose(0, 1), rows)
    copies: list[Any] = [clone(probe) for _ in states]
    return LayerSweep(
        numbers, tuple(copy._restore(state) for copy, state in zip(copies, states, strict=True))
    )
