"""Time fitting probes at all layers against a loop over scikit-learn, at equal precision. `--quick` for a smaller run.

Contenders alternate within each round and the table gives medians over rounds, so that a busy machine slows both.
"""

import argparse
import time
from collections.abc import Callable
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


def seconds(fit: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    fitted = fit()
    return time.perf_counter() - start, fitted


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float, Any, Any]:
    """Median seconds of each, and what each fitted last."""
    runs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    times = [median(run[contender][0] for run in runs) for contender in (0, 1)]
    return times[0], times[1], runs[-1][0][1], runs[-1][1][1]


def bench_logistic(acts: torch.Tensor, labels: torch.Tensor, l2: float, rounds: int) -> None:
    arrays = acts.double().numpy(), labels.numpy()
    middle = arrays[0][:, acts.shape[1] // 2 :][:, :1]
    cost = {s: seconds(lambda s=s: sklearn_logistic(middle, arrays[1], l2, s))[0] for s in SOLVERS}
    best = min(SOLVERS, key=lambda solver: cost[solver])  # scikit-learn gets its fastest solver on these data
    ours, theirs, sweep, models = paired(
        lambda: fit_layers(LogisticProbe(l2=l2), acts, labels),
        lambda: sklearn_logistic(acts.numpy(), arrays[1], l2, best),
        rounds,
    )
    difference = max(
        np.abs(sweep[layer].predict_proba(acts[:, layer]) - model.predict_proba(arrays[0][:, layer])).max()
        for layer, model in enumerate(models)
    )
    report(f"logistic, l2={l2:g} (sklearn {best})", ours, theirs, difference)


def bench_ridge(acts: torch.Tensor, targets: torch.Tensor, l2: float, rounds: int) -> None:
    rows = acts.double().numpy()
    ours, theirs, probe, models = paired(
        lambda: RidgeProbe(l2=l2).fit(acts, targets),
        lambda: sklearn_ridge(acts.numpy(), targets.numpy(), l2),
        rounds,
    )
    difference = np.abs(
        probe.predict(acts) - np.stack([model.predict(rows) for model in models], axis=1)
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
    print(f"\n{'fit':<44}{'ours':>9}{'sklearn':>10}{'ratio':>8}{'difference':>12}")
    for l2 in (1e-1, 1e-2, 1e-3):
        bench_logistic(acts, labels, l2, rounds)
    squares = torch.randint(3, (2000, n_squares), generator=torch.Generator().manual_seed(0))
    bench_ridge(acts[:, 0], torch.nn.functional.one_hot(squares, 3).flatten(1).double(), 1.0, rounds)


def report(name: str, ours: float, theirs: float, difference: float) -> None:
    print(f"{name:<44}{ours:>8.2f}s{theirs:>9.2f}s{theirs / ours:>7.1f}x{difference:>12.1e}")


if __name__ == "__main__":
    main()
