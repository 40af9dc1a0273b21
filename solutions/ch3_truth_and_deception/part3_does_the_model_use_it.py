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
# Time: 65 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 3 GB of memory.

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
# To see whether truth is *used* we need something that it is used for. The embedded model offers little: asked
# whether a statement is true it does hardly better than chance, although a probe reads the truth well. So this
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
print(
    f"{len(fitting)} pairs to fit on, {len(choosing)} to choose with, {len(reporting)} to report", end="\n\n"
)
print(judge.tokenizer.decode(tokenize(judge, [judgement(reporting[0][1])], chat=True)[0]))

# %% [markdown]
# The model reads from left to right, and we shall act at the end of the statement: on its full stop and what follows
# it. What stands before cannot change, so `Prefixes` computes it once; each intervention then costs seven tokens
# instead of thirty.

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
    return Prefixes(model, up_to_the_end(model, list(true))), Prefixes(
        model, up_to_the_end(model, list(false))
    )


print([judge.tokenizer.decode(token) for token in END])

# %% [markdown]
# ## Exercise · `truth_logit_difference`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# The model says "true" in several ways: " true", " True", "True". Each way is a token. Take the log of the summed
# probabilities of all true tokens, minus that of all false ones: the difference of two log-sum-exps of logits (the
# softmax's normaliser drops out). It is read at the last *real* position of each text, `last`, since shorter texts
# are padded on the right. No true or no false token, one that is both, or a `last` outside the text: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `logits[torch.arange(len(logits)), last]` is "batch d_vocab". Then `[:, true_ids].logsumexp(dim=-1)`.
#
# </details>


# %%
def truth_logit_difference(
    logits: Float[Tensor, "batch pos d_vocab"],
    last: Int[Tensor, "batch"],
    true_ids: list[int],
    false_ids: list[int],
) -> Float[Tensor, "batch"]:
    """log Σ p(true tokens) − log Σ p(false tokens) at position `last` of each text, in nats; each id counts once.

    Raises ValueError for an empty list of ids, an id in both, or a position outside 0 … pos − 1.
    """
    ### BEGIN SOLUTION
    if not true_ids or not false_ids or set(true_ids) & set(false_ids):
        raise ValueError(f"true ids {true_ids} and false ids {false_ids}: neither may be empty, none in both")
    if not ((last >= 0) & (last < logits.shape[1])).all():
        raise ValueError(f"last must lie in 0 … {logits.shape[1] - 1}")
    final = logits[torch.arange(len(logits)), last]
    true, false = (final[:, sorted(set(ids))].logsumexp(dim=-1) for ids in (true_ids, false_ids))
    return true - false
    ### END SOLUTION


check(truth_logit_difference)

# %% [markdown]
# The verdict is a number now: by how many nats "True" is more probable than "False". **Expect** two groups for the
# judge. The embedded model is asked the same, and is its floor.

# %%
TRUE_IDS, FALSE_IDS = (
    judge.tokenizer(word, add_special_tokens=False)["input_ids"][:1] for word in ("True", "False")
)


def verdicts(asked: Prefixes, hooks=()) -> Float[Tensor, "text"]:
    logits = asked.logits(END, hooks, last=1)
    return truth_logit_difference(logits, torch.zeros(len(asked), dtype=torch.long), TRUE_IDS, FALSE_IDS)


labels = np.repeat([True, False], len(reporting))
reported_sides = {
    "embedded model": both_sides(embedded, reporting),
    "judge": both_sides(judge, reporting),
}
for name, sides in reported_sides.items():
    said = torch.cat([verdicts(side) for side in sides])
    found = bootstrap_interval(auroc, said, labels, groups=np.tile(report_groups, 2))
    print(
        f"{name:<15} AUROC {found}   mean: true {said[labels].mean():+.2f}, false {said[~labels].mean():+.2f}"
    )
score_histogram(
    said,
    labels,
    title="The judge's verdicts on statements that it has not seen",
    names=("false", "true"),
    threshold=0.0,
    xlabel="verdict: log p(True) − log p(False), nats",
)

# %% [markdown]
# The judge tells the two apart (AUROC .88 [.84, .92]), the embedded model hardly (.60 [.56, .64]), on statements that
# neither was trained on. Between the judge's mean verdicts on true and on false ones lie 2.0 nats: that is the way to go.

# %% [markdown]
# ## Exercise · `add_direction_hook`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# A hook is called with the stream whenever the model passes its place, and what it returns replaces the stream. Make
# one that adds `coefficient * direction`. Where? With `positions=None` everywhere, on every pass. With a list of
# positions: there, on the *first* pass, and nowhere afterwards. When a model generates with a cache, its first pass
# has the whole prompt (`"batch pos d_model"`), and each later one only the newest token (`"batch 1 d_model"`): an
# absolute position means something else there. Negative positions count from the end of the first pass.
#
# The hook returns a new tensor. A position that the first pass does not have: `ValueError`. A hook serves one run:
# for another one make another.
#
# <details><summary>Hint 1</summary>
#
# A function inside your function remembers: `first = True` outside, `nonlocal first` inside.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `steered[:, positions] += …` does what you mean, also where a position occurs twice; a loop over positions would add
# it twice.
#
# </details>


# %%
def add_direction_hook(
    direction: Float[Tensor, "d_model"], coefficient: float, positions: list[int] | None = None
) -> Callable[..., Float[Tensor, "batch pos d_model"]]:
    """hook(resid, hook): resid + coefficient · direction, at the positions of the first pass, or everywhere on each.

    positions: of the first pass, negative ones from its end, each counted once; later passes are then left as they
    are. None: every position of every pass. The hook returns a new tensor and serves one run.
    The hook raises ValueError for a position that the first pass does not have.
    """
    ### BEGIN SOLUTION
    first = True

    def hook(resid, hook):
        nonlocal first
        if positions is None:
            return resid + coefficient * direction
        steered = resid.clone()
        if first:
            n_positions = resid.shape[1]
            if any(not -n_positions <= position < n_positions for position in positions):
                raise ValueError(f"positions {positions} are not all within the {n_positions} of this pass")
            steered[:, sorted({position % n_positions for position in positions})] += coefficient * direction
        first = False
        return steered

    return hook
    ### END SOLUTION


check(add_direction_hook)

# %% [markdown]
# ## Exercise · `normalized_indirect_effect`
#
# difficulty ●○○○○ · importance ●●●●● · 8 minutes
#
# How much of the way did the intervention go? With `base` the mean logit difference of false statements, `target`
# that of true ones, and `intervened` that of false statements with the direction added: 0 when nothing changed, 1
# when the model treats false statements as it treats true ones, more when it overshoots, negative when it went the
# wrong way. Where `target` equals `base` there is no way to go: `ValueError`.
#
# <details><summary>Hint</summary>
#
# A fraction of the distance from `base` to `target`.
#
# </details>


# %%
def normalized_indirect_effect(base: float, intervened: float, target: float) -> float:
    """(intervened − base) / (target − base): 0 nothing changed, 1 false behaves as true; ValueError for target = base.

    Source: Marks & Tegmark 2023, arXiv:2310.06824, the section on causal interventions.
    """
    ### BEGIN SOLUTION
    if target == base:
        raise ValueError(f"base and target are both {base}: there is no difference to make up")
    return (intervened - base) / (target - base)
    ### END SOLUTION


check(normalized_indirect_effect)

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

true_stream: dict[str, Float[Tensor, "text pos d_model"]] = {}
names = [f"blocks.{layer}.hook_out" for layer in LAYERS]
chosen_true.logits(
    END, [(name, lambda resid, hook: true_stream.setdefault(hook.name, resid)) for name in names], last=1
)


def swapped(layer: int, positions: list[int]) -> float:
    """The indirect effect where these tokens of the false statements get the true twins' stream."""

    def swap(resid, hook):
        changed = resid.clone()
        changed[:, positions] = true_stream[hook.name][:, positions]
        return changed

    moved = verdicts(chosen_false, [(f"blocks.{layer}.hook_out", swap)]).mean().item()
    return normalized_indirect_effect(start, moved, target)


# %%
everywhere = list(range(len(END)))
table = [
    [swapped(layer, positions) for positions in (*([i] for i in everywhere), everywhere)]
    for layer in tqdm(LAYERS, desc="swapping", leave=False)
]
ceiling = [row[-1] for row in table]
names = [repr(judge.tokenizer.decode(token)) for token in END]
heatmap(
    table,
    [str(layer) for layer in LAYERS],
    [*(f"{i} {name}" for i, name in enumerate(names)), "all"],
    title="False statements with the stream of their true twins",
    unit="indirect effect",
    row_title="layer",
    column_title="token",
    limits=(0, 1),
)

# %% [markdown]
# Up to layer 9 the truth is not there yet, and swapping does nothing. At layer 13 some of it can be exchanged at the
# full stop (.09). By layer 17 the last token has more than half of it, by layer 21 nearly all, and at layer 25 it
# alone goes .45 of the way. Even all seven tokens together go only half: the rest comes from *before* the full stop, from the country's name, to which
# every later token can look back.

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
    coin = torch.where(
        torch.rand(len(differences), 1, generator=torch.Generator().manual_seed(0)) < 0.5, -1, 1
    )
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
# detect, and some cosines well below 1: in 576 dimensions many directions separate the same classes.

# %%
middle = LAYERS[len(LAYERS) // 2]
true, false = (
    last_token_activations(
        embedded, [[*ids, END[0]] for ids in up_to_the_end(embedded, list(side))], [middle]
    )[:, 0]
    for side in zip(*choosing, strict=True)
)
rows = directions(middle)
for name, row in rows.items():
    scores = torch.cat([true, false]) @ row
    print(f"{name:<13} AUROC {bootstrap_interval(auroc, scores, np.repeat([True, False], len(choosing)))}")
units = torch.stack([row / row.norm() for row in rows.values()])
heatmap(
    units @ units.T,
    list(rows),
    list(rows),
    title=f"Cosines of the directions at layer {middle}",
    unit="cosine",
    limits=(-1, 1),
    centre=0.0,
)

# %% [markdown]
# All four detect equally well (.90 to .92, and the intervals overlap almost whole). Contrast PCA is nearly the mass-mean
# direction (a cosine of .97). Yet the logistic direction has a cosine of only .46 with it, the whitened one .18. As detectors nothing tells them apart; whether they
# are the *model's* direction is another question.

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
    floors={"ceiling: all swapped": ceiling},
    layers=LAYERS,
    ylabel="indirect effect",
    title="False statements, pushed towards true",
)

# %% [markdown]
# From layer 13 to 21 one distance between the means does about what exchanging the *whole* stream at these tokens does:
# .15, .16, .16 beside a ceiling of .13, .20, .21. There the mass-mean direction carries three quarters and more of what
# the model takes from these tokens. Contrast PCA, which has seen no label but one bit, does as much. The two directions
# with the covariance in them, whitened and logistic, are hardly better than random there, and at layer 17 both push the
# wrong way.
#
# Five random directions reach ±.12. No single number below that is worth a word, and the layer must not be chosen
# and reported on the same statements.

# %% [markdown]
# ## The report
#
# At the layer where the mass-mean direction did most, on cities that have played no part yet, and in both senses: a
# true statement pushed towards false has the same way to go, backwards. The floor is the range of twenty random
# directions of the same length. **Expect** the order of the sweep, if it was more than luck.

# %%
best = LAYERS[int(np.argmax(effects["mass-mean"]))]
sides = reported_sides["judge"]
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
    print(
        f"{sense}: {len(found)} random directions from {min(found):+.3f} to {max(found):+.3f}, "
        f"mean {np.mean(found):+.3f}"
    )
bars_with_floor(
    scores,
    intervals={f"{name}, {sense}": (each.low, each.high) for (name, sense), each in results.items()},
    floors={
        "largest random": [max(floors[sense]) for _, sense in results],
        "smallest random": [min(floors[sense]) for _, sense in results],
    },
    xlabel="normalised indirect effect",
    title=f"Pushed at layer {best}: how far of the way?",
)

# %% [markdown]
# Mass-mean is ahead in both senses (.20 [.18, .24] and .20 [.18, .23]), twice the largest of twenty random directions
# (.11 and .09). Logistic follows (.16 [.14, .18] and .16 [.14, .18]). Whitened (.12, .11) is hardly above the best
# random one, and contrast PCA has fallen inside their range: what varies most between twins need not be the same thing
# at every layer.
#
# The order is that of Marks & Tegmark (2023), who report that in LLaMA-2-13B the difference of means moved verdicts more
# than logistic regression's direction did. The level is not: some of theirs went nearly the whole way.

# %% [markdown]
# ## Push harder?
#
# One distance between the means goes only part of the way. **Expect** more from more. What you see is a verdict only: at
# eight times the distance the stream is far from any that the model ever had, and chapter 4 asks what else breaks.

# %%
COEFFICIENTS = [0.0, 1.0, 2.0, 4.0, 8.0]
luckiest = drawn[int(np.argmax(floors["false → true"]))]
lines = {name: rows[name] for name in ("mass-mean", "logistic")} | {"the largest random one": luckiest}
tradeoff(
    {
        name: (
            COEFFICIENTS,
            [
                normalized_indirect_effect(start, pushed(chosen_false, best, row, each).mean().item(), target)
                for each in COEFFICIENTS
            ],
        )
        for name, row in lines.items()
    },
    title=f"Pushed at layer {best}, harder and harder",
    xlabel="coefficient (1: the distance between the means)",
    ylabel="indirect effect",
)

# %% [markdown]
# In proportion, and past 1: at four times the distance false statements are called nearly as true as true ones (.9), at
# eight times truer (1.7). The largest of the twenty random directions grows in proportion too, to .4 and .8. So that a
# verdict turns under a hard push says little. That this direction turns it twice as far as the best of twenty, at every
# length, is what counts.
#
# ## What was shown, and what was not
#
# | | here (judge, SmolLM2-135M) | floor | published |
# |---|---|---|---|
# | verdicts on unseen cities, AUROC | .88 [.84, .92] | embedded model .60 [.56, .64] | |
# | the whole stream exchanged at the end, layers 13 / 17 / 21 / 25 | .13 / .20 / .21 / .49 | 0 | |
# | mass-mean pushed at layer 25, false → true / true → false | .20 [.18, .24] / .20 [.18, .23] | 20 random: −.15 … .11 | LLaMA-2-13B: up to .97 (Marks & Tegmark 2023) |
# | logistic | .16 [.14, .18] / .16 [.14, .18] | the same | less than mass-mean in most of their settings |
# | whitened; contrast PCA | .12 / .11; .04 / .02 | the same | |
#
# * Directions that *detect* equally well do not *act* equally well. The difference of means acts best where it was
#   reported, and from layer 13 to 21 does three quarters and more of what the stream at these tokens can do.
# * The judge was trained to report a verdict from what the blocks below computed. It shows that the direction *can* be
#   used, by a reader that was put there. It does not show that the embedded model uses it when nobody asks.
# * One topic, one prompt, one adapter. Try `split_statements("animal_class")`, and compare.
