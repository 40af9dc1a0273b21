import pickle
import time
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from utils.metrics import auroc
from utils.probes import (
    AttentionProbe,
    LogisticProbe,
    MassMeanProbe,
    MLPProbe,
    RidgeProbe,
    fit_layers,
    mask_padding,
)

BINARY = [MassMeanProbe(), MassMeanProbe(whiten=True), LogisticProbe(), MLPProbe(hidden=8, steps=50)]


def fresh(probe: Any) -> Any:
    """An unfitted copy (typed loosely: `clone` is declared to return lists and sets too)."""
    return clone(probe)


def task(
    seed: int = 0, n: int = 200, d_model: int = 12, clarity: float = 1.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 activations far from the origin with very different scales, and labels that some of them carry."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.45
    acts = rng.standard_normal((n, d_model)) @ rng.standard_normal((d_model, d_model))
    acts[:, :3] += clarity * labels[:, None]
    acts = acts * np.logspace(-1, 2, d_model) + 50
    return torch.from_numpy(acts).float(), torch.from_numpy(labels)


def stacked(n_layers: int = 4, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    layers = [task(seed, **settings)[0] for seed in range(n_layers)]
    return torch.stack(layers, dim=1), task(0, **settings)[1]


def sklearn_logistic(acts: torch.Tensor, labels: torch.Tensor, l2: float) -> Any:
    model = LogisticRegression(C=1 / (len(labels) * l2), tol=1e-8, solver="newton-cholesky", max_iter=1000)
    return make_pipeline(StandardScaler(), model).fit(acts.double().numpy(), labels.numpy())


def test_mass_mean_by_hand():
    acts = [[0.0, 0.0], [2.0, 0.0], [4.0, 4.0], [6.0, 4.0]]
    probe = MassMeanProbe().fit(acts, [False, False, True, True])
    assert probe.coef_.tolist() == [4.0, 4.0]  # (5, 4) − (1, 0)
    assert probe.intercept_ == -20.0  # zero at the midpoint (3, 2)
    assert probe.decision_function([[3.0, 2.0], [3.0, 3.0]]).tolist() == [0.0, 4.0]


def test_whitened_mass_mean_by_hand():
    acts = np.array(
        [[-2.0, -1.0], [2.0, 1.0], [-2.0, 1.0], [2.0, -1.0]]
    )  # the origin ± (2, 1): variances 4 and 1
    both = np.concatenate([acts, acts + np.array([4.0, 1.0])])
    probe = MassMeanProbe(whiten=True, shrinkage=0.0).fit(both, [0] * 4 + [1] * 4)
    np.testing.assert_allclose(probe.coef_, [1.0, 1.0])
    shrunk = MassMeanProbe(whiten=True, shrinkage=1.0).fit(both, [0] * 4 + [1] * 4)
    np.testing.assert_allclose(shrunk.coef_, np.array([4.0, 1.0]) / 2.5)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7])
def test_whitened_mass_mean_is_linear_discriminant_analysis(shrinkage):
    acts, _ = task(n=300)
    labels = np.arange(300) % 2 == 0  # balanced, so that both pool the two covariances alike
    acts[labels] += 3.0
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(acts.double().numpy(), labels)
    probe = MassMeanProbe(whiten=True, shrinkage=shrinkage).fit(acts, labels)
    np.testing.assert_allclose(probe.coef_, oracle.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(probe.intercept_, oracle.intercept_[0], rtol=1e-6)


@pytest.mark.parametrize("l2", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("d_model", [12, 300])
def test_logistic_agrees_with_scikit_learn(l2, d_model):
    acts, labels = task(n=200, d_model=d_model)
    probe = LogisticProbe(l2=l2).fit(acts, labels)
    oracle = sklearn_logistic(acts, labels, l2)
    np.testing.assert_allclose(
        probe.predict_proba(acts), oracle.predict_proba(acts.double().numpy()), atol=1e-5
    )


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_logistic_gradient_vanishes_at_the_solution(l2):
    acts, labels = task(seed=3)
    probe = LogisticProbe(l2=l2).fit(acts, labels)
    x = acts.double()
    mean, scale = x.mean(0), x.std(0, correction=0)
    weight = (torch.from_numpy(probe.coef_) * scale).requires_grad_()
    bias = (probe.intercept_ + torch.from_numpy(probe.coef_) @ mean).requires_grad_()
    logits = (x - mean) / scale @ weight + bias
    loss = (
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.double())
        + l2 / 2 * weight @ weight
    )
    for gradient in torch.autograd.grad(loss, [weight, bias]):
        assert gradient.abs().max() < 1e-7


def test_logistic_on_separable_data_stays_finite():
    for gap in (1.0, 1e6):
        acts = torch.tensor([[-gap], [-gap / 2], [gap / 2], [gap]])
        probe = LogisticProbe(l2=1e-8).fit(acts, [0, 0, 1, 1])
        assert np.isfinite(probe.coef_).all()
        assert np.isfinite(probe.predict_proba(acts)).all()
        assert probe.score(acts, [0, 0, 1, 1]) == 1.0


def test_constant_features_get_no_weight():
    acts, labels = task()
    wider = torch.cat([acts, torch.full((len(acts), 1), 0.1), torch.full((len(acts), 1), -700.3)], dim=1)
    narrow, wide = LogisticProbe().fit(acts, labels), LogisticProbe().fit(wider, labels)
    np.testing.assert_allclose(wide.coef_, [*narrow.coef_, 0, 0], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(wide.decision_function(wider), narrow.decision_function(acts), atol=1e-6)


def test_rescaling_and_shifting_features_leaves_logistic_probabilities_alone():
    acts, labels = task()
    moved = acts.double() * torch.logspace(-3, 3, acts.shape[1]) + 7
    first, second = LogisticProbe().fit(acts, labels), LogisticProbe().fit(moved, labels)
    np.testing.assert_allclose(first.predict_proba(acts), second.predict_proba(moved), atol=1e-6)


@pytest.mark.parametrize(("n", "d_model"), [(200, 12), (40, 90)])
@pytest.mark.parametrize("l2", [1e-2, 1.0, 1e3])
def test_ridge_agrees_with_scikit_learn(n, d_model, l2):
    acts, _ = task(n=n, d_model=d_model)
    targets = torch.randn(n, 5, generator=torch.Generator().manual_seed(0))
    probe = RidgeProbe(l2=l2).fit(acts, targets)
    oracle = Ridge(alpha=l2, solver="svd").fit(acts.double().numpy(), targets.double().numpy())
    scale = np.abs(oracle.coef_).max()
    np.testing.assert_allclose(probe.coef_, oracle.coef_, atol=1e-7 * scale)
    np.testing.assert_allclose(probe.predict(acts), oracle.predict(acts.double().numpy()), atol=1e-7)
    assert probe.score(acts, targets) == pytest.approx(
        oracle.score(acts.double().numpy(), targets.numpy()), abs=1e-7
    )


def test_ridge_shapes_follow_the_targets():
    acts, labels = task()
    one, column = RidgeProbe().fit(acts, labels), RidgeProbe().fit(acts, labels[:, None].float())
    assert one.coef_.shape == (12,)
    assert isinstance(one.intercept_, float)
    assert one.predict(acts).shape == (200,)
    assert column.coef_.shape == (1, 12)
    assert column.predict(acts).shape == (200, 1)
    np.testing.assert_allclose(one.predict(acts), column.predict(acts)[:, 0])


def test_mlp_learns_what_no_linear_probe_can():
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(1200, 4, generator=generator) * torch.tensor([1.0, 100.0, 1.0, 1.0]) + 30
    labels = (acts[:, 0] > 30) ^ (acts[:, 1] > 30)
    train, test = slice(0, 800), slice(800, None)
    assert LogisticProbe().fit(acts[train], labels[train]).score(acts[test], labels[test]) < 0.6
    assert MLPProbe(hidden=16).fit(acts[train], labels[train]).score(acts[test], labels[test]) > 0.9


def test_mlp_with_several_string_classes():
    acts, _ = task(n=600, d_model=6)
    labels = np.array(["low", "mid", "top"])[np.digitize(acts[:, 5], np.quantile(acts[:, 5], [1 / 3, 2 / 3]))]
    probe = MLPProbe().fit(acts, labels)
    assert probe.classes_.tolist() == ["low", "mid", "top"]
    assert probe.decision_function(acts).shape == probe.predict_proba(acts).shape == (600, 3)
    np.testing.assert_allclose(probe.predict_proba(acts).sum(1), 1)
    assert (probe.classes_[probe.predict_proba(acts).argmax(1)] == probe.predict(acts)).all()
    assert probe.score(acts, labels) > 0.85


def needle(n: int = 600, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts of 4 to 16 tokens; one token, marked in feature 0, tells the label in feature 1. Also mask and place."""
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(n, 16, 20, generator=generator)
    mask = torch.arange(16) < torch.randint(4, 17, (n, 1), generator=generator)
    place = (torch.rand(n, generator=generator) * mask.sum(1)).long()
    labels = torch.rand(n, generator=generator) < 0.5
    acts[torch.arange(n), place, 0] += 6
    acts[torch.arange(n), place, 1] += torch.where(labels, 3.0, -3.0)
    return acts * 10 + 5, labels, mask, place


def test_attention_finds_the_telling_token():
    acts, labels, mask, place = needle()
    padded = mask_padding(acts, mask)
    probe = AttentionProbe().fit(padded[:400], labels[:400])
    assert probe.score(padded[400:], labels[400:]) > 0.9
    weights = probe.attention(padded[400:])
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (weights[~mask[400:].numpy()] == 0).all()
    assert (weights >= 0).all()
    assert np.mean(weights.argmax(1) == place[400:].numpy()) > 0.9
    mean_pooled = padded.nanmean(1)
    assert LogisticProbe().fit(mean_pooled[:400], labels[:400]).score(mean_pooled[400:], labels[400:]) < 0.85


def test_attention_is_the_formula_over_raw_activations():
    acts, labels, mask, _ = needle(n=60)
    probe = AttentionProbe(steps=3).fit(mask_padding(acts, mask), labels)
    for text in range(5):
        tokens = acts[text, mask[text]].double().numpy()
        scores = tokens @ probe.query_ / np.sqrt(20)
        weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        logit = weights @ (tokens @ probe.value_) + probe.intercept_
        assert probe.decision_function(mask_padding(acts, mask))[text] == pytest.approx(logit)


def test_attention_ignores_padding_and_how_much_there_is():
    acts, labels, mask, _ = needle(n=60)
    garbage = torch.where(mask[..., None], acts, 1e9)
    wider = torch.nn.functional.pad(mask_padding(garbage, mask), (0, 0, 0, 7), value=float("nan"))
    first = AttentionProbe(steps=3).fit(mask_padding(acts, mask), labels)
    second = AttentionProbe(steps=3).fit(wider, labels)
    np.testing.assert_allclose(first.query_, second.query_, atol=1e-6)
    np.testing.assert_allclose(first.decision_function(wider), second.decision_function(wider), atol=1e-4)
    assert torch.isfinite(acts).all()  # mask_padding copies


def test_attention_cross_validates_with_its_mask_inside():
    acts, labels, mask, _ = needle()
    assert cross_val_score(AttentionProbe(), mask_padding(acts, mask), labels, cv=2).min() > 0.8


@pytest.mark.parametrize("probe", BINARY)
def test_scikit_learn_contract(probe):
    acts, labels = task()
    fitted = fresh(probe)
    assert fitted.fit(acts, labels) is fitted
    assert fresh(fitted).get_params() == probe.get_params()
    assert fitted.decision_function(acts).shape == fitted.predict(acts).shape == (200,)
    assert ((fitted.decision_function(acts) > 0) == fitted.predict(acts)).all()
    assert fitted.score(acts, labels) == np.mean(fitted.predict(acts) == labels.numpy())
    for tensors in (False, True):
        x, y = (acts, labels) if tensors else (acts.numpy(), labels.numpy())
        assert cross_val_score(probe, x, y, cv=3).shape == (3,)
    piped = make_pipeline(StandardScaler(), fresh(probe)).fit(acts.numpy(), labels.numpy())
    assert piped.score(acts.numpy(), labels.numpy()) > 0.5
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.decision_function(acts) == fitted.decision_function(acts)).all()


def test_grid_search_and_one_vs_rest_work():
    acts, labels = task()
    search = GridSearchCV(LogisticProbe(), {"l2": [1e-3, 1e3]}, cv=3, scoring="roc_auc").fit(
        acts.numpy(), labels.numpy()
    )
    assert search.best_params_ == {"l2": 1e-3}
    three = np.digitize(acts[:, 0], np.quantile(acts[:, 0], [1 / 3, 2 / 3]))
    assert OneVsRestClassifier(LogisticProbe()).fit(acts.numpy(), three).predict(acts.numpy()).shape == (200,)


@pytest.mark.parametrize("probe", [*BINARY, AttentionProbe(steps=2)])
def test_labels_of_any_kind_and_no_side_effects(probe):
    acts, labels = task(n=80)
    if isinstance(probe, AttentionProbe):
        acts = acts.unsqueeze(1).expand(-1, 3, -1).clone()
    before, state = acts.clone(), torch.get_rng_state()
    with torch.no_grad():  # as around a forward pass
        plain = fresh(probe).fit(acts, labels)
    named = fresh(probe).fit(acts.tolist(), np.where(labels, "true", "false"))
    assert named.classes_.tolist() == ["false", "true"]
    assert ((named.predict(acts.numpy()) == "true") == plain.predict(acts)).all()
    np.testing.assert_allclose(named.decision_function(acts), plain.decision_function(acts), atol=1e-4)
    assert (acts == before).all()
    assert (torch.get_rng_state() == state).all()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("probe", [MLPProbe(hidden=8, steps=3), AttentionProbe(steps=3)])
def test_training_is_deterministic_in_random_state(probe):
    acts, labels = task()
    if isinstance(probe, AttentionProbe):
        acts = acts.reshape(200, 3, 4)
    first, again = (fresh(probe).fit(acts, labels).decision_function(acts) for _ in range(2))
    other = fresh(probe).set_params(random_state=1).fit(acts, labels).decision_function(acts)
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("probe", BINARY)
def test_fit_layers_equals_fitting_each_layer(probe):
    acts, labels = stacked()
    sweep = fit_layers(probe, acts, labels)
    assert not hasattr(probe, "classes_")
    for layer, fitted in sweep.items():
        alone = fresh(probe).fit(acts[:, layer], labels)
        np.testing.assert_allclose(
            fitted.decision_function(acts[:, layer]),
            alone.decision_function(acts[:, layer]),
            rtol=1e-4,
            atol=1e-4,
        )


def test_fit_layers_of_ridge_and_of_many_stacks(monkeypatch):
    acts, _ = stacked()
    targets = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    whole = fit_layers(RidgeProbe(), acts, targets)
    monkeypatch.setattr("utils.layer_sweep.STACK_BYTES", 1)  # one layer at a time
    pieces = fit_layers(RidgeProbe(), acts.numpy(), targets)
    for layer in range(4):
        alone = RidgeProbe().fit(acts[:, layer], targets)
        np.testing.assert_allclose(whole[layer].coef_, alone.coef_, atol=1e-9)
        np.testing.assert_allclose(pieces[layer].coef_, alone.coef_, atol=1e-9)


def test_sweep_scores_and_layer_numbers():
    acts, labels = stacked(n=400)
    train, test = slice(0, 200), slice(200, None)
    sweep = fit_layers(LogisticProbe(), acts[train], labels[train], layers=[0, 6, 12, 18])
    scores = sweep.scores(acts[test], labels[test])
    assert list(sweep) == [0, 6, 12, 18]
    assert scores.tolist() == [
        sweep[layer].score(acts[test, i], labels[test]) for i, layer in enumerate(sweep)
    ]
    assert sweep.best_layer(acts[test], labels[test]) == 0  # the labels belong to the first layer
    ranked = sweep.scores(acts[test], labels[test], auroc)
    assert ranked[1] == auroc(sweep[6].decision_function(acts[test, 1]), labels[test])
    assert pickle.loads(pickle.dumps(sweep))[12].score(acts[test, 2], labels[test]) == scores[2]
    with pytest.raises(KeyError, match="no probe for layer 1"):
        sweep[1]
    with pytest.raises(ValueError, match="4"):
        sweep.scores(acts[test, :3], labels[test])


def with_nan(acts: torch.Tensor) -> torch.Tensor:
    acts = acts.clone()
    acts[7, 2] = float("nan")
    return acts


@pytest.mark.parametrize(
    ("probe", "change", "message"),
    [
        *[(probe, lambda x, y: (with_nan(x), y), "row 7") for probe in (*BINARY, RidgeProbe())],
        *[(probe, lambda x, y: (x * float("inf"), y), "infinity") for probe in BINARY],
        *[(probe, lambda x, y: (x, y[:-1]), "same length") for probe in (*BINARY, RidgeProbe())],
        *[(probe, lambda x, y: (x, y | True), "1 class") for probe in BINARY],
        *[(probe, lambda x, y: (x[0], y), "dimensions") for probe in BINARY],
        *[(probe, lambda x, y: (x, x[:, 0]), "RidgeProbe") for probe in BINARY],
        *[(probe, lambda x, y: (x, np.arange(200) % 3), "3 classes") for probe in BINARY[:3]],
        (LogisticProbe(l2=0), lambda x, y: (x, y), "l2=0"),
        (RidgeProbe(l2=-1.0), lambda x, y: (x, y), "l2=-1.0"),
        (RidgeProbe(), lambda x, y: (x, x[:, :1] / 0), "NaN or infinity"),
        (RidgeProbe(), lambda x, y: (x, ["a"] * 200), "want numbers"),
        (MassMeanProbe(whiten=True, shrinkage=2), lambda x, y: (x, y), "shrinkage=2"),
        (MassMeanProbe(whiten=True, shrinkage=0), lambda x, y: (x[:, [0, 0]], y), "singular"),
        (MLPProbe(steps=0), lambda x, y: (x, y), "steps=0"),
        (AttentionProbe(), lambda x, y: (x, y), "text pos d_model"),
        (AttentionProbe(), lambda x, y: (with_nan(x)[:, None], y), "NaN"),
        (AttentionProbe(), lambda x, y: (x[:, None] * float("nan"), y), "text 0 has no real token"),
        (AttentionProbe(), lambda x, y: (x[:, None], np.arange(200) % 3), "3 classes"),
    ],
)
def test_bad_input_is_refused(probe, change, message):
    with pytest.raises(ValueError, match=message):
        fresh(probe).fit(*change(*task()))


@pytest.mark.parametrize("probe", [*BINARY, RidgeProbe(), AttentionProbe(steps=3)])
def test_predicting_needs_a_fit_of_the_same_width(probe):
    acts, labels = task(n=40)
    rows = acts.unsqueeze(1) if isinstance(probe, AttentionProbe) else acts
    with pytest.raises(ValueError, match="not fitted"):
        fresh(probe).predict(rows)
    with pytest.raises(ValueError, match="d_model=11"):
        fresh(probe).fit(rows, labels).predict(rows[..., :11])


def test_fit_layers_refuses_what_it_cannot_stack():
    acts, labels = stacked()
    with pytest.raises(TypeError, match="LogisticRegression cannot be stacked"):
        fit_layers(fresh(LogisticRegression()), acts, labels)
    with pytest.raises(ValueError, match="3 dimensions"):
        fit_layers(LogisticProbe(), acts[:, 0], labels)
    with pytest.raises(ValueError, match="4 layers"):
        fit_layers(LogisticProbe(), acts, labels, layers=[0, 1])
    with pytest.raises(ValueError, match="once"):
        fit_layers(LogisticProbe(), acts, labels, layers=[0, 1, 1, 2])


def test_mask_padding_refuses_shapes_that_disagree():
    acts, _, mask, _ = needle(n=4)
    with pytest.raises(ValueError, match="mask"):
        mask_padding(acts, mask[:, :3])
    with pytest.raises(ValueError, match="text 1 has no real token"):
        mask_padding(acts, torch.ones(4, 16) * torch.tensor([1, 0, 1, 1])[:, None])


@pytest.mark.slow
def test_full_width_logistic_agrees_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(800, 3, 576, generator=generator) * torch.arange(1, 577) ** -0.5
    labels = acts[:, 1, :40].sum(1) + torch.randn(800, generator=generator) > 0
    for l2 in (1e-3, 1e-1):
        sweep = fit_layers(LogisticProbe(l2), acts, labels)
        for layer in range(3):
            oracle = sklearn_logistic(acts[:, layer], labels, l2).predict_proba(
                acts[:, layer].double().numpy()
            )
            np.testing.assert_allclose(sweep[layer].predict_proba(acts[:, layer]), oracle, atol=1e-5)


@pytest.mark.slow
def test_attention_fits_a_thousand_texts_of_full_width_in_seconds():
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(1000, 32, 576, generator=generator)
    labels = torch.rand(1000, generator=generator) < 0.5
    start = time.process_time()
    AttentionProbe().fit(acts, labels)
    assert time.process_time() - start < 30  # processor seconds; about 5 are normal
