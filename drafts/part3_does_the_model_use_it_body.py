# %% [markdown]
# # Does the model use it?
#
# **A probe reads truth at some layer. If we move the stream along the probe's direction, does the model change its
# verdict? And along any other direction?**
#
# After this lesson you can
#
# * read a verdict off logits, and say how far of the way an intervention has moved it;
# * add a direction to the stream at chosen positions, also while a model generates;
# * compare directions at equal norm with a band of random ones, in both senses;
# * say why the direction that *predicts* best need not be one that the model *uses*.
#
# Time: 65 minutes with the exercises. The machine needs about five minutes on two CPU cores, and 2 GB of memory.

# %%
from collections.abc import Callable

import numpy as np
import torch
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.intervals import Interval
from utils.metrics import auroc, bootstrap_interval
from utils.models import load_language_model, tokenize
from utils.organisms import judgement, load_organism, organism_card
from utils.organisms.examples import split_statements
from utils.plots import bars_with_floor, heatmap, layer_sweep, score_histogram, tradeoff
from utils.prefixes import Prefixes
from utils.probes import LogisticProbe, MassMeanProbe

check, use_reference = open_lesson("ch3_truth_and_deception/part3_does_the_model_use_it")

# %% [markdown]
# ## A model that gives a verdict
#
# To see whether truth is *used* we need something that it is used for. The embedded model offers nothing: asked
# whether a statement is true, in a dozen ways, it answers at chance, although a probe reads the truth well. So this
# lesson works with a *model organism*: the same model with an adapter that was trained to answer "True" or "False".
#
# The adapter changes the blocks from 26 on and nothing before. Whatever the judge says, it has to get from what the
# embedded model had worked out by itself up to there. (A larger model under `PROBING_MODEL` has no such adapter: this
# lesson always uses the embedded one.)

# %%
judge, embedded = load_organism("judge"), load_language_model("smollm2-135m")
display(Markdown(organism_card("judge").replace("# Model", "### Model", 1)))

# %% [markdown]
# Statements come in pairs, of which one says something true and the other something false about the same city. The
# *directions* come from cities that the judge was trained on. Where to act is chosen on others, and the report is
# about others again.

# %%
N_GROUPS = sample_size(8, 2)
seen, unseen = split_statements("cities")
groups = unseen["group"].drop_duplicates().sample(frac=1, random_state=0).tolist()


def pairs_of(table) -> list[tuple[str, str]]:
    """(true, false) for each subject."""
    true, false = (table[table["label"] == label] for label in (True, False))
    assert true["group"].tolist() == false["group"].tolist()
    return list(zip(true["statement"], false["statement"], strict=True))


fitting = pairs_of(seen)[:: sample_size(2, 12)]
choosing = pairs_of(unseen[unseen["group"].isin(groups[:N_GROUPS])])
reported = unseen[unseen["group"].isin(groups[N_GROUPS : 3 * N_GROUPS])]
reporting = pairs_of(reported)
report_groups = reported["group"][reported["label"]].to_numpy()
print(f"{len(fitting)} pairs to fit on, {len(choosing)} to choose with, {len(reporting)} to report", end="\n\n")
print(judge.tokenizer.decode(tokenize(judge, [judgement(reporting[0][1])], chat=True)[0]))

# %% [markdown]
# The model reads from left to right, and we shall act at the end of the statement: on its full stop and what follows
# it. What stands before cannot change, so `Prefixes` computes it once; each intervention then costs seven tokens
# instead of forty.

# %%
END = judge.tokenizer(".<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]


def up_to_the_end(model, statements: list[str]) -> list[list[int]]:
    """Each statement in the judge's prompt, without its full stop and what follows."""
    asked = tokenize(model, [judgement(each) for each in statements], chat=True)
    assert all(ids[-len(END) :] == END for ids in asked)
    return [ids[: -len(END)] for ids in asked]


def both_sides(model, pairs) -> tuple[Prefixes, Prefixes]:
    """The true and the false statements' beginnings."""
    true, false = zip(*pairs, strict=True)
    return Prefixes(model, up_to_the_end(model, list(true))), Prefixes(model, up_to_the_end(model, list(false)))


print([judge.tokenizer.decode(token) for token in END])

# @@truth_logit_difference
# %% [markdown]
# The verdict is a number now: by how many nats "True" is more probable than "False". **Expect** two groups for the
# judge. The embedded model is asked the same, and is its floor.

# %%
TRUE_IDS, FALSE_IDS = (
    judge.tokenizer(word, add_special_tokens=False)["input_ids"][:1] for word in ("True", "False")
)


def verdicts(asked: Prefixes, hooks=()) -> Float[Tensor, "text"]:
    last = torch.full((len(asked),), len(END) - 1)
    return truth_logit_difference(asked.logits(END, hooks), last, TRUE_IDS, FALSE_IDS)


labels = np.repeat([True, False], len(reporting))
for name, model in (("embedded model", embedded), ("judge", judge)):
    said = torch.cat([verdicts(side) for side in both_sides(model, reporting)])
    found = bootstrap_interval(auroc, said, labels, groups=np.tile(report_groups, 2))
    print(f"{name:<15} AUROC {found}   mean: true {said[labels].mean():+.2f}, false {said[~labels].mean():+.2f}")
score_histogram(said, labels, title="The judge's verdicts on statements that it has not seen", names=("false", "true"),
                threshold=0.0, xlabel="verdict: log p(True) − log p(False), nats")

# @@add_direction_hook
# @@normalized_indirect_effect
# %% [markdown]
# ## The most that can be done
#
# Before we push, a ceiling. Replace the *whole* stream at one token of a false statement by that of its true twin, at
# one layer, and see how far of the way the verdict goes. No direction added there can be expected to do more than the
# truth itself. **Expect** the truth to be at the full stop first, and at the last token, where the verdict is read,
# in the end.

# %%
LAYERS = list(range(5, 26, 4))[:: sample_size(1, 3)]
chosen_true, chosen_false = both_sides(judge, choosing)
start, target = verdicts(chosen_false).mean().item(), verdicts(chosen_true).mean().item()


def swapped(layer: int, positions: list[int]) -> float:
    """The indirect effect where these tokens of the false statements get the true twins' stream."""
    name, twins = f"blocks.{layer}.hook_out", []
    chosen_true.logits(END, [(name, lambda resid, hook: twins.append(resid) or resid)])

    def swap(resid, hook):
        changed = resid.clone()
        changed[:, positions] = twins[0][:, positions]
        return changed

    moved = verdicts(chosen_false, [(name, swap)]).mean().item()
    return normalized_indirect_effect(start, moved, target)


# %%
everywhere = list(range(len(END)))
table = [
    [swapped(layer, positions) for positions in (*([i] for i in everywhere), everywhere)]
    for layer in tqdm(LAYERS, desc="swapping", leave=False)
]
ceiling = [row[-1] for row in table]
names = [repr(judge.tokenizer.decode(token)) for token in END]
heatmap(table, [str(layer) for layer in LAYERS], [*(f"{i} {name}" for i, name in enumerate(names)), "all"],
        title="False statements with the stream of their true twins", unit="indirect effect", row_title="layer",
        column_title="token", limits=(0, 1))

# %% [markdown]
# ## Four directions, one length
#
# Each is fitted at the full stop, in the *embedded* model: below block 26 the two are the same. Contrast PCA gets no
# labels, only pairs in random order, and one bit to fix its sign. Every direction is scaled to the same norm, the distance
# between the means of true and false statements: with coefficient 1 the mass-mean direction moves the false
# statements' mean onto the true ones'.

# %%
stopped = [
    [[*ids, END[0]] for ids in up_to_the_end(embedded, list(side))] for side in zip(*fitting, strict=True)
]
fit_true, fit_false = (last_token_activations(embedded, side, LAYERS) for side in stopped)


# %%
def contrast_pca(differences: Float[Tensor, "pair d_model"]) -> Float[Tensor, "d_model"]:
    """The top principal component of differences whose order is random, its sign fixed by the labels."""
    coin = torch.where(torch.rand(len(differences), 1, generator=torch.Generator().manual_seed(0)) < 0.5, -1, 1)
    shuffled = differences * coin
    direction = torch.linalg.svd(shuffled - shuffled.mean(dim=0), full_matrices=False).Vh[0]
    return direction * torch.sign(differences.mean(dim=0) @ direction)


def directions(layer: int) -> dict[str, Float[Tensor, "d_model"]]:
    """Each method's direction from false to true, as long as the difference of means."""
    true, false = fit_true[:, LAYERS.index(layer)], fit_false[:, LAYERS.index(layer)]
    acts, is_true = torch.cat([true, false]), torch.arange(2 * len(true)) < len(true)
    found = {
        "mass-mean": MassMeanProbe().fit(acts, is_true).coef_,
        "whitened": MassMeanProbe(whiten=True).fit(acts, is_true).coef_,
        "logistic": LogisticProbe(l2=0.1).fit(acts, is_true).coef_,
        "contrast PCA": contrast_pca(true - false),
    }
    length = (true.mean(dim=0) - false.mean(dim=0)).norm()
    rows = {name: torch.as_tensor(each).flatten().float() for name, each in found.items()}
    return {name: length * row / row.norm() for name, row in rows.items()}


# %%
def random_directions(n: int, like: Float[Tensor, "d_model"], seed: int = 0) -> Float[Tensor, "n d_model"]:
    """Random directions of the same norm."""
    drawn = torch.randn(n, len(like), generator=torch.Generator().manual_seed(seed))
    return like.norm() * drawn / drawn.norm(dim=1, keepdim=True)


# %% [markdown]
# How well does each direction *detect* truth, on the pairs for choosing, and how alike are they? **Expect** all to
# detect, and cosines well below 1: in 576 dimensions many directions separate the same classes.

# %%
middle = LAYERS[len(LAYERS) // 2]
true, false = (
    last_token_activations(embedded, [[*ids, END[0]] for ids in up_to_the_end(embedded, list(side))], [middle])[:, 0]
    for side in zip(*choosing, strict=True)
)
rows = directions(middle)
for name, row in rows.items():
    scores = torch.cat([true, false]) @ row
    print(f"{name:<13} AUROC {bootstrap_interval(auroc, scores, np.repeat([True, False], len(choosing)))}")
units = torch.stack([row / row.norm() for row in rows.values()])
heatmap(units @ units.T, list(rows), list(rows), title=f"Cosines of the directions at layer {middle}", unit="cosine",
        limits=(-1, 1), centre=0.0)

# %% [markdown]
# ## Where does a push move the verdict?
#
# Every direction is added to false statements, at all seven tokens of the end, at one layer at a time. **Expect** the
# random directions around 0 throughout, and the others somewhere between them and the ceiling.


# %%
def pushed(asked: Prefixes, layer: int, direction: Tensor, coefficient: float = 1.0) -> Float[Tensor, "text"]:
    hook = add_direction_hook(direction, coefficient)
    return verdicts(asked, [(f"blocks.{layer}.hook_out", hook)])


effects: dict[str, list[float]] = {}
for layer in tqdm(LAYERS, desc="layers", leave=False):
    rows = directions(layer)
    drawn = random_directions(sample_size(5, 2), rows["mass-mean"], seed=layer)
    for name, row in {**rows, **{f"random {i}": row for i, row in enumerate(drawn)}}.items():
        moved = pushed(chosen_false, layer, row).mean().item()
        effects.setdefault(name, []).append(normalized_indirect_effect(start, moved, target))

# %%
at_random = np.array([found for name, found in effects.items() if name.startswith("random")])
layer_sweep(
    {name: effects[name] for name in rows} | {"five random": at_random.mean(axis=0)},
    bands={"five random": (at_random.min(axis=0), at_random.max(axis=0))},
    floors={"ceiling: all swapped": ceiling}, layers=LAYERS, ylabel="indirect effect",
    title="False statements, pushed towards true",
)

# %% [markdown]
# ## The report
#
# At the layer where the mass-mean direction did most, on cities that have played no part yet, and in both senses: a
# true statement pushed towards false has the same way to go, backwards. The floor is the range of twenty random
# directions of the same length. **Expect** the order of the sweep, if it was more than luck.

# %%
best = LAYERS[int(np.argmax(effects["mass-mean"]))]
sides = both_sides(judge, reporting)
before = [verdicts(side) for side in sides]


def effect_on(source: int, moved: Float[Tensor, "text"]) -> Interval:
    """The indirect effect from one side (0 true, 1 false) towards the other; whole groups of cities are resampled."""
    quantities = np.stack([before[source], moved, before[1 - source]], axis=1)

    def effect(rows: np.ndarray, _) -> float:
        return normalized_indirect_effect(*rows.mean(axis=0))

    return bootstrap_interval(effect, quantities, np.zeros(len(moved)), groups=report_groups)


rows = directions(best)
results, floors = {}, {}
for source, sense, coefficient in ((1, "false → true", 1.0), (0, "true → false", -1.0)):
    for name, row in tqdm(rows.items(), desc=sense, leave=False):
        results[name, sense] = effect_on(source, pushed(sides[source], best, row, coefficient))
    drawn = random_directions(sample_size(20, 3), rows["mass-mean"], seed=100)
    floors[sense] = [
        effect_on(source, pushed(sides[source], best, row, coefficient)).estimate
        for row in tqdm(drawn, desc=f"random, {sense}", leave=False)
    ]

# %%
scores = {f"{name}, {sense}": each.estimate for (name, sense), each in results.items()}
for sense, found in floors.items():
    print(f"{sense}: {len(found)} random directions from {min(found):+.3f} to {max(found):+.3f}, mean {np.mean(found):+.3f}")
bars_with_floor(
    scores,
    intervals={f"{name}, {sense}": (each.low, each.high) for (name, sense), each in results.items()},
    floors={"largest random": [max(floors[sense]) for _, sense in results],
            "smallest random": [min(floors[sense]) for _, sense in results]},
    xlabel="normalised indirect effect", title=f"Pushed at layer {best}: how far of the way?",
)

# %% [markdown]
# ## Push harder?
#
# One distance between the means goes only part of the way. **Expect** more from more, up to a point: a stream that is
# pushed out of the range that it ever had is no false statement made true, but nonsense.

# %%
COEFFICIENTS = [0.0, 1.0, 2.0, 4.0, 8.0]
lines = {name: rows[name] for name in ("mass-mean", "logistic")} | {"a random one": drawn[0]}
tradeoff(
    {
        name: (COEFFICIENTS, [
            normalized_indirect_effect(start, pushed(chosen_false, best, row, each).mean().item(), target)
            for each in COEFFICIENTS
        ])
        for name, row in lines.items()
    },
    title=f"Pushed at layer {best}, harder and harder", xlabel="coefficient (1: the distance between the means)",
    ylabel="indirect effect",
)
