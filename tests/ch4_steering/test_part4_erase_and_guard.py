"""Checks of chapter 4, part 4: erase and guard."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from utils.course import assert_close, exercise, hidden, resources


def labelled(rng, n=24, d_model=5, dtype=torch.float32):
    """Activations off the origin that vary in every direction, more along some; both labels occur."""
    labels = torch.rand(n, generator=rng) < 0.6
    labels[:4] = torch.tensor([True, False, True, False])
    acts = torch.randn(n, d_model, generator=rng, dtype=dtype) * torch.linspace(0.7, 2, d_model) + 1
    acts = acts + torch.where(labels, 1.0, -1.0)[:, None] * torch.randn(d_model, generator=rng)
    return acts.to(dtype), labels


def some_directions(rng, n, d_model):
    """Independent directions of which no two are orthogonal, and none is nearly in the span of the others."""
    basis, _ = torch.linalg.qr(torch.randn(d_model, n, generator=rng, dtype=torch.float64))
    signs = torch.where(torch.rand(n, n, generator=rng) < 0.5, -1.0, 1.0).double()
    mixed = torch.eye(n, dtype=torch.float64) + (0.6 * signs).tril(-1)
    return mixed @ basis.T


def span_removed(directions):
    """The projection onto what is orthogonal to all rows, in float64."""
    rows = directions.double() / directions.double().norm(dim=1, keepdim=True)
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[values > 1e-4]
    return torch.eye(rows.shape[1], dtype=torch.float64) - basis.T @ basis


def fit_class_means(acts, labels):
    """The difference of class means, and zero where only rounding is left of it."""
    difference = acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    return difference if float(difference.norm()) > 1e-3 else torch.zeros_like(difference)


def fit_ridge(acts, labels):
    """Least squares with a penalty, which makes the answer a smooth function of the activations."""
    signs = torch.where(labels, 1.0, -1.0).to(acts.dtype)
    gram = acts.T @ acts + len(acts) * torch.eye(acts.shape[1], dtype=acts.dtype)
    return torch.linalg.solve(gram, acts.T @ signs)


def fit_first_left(*directions):
    """A fit that finds the first of these directions along which anything is left, and afterwards the last one."""

    def fit(acts, labels):
        for direction in directions:
            step = torch.as_tensor(direction).to(acts.dtype)
            if float((acts @ step).abs().max()) > 1e-3 * float(step.norm()):
                return step
        return torch.as_tensor(directions[-1]).to(acts.dtype)

    return fit


def fit_always(direction):
    return lambda acts, labels: torch.as_tensor(direction).to(acts.dtype)


class FitSpy:
    """A way of fitting that remembers what it was given, until `close`."""

    def __init__(self, fit):
        self.fit, self.acts, self.labels, self.open = fit, [], [], True

    def __call__(self, acts, labels):
        if self.open:
            self.acts.append(acts)
            self.labels.append(labels)
        return self.fit(acts, labels)

    def close(self):
        self.open = False


def by_numpy(acts, labels, fit, n_rounds):
    """INLP from the directions found, all at once: the projection after every round, the identity first."""
    rows = acts.double().numpy()
    found: list[np.ndarray] = []
    projections = [np.eye(rows.shape[1])]
    for _ in range(n_rounds):
        coef = fit(torch.from_numpy(rows @ projections[-1]), labels).numpy()
        found.append(coef / np.linalg.norm(coef))
        solved = np.linalg.pinv(np.stack(found), rcond=1e-4)
        projections.append(np.eye(rows.shape[1]) - solved @ np.stack(found))
    return [torch.from_numpy(projection) for projection in projections]


NEAR: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-4}


@exercise("inlp_projection", points=2)
class TestInlpProjection:
    def test_by_hand(self, learner):
        """one round with the difference of class means, (3, 4), gives I − uuᵀ with u = (0.6, 0.8)"""
        acts = torch.tensor([[1.0, 0.0], [4.0, 5.0], [-1.0, 2.0], [2.0, 5.0]])
        labels = torch.tensor([False, True, False, True])
        received = learner.inlp_projection(acts, labels, fit_class_means, 1)
        assert_close(received, torch.tensor([[0.64, -0.48], [-0.48, 0.36]]), atol=1e-5)

    def test_two_directions(self, learner):
        """of (1, 1, 0) and then (0, 1, 1), which are not orthogonal, what is left is the line along (1, −1, 1)"""
        acts = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [2.0, -1.0, 0.0], [-1.0, 1.0, 4.0]])
        labels = torch.tensor([True, False, True, False])
        fit = fit_first_left(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 1.0]))
        received = learner.inlp_projection(acts, labels, fit, 2)
        left = torch.tensor([1.0, -1.0, 1.0])
        assert_close(received, torch.outer(left, left) / 3, atol=1e-5)

    def test_no_rounds(self, learner, rng):
        """no round gives the identity"""
        for d_model in (1, 2, 6):
            acts, labels = labelled(rng, d_model=d_model)
            received = learner.inlp_projection(acts, labels, fit_ridge, 0)
            assert_close(received, torch.eye(d_model), what=f"{d_model} dimensions")

    def test_what_fit_is_given(self, learner, rng):
        """`fit` is called once a round with the labels: first with acts as they are, then with acts @ P so far"""
        acts, labels = labelled(rng)
        directions = some_directions(rng, 3, 5)
        expected = [acts.double(), *(acts.double() @ span_removed(directions[:k]) for k in (1, 2))]
        fit = FitSpy(fit_first_left(*directions))
        try:
            learner.inlp_projection(acts.clone(), labels.clone(), fit, 3)
        finally:
            fit.close()
        assert len(fit.acts) == 3, f"expected 3 fits in 3 rounds, saw {len(fit.acts)}"
        for number, (given, truth) in enumerate(zip(fit.acts, fit.labels, strict=True)):
            assert_close(given, expected[number], **NEAR, what=f"activations of round {number + 1}")
            assert_close(truth, labels, what=f"labels of round {number + 1}")

    @hidden
    def test_agrees_with_pseudo_inverse(self, learner, rng):
        """agrees with I − D⁺D, where the rows of D are all directions found, after any number of rounds"""
        for n, d_model, n_rounds in ((30, 4, 1), (20, 4, 2), (40, 7, 3), (12, 3, 2)):
            acts, labels = labelled(rng, n, d_model)
            expected = by_numpy(acts, labels, fit_ridge, n_rounds)[-1]
            received = learner.inlp_projection(acts, labels, fit_ridge, n_rounds)
            assert_close(
                received, expected, rtol=1e-3, atol=1e-3, what=f"{d_model} dimensions, {n_rounds} rounds"
            )

    def test_span(self, learner, rng):
        """removes the span of all directions found, and leaves what is orthogonal to all of them as it is"""
        for n, d_model in ((1, 3), (2, 4), (3, 5), (4, 9)):
            directions = some_directions(rng, n, d_model)
            acts, labels = labelled(rng, d_model=d_model)
            received = learner.inlp_projection(acts, labels, fit_first_left(*directions), n)
            what = f"{n} directions in {d_model} dimensions"
            assert_close(received * 0, torch.zeros(d_model, d_model), what="the projection times 0")
            gone = directions.double() @ received.double()
            assert_close(gone, torch.zeros(n, d_model), **NEAR, what=f"{what}: these, projected")
            kept = torch.randn(2, d_model, generator=rng).double() @ span_removed(directions)
            assert_close(kept @ received.double(), kept, **NEAR, what=f"{what}: what is orthogonal to them")

    def test_is_a_projection(self, learner, rng):
        """the answer is symmetric, changes nothing the second time, and a dimension goes in each round"""
        for n_rounds in (1, 2, 4):
            directions = some_directions(rng, n_rounds, 6)
            acts, labels = labelled(rng, d_model=6)
            received = learner.inlp_projection(acts, labels, fit_first_left(*directions), n_rounds)
            assert_close(received * 0, torch.zeros(6, 6), what="the projection times 0")
            projection, what = received.double(), f"after {n_rounds} rounds"
            assert_close(projection, projection.T, **NEAR, what=f"its transpose, {what}")
            assert_close(projection @ projection, projection, **NEAR, what=f"its square, {what}")
            assert_close(projection.trace(), 6.0 - n_rounds, **NEAR, what=f"its rank (trace), {what}")

    def test_length_does_not_matter(self, learner, rng):
        """only where a direction points counts: a millionth or a million times as long it is the same one"""
        directions = some_directions(rng, 3, 5)
        acts, labels = labelled(rng)
        expected = span_removed(directions)
        for lengths in ((1e-6, 1e-6, 1e-6), (1e6, 1e6, 1e6), (1e-6, 1.0, 1e6), (1e6, 1.0, 1e-6)):
            fit = fit_first_left(*(torch.tensor(lengths).double()[:, None] * directions))
            received = learner.inlp_projection(acts, labels, fit, 3)
            assert_close(received, expected, **NEAR, what=f"directions times {lengths}")

    def test_found_again(self, learner, rng):
        """a direction inside the span removed already, the same or a mixture, removes nothing more"""
        acts, labels = labelled(rng)
        one, two, three = some_directions(rng, 3, 5).float()
        for n_rounds in (2, 5):
            received = learner.inlp_projection(acts, labels, fit_always(one), n_rounds)
            what = f"the same direction in {n_rounds} rounds"
            assert_close(received, span_removed(one[None]), **NEAR, what=what)
        # In float32 a mixture is rounded, and lies in the span but for that.
        for mixture in (one - 2 * two, 0.3 * one + 0.7 * two, -5 * two):
            fit = fit_first_left(one, two, mixture)
            received = learner.inlp_projection(acts, labels, fit, 4)
            expected = span_removed(torch.stack([one, two]))
            assert_close(received, expected, **NEAR, what="two directions, then mixtures of them")
        received = learner.inlp_projection(acts, labels, fit_first_left(one, two, three, one), 6)
        expected = span_removed(torch.stack([one, two, three]))
        assert_close(received, expected, **NEAR, what="three directions in six rounds")

    def test_nothing_found(self, learner, rng):
        """a direction of zero removes nothing, in the first round or in a later one"""
        acts, labels = labelled(rng)
        for n_rounds in (1, 3):
            received = learner.inlp_projection(acts, labels, fit_always(torch.zeros(5)), n_rounds)
            assert_close(received, torch.eye(5), what=f"zero in each of {n_rounds} rounds")
        direction = some_directions(rng, 1, 5)
        fit = fit_first_left(*direction, torch.zeros(5))
        received = learner.inlp_projection(acts, labels, fit, 3)
        assert_close(received, span_removed(direction), **NEAR, what="one direction, then zero")

    def test_class_means(self, learner, rng):
        """with the difference of class means one round makes them equal, and further rounds find nothing"""
        for d_model in (2, 5, 8):
            acts, labels = labelled(rng, 30, d_model)
            expected = span_removed((acts[labels].mean(dim=0) - acts[~labels].mean(dim=0))[None])
            for n_rounds in (1, 4):
                received = learner.inlp_projection(acts, labels, fit_class_means, n_rounds)
                assert_close(received, expected, **NEAR, what=f"{d_model} dimensions, {n_rounds} rounds")

    def test_more_rounds_than_dimensions(self, learner, rng):
        """when as many independent directions as dimensions are found nothing is left, and more rounds do no harm"""
        for d_model, n_rounds in ((1, 1), (2, 2), (3, 5), (4, 4)):
            acts, labels = labelled(rng, d_model=d_model)
            fit = fit_first_left(*some_directions(rng, d_model, d_model))
            received = learner.inlp_projection(acts, labels, fit, n_rounds)
            what = f"{n_rounds} rounds in {d_model} dimensions"
            assert_close(received, torch.zeros(d_model, d_model), **NEAR, what=what)

    def test_dtype(self, learner, rng):
        """has the dtype of acts, so that acts @ projection works, and in float64 keeps the digits"""
        for dtype, atol in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
            directions = some_directions(rng, 2, 5)
            acts, labels = labelled(rng, dtype=dtype)
            received = learner.inlp_projection(acts, labels, fit_first_left(*directions), 2)
            assert_close(received, span_removed(directions), rtol=0, atol=atol, what=str(dtype))
            assert received.dtype == dtype, (
                f"expected {dtype} for {dtype} activations, received {received.dtype}"
            )

    def test_arguments_unchanged(self, learner, rng):
        """leaves activations and labels as they were"""
        acts, labels = labelled(rng)
        before = acts.clone(), labels.clone()
        learner.inlp_projection(acts, labels, fit_ridge, 2)
        assert_close((acts, labels), before, what="arguments after the call")

    def test_negative_rounds(self, learner, rng):
        """raises ValueError for a negative number of rounds"""
        for n_rounds in (-1, -3):
            with pytest.raises(ValueError):
                learner.inlp_projection(*labelled(rng), fit_ridge, n_rounds)


def concept(rng, n=30, d_model=5, n_classes=2, dtype=torch.float32):
    """Correlated activations off the origin, with a mean for each class; of the classes each is larger than the last.

    Labels are Bool for two classes and integers for more.
    """
    shares = torch.arange(1, n_classes + 1) / (n_classes * (n_classes + 1) / 2)
    labels = torch.searchsorted(shares.cumsum(0), (torch.arange(n) + 0.5) / n).clamp(max=n_classes - 1)
    labels = labels[torch.randperm(n, generator=rng)]
    acts = torch.randn(n, d_model, generator=rng, dtype=torch.float64) @ stretch(rng, d_model, 0.5, 3.0)
    means = 2 * torch.randn(n_classes, d_model, generator=rng)
    acts = acts + means[labels] + 4 * torch.randn(d_model, generator=rng)
    return acts.to(dtype), labels.bool() if n_classes == 2 else labels


def stretch(rng, d_model, smallest, largest):
    """A matrix that stretches by factors between these two along axes that are no coordinates."""
    turns = [
        torch.linalg.qr(torch.randn(d_model, d_model, generator=rng, dtype=torch.float64))[0]
        for _ in range(2)
    ]
    return turns[0] * torch.linspace(smallest, largest, d_model, dtype=torch.float64) @ turns[1]


def closed_form(acts, labels):
    """(projection, bias) in numpy, without a square root: x minus its part that the labels' covariance tells."""
    rows = acts.double().numpy()
    one_hot = (labels.numpy()[:, None] == np.unique(labels.numpy())).astype(float)
    centred, told = rows - rows.mean(axis=0), one_hot - one_hot.mean(axis=0)
    precision = np.linalg.pinv(centred.T @ centred, rcond=1e-12, hermitian=True)
    cross = centred.T @ told
    inner = np.linalg.pinv(cross.T @ precision @ cross, rcond=1e-9, hermitian=True)
    removed = cross @ inner @ cross.T @ precision
    return torch.from_numpy(np.eye(rows.shape[1]) - removed), torch.from_numpy(removed @ rows.mean(axis=0))


def eraser_of(learner, acts, labels):
    """The learner's projection and bias in float64, once their shapes are right and no NaN is among them."""
    received = learner.leace_eraser(acts, labels)
    assert isinstance(received, (tuple, list)), "expected a tuple (projection, bias)"
    assert len(received) == 2, f"expected (projection, bias), received {len(received)} values"
    d_model = acts.shape[1]
    assert_close(received[0] * 0, torch.zeros(d_model, d_model), what="the projection times 0")
    assert_close(received[1] * 0, torch.zeros(d_model), what="the bias times 0")
    return received[0].double(), received[1].double()


def erased(learner, acts, labels):
    projection, bias = eraser_of(learner, acts, labels)
    return acts.double() @ projection.T + bias


def mean_gaps(acts, labels):
    """How far each class's mean is from that of the first."""
    means = torch.stack([acts[labels == each].mean(dim=0) for each in labels.unique()])
    return means[1:] - means[:1]


def assert_means_coincide(acts, labels, before, what):
    gaps = mean_gaps(acts, labels) / before.double().std(dim=0, correction=0).clamp(min=1e-9)
    assert_close(
        gaps, torch.zeros(gaps.shape), atol=1e-4, what=f"class means minus the first class's, {what}"
    )


@exercise("leace_eraser", points=3)
class TestLeaceEraser:
    def test_by_hand(self, learner):
        """with Σ = ((2, 1), (1, 1)) and class means ±(1, 0) around the origin, (x, y) becomes (y, y)"""
        acts = torch.tensor([[0.0, 1.0], [2.0, 1.0], [-2.0, -1.0], [0.0, -1.0]])
        labels = torch.tensor([False, True, False, True])
        received = learner.leace_eraser(acts, labels)
        expected = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros(2)
        assert_close(received, expected, atol=1e-5)

    def test_bias_by_hand(self, learner):
        """around (3, 1) the same activations need the bias (2, 0), which leaves the overall mean where it was"""
        acts = torch.tensor([[3.0, 2.0], [5.0, 2.0], [1.0, 0.0], [3.0, 0.0]])
        labels = torch.tensor([False, True, False, True])
        received = learner.leace_eraser(acts, labels)
        expected = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([2.0, 0.0])
        assert_close(received, expected, atol=1e-5)

    def test_class_means_coincide(self, learner, rng):
        """acts @ projection.T + bias has the same mean in every class, be there two classes or more"""
        for n, d_model, n_classes in ((30, 5, 2), (12, 3, 2), (40, 6, 3), (60, 4, 4), (60, 3, 5)):
            acts, labels = concept(rng, n, d_model, n_classes)
            after = erased(learner, acts, labels)
            assert_means_coincide(after, labels, acts, f"{n_classes} classes in {d_model} dimensions")

    def test_no_linear_probe(self, learner, rng):
        """afterwards no linear predictor tells these rows' labels: log-loss that of a constant, least squares 0"""
        for n_classes in (2, 3):
            acts, labels = concept(rng, 40, 4, n_classes)
            after = erased(learner, acts, labels).numpy()
            shares = np.unique(labels.numpy(), return_counts=True)[1] / 40
            constant = -float((shares * np.log(shares)).sum())
            probe = LogisticRegression(C=100.0, max_iter=200).fit(after, labels.numpy())
            loss = float(log_loss(labels.numpy(), probe.predict_proba(after)))
            assert loss > constant - 1e-4, f"log-loss {loss:.4f}, a constant's is {constant:.4f}"
            one_hot = (labels.numpy()[:, None] == np.unique(labels.numpy())).astype(float)
            one_hot -= one_hot.mean(axis=0)
            centred = after - after.mean(axis=0)
            weights, *_ = np.linalg.lstsq(centred, one_hot, rcond=1e-5)
            explained = float(((centred @ weights) ** 2).sum() / (one_hot**2).sum())
            assert explained < 1e-4, f"least squares still explains {explained:.4f} of the labels' variance"

    @hidden
    def test_agrees_with_closed_form(self, learner, rng):
        """agrees with a formula that needs no square root of Σ, for two classes and for more"""
        # More rows than dimensions, then fewer.
        sizes = (30, 5, 2), (9, 2, 2), (20, 1, 2), (40, 6, 3), (60, 8, 4), (50, 3, 5), (5, 9, 2), (7, 12, 3)
        for n, d_model, n_classes in sizes:
            acts, labels = concept(rng, n, d_model, n_classes)
            received = learner.leace_eraser(acts, labels)
            expected = closed_form(acts, labels)
            what = f"{n} rows of {n_classes} classes in {d_model} dimensions"
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=what)

    def test_least_change(self, learner, rng):
        """of the maps that make the means equal none changes the rows less, measured in whatever coordinates"""
        acts, labels = concept(rng, 40, 4)
        projection, bias = eraser_of(learner, acts, labels)
        rows = acts.double()
        after = rows @ projection.T + bias
        assert_means_coincide(after, labels, acts, "two classes")
        gap = (rows[labels].mean(dim=0) - rows[~labels].mean(dim=0)).double()
        readers = torch.randn(60, 4, generator=rng).double()
        readers[0] = gap
        for measure in (torch.eye(4).double(), stretch(rng, 4, 0.1, 5.0), stretch(rng, 4, 0.1, 5.0)):
            changed = float(((after - rows) @ measure).square().sum(dim=1).mean())
            for reader in readers:
                # x − gap · (reader · (x − mean)) / (reader · gap) makes the means equal as well.
                told = (rows - rows.mean(dim=0)) @ reader / (reader @ gap)
                other = float((told[:, None] * (gap @ measure)).square().sum(dim=1).mean())
                assert changed <= other * (1 + 1e-3), (
                    f"yours changes rows by {changed:.4f}, another by {other:.4f}"
                )

    def test_overall_mean(self, learner, rng):
        """the mean of all rows together stays where it was, also with classes of different size"""
        for n, d_model, n_classes in ((30, 5, 2), (45, 4, 3)):
            acts, labels = concept(rng, n, d_model, n_classes)
            after = erased(learner, acts, labels)
            expected = acts.double().mean(dim=0)
            assert_close(after.mean(dim=0), expected, rtol=1e-3, atol=1e-3, what=f"mean, {n_classes} classes")

    def test_rank(self, learner, rng):
        """erasing twice is erasing once, and k classes cost k − 1 dimensions, no more"""
        for n, d_model, n_classes in ((30, 5, 2), (40, 6, 3), (60, 5, 4)):
            acts, labels = concept(rng, n, d_model, n_classes)
            projection, _ = eraser_of(learner, acts, labels)
            what = f"of the projection, {n_classes} classes in {d_model} dimensions"
            assert_close(projection @ projection, projection, rtol=1e-3, atol=1e-3, what=f"square {what}")
            rank = float(d_model - n_classes + 1)
            assert_close(projection.trace(), rank, rtol=1e-3, atol=1e-3, what=f"rank (trace) {what}")

    def test_other_coordinates(self, learner, rng):
        """erasing in other coordinates, turned, stretched and moved, is erasing and then changing coordinates"""
        for n_classes in (2, 3):
            acts, labels = concept(rng, 40, 5, n_classes)
            change, shift = stretch(rng, 5, 0.3, 2.0), 3 * torch.randn(5, generator=rng)
            expected = erased(learner, acts, labels) @ change + shift
            moved = (acts.double() @ change + shift).float()
            received = erased(learner, moved, labels)
            assert_close(received, expected, rtol=1e-3, atol=1e-2, what=f"erased rows, {n_classes} classes")

    def test_names_of_classes(self, learner, rng):
        """classes exchanged, named by other integers, or by integers for False and True give the same eraser"""
        acts, labels = concept(rng)
        expected = learner.leace_eraser(acts, labels)
        for name, other in (
            ("exchanged", ~labels),
            ("0 and 1", labels.long()),
            ("7 and 3", torch.where(labels, 3, 7)),
        ):
            assert_close(learner.leace_eraser(acts, other), expected, **NEAR, what=f"classes {name}")
        acts, labels = concept(rng, 40, 5, 3)
        expected = learner.leace_eraser(acts, labels)
        for names in ((1, 2, 0), (5, 9, 2)):
            received = learner.leace_eraser(acts, torch.tensor(names)[labels])
            assert_close(received, expected, **NEAR, what=f"classes 0, 1 and 2 called {names}")

    def test_rows(self, learner, rng):
        """rows in another order, or each row three times, give the same eraser"""
        acts, labels = concept(rng, 25, 4)
        expected = learner.leace_eraser(acts, labels)
        order = torch.randperm(25, generator=rng)
        received = learner.leace_eraser(acts[order], labels[order])
        assert_close(received, expected, **NEAR, what="in another order")
        received = learner.leace_eraser(acts.repeat(3, 1), labels.repeat(3))
        assert_close(received, expected, **NEAR, what="each row three times")

    def test_fewer_rows_than_dimensions(self, learner, rng):
        """with fewer rows than dimensions the means coincide, and directions in which no row differs are left alone"""
        for n, d_model, n_classes in ((5, 9, 2), (6, 6, 2), (7, 12, 3)):
            acts, labels = concept(rng, n, d_model, n_classes)
            projection, bias = eraser_of(learner, acts, labels)
            what = f"{n} rows in {d_model} dimensions"
            assert_means_coincide(acts.double() @ projection.T + bias, labels, acts, what)
            centred = acts.double() - acts.double().mean(dim=0)
            # The last of all the right singular vectors: no row has a part along them.
            still = torch.linalg.svd(centred).Vh[n - 1 :]
            assert_close(
                still @ projection.T, still, rtol=1e-3, atol=1e-3, what=f"{what}: such directions, projected"
            )
            read = projection.T @ still.T
            assert_close(
                read, still.T, rtol=1e-3, atol=1e-3, what=f"{what}: what is read along such directions"
            )

    def test_dependent_dimensions(self, learner, rng):
        """a dimension that occurs twice still does so afterwards, and a constant one keeps its value"""
        for n_classes in (2, 3):
            acts, labels = concept(rng, 30, 3, n_classes)
            acts = torch.cat([acts, acts[:, :1], torch.full((30, 1), 7.0)], dim=1)
            after = erased(learner, acts, labels)
            assert_means_coincide(after, labels, acts, f"{n_classes} classes")
            assert_close(after[:, 3], after[:, 0], rtol=1e-3, atol=1e-3, what="the copy, erased")
            assert_close(after[:, 4], torch.full((30,), 7.0), rtol=1e-3, what="the constant, erased")

    def test_nothing_to_erase(self, learner, rng):
        """where the classes have the same mean already nothing changes: the identity, and a bias of 0"""
        rows = torch.randint(-5, 6, (4, 3), generator=rng).float()
        for name, acts, labels in (
            ("each row once in each of two classes", rows.repeat(2, 1), torch.arange(8) < 4),
            ("each row once in each of four classes", rows.repeat(4, 1), torch.arange(16) // 4),
            ("all rows the same", rows[:1].repeat(4, 1), torch.tensor([True, False, True, False])),
        ):
            received = learner.leace_eraser(acts, labels)
            assert_close(received, (torch.eye(3), torch.zeros(3)), atol=1e-5, what=name)

    def test_any_scale(self, learner, rng):
        """activations a thousandth or a thousand times as large have the same projection, and a bias as much larger"""
        acts, labels = concept(rng, 40, 5, 3)
        projection, bias = learner.leace_eraser(acts, labels)
        for factor in (1e-3, 1e3):
            received = learner.leace_eraser(factor * acts, labels)
            what = f"activations times {factor:g}"
            assert_close(received[0], projection, rtol=1e-3, atol=1e-3, what=f"projection, {what}")
            assert_close(received[1] / factor, bias, rtol=1e-3, atol=1e-3, what=f"bias / {factor:g}, {what}")

    def test_uneven_scales(self, learner, rng):
        """works where one dimension varies thousands of times as much as another, as in a residual stream"""
        acts, labels = concept(rng, 40, 5)
        scales = 10.0 ** torch.linspace(-1, 2.5, 5)
        after = erased(learner, acts * scales, labels)
        assert_means_coincide(after, labels, acts * scales, "uneven scales")
        expected = erased(learner, acts, labels)
        assert_close(after / scales, expected, rtol=1e-3, atol=2e-2, what="erased rows over their scales")

    def test_dtype(self, learner, rng):
        """has the dtype of acts, so that acts @ projection.T + bias works, and in float64 keeps the digits"""
        # The example by hand, in other coordinates.
        rows = torch.tensor([[0.0, 1.0], [2.0, 1.0], [-2.0, -1.0], [0.0, -1.0]], dtype=torch.float64)
        labels = torch.tensor([False, True, False, True])
        change, shift = stretch(rng, 2, 0.5, 2.0), torch.randn(2, generator=rng).double()
        expected = change @ torch.tensor([[0.0, 1.0], [0.0, 1.0]]).double() @ torch.linalg.inv(change)
        for dtype, atol in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
            projection, bias = learner.leace_eraser((rows @ change.T + shift).to(dtype), labels)
            assert_close(projection, expected, rtol=0, atol=atol, what=f"projection, {dtype}")
            assert_close(bias, shift - expected @ shift, rtol=0, atol=atol, what=f"bias, {dtype}")
            assert projection.dtype == bias.dtype == dtype, (
                f"expected {dtype} for {dtype} activations, received {projection.dtype} and {bias.dtype}"
            )

    def test_arguments_unchanged(self, learner, rng):
        """leaves activations and labels as they were"""
        for n_classes in (2, 3):
            acts, labels = concept(rng, n_classes=n_classes)
            before = acts.clone(), labels.clone()
            learner.leace_eraser(acts, labels)
            assert_close((acts, labels), before, what="arguments after the call")

    def test_one_class(self, learner, rng):
        """raises ValueError where all rows are of one class, whichever, and where there is no row"""
        acts, _ = concept(rng, 6, 3)
        for labels in (
            torch.ones(6).bool(),
            torch.zeros(6).bool(),
            torch.full((6,), 2),
            torch.zeros(6).long(),
        ):
            with pytest.raises(ValueError):
                learner.leace_eraser(acts, labels)
        for n in (1, 0):
            for labels in (torch.ones(n).bool(), torch.ones(n).long()):
                with pytest.raises(ValueError):
                    learner.leace_eraser(acts[:n], labels)


def erasure(rng, d_model, rank, oblique=False, dtype=torch.float32):
    """A random projection that removes as many directions; an oblique one reads other directions than it removes."""
    basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, generator=rng, dtype=torch.float64))
    removed = reader = basis[:, :rank]
    if oblique:
        reader = removed + 0.7 * basis[:, rank:] @ torch.randn(d_model - rank, rank, generator=rng).double()
    return (torch.eye(d_model, dtype=torch.float64) - removed @ reader.T).to(dtype)


def erasures(rng, n, d_model, rank, oblique=False, dtype=torch.float32):
    return torch.stack([erasure(rng, d_model, rank, oblique, dtype) for _ in range(n)])


def axis_metric(nothing, *by_axis):
    """A metric known for each axis that may be erased."""

    def metric(eraser):
        return nothing if eraser is None else by_axis[int(eraser.diagonal().argmin())]

    return metric


def curved_metric(rng, d_model):
    """A metric that is no linear function of the projection: that of a mean projection is no mean of metrics."""
    weight = torch.randn(d_model, d_model, generator=rng).double()

    def metric(eraser):
        eraser = torch.eye(d_model) if eraser is None else eraser
        return 1 / (1 + float((eraser.double() * weight).sum().square()))

    return metric


def without_axis(axis, d_model=3):
    return torch.eye(d_model) - torch.diag(torch.eye(d_model)[axis])


def assert_refused(learner, rng, rank, ranks, oblique):
    random_erase = torch.stack([erasure(rng, 5, each, oblique) for each in ranks])
    with pytest.raises(ValueError):
        learner.amnesic_effect(curved_metric(rng, 5), erasure(rng, 5, rank, oblique), random_erase)


class MetricSpy:
    """A metric that remembers what was erased, until `close`."""

    def __init__(self, metric):
        self.metric, self.erased, self.open = metric, [], True

    def __call__(self, eraser):
        if self.open:
            self.erased.append(eraser)
        return self.metric(eraser)

    def close(self):
        self.open = False


@exercise("amnesic_effect")
class TestAmnesicEffect:
    def test_by_hand(self, learner):
        """the concept costs 0.9 − 0.5, random directions 0.1 and 0.2: the drop beyond theirs is 0.25"""
        metric = axis_metric(0.9, 0.5, 0.8, 0.7)
        random_erase = torch.stack([without_axis(1), without_axis(2)])
        assert_close(learner.amnesic_effect(metric, without_axis(0), random_erase), 0.25)

    def test_no_more_than_random(self, learner):
        """0 where random directions do as much damage, however much it is, and negative where they do more"""
        random_erase = torch.stack([without_axis(1), without_axis(2)])
        for after, expected in (((0.3, 0.3, 0.3), 0.0), ((0.3, 0.2, 0.4), 0.0), ((0.6, 0.1, 0.3), -0.4)):
            received = learner.amnesic_effect(axis_metric(0.9, *after), without_axis(0), random_erase)
            assert_close(received, expected, what=f"metrics {after} with an axis erased, 0.9 with none")

    def test_nothing_erased(self, learner):
        """how good the model is with nothing erased makes no difference, be it better or worse than with something"""
        random_erase = torch.stack([without_axis(1), without_axis(2)])
        for nothing in (0.95, 0.6, 0.0, 20.0):
            received = learner.amnesic_effect(
                axis_metric(nothing, 0.5, 0.8, 0.7), without_axis(0), random_erase
            )
            assert_close(received, 0.25, what=f"metric {nothing:g} with nothing erased")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over draws, of any number, rank and width, orthogonal or not"""
        for n, d_model, rank, oblique, dtype in (
            (1, 3, 1, False, torch.float32),
            (4, 5, 2, False, torch.float64),
            (3, 6, 3, True, torch.float32),
            (7, 4, 1, True, torch.float64),
            (2, 40, 9, False, torch.float32),
        ):
            metric = curved_metric(rng, d_model)
            erase = erasure(rng, d_model, rank, oblique, dtype)
            random_erase = erasures(rng, n, d_model, rank, oblique, dtype)
            drop, control = metric(None) - metric(erase), 0.0
            for each in random_erase:
                control += (metric(None) - metric(each)) / n
            received = learner.amnesic_effect(metric, erase, random_erase)
            what = f"{n} draws, {rank} of {d_model} directions{', oblique' if oblique else ''}"
            assert_close(received, drop - control, rtol=1e-3, atol=1e-5, what=what)

    def test_every_draw_counts(self, learner, rng):
        """each draw counts as much: their order does not matter, and a single one differs from all together"""
        metric, erase = curved_metric(rng, 4), erasure(rng, 4, 2)
        random_erase = erasures(rng, 3, 4, 2)
        whole = float(learner.amnesic_effect(metric, erase, random_erase))
        received = learner.amnesic_effect(metric, erase, random_erase.flip(0))
        assert_close(received, whole, rtol=1e-3, atol=1e-5, what="draws in the opposite order")
        single = [float(learner.amnesic_effect(metric, erase, random_erase[i : i + 1])) for i in range(3)]
        assert_close(
            sum(single) / 3, whole, rtol=1e-3, atol=1e-5, what="mean of the effects with one draw each"
        )

    def test_what_metric_is_given(self, learner, rng):
        """the metric is asked about each erasure once, as it is, and about nothing erased (None) once at most"""
        erase, random_erase = erasure(rng, 4, 1, oblique=True), erasures(rng, 3, 4, 1)
        metric = MetricSpy(curved_metric(rng, 4))
        try:
            learner.amnesic_effect(metric, erase.clone(), random_erase.clone())
        finally:
            metric.close()
        asked = [each for each in metric.erased if each is not None]
        assert len(metric.erased) - len(asked) <= 1, "the metric with nothing erased was asked more than once"
        assert len(asked) == 4, f"expected 4 erasures, one and three random ones; saw {len(asked)}"
        for name, wanted in (("erase", erase), *((f"random_erase[{i}]", random_erase[i]) for i in range(3))):
            # In whatever order they were asked about.
            gaps = [float((each - wanted).abs().max()) for each in asked if each.shape == wanted.shape]
            assert min(gaps, default=1.0) < 1e-6, f"the metric was not asked about {name}"

    def test_units(self, learner, rng):
        """a metric in other units or moved by a constant gives the effect in those units"""
        metric, erase, random_erase = curved_metric(rng, 4), erasure(rng, 4, 1), erasures(rng, 2, 4, 1)
        expected = float(learner.amnesic_effect(metric, erase, random_erase))
        for factor, shift in ((100.0, 0.0), (1.0, -3.0), (-2.0, 5.0)):
            other = lambda eraser, factor=factor, shift=shift: factor * metric(eraser) + shift  # noqa: E731
            received = learner.amnesic_effect(other, erase, random_erase)
            what = f"{factor:g} × metric + {shift:g}"
            assert_close(received, factor * expected, rtol=1e-3, atol=1e-4, what=what)

    def test_rounded_projections(self, learner, rng):
        """ranks agree also where projections are rounded, as products of float32 matrices are"""
        for d_model, rank in ((40, 7), (30, 29), (6, 5), (5, 0)):
            basis = [
                torch.linalg.qr(torch.randn(d_model, d_model, generator=rng))[0][:, :rank] for _ in range(3)
            ]
            exact = torch.stack([torch.eye(d_model).double() - q.double() @ q.double().T for q in basis])
            rounded = torch.stack([torch.linalg.multi_dot([torch.eye(d_model) - q @ q.T] * 3) for q in basis])
            metric = curved_metric(rng, d_model)
            expected = float(learner.amnesic_effect(metric, exact[0], exact[1:]))
            received = learner.amnesic_effect(metric, rounded[0], rounded[1:])
            what = f"{rank} of {d_model} directions"
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the erasures as they were"""
        erase, random_erase = erasure(rng, 4, 2), erasures(rng, 3, 4, 2)
        before = erase.clone(), random_erase.clone()
        learner.amnesic_effect(curved_metric(rng, 4), erase, random_erase)
        assert_close((erase, random_erase), before, what="erasures after the call")

    def test_smaller_rank(self, learner, rng):
        """raises ValueError where the random erasures remove fewer directions than the concept's"""
        for rank, ranks, oblique in ((2, (1, 1), True), (1, (0,), False), (4, (1,), False)):
            assert_refused(learner, rng, rank, ranks, oblique)

    def test_larger_rank(self, learner, rng):
        """raises ValueError where the random erasures remove more directions than the concept's"""
        for rank, ranks, oblique in ((1, (2,), False), (2, (3, 3), True), (0, (1,), False), (1, (4,), True)):
            assert_refused(learner, rng, rank, ranks, oblique)

    def test_single_rank(self, learner, rng):
        """raises ValueError where one of several removes another number of directions, though on average they agree"""
        for number, ranks in enumerate(((2, 2, 3), (2, 2, 1), (1, 2, 2), (2, 3, 2), (1, 3), (3, 1))):
            assert_refused(learner, rng, 2, ranks, number % 2 == 1)

    def test_no_draw(self, learner, rng):
        """raises ValueError where there is no random erasure"""
        for d_model in (1, 4):
            with pytest.raises(ValueError):
                learner.amnesic_effect(
                    curved_metric(rng, d_model), erasure(rng, d_model, 1), torch.zeros(0, d_model, d_model)
                )


INTERCEPT, THRESHOLD = -0.25, 0.4


def new_direction(rng, d_model=4, dtype=torch.float32, length=3.0):
    """Not of unit length, so that a direction divided by its length shows."""
    direction = torch.randn(d_model, generator=rng, dtype=torch.float64)
    return (length * direction / direction.norm()).to(dtype)


def stream_scoring(rng, coef, scores, dtype=torch.float32):
    """A random stream in which the probe, with its intercept, scores `scores` ("batch pos")."""
    scores = torch.as_tensor(scores, dtype=torch.float64)
    coef = coef.double()
    resid = torch.randn(*scores.shape, len(coef), generator=rng, dtype=torch.float64) + 1
    missing = scores - INTERCEPT - resid @ coef
    return (resid + missing[..., None] * coef / (coef @ coef)).to(dtype)


def clear_scores(rng, fires, n_positions):
    """Scores clearly above the threshold at the last position of rows that fire, below in others; anything before."""
    distance = 0.5 + 2 * torch.rand(len(fires), generator=rng)
    scores = THRESHOLD + 3 * torch.randn(len(fires), n_positions, generator=rng)
    scores[:, -1] = THRESHOLD + torch.where(torch.tensor(fires), distance, -distance)
    return scores


def steered(resid, fires, step):
    """The stream with the step added in the rows that fire."""
    return torch.stack([row + step if fire else row for row, fire in zip(resid, fires, strict=True)])


STEERED: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


@exercise("conditional_steering_hook", points=2)
class TestConditionalSteeringHook:
    def test_by_hand(self, learner):
        """of two rows the first scores 4, above 3, and is steered by (6, −8) at both positions; the second scores 2"""
        hook = learner.conditional_steering_hook(
            torch.tensor([1.0, 2.0]), -1.0, 3.0, torch.tensor([3.0, -4.0]), 2.0
        )
        resid = torch.tensor([[[0.0, 0.0], [3.0, 1.0]], [[9.0, 9.0], [1.0, 1.0]]])
        expected = torch.tensor([[[6.0, -8.0], [9.0, -7.0]], [[9.0, 9.0], [1.0, 1.0]]])
        assert_close(hook(resid, hook=None), expected)

    def test_threshold(self, learner):
        """a row that scores exactly the threshold does not fire, one just above it does"""
        # All numbers are exact in binary. The rows score the threshold, a quarter more, and a quarter less.
        above, fires = torch.tensor([0.0, 0.25, -0.25]), [False, True, False]
        for intercept, threshold in ((0.0, 2.0), (-1.0, 3.0), (0.5, -2.0), (2.0, 0.0)):
            resid = torch.full((3, 1, 2), 5.0)
            resid[:, 0, 0] = (threshold - intercept + above) / 2
            hook = learner.conditional_steering_hook(
                torch.tensor([2.0, 0.0]), intercept, threshold, torch.tensor([1.0, 1.0]), 4.0
            )
            what = f"scores 0, ¼ and −¼ above the threshold {threshold:g}, with intercept {intercept:g}"
            assert_close(hook(resid, hook=None), steered(resid, fires, 4.0), **STEERED, what=what)

    def test_last_position(self, learner, rng):
        """the score of the last position decides, whatever the probe says of the ones before"""
        coef, direction = new_direction(rng), new_direction(rng)
        high, low = THRESHOLD + 8, THRESHOLD - 8
        scores = torch.tensor(
            [[high, high, low], [low, low, high], [high, low, low], [low, high, high], [high, low, high]]
        ) + torch.rand(5, 3, generator=rng)
        fires = (scores[:, -1] > THRESHOLD).tolist()
        resid = stream_scoring(rng, coef, scores)
        hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, 2.0)
        assert_close(hook(resid, hook=None), steered(resid, fires, 2.0 * direction), **STEERED)

    def test_each_row(self, learner, rng):
        """each row decides for itself: all, none, or some of a batch fire"""
        for fires in (
            [True],
            [False],
            [True, True, True],
            [False] * 3,
            [False, True, False],
            [True, False, True],
        ):
            coef, direction = new_direction(rng), new_direction(rng)
            resid = stream_scoring(rng, coef, clear_scores(rng, fires, 5))
            hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, -1.5)
            expected = steered(resid, fires, -1.5 * direction)
            assert_close(hook(resid, hook=None), expected, **STEERED, what=f"rows that fire: {fires}")

    def test_later_passes(self, learner, rng):
        """later passes are steered in the rows that fired on the first, whatever the probe says of the new tokens"""
        fires = [True, False, True, False]
        for first in (5, 1):
            coef, direction = new_direction(rng), new_direction(rng)
            hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, 2.0)
            for number, length in enumerate((first, 1, 1, 3, 1)):
                # After the first pass the scores say nothing, then the opposite, and so on.
                says = fires if number == 0 else [fire != bool(number % 2) for fire in fires]
                resid = stream_scoring(rng, coef, clear_scores(rng, says, length))
                expected = steered(resid, fires, 2.0 * direction)
                what = f"pass {number + 1}, of {length} positions, after a first one of {first}"
                assert_close(hook(resid, hook=None), expected, **STEERED, what=what)

    def test_rows_left_alone(self, learner, rng):
        """rows that do not fire come back exactly as they were, to the last bit, on every pass"""
        fires = [False, True, False]
        coef, direction = new_direction(rng), new_direction(rng, length=1e6)
        hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, 0.3)
        for length in (4, 1, 1):
            resid = stream_scoring(rng, coef, clear_scores(rng, fires, length))
            received = hook(resid, hook=None)
            assert_close(received * 0, resid * 0, what="the answer times 0")
            assert_close(received[[0, 2]], resid[[0, 2]], rtol=0, atol=0, what="rows that do not fire")

    def test_probe_is_not_direction(self, learner, rng):
        """the probe only decides: how long its weights are, or how far above the threshold, changes no step"""
        direction = new_direction(rng)
        for length in (0.01, 1.0, 100.0):
            coef = new_direction(rng, length=length)
            scores = torch.tensor(
                [[THRESHOLD + 0.5], [THRESHOLD + 50.0], [THRESHOLD - 0.5], [THRESHOLD - 50.0]]
            )
            resid = stream_scoring(rng, coef, scores, torch.float64)
            hook = learner.conditional_steering_hook(
                coef.double(), INTERCEPT, THRESHOLD, direction.double(), 1.0
            )
            expected = steered(resid, [True, True, False, False], direction.double())
            assert_close(
                hook(resid, hook=None), expected, **STEERED, what=f"probe weights of length {length:g}"
            )

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over rows, positions and coordinates"""
        for batch, length, d_model, dtype in (
            (1, 6, 3, torch.float32),
            (4, 3, 7, torch.float64),
            (3, 3, 3, torch.float32),
            (6, 2, 1, torch.float64),
        ):
            fires = (torch.rand(batch, generator=rng) < 0.5).tolist()
            coef, direction = (new_direction(rng, d_model, dtype) for _ in range(2))
            coefficient = float(torch.randn(1, generator=rng))
            hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, coefficient)
            for passed in (length, 1):
                resid = stream_scoring(rng, coef, clear_scores(rng, fires, passed), dtype)
                rows = resid.tolist()
                for row, fire in zip(rows, fires, strict=True):
                    for vector in row if fire else []:
                        for i, step in enumerate(direction.tolist()):
                            vector[i] += coefficient * step
                what = f"{batch} rows of {passed} positions"
                expected = torch.tensor(rows, dtype=dtype)
                assert_close(hook(resid, hook=None), expected, rtol=1e-5, atol=1e-4, what=what)

    def test_float64(self, learner, rng):
        """a float64 stream keeps its digits, also where a step of a million meets one that is as far away"""
        fires, coef = [True, False, True], new_direction(rng, 5, torch.float64)
        direction = new_direction(rng, 5, torch.float64)
        # Across the probe's weights, so that the score does not see it.
        direction = direction - (direction @ coef) / (coef @ coef) * coef
        step = 1e6 * direction / direction.norm()
        hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, step, 1.0)
        for length in (3, 1):
            resid = stream_scoring(rng, coef, clear_scores(rng, fires, length), torch.float64) - step
            expected = steered(resid, fires, step)
            assert_close(hook(resid, hook=None), expected, rtol=0, atol=1e-6, what=f"{length} positions")

    def test_arguments_unchanged(self, learner, rng):
        """the hook returns a new tensor: the stream that it is given stays, and so do probe and direction"""
        for fires in ([True, False], [True, True], [False, False]):
            coef, direction = new_direction(rng), new_direction(rng)
            before = coef.clone(), direction.clone()
            hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, 2.0)
            assert_close((coef, direction), before, what="probe and direction after making the hook")
            for number, length in enumerate((3, 1)):
                resid = stream_scoring(rng, coef, clear_scores(rng, fires, length))
                copy = resid.clone()
                hook(resid, hook=None)
                assert_close(resid, copy, rtol=0, atol=0, what=f"the stream after pass {number + 1}")

    def test_independent_hooks(self, learner, rng):
        """each hook decides on a first pass of its own, whenever it was made and whichever runs first"""
        coef, step = new_direction(rng), new_direction(rng)
        one, two = (
            learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, step, 1.0) for _ in range(2)
        )
        for name, hook, says, fires in (
            ("one", one, [True, False], [True, False]),
            ("two", two, [False, True], [False, True]),
            ("one", one, [True, True], [True, False]),
            ("two", two, [False, False], [False, True]),
        ):
            resid = stream_scoring(rng, coef, clear_scores(rng, says, 2))
            expected = steered(resid, fires, step)
            assert_close(hook(resid, hook=None), expected, **STEERED, what=f"hook {name} of two")
        three = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, step, 1.0)
        resid = stream_scoring(rng, coef, clear_scores(rng, [False, False, True], 4))
        expected = steered(resid, [False, False, True], step)
        assert_close(three(resid, hook=None), expected, **STEERED, what="a third hook, with three rows")

    def test_in_a_model(self, learner, rng):
        """while a model generates with a cache, the rows whose prompt fires are steered at every token, no others"""
        # Not the fixture, which would build the model in the learner's process too.
        tiny_model: Any = resources.get("tiny_model")
        name, prompt = "blocks.1.hook_out", torch.randint(0, 256, (4, 6), generator=rng)
        coef, direction = new_direction(rng, 32), new_direction(rng, 32)
        with torch.no_grad():
            _, cache = tiny_model.run_with_cache(prompt, names_filter=[name])
        scores = cache[name][:, -1].double() @ coef.double()
        low_to_high = scores.sort().values
        # In the middle of the widest gap, where rounding cannot matter.
        at = int(low_to_high.diff().argmax())
        middle = float(low_to_high[at : at + 2].mean())
        fires = (scores > middle).tolist()
        hook = learner.conditional_steering_hook(coef, INTERCEPT, middle + INTERCEPT, direction, 3.0)
        lengths = []

        def yours(resid, hook, yours=hook):
            received = yours(resid, hook=None)
            lengths.append(resid.shape[1])
            what = f"pass {len(lengths)}, of {resid.shape[1]} positions"
            assert_close(received, steered(resid, fires, 3.0 * direction), rtol=1e-4, atol=1e-4, what=what)
            assert received.dtype == resid.dtype, f"expected {resid.dtype}, received {received.dtype}"
            return received

        try:
            with torch.no_grad(), tiny_model.hooks(fwd_hooks=[(name, yours)]):
                tiny_model.generate(
                    prompt, max_new_tokens=3, do_sample=False, stop_at_eos=False, verbose=False
                )
        finally:
            tiny_model.reset_hooks()
        assert lengths == [6, 1, 1], f"expected passes of 6, 1 and 1 positions, saw {lengths}"

    def test_other_number_of_rows(self, learner, rng):
        """raises ValueError where a later pass has more or fewer rows than the first, be it one"""
        coef, direction = new_direction(rng), new_direction(rng)
        for first, later in ((3, 1), (3, 2), (3, 5), (1, 3)):
            fires = [row % 2 == 0 for row in range(max(first, later))]
            hook = learner.conditional_steering_hook(coef, INTERCEPT, THRESHOLD, direction, 2.0)
            hook(stream_scoring(rng, coef, clear_scores(rng, fires[:first], 4)), hook=None)
            with pytest.raises(ValueError):
                hook(stream_scoring(rng, coef, clear_scores(rng, fires[:later], 1)), hook=None)
