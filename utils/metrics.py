"""Scores and their uncertainty: AUROC, recall at a false-positive rate, accuracy, R², bootstrap intervals.

The measures that refit a probe (selectivity, code length, shuffled floor) live in `controls` and are here
too: `from utils.metrics import ...` finds them all.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from utils.controls import (
    CodeLength,
    Selectivity,
    control_labels,
    online_code_length,
    selectivity,
    shuffled_floor,
)
from utils.intervals import Interval, percentile_interval
from utils.validation import ArrayLike, as_activations, as_binary, as_rows, as_scores, to_numpy

__all__ = [
    "CodeLength",
    "Interval",
    "Selectivity",
    "accuracy",
    "auroc",
    "bootstrap_interval",
    "control_labels",
    "online_code_length",
    "r2_score",
    "recall_at_fpr",
    "selectivity",
    "shuffled_floor",
    "threshold_at_fpr",
]

COUNTS_IN_WORK = 2**22  # resamples × rows held at a time


def auroc(scores: Float[ArrayLike, "text"], labels: Bool[ArrayLike, "text"]) -> float:
    """The probability that a True row scores above a False one; a tie counts half.

    Raises ValueError when only one class occurs, lengths differ, or a score is not finite.
    """
    values = as_scores(scores)
    positive = as_binary(labels, len(values))
    n_true, n_false = positive.sum(), (~positive).sum()
    return float((rankdata(values)[positive].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))


def threshold_at_fpr(benign_scores: Float[ArrayLike, "text"], fpr: float) -> float:
    """The least observed benign score t such that `score > t` flags at most a fraction `fpr` of the benign rows.

    Raises ValueError for fpr outside [0, 1).
    """
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr={fpr!r} must lie in [0, 1), such as 0.01")
    descending = np.sort(as_scores(benign_scores, "benign scores"))[::-1]
    n_allowed = int(fpr * len(descending))
    n_allowed += (n_allowed + 1) / len(descending) <= fpr  # 0.29 * 100 is 28.999… in floating point
    return float(descending[n_allowed])


def recall_at_fpr(
    scores: Float[ArrayLike, "text"],
    labels: Bool[ArrayLike, "text"],
    fpr: float,
    control_scores: Float[ArrayLike, "control"] | None = None,
) -> float:
    """The fraction of True rows flagged by `score > t` when at most `fpr` of the benign rows are flagged.

    Benign are the False rows, or `control_scores` (other texts known to be harmless) when given. t is
    `threshold_at_fpr` of the benign scores.
    Raises ValueError when only one class occurs or fpr is outside [0, 1).
    """
    values = as_scores(scores)
    positive = as_binary(labels, len(values))
    benign = values[~positive] if control_scores is None else control_scores
    return float(np.mean(values[positive] > threshold_at_fpr(benign, fpr)))


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """The fraction of rows whose prediction equals the label.

    Raises ValueError when lengths differ, or when the predictions are scores instead of labels.
    """
    return float(_correct(predictions, labels).mean())


def r2_score(
    predictions: Float[ArrayLike, "text target"], targets: Float[ArrayLike, "text target"]
) -> Float[np.ndarray, "target"] | float:
    """1 − Σ(error²) / Σ(deviation from the mean²), for each target; a float when there is only one dimension.

    Raises ValueError for shapes that differ or a constant target, for which R² is undefined.
    """
    truth = to_numpy(targets)
    truth = as_activations(truth, truth.ndim, "targets").double().numpy()
    guess = as_activations(predictions, truth.ndim, "predictions").double().numpy()
    if guess.shape != truth.shape:
        raise ValueError(f"predictions {guess.shape} and targets {truth.shape} must have the same shape")
    constant = (truth == truth[0]).all(0)
    if constant.any():
        raise ValueError(
            f"constant targets (columns {np.flatnonzero(constant).tolist()}) have no R²: drop them"
        )
    r2 = 1 - ((guess - truth) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    return float(r2) if truth.ndim == 1 else r2


def bootstrap_interval(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    scores: ArrayLike,
    labels: ArrayLike,
    n_resamples: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
    groups: ArrayLike | None = None,
) -> Interval:
    """A percentile bootstrap interval of `statistic(scores, labels)`; scores and labels are resampled jointly.

    A resample in which only one of several labels occurs is drawn again. `auroc` and `accuracy` are computed for all
    resamples at once; any other statistic is called once a resample (rows in their original order).
    generator: by default a fresh one seeded with 0.
    groups: one a row; then whole groups are resampled, as the rows of a group are not independent evidence.
    Raises ValueError for lengths that differ, fewer than two resamples or rows, a level outside (0, 1), and for
    what the statistic refuses.
    """
    rows = to_numpy(labels)
    values = as_rows(scores, len(rows), "scores")
    rows = as_rows(rows, len(rows))
    if n_resamples < 2 or len(rows) < 2:
        raise ValueError(f"{n_resamples} resamples of {len(rows)} rows: an interval needs at least 2 of both")
    estimate = statistic(values, rows)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    member = np.arange(len(rows))
    if groups is not None:
        member = np.unique(as_rows(groups, len(rows), "groups"), return_inverse=True)[1]
    evaluate = _for_counts(statistic, values, rows)
    block = max(1, COUNTS_IN_WORK // len(rows))
    draws = [
        evaluate(_resample(min(block, n_resamples - start), member, rows, generator))
        for start in range(0, n_resamples, block)
    ]
    return percentile_interval(estimate, np.concatenate(draws), level)


def mean_interval(
    values: Float[ArrayLike, "row"],
    n_resamples: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
    groups: ArrayLike | None = None,
) -> Interval:
    """The mean of some numbers with a percentile bootstrap interval; other arguments as in `bootstrap_interval`."""
    numbers = to_numpy(values).astype(float)
    unlabelled = np.zeros(len(numbers), dtype=int)
    return bootstrap_interval(_mean, numbers, unlabelled, n_resamples, level, generator, groups)


def _mean(values: np.ndarray, labels: np.ndarray) -> float:
    return float(values.mean())


def _resample(
    n_resamples: int, member: Int[np.ndarray, "row"], labels: np.ndarray, generator: torch.Generator
) -> Int[np.ndarray, "resample row"]:
    """How often each row occurs in each resample of whole groups (`member`: the group of each row)."""
    n_groups = int(member.max()) + 1
    drawn = torch.randint(n_groups, (n_resamples, n_groups), generator=generator)
    counts = torch.zeros(n_resamples, n_groups, dtype=torch.int32)
    counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.int32))
    counts = counts.numpy()[:, member]
    if labels.ndim == 1 and (labels != labels[0]).any():
        rank = np.unique(labels, return_inverse=True)[1]
        lowest = np.where(counts > 0, rank, rank.max() + 1).min(1)
        highest = np.where(counts > 0, rank, -1).max(1)
        poor = lowest >= highest
        if poor.any():
            counts[poor] = _resample(int(poor.sum()), member, labels, generator)
    return counts


def _for_counts(
    statistic: Callable, scores: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The statistic as a function of `counts "resample row"`, one value a resample."""
    if statistic is accuracy:
        correct = _correct(scores, labels).astype(float)
        return lambda counts: counts @ correct / counts.sum(1)
    if statistic is _mean:
        return lambda counts: counts @ scores / counts.sum(1)
    if statistic is auroc:
        return lambda counts: _auroc_of_counts(as_scores(scores), as_binary(labels, len(labels)), counts)

    def one_by_one(counts: np.ndarray) -> np.ndarray:
        resamples = (np.repeat(np.arange(len(labels)), count) for count in counts)
        return np.array([statistic(scores[rows], labels[rows]) for rows in resamples])

    return one_by_one


def _auroc_of_counts(
    scores: Float[np.ndarray, "row"], labels: Bool[np.ndarray, "row"], counts: Int[np.ndarray, "resample row"]
) -> Float[np.ndarray, "resample"]:
    """AUROC of every resample from one sort: a True row beats the False rows below it and half of its ties."""
    order = np.argsort(scores)
    ordered, true = scores[order], labels[order]
    counts = counts[:, order]
    below = np.concatenate([np.zeros((len(counts), 1), dtype=int), np.cumsum(counts * ~true, axis=1)], axis=1)
    first = np.searchsorted(ordered, ordered[true], side="left")
    last = np.searchsorted(ordered, ordered[true], side="right")
    n_true, n_false = counts[:, true].sum(1), below[:, -1]
    wins = (counts[:, true] * (below[:, first] + below[:, last])).sum(1) / 2
    return wins / (n_true * n_false)


def _correct(predictions: ArrayLike, labels: ArrayLike) -> Bool[np.ndarray, "text"]:
    truth = to_numpy(labels)
    guess = as_rows(predictions, len(truth), "predictions")
    if guess.dtype.kind == "f" and truth.dtype.kind != "f" and (guess != np.round(guess)).any():
        raise ValueError("predictions are scores, not labels: threshold them first (probe.predict does)")
    if guess.shape != truth.shape or len(truth) == 0:
        raise ValueError(
            f"predictions {guess.shape} and labels {truth.shape} must have the same shape, with rows"
        )
    return guess == truth
