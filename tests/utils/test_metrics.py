import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score as sklearn_r2
from sklearn.metrics import roc_auc_score, roc_curve

from utils.metrics import (
    accuracy,
    auroc,
    bootstrap_interval,
    control_labels,
    mean_interval,
    online_code_length,
    r2_score,
    recall_at_fpr,
    selectivity,
    shuffled_floor,
    threshold_at_fpr,
)
from utils.probes import LogisticProbe, MassMeanProbe


def scored(seed: int, n: int = 200, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores (rounded to `levels` values, so that ties occur) that carry some information about the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = rng.standard_normal(n) + labels
    return (np.round(scores * levels) / levels if levels else scores), labels


def test_auroc_by_hand():
    assert auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert auroc([1.0, 1.0], [0, 1]) == 0.5
    assert auroc(torch.tensor([2.0, 1.0]), torch.tensor([True, False])) == 1.0


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_auroc_agrees_with_pair_counting_and_scikit_learn(levels):
    for seed in range(5):
        scores, labels = scored(seed, levels=levels)
        wins = np.sign(scores[labels][:, None] - scores[~labels]).mean() / 2 + 0.5
        assert auroc(scores, labels) == pytest.approx(wins, abs=1e-12)
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_properties():
    scores, labels = scored(0, levels=4)
    assert auroc(np.exp(scores), labels) == pytest.approx(auroc(scores, labels))
    assert auroc(-scores, labels) == pytest.approx(1 - auroc(scores, labels))
    assert auroc(scores, ~labels) == pytest.approx(1 - auroc(scores, labels))


def test_recall_by_hand():
    scores = [9.0, 7.0, 5.0, 8.0, 6.0, 4.0, 2.0]
    labels = [1, 1, 1, 0, 0, 0, 0]
    assert recall_at_fpr(scores, labels, 0.0) == pytest.approx(1 / 3)  # only 9 exceeds 8
    assert recall_at_fpr(scores, labels, 0.25) == pytest.approx(2 / 3)  # threshold 6
    assert recall_at_fpr(scores, labels, 0.5) == 1.0  # threshold 4
    assert recall_at_fpr(scores, labels, 0.0, control_scores=[10.0, 0.0]) == 0.0
    assert recall_at_fpr(scores, labels, 0.5, control_scores=[6.0, 0.0]) == 1.0  # threshold 0


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.05, 0.1, 0.29, 0.5, 0.99])
def test_threshold_is_the_least_observed_one_that_is_good_enough(fpr):
    for levels in (None, 2):
        scores, labels = scored(1, n=250, levels=levels)
        benign = scores[~labels][:100]
        good = [t for t in benign if np.mean(benign > t) <= fpr]
        assert threshold_at_fpr(benign, fpr) == min(good)


def test_recall_agrees_with_the_roc_curve():
    scores, labels = scored(2, n=400)
    rates, recalls, _ = roc_curve(labels, scores, drop_intermediate=False)
    for fpr in (0.0, 0.01, 0.1, 0.3):
        assert recall_at_fpr(scores, labels, fpr) == pytest.approx(recalls[rates <= fpr].max())


def test_accuracy_and_r2():
    assert accuracy([True, False, True], torch.tensor([True, True, True])) == pytest.approx(2 / 3)
    assert accuracy(np.array(["a", "b"]), ["a", "b"]) == 1.0
    rng = np.random.default_rng(0)
    targets, noise = rng.standard_normal((50, 3)), rng.standard_normal((50, 3))
    expected = sklearn_r2(targets, targets + noise, multioutput="raw_values")
    np.testing.assert_allclose(r2_score(targets + noise, targets), expected, atol=1e-12)
    assert r2_score(targets[:, 0] + noise[:, 0], targets[:, 0]) == pytest.approx(np.asarray(expected)[0])
    np.testing.assert_allclose(r2_score(np.tile(targets.mean(0), (50, 1)), targets), 0, atol=1e-12)


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc([1.0, 2.0], [True, True]), "all True"),
        (lambda: auroc([1.0, 2.0], [0, 2]), "0/1"),
        (lambda: auroc([1.0, 2.0, 3.0], [0, 1]), "same length"),
        (lambda: auroc([1.0, NAN], [0, 1]), "NaN"),
        (lambda: auroc([[1.0], [2.0]], [0, 1]), "dimensions"),
        (lambda: recall_at_fpr([1.0, 2.0], [0, 1], 1.0), "fpr=1.0"),
        (lambda: recall_at_fpr([1.0, 2.0], [0, 1], -0.1), "fpr=-0.1"),
        (lambda: recall_at_fpr([1.0, 2.0], [1, 1], 0.1), "both classes"),
        (lambda: recall_at_fpr([1.0, 2.0], [0, 1], 0.1, [NAN]), "NaN"),
        (lambda: accuracy([0.3, 0.7], [False, True]), "scores, not labels"),
        (lambda: accuracy([1, 0], [1, 0, 1]), "same length"),
        (lambda: accuracy([], []), "with rows"),
        (lambda: r2_score([1.0, 2.0], [3.0, 3.0]), "constant"),
        (lambda: r2_score(np.ones((3, 2)), np.eye(3)), "same shape"),
        (lambda: bootstrap_interval(auroc, [1.0, 2.0], [0, 1, 1]), "same length"),
        (lambda: bootstrap_interval(auroc, [1.0, 2.0], [0, 1], level=95), "level=95"),
        (lambda: bootstrap_interval(auroc, [1.0, 2.0], [0, 1], n_resamples=1), "1 resamples"),
        (lambda: bootstrap_interval(auroc, [1.0, 2.0], [0, 1], groups=["a"]), "groups"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("statistic", [auroc, accuracy])
@pytest.mark.parametrize("grouped", [False, True])
def test_vectorised_bootstrap_equals_one_call_a_resample(statistic, grouped):
    scores, labels = scored(3, n=60, levels=2)
    values = scores if statistic is auroc else scores > 0.5
    groups = np.arange(60) // 4 if grouped else None
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    fast = bootstrap_interval(statistic, values, labels, 300, 0.9, generators[0], groups)
    slow = bootstrap_interval(lambda s, y: statistic(s, y), values, labels, 300, 0.9, generators[1], groups)
    assert fast.estimate == statistic(values, labels)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert fast.low < fast.estimate < fast.high


def test_bootstrap_matches_the_binomial_spread():
    correct = np.arange(400) % 4 > 0  # accuracy 0.75
    interval = bootstrap_interval(accuracy, correct, np.ones(400, bool), n_resamples=4000)
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (interval.low, interval.high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.006)
    assert str(interval).startswith("0.750 [0.7")


def test_bootstrap_redraws_one_class_resamples_and_keeps_rows_together():
    seen = []

    def statistic(scores, labels):
        seen.append((scores.copy(), labels.copy()))
        return float(scores.mean())

    labels = np.array([1, 0, 0])  # three in ten resamples lack the 1
    bootstrap_interval(statistic, np.array([10.0, 20.0, 30.0]), labels, n_resamples=200)
    assert all(0 < y.sum() < len(y) and ((s == 10) == (y == 1)).all() for s, y in seen)


def test_group_bootstrap_resamples_whole_groups_and_is_wider():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    correct = rng.random(20)[groups] < 0.5  # all rows of a group are right or wrong together
    seen = []

    def statistic(scores, labels):
        seen.append(np.bincount(scores, minlength=20))
        return float(len(scores))

    bootstrap_interval(statistic, groups, groups % 2, n_resamples=50, groups=groups)
    assert all((counts % 10 == 0).all() and counts.sum() == 200 for counts in seen)
    truth = np.ones(200, bool)
    rows, wholes = (bootstrap_interval(accuracy, correct, truth, groups=g) for g in (None, groups))
    assert wholes.high - wholes.low > 2 * (rows.high - rows.low)


def test_bootstrap_depends_only_on_its_generator():
    scores, labels = scored(4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = bootstrap_interval(auroc, scores, labels, 100)
    assert (torch.get_rng_state() == before).all()
    assert first == bootstrap_interval(auroc, torch.from_numpy(scores), torch.from_numpy(labels), 100)
    assert first != bootstrap_interval(auroc, scores, labels, 100, generator=torch.Generator().manual_seed(9))


def test_bootstrap_of_several_targets():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((80, 2))
    interval = bootstrap_interval(
        lambda p, t: float(np.mean(r2_score(p, t))),
        targets + 0.5 * rng.standard_normal((80, 2)),
        targets,
        200,
    )
    assert 0 < interval.low < interval.estimate < interval.high < 1


def test_control_labels_are_a_function_of_the_type_with_the_task_distribution():
    rng = np.random.default_rng(0)
    types = rng.integers(0, 2000, 8000)
    labels = rng.choice(["noun", "verb"], 8000, p=[0.8, 0.2])
    control = control_labels(types, labels, seed=0)
    by_type = {t: set(control[types == t]) for t in np.unique(types)[:200]}
    assert all(len(values) == 1 for values in by_type.values())
    assert np.mean(control == "noun") == pytest.approx(0.8, abs=0.04)
    assert (control == control_labels(types, labels, seed=0)).all()
    assert (control != control_labels(types, labels, seed=1)).any()
    with pytest.raises(ValueError, match="another seed"):
        control_labels(["a"] * 4, [0, 1, 0, 1], seed=0)


def separable_task(seed: int = 0, n: int = 300, d_model: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    acts = rng.standard_normal((n, d_model))
    return acts, acts[:, 0] + 0.3 * rng.standard_normal(n) > 0


def test_selectivity_is_high_for_a_linear_probe_and_nil_when_types_can_be_memorised():
    types = np.random.default_rng(1).integers(0, 30, 600)
    embedding = np.random.default_rng(2).standard_normal((30, 100))
    labels = embedding[types, 0] > 0
    control = control_labels(types, labels, seed=0)
    train, test = np.arange(300), np.arange(300, 600)
    memorised = selectivity(LogisticProbe(1e-3), embedding[types], labels, control, train, test)
    assert memorised.selectivity == memorised.task - memorised.control == pytest.approx(0, abs=0.02)
    narrow = selectivity(LogisticProbe(1e-3), embedding[types][:, :2], labels, control, train, test)
    assert narrow.selectivity > 0.2


def test_code_length_by_hand_and_against_a_loop():
    acts, labels = separable_task()
    code = online_code_length(LogisticProbe(), acts, labels, (0.1, 0.5, 1.0))
    expected = [30.0]  # one bit a label
    for start, end in ((30, 150), (150, 300)):
        probs = LogisticProbe().fit(acts[:start], labels[:start]).predict_proba(acts[start:end])
        expected.append(sum(-np.log2(p[int(y)]) for p, y in zip(probs, labels[start:end], strict=True)))
    assert code.block_bits == pytest.approx(expected)
    assert code.bits == pytest.approx(sum(expected))
    assert code.uniform_bits == 300
    assert code.compression == pytest.approx(300 / sum(expected))
    assert online_code_length(LogisticProbe(), acts, labels, (1.0,)).bits == 300


def test_code_is_short_for_readable_labels_and_no_shorter_than_uniform_for_noise():
    acts, labels = separable_task(n=1000)
    noise = np.random.default_rng(5).random(1000) < 0.5
    assert online_code_length(LogisticProbe(), acts, labels).compression > 2
    assert online_code_length(LogisticProbe(), acts, noise).bits >= 990


def test_code_length_of_three_classes_with_a_scikit_learn_probe():
    acts, _ = separable_task(n=300)
    code = online_code_length(LogisticRegression(), acts, np.digitize(acts[:, 0], [-0.5, 0.5]))
    assert code.uniform_bits == pytest.approx(300 * np.log2(3))
    assert code.bits < code.uniform_bits


@pytest.mark.parametrize(
    ("probe", "labels", "fractions", "message"),
    [
        (LogisticProbe(), None, (0.5, 0.9), "increase to 1.0"),
        (LogisticProbe(), None, (0.5, 0.2, 1.0), "increase to 1.0"),
        (LogisticProbe(), None, (0.001, 1.0), "no block empty"),
        (LogisticProbe(), np.arange(300) > 150, (0.1, 1.0), "lack a class"),
        (MassMeanProbe(), None, (0.5, 1.0), "predict_proba"),
    ],
)
def test_code_length_refuses(probe, labels, fractions, message):
    acts, own = separable_task()
    with pytest.raises(ValueError, match=message):
        online_code_length(probe, acts, own if labels is None else labels, fractions)


def test_shuffled_floor_lies_at_chance_far_below_the_probe():
    acts, labels = separable_task(n=600)
    floor = shuffled_floor(MassMeanProbe(), acts[:400], labels[:400], acts[400:], labels[400:])
    assert floor.low < 0.5 < floor.high
    assert (
        floor.low
        <= floor.estimate
        <= floor.high
        < MassMeanProbe().fit(acts[:400], labels[:400]).score(acts, labels)
    )
    by_auroc = shuffled_floor(
        MassMeanProbe(), acts[:400], labels[:400], torch.from_numpy(acts[400:]), labels[400:], metric=auroc
    )
    assert by_auroc.estimate == pytest.approx(0.5, abs=0.25)
    with pytest.raises(ValueError, match="n_shuffles=1"):
        shuffled_floor(MassMeanProbe(), acts, labels, acts, labels, n_shuffles=1)


def test_mean_interval_is_the_bootstrap_of_the_mean():
    values = np.random.default_rng(0).normal(size=40)
    groups = np.arange(40) // 4
    slow = bootstrap_interval(lambda each, _: float(each.mean()), values, np.zeros(40), 200, groups=groups)
    fast = mean_interval(torch.from_numpy(values), 200, groups=groups)
    assert np.allclose([fast.estimate, fast.low, fast.high], [slow.estimate, slow.low, slow.high])
    with pytest.raises(ValueError, match="at least 2"):
        mean_interval([1.0])
