"""Time fitting probes at all layers against a loop over scikit-learn, at equal precision. `--quick` for a smaller run.

Contenders alternate within each round and the table gives medians over rounds, so that a busy machine slows both.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
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


def sklearn_logistic(acts: np.ndarray, labels: np.ndarray, l2: float, solver: str) -> np.ndarray:
    """Probability of True, "text layer", from one scikit-learn fit a layer in float64 with tol=1e-8."""
    probs = []
    for layer in range(acts.shape[1]):
        features = StandardScaler().fit_transform(acts[:, layer].astype(np.float64))
        model = LogisticRegression(C=1 / (len(labels) * l2), tol=1e-8, solver=solver, max_iter=10_000)
        probs.append(model.fit(features, labels).predict_proba(features)[:, 1])
    return np.stack(probs, axis=1)


def our_logistic(acts: torch.Tensor, labels: torch.Tensor, l2: float) -> np.ndarray:
    sweep = fit_layers(LogisticProbe(l2=l2), acts, labels)
    return np.stack([probe.predict_proba(acts[:, layer])[:, 1] for layer, probe in sweep.items()], axis=1)


def sklearn_ridge(acts: np.ndarray, targets: np.ndarray, l2: float) -> np.ndarray:
    """Predictions "text target" from one scikit-learn fit a target."""
    features = acts.astype(np.float64)
    models = [Ridge(alpha=l2).fit(features, target) for target in targets.T]
    return np.stack([model.predict(features) for model in models], axis=1)


def paired(ours: Callable, theirs: Callable, rounds: int) -> tuple[float, float, float]:
    """Median seconds of each, and the greatest difference between their results."""
    times: tuple[list[float], list[float]] = ([], [])
    results = [np.empty(0)] * 2
    for _ in range(rounds):
        for index, contender in enumerate((ours, theirs)):
            start = time.perf_counter()
            results[index] = contender()
            times[index].append(time.perf_counter() - start)
    return median(times[0]), median(times[1]), float(np.abs(results[0] - results[1]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer layers, one round")
    quick = parser.parse_args().quick
    n_layers, rounds = (6, 1) if quick else (30, 3)
    acts, labels = residual_like(2000, n_layers, 576, seed=0)
    print(
        f"{torch.get_num_threads()} threads; {n_layers} layers × 2,000 texts × 576; median of {rounds} paired rounds\n"
    )
    print(f"{'fit':<42}{'ours':>9}{'sklearn':>10}{'ratio':>8}{'difference':>12}")

    arrays = acts.numpy(), labels.numpy()
    for l2 in (1e-1, 1e-2, 1e-3):
        sample = arrays[0][:, n_layers // 2 : n_layers // 2 + 1]
        cost = {}
        for solver in SOLVERS:  # scikit-learn gets whichever of its solvers is fastest on these data
            start = time.perf_counter()
            sklearn_logistic(sample, arrays[1], l2, solver)
            cost[solver] = time.perf_counter() - start
        best = min(cost, key=lambda solver: cost[solver])
        row = paired(
            lambda l2=l2: our_logistic(acts, labels, l2),
            lambda l2=l2, best=best: sklearn_logistic(*arrays, l2, best),
            rounds,
        )
        report(f"logistic, l2={l2:g} (sklearn {best})", *row)

    layer = acts[:, :1]
    board = torch.nn.functional.one_hot(
        torch.randint(3, (2000, 64), generator=torch.Generator().manual_seed(0)), 3
    )
    targets = board.reshape(2000, 192).double()
    row = paired(
        lambda: fit_layers(RidgeProbe(l2=1.0), layer, targets)[0].predict(layer[:, 0]),
        lambda: sklearn_ridge(layer[:, 0].numpy(), targets.numpy(), 1.0),
        rounds,
    )
    report(f"ridge, {targets.shape[1]} one-hot targets, one layer", *row)


def report(name: str, ours: float, theirs: float, difference: float) -> None:
    print(f"{name:<42}{ours:>8.2f}s{theirs:>9.2f}s{theirs / ours:>7.1f}x{difference:>12.1e}")


if __name__ == "__main__":
    main()
