"""Splits of rows into parts: at random, or keeping each group (a city, a topic, a game) in one part only."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from utils.validation import ArrayLike, as_rows, to_numpy

Split = tuple[Int[np.ndarray, "row"], ...]


def random_split(n_rows: int, fractions: Sequence[float], seed: int) -> Split:
    """Row indices of each part, ignoring groups: what a split looks like when nothing is shared between rows.

    Every index from 0 to n_rows − 1 occurs once; sizes are the fractions, rounded. Deterministic in `seed`.
    Raises ValueError for fractions that are not positive or do not sum to 1, or a part without rows.
    """
    return group_split(np.arange(n_rows), fractions, seed)


def group_split(groups: ArrayLike, fractions: Sequence[float], seed: int) -> Split:
    """Row indices of each part, every group in one part only: `train, test = group_split(cities, (0.8, 0.2), seed=0)`.

    groups: one entry a row (strings or numbers). Every row index occurs once, sorted within its part. Each part's rows
    are within one largest group of its fraction. Deterministic in `seed`.
    Raises ValueError for fractions that are not positive or do not sum to 1, or a part that is left without rows.
    """
    names, member = _groups(groups)
    shares = _fractions(fractions)
    sizes = np.bincount(member)
    order = np.random.default_rng(seed).permutation(len(names))
    # Cut the shuffled line of groups at the group boundary nearest to each cumulative fraction: a cut is
    # off by at most half a group, and a part by two cuts.
    ends = np.concatenate([[0], np.cumsum(sizes[order])])
    cuts = [int(np.abs(ends - cut).argmin()) for cut in np.cumsum(shares)[:-1] * len(member)]
    part_of_group = np.empty(len(names), dtype=int)
    part_of_group[order] = np.searchsorted(cuts, np.arange(len(names)), side="right")
    return _parts(part_of_group[member], len(shares), len(names))


def stratified_group_split(
    groups: ArrayLike, labels: ArrayLike, fractions: Sequence[float], seed: int
) -> Split:
    """Like `group_split`, and each part also gets its fraction of every label, as well as whole groups allow.

    Groups are dealt out from the largest to the smallest, each to the part that lacks most of what it holds. When
    every group has a single label, each part's rows of each label are within one largest group of their fraction.
    Raises ValueError as `group_split` does.
    """
    names, member = _groups(groups)
    shares = _fractions(fractions)
    classes, label = np.unique(as_rows(labels, len(member)), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (member, label), 1)
    lacking = shares[:, None] * counts.sum(0)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    part_of_group = np.empty(len(names), dtype=int)
    for group in order:
        # A label counts by its share of the whole, so that a rare one is balanced as carefully as a common one.
        part = int(np.argmax(lacking @ (counts[group] / counts.sum(0))))
        lacking[part] -= counts[group]
        part_of_group[group] = part
    return _parts(part_of_group[member], len(shares), len(names))


def check_no_leakage(groups: ArrayLike, split: Sequence[ArrayLike]) -> None:
    """Raise ValueError naming the groups that occur in more than one part of `split` (index arrays)."""
    names, member = _groups(groups)
    seen = np.zeros((len(names), len(split)), dtype=bool)
    for part, rows in enumerate(split):
        indices = to_numpy(rows)
        if indices.dtype == bool:
            raise ValueError(f"part {part} is a boolean mask: pass row indices (mask.nonzero())")
        seen[member[indices.astype(int)], part] = True
    shared = names[seen.sum(1) > 1]
    if len(shared):
        shown = ", ".join(str(name) for name in shared[:5]) + (", …" if len(shared) > 5 else "")
        raise ValueError(f"{len(shared)} groups occur in several parts ({shown}): split with group_split")


def _groups(groups: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The distinct groups, and for each row the position of its own."""
    rows = to_numpy(groups)
    if rows.ndim != 1 or len(rows) == 0:
        raise ValueError(f"groups has shape {rows.shape}: want one entry a row, and at least one row")
    names, member = np.unique(as_rows(rows, len(rows), "groups"), return_inverse=True)
    return names, member


def _fractions(fractions: Sequence[float]) -> np.ndarray:
    values = np.asarray(fractions, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not (values > 0).all():
        raise ValueError(f"fractions={fractions!r} must all be positive")
    if not np.isclose(values.sum(), 1, atol=1e-9):
        raise ValueError(f"fractions={fractions!r} sum to {values.sum():g}: they must sum to 1")
    return values


def _parts(part_of_row: np.ndarray, n_parts: int, n_groups: int) -> Split:
    parts = tuple(np.flatnonzero(part_of_row == part) for part in range(n_parts))
    for part, rows in enumerate(parts):
        if len(rows) == 0:
            raise ValueError(
                f"part {part} of {n_parts} got no rows: {n_groups} groups are too few or too large"
            )
    return parts
