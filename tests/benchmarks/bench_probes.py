"""Time fitting probes at all layers against a loop over scikit-learn, at equal precision. `--quick` for a smaller run.

Contenders alternate within each round and the table gives medians over rounds, so that a busy machine slows both;
"processor" is the ratio of processor time, which other programs disturb least. "difference" is the greatest
difference in predicted probability (ridge: in prediction).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from utils.probes import LogisticProbe, RidgeProbe, fit_layers

SOLVERS = ("newton-cg", "newton-cholesky", "lbfgs")


def residual_like(n_texts: int, n_layers: int, d_model: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations with a power-law spectrum in a random basis, and labels readable from some 35 of its directions.

    The classes overlap less in later layers, as they do in a language model.
    """
    rng = np.random.default_rng(seed)
    spectrum = 30 * np.arange(1, d_model + 1) ** -0.7
    signal = rng.standard_normal((n_texts, 35))
    labels = signal @ rng.standard_normal(35) / np.sqrt(35) + 0.4 * rng.logistic(size=n_texts) > 0
    layers = []
    for layer in range(n_layers):
        latent = rng.standard_normal((n_texts, d_model))
        clarity = layer / n_layers
        latent[:, 5:40] = clarity * signal + np.sqrt(1 - clarity**2) * latent[:, 5:40]
        basis = np.linalg.qr(rng.standard_normal((d_model, d_model)))[0]
        layers.append((latent * spectrum) @ basis + 5 * rng.standard_normal(d_model))
    return torch.from_numpy(np.stack(layers, axis=1)).float(), torch.from_numpy(labels)


def sklearn_logistic(acts: np.ndarray, labels: np.ndarray, l2: float, solver: str) -> list[Pipeline]:
    """One scikit-learn fit a layer, in float64 with tol=1e-8."""
    settings = {"C": 1 / (len(labels) * l2), "tol": 1e-8, "solver": solver, "max_iter": 10_000}
    fresh = [make_pipeline(StandardScaler(), LogisticRegression(**settings)) for _ in range(acts.shape[1])]
    return [model.fit(acts[:, layer].astype(np.float64), labels) for layer, model in enumerate(fresh)]


def sklearn_ridge(acts: np.ndarray, targets: np.ndarray, l2: float) -> list[Ridge]:
    """One scikit-learn fit a target."""
    features = acts.astype(np.float64)
    return [Ridge(alpha=l2).fit(features, target) for target in targets.T]


@dataclass(frozen=True)
class Timing:
    """Median seconds on the clock and of processor time, and what was fitted last."""

    wall: float
    processor: float
    fitted: Any


def timed(fit: Callable[[], Any]) -> Timing:
    wall, processor = time.perf_counter(), time.process_time()
    fitted = fit()
    return Timing(time.perf_counter() - wall, time.process_time() - processor, fitted)


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[Timing, Timing]:
    runs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    mine, others = (
        Timing(median(run.wall for run in side), median(run.processor for run in side), side[-1].fitted)
        for side in zip(*runs, strict=True)
    )
    return mine, others


def bench_logistic(acts: torch.Tensor, labels: torch.Tensor, l2: float, rounds: int) -> None:
    arrays = acts.double().numpy(), labels.numpy()
    middle = arrays[0][:, acts.shape[1] // 2 :][:, :1]
    cost = {s: timed(lambda s=s: sklearn_logistic(middle, arrays[1], l2, s)).processor for s in SOLVERS}
    best = min(SOLVERS, key=lambda solver: cost[solver])  # scikit-learn gets its fastest solver on these data
    ours, theirs = paired(
        lambda: fit_layers(LogisticProbe(l2=l2), acts, labels),
        lambda: sklearn_logistic(acts.numpy(), arrays[1], l2, best),
        rounds,
    )
    difference = max(
        np.abs(
            ours.fitted[layer].predict_proba(acts[:, layer]) - model.predict_proba(arrays[0][:, layer])
        ).max()
        for layer, model in enumerate(theirs.fitted)
    )
    report(f"logistic, l2={l2:g} (sklearn {best})", ours, theirs, difference)


def bench_ridge(acts: torch.Tensor, targets: torch.Tensor, l2: float, rounds: int) -> None:
    rows = acts.double().numpy()
    ours, theirs = paired(
        lambda: RidgeProbe(l2=l2).fit(acts, targets),
        lambda: sklearn_ridge(acts.numpy(), targets.numpy(), l2),
        rounds,
    )
    difference = np.abs(
        ours.fitted.predict(acts) - np.stack([model.predict(rows) for model in theirs.fitted], axis=1)
    ).max()
    report(f"ridge, {targets.shape[1]} one-hot targets, one layer", ours, theirs, difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer layers and targets, one round")
    quick = parser.parse_args().quick
    n_layers, n_squares, rounds = (6, 8, 1) if quick else (30, 64, 3)
    acts, labels = residual_like(2000, n_layers, 576, seed=0)
    print(
        f"{torch.get_num_threads()} threads; {n_layers} layers × 2,000 texts × 576; median of {rounds} paired rounds"
    )
    print(f"\n{'fit':<44}{'ours':>9}{'sklearn':>10}{'ratio':>8}{'processor':>11}{'difference':>12}")
    for l2 in (1e-1, 1e-2, 1e-3):
        bench_logistic(acts, labels, l2, rounds)
    squares = torch.randint(3, (2000, n_squares), generator=torch.Generator().manual_seed(0))
    bench_ridge(acts[:, 0], torch.nn.functional.one_hot(squares, 3).flatten(1).double(), 1.0, rounds)


def report(name: str, ours: Timing, theirs: Timing, difference: float) -> None:
    ratios = f"{theirs.wall / ours.wall:>7.1f}x{theirs.processor / ours.processor:>10.1f}x"
    print(f"{name:<44}{ours.wall:>8.2f}s{theirs.wall:>9.2f}s{ratios}{difference:>12.1e}")


if __name__ == "__main__":
    main()
