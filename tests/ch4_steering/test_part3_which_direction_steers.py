"""Checks of chapter 4, part 3: which direction steers?"""

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from utils.course import assert_close, exercise, hidden, resources

YOURS_TO_WRITE = ("utils.linear_solvers.solve_mass_mean",)


def assert_near(received, expected, what="", tolerance=1e-3, scale=None):
    """Equal to `tolerance`, relative to the largest entry, or to `scale` where the truth may be 0."""
    scale = float(expected.abs().max()) if scale is None else float(scale)
    assert_close(received, expected, rtol=tolerance, atol=tolerance * scale, what=what)


def orthonormal(rng, d_model):
    return torch.linalg.qr(torch.randn(d_model, d_model, generator=rng, dtype=torch.float64)).Q


class Planted:
    """Texts of two classes whose covariance and difference of means are known by construction.

    The True class varies along the first axes of a random basis, the False class along the last ones; the axes overlap
    where there are enough texts.
    """

    def __init__(self, rng, n_true, n_false, d_model):
        n = n_true + n_false
        self.basis, self.variance = orthonormal(rng, d_model), torch.zeros(d_model, dtype=torch.float64)
        deviations = torch.zeros(n, d_model, dtype=torch.float64)
        for rows, first in ((slice(0, n_true), True), (slice(n_true, n), False)):
            n_own = len(range(n)[rows])
            rank = min(n_own - 1, d_model)
            axes = slice(0, rank) if first else slice(d_model - rank, d_model)
            drawn = torch.randn(n_own, rank, generator=rng, dtype=torch.float64)
            scores = torch.linalg.qr(drawn - drawn.mean(dim=0)).Q
            spread = 0.5 + 1.5 * torch.rand(rank, generator=rng, dtype=torch.float64)
            deviations[rows, axes] = n_own**0.5 * scores * spread
            self.variance[axes] += n_own / n * spread**2
        self.difference = 2 * torch.randn(d_model, generator=rng, dtype=torch.float64)
        labels = torch.arange(n) < n_true
        middle = 3 * torch.randn(d_model, generator=rng, dtype=torch.float64)
        acts = deviations @ self.basis.T + middle + labels[:, None] * self.difference
        order = torch.randperm(n, generator=rng)
        self.acts, self.labels = acts[order].float(), labels[order]

    def direction(self, shrinkage):
        shrunk = (1 - shrinkage) * self.variance + shrinkage * self.variance.mean()
        return (self.basis @ (self.basis.T @ self.difference / shrunk)).float()


SIZES = ((12, 14, 4), (9, 20, 6), (30, 7, 5))


@exercise("whitened_direction", points=2)
class TestWhitenedDirection:
    def test_by_hand(self, learner):
        """divides the difference of means by the spread within the classes; shrinkage 1 by its average"""
        # Both classes vary by (±1, ±2): the variances are 1 and 4. The difference of means is (4, 8).
        corners = torch.tensor([[-1.0, -2.0], [-1.0, 2.0], [1.0, -2.0], [1.0, 2.0]])
        acts = torch.cat([corners, corners + torch.tensor([4.0, 8.0])])
        labels = torch.tensor([False] * 4 + [True] * 4)
        # 2.5 is the mean variance; halfway to it are 1.75 and 3.25.
        for shrinkage, expected in {0.0: (4.0, 2.0), 1.0: (1.6, 3.2), 0.5: (4 / 1.75, 8 / 3.25)}.items():
            received = learner.whitened_direction(acts, labels, shrinkage)
            assert_near(received, torch.tensor(expected), f"shrinkage {shrinkage:g}")

    def test_dimensions_that_vary_together(self, learner):
        """also where dimensions vary together: Σ is inverted as a matrix, not entry by entry"""
        # Deviations ±(2, 1) and ±(0, 1): Σ = [[2, 1], [1, 1]], its inverse is [[1, −1], [−1, 2]].
        acts = torch.tensor([[15.0, 22.0], [11.0, 20.0], [10.0, 21.0], [10.0, 19.0]])
        labels = torch.tensor([True, True, False, False])
        received = learner.whitened_direction(acts, labels, 0.0)
        assert_near(received, torch.tensor([2.0, -1.0]), "difference of means (3, 1), shrinkage 0")
        # Halfway to 1.5 times the identity: [[1.75, 0.5], [0.5, 1.25]], determinant 1.9375.
        expected = torch.tensor([3 * 1.25 - 0.5, 1.75 - 3 * 0.5]) / 1.9375
        received = learner.whitened_direction(acts, labels, 0.5)
        assert_near(received, expected, "difference of means (3, 1), shrinkage ½")

    def test_pooled(self, learner):
        """every text counts once in Σ, whatever the size of its class, and the sum is divided by their number"""
        # Squared deviations: 2 in the False class, 16 in the True one; 18 / 6 = 3. The means differ by 9.
        acts = torch.tensor([[8.0], [12.0], [0.0], [8.0], [2.0], [12.0]])
        labels = torch.tensor([True, True, False, True, False, True])
        for shrinkage in (0.0, 0.3, 1.0):
            received = learner.whitened_direction(acts, labels, shrinkage)
            assert_near(received, torch.tensor([3.0]), f"one dimension, shrinkage {shrinkage:g}")

    def test_known_covariance(self, learner, rng):
        """is right for texts whose covariance and difference of means are known, at any shrinkage"""
        for size in SIZES:
            planted = Planted(rng, *size)
            for shrinkage in (0.0, 0.1, 0.75, 1.0):
                received = learner.whitened_direction(planted.acts, planted.labels, shrinkage)
                what = f"{size[0]} True and {size[1]} False texts, d_model {size[2]}, shrinkage {shrinkage:g}"
                assert_near(received, planted.direction(shrinkage), what)

    @hidden
    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's LinearDiscriminantAnalysis"""
        for n_true, n_false, d_model, shrinkage in (
            (20, 30, 5, 0.0),
            (31, 9, 3, 0.2),
            (4, 3, 12, 0.5),
            (6, 2, 4, 0.9),
        ):
            n = n_true + n_false
            # Of determinant 1: the dimensions vary together, but none of them hardly at all.
            mixing = torch.eye(d_model) + torch.tril(torch.rand(d_model, d_model, generator=rng) - 0.5, -1)
            labels = torch.randperm(n, generator=rng) < n_true
            acts = torch.randn(n, d_model, generator=rng) @ mixing + 2 * labels[:, None]
            fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
            fitted.fit(acts.double().numpy(), labels.numpy())
            received = learner.whitened_direction(acts, labels, shrinkage)
            what = f"{n_true} True and {n_false} False texts, d_model {d_model}, shrinkage {shrinkage:g}"
            assert_near(received, torch.tensor(fitted.coef_[0]), what)

    def test_shrinkage_one(self, learner, rng):
        """with shrinkage 1 is the difference of means divided by the mean variance, also with few texts"""
        for n_true, n_false, d_model in (*SIZES, (3, 2, 8)):
            planted = Planted(rng, n_true, n_false, d_model)
            expected = (planted.difference / planted.variance.mean()).float()
            for shrinkage in (1.0, 1):
                received = learner.whitened_direction(planted.acts, planted.labels, shrinkage)
                assert_near(received, expected, f"{n_true + n_false} texts, d_model {d_model}")

    def test_tells_best(self, learner, rng):
        """with shrinkage 0 no other direction sets the class means as far apart, for its spread within the classes"""
        planted = Planted(rng, 15, 12, 6)
        received = learner.whitened_direction(planted.acts, planted.labels, 0.0)
        others = torch.randn(200, 6, generator=rng, dtype=torch.float64)

        def ratio(directions):
            squared_spread = ((directions @ planted.basis) ** 2) @ planted.variance
            return (directions @ planted.difference) ** 2 / squared_spread

        mine, best = float(ratio(received.double())), float(ratio(others).max())
        assert mine > 0.999 * best, (
            f"along yours the squared ratio is {mine:.3f}, along another one {best:.3f}"
        )

    def test_fewer_texts_than_dimensions(self, learner, rng):
        """works with fewer texts than dimensions where shrinkage is above 0, and at 0 with just enough texts"""
        for n_true, n_false, d_model, shrinkage in (
            (3, 4, 10, 0.2),
            (1, 3, 5, 0.6),
            (5, 4, 7, 0.0),
            (2, 6, 6, 0),
        ):
            planted = Planted(rng, n_true, n_false, d_model)
            received = learner.whitened_direction(planted.acts, planted.labels, shrinkage)
            what = f"{n_true + n_false} texts, d_model {d_model}, shrinkage {shrinkage:g}"
            assert_near(received, planted.direction(shrinkage), what)

    def test_shifted(self, learner, rng):
        """a vector added to all texts changes nothing, also a long one; in float64 not even one of a billion"""
        planted = Planted(rng, 12, 17, 5)
        for shrinkage in (0.0, 0.4):
            expected = planted.direction(shrinkage)
            # Where float32 has the spacing 6e-5, the deviations are right to a few ten-thousandths.
            for length, dtype, tolerance in (
                (10, torch.float32, 1e-3),
                (1e3, torch.float32, 1e-2),
                (1e9, torch.float64, 1e-3),
            ):
                shift = length * torch.randn(5, generator=rng, dtype=torch.float64)
                acts = (planted.acts.double() + shift).to(dtype)
                received = learner.whitened_direction(acts, planted.labels, shrinkage)
                what = f"{dtype}, shifted by about {length:g}, shrinkage {shrinkage:g}"
                assert_near(received, expected, what, tolerance)

    def test_other_units(self, learner, rng):
        """activations c times as large give a direction 1/c times as long, at any shrinkage"""
        planted = Planted(rng, 11, 13, 8)
        for shrinkage in (0.0, 0.3, 1.0):
            expected = planted.direction(shrinkage)
            for factor in (1e-3, 1e3):
                received = learner.whitened_direction(factor * planted.acts, planted.labels, shrinkage)
                what = f"{factor:g} × the direction of activations times {factor:g}, shrinkage {shrinkage:g}"
                assert_near(factor * received, expected, what)

    def test_rotated(self, learner, rng):
        """turns with the activations: no dimension is special, at any shrinkage"""
        planted = Planted(rng, 14, 10, 5)
        rotation = orthonormal(rng, 5).float()
        for shrinkage in (0.0, 0.3, 1.0):
            received = learner.whitened_direction(planted.acts @ rotation, planted.labels, shrinkage)
            what = f"shrinkage {shrinkage:g}"
            assert_near(received, planted.direction(shrinkage) @ rotation, what)

    def test_copies_and_order(self, learner, rng):
        """every text given three times, or the texts in another order, change nothing"""
        planted = Planted(rng, 6, 9, 4)
        expected = planted.direction(0.3)
        rows = torch.arange(15).repeat(3)
        received = learner.whitened_direction(planted.acts[rows], planted.labels[rows], 0.3)
        assert_near(received, expected, "every text three times")
        order = torch.randperm(15, generator=rng)
        received = learner.whitened_direction(planted.acts[order], planted.labels[order], 0.3)
        assert_near(received, expected, "in another order")

    def test_labels_exchanged(self, learner, rng):
        """points the other way where True and False are exchanged"""
        planted = Planted(rng, 8, 11, 4)
        for shrinkage in (0.0, 0.6):
            received = learner.whitened_direction(planted.acts, ~planted.labels, shrinkage)
            assert_near(received, -planted.direction(shrinkage), f"exchanged, shrinkage {shrinkage:g}")

    def test_same_means(self, learner):
        """is zero where the class means are the same"""
        corners = torch.tensor([[-1.0, -2.0], [-1.0, 2.0], [1.0, -2.0], [1.0, 2.0]])
        acts, labels = torch.cat([corners, 2 * corners]), torch.tensor([False] * 4 + [True] * 4)
        for shrinkage in (0.0, 0.5, 1.0):
            received = learner.whitened_direction(acts, labels, shrinkage)
            assert_close(received, torch.zeros(2), atol=1e-5, what=f"shrinkage {shrinkage:g}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves activations and labels as they were"""
        planted = Planted(rng, 7, 8, 4)
        for dtype in (torch.float32, torch.float64):
            acts, labels = planted.acts.to(dtype), planted.labels.clone()
            learner.whitened_direction(acts, labels, 0.25)
            before = planted.acts.to(dtype), planted.labels
            assert_close((acts, labels), before, rtol=0, atol=0, what="arguments after the call")

    def test_one_class_missing(self, learner, rng):
        """raises ValueError where only one class occurs, or no text at all"""
        for n, label in ((6, False), (6, True), (0, True)):
            acts, labels = torch.randn(n, 3, generator=rng), torch.full((n,), label)
            with pytest.raises(ValueError):
                learner.whitened_direction(acts, labels, 0.5)

    def test_shrinkage_outside(self, learner, rng):
        """raises ValueError where shrinkage is below 0 or above 1"""
        planted = Planted(rng, 12, 12, 3)
        for shrinkage in (-0.01, 1.01, -1.0, 2.0):
            with pytest.raises(ValueError):
                learner.whitened_direction(planted.acts, planted.labels, shrinkage)

    def test_singular(self, learner, rng):
        """raises ValueError with shrinkage 0 where the texts do not vary in all directions: few texts, or repetition"""
        for n_true, n_false, d_model in ((3, 2, 10), (1, 4, 8), (5, 4, 8), (4, 5, 9)):
            planted = Planted(rng, n_true, n_false, d_model)
            with pytest.raises(ValueError):
                learner.whitened_direction(planted.acts, planted.labels, 0.0)
        for spoil in ("constant", "the same as another", "a multiple of another"):
            planted = Planted(rng, 15, 13, 9)
            acts = planted.acts.clone()
            acts[:, 4] = {"constant": torch.tensor(3.7), "the same as another": acts[:, 6]}.get(
                spoil, 2 * acts[:, 6]
            )
            with pytest.raises(ValueError):
                learner.whitened_direction(acts, planted.labels, 0.0)

    def test_nothing_varies(self, learner, rng):
        """raises ValueError with any shrinkage where no text differs from its class's mean: one text a class, copies"""
        one_each = 3 * torch.randn(2, 5, generator=rng)
        whole = torch.randint(-9, 9, (2, 5), generator=rng).float().repeat(4, 1)
        for acts in (one_each, whole):
            labels = torch.arange(len(acts)) % 2 == 0
            for shrinkage in (0.0, 0.5, 1.0):
                with pytest.raises(ValueError):
                    learner.whitened_direction(acts, labels, shrinkage)


class Contaminated:
    """A direction with a part in the span of k independent nuisances and a part orthogonal to it, both known.

    No two nuisances are orthogonal to each other.
    """

    def __init__(self, rng, k, d_model, dtype=torch.float32):
        basis = orthonormal(rng, d_model)
        signs = 2.0 * torch.randint(0, 2, (k, k), generator=rng) - 1
        mixing = torch.eye(k, dtype=torch.float64) + 0.7 * torch.tril(signs, diagonal=-1).double()
        # Of lengths between 0.5 and 3.
        lengths = 0.5 + 2.5 * torch.rand(k, 1, generator=rng, dtype=torch.float64)
        rows = mixing / mixing.norm(dim=1, keepdim=True) * lengths
        inside = (1 + torch.rand(k, generator=rng)) * signs[0] if k else torch.zeros(0)
        outside = torch.randn(d_model - k, generator=rng, dtype=torch.float64)
        order = torch.randperm(k, generator=rng)
        self.nuisance = (rows @ basis[:k])[order].to(dtype)
        self.expected = (outside @ basis[k:]).to(dtype)
        self.direction = (inside.double() @ basis[:k] + outside @ basis[k:]).to(dtype)
        self.scale = float(self.direction.norm())


def dependent(rng):
    """A direction and two independent nuisances of whole numbers, so that sums of them are exact."""
    one, two = torch.randint(-4, 5, (2, 12), generator=rng).float()
    one[0], two[0], one[1], two[1] = 5.0, 0.0, 2.0, 5.0
    return torch.randn(12, generator=rng) + one - two, one, two


def orthogonal_to(direction, one, two):
    """The part orthogonal to two independent vectors: minus what is along the first, and along the second's rest."""
    direction, one, two = direction.double(), one.double(), two.double()
    rest = two - (two @ one) / (one @ one) * one
    kept = direction - (direction @ one) / (one @ one) * one
    return (kept - (direction @ rest) / (rest @ rest) * rest).float()


@exercise("project_out")
class TestProjectOut:
    def test_by_hand(self, learner):
        """subtracts the projection on a nuisance of any length, and on several that are orthogonal to each other"""
        direction = torch.tensor([3.0, 4.0, 5.0])
        received = learner.project_out(direction, torch.tensor([[2.0, 0.0, 0.0]]))
        assert_close(received, torch.tensor([0.0, 4.0, 5.0]), atol=1e-5, what="nuisance (2, 0, 0)")
        # 3 + 4 = 7 along (1, 1, 0): half of it in each of the two.
        received = learner.project_out(direction, torch.tensor([[1.0, 1.0, 0.0]]))
        assert_close(received, torch.tensor([-0.5, 0.5, 5.0]), atol=1e-5, what="nuisance (1, 1, 0)")
        received = learner.project_out(direction, torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, -3.0]]))
        expected = torch.tensor([0.0, 4.0, 0.0])
        assert_close(received, expected, atol=1e-5, what="nuisances (½, 0, 0) and (0, 0, −3)")

    def test_not_orthogonal_to_each_other(self, learner):
        """removes the span of the nuisances: (1, 0, 0) and (1, 1, 0) leave only the third entry, in either order"""
        direction = torch.tensor([3.0, 4.0, 5.0])
        for rows in ([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]):
            received = learner.project_out(direction, torch.tensor(rows))
            assert_close(received, torch.tensor([0.0, 0.0, 5.0]), atol=1e-5, what=f"nuisances {rows}")

    def test_known_part(self, learner, rng):
        """returns the part that was built orthogonal to the nuisances, with its length"""
        for k, d_model in ((1, 4), (2, 3), (3, 8), (5, 7), (4, 20)):
            planted = Contaminated(rng, k, d_model)
            received = learner.project_out(planted.direction, planted.nuisance)
            what = f"{k} nuisances, d_model {d_model}"
            assert_near(received, planted.expected, what, scale=planted.scale)

    def test_orthogonal_to_each(self, learner, rng):
        """is orthogonal to every nuisance, and what was removed is a combination of them"""
        for k, d_model in ((2, 5), (4, 9), (6, 7)):
            direction = torch.randn(d_model, generator=rng)
            nuisance = Contaminated(rng, k, d_model).nuisance
            received = learner.project_out(direction, nuisance).to(direction.dtype)
            what = f"products with the {k} nuisances"
            assert_close(nuisance @ received, torch.zeros(k), atol=1e-3, what=what)
            rows, removed = nuisance.double().numpy(), (direction - received).double().numpy()
            weights = np.linalg.lstsq(rows.T, removed, rcond=None)[0]
            what = "what was removed, as a combination of the nuisances"
            assert_close(torch.tensor(weights @ rows), torch.tensor(removed), atol=1e-3, what=what)

    @hidden
    def test_agrees_with_least_squares(self, learner, rng):
        """agrees with the residual of a least-squares fit of the direction by the nuisances"""
        for k, d_model in ((1, 3), (3, 5), (7, 16)):
            # A vector that they share, so that their cosines are about ½.
            nuisance = torch.randn(k, d_model, generator=rng) + torch.randn(d_model, generator=rng)
            direction = torch.randn(d_model, generator=rng) + nuisance.mean(dim=0)
            rows, whole = nuisance.double().numpy(), direction.double().numpy()
            expected = whole - rows.T @ np.linalg.lstsq(rows.T, whole, rcond=None)[0]
            received = learner.project_out(direction, nuisance)
            what, scale = f"{k} nuisances, d_model {d_model}", direction.norm()
            assert_near(received, torch.tensor(expected), what, tolerance=1e-2, scale=scale)

    def test_once_is_enough(self, learner, rng):
        """a direction that is orthogonal to the nuisances stays as it is, so that a second time changes nothing"""
        planted = Contaminated(rng, 3, 7)
        received = learner.project_out(planted.expected, planted.nuisance)
        assert_near(received, planted.expected, "a direction orthogonal to the nuisances")
        once = learner.project_out(planted.direction, planted.nuisance).to(planted.nuisance.dtype)
        twice = learner.project_out(once, planted.nuisance)
        assert_near(twice, once, "the second time")

    def test_nothing_left(self, learner, rng):
        """is zero where the direction lies in the span, and where the nuisances span everything"""
        planted = Contaminated(rng, 3, 6)
        inside = planted.direction - planted.expected
        received = learner.project_out(inside, planted.nuisance)
        assert_near(received, torch.zeros(6), "a direction in the span", scale=planted.scale)
        received = learner.project_out(torch.zeros(6), planted.nuisance)
        assert_near(received, torch.zeros(6), "the zero direction", scale=1)
        for k, d_model in ((4, 4), (7, 4), (1, 1)):
            # All of the span, and some combinations more.
            nuisance = torch.cat(
                [2 * orthonormal(rng, d_model), torch.randn(k - d_model, d_model, generator=rng)]
            )
            direction = torch.randn(d_model, generator=rng)
            received = learner.project_out(direction, nuisance.float())
            what = f"{k} nuisances in {d_model} dimensions"
            assert_near(received, torch.zeros(d_model), what, scale=direction.norm())

    def test_linear(self, learner, rng):
        """a direction times c leaves c times as much, and a sum of two the sum of what each leaves"""
        one, two = Contaminated(rng, 3, 8), torch.randn(8, generator=rng)
        for factor in (-1.0, 0.01, 100.0):
            received = learner.project_out(factor * one.direction, one.nuisance)
            what, scale = f"the direction times {factor:g}", abs(factor) * one.scale
            assert_near(received, factor * one.expected, what, scale=scale)
        left = learner.project_out(two, one.nuisance)
        received = learner.project_out(one.direction + two, one.nuisance)
        assert_near(received, one.expected + left, "the sum of two", scale=one.scale)

    def test_same_span(self, learner, rng):
        """only the span counts: neither the nuisances' order, nor their lengths and signs, nor mixing them"""
        planted = Contaminated(rng, 3, 7)
        one, two, three = planted.nuisance
        for what, nuisance in {
            "in another order": torch.stack([three, one, two]),
            "with other lengths and signs": torch.stack([-10 * one, two / 10, three]),
            "all of them short": planted.nuisance / 1000,
            "all of them long": planted.nuisance * 1000,
            "mixed": torch.stack([one + two, two - three, three + one + two]),
        }.items():
            received = learner.project_out(planted.direction, nuisance)
            assert_near(received, planted.expected, f"nuisances {what}", tolerance=3e-3, scale=planted.scale)

    def test_no_nuisances(self, learner, rng):
        """without nuisances, and with zero ones only, the direction stays as it is"""
        for d_model in (1, 5):
            direction = torch.randn(d_model, generator=rng)
            for k in (0, 1, 3):
                received = learner.project_out(direction, torch.zeros(k, d_model))
                assert_near(received, direction, f"{k} nuisances, all zero" if k else "no nuisances")

    def test_zero_rows(self, learner, rng):
        """zero nuisances among others add nothing, wherever they stand"""
        planted = Contaminated(rng, 2, 9)
        one, two = planted.nuisance
        zero = torch.zeros(9)
        for rows in ((zero, one, two), (one, zero, two), (one, two, zero, zero)):
            received = learner.project_out(planted.direction, torch.stack(rows))
            assert_near(received, planted.expected, scale=planted.scale)

    def test_repeated_rows(self, learner, rng):
        """a nuisance that occurs again, also with another length or sign, adds nothing"""
        direction, one, two = dependent(rng)
        expected, scale = orthogonal_to(direction, one, two), direction.norm()
        for rows in ((one, one, two), (one, two, one, two), (two, 2 * one, -4 * one, -two)):
            received = learner.project_out(direction, torch.stack(rows))
            assert_near(received, expected, f"{len(rows)} nuisances, two different ones", scale=scale)

    def test_dependent_rows(self, learner, rng):
        """a nuisance that is a combination of others adds nothing, and there may be more than d_model"""
        direction, one, two = dependent(rng)
        expected, scale = orthogonal_to(direction, one, two), direction.norm()
        for what, rows in {
            "their sum": (one, two, one + two),
            "sum and difference first": (one + two, one - two, two, one),
            "fifteen combinations": tuple(a * one + b * two for a in range(-2, 3) for b in range(3)),
        }.items():
            received = learner.project_out(direction, torch.stack(rows))
            assert_near(received, expected, f"two nuisances and {what}", scale=scale)

    def test_nearly_parallel(self, learner, rng):
        """nuisances that are nearly parallel still span two dimensions"""
        basis = orthonormal(rng, 6)
        direction = torch.randn(6, generator=rng)
        nuisance = torch.stack([2 * basis[0], 2 * basis[0] + 0.1 * basis[1]]).float()
        expected = direction.double() - basis[:2].T @ (basis[:2] @ direction.double())
        received = learner.project_out(direction, nuisance)
        # An inverse of their products loses four digits of float32's seven.
        what, scale = "nuisances 3 degrees apart", direction.norm()
        assert_near(received, expected, what, tolerance=1e-2, scale=scale)

    def test_float64(self, learner, rng):
        """takes float64 too, and then keeps the digits of what is left of a direction a billion times as long"""
        planted = Contaminated(rng, 3, 6, torch.float64)
        inside = planted.direction - planted.expected
        received = learner.project_out(planted.expected + 1e9 * inside, planted.nuisance)
        assert_near(received, planted.expected, scale=planted.scale)

    def test_arguments_unchanged(self, learner, rng):
        """leaves direction and nuisances as they were"""
        for dtype in (torch.float32, torch.float64):
            planted = Contaminated(rng, 3, 6, dtype)
            direction, nuisance = planted.direction.clone(), planted.nuisance.clone()
            learner.project_out(direction, nuisance)
            before = planted.direction, planted.nuisance
            assert_close((direction, nuisance), before, rtol=0, atol=0, what="arguments after the call")


def weight_and_direction(rng, d_in, d_model, dtype=torch.float32):
    """A weight that writes along the direction, which has the length 3."""
    direction = torch.randn(d_model, generator=rng, dtype=dtype)
    direction = 3 * direction / direction.norm()
    weight = torch.randn(d_in, d_model, generator=rng, dtype=dtype)
    return weight + torch.randn(d_in, 1, generator=rng, dtype=dtype) * direction, direction


SHAPES = ((3, 5), (6, 2), (4, 4), (1, 7), (9, 30))


@contextmanager
def weights_replaced(model, weights):
    """The model with other weights inside the block, and with its own again after it."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in weights}
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])


@exercise("orthogonalise_weight")
class TestOrthogonaliseWeight:
    def test_by_hand(self, learner):
        """each row loses its component along the direction"""
        # The unit vector is (0.6, 0.8); the rows have the components 2, 5 and −2 along it.
        weight = torch.tensor([[2.0, 1.0], [3.0, 4.0], [-6.0, 2.0]])
        received = learner.orthogonalise_weight(weight, torch.tensor([3.0, 4.0]))
        expected = torch.tensor([[0.8, -0.6], [0.0, 0.0], [-4.8, 3.6]])
        assert_close(received, expected, atol=1e-5, what="direction (3, 4)")

    def test_along_an_axis(self, learner):
        """a direction along one dimension empties that column and leaves the others"""
        weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, -8.0, 9.0]])
        received = learner.orthogonalise_weight(weight, torch.tensor([0.0, -2.0, 0.0]))
        expected = torch.tensor([[1.0, 0.0, 3.0], [4.0, 0.0, 6.0], [7.0, 0.0, 9.0]])
        assert_close(received, expected, atol=1e-5, what="direction (0, −2, 0)")

    def test_cannot_write_it(self, learner, rng):
        """whatever goes in, what is written has no component along the direction"""
        for d_in, d_model in SHAPES:
            weight, direction = weight_and_direction(rng, d_in, d_model)
            received = learner.orthogonalise_weight(weight, direction)
            assert_close(received * 0, weight * 0, what="the weight times 0")
            written = torch.randn(20, d_in, generator=rng) @ received
            what = f"components along the direction, weight of shape ({d_in}, {d_model})"
            assert_close(written @ direction / 3, torch.zeros(20), atol=1e-4, what=what)

    def test_writes_the_rest(self, learner, rng):
        """what is written is otherwise the same: as if the direction had been ablated after writing"""
        for d_in, d_model in SHAPES:
            weight, direction = weight_and_direction(rng, d_in, d_model)
            x = torch.randn(20, d_in, generator=rng)
            written = (x @ weight).double()
            unit = direction.double() / direction.double().norm()
            ablated = written - (written @ unit)[:, None] * unit
            received = x @ learner.orthogonalise_weight(weight, direction).to(x.dtype)
            what = f"what a weight of shape ({d_in}, {d_model}) writes"
            assert_near(received, ablated, what, scale=written.abs().max())

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over rows and entries, in float32 and float64"""
        for dtype in (torch.float32, torch.float64):
            for d_in, d_model in SHAPES:
                weight, direction = weight_and_direction(rng, d_in, d_model, dtype)
                entries = direction.tolist()
                squared = sum(entry * entry for entry in entries)
                rows = []
                for row in weight.tolist():
                    along = sum(a * b for a, b in zip(row, entries, strict=True)) / squared
                    rows.append([a - along * b for a, b in zip(row, entries, strict=True)])
                received = learner.orthogonalise_weight(weight, direction)
                what = f"{str(dtype).removeprefix('torch.')}, shape ({d_in}, {d_model})"
                assert_near(received, torch.tensor(rows), what, scale=weight.abs().max())

    def test_any_length(self, learner, rng):
        """neither the length nor the sign of the direction matters, and a short one is not a zero one"""
        weight, direction = weight_and_direction(rng, 4, 6)
        expected = learner.orthogonalise_weight(weight, direction)
        for factor in (1 / 3, -1.0, 1e-5, 1e5):
            received = learner.orthogonalise_weight(weight, factor * direction)
            what = f"the direction times {factor:g}"
            assert_near(received, expected, what, scale=weight.abs().max())

    def test_weight_of_any_size(self, learner, rng):
        """a weight times c gives c times the result"""
        weight, direction = weight_and_direction(rng, 5, 4)
        expected = learner.orthogonalise_weight(weight, direction)
        for factor in (-1e-4, 1e4):
            received = learner.orthogonalise_weight(factor * weight, direction) / factor
            assert_near(received, expected, f"the weight times {factor:g}", scale=weight.abs().max())

    def test_once_is_enough(self, learner, rng):
        """a weight that does not write the direction stays as it is, so that a second time changes nothing"""
        for d_in, d_model in ((3, 5), (4, 4)):
            basis = orthonormal(rng, d_model).float()
            weight = torch.randn(d_in, d_model - 1, generator=rng) @ basis[1:]
            received = learner.orthogonalise_weight(weight, 2 * basis[0])
            assert_near(received, weight, "a weight that does not write it")
            weight, direction = weight_and_direction(rng, d_in, d_model)
            once = learner.orthogonalise_weight(weight, direction)
            twice = learner.orthogonalise_weight(once, direction)
            assert_near(twice, once, "the second time", scale=weight.abs().max())

    def test_nothing_but_the_direction(self, learner, rng):
        """a weight that writes nothing but the direction becomes zero"""
        _, direction = weight_and_direction(rng, 1, 6)
        weight = torch.outer(torch.tensor([2.0, -1.0, 0.0, 0.5]), direction)
        received = learner.orthogonalise_weight(weight, direction)
        assert_near(received, torch.zeros(4, 6), scale=weight.abs().max())
        received = learner.orthogonalise_weight(torch.tensor([[2.0], [-3.0]]), torch.tensor([0.5]))
        assert_close(received, torch.zeros(2, 1), atol=1e-5, what="a stream of one dimension")

    def test_row_by_row(self, learner, rng):
        """each row's result depends on that row alone: on its own it is the same, and in another order too"""
        weight, direction = weight_and_direction(rng, 6, 5)
        expected = learner.orthogonalise_weight(weight, direction)
        for row in (0, 3, 5):
            received = learner.orthogonalise_weight(weight[row : row + 1].clone(), direction)
            assert_near(received, expected[row : row + 1], f"row {row} alone", scale=weight.abs().max())
        order = torch.randperm(6, generator=rng)
        received = learner.orthogonalise_weight(weight[order], direction)
        assert_near(received, expected[order], "rows in another order", scale=weight.abs().max())

    def test_in_a_model(self, learner, rng):
        """a model whose writing weights are all orthogonalised says what it says with the direction ablated by hooks"""
        # Not the fixture, which would build the model in the learner's process too.
        tiny_model: Any = resources.get("tiny_model")
        _, direction = weight_and_direction(rng, 1, 32)
        unit = direction / direction.norm()
        weights = {}
        for name, parameter in tiny_model.named_parameters():
            if "embed_tokens" in name:
                weights[name] = learner.orthogonalise_weight(parameter.detach(), direction)
            elif "o_proj" in name or "down_proj" in name:
                # torch's linear layers keep their weight as (d_model, d_in).
                weights[name] = learner.orthogonalise_weight(parameter.detach().T, direction).T
            if name in weights:
                assert_close(weights[name] * 0, parameter.detach() * 0, what="the weight times 0")
        blocks, tokens = range(tiny_model.cfg.n_layers), torch.randint(0, 256, (2, 6), generator=rng)
        assert len(weights) == 1 + 2 * len(blocks)
        written = [
            "embed.hook_out",
            *(f"blocks.{i}.{part}.hook_out" for i in blocks for part in ("attn", "mlp")),
        ]
        stream = ["blocks.0.hook_in", *(f"blocks.{i}.hook_out" for i in blocks)]
        seen = []

        def ablate(output, hook):
            return output - (output @ unit)[..., None] * unit

        with torch.no_grad():
            with tiny_model.hooks(fwd_hooks=[(name, ablate) for name in written]):
                expected = tiny_model(tokens)
            with (
                weights_replaced(tiny_model, weights),
                tiny_model.hooks(
                    fwd_hooks=[(name, lambda resid, hook: seen.append(resid)) for name in stream]
                ),
            ):
                received = tiny_model(tokens)
        for name, resid in zip(stream, seen, strict=True):
            what, scale = f"components along the direction at {name}", resid.norm(dim=-1).max()
            assert_near(resid @ unit, torch.zeros(2, 6), what, scale=scale)
        assert_near(received, expected, "logits")

    def test_float64(self, learner, rng):
        """keeps the dtype; in float64 the digits of what is left where the direction was a billion times as strong"""
        weight, direction = weight_and_direction(rng, 4, 5)
        received = learner.orthogonalise_weight(weight, direction)
        assert_close(received * 0, weight * 0, what="the weight times 0")
        assert received.dtype == torch.float32, f"expected float32 for float32, received {received.dtype}"
        basis = orthonormal(rng, 5)
        rest = torch.randn(3, 4, generator=rng, dtype=torch.float64) @ basis[1:]
        weight = rest + 1e9 * torch.randn(3, 1, generator=rng, dtype=torch.float64) * basis[0]
        received = learner.orthogonalise_weight(weight, 2 * basis[0])
        assert_near(received, rest, "float64")
        assert received.dtype == torch.float64, f"expected float64 for float64, received {received.dtype}"

    def test_arguments_unchanged(self, learner, rng):
        """returns a new tensor: weight and direction stay as they were"""
        for dtype in (torch.float32, torch.float64):
            weight, direction = weight_and_direction(rng, 4, 5, dtype)
            before = weight.clone(), direction.clone()
            learner.orthogonalise_weight(weight, direction)
            assert_close((weight, direction), before, rtol=0, atol=0, what="arguments after the call")

    def test_zero_direction(self, learner, rng):
        """raises ValueError for a zero direction"""
        for d_in, d_model in ((3, 5), (4, 4), (2, 1)):
            with pytest.raises(ValueError):
                learner.orthogonalise_weight(torch.randn(d_in, d_model, generator=rng), torch.zeros(d_model))
