"""Is it the representation or the probe? Control tasks, code length, shuffled labels: each refits the probe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import clone
from torch import Tensor

from utils.intervals import Interval, percentile_interval
from utils.validation import ArrayLike, as_classes, as_rows, to_numpy


def control_labels(types: ArrayLike, labels: ArrayLike, seed: int) -> np.ndarray:
    """A control task: every distinct type gets one label at random, and each of its rows carries it.

    types: what identifies a row's input (the word, the city), one a row. labels: the real task's, one a row.
    Each type's label is drawn from the real labels' distribution, so both tasks have about the same majority.
    Only memorising the types solves it: test on types seen in training, so keep types on both sides of the split.
    Raises ValueError for lengths that differ, or when all types drew the same label.
    Source: Hewitt & Liang 2019, arXiv:1909.03368, section 2.
    """
    labels = to_numpy(labels)
    names, member = np.unique(as_rows(types, len(labels), "types"), return_inverse=True)
    drawn = np.random.default_rng(seed).choice(labels, size=len(names))
    if len(np.unique(drawn)) < 2:
        raise ValueError(
            f"all {len(names)} types drew the label {drawn[0]!r}: take another seed or more types"
        )
    return drawn[member]


@dataclass(frozen=True)
class Selectivity:
    """Test scores on the real task and on its control; `selectivity` is their difference."""

    task: float
    control: float

    @property
    def selectivity(self) -> float:
        return self.task - self.control


def selectivity(
    probe: Any,
    acts: Float[Tensor | np.ndarray, "text d_model"],
    labels: ArrayLike,
    control: ArrayLike,
    train: Int[np.ndarray, "row"],
    test: Int[np.ndarray, "row"],
) -> Selectivity:
    """Fit copies of `probe` on the rows `train` for the task and its control, score both on `test`.

    A probe that does as well on random labels (low selectivity) has itself learned the task.
    Source: Hewitt & Liang 2019, arXiv:1909.03368, section 2.
    """
    scores = []
    for targets in (labels, control):
        targets = as_rows(targets, len(acts))
        scores.append(float(_fit_copy(probe, acts[train], targets[train]).score(acts[test], targets[test])))
    return Selectivity(*scores)


@dataclass(frozen=True)
class CodeLength:
    """Bits to transmit the labels: all of them, each block, and what a uniform code would take."""

    bits: float
    block_bits: tuple[float, ...]
    uniform_bits: float

    @property
    def compression(self) -> float:
        """How many times shorter than the uniform code."""
        return self.uniform_bits / self.bits


def online_code_length(
    probe: Any,
    acts: Float[Tensor | np.ndarray, "text d_model"],
    labels: ArrayLike,
    fractions: Sequence[float] = (0.0625, 0.125, 0.25, 0.5, 1.0),
) -> CodeLength:
    """The online (prequential) code length of the labels given the activations, in bits.

    The first block costs log2(number of classes) bits a label: one bit for two. Block k is coded by a copy of
    `probe` fitted on all rows before it, at −log2 p(label). Rows are taken as they come: shuffle them first.
    probe: has `predict_proba` and `classes_`. fractions: where each block ends, increasing to 1.0.
    Raises ValueError for fractions that do not, an empty block, or a class that first occurs after the first block.
    Source: Voita & Titov 2020, arXiv:2003.12298, section 2.2.2 ("online code").
    """
    if not hasattr(probe, "predict_proba"):
        raise ValueError(
            f"{type(probe).__name__} has no predict_proba: a code needs probabilities (LogisticProbe)"
        )
    labels = as_rows(labels, len(acts))
    classes, index = as_classes(labels, len(labels))
    ends = np.round(np.asarray(fractions, dtype=float) * len(labels)).astype(int)
    if not np.isclose(fractions[-1], 1.0) or (np.diff(ends, prepend=0) <= 0).any():
        raise ValueError(
            f"fractions={fractions!r} of {len(labels)} rows must increase to 1.0 and leave no block empty"
        )
    if len(ends) > 1 and len(np.unique(index[: ends[0]])) < len(classes):
        raise ValueError(
            f"the first {ends[0]} rows lack a class: shuffle the rows or enlarge the first fraction"
        )
    uniform = float(np.log2(len(classes)))
    blocks = [float(ends[0] * uniform)]
    for start, end in pairwise(ends):
        fitted = _fit_copy(probe, acts[:start], labels[:start])
        prob = fitted.predict_proba(acts[start:end])[np.arange(end - start), index[start:end]]
        blocks.append(float(-np.log2(np.maximum(prob, np.finfo(float).tiny)).sum()))
    return CodeLength(float(sum(blocks)), tuple(blocks), len(labels) * uniform)


def shuffled_floor(
    probe: Any,
    train_acts: Float[Tensor | np.ndarray, "text d_model"],
    train_labels: ArrayLike,
    test_acts: Float[Tensor | np.ndarray, "text d_model"],
    test_labels: ArrayLike,
    n_shuffles: int = 20,
    level: float = 0.95,
    seed: int = 0,
    metric: Callable[[np.ndarray, ArrayLike], float] | None = None,
) -> Interval:
    """What the probe scores when it learned from permuted labels: mean and middle `level` over `n_shuffles` refits.

    metric: called as `metric(decision values, labels)`, such as `auroc`; by default the probe's own `score`.
    Raises ValueError for fewer than two shuffles, and what the probe's `fit` refuses.
    """
    if n_shuffles < 2:
        raise ValueError(f"n_shuffles={n_shuffles}: an interval needs at least 2")
    labels = as_rows(train_labels, len(train_acts))
    rng = np.random.default_rng(seed)
    scores = np.empty(n_shuffles)
    for shuffle in range(n_shuffles):
        fitted = _fit_copy(probe, train_acts, rng.permutation(labels))
        if metric is None:
            scores[shuffle] = fitted.score(test_acts, test_labels)
        else:
            scores[shuffle] = metric(fitted.decision_function(test_acts), test_labels)
    return percentile_interval(scores.mean(), scores, level)


def _fit_copy(probe: Any, acts: ArrayLike, labels: np.ndarray) -> Any:
    fresh: Any = clone(probe)
    return fresh.fit(acts, labels)
