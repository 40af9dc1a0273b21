# %% [markdown]
# # The geometry of truth
#
# **Does a language model represent whether a statement is true, or only whether its words go together?**
#
# After this lesson you can
#
# * measure what the words alone give away, before you praise a probe;
# * remove what a text is *about*, with means that have never seen the test;
# * ask a probe about other subjects and about negations, and read the table of who transfers to whom;
# * split one direction that fails on "not" into two, one for truth and one that turns around with polarity.
#
# Time: 75 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2 GB of memory.

# %%
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import load_statements
from utils.likelihood import continuation_log_probs
from utils.metrics import accuracy, auroc, bootstrap_interval
from utils.models import load_language_model, tokenize, untrained_twin
from utils.plots import heatmap, layer_sweep, pca_scatter, score_histogram
from utils.probes import LogisticProbe, MassMeanProbe, fit_layers
from utils.splits import group_split

check, use_reference = open_lesson("ch3_truth_and_deception/part1_geometry_of_truth")

# %% [markdown]
# ## True and false
#
# Statements that are true or false, on several subjects, most with their negations. They are built in balance: every
# word occurs in as many true statements as false ones ("Lyon" with France, and with another city's country), so that
# words alone should not give the label away.

# %%
SUBJECTS = ["cities", "sp_en_trans", "animal_class", "element_symb"]
OTHERS = ["larger_than", "common_claims", "cities_conj", "cities_disj"]
NAMES = [name for subject in SUBJECTS for name in (subject, f"neg_{subject}")] + OTHERS

tables = {}
for name in NAMES:
    table = load_statements(name)
    groups = table["group"].drop_duplicates()
    few = 24 if name.startswith("cities_") else 100  # twelve statements a group there
    kept = groups.sample(min(len(groups), sample_size(few, 24)), random_state=0)
    tables[name] = table[table["group"].isin(kept)]
statements = pd.concat(tables, names=["set", "row"]).reset_index("set").reset_index(drop=True)
statements.groupby("set", sort=False).agg(
    example=("statement", "first"), label=("label", "first"), n=("label", "size"), true=("label", "mean")
)

# %% [markdown]
# A *group* holds a fact with all its variants, and, for cities, the negations and conjunctions that share them.
# Whole groups go to training, validation or test: a probe is never asked about a fact that it was fitted on.

# %%
split = group_split(statements["group"], (0.6, 0.15, 0.25), seed=0)
parts = dict(zip(("train", "validation", "test"), split, strict=True))
labels = torch.tensor(statements["label"].to_numpy())
polarities = torch.tensor(statements["polarity"].to_numpy())
groups = statements["group"].to_numpy()
texts, topics = statements["statement"].tolist(), statements["topic"].tolist()
is_of = {name: torch.tensor((statements["set"] == name).to_numpy()) for name in NAMES}


def rows(part: str, *names: str) -> Int[Tensor, "row"]:
    """The rows of one part that belong to any of the sets."""
    chosen = torch.tensor(parts[part])
    return chosen[torch.stack([is_of[name] for name in names]).any(dim=0)[chosen]]


print({part: len(index) for part, index in parts.items()})

# %% [markdown]
# ## Exercise · `bag_of_words_baseline`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# The floor for anything that reads text: what do the words alone say? Count the words of each text (scikit-learn's
# `CountVectorizer()`), fit `LogisticRegression(max_iter=1000)` on the training texts, and return its accuracy on the
# test texts. The vocabulary comes from the training texts alone. Lists of different length, or training labels of
# only one class: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `fit_transform` on the training texts, `transform` on the test texts.
#
# </details>


# %%
def bag_of_words_baseline(
    train_texts: list[str], train_labels: list[bool], test_texts: list[str], test_labels: list[bool]
) -> float:
    """Test accuracy of logistic regression on word counts (scikit-learn's defaults), learned on the training texts.

    Raises ValueError where texts and labels differ in number, or the training labels are all the same.
    """
    ### BEGIN SOLUTION
    if len(train_texts) != len(train_labels) or len(test_texts) != len(test_labels):
        raise ValueError("every text needs one label")
    if len(set(train_labels)) < 2:
        raise ValueError("the training labels are all the same")
    words = CountVectorizer()
    probe = LogisticRegression(max_iter=1000).fit(words.fit_transform(train_texts), train_labels)
    return float(probe.score(words.transform(test_texts), test_labels))
    ### END SOLUTION


check(bag_of_words_baseline)

# %% [markdown]
# **Expect** exactly one half, on every set: within each group every word stands in as many true statements as false
# ones. A set found elsewhere is rarely built like that; ask this first.


# %%
def words_alone(train: Tensor, test: Tensor) -> float:
    return bag_of_words_baseline(
        [texts[i] for i in train], labels[train].tolist(), [texts[i] for i in test], labels[test].tolist()
    )


words = {name: words_alone(rows("train", name), rows("test", name)) for name in NAMES}
for name, score in words.items():
    print(f"{name:<20} words alone {score:.2f}")

# %% [markdown]
# ## Where does truth appear?
#
# The stream at the last token, the full stop, by layer. A mass-mean and a logistic probe for the affirmative
# sentences about cities. Two floors: the words, and the *untrained twin* of the model. **Expect** little in the
# first third of the layers, and then a jump.

# %%
model = load_language_model()
step = max(1, model.cfg.n_layers // sample_size(15, 5))
LAYERS = list(range(step - 1, model.cfg.n_layers, step))
twin = untrained_twin(model, seed=0)


def validation_accuracy(model, probe) -> Float[np.ndarray, "layer"]:
    """By layer: the accuracy on validation cities of a probe fitted on training cities."""
    fitted, asked = rows("train", "cities"), rows("validation", "cities")
    acts = {part: last_token_activations(model, [texts[i] for i in part], LAYERS) for part in (fitted, asked)}
    return fit_layers(probe, acts[fitted], labels[fitted], LAYERS).scores(acts[asked], labels[asked])


# %%
swept = {
    "logistic": validation_accuracy(model, LogisticProbe(l2=0.1)),
    "mass-mean": validation_accuracy(model, MassMeanProbe()),
}
layer_sweep(
    swept,
    floors={"untrained twin": validation_accuracy(twin, LogisticProbe(l2=0.1)), "words": words["cities"]},
    layers=LAYERS,
    ylabel="accuracy",
    title="“The city of X is in Y.” True or false? (validation facts)",
)

# %% [markdown]
# Up to layer 7 the probe is right on three statements of five at best, at layer 9 on five of six, and most often
# around layer 19. Nothing of it is in the twin: it is learned, and it is computed, not looked up in single words.
#
# ## Another floor: how probable is the text?
#
# There is a rival that a bag of words does not catch. A language model finds "Lyon is in France" more *probable*
# than "Lyon is in Ghana"; that is its trade. A direction that follows probability would look like truth here. So
# score each statement by its log-probability under the model, and see how well that alone separates. **Expect** the
# text's probability to be better than chance, as frequent pairs of names are likely to belong together, and the
# probe to be far better.

# %%
best = LAYERS[int(swept["logistic"].argmax())]
stream = last_token_activations(model, texts, [best])[:, 0]
fitted, asked = rows("train", "cities"), rows("test", "cities")
probe = LogisticProbe(l2=0.1).fit(stream[fitted], labels[fitted])
token_ids = tokenize(model, [texts[i] for i in asked])
log_p = continuation_log_probs(model, [ids[:1] for ids in token_ids], [ids[1:] for ids in token_ids])
print(f"layer {best}, AUROC on unseen cities")
for name, scores in {
    "logistic probe": probe.decision_function(stream[asked]),
    "probability of the text": log_p,
}.items():
    print(f"    {name:<24} {bootstrap_interval(auroc, scores, labels[asked], groups=groups[asked])}")

# %% [markdown]
# ## Several subjects at once
#
# From here on at the layer that the validation cities chose, 19 on the embedded model. **Expect** the first picture
# to show subjects and not truth: what a text is about is the largest difference between texts.

# %%
affirmative = rows("train", *SUBJECTS)


def two_components(points: Float[Tensor, "row d_model"]) -> Float[Tensor, "row 2"]:
    centred = points - points.mean(dim=0)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T


pca_scatter(
    two_components(stream[affirmative]),
    [topics[i] for i in affirmative],
    [texts[i] for i in affirmative],
    title=f"Affirmative statements at layer {best}: the subject comes first",
)

# %% [markdown]
# ## Exercise · `center_by_topic`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# Statements about cities lie far from statements about animals, and that distance says nothing about truth. Subtract
# from each activation the mean of its topic. On training data (`means` is None) the means are computed, and returned
# with the centred activations; on test data they are given, and returned as they are: a mean fitted on test data has
# seen the test. A topic for which `means` has no entry, or another number of topics than activations: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `[topic == name for topic in topics]` as a tensor is a mask of the rows of one topic. Return new tensors.
#
# </details>


# %%
def center_by_topic(
    acts: Float[Tensor, "text d_model"], topics: list[str], means: dict[str, Tensor] | None = None
) -> tuple[Float[Tensor, "text d_model"], dict[str, Tensor]]:
    """(activations minus their topic's mean, the means). means: computed from acts when None, else used as given.

    Raises ValueError for a topic without a mean, and when acts and topics differ in length.
    Source: Bürger et al. 2024, arXiv:2407.12831.
    """
    ### BEGIN SOLUTION
    if len(acts) != len(topics):
        raise ValueError(f"{len(acts)} activations for {len(topics)} topics")
    if means is None:
        rows = {name: torch.tensor([topic == name for topic in topics]) for name in dict.fromkeys(topics)}
        means = {name: acts[mask].mean(dim=0) for name, mask in rows.items()}
    if unknown := set(topics) - set(means):
        raise ValueError(f"no mean for the topics {sorted(unknown)}")
    return acts - torch.stack([means[topic] for topic in topics]), means
    ### END SOLUTION


check(center_by_topic)

# %% [markdown]
# The same picture without the subjects' means. **Expect** true and false statements to come apart along one of the
# two components, not cleanly: nothing made a *principal* component look for truth.

# %%
centred, _ = center_by_topic(stream[affirmative], [topics[i] for i in affirmative])
pca_scatter(
    two_components(centred),
    ["true" if labels[i] else "false" for i in affirmative],
    [texts[i] for i in affirmative],
    classes=["true", "false"],
    title=f"The same statements, each subject's mean removed, layer {best}",
)

# %% [markdown]
# ## Is it truth?
#
# The hardest question for a truth probe costs one word: *not*. "The city of Lyon is not in Ghana" is true, and a
# probe that reads truth calls it true. **Expect** a failure that is worse than chance.

# %%
negated = rows("test", "neg_cities")
score_histogram(
    probe.decision_function(stream[negated]),
    labels[negated],
    threshold=0.0,
    names=("false", "true"),
    xlabel="score of the probe fitted on affirmative cities",
    title=f"Negated cities: accuracy {accuracy(probe.predict(stream[negated]), labels[negated]):.2f}",
)

# %% [markdown]
# Worse than a coin, and the two classes are not even mixed: they have changed places. "Not in Ghana" is called false
# because Lyon and Ghana do not belong together. The probe has learned whether the *city and the country* belong
# together, which on affirmative statements is the same as truth.

# %% [markdown]
# ## Exercise · `transfer_matrix`
#
# difficulty ●●○○○ · importance ●●●●● · 12 minutes
#
# A probe that reads *truth* should read it on another subject too. Fit one probe on each training set, ask it about
# every test set, and return the accuracies, a row a training set and a column a test set. `fit(acts, labels)`
# returns `(coef, intercept)`; a text is called true where `acts @ coef + intercept > 0`. Fit each probe once. A test
# set whose activations have another width than the training set's: `ValueError`.
#
# <details><summary>Hint</summary>
#
# Two loops: the outer one fits, the inner one asks.
#
# </details>

# %%
LabelledSet = tuple[Float[Tensor, "text d_model"], Bool[Tensor, "text"]]


def transfer_matrix(
    fit: Callable[[Tensor, Tensor], tuple[Float[Tensor, "d_model"], float]],
    train_sets: list[LabelledSet],
    test_sets: list[LabelledSet],
) -> Float[Tensor, "train test"]:
    """Accuracy of the probe fitted on each training set (row) on each test set (column).

    fit: (acts, labels) -> (coef, intercept); called once a training set. True means acts @ coef + intercept > 0.
    Raises ValueError where a training and a test set differ in d_model.
    """
    ### BEGIN SOLUTION
    widths = {acts.shape[1] for acts, _ in [*train_sets, *test_sets]}
    if len(widths) > 1:
        raise ValueError(f"activations of different width: {sorted(widths)}")
    rows = []
    for acts, labels in train_sets:
        coef, intercept = fit(acts, labels)
        right = [((test @ coef + intercept > 0) == truth).float().mean() for test, truth in test_sets]
        rows.append(torch.stack(right))
    return torch.stack(rows)
    ### END SOLUTION


check(transfer_matrix)

# %% [markdown]
# Every probe on every set. Each set is centred by its own training mean, so that a probe's intercept is not the
# reason for a failure. **Expect** blue on the diagonal. Then look at two things: whether a probe of one subject
# knows the others, and what every probe makes of negations.


# %%
def fit_logistic(acts: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    probe = LogisticProbe(l2=0.1).fit(acts, labels)
    return torch.from_numpy(probe.coef_).float(), float(probe.intercept_)


def centred_set(part: str, name: str) -> tuple[Tensor, Tensor]:
    _, means = center_by_topic(stream[rows("train", name)], [name] * len(rows("train", name)))
    chosen = rows(part, name)
    return center_by_topic(stream[chosen], [name] * len(chosen), means)[0], labels[chosen]


matrix = transfer_matrix(
    fit_logistic,
    [centred_set("train", name) for name in NAMES],
    [centred_set("test", name) for name in NAMES],
)
heatmap(
    matrix,
    NAMES,
    NAMES,
    centre=0.5,
    limits=(0.0, 1.0),
    unit="accuracy",
    row_title="fitted on",
    column_title="asked about (unseen facts)",
    title=f"Who transfers to whom, layer {best}",
)

# %% [markdown]
# Two patterns. A probe of one subject *does* know others: fitted on animals it is right on 82 of 100 statements
# about cities, and the few hundred common claims teach a probe more about cities (84) than about common claims (63).
# So it is not about cities. But affirmative probes are red on nearly every negation, and negated ones on nearly every
# affirmation. What they share is *belongs together* and *does not belong together*, not true and false. Larger-than is
# hardly known at all.

# %% [markdown]
# ## Exercise · `truth_and_polarity`
#
# difficulty ●●●●○ · importance ●●●●● · 20 minutes
#
# A probe fitted on affirmative statements fails on negated ones. Bürger et al. (2024) explain it by *two*
# directions: one that follows truth, and one that follows truth times polarity, so that it turns around in negated
# statements:
#
# $$ x_i - \bar x \approx \tau_i \, t_G + \tau_i p_i \, t_P, $$
#
# where $\tau_i$ is +1 for a true and −1 for a false statement, and $p_i$ is +1 for an affirmative and −1 for a
# negated one. Find both directions by least squares over all statements, without an intercept ($\bar x$ is the mean
# of all activations). Unless both labels and both polarities occur, in such a way that the two can be told apart:
# `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# The design matrix has two columns, $\tau$ and $\tau p$, and a row a text; the targets are the centred activations.
# `torch.linalg.lstsq(design, targets).solution` has a row a direction.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With one polarity alone the two columns are the same, or opposite: the rank of the design is 1
# (`torch.linalg.matrix_rank`).
#
# </details>


# %%
def truth_and_polarity(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], polarities: Int[Tensor, "text"]
) -> tuple[Float[Tensor, "d_model"], Float[Tensor, "d_model"]]:
    """(t_general, t_polarity): least squares of the centred activations on truth (±1) and truth × polarity.

    polarities: +1 affirmative, −1 negated; ValueError for anything else.
    Raises ValueError where only one polarity or only one label occurs, and where the three differ in length.
    Source: Bürger et al. 2024, arXiv:2407.12831 (TTPD).
    """
    ### BEGIN SOLUTION
    if not len(acts) == len(labels) == len(polarities):
        raise ValueError("every activation needs one label and one polarity")
    if not (polarities.abs() == 1).all():
        raise ValueError("polarities must be +1 (affirmative) or −1 (negated)")
    truth = torch.where(labels, 1.0, -1.0).double()
    design = torch.stack([truth, truth * polarities], dim=1)
    if labels.all() or not labels.any() or torch.linalg.matrix_rank(design) < 2:
        raise ValueError(
            "truth and truth × polarity cannot be told apart: both labels and polarities must occur"
        )
    acts = acts.double()
    general, polarity = torch.linalg.lstsq(design, acts - acts.mean(dim=0)).solution.float()
    return general, polarity
    ### END SOLUTION


check(truth_and_polarity)

# %% [markdown]
# The test of such a direction is a subject that it has never seen. Three are used to fit, with their negations, and
# the fourth is asked, affirmative and negated. Beside the two directions a logistic probe on the same statements,
# and one on the affirmative ones alone. AUROC, since where to put the threshold on an unseen subject is another
# question. **Expect** the polarity direction to be right on affirmative and wrong on negated statements: that is
# what it is for.


# %%
def directions_without(subject: str) -> dict[str, Float[Tensor, "d_model"]]:
    """Directions fitted on the training statements of the other subjects, affirmative and negated."""
    others = [name for name in SUBJECTS if name != subject]
    used = rows("train", *others, *(f"neg_{name}" for name in others))
    x, _ = center_by_topic(stream[used], [topics[i] for i in used])
    y, p = labels[used], polarities[used]
    general, polarity = truth_and_polarity(x, y, p)
    return {
        "t_general": general,
        "t_polarity": polarity,
        "logistic, both polarities": fit_logistic(x, y)[0],
        "logistic, affirmative only": fit_logistic(x[p == 1], y[p == 1])[0],
    }


def unseen(subject: str, *, negated: bool) -> Int[Tensor, "row"]:
    return rows("test", f"neg_{subject}" if negated else subject)


# %%
directions = {subject: directions_without(subject) for subject in SUBJECTS}
METHODS = list(directions["cities"])
questions = [(name, negated) for name in METHODS for negated in (False, True)]
table = torch.zeros(len(questions), len(SUBJECTS))
for row, (name, negated) in enumerate(questions):
    for column, subject in enumerate(SUBJECTS):
        asked = unseen(subject, negated=negated)
        table[row, column] = auroc(stream[asked] @ directions[subject][name], labels[asked])
heatmap(
    table,
    [f"{name}: {'negated' if negated else 'affirmative'}" for name, negated in questions],
    SUBJECTS,
    centre=0.5,
    limits=(0.0, 1.0),
    unit="AUROC",
    column_title="unseen subject",
    title=f"Fitted on three subjects, asked about the fourth, layer {best}",
)

# %% [markdown]
# Affirmative and negated statements together, as a lie detector would meet them, with an interval over facts. Chance
# is one half; random directions show how far from it a number can stray by luck. **Expect** the affirmative-only
# probe, good above, to fall nearly to chance.

# %%
lucky = torch.randn(sample_size(100, 10), stream.shape[1], generator=torch.Generator().manual_seed(0))
for subject in SUBJECTS:
    asked = torch.cat([unseen(subject, negated=False), unseen(subject, negated=True)])
    print(f"unseen subject {subject}, layer {best}")
    for name in METHODS:
        scores = stream[asked] @ directions[subject][name]
        print(f"    {name:<28} {bootstrap_interval(auroc, scores, labels[asked], groups=groups[asked])}")
    by_luck = torch.tensor([auroc(stream[asked] @ each, labels[asked]) for each in lucky])
    low, high = by_luck.quantile(torch.tensor([0.025, 0.975])).tolist()
    print(f"    {'random directions':<28} {by_luck.mean():.3f} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# ## What was shown, and what was not
#
# On the embedded model, 135 million parameters, a probe fitted on cities tells true from false statements about
# unseen cities with an AUROC of .98 at layer 19; the probability of the text gives .73, its words and an untrained
# twin nothing. It knows something of other subjects: animals (accuracy .80) and translations (.64), element symbols
# not (.52).
#
# It does not know *not*. Every probe fitted on affirmative statements is worse than a coin on negations of its own
# subject. Two directions describe that. The polarity direction is right on affirmative statements of an
# unseen subject (AUROC .72 to .92) and wrong on negated ones (.14 to .24). The general direction is right on both
# for three subjects of four; on negated translations it is at chance (.47).
#
# With both polarities mixed, on an unseen subject, a logistic probe that has seen negations reaches .66 to .85,
# where random directions lie between .38 and .60. The affirmative-only probe is at .50 to .55. Least squares gives a
# weaker direction (.56 to .65) than logistic regression on the same statements, although within one polarity it does as
# well or nearly: along it, negated statements as a whole lie apart from affirmative ones. So *linear and general* is not
# the same as *found by averaging*.
#
# Not shown: that the model *uses* any of this. And 135 million parameters need not be like a larger model.
#
# | | published | here |
# |---|---|---|
# | truth on an unseen subject, both polarities | accuracy 94 %: TTPD on models of 7 to 13 billion parameters, [Bürger et al. 2024](https://arxiv.org/abs/2407.12831), abstract | AUROC .66 to .85 (logistic), .56 to .65 (`t_general`) |
# | affirmative probes on negations | these methods "fail to generalize in very basic ways": [Levinstein & Herrmann 2023](https://arxiv.org/abs/2307.00175), abstract | accuracy .10 to .31 on the negations of their own subject |
#
# **Try it yourself.** Take the layer from the *negated* validation cities instead: does truth appear later than
# belonging together? Or give `fit_logistic` conjunctions and ask about disjunctions; what do both have in common?
# With `PROBING_MODEL` set to a larger model, watch the red cells.
