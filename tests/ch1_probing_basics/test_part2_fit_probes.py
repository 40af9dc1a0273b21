"""Checks of chapter 1, part 2: fit probes."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = (
    "utils.probes.MassMeanProbe",
    "utils.probes.LogisticProbe",
    "utils.probes.RidgeProbe",
    "utils.metrics.r2_score",
)


def two_clouds(rng, n=60, d_model=7, gap=2.0, scale=1.0):
    """Activations off the origin, unequal classes, features of unequal size: what real activations look like."""
    labels = torch.rand(n, generator=rng) < 0.3
    labels[:2] = torch.tensor([True, False])
    acts = torch.randn(n, d_model, generator=rng) * torch.linspace(0.2, 3, d_model) * scale + 5
    acts[:, 0] += gap * labels
    return acts, labels


@exercise("difference_of_means")
class TestDifferenceOfMeans:
    def test_by_hand(self, learner):
        """points from the mean of False to the mean of True"""
        acts = torch.tensor([[1.0, 0.0], [3.0, 0.0], [4.0, 5.0], [6.0, 7.0], [5.0, 9.0]])
        labels = torch.tensor([False, False, True, True, True])
        assert_close(learner.difference_of_means(acts, labels), torch.tensor([3.0, 7.0]))
        one_each = learner.difference_of_means(acts[1:3], labels[1:3])
        assert_close(one_each, torch.tensor([1.0, 5.0]), what="with one text in each class")

    def test_agrees_with_loop(self, learner, rng):
        """agrees with adding up row by row, on classes of unequal size"""
        acts, labels = two_clouds(rng)
        sums, counts = {True: np.zeros(7), False: np.zeros(7)}, {True: 0, False: 0}
        for row, label in zip(acts.tolist(), labels.tolist(), strict=True):
            sums[label] += row
            counts[label] += 1
        expected = torch.from_numpy(sums[True] / counts[True] - sums[False] / counts[False])
        assert_close(learner.difference_of_means(acts, labels), expected, rtol=1e-3, atol=1e-4)

    def test_unmoved_by_a_shift(self, learner, rng):
        """adding one vector to every text changes nothing"""
        acts, labels = two_clouds(rng)
        shifted = learner.difference_of_means(acts + 100, labels)
        assert_close(shifted, learner.difference_of_means(acts, labels), rtol=1e-3, atol=1e-3)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, labels = two_clouds(rng)
        before = acts.clone(), labels.clone()
        learner.difference_of_means(acts, labels)
        assert_close((acts, labels), before, what="arguments after the call")

    def test_one_class_missing(self, learner):
        """raises ValueError where one class is missing"""
        for label in (True, False):
            with pytest.raises(ValueError):
                learner.difference_of_means(torch.ones(3, 2), torch.full((3,), label))


@exercise("MassMeanProbe")
class TestMassMeanProbe:
    def test_by_hand(self, learner):
        """coef_ is the difference of means; the boundary passes through the midpoint of the two means"""
        acts = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 2.0], [5.0, 2.0], [5.0, 2.0]])
        probe = learner.MassMeanProbe().fit(acts, torch.tensor([False, False, True, True, True]))
        assert_close(probe.coef_, torch.tensor([4.0, 2.0]), what="coef_")
        # The midpoint of (1, 0) and (5, 2) is (3, 1): 4·3 + 2·1 + intercept = 0.
        assert_close(probe.intercept_, -14.0, what="intercept_")

    def test_fit_returns_self(self, learner, rng):
        """`fit` returns the probe itself, so that calls can be chained"""
        probe = learner.MassMeanProbe()
        assert probe.fit(*two_clouds(rng)) is probe, "expected fit(...) to return self"

    def test_scores_midpoint_zero(self, learner, rng):
        """the midpoint of the class means scores 0; the two means score ± the same"""
        acts, labels = two_clouds(rng)
        low, high = acts[~labels].mean(0), acts[labels].mean(0)
        probe = learner.MassMeanProbe().fit(acts, labels)
        scores = probe.decision_function(torch.stack([low, (low + high) / 2, high]))
        size = (high - low).square().sum() / 2
        assert_close(scores / size, torch.tensor([-1.0, 0.0, 1.0]), rtol=1e-3, atol=1e-3)

    def test_predict_is_sign(self, learner, rng):
        """`predict` is True exactly where the score is positive, also on texts it was not fitted on"""
        probe = learner.MassMeanProbe().fit(*two_clouds(rng))
        fresh, _ = two_clouds(rng, n=40)
        assert_close(probe.predict(fresh), probe.decision_function(fresh) > 0)

    def test_boundary(self, learner):
        """a text exactly on the boundary scores 0, which is not positive: False; also where it is the only text"""
        acts = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 2.0], [5.0, 2.0]])
        probe = learner.MassMeanProbe().fit(acts, torch.tensor([False, False, True, True]))
        midpoint = torch.tensor([[3.0, 1.0]])
        assert_close(probe.decision_function(midpoint), torch.tensor([0.0]), what="decision_function")
        assert_close(probe.predict(midpoint), torch.tensor([False]), what="predict")

    def test_fitted_again(self, learner, rng):
        """fitting again forgets the first fit, and a second probe leaves the first one alone"""
        once, twice = two_clouds(rng), two_clouds(rng, gap=-3.0)
        first, second = learner.MassMeanProbe(), learner.MassMeanProbe()
        first.fit(*once)
        before = first.coef_
        second.fit(*twice)
        assert_close(first.coef_, before, what="coef_ of one probe after another one was fitted")
        first.fit(*twice)
        assert_close(first.coef_, second.coef_, what="coef_ of a probe fitted again")

    def test_nearest_mean(self, learner, rng):
        """agrees with asking which class mean is nearer"""
        acts, labels = two_clouds(rng)
        fresh, _ = two_clouds(rng, n=40)
        means = torch.stack([acts[~labels].mean(0), acts[labels].mean(0)])
        nearer = torch.cdist(fresh, means).argmin(dim=1).bool()
        assert_close(learner.MassMeanProbe().fit(acts, labels).predict(fresh), nearer)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, labels = two_clouds(rng)
        before = acts.clone(), labels.clone()
        probe = learner.MassMeanProbe().fit(acts, labels)
        assert_close((acts, labels), before, what="arguments after fit")
        probe.decision_function(acts)
        probe.predict(acts)
        assert_close(acts, before[0], what="acts after decision_function and predict")

    def test_one_class_missing(self, learner):
        """raises ValueError where one class is missing"""
        for label in (True, False):
            with pytest.raises(ValueError):
                learner.MassMeanProbe().fit(torch.ones(3, 2), torch.full((3,), label))


@exercise("fit_logistic_probe", points=2)
class TestFitLogisticProbe:
    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's solution of the same problem, in probability"""
        for l2 in (0.003, 0.3):
            acts, labels = two_clouds(rng)
            assert_close(
                probabilities(learner.fit_logistic_probe(acts, labels, l2), acts),
                sklearn_probabilities(acts, labels, l2),
                rtol=0,
                atol=2e-3,
                what=f"probabilities at l2={l2}",
            )

    def test_few_texts(self, learner, rng):
        """features are divided by the *population* standard deviation: with six texts the difference shows"""
        labels = torch.tensor([True, False, True, False, False, True])
        acts = torch.randn(6, 2, generator=rng) * torch.tensor([0.5, 20.0]) + 3
        acts[:, 0] += labels
        received = probabilities(learner.fit_logistic_probe(acts, labels, 0.3), acts)
        assert_close(received, sklearn_probabilities(acts, labels, 0.3), rtol=0, atol=2e-3)

    def test_correlated_features(self, learner, rng):
        """runs until it has converged, also where all features are alike and the penalty is small"""
        labels = torch.rand(80, generator=rng) < 0.4
        labels[:2] = torch.tensor([True, False])
        shared = 3 * torch.randn(80, 1, generator=rng)
        acts = shared + torch.randn(80, 20, generator=rng) * torch.logspace(-1.5, 0, 20) + 5
        received = probabilities(learner.fit_logistic_probe(acts, labels, 1e-3), acts)
        assert_close(received, sklearn_probabilities(acts, labels, 1e-3), rtol=0, atol=1e-2)

    def test_raw_direction(self, learner, rng):
        """the direction is in raw activation space: rescaling one feature rescales its weight the other way"""
        acts, labels = two_clouds(rng)
        scales = torch.tensor([100.0, 1, 1, 1, 1, 1, 0.01])
        coef, intercept = learner.fit_logistic_probe(acts, labels, 0.1)
        scaled_coef, scaled_intercept = learner.fit_logistic_probe(acts * scales, labels, 0.1)
        assert_close(scaled_coef * scales, coef, rtol=0.02, atol=2e-3, what="coef times scale")
        assert_close(scaled_intercept, float(intercept), rtol=0.02, atol=0.02, what="intercept")

    def test_intercept_is_free(self, learner, rng):
        """the intercept is not penalised: the mean predicted probability is the share of True"""
        acts, labels = two_clouds(rng)
        mean = probabilities(learner.fit_logistic_probe(acts, labels, 10.0), acts).mean()
        assert_close(mean, labels.double().mean(), rtol=0, atol=2e-3)

    def test_more_penalty_less_weight(self, learner, rng):
        """a hundred times the penalty shrinks the weights"""
        acts, labels = two_clouds(rng)
        small, _ = learner.fit_logistic_probe(acts, labels, 1.0)
        large, _ = learner.fit_logistic_probe(acts, labels, 0.01)
        assert small.norm() < 0.5 * large.norm(), "expected l2=1 to give much smaller weights than l2=0.01"

    def test_repeated_rows(self, learner, rng):
        """the loss is a mean: giving every row twice changes nothing"""
        acts, labels = two_clouds(rng)
        once = probabilities(learner.fit_logistic_probe(acts, labels, 0.1), acts)
        twice = probabilities(learner.fit_logistic_probe(acts.repeat(2, 1), labels.repeat(2), 0.1), acts)
        assert_close(twice, once, rtol=0, atol=2e-3)

    def test_separable_and_constant(self, learner, rng):
        """separable classes and a feature that never changes still give finite weights"""
        acts, labels = two_clouds(rng, gap=50.0)
        acts[:, 3] = 7.0
        coef, intercept = learner.fit_logistic_probe(acts, labels, 1e-3)
        assert bool(torch.isfinite(coef).all()), "expected finite weights"
        expected = sklearn_probabilities(acts, labels, 1e-3)
        assert_close(probabilities((coef, intercept), acts), expected, rtol=0, atol=2e-3)

    def test_large_activations(self, learner, rng):
        """activations in the hundreds are no problem"""
        acts, labels = two_clouds(rng, scale=100.0, gap=200.0)
        received = probabilities(learner.fit_logistic_probe(acts, labels, 0.1), acts)
        assert_close(received, sklearn_probabilities(acts, labels, 0.1), rtol=0, atol=2e-3)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, labels = two_clouds(rng)
        before = acts.clone(), labels.clone()
        learner.fit_logistic_probe(acts, labels, 0.1)
        assert_close((acts, labels), before, what="arguments after the call")

    def test_bad_input(self, learner, rng):
        """raises ValueError for l2 = 0, l2 < 0, and where one class is missing"""
        acts, labels = two_clouds(rng)
        for l2 in (0.0, -1.0):
            with pytest.raises(ValueError):
                learner.fit_logistic_probe(acts, labels, l2)
        for one_class in (torch.zeros_like(labels), torch.ones_like(labels)):
            with pytest.raises(ValueError):
                learner.fit_logistic_probe(acts, one_class, 0.1)


def probabilities(fitted, acts):
    assert isinstance(fitted, (tuple, list)), (
        f"expected (coef, intercept), received a {type(fitted).__name__}"
    )
    assert len(fitted) == 2, f"expected (coef, intercept), received {len(fitted)} items"
    coef, intercept = fitted
    # Zero times coef is zero: this compares type and shape.
    assert_close(coef * 0, torch.zeros(acts.shape[1]), what="coef times 0")
    return torch.sigmoid(acts.double() @ coef.double() + float(intercept))


def sklearn_probabilities(acts, labels, l2):
    features = acts.double()
    scale = features.std(dim=0, correction=0)
    features = (features - features.mean(dim=0)) / torch.where(scale > 1e-9, scale, torch.ones_like(scale))
    # scikit-learn adds the penalty to a sum of losses, ours is added to their mean.
    model = LogisticRegression(C=1 / (l2 * len(acts)), tol=1e-10, max_iter=10_000)
    model.fit(features.numpy(), labels.numpy())
    return torch.from_numpy(model.predict_proba(features.numpy())[:, 1])


@exercise("layer_sweep")
class TestLayerSweep:
    def test_by_hand(self, learner):
        """the share of validation texts that each layer's probe gets right"""
        train = torch.tensor([[[-1.0], [1.0]], [[1.0], [-1.0]]])
        val = torch.tensor([[[-1.0], [-1.0]], [[2.0], [3.0]], [[-2.0], [1.0]], [[-3.0], [2.0]]])
        labels = torch.tensor([False, True, True, False])

        def first_text_is_false(acts, labels):
            return acts[1] - acts[0], 0.0

        received = learner.layer_sweep(first_text_is_false, train, torch.tensor([False, True]), val, labels)
        assert_close(received, torch.tensor([0.75, 0.25]))

    def test_one_fit_a_layer(self, learner, rng):
        """`fit` is called once a layer, in order, with that layer's training activations and nothing else"""
        train, labels, val, val_labels = sweep_data(rng)
        given_train, given_labels = train.clone(), labels.clone()
        seen = []

        def fit(acts, labels):
            seen.append((acts, labels))
            return acts[0], 0.0

        learner.layer_sweep(fit, given_train, given_labels, val, val_labels)
        assert len(seen) == train.shape[1], f"expected {train.shape[1]} fits, saw {len(seen)}"
        for layer, (acts, given) in enumerate(seen):
            assert_close(acts, train[:, layer], what=f"activations given to fit at layer {layer}")
            assert_close(given, labels, what="labels given to fit")

    def test_zero_is_not_positive(self, learner, rng):
        """a score of exactly 0 is not positive and predicts False; also where there is a single layer"""
        train, labels, val, val_labels = sweep_data(rng, n_layers=1)
        received = learner.layer_sweep(
            lambda acts, labels: (0 * acts[0], 0.0), train, labels, val, val_labels
        )
        assert_close(received, (~val_labels).float().mean().expand(1))

    def test_uses_the_intercept(self, learner, rng):
        """an intercept that makes every score positive predicts True throughout"""
        train, labels, val, val_labels = sweep_data(rng)
        received = learner.layer_sweep(lambda acts, labels: (acts[0], 1e6), train, labels, val, val_labels)
        assert_close(received, val_labels.float().mean().expand(train.shape[1]))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over layers and texts"""
        train, labels, val, val_labels = sweep_data(rng)

        def fit(acts, labels):
            return acts[labels].mean(0) - acts[~labels].mean(0), 0.1

        expected = []
        for layer in range(train.shape[1]):
            coef, intercept = fit(train[:, layer], labels)
            hits = [
                (float(row @ coef) + intercept > 0) == bool(y)
                for row, y in zip(val[:, layer], val_labels, strict=True)
            ]
            expected.append(sum(hits) / len(hits))
        assert_close(learner.layer_sweep(fit, train, labels, val, val_labels), torch.tensor(expected))

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = sweep_data(rng)
        before = tuple(argument.clone() for argument in arguments)
        learner.layer_sweep(lambda acts, labels: (acts[0], 0.1), *arguments)
        assert_close(arguments, before, what="arguments after the call")


def sweep_data(rng, n=30, n_val=17, n_layers=4, d_model=5):
    """Layer k separates the classes along feature k, more and more strongly."""
    labels, val_labels = torch.rand(n, generator=rng) < 0.5, torch.rand(n_val, generator=rng) < 0.4
    labels[:2], val_labels[:2] = torch.tensor([True, False]), torch.tensor([True, False])
    train = torch.randn(n, n_layers, d_model, generator=rng)
    val = torch.randn(n_val, n_layers, d_model, generator=rng)
    for layer in range(n_layers):
        train[:, layer, layer] += layer * (2.0 * labels - 1)
        val[:, layer, layer] += layer * (2.0 * val_labels - 1)
    return train, labels, val, val_labels


@exercise("fit_ridge_probe")
class TestFitRidgeProbe:
    def test_by_hand(self, learner):
        """one feature, one target: slope Σxy / (Σx² + l2) after centring"""
        acts, targets = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[10.0], [20.0], [30.0]])
        # Centred: Σxy = 20, Σx² = 2, so with l2 = 2 the slope is 5 and the line passes through (2, 20).
        coef, intercept = learner.fit_ridge_probe(acts, targets, 2.0)
        assert_close(coef, torch.tensor([[5.0]]), what="coef")
        assert_close(intercept, torch.tensor([10.0]), what="intercept")

    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's Ridge, several targets at once, inputs and targets off the origin"""
        acts, targets = regression(rng)
        for l2 in (0.1, 100.0):
            coef, intercept = learner.fit_ridge_probe(acts, targets, l2)
            model = Ridge(alpha=l2, solver="cholesky").fit(acts.double().numpy(), targets.double().numpy())
            assert_close(
                coef, torch.from_numpy(model.coef_.T.copy()), rtol=2e-3, atol=2e-3, what=f"coef at l2={l2}"
            )
            expected = torch.from_numpy(np.asarray(model.intercept_))
            assert_close(intercept, expected, rtol=2e-3, atol=2e-2, what=f"intercept at l2={l2}")

    def test_fewer_texts_than_features(self, learner, rng):
        """ten texts and thirty features are enough, thanks to the penalty"""
        acts = torch.randn(10, 30, generator=rng) + 3
        targets = torch.randn(10, 2, generator=rng)
        coef, intercept = learner.fit_ridge_probe(acts, targets, 1.0)
        model = Ridge(alpha=1.0, solver="svd").fit(acts.double().numpy(), targets.double().numpy())
        expected = torch.from_numpy(model.predict(acts.double().numpy()))
        predicted = acts.double() @ coef.double() + intercept.double()
        assert_close(predicted, expected, rtol=1e-2, atol=1e-2, what="predictions")

    def test_large_activations(self, learner, rng):
        """activations in the hundreds are no problem: centre them before anything is multiplied"""
        noise = torch.randn(50, 30, generator=rng)
        targets = noise @ torch.randn(30, 2, generator=rng) + torch.tensor([50.0, -20.0])
        acts = noise + 500
        coef, intercept = learner.fit_ridge_probe(acts, targets, 10.0)
        model = Ridge(alpha=10.0, solver="svd").fit(acts.double().numpy(), targets.double().numpy())
        expected = torch.from_numpy(model.predict(acts.double().numpy()))
        predicted = acts.double() @ coef.double() + intercept.double()
        assert_close(predicted, expected, rtol=0, atol=0.05, what="predictions")

    def test_intercept_is_free(self, learner, rng):
        """under a huge penalty every prediction is the mean target, not zero"""
        acts, targets = regression(rng)
        coef, intercept = learner.fit_ridge_probe(acts, targets, 1e9)
        predicted = acts.double() @ coef.double() + intercept.double()
        assert_close(predicted, targets.mean(dim=0).expand_as(targets), rtol=1e-2, atol=1e-2)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, targets = regression(rng)
        before = acts.clone(), targets.clone()
        learner.fit_ridge_probe(acts, targets, 1.0)
        assert_close((acts, targets), before, what="arguments after the call")


def regression(rng, n=50, d_model=6, n_targets=3):
    acts = torch.randn(n, d_model, generator=rng) * torch.linspace(0.5, 2, d_model) + 4
    weights = torch.randn(d_model, n_targets, generator=rng)
    return acts, acts @ weights + torch.randn(n, n_targets, generator=rng) + torch.tensor([10.0, -20.0, 0.0])


@exercise("r2_score")
class TestR2Score:
    def test_by_hand(self, learner):
        """one minus the squared error over the squared error of always guessing the mean"""
        targets = torch.tensor([[1.0, 0.0], [2.0, 4.0], [3.0, 8.0]])
        predictions = torch.tensor([[1.0, 4.0], [2.0, 4.0], [4.0, 4.0]])
        assert_close(learner.r2_score(predictions, targets), torch.tensor([0.5, 0.0]))

    def test_worse_than_the_mean(self, learner):
        """predictions worse than the mean score below zero, without a lower limit"""
        targets = torch.tensor([[0.0], [2.0]])
        assert_close(learner.r2_score(torch.tensor([[2.0], [0.0]]), targets), torch.tensor([-3.0]))
        assert_close(learner.r2_score(torch.tensor([[11.0], [11.0]]), targets), torch.tensor([-100.0]))

    def test_agrees_with_loop(self, learner, rng):
        """each target is scored by itself, against its own mean and spread"""
        targets = torch.randn(40, 3, generator=rng) * torch.tensor([1.0, 50.0, 0.1])
        targets += torch.tensor([0.0, 9.0, -300.0])
        predictions = targets + torch.randn(40, 3, generator=rng) * torch.tensor([0.5, 10.0, 0.2])
        expected = []
        for column in range(3):
            want, got = targets[:, column].double().numpy(), predictions[:, column].double().numpy()
            expected.append(1 - ((want - got) ** 2).sum() / ((want - want.mean()) ** 2).sum())
        assert_close(learner.r2_score(predictions, targets), torch.tensor(expected), rtol=1e-3, atol=1e-3)

    def test_not_a_correlation(self, learner, rng):
        """predictions that are right but for a constant are not right"""
        targets = torch.randn(20, 1, generator=rng)
        assert learner.r2_score(targets + 10, targets).item() < 0, (
            "expected a negative score for shifted predictions"
        )

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        predictions, targets = torch.randn(9, 2, generator=rng), torch.randn(9, 2, generator=rng)
        before = predictions.clone(), targets.clone()
        learner.r2_score(predictions, targets)
        assert_close((predictions, targets), before, what="arguments after the call")

    def test_constant_target(self, learner):
        """raises ValueError where a target never changes: there is no spread to explain"""
        with pytest.raises(ValueError):
            learner.r2_score(torch.zeros(3, 2), torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))

    def test_constant_fraction(self, learner):
        """raises ValueError where a target is always 0.1, though its computed mean is not quite 0.1"""
        for n_texts in (7, 10, 20):
            targets = torch.stack([torch.arange(float(n_texts)), torch.full((n_texts,), 0.1)], dim=1)
            with pytest.raises(ValueError):
                learner.r2_score(torch.zeros(n_texts, 2), targets)
