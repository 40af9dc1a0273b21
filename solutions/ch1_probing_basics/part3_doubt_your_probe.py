# %% [markdown]
# # Doubt your probe
#
# **When does a probe's score say something about the model, and when only about the probe, the split or the
# labels?**
#
# After this lesson you can
#
# * find a leak between training and test data, close it with a group split, and say how much it flattered;
# * read AUROC where accuracy is hollow, and put an interval on it;
# * tell what a probe reads from what it has memorised, by a control task and by a code length;
# * name the floor that a number has to clear before it is worth a sentence.
#
# Time: 100 minutes with the exercises. The machine needs about two minutes on two CPU cores, and 2 GB of memory.

# %%
import math
from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise

import torch
from jaxtyping import Bool, Float, Int
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from utils.activations import last_token_activations
from utils.controls import shuffled_floor
from utils.course import open_lesson, sample_size
from utils.datasets import load_cities
from utils.models import load_language_model, untrained_twin
from utils.plots import bars_with_floor, layer_sweep
from utils.probes import LogisticProbe, MLPProbe, RidgeProbe, fit_layers

check, use_reference = open_lesson("ch1_probing_basics/part3_doubt_your_probe")

# %% [markdown]
# The running question of this chapter is what a language model knows about where cities are. Here are 1,500
# cities in one sentence each, and the residual stream at the last token, at a few layers. The *untrained twin*
# has the same architecture and tokenizer but fresh weights: whatever a probe can read from it, the model has not
# learned.

# %%
cities = load_cities().iloc[:: sample_size(1, 4)].reset_index(drop=True)
names, countries = cities["name"].tolist(), cities["country"].tolist()
texts = [f"The city of {name}" for name in names]

model = load_language_model()
twin = untrained_twin(model, seed=0)
step = max(1, model.cfg.n_layers // 6)
layers = list(range(step - 1, model.cfg.n_layers - 1, step))
early = layers[min(1, len(layers) - 1)]

acts = last_token_activations(model, texts, layers)
twin_acts = last_token_activations(twin, texts, [early])[:, 0]
print(f"{len(texts)} texts, layers {layers}; the twin's layer {early}; d_model {model.cfg.d_model}")

# %% [markdown]
# ## A split that leaks
#
# Suppose you fit a probe for latitude and longitude on 80 % of the cities and test it on the rest. Lyon is in the
# training set, Marseille in the test set. A probe that has learned "French-looking name: 46° N, 2° E" scores well
# on Marseille without the model knowing where Marseille is. Rows that share a cause (a country, an author, a
# template, a game) must stand on one side.

# %% [markdown]
# ## Exercise · `group_split`
#
# difficulty ●●●○○ · importance ●●●●● · 15 minutes
#
# Split rows into named parts such that **a group is never in two parts**. You get the group of each row, and the
# fraction of the *rows* that each part should have. Since groups stay whole, the fractions cannot be met exactly;
# but each part's number of rows must come within one largest group of its fraction. The order in which groups are
# dealt out comes from `seed`.
#
# `group_split(["fr", "fr", "pe"], {"train": 2/3, "test": 1/3}, seed=0)` can only be `{"train": [0, 1], "test":
# [2]}` (as LongTensors): two rows and one are exactly the fractions.
#
# <details><summary>Hint 1</summary>
#
# Work on the distinct groups: sort them (a `set` has no fixed order), shuffle them with a generator of your own,
# and deal them out one by one. At the end turn "group → part" into row indices.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Which part gets the next group? The one that lacks most rows: start with `missing[part] = fraction * n_rows` and
# subtract. A part never receives a group while another lacks more, so no part ends further than one group from
# its fraction. `math.isclose` compares the sum of the fractions with 1.
#
# </details>


# %%
def group_split(groups: list[str], fractions: dict[str, float], seed: int) -> dict[str, Int[Tensor, "row"]]:
    """Row indices of each part of `fractions`, every group in one part only.

    groups: the group of each row. fractions: the share of the rows that each part should have.
    Every row index occurs once, as a LongTensor a part; each part's rows are within one largest group of its
    fraction. Deterministic in `seed`; other seeds deal the groups out otherwise.
    Raises ValueError for fractions that do not sum to 1 (up to rounding).
    """
    ### BEGIN SOLUTION
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"fractions {fractions} sum to {sum(fractions.values()):g}: they must sum to 1")
    distinct, size = sorted(set(groups)), Counter(groups)
    order = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(seed))
    missing = {part: fraction * len(groups) for part, fraction in fractions.items()}
    part_of: dict[str, str] = {}
    for index in order.tolist():
        part = max(missing, key=lambda name: missing[name])
        part_of[distinct[index]] = part
        missing[part] -= size[distinct[index]]
    rows = {part: [row for row, group in enumerate(groups) if part_of[group] == part] for part in fractions}
    return {part: torch.tensor(indices, dtype=torch.long) for part, indices in rows.items()}
    ### END SOLUTION


check(group_split)

# %% [markdown]
# A random split is the special case in which every row is its own group. So one function gives both splits below:
# five parts, each the test set once while a ridge probe learns from the other four. Every city is predicted once,
# by a probe that has not seen *it* (random cities) or not seen *its country* (unseen countries).

# %%
place = torch.tensor(cities[["latitude", "longitude"]].to_numpy())


def five_folds(groups: list[str], seed: int) -> list[Tensor]:
    return list(group_split(groups, {f"fold {k}": 0.2 for k in range(5)}, seed).values())


def r2(predictions: Float[Tensor, "city 2"]) -> float:
    """R², the mean of latitude's and longitude's."""
    errors, spread = (predictions - place).square().sum(0), (place - place.mean(0)).square().sum(0)
    return (1 - errors / spread).mean().item()


def held_out_r2(features: Float[Tensor, "city d_model"], folds: list[Tensor]) -> float:
    predictions = torch.empty_like(place)
    for fold in folds:
        train = torch.cat([other for other in folds if other is not fold])
        # Mean and scale come from the training rows: the test rows must not help to choose the units.
        scaled = (features - features[train].mean(0)) / (features[train].std(0) + 1e-6)
        probe = RidgeProbe(l2=len(train)).fit(scaled[train], place[train])
        predictions[fold] = torch.from_numpy(probe.predict(scaled[fold]))
    return r2(predictions)


# %% [markdown]
# The floor for a text is what its spelling gives away. Character n-grams of the name (one to four letters) know
# nothing of the world, but "-grad" and "-ville" and "Al-" recur.


# %%
def held_out_ngram_r2(folds: list[Tensor]) -> float:
    predictions = torch.empty_like(place)
    for fold in folds:
        train = torch.cat([other for other in folds if other is not fold])
        spelling = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2)
        seen = spelling.fit_transform([names[row] for row in train])
        fresh = spelling.transform([names[row] for row in fold])
        predictions[fold] = torch.from_numpy(Ridge(alpha=1.0).fit(seen, place[train].numpy()).predict(fresh))
    return r2(predictions)


# %% [markdown]
# Three seeds of each split. **Expect:** if nothing leaks, the two curves coincide. If the score of random cities
# is partly the score of knowing their neighbours, the curve of unseen countries lies lower; and a floor that
# lives on neighbours falls to 0 or below (below: worse than guessing the middle of the map).

# %%
splits = {"random cities": names, "unseen countries": countries}
curves, bands, floors = {}, {}, {}
for split, groups in splits.items():
    folds = [five_folds(groups, seed) for seed in range(sample_size(3, 1))]
    scores = torch.tensor([[held_out_r2(acts[:, k], f) for k in range(len(layers))] for f in folds])
    curves[split] = scores.mean(0)
    bands[split] = (scores.min(0).values, scores.max(0).values)
    floors[f"n-grams, {split}"] = sum(held_out_ngram_r2(f) for f in folds) / len(folds)
    floors[f"twin, {split}"] = sum(held_out_r2(twin_acts, f) for f in folds) / len(folds)
for name, value in floors.items():
    print(f"{name:26s} R² {value:5.2f}")
for split, curve in curves.items():
    print(f"{'model, ' + split:26s} R²", " ".join(f"{value:5.2f}" for value in curve.tolist()))

# %%
layer_sweep(
    curves,
    bands=bands,
    floors=floors,
    layers=layers,
    ylabel="R², mean of latitude and longitude",
    title="A random split flatters the model, and most of all its floors",
)

# %% [markdown]
# On the embedded model the curves peak near an R² of .55 for random cities and .41 for unseen countries: a
# quarter of the first score is what the neighbours give away. The floors say it more sharply. Spelling falls from
# .28 to .06, and the untrained twin from almost nothing to less than nothing. The bands (lowest and highest of
# three seeds) are thin: what moves the score is the question that the split asks, not the luck of the draw.
#
# So "the model knows something" survives, and "R² of one half" does not. From here on, except where it is said, a
# test country is one that the probe has never seen. (Picking the best layer off these curves would flatter too, a
# little: below, the layer is chosen on validation data.)

# %% [markdown]
# ## A score that flatters
#
# "Is it in Europe?" is True for one city in seven. A probe that always says no is right six times in seven;
# accuracy near that value is hollow. AUROC asks instead: of a random European and a random other city, which
# scores higher? Saying the same of all gives exactly one half.

# %% [markdown]
# ## Exercise · `auroc`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# The area under the ROC curve, as the probability that it equals:
#
# $$\text{AUROC} = P(s_T > s_F) + \tfrac12 P(s_T = s_F),$$
#
# with $s_T$ the score of a random True row and $s_F$ that of a random False row. Shapes: `scores "text"` (any
# real numbers), `labels "text"` (bool). With one class missing there is no pair, and so no value: raise
# `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# All pairs at once: `scores[labels].unsqueeze(1)` against `scores[~labels].unsqueeze(0)` broadcasts to (True
# rows, False rows).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Two comparisons, `>` and `==`, and a mean. (For many thousands of rows ranks are cheaper: `scipy.stats.rankdata`
# gives tied scores their mean rank.)
#
# </details>


# %%
def auroc(scores: Float[Tensor, "text"], labels: Bool[Tensor, "text"]) -> float:
    """The probability that a True row scores above a False one; a tie counts half.

    scores: one finite number a text, on any scale. labels: True or False for each; with one class missing
    ValueError.
    """
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: AUROC compares the two")
    true, false = scores[labels].unsqueeze(1), scores[~labels].unsqueeze(0)
    return ((true > false).double() + (true == false).double() / 2).mean().item()
    ### END SOLUTION


check(auroc)

# %% [markdown]
# One split by country: probes learn from `train`, the layer is chosen on `validation`, everything is reported on
# `test`.

# %%
europe = torch.tensor((cities["continent"] == "Europe").to_numpy())
THREE_PARTS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def ranked(scores, labels) -> float:
    """`auroc` for the arrays that the probes of utils return."""
    return auroc(torch.as_tensor(scores), torch.as_tensor(labels))


def probe_europe(split: dict[str, Tensor]) -> tuple[int, LogisticProbe]:
    """The logistic probe of the layer with the best validation AUROC, and that layer."""
    train, validation = split["train"], split["validation"]
    sweep = fit_layers(LogisticProbe(l2=0.1), acts[train], europe[train], layers)
    best = sweep.best_layer(acts[validation], europe[validation], ranked)
    return best, sweep[best]


def splits_by_country(count: int) -> list[dict[str, Tensor]]:
    """The first seeds' splits in which every part has both classes: one huge country can fill a part."""
    splits = (group_split(countries, THREE_PARTS, seed) for seed in range(100))
    usable = (parts for parts in splits if all(len(europe[rows].unique()) == 2 for rows in parts.values()))
    return list(islice(usable, count))


split, *other_splits = splits_by_country(sample_size(13, 4))
train, test = split["train"], split["test"]
best, probe = probe_europe(split)
print({part: len(rows) for part, rows in split.items()}, f"layer {best} chosen on validation")

# %% [markdown]
# **Expect** accuracies in a narrow band around the majority's, and AUROCs spread out from 0.5.

# %%
spelling = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2)
ngrams = spelling.fit_transform(names)
by_spelling = LogisticRegression(C=10).fit(ngrams[train.numpy()], europe[train].numpy())
twin_probe = LogisticProbe(l2=0.1).fit(twin_acts[train], europe[train])

test_scores = {
    f"model, layer {best}": probe.decision_function(acts[test, layers.index(best)]),
    "character n-grams": by_spelling.decision_function(ngrams[test.numpy()]),
    f"untrained twin, layer {early}": twin_probe.decision_function(twin_acts[test]),
    "always no": torch.full((len(test),), -1.0).numpy(),
}
test_scores = {name: torch.from_numpy(scores) for name, scores in test_scores.items()}
for name, scores in test_scores.items():
    right = ((scores > 0) == europe[test]).double().mean()
    print(f"{name:26s} accuracy {right:.3f}   AUROC {auroc(scores, europe[test]):.3f}")

# %% [markdown]
# On the embedded model accuracy sees four nearly equal probes, .85 to .89, and puts spelling behind "always no".
# AUROC sees .92, .75, .64 and .50.
#
# ## A number without an interval
#
# How far could these values move by luck? One answer is the bootstrap: pretend that the test set is the world,
# draw as many rows from it again, with replacement, and see how the statistic varies.

# %% [markdown]
# ## Exercise · `bootstrap_interval`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# The percentile interval of `statistic(scores, labels)`: draw `n_resamples` resamples of n of the n rows with
# replacement, **scores and labels together**, and return the quantiles $(1-\text{level})/2$ and
# $(1+\text{level})/2$ of the statistic's values. A resample that happens to hold one class only has no AUROC:
# draw it again. Labels that hold one class only could never be resampled to two: raise `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `torch.randint(n, (n,), generator=generator)` are the rows of one resample. A `while` loop that collects values
# until there are enough handles the redraws.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.quantile(values, torch.tensor([...]))` wants the values and the quantiles in one dtype.
#
# </details>


# %%
def bootstrap_interval(
    statistic: Callable[[Tensor, Tensor], float],
    scores: Float[Tensor, "text"],
    labels: Bool[Tensor, "text"],
    n_resamples: int,
    level: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) that holds the middle `level` of the resampled statistic.

    statistic: called as statistic(scores, labels) on each resample of the rows, such as `auroc`.
    level: between 0 and 1, for example 0.95. generator: the only source of randomness.
    Resamples with one class are drawn again. Raises ValueError where `labels` hold only one class.
    """
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels hold one class: no resample could have both")
    values: list[float] = []
    while len(values) < n_resamples:
        rows = torch.randint(len(scores), (len(scores),), generator=generator)
        if labels[rows].any() and not labels[rows].all():
            values.append(float(statistic(scores[rows], labels[rows])))
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.tensor(values, dtype=torch.float64), tails).tolist()
    return low, high
    ### END SOLUTION


check(bootstrap_interval)

# %% [markdown]
# Beside the interval stands one more floor: probes of the same kind that learned from *shuffled* training labels.
# **Expect** their middle 95 % to lie around 0.5, and to be wide: 576 directions always offer one that happens to
# fit.

# %%
values, intervals = {}, {}
for name, scores in test_scores.items():
    if name != "always no":
        generator = torch.Generator().manual_seed(0)
        values[name] = auroc(scores, europe[test])
        intervals[name] = bootstrap_interval(auroc, scores, europe[test], 1000, 0.95, generator)
chosen = acts[:, layers.index(best)]
shuffled = shuffled_floor(
    LogisticProbe(l2=0.1), chosen[train], europe[train], chosen[test], europe[test], metric=ranked
)
values["shuffled labels"] = shuffled.estimate
intervals["shuffled labels"] = (shuffled.low, shuffled.high)
for name, (low, high) in intervals.items():
    print(f"{name:26s} AUROC {values[name]:.3f}   [{low:.3f}, {high:.3f}]")

# %%
bars_with_floor(
    values,
    intervals=intervals,
    floors={"chance": 0.5},
    start=0.5,
    xlabel="test AUROC, in Europe?",
    title="In Europe? Unseen countries, 95 % intervals",
)

# %% [markdown]
# On the embedded model the trained model's interval lies clear of every floor. The twin's does not: its AUROC of
# .64 is within what probes of shuffled labels reach on the same test set, so it is no evidence of anything.
# Spelling is a real cue to Europe, and the floor that counts.

# %% [markdown]
# The bootstrap takes the *cities* of this test set as its evidence. But cities of one country are not
# independent, and another draw of unseen countries is another test. **Expect** the results of other draws, each
# with its own training set and its own choice of layer, to spread at least as widely as the interval.

# %%
draws = []
for other in other_splits:
    layer, refitted = probe_europe(other)
    scores = refitted.decision_function(acts[other["test"], layers.index(layer)])
    draws.append(ranked(scores, europe[other["test"]]))
low, high = intervals[f"model, layer {best}"]
print(f"bootstrap over the cities of one test set: {low:.3f} to {high:.3f}")
print(f"{len(draws)} other draws of unseen countries:     {min(draws):.3f} to {max(draws):.3f}")

# %% [markdown]
# On the embedded model the other draws run from .88 to .99, a little wider than the interval, which knew nothing
# of other countries or other training sets. Say which of the two an interval is. By either, a difference of .02
# between two probes would be none.
#
# ## A probe that memorises
#
# A strong probe can learn a task that the model has no notion of: it needs only to recognise each city, and to
# remember its label. To see how much of a score could be memory, Hewitt & Liang (2019) ask the probe to learn a
# *control task* in which every type (here: every city) has a random label. Only memory solves it. For memory to
# help at test time a type must occur on both sides, so here, and only here, groups straddle the split: each city
# stands in three sentences, of which one, drawn at random, is tested.

# %% [markdown]
# ## Exercise · `control_labels`
#
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# Give every type one label, drawn uniformly from 0 … `n_classes` − 1, and every occurrence the label of its type.
# Draw the labels for the **sorted set** of types: then neither the order of the rows nor the number of
# occurrences changes the task, and whoever has the same types and the same seed has the same control task.
#
# <details><summary>Hint 1</summary>
#
# `torch.randint(n_classes, (number_of_types,), generator=…)` and a dict from type to label.
#
# </details>


# %%
def control_labels(types: list[str], n_classes: int, seed: int) -> Int[Tensor, "row"]:
    """A control task: each distinct type has one random label from 0 to n_classes − 1, which all its rows carry.

    types: what identifies each row's input, here the city. The labels depend on the sorted set of types, on
    n_classes and on seed, and on nothing else. Raises ValueError for n_classes < 2.
    Source: Hewitt & Liang 2019, arXiv:1909.03368, section 2.
    """
    ### BEGIN SOLUTION
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}: a task needs at least 2 classes")
    distinct = sorted(set(types))
    drawn = torch.randint(n_classes, (len(distinct),), generator=torch.Generator().manual_seed(seed))
    label_of = dict(zip(distinct, drawn.tolist(), strict=True))
    return torch.tensor([label_of[name] for name in types])
    ### END SOLUTION


check(control_labels)

# %% [markdown]
# The real task is "in Asia", which about half of the cities are, so that both tasks have a majority near one
# half. Two layers: an early one, and one half-way up.

# %%
late = layers[len(layers) // 2]
sentences = ("The city of {}", "I live in {}", "She flew to {}")
types = names * len(sentences)
three = [sentence.format(name) for sentence in sentences for name in names]
asia = torch.tensor((cities["continent"] == "Asia").to_numpy()).repeat(len(sentences))

# The first sentence has been run already.
new = three[len(names) :]
known = acts[:, [layers.index(early), layers.index(late)]]
by_depth = torch.cat([known, last_token_activations(model, new, [early, late])])
twin_early = torch.cat([twin_acts, last_token_activations(twin, new, [early])[:, 0]])
control = control_labels(types, 2, seed=0).bool()

tested = torch.randint(len(sentences), (len(names),), generator=torch.Generator().manual_seed(100))
test_rows = tested * len(names) + torch.arange(len(names))
train_rows = torch.tensor(sorted(set(range(len(three))) - set(test_rows.tolist())))
for truth in (True, False):
    for label in (True, False):
        row = int(((asia == truth) & (control == label)).nonzero()[0])
        print(f"{three[row]:26s} and {three[row + len(names)]:26s} in Asia: {truth!s:5}  control: {label}")
shares = {"in Asia": asia, "control": control, "the two are equal": asia == control}
print({name: round(rows.double().mean().item(), 2) for name, rows in shares.items()})

# %% [markdown]
# ## Exercise · `selectivity`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# Task accuracy minus control accuracy, of two probes of the same kind, fitted on the same training rows and
# scored on the same test rows. `fit(acts, labels)` returns a probe; a probe is a function from activations to
# **log-odds**, one a row, positive where it predicts True. Shapes: `acts "text d_model"`, `labels` and `control`
# `"text"` (bool), `train` and `test` row indices.
#
# <details><summary>Hint 1</summary>
#
# The same three lines for `labels` and for `control`: fit on `acts[train]`, ask about `acts[test]`, compare the
# signs with the truth.
#
# </details>

# %%
Probe = Callable[[Float[Tensor, "text d_model"]], Float[Tensor, "text"]]
Fit = Callable[[Float[Tensor, "text d_model"], Bool[Tensor, "text"]], Probe]


def selectivity(
    fit: Fit,
    acts: Float[Tensor, "text d_model"],
    labels: Bool[Tensor, "text"],
    control: Bool[Tensor, "text"],
    train: Int[Tensor, "train_row"],
    test: Int[Tensor, "test_row"],
) -> float:
    """Accuracy on the task minus accuracy on the control task, both on the rows `test`, between −1 and 1.

    fit: fit(acts, labels) returns a probe; probe(acts) gives each row's log-odds of True. It is called once for
    each of the two tasks, on the rows `train` only.
    Source: Hewitt & Liang 2019, arXiv:1909.03368, section 2.
    """
    ### BEGIN SOLUTION
    accuracies = []
    for targets in (labels, control):
        probe = fit(acts[train], targets[train])
        correct = (probe(acts[test]) > 0) == targets[test]
        accuracies.append(correct.double().mean().item())
    return accuracies[0] - accuracies[1]
    ### END SOLUTION


check(selectivity)


# %% [markdown]
# A linear probe, and MLPs with 8 and with 64 hidden units. `fitter` turns a scikit-learn-like probe into the
# `fit` of the exercise.


# %%
def fitter(probe) -> Fit:
    def fit(acts: Tensor, labels: Tensor) -> Probe:
        fitted = clone(probe).fit(acts, labels)
        return lambda fresh: torch.from_numpy(fitted.decision_function(fresh))

    return fit


def accuracy(log_odds: Float[Tensor, "text"], labels: Bool[Tensor, "text"]) -> float:
    return ((log_odds > 0) == labels).double().mean().item()


fits = {
    "linear": fitter(LogisticProbe(l2=0.1)),
    "MLP, 8 hidden": fitter(MLPProbe(hidden=8, steps=300)),
    "MLP, 64 hidden": fitter(MLPProbe(hidden=64, steps=300)),
}

# %% [markdown]
# **Expect** by accuracy alone the widest probe to win. If it wins by reading more from the stream, its control
# accuracy stays near one half; if it wins by memory, the mark of the control task moves up with the bar.
# Selectivity is printed with the lowest and highest of three control tasks; the whiskers are 95 % intervals over
# cities.

# %%
controls = [control_labels(types, 2, seed).bool() for seed in range(sample_size(3, 1))]
runs = {
    f"{name}, layer {layer}": (fit, by_depth[:, depth])
    for depth, layer in enumerate((early, late))
    for name, fit in fits.items()
}
runs[f"linear, twin's layer {early}"] = (fits["linear"], twin_early)
task_accuracy, accuracy_interval, control_accuracy = {}, {}, {}
for key, (fit, stream) in runs.items():
    gaps = [selectivity(fit, stream, asia, labels, train_rows, test_rows) for labels in controls]
    log_odds, truth = fit(stream[train_rows], asia[train_rows])(stream[test_rows]), asia[test_rows]
    generator = torch.Generator().manual_seed(0)
    task_accuracy[key] = accuracy(log_odds, truth)
    accuracy_interval[key] = bootstrap_interval(accuracy, log_odds, truth, 1000, 0.95, generator)
    control_accuracy[key] = task_accuracy[key] - sum(gaps) / len(gaps)
    print(
        f"{key:24s} task {task_accuracy[key]:.3f}   control {control_accuracy[key]:.3f}   "
        f"selectivity {sum(gaps) / len(gaps):.3f} [{min(gaps):.3f}, {max(gaps):.3f}]"
    )

# %%
share = asia.double().mean().item()
bars_with_floor(
    task_accuracy,
    intervals=accuracy_interval,
    floors={"control task": list(control_accuracy.values()), "majority": max(share, 1 - share)},
    start=0.5,
    xlabel="test accuracy",
    title="Selectivity is the distance from the bar's end down to its mark",
)

# %% [markdown]
# On the embedded model, layer 9, the wide MLP wins by accuracy, .99 against .91, and it has .98 on random labels
# as well: a selectivity of .01. It would score nearly as well had the model no notion of Asia. That is not to say
# that it reads nothing, only that its accuracy cannot tell. The linear probe gives up eight points and keeps a
# selectivity of .21; it memorises too (.70 on random labels), as 577 weights against 1,500 cities allow.
# Narrowing the MLP to 8 units, the remedy that Hewitt & Liang found to work, helps a little. Half-way up, at
# layer 14, every probe is more selective: *which* city it is has become harder to read, what is true of the city
# has not.

# %% [markdown]
# ## How long is the code?
#
# Accuracy at the end of training forgets what it took to get there. Voita & Titov (2020) measure that too: Alice
# knows the labels, Bob only the activations; how many bits must she send? In the *online code* she sends a first
# block of labels as they are. Then both fit the same probe on what Bob has, and the next block is sent in the
# code that the probe's probabilities allow: a label of probability $p$ costs $-\log_2 p$ bits. A property that a
# few examples reveal is cheap; one that must be memorised type by type is not.

# %% [markdown]
# ## Exercise · `online_code_length`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# With blocks that end at rows $t_1 < t_2 < \dots < t_S = n$,
#
# $$L = t_1 - \sum_{i=1}^{S-1} \; \sum_{j = t_i + 1}^{t_{i+1}} \log_2 p_i(y_j \mid x_j),$$
#
# with $p_i$ the probe fitted on the first $t_i$ rows. `fractions` are cumulative: block $i$ ends at
# `round(fractions[i] * n)`. Rows are taken in the order given. A probe returns log-odds $z$, so that
# $p(\text{True}) = 1/(1+e^{-z})$. Fractions that do not rise to 1.0, or leave a block empty: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `itertools.pairwise(ends)` gives (start, end) of every block but the first.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# For log-odds of 60 the sigmoid is exactly 1 in floating point, and $\log(1 - p)$ infinite.
# `torch.nn.functional.binary_cross_entropy_with_logits(…, reduction="sum")` avoids that; it counts in nats:
# divide by $\ln 2$.
#
# </details>


# %%
def online_code_length(
    fit: Fit, acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], fractions: list[float]
) -> float:
    """The online code length of all labels given the activations, in bits.

    fit: fit(acts, labels) returns a probe; probe(acts) gives each row's log-odds of True.
    fractions: where each block ends, as a share of the rows, rising to 1.0; block i ends at round(fraction · n).
    The first block costs one bit a label; block k is coded by the probe fitted on all rows before it.
    Raises ValueError for fractions that do not rise to 1.0 or leave a block empty.
    Source: Voita & Titov 2020, arXiv:2003.12298, section 2.2.2, equation 3.
    """
    ### BEGIN SOLUTION
    ends = [round(fraction * len(labels)) for fraction in fractions]
    if fractions[-1] != 1.0 or any(end <= start for start, end in pairwise([0, *ends])):
        raise ValueError(f"fractions {fractions} of {len(labels)} rows must rise to 1.0, no block empty")
    bits = float(ends[0])
    for start, end in pairwise(ends):
        log_odds = fit(acts[:start], labels[:start])(acts[start:end]).double()
        truth = labels[start:end].double()
        nats = torch.nn.functional.binary_cross_entropy_with_logits(log_odds, truth, reduction="sum")
        bits += nats.item() / math.log(2)
    return bits
    ### END SOLUTION


check(online_code_length)

# %% [markdown]
# All rows, shuffled, in blocks that double; three orders, with the lowest and highest of each; bits divided by
# the number of labels, so that 1 is a code that uses nothing of the activations. **Expect** the two tasks, which
# the widest MLP solves about equally well, to differ in price; and the untrained twin to save next to nothing.

# %%
FRACTIONS = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]


def bits_a_label(fit: Fit, stream: Tensor, labels: Tensor, seed: int) -> float:
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return online_code_length(fit, stream[order], labels[order], FRACTIONS) / len(labels)


coded = {f"{name}, layer {early}": (fit, by_depth[:, 0]) for name, fit in fits.items()}
coded[f"linear, twin's layer {early}"] = (fits["linear"], twin_early)
task_bits, bits_interval, control_bits = {}, {}, {}
for key, (fit, stream) in coded.items():
    orders = range(200, 200 + sample_size(3, 1))
    bits = [bits_a_label(fit, stream, asia, seed) for seed in orders]
    random_bits = [bits_a_label(fit, stream, control, seed) for seed in orders]
    task_bits[key], bits_interval[key] = sum(bits) / len(bits), (min(bits), max(bits))
    control_bits[key] = sum(random_bits) / len(bits)
    print(
        f"{key:24s} task {task_bits[key]:.3f} [{min(bits):.3f}, {max(bits):.3f}]   "
        f"control {control_bits[key]:.3f} [{min(random_bits):.3f}, {max(random_bits):.3f}] bits a label"
    )

# %%
bars_with_floor(
    task_bits,
    intervals=bits_interval,
    floors={"control task": list(control_bits.values()), "no probe at all": 1.0},
    xlabel="code length (bits a label), shorter is better",
    title="The code length tells task from control, for every probe",
)

# %% [markdown]
# On the embedded model the wide MLP needs .43 bits a label for the task and 1.16 for its control, more than
# sending the labels as they are: with few rows it is sure, and wrong, about cities that it has not met. The
# accuracies of the same probe were .99 and .98. Every probe's control code is longer than 1 bit: no probe finds a
# regularity in random labels, whatever it remembers at the end. And the twin's code saves two per cent: the
# labels are written in what the model has learned, not in its architecture or its tokens.
#
# ## What was shown, and what was not
#
# A leak of countries made up a quarter of a score; accuracy hid what AUROC saw; an interval told a finding from a
# fluke; and the most accurate probe had the least to say about the model.
#
# Not shown: that the model *uses* any of this (a probe only reads). That countries are the right groups:
# neighbouring countries help each other too, and a split by continent would ask for more. That these probes are
# the best ones: the penalty and the MLP's training were fixed beforehand and tuned on nothing. And the accuracies
# "in Asia" are for cities that the probe had met, so that they say nothing of unseen countries.
#
# | | published | here, on the embedded model |
# |---|---|---|
# | a linear probe and an MLP: accuracy, and selectivity in points | part of speech from ELMo's first layer, Penn Treebank: linear 97.2 %, 26.0; MLP (1,000 hidden) 97.3 %, 4.5 (Hewitt & Liang 2019, Table 1) | "in Asia", layer 9: linear 90.7 %, 20.9; MLP (64 hidden) 99.1 %, 1.2 |
# | task / control: accuracy, and online code | part of speech from ELMo's layer 0, MLP with two hidden layers: 93.7 / 96.3 %, 173 / 302 kbit (Voita & Titov 2020, Table 1) | layer 9, MLP (64 hidden): 99.1 / 98.0 %, 0.43 / 1.16 bits a label |
#
# The shape is the same, the level is not: they predict many tags over a treebank's vocabulary, we two classes for
# 1,500 types with two training rows each, which 64 hidden units can learn by heart almost completely.
#
# **Try it yourself:** `PROBING_MODEL` names another model. In one that knows more, does the gap between random
# cities and unseen countries close?
