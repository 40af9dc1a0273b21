"""Checks of chapter 3, part 2: truth without labels."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from utils.course import assert_close, exercise, hidden


def random_halves(rng, n, d_model):
    """Two halves off the origin, with spreads of their own in every dimension."""
    halves = []
    for _ in range(2):
        spread = 0.5 + 2 * torch.rand(d_model, generator=rng)
        offset = 4 * torch.randn(d_model, generator=rng)
        halves.append(torch.randn(n, d_model, generator=rng) * spread + offset)
    return halves[0], halves[1]


def mismatched_halves(rng):
    """Pairs of halves that differ in their number of pairs or of dimensions, in both orders."""
    for one, other in (((5, 3), (4, 3)), ((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5, 1), (5, 3))):
        for shapes in ((one, other), (other, one)):
            yield [torch.randn(*shape, generator=rng) for shape in shapes]


def with_constants(rng, n):
    """A half of which every second dimension is constant: numbers like 3.7 whose mean is rounded."""
    acts = torch.randn(n, 24, generator=rng)
    acts[:, ::2] = 0.5 + 9 * torch.rand(12, generator=rng)
    return acts


@exercise("normalise_contrast")
class TestNormaliseContrast:
    def test_by_hand(self, learner):
        """in every dimension of each half the mean is subtracted and the rest divided by the standard deviation"""
        # Each column is m, m, m, m and m + 5s: its mean is m + s and its standard deviation 2 |s|.
        acts_true = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 6.0], [5.0, 1.0]])
        acts_false = torch.tensor([[9.0, 10.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [4.0, 0.0]])
        expected_true = torch.tensor([[-0.5, -0.5], [-0.5, -0.5], [-0.5, -0.5], [-0.5, 2.0], [2.0, -0.5]])
        expected_false = torch.tensor([[0.5, 2.0], [0.5, -0.5], [0.5, -0.5], [0.5, -0.5], [-2.0, -0.5]])
        received = learner.normalise_contrast(acts_true, acts_false)
        assert_close(received, (expected_true, expected_false))

    def test_two_pairs(self, learner):
        """of two pairs one becomes 1 and the other −1, since the population's standard deviation divides by n"""
        acts_true = torch.tensor([[1.0, 2.0], [3.0, -6.0]])
        acts_false = torch.tensor([[7.0, 0.0], [0.0, 0.5]])
        received = learner.normalise_contrast(acts_true, acts_false)
        assert_close(
            received, (torch.tensor([[-1.0, 1], [1, -1]]), torch.tensor([[1.0, -1], [-1, 1]])), rtol=1e-3
        )

    def test_mean_and_deviation(self, learner, rng):
        """each half has mean 0 and population standard deviation 1 in every dimension"""
        for n, d_model in ((5, 3), (40, 6), (6, 10)):
            halves = learner.normalise_contrast(*random_halves(rng, n, d_model))
            assert isinstance(halves, (tuple, list)), "expected a tuple of two tensors"
            for name, half in zip(("true", "false"), halves, strict=True):
                what = f"of the {name} half, {n} pairs"
                assert_close(
                    half.mean(dim=0), torch.zeros(d_model), rtol=1e-3, atol=1e-4, what=f"means {what}"
                )
                deviation = half.std(dim=0, correction=0)
                assert_close(deviation, torch.ones(d_model), rtol=1e-3, what=f"deviations {what}")

    @hidden
    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's StandardScaler, fitted on each half by itself"""
        for n, d_model in ((2, 3), (7, 4), (4, 9), (30, 1)):
            halves = random_halves(rng, n, d_model)
            expected = [StandardScaler().fit_transform(half.double().numpy()) for half in halves]
            received = learner.normalise_contrast(*halves)
            assert_close(
                received, [torch.tensor(half) for half in expected], rtol=1e-3, atol=1e-3, what=f"{n} pairs"
            )

    def test_word_is_removed(self, learner, rng):
        """what all texts of one half share, and how much they are stretched, drops out"""
        acts_true, acts_false = random_halves(rng, 9, 5)
        expected = learner.normalise_contrast(acts_true, acts_false)
        word = 3 * torch.randn(5, generator=rng)
        stretch = 0.5 + torch.rand(5, generator=rng)
        received = learner.normalise_contrast(acts_true + word, acts_false)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="after a vector was added to one half")
        received = learner.normalise_contrast(acts_true, stretch * acts_false)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="after one half was stretched")

    def test_any_scale(self, learner, rng):
        """activations a ten-thousandth as large, or ten thousand times, come out the same"""
        halves = random_halves(rng, 8, 4)
        expected = learner.normalise_contrast(*halves)
        for factor in (1e-4, 1e4):
            received = learner.normalise_contrast(*(factor * half for half in halves))
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"activations times {factor:g}")

    def test_each_half_by_itself(self, learner, rng):
        """neither half depends on the other, and their order is kept"""
        acts_true, acts_false = random_halves(rng, 7, 4)
        first, second = learner.normalise_contrast(acts_true, acts_false)
        _, other = random_halves(rng, 7, 4)
        assert_close(learner.normalise_contrast(acts_true, other)[0], first, what="true half")
        assert_close(learner.normalise_contrast(other, acts_false)[1], second, what="false half")
        swapped = learner.normalise_contrast(acts_false, acts_true)
        assert_close(swapped, (second, first), what="with the halves exchanged")

    def test_constant_dimension(self, learner, rng):
        """a dimension that does not vary becomes 0, be it constant in one half or in both, and others do not mind"""
        for n in (2, 7, 12):
            constant, varied = with_constants(rng, n), random_halves(rng, n, 24)[0]
            for halves in ((constant, varied), (varied, constant), (constant, constant.flip(0))):
                expected = [
                    torch.tensor(StandardScaler().fit_transform(half.double().numpy())) for half in halves
                ]
                for half, scaled in zip(halves, expected, strict=True):
                    scaled[:, (half == half[0]).all(dim=0)] = 0
                received = learner.normalise_contrast(*halves)
                assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"{n} pairs")

    def test_far_from_origin(self, learner, rng):
        """a spread of 1 around 1000 counts as much as one around 0; float64 keeps its digits around a billion"""
        for offset, dtype in ((1e3, torch.float32), (1e9, torch.float64)):
            halves = [torch.randn(20, 3, generator=rng).to(dtype) + offset for _ in range(2)]
            expected = [
                torch.tensor(StandardScaler().fit_transform(half.double().numpy())) for half in halves
            ]
            received = learner.normalise_contrast(*halves)
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"{dtype} around {offset:g}")

    def test_order_of_pairs(self, learner, rng):
        """pairs in another order give the same rows in that order"""
        acts_true, acts_false = random_halves(rng, 9, 4)
        order = torch.randperm(9, generator=rng)
        expected = [half[order] for half in learner.normalise_contrast(acts_true, acts_false)]
        received = learner.normalise_contrast(acts_true[order], acts_false[order])
        assert_close(received, expected, rtol=1e-3, atol=1e-4)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the activations as they were"""
        acts_true, acts_false = with_constants(rng, 6), random_halves(rng, 6, 24)[1]
        before = acts_true.clone(), acts_false.clone()
        learner.normalise_contrast(acts_true, acts_false)
        assert_close((acts_true, acts_false), before, what="activations after the call")

    def test_too_few_pairs(self, learner, rng):
        """raises ValueError for a single pair and for none"""
        for n in (0, 1):
            for d_model in (1, 4):
                halves = torch.randn(n, d_model, generator=rng), torch.randn(n, d_model, generator=rng)
                with pytest.raises(ValueError):
                    learner.normalise_contrast(*halves)

    def test_different_shapes(self, learner, rng):
        """raises ValueError for halves with another number of pairs or of dimensions"""
        for halves in mismatched_halves(rng):
            with pytest.raises(ValueError):
                learner.normalise_contrast(*halves)


def random_probabilities(rng, n):
    return torch.rand(n, generator=rng), torch.rand(n, generator=rng)


@exercise("ccs_loss")
class TestCcsLoss:
    def test_by_hand(self, learner):
        """each pair costs (p_true − (1 − p_false))² + min(p_true, p_false)²; the loss is the mean over pairs"""
        # 0.9 and 0.3 sum to 1.2: 0.2² + 0.3². 0.2 and 0.6 sum to 0.8: 0.2² + 0.2².
        one = learner.ccs_loss(torch.tensor([0.9]), torch.tensor([0.3]))
        assert_close(one, torch.tensor(0.13), what="the pair (0.9, 0.3)")
        two = learner.ccs_loss(torch.tensor([0.9, 0.2]), torch.tensor([0.3, 0.6]))
        assert_close(two, torch.tensor((0.13 + 0.08) / 2), what="the pairs (0.9, 0.3) and (0.2, 0.6)")

    def test_extremes(self, learner):
        """sure and contradictory costs nothing, ½ and ½ a quarter, twice no 1 and twice yes 2"""
        for pair, cost in {
            (1, 0): 0,
            (0, 1): 0,
            (0.5, 0.5): 0.25,
            (0, 0): 1,
            (1, 1): 2,
            (1, 0.5): 0.5,
        }.items():
            received = learner.ccs_loss(torch.tensor([float(pair[0])]), torch.tensor([float(pair[1])]))
            assert_close(received, torch.tensor(float(cost)), what=f"the pair {pair}")

    def test_scalar_tensor(self, learner, rng):
        """returns a scalar tensor, so that gradients can flow through it"""
        for n in (1, 6):
            received = learner.ccs_loss(*random_probabilities(rng, n))
            assert isinstance(received, torch.Tensor), (
                f"expected a tensor, received a {type(received).__name__}"
            )
            assert received.shape == (), f"expected a scalar, received the shape {tuple(received.shape)}"

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over pairs"""
        for n in (1, 2, 5, 30):
            p_true, p_false = random_probabilities(rng, n)
            total = 0.0
            for yes, no in zip(p_true.tolist(), p_false.tolist(), strict=True):
                smaller = yes if yes < no else no
                total += (yes + no - 1) ** 2 + smaller**2
            assert_close(learner.ccs_loss(p_true, p_false), torch.tensor(total / n), what=f"{n} pairs")

    def test_consistent_pairs(self, learner, rng):
        """where the two sum to 1 only the smaller one's square is left; where one is 0 only the first term"""
        p_true = torch.rand(20, generator=rng)
        expected = torch.minimum(p_true, 1 - p_true).square().mean()
        assert_close(learner.ccs_loss(p_true, 1 - p_true), expected, atol=1e-5, what="p_false = 1 − p_true")
        expected = (1 - p_true).square().mean()
        received = learner.ccs_loss(p_true, torch.zeros(20))
        assert_close(received, expected, atol=1e-5, what="p_false = 0")

    def test_mean_over_pairs(self, learner, rng):
        """is a mean over pairs: the loss of several pairs is the average of each one's"""
        p_true, p_false = random_probabilities(rng, 8)
        each = [float(learner.ccs_loss(p_true[i : i + 1], p_false[i : i + 1])) for i in range(8)]
        expected = torch.tensor(sum(each) / 8)
        assert_close(learner.ccs_loss(p_true, p_false), expected, what="8 pairs")
        received = learner.ccs_loss(p_true.repeat(3), p_false.repeat(3))
        assert_close(received, expected, what="each pair three times")

    def test_swapped(self, learner, rng):
        """exchanging the two answers, or the order of pairs, changes nothing"""
        p_true, p_false = random_probabilities(rng, 9)
        expected = learner.ccs_loss(p_true, p_false)
        assert_close(learner.ccs_loss(p_false, p_true), expected, what="p_true and p_false exchanged")
        order = torch.randperm(9, generator=rng)
        assert_close(learner.ccs_loss(p_true[order], p_false[order]), expected, what="in another order")

    def test_float64(self, learner, rng):
        """takes float64 probabilities, and keeps their digits"""
        p_true = torch.rand(5, generator=rng, dtype=torch.float64) * 1e-9
        received = learner.ccs_loss(1 - p_true, p_true.clone())
        assert_close(received * 1e18, p_true.square().mean() * 1e18, rtol=1e-3, what="loss times 10¹⁸")

    def test_arguments_unchanged(self, learner, rng):
        """leaves the probabilities as they were"""
        p_true, p_false = random_probabilities(rng, 7)
        before = p_true.clone(), p_false.clone()
        learner.ccs_loss(p_true, p_false)
        assert_close((p_true, p_false), before, what="probabilities after the call")

    def test_no_pair(self, learner):
        """raises ValueError where there is no pair"""
        for dtype in (torch.float32, torch.float64):
            with pytest.raises(ValueError):
                learner.ccs_loss(torch.zeros(0, dtype=dtype), torch.zeros(0, dtype=dtype))

    def test_different_shapes(self, learner, rng):
        """raises ValueError for different shapes: other lengths, and a column (n, 1) where the other is a row of n"""
        for one, other in (((3,), (4,)), ((3,), (1,)), ((3,), (0,)), ((1,), (0,)), ((3,), (3, 1))):
            for shapes in ((one, other), (other, one)):
                p_true, p_false = (torch.rand(*shape, generator=rng) for shape in shapes)
                with pytest.raises(ValueError):
                    learner.ccs_loss(p_true, p_false)

    def test_outside(self, learner, rng):
        """raises ValueError for a probability below 0 or above 1, a single one too, in either argument"""
        for outside in (4.0, 1.01, -3.0, -0.01):
            # All of them, the first alone, the last alone.
            for rows in (slice(0, 6), 0, 5):
                p_true, p_false = random_probabilities(rng, 6)
                wrong = p_true.clone()
                wrong[rows] = outside
                for pair in ((wrong, p_false), (p_false, wrong)):
                    with pytest.raises(ValueError):
                        learner.ccs_loss(*pair)


LEARNING_RATE = 0.05


def standardised(acts):
    """Mean 0 and population standard deviation 1 in every column: what `fit_ccs` is given."""
    acts = torch.as_tensor(acts, dtype=torch.float64)
    return ((acts - acts.mean(dim=0)) / acts.std(dim=0, correction=0)).float()


def one_dimension(true, false):
    """Normalised halves with d_model = 1, where the only directions of unit norm are 1 and −1."""
    return standardised([[value] for value in true]), standardised([[value] for value in false])


# Here the start that is the better one before a step of Adam is the worse one after it, by a margin of 0.005.
CROSSING = ((1, 0, 11, 4), (5, 5, 10, 4))
# Here neither half mirrors the other, and the loss of either start rises again at the last of eight steps.
RISING = ((1, 11, 4, 7, 7), (3, 0, 7, 7, 0))


def random_pairs(rng, n, d_model):
    """Normalised halves with no truth in them."""
    first, second = torch.randn(2, n, d_model, generator=rng)
    return standardised(first), standardised(second)


def hidden_truth(rng, n, d_model):
    """Normalised halves that say the same hidden truth with opposite signs, and little else; and that truth."""
    truth = torch.arange(n) % 3 > 0
    direction = torch.randn(d_model, generator=rng).sign() * (1 + torch.rand(d_model, generator=rng))
    step = torch.where(truth, 1.0, -1.0).unsqueeze(1) * direction
    noise = 0.2 * torch.randn(2, n, d_model, generator=rng)
    return standardised(step + noise[0] + 5), standardised(-step + noise[1] - 2), truth


def logistic(x):
    return 1 / (1 + np.exp(-x))


def loss_and_slopes(acts_true, acts_false, coef, intercept):
    """The CCS loss in numpy, and its derivatives by the chain rule."""
    halves = np.stack([acts_true.double().numpy(), acts_false.double().numpy()])
    p = logistic(halves @ coef + intercept)
    lowest = p == p.min(axis=0)
    loss = float(((p.sum(axis=0) - 1) ** 2 + p.min(axis=0) ** 2).mean())
    by_logit = (2 * (p.sum(axis=0) - 1) + 2 * p * lowest) * p * (1 - p) / p.shape[1]
    return loss, np.append(np.einsum("hn,hnd->d", by_logit, halves), by_logit.sum())


def loss_of(acts_true, acts_false, probe):
    coef, intercept = probe
    return loss_and_slopes(acts_true, acts_false, coef.double().numpy(), float(intercept))[0]


def adam(acts_true, acts_false, start, n_steps):
    """(coef, intercept) after Adam's steps from the start, in numpy."""
    point = np.append(np.asarray(start, dtype=float), 0.0)
    first, second = np.zeros_like(point), np.zeros_like(point)
    for step in range(1, n_steps + 1):
        _, slope = loss_and_slopes(acts_true, acts_false, point[:-1], point[-1])
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        point = point - LEARNING_RATE * first / (1 - 0.9**step) / size
    return torch.tensor(point[:-1], dtype=torch.float32), float(point[-1])


def nearest_of_two(received, acts_true, acts_false, n_steps):
    """Of what Adam reaches from 1 and from −1 that which has the coefficient's sign."""
    coef, _ = received
    assert_close(coef * 0, torch.zeros(1), what="the coefficients times 0")
    return adam(acts_true, acts_false, [1.0 if float(coef[0]) > 0 else -1.0], n_steps)


@exercise("fit_ccs", points=2)
class TestFitCcs:
    def test_by_hand(self, learner, rng):
        """one step of Adam from unit norm and intercept 0 moves both by 0.05: to ±1.05 and −0.05"""
        # The pairs contradict each other already. Larger weights and a lower intercept make the smaller one smaller.
        acts_true, acts_false = torch.tensor([[1.0], [-1.0]]), torch.tensor([[-1.0], [1.0]])
        coef, intercept = learner.fit_ccs(acts_true, acts_false, 1, 1, rng)
        assert_close(coef.abs(), torch.tensor([1.05]), what="|coef|")
        assert_close(intercept, -0.05, what="intercept")

    def test_form(self, learner, rng):
        """returns one coefficient for each dimension, and the intercept as a float"""
        for d_model in (1, 4):
            received = learner.fit_ccs(*random_pairs(rng, 5, d_model), 2, 1, rng)
            assert isinstance(received, (tuple, list)), "expected a tuple (coef, intercept)"
            assert len(received) == 2, f"expected (coef, intercept), received {len(received)} values"
            coef, intercept = received
            assert_close(coef * 0, torch.zeros(d_model), what="the coefficients times 0")
            assert isinstance(intercept, float), (
                f"expected the intercept as a float, received a {type(intercept).__name__}"
            )

    def test_unit_start(self, learner, rng):
        """the start has unit norm in several dimensions too: one step of Adam leads from there to the answer"""
        for _ in range(4):
            halves = random_pairs(rng, 12, 3)
            coef, intercept = learner.fit_ccs(*halves, 1, 1, rng)
            assert_close(coef * 0, torch.zeros(3), what="the coefficients times 0")
            starts = [
                coef + LEARNING_RATE * torch.tensor(signs)
                for signs in itertools.product((-1.0, 1.0), repeat=3)
            ]
            reached = [
                adam(*halves, start, 1) for start in starts if abs(float(start.double().norm()) - 1) < 1e-4
            ]
            assert any(
                bool((coef - other).abs().max() < 1e-4) and abs(intercept - moved) < 1e-4
                for other, moved in reached
            ), "no start of unit norm leads there in one step of Adam with learning rate 0.05"

    @hidden
    def test_agrees_with_numpy(self, learner, rng):
        """in one dimension, where 1 and −1 are the only starts, agrees with Adam written in numpy"""
        for name, data, steps in (("first", CROSSING, (5,)), ("second", RISING, (3, 8))):
            halves = one_dimension(*data)
            for n_steps in steps:
                received = learner.fit_ccs(*halves, 1, n_steps, rng)
                expected = nearest_of_two(received, *halves, n_steps)
                what = f"{name} data, {n_steps} steps"
                assert_close(received, expected, rtol=1e-3, atol=2e-4, what=what)

    def test_single_try(self, learner, rng):
        """a single try goes wherever its start leads: of 18 in one dimension some begin at 1 and some at −1"""
        halves = one_dimension(*CROSSING)
        signs = {float(learner.fit_ccs(*halves, 1, 1, rng)[0].sign()) for _ in range(18)}
        assert signs == {1.0, -1.0}, f"expected coefficients of both signs, received only {signs}"

    def test_best_try(self, learner, rng):
        """keeps the try whose loss is smallest after its last step, wherever it started and whichever came first"""
        seed = int(torch.randint(1_000_000, (), generator=rng))
        # In one dimension: some of 18 tries start at 1, some at −1. With the data negated the other end is the better.
        for sign in (1, -1):
            acts_true, acts_false = one_dimension(*CROSSING)
            halves = sign * acts_true, sign * acts_false
            ends = [adam(*halves, [start], 1) for start in (1.0, -1.0)]
            best = min(ends, key=lambda end: loss_of(*halves, end))
            received = learner.fit_ccs(*halves, 18, 1, torch.Generator().manual_seed(seed))
            assert_close(received, best, rtol=1e-3, atol=2e-4, what="the best of 18 tries")

    def test_more_tries(self, learner, rng):
        """the best of 16 tries has a smaller loss than single tries have on average"""
        halves = random_pairs(rng, 12, 4)
        single = [loss_of(*halves, learner.fit_ccs(*halves, 1, 1, rng)) for _ in range(16)]
        best = loss_of(*halves, learner.fit_ccs(*halves, 16, 1, rng))
        average = sum(single) / len(single)
        assert best < average, f"the best of 16 has the loss {best:.4f}, single ones {average:.4f} on average"

    def test_finds_the_truth(self, learner, rng):
        """finds, up to the sign, the truth that both halves tell with opposite signs, and a loss near 0"""
        acts_true, acts_false, truth = hidden_truth(rng, 30, 4)
        probe = learner.fit_ccs(acts_true, acts_false, 1, 30, rng)
        loss = loss_of(acts_true, acts_false, probe)
        assert loss < 0.05, f"expected a loss near 0, received {loss:.3f}"
        coef, intercept = probe
        p_true, p_false = (torch.sigmoid(acts @ coef + intercept) for acts in (acts_true, acts_false))
        right = int(((p_true > p_false) == truth).sum())
        assert max(right, 30 - right) == 30, f"expected 30 of 30 pairs right (or wrong), received {right}"

    def test_generator(self, learner, rng):
        """draws from `generator` alone: equal ones give equal probes, a used one goes on, torch's own is left alone"""
        halves = random_pairs(rng, 8, 3)
        seed = int(torch.randint(1_000_000, (), generator=rng))
        one, two, other = (torch.Generator().manual_seed(seed + offset) for offset in (0, 0, 1))
        before, own = one.get_state(), torch.get_rng_state()
        first = learner.fit_ccs(*halves, 3, 2, one)
        assert torch.equal(own, torch.get_rng_state()), (
            "torch's global random state has changed: pass generator=generator wherever numbers are drawn "
            "(torch.nn.Linear, for one, draws its weights without)"
        )
        assert_close(learner.fit_ccs(*halves, 3, 2, two), first, what="with an equal generator")
        assert not torch.equal(before, one.get_state()), (
            "expected random numbers to be drawn from `generator`"
        )
        difference = (learner.fit_ccs(*halves, 3, 2, other)[0] - first[0]).abs().max()
        assert difference > 1e-4, "expected another generator to give another probe"

    def test_exchanged(self, learner, rng):
        """equal generators give the same probe where the halves are exchanged, and with the pairs in another order"""
        acts_true, acts_false = random_pairs(rng, 9, 3)
        seed = int(torch.randint(1_000_000, (), generator=rng))
        order = torch.randperm(9, generator=rng)

        def fit(*halves):
            return learner.fit_ccs(*halves, 1, 3, torch.Generator().manual_seed(seed))

        expected = fit(acts_true, acts_false)
        assert_close(fit(acts_false, acts_true), expected, rtol=1e-3, atol=2e-4, what="halves exchanged")
        received = fit(acts_true[order], acts_false[order])
        assert_close(received, expected, rtol=1e-3, atol=2e-4, what="pairs in another order")

    def test_without_gradients(self, learner, rng):
        """works where the caller has switched gradients off"""
        halves = one_dimension(*CROSSING)
        try:
            with torch.no_grad():
                received = learner.fit_ccs(*halves, 1, 2, rng)
        except RuntimeError as error:
            if "grad" not in str(error):
                raise
            raise AssertionError(
                "under torch.no_grad() it fails: switch gradients on with `with torch.enable_grad():`"
            ) from error
        expected = nearest_of_two(received, *halves, 2)
        assert_close(received, expected, rtol=1e-3, atol=2e-4, what="under torch.no_grad()")

    def test_float64(self, learner, rng):
        """takes float64 activations too"""
        acts_true, acts_false = one_dimension(*CROSSING)
        halves = acts_true.double(), acts_false.double()
        received = learner.fit_ccs(*halves, 1, 2, rng)
        expected = nearest_of_two(received, *halves, 2)
        assert_close(received, expected, rtol=1e-3, atol=2e-4)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the activations as they were"""
        acts_true, acts_false = random_pairs(rng, 6, 3)
        before = acts_true.clone(), acts_false.clone()
        learner.fit_ccs(acts_true, acts_false, 1, 1, rng)
        assert_close((acts_true, acts_false), before, what="activations after the call")

    def test_no_try(self, learner, rng):
        """raises ValueError for fewer than one try"""
        for n_tries in (0, -1):
            with pytest.raises(ValueError):
                learner.fit_ccs(*random_pairs(rng, 6, 3), n_tries, 2, rng)

    def test_no_step(self, learner, rng):
        """raises ValueError for fewer than one step"""
        for n_steps in (0, -1):
            with pytest.raises(ValueError):
                learner.fit_ccs(*random_pairs(rng, 6, 3), 2, n_steps, rng)


def contrasted(rng, n, d_model, drop=0.5):
    """Halves, and the first principal component of their differences.

    Each principal component has `drop` times the standard deviation of the one before it, so that there are no ties.
    What the two of a pair share varies more than their differences, and the mean difference is larger than all of it.
    """
    rank = min(n - 1, d_model)
    raw = torch.randn(n, rank, generator=rng, dtype=torch.float64)
    scores, _ = torch.linalg.qr(raw - raw.mean(dim=0))
    directions, _ = torch.linalg.qr(torch.randn(d_model, rank, generator=rng, dtype=torch.float64))
    varying = n**0.5 * (scores * drop ** torch.arange(rank)) @ directions.T
    mean = torch.randn(d_model, generator=rng, dtype=torch.float64)
    differences = varying + 6 * mean / mean.norm()
    shared = torch.randn(n, d_model, generator=rng, dtype=torch.float64) * torch.linspace(1, 4, d_model)
    return (shared + differences).float(), shared.float(), directions[:, 0].float()


def assert_same_line(received, expected, what=""):
    """Equal up to the sign."""
    assert_close(received * 0, expected * 0, what=f"{what}, times 0" if what else "the direction times 0")
    flipped = -1 if float(received.double() @ expected.double()) < 0 else 1
    assert_close(
        flipped * received, expected, rtol=1e-3, atol=2e-3, what=f"{what}, up to its sign".lstrip(", ")
    )


@exercise("contrast_pca_direction")
class TestContrastPcaDirection:
    def test_by_hand(self, learner):
        """the direction in which the differences vary around their mean: here (0.6, 0.8) or its negative"""
        # Differences (4, 5), (−2, −3) and (1, 1): around their mean, (1, 1), they are ±(3, 4) and 0.
        acts_true = torch.tensor([[11.0, 6.0], [0.0, 6.0], [1.0, 9.0]])
        acts_false = torch.tensor([[7.0, 1.0], [2.0, 9.0], [0.0, 8.0]])
        received = learner.contrast_pca_direction(acts_true, acts_false)
        assert_same_line(received, torch.tensor([0.6, 0.8]), "direction")

    def test_widest_axis(self, learner):
        """with differences that vary along the axes, by 1, 3 and 2, it is the second axis, whatever their mean"""
        # The rows are ±1, ±3 and ±2 along one axis each.
        varying = torch.cat(
            [torch.diag(torch.tensor([1.0, 3.0, 2.0])), -torch.diag(torch.tensor([1.0, 3.0, 2.0]))]
        )
        for mean in ((0.0, 0.0, 0.0), (9.0, 0.0, 0.0), (-5.0, 0.0, 7.0)):
            shared = torch.arange(18.0).reshape(6, 3).square()
            received = learner.contrast_pca_direction(shared + varying + torch.tensor(mean), shared)
            assert_same_line(
                received, torch.tensor([0.0, 1.0, 0.0]), f"direction with mean difference {mean}"
            )

    def test_known_component(self, learner, rng):
        """finds the component that differences were built from, with more pairs than dimensions and with fewer"""
        for n, d_model in ((30, 4), (5, 5), (4, 9), (2, 3), (3, 2)):
            acts_true, acts_false, direction = contrasted(rng, n, d_model)
            received = learner.contrast_pca_direction(acts_true, acts_false)
            assert_same_line(received, direction, f"direction of {n} pairs in {d_model} dimensions")

    @hidden
    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's PCA of the differences"""
        for n, d_model in ((40, 5), (8, 3), (6, 12)):
            acts_true, acts_false, _ = contrasted(rng, n, d_model, drop=0.7)
            differences = (acts_true.double() - acts_false.double()).numpy()
            components = np.array(PCA(n_components=1, svd_solver="full").fit(differences).components_)
            received = learner.contrast_pca_direction(acts_true, acts_false)
            assert_same_line(received, torch.tensor(components[0]), f"direction of {n} pairs")

    def test_unit_norm(self, learner, rng):
        """has one entry for each dimension, and unit norm, however large or small the differences"""
        for factor in (1e-3, 1.0, 1e3):
            acts_true, acts_false, direction = contrasted(rng, 12, 5)
            received = learner.contrast_pca_direction(factor * acts_true, factor * acts_false)
            assert_close(received * 0, direction * 0, what="the direction times 0")
            assert_close(
                received.norm(), torch.tensor(1.0), rtol=1e-3, what=f"norm, activations times {factor:g}"
            )
            assert_same_line(received, direction, f"direction with activations times {factor:g}")

    def test_varies_most(self, learner, rng):
        """the differences vary along it at least as much as along any other direction"""
        acts_true, acts_false, _ = contrasted(rng, 20, 6, drop=0.8)
        others = torch.randn(300, 6, generator=rng)
        differences = (acts_true - acts_false).double()
        received = learner.contrast_pca_direction(acts_true, acts_false)
        spread = float((differences @ received.double()).std())
        best = float((differences @ (others / others.norm(dim=1, keepdim=True)).double().T).std(dim=0).max())
        assert spread > best - 1e-4, (
            f"along yours the deviation is {spread:.3f}, along another one {best:.3f}"
        )

    def test_what_does_not_matter(self, learner, rng):
        """a vector added to all of one half, or to both halves of a pair, changes nothing but perhaps the sign"""
        acts_true, acts_false, _ = contrasted(rng, 10, 4)
        expected = learner.contrast_pca_direction(acts_true, acts_false)
        word = 5 * torch.randn(4, generator=rng)
        received = learner.contrast_pca_direction(acts_true + word, acts_false)
        assert_same_line(received, expected, "direction with a vector added to one half")
        text = 5 * torch.randn(10, 4, generator=rng)
        received = learner.contrast_pca_direction(acts_true + text, acts_false + text)
        assert_same_line(received, expected, "direction with vectors added to both of a pair")

    def test_exchanged(self, learner, rng):
        """exchanging the halves, or the order of pairs, changes nothing but perhaps the sign"""
        acts_true, acts_false, _ = contrasted(rng, 11, 4)
        expected = learner.contrast_pca_direction(acts_true, acts_false)
        received = learner.contrast_pca_direction(acts_false, acts_true)
        assert_same_line(received, expected, "direction with the halves exchanged")
        order = torch.randperm(11, generator=rng)
        received = learner.contrast_pca_direction(acts_true[order], acts_false[order])
        assert_same_line(received, expected, "direction with the pairs in another order")

    def test_float64(self, learner, rng):
        """takes float64 activations too"""
        acts_true, acts_false, direction = contrasted(rng, 12, 5)
        received = learner.contrast_pca_direction(acts_true.double(), acts_false.double())
        assert_same_line(received, direction, "direction")

    def test_arguments_unchanged(self, learner, rng):
        """leaves the activations as they were"""
        acts_true, acts_false, _ = contrasted(rng, 9, 4)
        before = acts_true.clone(), acts_false.clone()
        learner.contrast_pca_direction(acts_true, acts_false)
        assert_close((acts_true, acts_false), before, what="activations after the call")

    def test_too_few_pairs(self, learner, rng):
        """raises ValueError for a single pair and for none"""
        for n in (0, 1):
            halves = torch.randn(n, 4, generator=rng), torch.randn(n, 4, generator=rng)
            with pytest.raises(ValueError):
                learner.contrast_pca_direction(*halves)

    def test_different_shapes(self, learner, rng):
        """raises ValueError for halves with another number of pairs or of dimensions"""
        for halves in mismatched_halves(rng):
            with pytest.raises(ValueError):
                learner.contrast_pca_direction(*halves)

    def test_nothing_varies(self, learner, rng):
        """raises ValueError where all differences are the same: zeros, whole numbers, and ones that are rounded"""
        whole = torch.randint(-9, 9, (7, 4), generator=rng).float()
        for step in (torch.zeros(4), torch.tensor([3.0, -2.0, 0.0, 5.0])):
            with pytest.raises(ValueError):
                learner.contrast_pca_direction(whole + step, whole)
        same = (0.5 + 3 * torch.rand(20, generator=rng)).repeat(7, 1)
        for halves in ((same, 0 * same), (0 * same, same)):
            with pytest.raises(ValueError):
                learner.contrast_pca_direction(*halves)
