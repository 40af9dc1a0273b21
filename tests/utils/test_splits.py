import numpy as np
import pytest
import torch

from utils.splits import check_no_leakage, group_split, random_split, stratified_group_split

FRACTIONS = [(0.8, 0.2), (0.6, 0.2, 0.2), (0.5, 0.5), (0.7, 0.1, 0.1, 0.1)]


def ragged_groups(seed: int, n_groups: int = 40, largest: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat(np.arange(n_groups), rng.integers(1, largest + 1, n_groups)))


def assert_partition(split, n_rows: int) -> None:
    assert sorted(np.concatenate(split).tolist()) == list(range(n_rows))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fractions", FRACTIONS)
def test_groups_stay_whole_and_parts_are_within_one_group_of_their_fraction(fractions, seed):
    groups = ragged_groups(seed)
    split = group_split(groups, fractions, seed)
    assert_partition(split, len(groups))
    check_no_leakage(groups, split)
    largest = np.bincount(groups).max()
    for rows, fraction in zip(split, fractions, strict=True):
        assert abs(len(rows) - fraction * len(groups)) <= largest


def test_split_is_deterministic_in_the_seed_and_differs_between_seeds():
    groups = ragged_groups(0)
    first, again, other = (group_split(groups, (0.5, 0.5), seed) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert first[0].tolist() != other[0].tolist()


def test_split_leaves_the_global_random_state_alone():
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = torch.get_rng_state()
    group_split(ragged_groups(0), (0.5, 0.5), 7)
    stratified_group_split(ragged_groups(0), ragged_groups(0) % 2, (0.5, 0.5), 7)
    assert np.random.rand() == pytest.approx(0.5488135)  # noqa: NPY002 (the first draw of seed 0)
    assert (torch.get_rng_state() == before).all()


def test_by_hand_two_pairs():
    split = group_split(["a", "b", "a", "b"], (0.5, 0.5), seed=0)
    assert sorted(rows.tolist() for rows in split) == [[0, 2], [1, 3]]


def test_every_group_can_land_in_every_part():
    groups = np.repeat(np.arange(5), 4)
    landed = {tuple(np.unique(groups[group_split(groups, (0.8, 0.2), seed)[1]])) for seed in range(60)}
    assert landed == {(group,) for group in range(5)}


@pytest.mark.parametrize("seed", range(10))
def test_stratified_balances_every_label_within_one_group(seed):
    groups = ragged_groups(seed, n_groups=60)
    labels = np.random.default_rng(seed).random(60)[groups] < 0.2  # one label a group, a fifth True
    for fractions in FRACTIONS:
        split = stratified_group_split(groups, labels, fractions, seed)
        assert_partition(split, len(groups))
        check_no_leakage(groups, split)
        for label in (False, True):
            largest = np.bincount(groups[labels == label]).max()
            for rows, fraction in zip(split, fractions, strict=True):
                assert abs((labels[rows] == label).sum() - fraction * (labels == label).sum()) <= largest


def test_stratified_is_better_balanced_than_plain():
    groups = ragged_groups(1, n_groups=30)
    labels = np.random.default_rng(1).random(30)[groups] < 0.3

    def imbalance(split):
        return max(abs(labels[rows].mean() - labels.mean()) for rows in split)

    plain = np.mean([imbalance(group_split(groups, (0.6, 0.2, 0.2), seed)) for seed in range(20)])
    stratified = np.mean(
        [imbalance(stratified_group_split(groups, labels, (0.6, 0.2, 0.2), s)) for s in range(20)]
    )
    assert stratified < plain / 2


def test_stratified_takes_string_labels_and_tensor_groups():
    split = stratified_group_split(torch.arange(8), ["x", "y"] * 4, (0.5, 0.5), seed=0)
    assert all(len(rows) == 4 and (rows % 2 == 0).sum() == 2 for rows in split)


def test_random_split_ignores_groups():
    groups = np.repeat(np.arange(10), 10)
    split = random_split(100, (0.7, 0.3), seed=0)
    assert_partition(split, 100)
    assert [len(rows) for rows in split] == [70, 30]
    with pytest.raises(ValueError, match=r"groups occur in several parts"):
        check_no_leakage(groups, split)


def test_leak_names_the_shared_group():
    with pytest.raises(ValueError, match="Paris"):
        check_no_leakage(["Paris", "Rome", "Paris"], ([0, 1], [2]))
    with pytest.raises(ValueError, match="boolean mask"):
        check_no_leakage(["Paris", "Rome"], (np.array([True, False]), np.array([False, True])))
    check_no_leakage(["Paris", "Rome", "Paris"], (torch.tensor([0, 2]), [1]))


@pytest.mark.parametrize(
    "split", [group_split, lambda g, f, s: stratified_group_split(g, [0] * len(g), f, s)]
)
@pytest.mark.parametrize(
    ("groups", "fractions", "message"),
    [
        (range(10), (0.5, 0.4), "sum to 0.9"),
        (range(10), (1.2, -0.2), "positive"),
        (range(10), (), "positive"),
        (["a", "a", "b"], (0.4, 0.3, 0.3), "no rows"),
        ([], (0.5, 0.5), "at least one row"),
        ([1.0, float("nan")], (0.5, 0.5), "NaN"),
    ],
)
def test_bad_input_is_refused(split, groups, fractions, message):
    with pytest.raises(ValueError, match=message):
        split(groups, fractions, 0)


def test_stratified_refuses_labels_of_another_length():
    with pytest.raises(ValueError, match="same length"):
        stratified_group_split([1, 2, 3], [0, 1], (0.5, 0.5), 0)
