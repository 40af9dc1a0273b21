"""Checks of chapter 4, part 2: dose and price."""

import math

import pytest
import torch
from scipy.special import log_softmax, rel_entr

from utils.course import assert_close, exercise, hidden


class Curve:
    """An effect that is a polynomial of the coefficient, one a row of `powers`, which holds 1, x, x², … in its columns.

    It remembers what it was asked for, until `close`.
    """

    def __init__(self, powers):
        self.powers = torch.as_tensor(powers)
        self.asked, self.open = [], True

    def __call__(self, coefficient):
        if isinstance(coefficient, torch.Tensor) and coefficient.ndim > 0:
            raise TypeError("effect takes one coefficient at a time, a number")
        x = float(coefficient)
        if self.open:
            self.asked.append(x)
        return self.powers @ torch.tensor(
            [x**i for i in range(self.powers.shape[1])], dtype=self.powers.dtype
        )

    def close(self):
        self.open = False


def random_curve(rng, n_examples, degree=3, dtype=torch.float32):
    """A cubic for each example: level, slope, an even part and saturation differ from one to the next."""
    return Curve(torch.randn(n_examples, degree + 1, generator=rng, dtype=dtype) + 0.5)


def never(*arguments):
    """An effect that must not be asked for: it is expensive, and the answer is an error anyway."""
    raise RuntimeError("effect was called, though the arguments allow no answer: check them first")


def table(values):
    """An effect read off a table: coefficient → the metric of every example."""

    def effect(coefficient):
        for known, metric in values.items():
            if abs(known - float(coefficient)) < 1e-6:
                return torch.tensor(metric)
        raise LookupError(f"effect was called with {coefficient}, which is not among the coefficients")

    return effect


@exercise("dose_response")
class TestDoseResponse:
    def test_by_hand(self, learner):
        """the mean over examples at each coefficient, and half the rise of the mean from −1 to 1"""
        effect = table(
            {-2.0: [0.0, 4.0], -1.0: [1.0, 3.0], 0.0: [1.0, 0.0], 1.0: [5.0, 9.0], 2.0: [9.0, 7.0]}
        )
        received = learner.dose_response(effect, [-2.0, -1.0, 0.0, 1.0, 2.0])
        assert_close(received, (torch.tensor([2.0, 2.0, 0.5, 7.0, 8.0]), 2.5))

    def test_half_a_unit(self, learner):
        """the rise is divided by 2c, the distance between −c and c: from −0.5 to 0.5 it is 1, from −4 to 4 it is 8"""
        for c, slope in ((0.5, 6.0), (4.0, 0.75)):
            effect = table({-c: [1.0, 0.0, 2.0], 0.0: [9.0, 9.0, 9.0], c: [8.0, 7.0, 6.0]})
            received = learner.dose_response(effect, [-c, 0.0, c])
            assert_close(received, (torch.tensor([1.0, 9.0, 7.0]), slope), what=f"pair ±{c}")

    def test_in_the_given_order(self, learner, rng):
        """the means come in the order of the coefficients, whatever it is"""
        curve = random_curve(rng, 4)
        for coefficients in ([1.0, -1.0, 0.0], [2.0, 1.0, 0.0, -1.0, -2.0], [-1.0, 3.0, 0.5, 1.0, -0.25]):
            means, _ = learner.dose_response(curve, coefficients)
            expected = torch.stack([curve(c).mean() for c in coefficients])
            assert_close(means, expected, rtol=1e-3, atol=1e-3, what=f"means at {coefficients}")

    def test_smallest_pair(self, learner):
        """the slope is that of the smallest pair, wherever it stands; what is nearer to 0 but alone does not count"""
        # The mean is x³: between −c and c it rises by 2c³, so that the slope is c².
        cube = Curve([[0.0, 0.0, 0.0, 1.0]])
        for coefficients, c in (
            ([-2.0, -1.0, 1.0, 2.0], 1.0),
            ([2.0, -2.0, -3.0, 3.0], 2.0),
            ([3.0, -0.5, 2.0, -2.0, -3.0, 0.25], 2.0),
            ([1.5, 0.5, 1.0, -1.5], 1.5),
            ([0.0, 0.5, 4.0, -1.0, -2.0, 2.0, -4.0], 2.0),
            ([-3.0, 1.0, -2.0, 0.0, 3.0], 3.0),
        ):
            _, slope = learner.dose_response(cube, coefficients)
            assert_close(slope, c**2, rtol=1e-3, what=f"slope of x³ from {coefficients}")

    def test_straight_line(self, learner, rng):
        """a straight line has its own slope at every scale of the coefficients"""
        line = random_curve(rng, 5, degree=1)
        expected = float(line.powers[:, 1].mean())
        for scale in (0.01, 0.25, 1.0, 3.0, 200.0):
            _, slope = learner.dose_response(line, [-2 * scale, scale, 0.0, -scale])
            assert_close(slope, expected, rtol=1e-3, atol=1e-3, what=f"slope, coefficients times {scale}")

    def test_even_part(self, learner, rng):
        """what both signs of a push do alike has no slope, and changes none"""
        odd = random_curve(rng, 3)
        odd.powers[:, 0::2] = 0
        both = Curve(odd.powers.clone())
        both.powers[:, 0::2] = 3 * torch.randn(3, 2, generator=rng)
        coefficients = [-2.0, -0.5, 0.0, 0.5, 1.0]
        _, expected = learner.dose_response(odd, coefficients)
        _, received = learner.dose_response(both, coefficients)
        assert_close(
            received,
            float(expected),
            rtol=1e-3,
            atol=1e-3,
            what="slope with an even part added to the effect",
        )
        _, received = learner.dose_response(Curve([[2.0, 0.0, -3.0]]), coefficients)
        assert_close(received, 0.0, atol=1e-4, what="slope of an effect that is even")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over coefficients and examples, in float32 and float64"""
        for n_examples, dtype in ((1, torch.float32), (2, torch.float64), (7, torch.float32)):
            curve = random_curve(rng, n_examples, dtype=dtype)
            sizes = (0.3 + 2 * torch.rand(4, generator=rng, dtype=torch.float64)).tolist()
            coefficients = [sizes[0], 0.0, -sizes[1], sizes[2], -sizes[3], sizes[1], -sizes[2]]
            total = {}
            for c in coefficients:
                total[c] = 0.0
                for row in curve.powers.tolist():
                    total[c] += sum(number * c**power for power, number in enumerate(row))
            c = min(sizes[1], sizes[2])
            expected = torch.tensor([total[c] / n_examples for c in coefficients])
            slope = (total[c] - total[-c]) / n_examples / (2 * c)
            received = learner.dose_response(curve, coefficients)
            assert_close(received, (expected, slope), rtol=1e-3, atol=1e-3, what=f"{n_examples} examples")

    def test_turned_around(self, learner, rng):
        """a direction turned around has the opposite slope; an effect in other units has the slope in these"""
        curve, coefficients = random_curve(rng, 3), [1.0, -2.0, 0.0, -1.0, 2.0]
        means, slope = learner.dose_response(curve, coefficients)
        powers = curve.powers
        around = Curve(powers * torch.tensor([1.0, -1.0, 1.0, -1.0]))
        received = learner.dose_response(around, [-c for c in coefficients])
        assert_close(received, (means, -float(slope)), rtol=1e-3, atol=1e-4, what="turned around")
        received = learner.dose_response(Curve(powers * 10), coefficients)
        assert_close(received, (means * 10, float(slope) * 10), rtol=1e-3, atol=1e-3, what="times 10")

    def test_called_once(self, learner, rng):
        """effect is called once for each coefficient, and for nothing else"""
        for coefficients in ([-1.0, 0.0, 1.0], [2.0, -0.5, 1.0, -2.0, -1.0, 3.0], [-4.0, 4.0]):
            curve = random_curve(rng, 2)
            learner.dose_response(curve, coefficients)
            curve.close()
            what = f"the coefficients for which effect was called, given {coefficients}"
            assert_close(sorted(curve.asked), sorted(coefficients), what=what)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the list of coefficients as it was"""
        coefficients = [2.0, -1.0, 0.0, 1.0, -3.0]
        learner.dose_response(random_curve(rng, 3), coefficients)
        assert_close(coefficients, [2.0, -1.0, 0.0, 1.0, -3.0], what="coefficients after the call")

    def test_no_pair(self, learner):
        """raises ValueError, before effect is called, where no c > 0 comes with −c; zero is no pair"""
        for coefficients in (
            [],
            [0.0],
            [1.0],
            [0.0, 1.0, 2.0],
            [-3.0, -1.0, 0.0],
            [1.0, -2.0],
            [-0.5, 0.0, 0.75],
            [3.0, -1.0, 2.0, -4.0, 0.0],
        ):
            with pytest.raises(ValueError):
                learner.dose_response(never, coefficients)


class Spy:
    """An effect that remembers the directions it was given and what it said, until `close`.

    value: from the direction's numbers, flat, to the effect.
    """

    def __init__(self, value):
        self.value = value
        self.directions, self.values, self.open = [], [], True

    def __call__(self, direction):
        said = float(self.value(torch.as_tensor(direction).detach().double().flatten()))
        if self.open:
            self.directions.append(direction)
            self.values.append(said)
        return said

    def close(self):
        self.open = False


def crooked(direction):
    """Some effect that no direction's negative has, too."""
    wave = torch.arange(len(direction), dtype=torch.float64).add(1).sin()
    return direction @ wave + (direction @ wave.flip(0)) ** 2 / (1 + direction.norm())


class Script(Spy):
    """An effect that says these values, one for each direction that it is given, and the same for the same one."""

    def __init__(self, values):
        super().__init__(self.look_up)
        self.script, self.said = values, {}

    def look_up(self, direction):
        key = tuple(direction.tolist())
        if self.open and key not in self.said:
            self.said[key] = self.script[len(self.said) % len(self.script)]
        return self.said.get(key, 0.0)


def spied_band(learner, like, n, generator, spy=None):
    """The directions that the learner's function asked for, as one tensor, with the spy and the band."""
    spy = spy or Spy(crooked)
    try:
        band = learner.random_direction_band(spy, like, n, generator)
    finally:
        spy.close()
    for direction in spy.directions:
        assert isinstance(direction, torch.Tensor), (
            f"expected effect to be called with a tensor, it was a {type(direction).__name__}"
        )
        assert direction.shape == like.shape, (
            f"expected effect to be called with one direction of shape {tuple(like.shape)}, "
            f"its shape was {tuple(direction.shape)}"
        )
    assert spy.directions, "expected effect to be called with random directions, it was not called"
    return torch.stack(spy.directions), spy, band


def sparse(d_model):
    """A direction of norm 5 that lies along two coordinates: shuffled, or with other signs, it is as sparse."""
    like = torch.zeros(d_model)
    like[3], like[7] = 3.0, -4.0
    return like


def random_like(rng, d_model, norm):
    like = torch.randn(d_model, generator=rng)
    return norm * like / like.norm()


@exercise("random_direction_band", points=2)
class TestRandomDirectionBand:
    def test_by_hand(self, learner, rng):
        """low is the smallest and high the largest of the effects, whatever their signs and order"""
        for values in (
            [0.5, -1.25, 3.0, -0.75, 2.0],
            [4.0, 2.0, 7.0, 6.0],
            [-1.0, -8.0, -3.0],
            [0.0, 0.25],
            [-2.5],
        ):
            _, _, band = spied_band(learner, random_like(rng, 4, 2.0), len(values), rng, Script(values))
            assert_close(band, (min(values), max(values)), what=f"band of the effects {values}")

    def test_range_of_the_effects(self, learner, rng):
        """low and high are what effect said about the directions that it was given, and about nothing else"""
        for d_model, n in ((1, 4), (3, 25), (40, 2), (6, 9)):
            _, spy, band = spied_band(learner, random_like(rng, d_model, 3.0), n, rng)
            assert_close(band, (min(spy.values), max(spy.values)), what=f"band of {n} directions")

    def test_called_once_each(self, learner, rng):
        """effect is called n times, once for each direction"""
        for n in (1, 2, 7, 30):
            directions, _, _ = spied_band(learner, random_like(rng, 5, 2.0), n, rng)
            assert len(directions) == n, f"n = {n}: effect was called {len(directions)} times"
            different = len({tuple(direction.tolist()) for direction in directions})
            assert different == n, f"n = {n}: expected as many directions, {different} were different"

    def test_same_norm(self, learner, rng):
        """every direction has the norm of `like`, its shape and its dtype"""
        for d_model, norm, dtype in (
            (1, 2.0, torch.float32),
            (3, 0.01, torch.float32),
            (20, 300.0, torch.float64),
            (50, 7.0, torch.float32),
        ):
            like = random_like(rng, d_model, norm).to(dtype)
            directions, _, _ = spied_band(learner, like, 8, rng)
            assert directions.dtype == dtype, f"expected directions in {dtype}, received {directions.dtype}"
            expected = torch.full((8,), norm)
            assert_close(directions.norm(dim=1), expected, rtol=1e-3, what=f"norms in {d_model} dimensions")

    def test_every_way(self, learner, rng):
        """in two and three dimensions the directions go every way: up and down each axis, along `like` and across it"""
        for d_model in (2, 3):
            like = random_like(rng, d_model, 3.0)
            directions, _, _ = spied_band(learner, like, 50, rng)
            for axis in range(d_model):
                up = int((directions[:, axis] > 0).sum())
                assert 4 < up < 46, f"axis {axis}: expected about half of 50 to go up, {up} do"
            cosines = directions.double() @ like.double() / 9
            assert cosines.min() < -0.3, "expected some directions against `like`"
            assert cosines.max() > 0.3, "expected some directions along `like`"
            assert cosines.abs().min() < 0.6, "expected some directions across `like`"

    def test_isotropic(self, learner, rng):
        """in 2000 dimensions the coordinates are as normally distributed ones: no axis, sign or pattern preferred"""
        directions, _, _ = spied_band(learner, sparse(2000), 6, rng)
        coordinates = directions.double() / directions.double().square().mean().sqrt()
        offset = float(coordinates.mean())
        # 12,000 numbers: the bounds are six and more standard errors wide.
        assert abs(offset) < 0.07, f"expected coordinates around 0, their mean is {offset:.2f} deviations"
        peaked = float(coordinates.pow(4).mean())
        assert 2.5 < peaked < 3.5, (
            "expected the coordinates of normally distributed numbers, whose fourth moment is 3 times the squared "
            f"second; here it is {peaked:.2f} times"
        )
        for part, share in enumerate(coordinates.square().mean(dim=0).chunk(4)):
            assert 0.8 < float(share.mean()) < 1.2, (
                f"expected each quarter of the coordinates to vary alike, quarter {part} has {share.mean():.2f}"
            )

    def test_unrelated(self, learner, rng):
        """in 2000 dimensions random directions are nearly orthogonal, to `like` and to each other"""
        like = sparse(2000)
        directions, _, _ = spied_band(learner, like, 6, rng)
        rows = torch.cat([like[None], directions]).double()
        rows = rows / rows.norm(dim=1, keepdim=True)
        cosines = (rows @ rows.T - torch.eye(len(rows))).abs()
        # The standard deviation of a cosine is 1/√2000 = 0.022.
        assert cosines[0].max() < 0.15, f"a cosine with `like` is {cosines[0].max():.2f}: draw without it"
        assert cosines.max() < 0.15, f"two directions have a cosine of {cosines.max():.2f}: draw each anew"

    def test_generator(self, learner, rng):
        """draws from `generator` alone: equal ones give equal bands, a used one goes on, torch's own is left alone"""
        like, seed = random_like(rng, 5, 2.0), int(torch.randint(1_000_000, (), generator=rng))
        one, two, other = (torch.Generator().manual_seed(seed + offset) for offset in (0, 0, 1))
        before, own = one.get_state(), torch.get_rng_state()
        first, _, band = spied_band(learner, like, 4, one)
        again, _, same = spied_band(learner, like, 4, two)
        assert torch.equal(own, torch.get_rng_state()), (
            "torch's global random state has changed: pass generator=generator wherever numbers are drawn"
        )
        assert_close(again, first, what="directions with an equal generator")
        assert_close(same, tuple(float(edge) for edge in band), what="band with an equal generator")
        assert not torch.equal(before, one.get_state()), (
            "expected random numbers to be drawn from `generator`"
        )
        for name, generator in (
            ("the same generator, used once", one),
            ("a generator of another seed", other),
        ):
            directions, _, _ = spied_band(learner, like, 4, generator)
            # Not the first alone: it may be the last one drawn before.
            nearest = (directions[:, None] - first).norm(dim=-1).min()
            assert nearest > 1e-4, f"{name}: expected other directions"

    def test_arguments_unchanged(self, learner, rng):
        """leaves `like` as it was"""
        like = random_like(rng, 6, 4.0)
        before = like.clone()
        learner.random_direction_band(Spy(crooked), like, 3, rng)
        assert_close(like, before, what="`like` after the call")

    def test_no_direction(self, learner, rng):
        """raises ValueError for n < 1, before effect is called"""
        for n in (0, -1, -5):
            with pytest.raises(ValueError):
                learner.random_direction_band(never, random_like(rng, 4, 2.0), n, rng)

    def test_zero(self, learner, rng):
        """raises ValueError where `like` is zero, before effect is called: no direction has no length"""
        for d_model, n in ((1, 1), (4, 3), (30, 1)):
            with pytest.raises(ValueError):
                learner.random_direction_band(never, torch.zeros(d_model), n, rng)


def random_slopes(rng, n):
    """Slopes around 0.4, of which about a third are negative, and every seventh is exactly 0."""
    slopes = torch.randn(n, generator=rng) + 0.4
    slopes[3::7] = 0
    return slopes


@exercise("steerability")
class TestSteerability:
    def test_by_hand(self, learner):
        """slopes 2, −1, 4 and 3 have the mean 2, and one of four goes the wrong way"""
        assert_close(learner.steerability(torch.tensor([2.0, -1.0, 4.0, 3.0])), (2.0, 0.25))
        received = learner.steerability(torch.tensor([-0.5, 0.5, -1.0, 3.0, -2.0]))
        assert_close(received, (0.0, 0.6), what="slopes −0.5, 0.5, −1, 3, −2")

    def test_zero_is_not_wrong(self, learner):
        """a slope of 0 is not the wrong way, nor is −0; the smallest slope below 0 is"""
        for slopes, expected in (
            ([0.0, 0.0, 0.0], (0.0, 0.0)),
            ([-0.0, 3.0], (1.5, 0.0)),
            ([0.0, -1.0, 0.0, 0.0, 6.0], (1.0, 0.2)),
            ([-1e-7, 2.0], (1.0, 0.5)),
        ):
            assert_close(learner.steerability(torch.tensor(slopes)), expected, what=f"slopes {slopes}")

    def test_one_example(self, learner):
        """a single example goes the right way or the wrong one: a fraction of 0 or of 1"""
        for slope, wrong in ((2.5, 0.0), (-0.25, 1.0)):
            assert_close(learner.steerability(torch.tensor([slope])), (slope, wrong), what=f"slope {slope}")

    def test_intended_not_usual(self, learner):
        """the wrong way is below 0, also where the mean, or most examples, are there; not below the mean"""
        for slopes, expected in (
            ([1.0, 1.0, 1.0, -11.0], (-2.0, 0.25)),
            ([-1.0, -2.0, -3.0], (-2.0, 1.0)),
            ([1.0, -2.0, -3.0, -4.0], (-2.0, 0.75)),
            ([1.0, 2.0, 9.0], (4.0, 0.0)),
        ):
            assert_close(learner.steerability(torch.tensor(slopes)), expected, what=f"slopes {slopes}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over examples, in float32 and float64"""
        for n, dtype in ((1, torch.float64), (2, torch.float32), (9, torch.float64), (150, torch.float32)):
            slopes = random_slopes(rng, n).to(dtype)
            total, wrong = 0.0, 0
            for slope in slopes.tolist():
                total += slope
                wrong += 1 if slope < 0 else 0
            received = learner.steerability(slopes)
            assert_close(received, (total / n, wrong / n), rtol=1e-3, atol=1e-5, what=f"{n} examples")

    def test_scale(self, learner, rng):
        """in other units the mean scales and the fraction stays, however small or large the slopes"""
        slopes = random_slopes(rng, 20)
        mean, wrong = (float(number) for number in learner.steerability(slopes))
        for factor in (1e-6, 0.5, 1e6):
            received = learner.steerability(factor * slopes)
            expected = factor * mean, wrong
            assert_close(received, expected, rtol=1e-3, atol=2e-6 * factor, what=f"slopes times {factor:g}")

    def test_turned_around(self, learner, rng):
        """a direction turned around has the opposite mean, and those that went the right way go the wrong one"""
        slopes = random_slopes(rng, 25)
        mean, _ = learner.steerability(slopes)
        right = int((slopes > 0).sum()) / 25
        received = learner.steerability(-slopes)
        assert_close(received, (-float(mean), right), rtol=1e-3, atol=1e-5)

    def test_order(self, learner, rng):
        """the order of examples does not matter, nor does it that each occurs three times"""
        slopes = random_slopes(rng, 15)
        expected = tuple(float(number) for number in learner.steerability(slopes))
        received = learner.steerability(slopes[torch.randperm(15, generator=rng)])
        assert_close(received, expected, rtol=1e-3, atol=1e-5, what="in another order")
        assert_close(
            learner.steerability(slopes.repeat(3)), expected, rtol=1e-3, atol=1e-5, what="three times"
        )

    def test_arguments_unchanged(self, learner, rng):
        """leaves the slopes as they were"""
        slopes = random_slopes(rng, 12)
        before = slopes.clone()
        learner.steerability(slopes)
        assert_close(slopes, before, what="slopes after the call")

    def test_no_example(self, learner):
        """raises ValueError where there is no example"""
        for dtype in (torch.float32, torch.float64):
            with pytest.raises(ValueError):
                learner.steerability(torch.zeros(0, dtype=dtype))

    def test_nan(self, learner, rng):
        """raises ValueError where a slope is NaN, a single one too"""
        for rows in (slice(0, 6), 0, 5):
            slopes = random_slopes(rng, 6)
            slopes[rows] = torch.nan
            with pytest.raises(ValueError):
                learner.steerability(slopes)

    def test_infinite(self, learner, rng):
        """raises ValueError where a slope is infinite, a single one too"""
        for value in (torch.inf, -torch.inf):
            for rows in (slice(0, 6), 0, 5):
                slopes = random_slopes(rng, 6)
                slopes[rows] = value
                with pytest.raises(ValueError):
                    learner.steerability(slopes)


def random_logits(rng, batch, d_vocab, dtype=torch.float32):
    """Logits of a base and of a steered model, of which neither is anywhere near uniform."""
    base = 2 * torch.randn(batch, d_vocab, generator=rng, dtype=dtype)
    return base, base + 1.5 * torch.randn(batch, d_vocab, generator=rng, dtype=dtype) + 3


def log_odds(*rows):
    return torch.tensor(rows).log()


@exercise("kl_divergence")
class TestKlDivergence:
    def test_by_hand(self, learner):
        """½, ½ against ¼, ¾ costs ½ log(4/3) nats, and the other way round ¾ log 3 − log 2"""
        half, quarter = log_odds((1.0, 1.0)), log_odds((1.0, 3.0))
        received = learner.kl_divergence(half, quarter)
        assert_close(received, torch.tensor([math.log(4 / 3) / 2]), what="KL(½, ½ ‖ ¼, ¾)")
        received = learner.kl_divergence(quarter, half)
        assert_close(received, torch.tensor([0.75 * math.log(3) - math.log(2)]), what="KL(¼, ¾ ‖ ½, ½)")

    def test_each_text(self, learner):
        """one divergence for each text, that of its own two rows"""
        base = log_odds((1.0, 1.0, 2.0), (1.0, 1.0, 2.0), (1.0, 2.0, 1.0))
        steered = log_odds((1.0, 1.0, 2.0), (2.0, 1.0, 1.0), (1.0, 1.0, 2.0))
        # ¼ log(¼ / ½) + ½ log(½ / ¼) = ¼ log 2, twice.
        expected = torch.tensor([0.0, math.log(2) / 4, math.log(2) / 4])
        assert_close(learner.kl_divergence(base, steered), expected, atol=1e-5)

    @hidden
    def test_agrees_with_scipy(self, learner, rng):
        """agrees with scipy's relative entropy, for few and many texts and tokens, in float32 and float64"""
        for batch, d_vocab, dtype in ((1, 2, torch.float64), (6, 5, torch.float32), (3, 400, torch.float32)):
            base, steered = random_logits(rng, batch, d_vocab, dtype)
            p, q = (torch.tensor(log_softmax(each.double(), axis=-1)).exp() for each in (base, steered))
            expected = torch.tensor(rel_entr(p.numpy(), q.numpy()).sum(axis=-1))
            received = learner.kl_divergence(base, steered)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"{batch} texts, {d_vocab} tokens")

    def test_no_change_no_price(self, learner, rng):
        """equal logits cost nothing, nor does a constant added to all of a text's logits; any other change costs"""
        base, other = random_logits(rng, 5, 8)
        assert_close(
            learner.kl_divergence(base, base.clone()), torch.zeros(5), atol=1e-5, what="equal logits"
        )
        received = learner.kl_divergence(base, base + torch.arange(5.0)[:, None])
        assert_close(received, torch.zeros(5), atol=1e-5, what="with a constant added to each text")
        received = learner.kl_divergence(torch.zeros(5, 8), other)
        assert bool((received > 0.01).all()), f"expected positive divergences, received {received.tolist()}"

    def test_constants(self, learner, rng):
        """constants added to the logits change nothing: hundreds in float32, a billion in float64"""
        for dtype, constants in ((torch.float32, (128.0, -256.0)), (torch.float64, (2.0**30, -(2.0**30)))):
            # In steps of 1/64, so that adding the constant rounds nothing.
            base, steered = ((64 * each).round() / 64 for each in random_logits(rng, 4, 6, dtype))
            expected = learner.kl_divergence(base, steered).double()
            for first, second in (constants, (constants[0], 0.0), (0.0, constants[0])):
                received = learner.kl_divergence(base + first, steered + second)
                what = f"with {first:g} added to the base's logits and {second:g} to the others"
                assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)

    def test_large_logits(self, learner, rng):
        """logits that differ by hundreds and thousands are no trouble: the logarithm of a tiny probability is finite"""
        even, sure = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -2000.0]])
        for gap in (200, 2000):
            received = learner.kl_divergence(even, torch.tensor([[0.0, -float(gap)]]))
            expected = torch.tensor([gap / 2 - math.log(2)])
            assert_close(received, expected, what=f"(0, 0) against (0, −{gap})")
        received = learner.kl_divergence(sure, even)
        assert_close(received, torch.tensor([math.log(2)]), what="(0, −2000) against (0, 0)")
        base, steered = (500 * each for each in random_logits(rng, 4, 9))
        log_p, log_q = (torch.tensor(log_softmax(each.double(), axis=-1)) for each in (base, steered))
        expected = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
        received = learner.kl_divergence(base, steered)
        assert_close(received, expected, rtol=1e-3, atol=1e-2, what="random logits times 500")

    def test_small_change(self, learner, rng):
        """a small change costs half the variance of the logits' changes under the base model"""
        base, _ = random_logits(rng, 5, 12, torch.float64)
        change = 1e-4 * torch.randn(5, 12, generator=rng, dtype=torch.float64)
        p = torch.tensor(log_softmax(base, axis=-1)).exp()
        mean = (p * change).sum(dim=-1, keepdim=True)
        expected = (p * (change - mean) ** 2).sum(dim=-1) / 2
        received = learner.kl_divergence(base, base + change)
        assert_close(received * 1e8, expected * 1e8, rtol=0.02, atol=1e-4, what="divergence times 10⁸")

    def test_independent_parts_add(self, learner, rng):
        """for pairs of independent tokens the divergences of the two add up"""
        first, second = random_logits(rng, 3, 4), random_logits(rng, 3, 5)
        both = [(a[:, :, None] + b[:, None, :]).flatten(1) for a, b in zip(first, second, strict=True)]
        expected = learner.kl_divergence(*first).double() + learner.kl_divergence(*second).double()
        assert_close(learner.kl_divergence(*both), expected, rtol=1e-3, atol=1e-4, what="divergence of pairs")

    def test_order(self, learner, rng):
        """the order of tokens does not matter, and texts in another order give their divergences in that order"""
        base, steered = random_logits(rng, 6, 7)
        expected = learner.kl_divergence(base, steered).double()
        tokens, texts = torch.randperm(7, generator=rng), torch.randperm(6, generator=rng)
        received = learner.kl_divergence(base[:, tokens], steered[:, tokens])
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="tokens in another order")
        received = learner.kl_divergence(base[texts], steered[texts])
        assert_close(received, expected[texts], rtol=1e-3, atol=1e-4, what="texts in another order")

    def test_masked_in_base(self, learner, rng):
        """a token that the base model excludes (−inf) adds nothing, whether the steered model excludes it or not"""
        never_second = torch.tensor([[0.0, -torch.inf]])
        received = learner.kl_divergence(never_second, torch.zeros(1, 2))
        assert_close(received, torch.tensor([math.log(2)]), what="(0, −inf) against (0, 0)")
        received = learner.kl_divergence(never_second, never_second.clone())
        assert_close(received, torch.zeros(1), what="(0, −inf) against (0, −inf)")
        base, steered = random_logits(rng, 3, 6)
        expected = learner.kl_divergence(base[:, :4], steered[:, :4]).double()
        for logits in (base, steered):
            logits[:, 4:] = -torch.inf
        received = learner.kl_divergence(base, steered)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="two of six tokens excluded by both")

    def test_masked_in_steered(self, learner, rng):
        """a token that only the steered model excludes makes its text's divergence infinite, and no other's"""
        base, steered = random_logits(rng, 4, 5)
        expected = learner.kl_divergence(base, steered).double()
        base[1], steered[1] = torch.zeros(5), torch.zeros(5)
        steered[1, 3] = -torch.inf
        expected[1] = torch.inf
        received = learner.kl_divergence(base, steered)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="with −inf in text 1")

    def test_nan_stays(self, learner, rng):
        """a NaN logit makes its text's divergence NaN, never 0, and leaves the other texts alone"""
        for name, model in (("steered", 1), ("base", 0)):
            for spoiled in (torch.full((5,), torch.nan), torch.tensor([0.0, torch.nan, 0.0, 0.0, 0.0])):
                logits = random_logits(rng, 3, 5)
                expected = learner.kl_divergence(*logits).double()
                logits[model][1] = spoiled
                received = learner.kl_divergence(*logits)
                others = torch.tensor([0, 2])
                assert_close(received[others], expected[others], rtol=1e-3, atol=1e-4, what="other texts")
                assert bool(received[1].isnan()), (
                    f"NaN in the {name} model's logits: expected NaN, received {float(received[1]):.6g}"
                )

    def test_arguments_unchanged(self, learner, rng):
        """leaves the logits as they were"""
        base, steered = random_logits(rng, 4, 6)
        base[0, 0] = steered[0, 0] = steered[1, 2] = -torch.inf
        before = base.clone(), steered.clone()
        learner.kl_divergence(base, steered)
        assert_close((base, steered), before, what="logits after the call")

    def test_different_shapes(self, learner, rng):
        """raises ValueError for another number of texts or of tokens, also where one would be broadcast"""
        for one, other in (((3, 5), (4, 5)), ((3, 5), (3, 4)), ((1, 5), (3, 5)), ((3, 1), (3, 5))):
            for shapes in ((one, other), (other, one)):
                with pytest.raises(ValueError):
                    learner.kl_divergence(*(torch.randn(*shape, generator=rng) for shape in shapes))
