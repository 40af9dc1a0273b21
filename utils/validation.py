"""Turn what a caller passes (tensors, arrays, lists) into what the mathematics needs, or say what is wrong with it."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

ArrayLike: TypeAlias = Tensor | np.ndarray | Sequence


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Any tensor, array or list as a NumPy array (bfloat16, which NumPy lacks, becomes float32)."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def as_activations(acts: ArrayLike, ndim: int, name: str = "acts") -> Tensor:
    """Activations as a detached floating-point CPU tensor with `ndim` dimensions, all finite.

    float32 and float64 pass through without a copy; other kinds become float32 (half precision) or float64.
    Raises ValueError for another number of dimensions, no rows, no features, NaN or infinity.
    """
    values = acts.detach().cpu() if isinstance(acts, Tensor) else torch.from_numpy(_numeric(acts, name))
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    elif values.dtype not in (torch.float32, torch.float64):
        values = values.double()
    if values.ndim != ndim:
        raise ValueError(f"{name} has shape {tuple(values.shape)}; expected {ndim} dimensions")
    if 0 in values.shape:
        raise ValueError(f"{name} has shape {tuple(values.shape)}: nothing to fit or predict")
    if not torch.isfinite(values).all():
        row = int((~torch.isfinite(values)).flatten(1).any(1).nonzero()[0]) if ndim > 1 else None
        where = "" if row is None else f" (first in row {row})"
        raise ValueError(f"{name} holds NaN or infinity{where}: drop those rows or mend what made them")
    return values


def as_scores(scores: ArrayLike, name: str = "scores") -> np.ndarray:
    """One finite number a row, as float64. Raises ValueError otherwise."""
    return as_activations(scores, 1, name).double().numpy()


def as_rows(values: ArrayLike, n_rows: int, name: str = "labels") -> np.ndarray:
    """Labels or groups, one entry a row. Raises ValueError for another length or missing values."""
    rows = to_numpy(values)
    if rows.ndim == 0 or len(rows) != n_rows:
        raise ValueError(f"{name} has shape {rows.shape} for {n_rows} rows: they must have the same length")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise ValueError(f"{name} holds NaN or infinity: drop those rows")
    return rows


def as_binary(labels: ArrayLike, n_rows: int, name: str = "labels") -> np.ndarray:
    """Labels that are False/True or 0/1, both present, as booleans. Raises ValueError otherwise."""
    rows = as_rows(labels, n_rows, name)
    if rows.ndim != 1 or not np.isin(rows, (0, 1)).all():
        raise ValueError(
            f"{name} must be one-dimensional and False/True or 0/1, not {_some(np.unique(rows))}"
        )
    rows = rows.astype(bool)
    if rows.all() or not rows.any():
        raise ValueError(f"{name} are all {bool(rows[0])}: both classes must occur")
    return rows


def as_classes(labels: ArrayLike, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The sorted distinct labels, and for each row its position among them.

    Raises ValueError when fewer than two classes occur or a label is not one value a row.
    """
    rows = as_rows(labels, n_rows)
    if rows.ndim != 1:
        raise ValueError(f"labels has shape {rows.shape}: a classifier wants one label a row")
    if rows.dtype.kind == "f" and (rows != np.round(rows)).any():
        raise ValueError(f"labels are continuous (such as {rows[rows != np.round(rows)][0]}): use RidgeProbe")
    classes, index = np.unique(rows, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"labels hold only 1 class ({classes[0]!r}): a probe needs at least two")
    return classes, index


def check_positive(**settings: float) -> None:
    """Raise ValueError naming the first setting that is not a positive finite number."""
    for name, value in settings.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}={value!r}: it must be positive and finite")


def _numeric(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {array.dtype}: real numbers are needed")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _some(values: np.ndarray) -> str:
    shown = ", ".join(repr(value) for value in values[:5].tolist())
    return shown + (", …" if len(values) > 5 else "")
