"""Checks of chapter 1, part 3: doubt your probe."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = (
    "utils.splits.group_split",
    "utils.splits.random_split",
    "utils.splits.stratified_group_split",
    "utils.metrics.auroc",
    "utils.metrics.bootstrap_interval",
    "utils.controls.control_labels",
    "utils.controls.selectivity",
    "utils.controls.online_code_length",
)


@exercise("group_split", points=2)
class TestGroupSplit:
    def test_by_hand(self, learner):
        """two groups of two rows and halves: each part is one whole group"""
        split = learner.group_split(["x", "y", "x", "y"], {"train": 0.5, "test": 0.5}, 0)
        assert isinstance(split, dict), "expected a dict from each part's name to its row indices"
        assert set(split) == {"train", "test"}, f"expected the parts train and test, received {list(split)}"
        parts = sorted(sorted(torch.as_tensor(rows).tolist()) for rows in split.values())
        assert_close(parts, [[0, 2], [1, 3]], what="the two parts' rows")

    def test_every_row_once(self, learner, rng):
        """every row index is in exactly one part, as a LongTensor"""
        for seed in range(5):
            groups = uneven_groups(rng)
            split = learner.group_split(groups, three_parts(), seed)
            assert all(isinstance(rows, torch.Tensor) for rows in split.values()), (
                "expected a LongTensor of row indices for each part"
            )
            assert set(split) == set(three_parts()), (
                f"expected the parts {list(three_parts())}, received {list(split)}"
            )
            rows, _ = torch.cat([split[part] for part in three_parts()]).sort()
            assert_close(rows, torch.arange(len(groups)), what="all rows, sorted")

    def test_groups_stay_whole(self, learner, rng):
        """no group has rows in two parts"""
        for seed in range(5):
            groups = uneven_groups(rng)
            parts = members(learner.group_split(groups, three_parts(), seed), groups)
            shared = [(a, b) for a in parts for b in parts if a < b and parts[a] & parts[b]]
            assert not shared, f"expected no common group, but {shared[0][0]} and {shared[0][1]} share some"

    def test_sizes(self, learner, rng):
        """each part's rows are within one largest group of its fraction, however uneven the groups"""
        sizes = [10] * 40 + [1] * 40
        for seed in range(20):
            groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
            fractions = {"train": 0.5, "test": 0.5}
            check_sizes(learner.group_split(groups, dict(fractions), seed), groups, fractions)
            groups = uneven_groups(rng)
            check_sizes(learner.group_split(groups, three_parts(), seed), groups, three_parts())

    def test_errors_do_not_add_up(self, learner):
        """also with many parts: the last one does not pay for the others"""
        groups = [f"g{row // 3}" for row in range(30)]
        fractions = {"a": 4 / 30, "b": 4 / 30, "c": 4 / 30, "rest": 18 / 30}
        for seed in range(3):
            check_sizes(learner.group_split(groups, dict(fractions), seed), groups, fractions)

    def test_own_groups(self, learner):
        """where every row is its own group this is a random split of the right sizes"""
        groups = [f"row {row}" for row in range(50)]
        fractions = {"train": 0.7, "validation": 0.2, "test": 0.1}
        check_sizes(learner.group_split(groups, dict(fractions), 3), groups, fractions)

    def test_empty_part(self, learner):
        """a part for which no group is left is there all the same, as an empty LongTensor that can index rows"""
        split = learner.group_split(["fr", "fr", "fr"], {"train": 0.9, "test": 0.1}, 0)
        assert set(split) == {"train", "test"}, f"expected the parts train and test, received {list(split)}"
        for part, rows in split.items():
            assert isinstance(rows, torch.Tensor), f"expected a LongTensor, received a {type(rows).__name__}"
            assert rows.dtype == torch.int64, f"expected a LongTensor for {part!r}, received {rows.dtype}"
        assert sorted(map(len, split.values())) == [0, 3], "expected all three rows in one of the two parts"

    def test_seed(self, learner, rng):
        """the same seed gives the same split, another seed another one"""
        groups = [f"row {row}" for row in range(60)]
        first, again, other = (learner.group_split(groups, three_parts(), seed) for seed in (5, 5, 6))
        assert members(first, groups) == members(again, groups), "expected one seed to give one split"
        assert members(first, groups) != members(other, groups), "expected another seed to split otherwise"

    def test_seed_with_uneven_groups(self, learner):
        """the order in which groups are dealt out comes from the seed, also where they all differ in size"""
        groups = [f"g{size}" for size in range(1, 13) for _ in range(size)]
        first = members(learner.group_split(groups, three_parts(), 0), groups)
        others = [members(learner.group_split(groups, three_parts(), seed), groups) for seed in (1, 2, 3)]
        assert all(other != first for other in others), (
            "expected seeds 0 to 3 to split these groups otherwise"
        )

    def test_arguments_unchanged(self, learner, rng):
        """leaves the list of groups and the fractions as they were"""
        groups, fractions = uneven_groups(rng), three_parts()
        before = list(groups)
        learner.group_split(groups, fractions, 0)
        assert_close((groups, fractions), (before, three_parts()), what="arguments after the call")

    def test_bad_fractions(self, learner):
        """raises ValueError for fractions that do not sum to 1 (0.7 + 0.2 + 0.1, give or take rounding, does)"""
        groups = [f"row {row}" for row in range(20)]
        thirds = {"train": 0.33, "validation": 0.33, "test": 0.33}
        for fractions in ({"train": 0.8, "test": 0.1}, {"train": 0.8, "test": 0.4}, thirds):
            with pytest.raises(ValueError):
                learner.group_split(groups, fractions, 0)


def three_parts():
    """Made anew at every call: a learner may change what it is given."""
    return {"train": 0.6, "validation": 0.2, "test": 0.2}


def uneven_groups(rng, n=80):
    """Names of countries with many cities and with few, in no order."""
    return [f"country {int(12 * u**2)}" for u in torch.rand(n, generator=rng).tolist()]


def members(split, groups):
    assert isinstance(split, dict), f"expected a dict of parts, received a {type(split).__name__}"
    return {part: {groups[row] for row in torch.as_tensor(rows).tolist()} for part, rows in split.items()}


def check_sizes(split, groups, fractions):
    assert isinstance(split, dict), f"expected a dict of parts, received a {type(split).__name__}"
    assert set(split) == set(fractions), f"expected the parts {list(fractions)}, received {list(split)}"
    largest = max(Counter(groups).values())
    for part, fraction in fractions.items():
        wanted, got = fraction * len(groups), len(split[part])
        assert abs(got - wanted) <= largest + 1e-6, (
            f"expected {part!r} to have {wanted:g} of {len(groups)} rows, give or take {largest} "
            f"(the largest group), received {got}"
        )


@exercise("auroc")
class TestAuroc:
    def test_by_hand(self, learner):
        """the share of (True, False) pairs in which the True row scores higher"""
        scores = torch.tensor([0.1, 0.4, 0.35, 0.8])
        # Of the four pairs only (0.35, 0.4) is the wrong way round.
        assert_close(learner.auroc(scores, torch.tensor([False, False, True, True])), 0.75)

    def test_ties_count_half(self, learner):
        """a tied pair counts half; a constant score gives exactly one half"""
        labels = torch.tensor([True, False, True, False, False])
        assert_close(learner.auroc(torch.zeros(5), labels), 0.5, what="all scores equal")
        scores = torch.tensor([2.0, 2.0, 1.0, 1.0, 0.0])
        # Pairs: the True row with 2 ties one and beats two, that with 1 loses one, ties one, beats one.
        assert_close(learner.auroc(scores, labels), (2.5 + 1.5) / 6)

    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn, with many ties, unequal classes and values far below 0.5"""
        for shift in (1.0, 0.0, -2.0):
            labels = torch.rand(60, generator=rng) < 0.15
            labels[:2] = torch.tensor([True, False])
            scores = (2 * (torch.randn(60, generator=rng) + shift * labels)).round()
            expected = float(roc_auc_score(labels.numpy(), scores.numpy()))
            assert_close(learner.auroc(scores, labels), expected)

    def test_only_order_matters(self, learner, rng):
        """a rising function of the scores changes nothing, even one that sends them far above zero"""
        labels = torch.rand(40, generator=rng) < 0.5
        labels[:2] = torch.tensor([True, False])
        scores = torch.randint(0, 30, (40,), generator=rng).float()
        moved = learner.auroc(scores.square() * 3 + 1000, labels)
        assert_close(moved, float(learner.auroc(scores, labels)))

    def test_any_scale(self, learner, rng):
        """every difference between two scores counts, however small beside the scores themselves"""
        labels, order = torch.arange(50) % 3 == 0, torch.randperm(50, generator=rng)
        expected = float(roc_auc_score(labels.numpy(), order.numpy()))
        for name, scores in {
            "tiny": order * 1e-6,
            "float64, with a large offset": order.double() + 1e9,
            "float64, exponential": order.double().exp(),
        }.items():
            assert_close(learner.auroc(scores, labels), expected, what=f"scores: {name}")

    def test_swapped_labels(self, learner, rng):
        """with the labels exchanged it is one minus what it was"""
        labels = torch.rand(40, generator=rng) < 0.3
        labels[:2] = torch.tensor([True, False])
        scores = torch.randn(40, generator=rng) + labels
        assert_close(learner.auroc(scores, ~labels), 1 - float(learner.auroc(scores, labels)))

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        scores, labels = torch.randn(12, generator=rng), torch.arange(12) % 3 == 0
        before = scores.clone(), labels.clone()
        learner.auroc(scores, labels)
        assert_close((scores, labels), before, what="arguments after the call")

    def test_one_class(self, learner):
        """raises ValueError where only one class occurs: there is no pair to compare"""
        for label in (True, False):
            with pytest.raises(ValueError):
                learner.auroc(torch.arange(4.0), torch.full((4,), label))


class Spy:
    """A statistic that remembers the resamples it was given, until `close`."""

    def __init__(self, statistic):
        self.statistic = statistic
        self.scores, self.labels, self.open = [], [], True

    def __call__(self, scores, labels):
        if self.open:
            self.scores.append(scores)
            self.labels.append(labels)
        return self.statistic(scores, labels)

    def close(self):
        self.open = False


def spied_data():
    """Scores in no order, from which a row's label can be read off, so that rows torn apart are seen."""
    scores = torch.arange(24) * 7 % 24 + 0.5
    return scores, scores < 8


def mean_score(scores, labels):
    return scores.double().mean().item()


def spied_interval(learner, scores, labels, n_resamples, rng, level=0.9):
    spy = Spy(mean_score)
    interval = learner.bootstrap_interval(spy, scores, labels, n_resamples, level, rng)
    spy.close()
    return spy, interval


@exercise("bootstrap_interval", points=2)
class TestBootstrapInterval:
    def test_percentiles(self, learner, rng):
        """the middle `level` of the resampled values: of 0, 1, …, 40 the middle 90 % lies between 2 and 38"""
        for level, expected in ((0.9, (2.0, 38.0)), (0.5, (10.0, 30.0))):
            # Round and round, so that any 41 calls in a row see every value once.
            values = itertools.cycle(range(41))

            def statistic(scores, labels, values=values):
                return float(next(values))

            received = learner.bootstrap_interval(statistic, *spied_data(), 41, level, rng)
            # Wide enough for every convention of what lies between two values.
            assert_close(received, expected, rtol=0, atol=1.1, what=f"level={level}")

    def test_rows_stay_together(self, learner, rng):
        """a row is drawn with its own label, and a resample has as many rows as the data"""
        spy, _ = spied_interval(learner, *spied_data(), 12, rng)
        for scores, labels in zip(spy.scores, spy.labels, strict=True):
            assert len(scores) == 24, f"expected resamples of 24 rows, received one of {len(scores)}"
            assert_close(labels, scores < 8, what="the drawn rows' labels")

    def test_with_replacement(self, learner, rng):
        """rows are drawn with replacement, from all rows at once: the number of True ones varies too"""
        spy, _ = spied_interval(learner, *spied_data(), 15, rng)
        assert spy.scores, "expected the statistic to be called on every resample, it was not called"
        distinct = [len(set(scores.tolist())) for scores in spy.scores]
        assert max(distinct) < 24, "expected some row twice in every resample of 24 rows"
        trues = {int(labels.sum()) for labels in spy.labels}
        assert len(trues) > 1, (
            f"expected resamples that differ in their number of True rows, all have {trues}"
        )

    def test_every_row_equally_often(self, learner, rng):
        """every row has the same chance to be drawn, the first and the last like the others"""
        spy, _ = spied_interval(learner, *spied_data(), 150, rng)
        times = torch.bincount(torch.cat([torch.zeros(0), *spy.scores]).long(), minlength=24)
        rarest, commonest = int(times.min()), int(times.max())
        assert 90 <= rarest <= commonest <= 210, (
            f"expected every row about 150 times in 150 resamples, received {rarest} to {commonest} times"
        )

    def test_number_of_resamples(self, learner, rng):
        """there are n_resamples resamples, as many as were asked for"""
        for n_resamples in (10, 30):
            spy, _ = spied_interval(learner, *spied_data(), n_resamples, rng)
            # One call more is allowed: the statistic of the data themselves.
            assert n_resamples <= len(spy.scores) <= n_resamples + 1, (
                f"expected {n_resamples} resamples, the statistic was called {len(spy.scores)} times"
            )

    def test_one_class_drawn_again(self, learner, rng):
        """a resample with a single class is drawn again, until there are n_resamples good ones"""
        labels = torch.tensor([True, False, False, False, False])
        spy, _ = spied_interval(learner, torch.arange(5.0), labels, 20, rng)
        assert not any(drawn.all() or not drawn.any() for drawn in spy.labels), (
            "expected no resample of a single class to reach the statistic"
        )
        assert len(spy.labels) >= 20, f"expected 20 resamples with both classes, received {len(spy.labels)}"

    def test_generator(self, learner):
        """all randomness comes from `generator`: the same state, the same interval; and the state moves on"""
        generator = torch.Generator().manual_seed(1)
        # With a single True row some resamples have to be drawn again.
        arguments = (torch.arange(24.0), torch.arange(24) == 5, 30, 0.9)
        first = learner.bootstrap_interval(mean_score, *arguments, generator)
        second = learner.bootstrap_interval(mean_score, *arguments, generator)
        again = learner.bootstrap_interval(mean_score, *arguments, torch.Generator().manual_seed(1))
        assert_close(again, tuple(float(edge) for edge in first), what="the same generator state again")
        assert tuple(map(float, second)) != tuple(map(float, first)), "expected the generator to move on"

    def test_arguments_unchanged(self, learner, rng):
        """leaves scores and labels as they were"""
        scores, labels = spied_data()
        learner.bootstrap_interval(mean_score, scores, labels, 10, 0.9, rng)
        assert_close((scores, labels), spied_data(), what="arguments after the call")

    def test_agrees_with_theory(self, learner, rng):
        """the interval of a mean is as wide as the central limit theorem says"""
        scores = torch.randn(100, generator=rng)
        _, (low, high) = spied_interval(learner, scores, torch.arange(100) % 2 == 0, 120, rng)
        width = 2 * 1.645 * scores.double().std(correction=0).item() / math.sqrt(100)
        assert_close(float(high) - float(low), width, rtol=0.4, what="width of the 90 % interval")
        assert_close((float(high) + float(low)) / 2, scores.double().mean().item(), rtol=0, atol=width / 3)

    def test_one_class(self, learner, rng):
        """raises ValueError where the labels hold one class: no resample could ever have two"""
        for label in (True, False):
            with pytest.raises(ValueError):
                learner.bootstrap_interval(
                    mean_score, torch.arange(6.0), torch.full((6,), label), 10, 0.9, rng
                )


WORDS = ["lyon", "osaka", "lima", "oslo", "accra", "perth", "quito", "cairo"]


@exercise("control_labels")
class TestControlLabels:
    def test_same_for_every_occurrence(self, learner, rng):
        """every occurrence of a type has the same label, an integer from 0 to n_classes − 1"""
        types = [WORDS[int(i)] for i in torch.randint(len(WORDS), (60,), generator=rng)]
        labels = learner.control_labels(types, 4, 0)
        assert_close(labels, labels_by_type(types, labels), what="labels")
        assert 0 <= int(labels.min()) <= int(labels.max()) < 4, (
            f"expected labels 0 to 3, received {int(labels.min())} to {int(labels.max())}"
        )

    def test_order_and_repeats(self, learner, rng):
        """neither the order of the rows nor how often a type occurs changes its label"""
        once = WORDS * 4
        label_of = dict(zip(once, learner.control_labels(once, 50, 7).tolist(), strict=True))
        for _ in range(3):
            types = once + [WORDS[int(i)] for i in torch.randint(len(WORDS), (9,), generator=rng)]
            types = [types[int(i)] for i in torch.randperm(len(types), generator=rng)]
            expected = torch.tensor([label_of[name] for name in types])
            assert_close(learner.control_labels(types, 50, 7), expected, what="labels of shuffled rows")
        # Among so many names Python's own order of a set depends on which came first.
        many = [f"city {number}" for number in range(300)]
        forwards = learner.control_labels(many, 50, 7)
        backwards = learner.control_labels(many[::-1], 50, 7)
        assert_close(backwards.flip(0), forwards, what="labels of 300 types, rows in reverse")

    def test_uniform(self, learner):
        """over many types every class is about equally frequent"""
        for seed in (0, 1):
            labels = learner.control_labels([f"city {number}" for number in range(3000)], 3, seed)
            counts = torch.bincount(torch.as_tensor(labels).long(), minlength=3)
            assert_close(counts.double(), torch.full((len(counts),), 1000.0), rtol=0, atol=130, what="counts")

    def test_random(self, learner):
        """the labels follow neither the alphabet nor the order of rows"""
        types = [f"{number:04d}" for number in range(2000)]
        labels = learner.control_labels(types, 2, 3)
        changes = (labels[1:] != labels[:-1]).double().mean()
        assert_close(changes, torch.tensor(0.5), rtol=0, atol=0.06, what="share of neighbours that differ")

    def test_seed(self, learner):
        """the same seed gives the same labels, another seed others"""
        types = [f"city {number}" for number in range(100)]
        first, again, *others = (learner.control_labels(types, 2, seed) for seed in (5, 5, 6, 7))
        assert_close(again, first, what="the same seed again")
        for seed, other in zip((6, 7), others, strict=True):
            assert 0.25 < (first != other).double().mean() < 0.75, (
                f"expected seeds 5 and {seed} to disagree on about half of the types"
            )

    def test_arguments_unchanged(self, learner):
        """leaves the list of types in its order"""
        types = list(WORDS)
        learner.control_labels(types, 3, 0)
        assert_close(types, list(WORDS), what="types after the call")

    def test_one_class(self, learner):
        """raises ValueError for fewer than two classes"""
        for n_classes in (1, 0):
            with pytest.raises(ValueError):
                learner.control_labels(list(WORDS), n_classes, 0)


def labels_by_type(types, labels):
    """The label, an integer, that the first occurrence of each row's type has."""
    assert isinstance(labels, torch.Tensor), (
        f"expected a tensor of labels, received a {type(labels).__name__}"
    )
    assert labels.shape == (len(types),), f"expected shape {(len(types),)}, received {tuple(labels.shape)}"
    first: dict[str, int] = {}
    for name, label in zip(types, labels.tolist(), strict=True):
        first.setdefault(name, int(label))
    return torch.tensor([first[name] for name in types])


def fit_nearest(acts, labels):
    """A probe that knows its training rows by heart: the log-odds are ± 0.3, after the nearest one."""

    def probe(fresh):
        nearest = torch.cdist(fresh.double(), acts.double()).argmin(dim=1)
        return torch.where(labels[nearest], 0.3, -0.3)

    return probe


def fit_means(acts, labels):
    """A mass-mean probe."""
    low, high = acts[~labels].mean(0), acts[labels].mean(0)
    return lambda fresh: (fresh - (low + high) / 2) @ (high - low)


class FitSpy:
    """A way of fitting that remembers what it was given."""

    def __init__(self, fit):
        self.fit, self.acts, self.labels, self.probed = fit, [], [], []

    def __call__(self, acts, labels):
        self.acts.append(acts)
        self.labels.append(labels)
        probe = self.fit(acts, labels)

        def spied(fresh):
            self.probed.append(fresh)
            return probe(fresh)

        return spied


def task_data(rng, n=40, d_model=5):
    labels = torch.rand(n, generator=rng) < 0.5
    control = torch.rand(n, generator=rng) < 0.5
    # Both halves of a split by even and odd rows then hold both classes.
    labels[:4] = control[:4] = torch.tensor([True, True, False, False])
    acts = torch.randn(n, d_model, generator=rng)
    acts[:, 0] += 1.5 * labels
    return acts, labels, control


@exercise("selectivity")
class TestSelectivity:
    def test_by_hand(self, learner):
        """task accuracy minus control accuracy, both on the test rows"""
        acts = torch.tensor([[0.0], [1.0], [2.0], [3.0], [0.1], [1.1], [2.1], [3.1]])
        labels = torch.tensor([True, True, False, False, True, True, False, True])
        control = torch.tensor([True, False, True, False, False, False, True, True])
        # The nearest training row is right about the task in three of four rows, about the control in two.
        received = learner.selectivity(
            fit_nearest, acts, labels, control, torch.arange(4), torch.arange(4, 8)
        )
        assert_close(received, 0.25)

    def test_can_be_negative(self, learner):
        """a probe that does better on the control task has a negative selectivity"""
        acts = torch.tensor([[0.0], [1.0], [0.1], [1.1]])
        labels = torch.tensor([True, False, False, True])
        control = torch.tensor([True, False, True, False])
        received = learner.selectivity(
            fit_nearest, acts, labels, control, torch.tensor([0, 1]), torch.tensor([2, 3])
        )
        assert_close(received, -1.0)

    def test_what_is_fitted(self, learner, rng):
        """two probes are fitted, one to the task's and one to the control's labels, on the training rows only"""
        acts, labels, control = task_data(rng)
        train, test = torch.arange(1, 40, 2), torch.arange(0, 40, 2)
        fit = FitSpy(fit_means)
        learner.selectivity(fit, acts.clone(), labels.clone(), control.clone(), train, test)
        assert len(fit.acts) == 2, f"expected two fits, one a task; saw {len(fit.acts)}"
        for given in fit.acts:
            assert_close(given, acts[train], what="activations given to fit")
        task_first = torch.equal(fit.labels[0], labels[train])
        expected = [labels[train], control[train]] if task_first else [control[train], labels[train]]
        assert_close(fit.labels, expected, what="labels given to fit")

    def test_what_is_tested(self, learner, rng):
        """each probe is asked about the test rows, on which its own task's labels are the truth"""
        acts, labels, control = task_data(rng)
        train, test = torch.arange(0, 40, 2), torch.arange(39, 0, -2)
        expected = []
        for targets in (labels, control):
            predicted = fit_means(acts[train], targets[train])(acts[test]) > 0
            expected.append((predicted == targets[test]).double().mean().item())
        received = learner.selectivity(FitSpy(fit_means), acts, labels, control, train, test)
        assert_close(received, expected[0] - expected[1])

    def test_zero_is_the_boundary(self, learner):
        """a probe returns log-odds: True is predicted where they are positive, however small, and not at 0"""
        acts, labels = torch.zeros(6, 2), torch.tensor([True, False, True, False, True, True])
        # In the test rows True is right in three of four, and in one of four of the control.
        for log_odds, expected in ((0.01, 0.5), (0.0, -0.5)):
            received = learner.selectivity(
                fit_constant(log_odds), acts, labels, ~labels, torch.arange(2), torch.arange(2, 6)
            )
            assert_close(received, expected, what=f"all log-odds {log_odds:g}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = (*task_data(rng), torch.arange(0, 40, 2), torch.arange(1, 40, 2))
        before = tuple(argument.clone() for argument in arguments)
        learner.selectivity(fit_means, *arguments)
        assert_close(arguments, before, what="arguments after the call")


def fit_constant(log_odds):
    return lambda acts, labels: lambda fresh: torch.full((len(fresh),), log_odds)


@exercise("online_code_length", points=2)
class TestOnlineCodeLength:
    def test_by_hand(self, learner):
        """four labels at one bit each, then four that the probe calls 75 % likely at log2(4/3) bits each"""
        labels, acts = torch.ones(8, dtype=torch.bool), torch.zeros(8, 2)
        received = learner.online_code_length(fit_constant(math.log(3)), acts, labels, [0.5, 1.0])
        assert_close(received, 4 + 4 * math.log2(4 / 3))

    def test_knows_nothing(self, learner, rng):
        """a probe that calls everything even odds needs one bit a label, however the blocks are cut"""
        labels, acts = torch.rand(40, generator=rng) < 0.5, torch.randn(40, 3, generator=rng)
        for fractions in ([1.0], [0.25, 1.0], [0.1, 0.2, 0.4, 0.8, 1.0]):
            received = learner.online_code_length(fit_constant(0.0), acts, labels, fractions)
            assert_close(received, 40.0, what=f"fractions={fractions}")

    def test_blocks(self, learner, rng):
        """block k is coded by a probe fitted on all rows before it, in the order given"""
        acts, labels, _ = task_data(rng)
        fit = FitSpy(fit_means)
        learner.online_code_length(fit, acts.clone(), labels.clone(), [0.1, 0.25, 0.5, 1.0])
        assert [len(given) for given in fit.acts] == [4, 10, 20], (
            f"expected fits on the first 4, 10 and 20 of 40 rows, saw {[len(given) for given in fit.acts]}"
        )
        for given, targets in zip(fit.acts, fit.labels, strict=True):
            assert_close(given, acts[: len(given)], what="activations given to fit")
            assert_close(targets, labels[: len(given)], what="labels given to fit")
        assert_close(torch.cat(fit.probed), acts[4:], what="activations that the probes were asked about")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with adding −log2 of each label's probability, one label at a time"""
        acts, labels, _ = task_data(rng)
        ends, expected = [8, 20, 40], 8.0
        for start, end in ((8, 20), (20, 40)):
            log_odds = fit_means(acts[:start].double(), labels[:start])(acts[start:end].double()).numpy()
            for value, label in zip(log_odds, labels[start:end].tolist(), strict=True):
                probability = 1 / (1 + np.exp(-value))
                expected -= np.log2(probability if label else 1 - probability)
        received = learner.online_code_length(fit_means, acts, labels, [end / 40 for end in ends])
        assert_close(received, float(expected), rtol=1e-3)

    def test_sure_and_wrong(self, learner):
        """a probe that is very sure and wrong costs many bits, not infinitely many"""
        labels = torch.tensor([True, False, True, False, True, False])
        for sure in (60.0, -60.0, 1000.0):
            received = learner.online_code_length(fit_constant(sure), torch.zeros(6, 1), labels, [1 / 3, 1.0])
            # Log-odds of 60 against the truth are a probability of exp(−60): 60 / ln 2 bits, for two of four.
            expected = 2 + 2 * abs(sure) / math.log(2)
            assert_close(received, expected, rtol=1e-3, what=f"log-odds {sure:g}")

    def test_block_ends_are_rounded(self, learner):
        """a block ends at round(fraction · rows): 0.29 · 100 is 28.999… in floating point, and means 29"""
        fit = FitSpy(fit_constant(1.0))
        labels = torch.arange(100) % 3 == 0
        learner.online_code_length(fit, torch.zeros(100, 1), labels, [0.29, 0.58, 1.0])
        assert [len(given) for given in fit.acts] == [29, 58], (
            f"expected fits on 29 and 58 rows, saw {[len(given) for given in fit.acts]}"
        )

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, labels, _ = task_data(rng)
        arguments = (acts, labels, [0.25, 0.5, 1.0])
        before = (acts.clone(), labels.clone(), [0.25, 0.5, 1.0])
        learner.online_code_length(fit_means, *arguments)
        assert_close(arguments, before, what="arguments after the call")

    def test_bad_fractions(self, learner):
        """raises ValueError for fractions that do not rise to 1.0, and for an empty block"""
        labels = torch.arange(20) % 2 == 0
        for fractions in ([0.5, 0.9], [0.5, 1.5], [0.5, 0.25, 1.0], [0.5, 0.501, 1.0], [0.01, 1.0]):
            with pytest.raises(ValueError):
                learner.online_code_length(fit_constant(0.0), torch.zeros(20, 1), labels, fractions)
