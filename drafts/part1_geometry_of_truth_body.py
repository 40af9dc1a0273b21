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
# Time: 75 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2.5 GB of memory.

# %%
from collections.abc import Callable

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import load_statements
from utils.metrics import accuracy, auroc, bootstrap_interval
from utils.models import load_language_model, untrained_twin
from utils.plots import bars_with_floor, heatmap, layer_sweep, pca_scatter, score_histogram
from utils.probes import LogisticProbe, MassMeanProbe, fit_layers
from utils.splits import group_split

check, use_reference = open_lesson("ch3_truth_and_deception/part1_geometry_of_truth")

# %% [markdown]
# ## True and false
#
# Statements that are true or false, on several subjects, each with its negation. They are built in balance: every
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
    kept = groups.sample(min(len(groups), sample_size(100, 24)), random_state=0)
    tables[name] = table[table["group"].isin(kept)].reset_index(drop=True)
statements = pd.concat(tables.values(), keys=NAMES, names=["set", None]).reset_index("set").reset_index(drop=True)
statements.groupby("set", sort=False).agg(
    example=("statement", "first"), label=("label", "first"), n=("label", "size"), true=("label", "mean")
)

# %% [markdown]
# A *group* holds a fact with all its variants, and, for cities, the negations and conjunctions that share them. Whole
# groups go to training, validation or test: a probe is never asked about a fact that it was fitted on.

# %%
parts = dict(zip(("train", "validation", "test"), group_split(statements["group"], (0.6, 0.15, 0.25), seed=0), strict=True))
labels = torch.tensor(statements["label"].to_numpy())
texts = statements["statement"].tolist()
is_of = {name: torch.tensor((statements["set"] == name).to_numpy()) for name in NAMES}


def rows(part: str, *names: str) -> Int[Tensor, "row"]:
    """The rows of one part that belong to any of the sets."""
    chosen = torch.tensor(parts[part])
    return chosen[torch.stack([is_of[name] for name in names]).any(dim=0)[chosen]]


print({part: len(index) for part, index in parts.items()})

# @@bag_of_words_baseline
# %% [markdown]
# **Expect** one half for the sets that are balanced word by word, and more where position or order matters less than
# a single word does.

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
# sentences about cities. Two floors: the words, and the *untrained twin* of the model. **Expect** nothing for the
# first third of the layers, and then a jump.

# %%
model = load_language_model()
step = max(1, model.cfg.n_layers // 15)
LAYERS = list(range(step - 1, model.cfg.n_layers, step))
acts = last_token_activations(model, texts, LAYERS)
cities = is_of["cities"]
twin_acts = torch.zeros(len(texts), len(LAYERS), acts.shape[2])
twin_acts[cities] = last_token_activations(
    untrained_twin(model, seed=0), [text for text, kept in zip(texts, cities, strict=True) if kept], LAYERS
)

# %%
train, validation, test = (rows(part, "cities") for part in parts)
swept = {
    "logistic": fit_layers(LogisticProbe(l2=0.1), acts[train], labels[train], LAYERS).scores(acts[validation], labels[validation]),
    "mass-mean": fit_layers(MassMeanProbe(), acts[train], labels[train], LAYERS).scores(acts[validation], labels[validation]),
}
twin_sweep = fit_layers(LogisticProbe(l2=0.1), twin_acts[train], labels[train], LAYERS)
layer_sweep(
    swept,
    floors={"untrained twin": twin_sweep.scores(twin_acts[validation], labels[validation]), "words": words["cities"]},
    layers=LAYERS,
    ylabel="accuracy",
    title="“The city of X is in Y.” True or false? (validation facts)",
)

# %% [markdown]
# ## Another floor: how probable is the text?
#
# There is a rival that words in a bag do not catch. A language model finds "Lyon is in France" more *probable* than
# "Lyon is in Ghana"; that is its trade. A direction that follows probability would look like truth here. So score
# each statement by its total log-probability under the model, and see how well that alone separates.


# %%
@torch.no_grad()
def log_probability(chosen: Tensor) -> Float[Tensor, "row"]:
    """The sum of the log-probabilities of each statement's tokens but the first, in nats."""
    found = []
    for i in chosen.tolist():
        ids = torch.tensor(tokenize(model, [texts[i]]))
        log_p = model(ids)[0, :-1].log_softmax(dim=-1)
        found.append(log_p.gather(1, ids[0, 1:, None]).sum())
    return torch.stack(found)


best = LAYERS[int(swept["logistic"].argmax())]
probe = LogisticProbe(l2=0.1).fit(acts[train][:, LAYERS.index(best)], labels[train])
print(f"layer {best}, AUROC on unseen cities")
for name, scores in {
    "logistic probe": probe.decision_function(acts[test][:, LAYERS.index(best)]),
    "probability of the text": log_probability(test),
}.items():
    print(f"    {name:<24} {bootstrap_interval(auroc, scores, labels[test], groups=statements['group'][test.numpy()])}")

# %% [markdown]
# ## Several subjects at once
#
# From here on at the layer that the validation cities chose. **Expect** the first picture to show subjects and not
# truth: what a text is about is the largest difference between texts.

# %%
stream = acts[:, LAYERS.index(best)]
affirmative = rows("train", *SUBJECTS)


def two_components(points: Float[Tensor, "row d_model"]) -> Float[Tensor, "row 2"]:
    centred = points - points.mean(dim=0)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T


topics = statements["topic"].tolist()
pca_scatter(
    two_components(stream[affirmative]),
    [topics[i] for i in affirmative],
    [texts[i] for i in affirmative],
    title=f"Affirmative statements at layer {best}: the subject comes first",
)

# @@center_by_topic
# %%
centred, _ = center_by_topic(stream[affirmative], [topics[i] for i in affirmative])
pca_scatter(
    two_components(centred),
    ["true" if labels[i] else "false" for i in affirmative],
    [texts[i] for i in affirmative],
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
    torch.from_numpy(probe.decision_function(stream[negated])),
    labels[negated],
    threshold=0.0,
    xlabel="score of the probe fitted on affirmative cities",
    title=f"Negated cities: accuracy {accuracy(probe.predict(stream[negated]), labels[negated]):.2f}",
)

# %% [markdown]
# Worse than a coin: "not in Ghana" is called false because Lyon and Ghana do not belong together. The probe learned
# whether the *city and the country* belong together, which on affirmative statements is the same as truth.

# @@transfer_matrix
# %% [markdown]
# Every probe on every set. Each set is centred by its own training mean, so that a probe's intercept is not the
# reason for a failure. **Expect** a bright diagonal, dark cells between a set and its negation, and little elsewhere.


# %%
def fit_logistic(acts: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    probe = LogisticProbe(l2=0.1).fit(acts, labels)
    return torch.from_numpy(probe.coef_).float(), float(probe.intercept_)


def centred_set(part: str, name: str) -> tuple[Tensor, Tensor]:
    _, means = center_by_topic(stream[rows("train", name)], [name] * len(rows("train", name)))
    chosen = rows(part, name)
    return center_by_topic(stream[chosen], [name] * len(chosen), means)[0], labels[chosen]


matrix = transfer_matrix(
    fit_logistic, [centred_set("train", name) for name in NAMES], [centred_set("test", name) for name in NAMES]
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

# @@truth_and_polarity
# %% [markdown]
# The test of such a direction is a subject that it has never seen. Three are used to fit, with their negations, and
# the fourth is asked, affirmative and negated. Beside it a logistic probe on the same statements, and one on the
# affirmative ones alone. AUROC, since where to put the threshold on an unseen subject is another question. **Expect**
# the polarity direction to be right on affirmative and wrong on negated statements: that is what it is for.


# %%
def held_out_scores(subject: str) -> dict[str, Float[Tensor, "row"]]:
    """Scores of the unseen subject's test statements by directions fitted on the other subjects."""
    others = [name for name in SUBJECTS if name != subject]
    fit_rows = rows("train", *others, *(f"neg_{name}" for name in others))
    polarities = torch.tensor(statements["polarity"].to_numpy())
    x, _ = center_by_topic(stream[fit_rows], [topics[i] for i in fit_rows])
    y, p = labels[fit_rows], polarities[fit_rows]
    general, polarity = truth_and_polarity(x, y, p)
    directions = {
        "t_general": general,
        "t_polarity": polarity,
        "logistic, both polarities": fit_logistic(x, y)[0],
        "logistic, affirmative only": fit_logistic(x[p == 1], y[p == 1])[0],
    }
    asked = rows("test", subject, f"neg_{subject}")
    return {name: stream[asked] @ direction for name, direction in directions.items()}


# %%
table = {}
for subject in SUBJECTS:
    asked = rows("test", subject, f"neg_{subject}")
    for name, scores in held_out_scores(subject).items():
        for sign, kind in ((1, "affirmative"), (-1, "negated")):
            chosen = torch.tensor(statements["polarity"].to_numpy())[asked] == sign
            table.setdefault((name, kind), {})[subject] = auroc(scores[chosen], labels[asked][chosen])
heatmap(
    [[table[row][subject] for subject in SUBJECTS] for row in table],
    [f"{name}: {kind}" for name, kind in table],
    SUBJECTS,
    centre=0.5,
    limits=(0.0, 1.0),
    unit="AUROC",
    row_title="",
    column_title="unseen subject",
    title=f"Directions fitted on three subjects, asked about the fourth, layer {best}",
)

# %% [markdown]
# The mean over the four subjects, with an interval over facts. Chance is one half.

# %%
print(f"layer {best}, both polarities together, on an unseen subject")
for name in ("t_general", "t_polarity", "logistic, both polarities", "logistic, affirmative only"):
    for subject in SUBJECTS:
        asked = rows("test", subject, f"neg_{subject}")
        scores = held_out_scores(subject)[name]
        found = bootstrap_interval(auroc, scores, labels[asked], 300, groups=statements["group"][asked.numpy()])
        print(f"    {name:<28} {subject:<14} {found}")

# %% [markdown]
# ## What was shown, and what was not
