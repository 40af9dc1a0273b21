# %% [markdown]
# # Which direction steers?
#
# **Is the direction that tells a concept best also the one that moves the model most?**
#
# After this lesson you can
#
# * divide a difference of means by the spread within the classes, and say what that is good for;
# * compare directions at equal norm: how well they detect, how far they move, what they cost;
# * take other concepts out of a direction, all of them at once;
# * take a direction out of a model's weights, so that the model cannot write it any more.
#
# Time: 75 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2.5 GB of memory.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from utils.activations import all_token_activations, last_token_activations
from utils.boards import othello
from utils.boards.load import load_board_model
from utils.boards.records import OthelloRecords, othello_records
from utils.course import open_lesson, sample_size
from utils.datasets import BLAME, CONCEPTS, PRAISE, concept_pairs, load_review_pairs
from utils.intervals import Interval
from utils.likelihood import word_tokens
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.models import load_language_model, tokenize
from utils.plots import bars_with_floor, dose_response_curves, tradeoff
from utils.prefixes import Prefixes
from utils.probes import LogisticProbe
from utils.splits import group_split
from utils.steering import typical_norm

check, use_reference = open_lesson("ch4_steering/part3_which_direction_steers")
model = load_language_model()
LAYERS = list(range(11, model.cfg.n_layers - 1, 5))[:: sample_size(1, 3)]

# %% [markdown]
# ## One concept, many directions
#
# The concept is praise, in pairs of reviews that differ in their opinion words only. Of forty things half serve to
# fit directions, some to choose with, the rest to report on.

# %%
said = load_review_pairs("said")
fit, choose, report = group_split([each.group for each in said], (0.5, 0.2, 0.3), seed=0)
fitting = [said[row] for row in fit][:: sample_size(1, 4)]
choosing = [said[row] for row in choose][:: sample_size(3, 8)]
reporting = [said[row] for row in report][:: sample_size(2, 12)]
print(f"{len(fitting)} pairs to fit on, {len(choosing)} to choose with, {len(reporting)} to report on\n")
print(f"+ {reporting[0].positive}\n− {reporting[0].negative}")


def both(pairs) -> list[str]:
    """All positive texts, then all negative ones."""
    return [each.positive for each in pairs] + [each.negative for each in pairs]


def is_praise(pairs) -> Bool[Tensor, "text"]:
    return torch.arange(2 * len(pairs)) < len(pairs)


def groups_of(pairs) -> np.ndarray:
    return np.tile([each.group for each in pairs], 2)


# %% [markdown]
# What should move is the model's own verdict, as in part 2: by how many nats words of praise are more probable than
# words of blame as the next one after "Overall, it was". A direction is added to these four tokens, after one block.
# Everything before them is computed once.

# %%
ENDING, NEXT = tokenize(model, [" Overall, it was", " The next day, they"], bos=False)
PRAISED, BLAMED = (word_tokens(model.tokenizer, words) for words in (PRAISE, BLAME))


def pushing(layer: int, push: Float[Tensor, "d_model"]):
    """The hook that adds the push after this block."""
    return [(f"blocks.{layer}.hook_out", lambda resid, hook: resid + push)]


def praised(asked: Prefixes, hooks=()) -> Float[Tensor, "text"]:
    """log p(a word of praise) − log p(a word of blame), in nats."""
    last = asked.logits(ENDING, hooks, last=1)[:, 0]
    return last[:, PRAISED].logsumexp(dim=1) - last[:, BLAMED].logsumexp(dim=1)


# %% [markdown]
# And the price: sentences that have nothing to do with praise, each followed by " The next day, they". By how many
# nats does the same push change what the model expects there, KL(unsteered ‖ steered), on average over these tokens?
#
# **Expect** the verdict to follow the review. This is how far apart praise and blame are by themselves, and a yardstick
# for every push.

# %%
neutral = [pair.neutral for concept in CONCEPTS for pair in concept_pairs(concept)[: sample_size(5, 1)]]
plain = Prefixes(model, tokenize(model, neutral))
log_p = plain.logits(NEXT).log_softmax(dim=-1)


def price(layer: int, push: Tensor) -> float:
    """KL(unsteered ‖ steered) of the next token on neutral text, in nats a token."""
    steered = plain.logits(NEXT, pushing(layer, push)).log_softmax(dim=-1)
    return float((log_p.exp() * (log_p - steered)).sum(dim=-1).mean())


chosen, reported = (Prefixes(model, tokenize(model, both(pairs))) for pairs in (choosing, reporting))
verdicts = praised(reported)
gap = verdicts[is_praise(reporting)] - verdicts[~is_praise(reporting)]
print(
    "verdict, AUROC:", bootstrap_interval(auroc, verdicts, is_praise(reporting), groups=groups_of(reporting))
)
print(f"praise after praise − after blame, nats: {mean_interval(gap, groups=[e.group for e in reporting])}")

# %% [markdown]
# The verdict follows the review: .97, and 2.6 nats from blame to praise.

# %% [markdown]
# ## Exercise · `whitened_direction`
#
# difficulty ●●●●○ · importance ●●●●○ · 20 minutes
#
# The difference of means says where the classes lie. It does not say what else varies there: a dimension in which
# the texts of *one* class differ widely tells little, however large the difference of means in it. To tell classes
# apart, divide by that spread:
#
# $$ w = \Bigl((1 - s)\,\Sigma + s\,\frac{\operatorname{tr} \Sigma}{d}\, I\Bigr)^{-1} (\mu_1 - \mu_0). $$
#
# $\Sigma$ is the covariance within the classes, pooled: of each text take the deviation from the mean of *its own*
# class, and average the outer products over all $n$ texts of both classes. (Divide by $n$; another divisor would
# only change the length of $w$.) The shrinkage $s$ pulls $\Sigma$ towards a multiple of the identity with the same
# trace. With $s = 0$ this is Fisher's discriminant; with $s = 1$ a multiple of the difference of means.
#
# Where one class is missing, where $s$ is not within 0 … 1, and where the matrix is singular: `ValueError`. A
# pseudo-inverse would return something there. But it ignores every direction in which the classes do not vary, and
# in such a direction they may lie apart without any overlap.
#
# <details><summary>Hint 1</summary>
#
# `torch.where(labels[:, None], mean_1, mean_0)` is each text's own class mean. Compute in float64.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Rounding lets an inverse of a singular matrix pass without an error. `torch.linalg.matrix_rank(matrix,
# hermitian=True)` allows for rounding: smaller than d_model means singular. Then `torch.linalg.solve`.
#
# </details>


# %%
def whitened_direction(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], shrinkage: float
) -> Float[Tensor, "d_model"]:
    """((1 − shrinkage)·Σ + shrinkage·(tr Σ / d_model)·I)⁻¹ (mean of True − mean of False).

    Σ: the covariance within the classes, pooled: all outer products of deviations from the own class's mean, summed
    over both classes and divided by the number of texts n (not n − 2).
    Raises ValueError where a class is missing, where shrinkage is not within 0 … 1, and where the matrix is singular
    to rounding: with shrinkage 0 where the texts do not vary in all directions, with any where they do not vary at all.
    Source: Fisher's linear discriminant; as a probe in Marks & Tegmark 2023, arXiv:2310.06824, section 5.
    """
    ### BEGIN SOLUTION
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage} does not lie within 0 … 1")
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: a difference needs two means")
    exact, d_model = acts.double(), acts.shape[1]
    mean_1, mean_0 = exact[labels].mean(dim=0), exact[~labels].mean(dim=0)
    deviations = exact - torch.where(labels[:, None], mean_1, mean_0)
    covariance = deviations.T @ deviations / len(acts)
    level = covariance.trace() / d_model
    shrunk = (1 - shrinkage) * covariance + shrinkage * level * torch.eye(d_model)
    if torch.linalg.matrix_rank(shrunk, hermitian=True) < d_model:
        raise ValueError(
            f"the covariance is singular at shrinkage={shrinkage}: more texts, or more shrinkage"
        )
    return torch.linalg.solve(shrunk, mean_1 - mean_0).to(acts.dtype)
    ### END SOLUTION


check(whitened_direction)
# %% [markdown]
# ## The candidates
#
# From the stream at the last token of the fitting reviews:
#
# * **logistic**: the weights of a logistic probe, translated back to the stream;
# * **mass-mean**: the difference of means;
# * **whitened**: yours, at shrinkage 0.1;
# * **contrast PCA**: the first principal component of the pairs' differences in random order; one bit of labels, for its
#   sign;
# * **one neuron**: what a single neuron of the block's MLP writes to the stream. It is the one whose activation tells
#   the fitting reviews best, of all in that block. Sparse autoencoders (SAEs) look for directions as specific as this
#   one is meant to be; but it is a neuron of the model, and no SAE was trained here.
#
# The neurons' activations are what goes into the MLP's last weight, `mlp.out.hook_in`, and what one of them writes is a
# column of that weight.

# %%
weights = {
    name.replace("._original_component", ""): module.weight
    for name, module in model.original_model.named_modules()
    if isinstance(module, nn.Linear)
}


@torch.no_grad()
def last_tokens(
    texts: list[str],
) -> tuple[Float[Tensor, "text layer d_model"], Float[Tensor, "text layer neuron"]]:
    """For each of LAYERS the stream, and its MLP's activations, at the last token of each text: one run for both."""
    points = [f"blocks.{layer}.{point}" for point in ("hook_out", "mlp.out.hook_in") for layer in LAYERS]
    found: dict[str, list[Tensor]] = {name: [] for name in points}
    token_lists = [torch.tensor(ids) for ids in tokenize(model, texts)]
    for rows in tqdm(torch.arange(len(texts)).split(32), desc="last tokens", leave=False):
        batch = [token_lists[row] for row in rows]
        last = torch.tensor([len(ids) - 1 for ids in batch])

        def keep(acts, hook, last=last):
            found[hook.name].append(acts[torch.arange(len(last)), last].clone())

        tokens = pad_sequence(batch, batch_first=True)
        hooks = [(name, keep) for name in points]
        model.run_with_hooks(tokens, fwd_hooks=hooks, stop_at_layer=max(LAYERS) + 1)
    whole = [torch.cat(found[name]) for name in points]
    return torch.stack(whole[: len(LAYERS)], dim=1), torch.stack(whole[len(LAYERS) :], dim=1)


# %%
def best_neuron(activations: Float[Tensor, "text neuron"], labels: Bool[Tensor, "text"]) -> tuple[int, float]:
    """The neuron whose activation tells the labels best, and +1 or −1: more of it is praise, or blame."""
    found = np.array([auroc(column, labels) for column in activations.T])
    best = int(np.abs(found - 0.5).argmax())
    return best, float(np.sign(found[best] - 0.5))


def contrast_pca(differences: Float[Tensor, "pair d_model"]) -> Float[Tensor, "d_model"]:
    """The top principal component of differences in random order, its sign fixed by the labels."""
    coin = torch.rand(len(differences), 1, generator=torch.Generator().manual_seed(0)) < 0.5
    shuffled = torch.where(coin, -1, 1) * differences
    direction = torch.linalg.svd(shuffled - shuffled.mean(dim=0), full_matrices=False).Vh[0]
    return direction * torch.sign(differences.mean(dim=0) @ direction)


(fit_acts, fit_neurons), labels = last_tokens(both(fitting)), is_praise(fitting)


# %%
def candidates(layer: int) -> dict[str, Float[Tensor, "d_model"]]:
    """A unit vector from blame to praise by each method."""
    acts, activations = (each[:, LAYERS.index(layer)] for each in (fit_acts, fit_neurons))
    positive, negative = acts[labels], acts[~labels]
    neuron, sign = best_neuron(activations, labels)
    found = {
        "logistic": torch.from_numpy(LogisticProbe(l2=0.1).fit(acts, labels).coef_).float(),
        "mass-mean": positive.mean(dim=0) - negative.mean(dim=0),
        "whitened": whitened_direction(acts, labels, 0.1),
        "contrast PCA": contrast_pca(positive - negative),
        "one neuron": sign * weights[f"model.layers.{layer}.mlp.down_proj"][:, neuron].detach(),
    }
    return {name: F.normalize(each, dim=0) for name, each in found.items()}


def random_directions(n: int, d_model: int, seed: int) -> Float[Tensor, "n d_model"]:
    """Random unit vectors."""
    return F.normalize(torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed)), dim=1)


directions = {layer: candidates(layer) for layer in tqdm(LAYERS, desc="candidates", leave=False)}

# %% [markdown]
# ## The same length for all
#
# A logistic probe's weights and a difference of means have lengths that mean different things. So all are compared
# at equal norm: a fraction of the stream's median norm at that layer. Choosing comes first, on the choosing things.
# Move the slider: how much does the verdict move, at which layer? The grey range is that of two random directions a
# layer.
#
# **Expect** all candidates to leave the grey range, and not by the same amount.

# %%
stream = all_token_activations(model, tokenize(model, both(choosing)), LAYERS)
NORMS = {layer: typical_norm(torch.cat([each[1:, at] for each in stream])) for at, layer in enumerate(LAYERS)}
FRACTIONS = [-0.5, -0.25, 0.0, 0.25, 0.5]
start = praised(chosen)
moved: dict[str, list[list[float]]] = {}
for layer in tqdm(LAYERS, desc="layers", leave=False):
    drawn = random_directions(2, model.cfg.d_model, seed=layer)
    every = directions[layer] | {f"random {i}": row for i, row in enumerate(drawn)}
    for name, unit in every.items():
        curve = [
            float((praised(chosen, pushing(layer, f * NORMS[layer] * unit)) - start).mean()) if f else 0.0
            for f in FRACTIONS
        ]
        moved.setdefault(name, []).append(curve)

# %%
at_random = np.array([curves for name, curves in moved.items() if name.startswith("random")])
total = {name: np.array(curves)[:, -2] - np.array(curves)[:, 1] for name, curves in moved.items()}
best = int(np.argmax(sum(total[name] for name in directions[LAYERS[0]])))
LAYER, FRACTION = LAYERS[best], 0.25
dose_response_curves(
    FRACTIONS,
    {name: moved[name] for name in directions[LAYER]},
    layers=LAYERS,
    bands={"random": (at_random.min(axis=0), at_random.max(axis=0))},
    start=best,
    title="The verdict, pushed along five directions (choosing things)",
    xlabel="push, as a fraction of the stream's median norm",
    ylabel="change of the verdict, nats",
)

# %% [markdown]
# After block 11 no candidate leaves the grey range by as much as a nat. After block 16 the neuron does nothing that was
# meant, and the others move the verdict further towards blame (2.5 to 3.9 nats at a quarter of the norm) than towards
# praise (1.1 to 1.5). Block 21 moves it both ways, and block 26 most: a push of a quarter of the stream's norm is worth
# 4.2 to 4.9 nats for four of the five. The whitened direction gets 1.9.
#
# Block 26 is taken to the report, with a quarter of the norm. It was chosen for the *sum* over all candidates, so that
# none is favoured.

# %% [markdown]
# ## Shrinkage is a dial
#
# Yours has a dial. At shrinkage 1 it is the difference of means, towards 0 it becomes the direction that best
# *tells* the fitting reviews apart. Turn it, and look at both: AUROC on the choosing reviews, and the effect of a
# push beside that of the mass-mean direction.
#
# **Expect** detection to care little, since it is good throughout, and the effect to grow with the share of the plain
# difference of means.


# %%
def effects(asked: Prefixes, layer: int, unit: Tensor, fraction: float = 0.25) -> Float[Tensor, "text"]:
    """Half the difference between a push towards praise and one as long towards blame, for each text."""
    push = fraction * NORMS[layer] * unit
    up, down = (praised(asked, pushing(layer, sign * push)) for sign in (1, -1))
    return (up - down) / 2


choose_acts = last_token_activations(model, tokenize(model, both(choosing)), [LAYER])[:, 0]
acts = fit_acts[:, LAYERS.index(LAYER)]
dial: dict[float, tuple[float, float]] = {}
for shrinkage in tqdm([0.01, 0.03, 0.1, 0.3, 0.6, 1.0][:: sample_size(1, 3)], desc="shrinkage", leave=False):
    unit = F.normalize(whitened_direction(acts, labels, shrinkage), dim=0)
    told = auroc(choose_acts @ unit, is_praise(choosing))
    dial[shrinkage] = (told, float(effects(chosen, LAYER, unit).mean()))
whole = float(effects(chosen, LAYER, directions[LAYER]["mass-mean"]).mean())
told, done = zip(*dial.values(), strict=True)
tradeoff(
    {"AUROC": (list(dial), told), "effect, mass-mean = 1": (list(dial), [each / whole for each in done])},
    title=f"Between telling and moving, after block {LAYER}",
    xlabel="shrinkage",
    ylabel="AUROC, and share of the mass-mean effect",
)

# %% [markdown]
# Towards the difference of means the effect triples. Detection does not pay for it: on these things AUROC rises,
# from .94 to .98. With 160 texts in 576 dimensions the covariance is hardly known, and little shrinkage fits its
# noise. So whitening costs two thirds of the effect here, and buys nothing.

# %% [markdown]
# ## The report
#
# Layer and length are fixed. Now the things that have played no part yet: how well does each direction detect, how
# far does it move the verdict, how many texts go the wrong way, and what does it cost? The floor: twenty random
# directions of the same norm. A neuron detects by its activation; all others by the product with the stream.
#
# Detection is reported twice: on reviews that *say* the opinion, and on those of the same things that only *imply*
# it.

# %%
pairs_of = {
    "said": reporting,
    "implied": [each for each in load_review_pairs("implied") if each.group in groups_of(reporting)],
}
pairs_of["implied"] = pairs_of["implied"][:: sample_size(1, 8)]
neuron, sign = best_neuron(fit_neurons[:, LAYERS.index(LAYER)], labels)
streams, firing = {}, {}
for kind, pairs in pairs_of.items():
    acts, activations = (each[:, LAYERS.index(LAYER)] for each in last_tokens(both(pairs)))
    streams[kind], firing[kind] = acts, sign * activations[:, neuron]


def detects(kind: str, scores: Float[Tensor, "text"]) -> Interval:
    pairs = pairs_of[kind]
    return bootstrap_interval(auroc, scores, is_praise(pairs), groups=groups_of(pairs))


def row_of(unit: Float[Tensor, "d_model"]) -> tuple[Interval, float, float]:
    """Effect in nats, share of texts that move the wrong way, KL on neutral text."""
    moved = effects(reported, LAYER, unit)
    wrong = float((moved < 0).float().mean())
    return (
        mean_interval(moved, groups=groups_of(reporting)),
        wrong,
        price(LAYER, FRACTION * NORMS[LAYER] * unit),
    )


# %%
drawn = random_directions(sample_size(20, 3), model.cfg.d_model, seed=100)
every = directions[LAYER] | {f"random {i}": row for i, row in enumerate(drawn)}
rows = {name: row_of(unit) for name, unit in tqdm(every.items(), desc="directions", leave=False)}
told = {
    name: {
        kind: detects(kind, firing[kind] if name == "one neuron" else streams[kind] @ unit)
        for kind in pairs_of
    }
    for name, unit in every.items()
}
print(f"after block {LAYER}, {FRACTION:g} of the stream's norm, {len(reporting)} pairs\n")
print(f"{'':<14}{'AUROC, said':<22}{'implied':<22}{'effect, nats':<22}{'wrong way':<12}KL, nats")
for name in directions[LAYER]:
    moved_by, wrong, kl = rows[name]
    print(
        f"{name:<14}{told[name]['said']!s:<22}{told[name]['implied']!s:<22}{moved_by!s:<22}{wrong:<12.2f}{kl:.3f}"
    )

# %%
by_chance = [name for name in every if name not in directions[LAYER]]
columns = {
    "AUROC, said": [told[name]["said"].estimate for name in by_chance],
    "AUROC, implied": [told[name]["implied"].estimate for name in by_chance],
    "effect, nats": [rows[name][0].estimate for name in by_chance],
    "wrong way": [rows[name][1] for name in by_chance],
    "KL, nats": [rows[name][2] for name in by_chance],
}
print(f"{len(by_chance)} random directions")
for name, found in columns.items():
    print(f"  {name:<16}{min(found):+.3f} … {max(found):+.3f}")
points = {name: ([told[name]["said"].estimate], [rows[name][0].estimate]) for name in directions[LAYER]}
tradeoff(
    points | {"random": (columns["AUROC, said"], columns["effect, nats"])},
    loose=["random"],
    title=f"Telling and moving, after block {LAYER} (reporting things)",
    xlabel="AUROC",
    ylabel="effect on the verdict, nats",
)

# %% [markdown]
# All five detect, .98 to 1.00. The two perfect detectors are the logistic probe's and the whitened direction. Of
# these the first moves the verdict by 3.5 nats and the second by 1.7, half of what contrast PCA does, the worst
# detector of the five. Whoever had picked a direction by AUROC could not have known. Twenty random directions lie
# within −1.2 … 1.3 nats, so all five are beyond chance. No text goes the wrong way, where random ones turn from none
# to all of them.
#
# A surprise: on reviews that only *imply* an opinion all five come to .52 … .60, and random directions to .42 … .68.
# What they detect are words that say an opinion. A push along them moves the verdict all the same.
#
# The price is mostly that of any push. Random ones cost .14 to .19 nats, and so do logistic and whitened; the mean
# difference (.22) and contrast PCA (.24) cost more, and the neuron less (.12). It moves the verdict as far as the
# mean difference, at half the price. That is one neuron of 1,536, chosen for how it *detects* on the fitting
# reviews; whether other concepts have such a one was not looked at.

# %%
doses = [0.125, 0.25, 0.5]
bought = {
    name: (
        [price(LAYER, dose * NORMS[LAYER] * unit) for dose in doses],
        [float(effects(reported, LAYER, unit, dose).mean()) for dose in doses],
    )
    for name, unit in tqdm(
        (directions[LAYER] | {"a random one": drawn[0]}).items(), desc="doses", leave=False
    )
}
tradeoff(
    bought,
    labels={"one neuron": [f"{dose:g}" for dose in doses]},
    title="What an effect costs",
    xlabel="KL on neutral text, nats a token",
    ylabel="effect on the verdict, nats",
)

# %% [markdown]
# At equal *price* the order changes. For .2 nats the neuron gives about 4.5, logistic about 4, mass-mean 3.5, and
# whitened 2. What is "best" depends on what is held equal: length or harm.

# %% [markdown]
# ## A board, checked by the rules
#
# Words of praise are a matter of taste. A board is not: chapter 2 turned a disc in the stream of an Othello model,
# and the rules said which moves are legal then. The same question there: which direction from *theirs* to *mine*
# turns a disc, at equal norm? All games, as they come: nobody has made pairs of boards that differ in one disc only.
#
# The stream after block 2, the single block at which chapter 2 found that edits work best, and a direction for every
# square.

# %%
othello_model = load_board_model("othello").model
MINE, AFTER = 1, 2


def relative(records: OthelloRecords) -> Int[Tensor, "game move square"]:
    """0 empty, 1 a disc of the player to move, 2 the other player's."""
    return torch.from_numpy(othello.mine_and_theirs(records.boards.numpy(), records.to_move.numpy()))


seen = othello_records(sample_size(400, 60), seed=12)
states = relative(seen).flatten(0, 1)
board_acts = all_token_activations(othello_model, seen.tokens.tolist(), [AFTER]).flat(AFTER)[0]
board_norm = typical_norm(board_acts)


def disc_rows(square: int, every: int = 1) -> tuple[Float[Tensor, "row d_model"], Bool[Tensor, "row"]]:
    """The stream where the square has a disc, and whether it is mine."""
    rows = (states[:, square] > 0).nonzero().squeeze(1)[::every]
    return board_acts[rows], states[rows, square] == MINE


# %%
turning: dict[str, Float[Tensor, "square d_model"]] = {
    name: torch.zeros(64, board_acts.shape[1]) for name in ("logistic", "mass-mean", "whitened")
}
for square in tqdm(range(64), desc="squares", leave=False):
    rows, mine = disc_rows(square)
    turning["mass-mean"][square] = rows[mine].mean(dim=0) - rows[~mine].mean(dim=0)
    rows, mine = disc_rows(square, every=4)
    turning["whitened"][square] = whitened_direction(rows, mine, 0.01)
    turning["logistic"][square] = torch.from_numpy(LogisticProbe(l2=1e-3).fit(rows, mine).coef_)

# %% [markdown]
# How well do they detect, on games that nobody has fitted? A case is a position and a disc to turn, one a game, such
# that turning it changes what is legal. Errors are counted as in chapter 2: the model names as many moves as are
# legal on the *edited* board; how many are wrong, and how many are missing?


# %%
def make_cases(n: int, seed: int) -> dict[str, Tensor]:
    """After a random move of each game, from the tenth to the fiftieth, a random disc to turn."""
    records, generator, games = othello_records(n, seed), torch.Generator().manual_seed(seed), torch.arange(n)
    move = torch.randint(9, 50, (n,), generator=generator)
    boards, to_move = records.boards[games, move], records.to_move[games, move]
    square = torch.multinomial((boards > 0).float(), 1, generator=generator)
    edited = boards.scatter(1, square, 3 - boards.gather(1, square))
    made = {
        "tokens": records.tokens[:, :50],
        "move": move,
        "square": square.squeeze(1),
        "sign": torch.where(relative(records)[games, move, square.squeeze(1)] == MINE, -1, 1),
        "legal": records.legal[games, move],
        "edited_legal": torch.from_numpy(othello.legal_moves_on(edited.numpy(), to_move.numpy())),
    }
    changes = (made["legal"] != made["edited_legal"]).any(dim=1)
    return {name: values[changes] for name, values in made.items()}


# %%
@torch.no_grad()
def move_errors(
    cases: dict[str, Tensor], directions: Tensor | None, fraction: float = 0.0, legal: str = "edited_legal"
) -> Int[Tensor, "case"]:
    """Wrong and missing moves of each case, with its disc pushed to the other side after one block."""
    rows = torch.arange(len(cases["move"]))

    def hook(resid, hook):
        edited = resid.clone()
        if directions is not None:
            units = F.normalize(directions[cases["square"]], dim=1)
            edited[rows, cases["move"]] += fraction * board_norm * cases["sign"][:, None] * units
        return edited

    hooks = [(f"blocks.{AFTER}.hook_out", hook)]
    logits = othello_model.run_with_hooks(cases["tokens"], fwd_hooks=hooks)[rows, cases["move"]]
    squares = torch.full((len(rows), 64), float("-inf"))
    squares[:, othello.TOKEN_SQUARES[1:]] = logits[:, 1:]
    named = squares.argsort(dim=1, descending=True).argsort(dim=1) < cases[legal].sum(dim=1, keepdim=True)
    return (named != cases[legal]).sum(dim=1)


# %% [markdown]
# **Expect** a push that is too short to do little, and one that is too long to break more than it mends. In between,
# whatever the language model has taught you to expect.

# %%
choosing_cases, reporting_cases = make_cases(sample_size(200, 40), 13), make_cases(sample_size(500, 60), 14)
turning["random"] = random_directions(64, board_acts.shape[1], seed=0)
LENGTHS = [0.0, 0.2, 0.3, 0.4, 0.5, 0.7][:: sample_size(1, 2)]


def errors_by_length(rows: Float[Tensor, "square d_model"]) -> list[float]:
    """The mean over choosing cases, for a push of each length."""
    return [float(move_errors(choosing_cases, rows, length).float().mean()) for length in LENGTHS]


curves = {name: errors_by_length(rows) for name, rows in tqdm(turning.items(), desc="lengths", leave=False)}
own = float(move_errors(choosing_cases, None, legal="legal").float().mean())
tradeoff(
    {name: (LENGTHS, curve) for name, curve in curves.items()} | {"its own board": ([0.0], [own])},
    title=f"A disc turned after block {AFTER} ({len(choosing_cases['move'])} choosing cases)",
    xlabel="push, as a fraction of the stream's median norm",
    ylabel="errors against the edited board",
)

# %% [markdown]
# At .4 of the norm three directions bring 2.65 errors down to .85 … .89, not far from the .63 of an untouched board.
# The random one makes matters worse at every length.

# %% [markdown]
# ## Exercise · `project_out`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# A direction for one concept usually contains some of others: of sentiment, of the texts' length, of a word. Whoever
# adds it moves them all. Remove from `direction` what lies in the *span* of the nuisances, so that the rest is
# orthogonal to every one of them. Its length is what is left over: do not normalise it.
#
# Nuisances are hardly ever orthogonal to each other. Subtracting the projections on them one by one then fails: the
# second subtraction puts some of the first nuisance back. Nor need they be independent. A nuisance that is zero,
# that occurs twice, or that is a combination of others adds nothing to the span. Without any nuisance the direction
# stays as it is.
#
# <details><summary>Hint 1</summary>
#
# Find orthonormal vectors that span the same. Projections on *those* may be subtracted one by one, or all at once.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Of `torch.linalg.svd(nuisance, full_matrices=False)` the rows of `Vh` are orthonormal; those with a singular value
# that is not 0 to rounding span what the nuisances span.
#
# </details>


# %%
def project_out(
    direction: Float[Tensor, "d_model"], nuisance: Float[Tensor, "k d_model"]
) -> Float[Tensor, "d_model"]:
    """The part of direction that is orthogonal to the span of all nuisances, not normalised.

    nuisance: one a row, of any length; zero, repeated and dependent rows add nothing. With k = 0 the direction itself.
    """
    ### BEGIN SOLUTION
    exact = direction.double()
    _, values, rows = torch.linalg.svd(F.normalize(nuisance.double(), dim=1), full_matrices=False)
    basis = rows[values > 1e-6]
    return (exact - basis.T @ (basis @ exact)).to(direction.dtype)
    ### END SOLUTION


check(project_out)
# %% [markdown]
# ## Its neighbours with it
#
# Discs on neighbouring squares go together. So the difference of means of c3 contains some of d4, and a push along it
# may turn both. Whitening takes such things into account, if they show in the covariance. With `project_out` one can do it by hand: take out of each square's direction those of the eight
# squares that are most like it.
#
# %%
EVERY_SQUARE = F.normalize(turning["mass-mean"], dim=1)
alike = (EVERY_SQUARE @ EVERY_SQUARE.T).abs().fill_diagonal_(0)
neighbours = alike.argsort(dim=1, descending=True)[:, :8]
turning["mass-mean, others out"] = torch.stack(
    [project_out(row, EVERY_SQUARE[near]) for row, near in zip(EVERY_SQUARE, neighbours, strict=True)]
)
c3 = 2 * 8 + 2
print(
    "most like the direction of c3:",
    ", ".join(f"{'abcdefgh'[s % 8]}{s // 8 + 1}" for s in neighbours[c3].tolist()),
)
print(f"cosines {alike[c3, neighbours[c3]].min():.2f} … {alike[c3, neighbours[c3]].max():.2f}")
print(f"left of a direction: {turning['mass-mean, others out'].norm(dim=1).mean():.2f} of its length")

# %% [markdown]
# **Expect** fewer errors if that was the fault. And detection? Discs nearby are evidence too: a detector may do
# *better* for reading them along.

# %%
curves["mass-mean, others out"] = errors_by_length(turning["mass-mean, others out"])
lengths = {name: LENGTHS[int(np.argmin(curve))] for name, curve in curves.items()}
lengths["random"] = lengths["mass-mean"]
held = othello_records(sample_size(200, 40), seed=15)
held_acts = all_token_activations(othello_model, held.tokens.tolist(), [AFTER]).flat(AFTER)[0]
held_states, SQUARES = relative(held).flatten(0, 1), range(0, 64, 5)


def board_auroc(rows: Float[Tensor, "square d_model"]) -> float:
    """Mine against theirs on unseen games, the mean over some squares."""
    there = {square: held_states[:, square] > 0 for square in SQUARES}
    return float(
        np.mean([auroc(held_acts[on] @ rows[s], held_states[on, s] == MINE) for s, on in there.items()])
    )


turned = {name: move_errors(reporting_cases, rows, lengths[name]) for name, rows in turning.items()}
floor = [
    float(move_errors(reporting_cases, rows, lengths["random"]).float().mean())
    for rows in random_directions(64 * sample_size(8, 2), board_acts.shape[1], seed=1).split(64)
]

# %%
print(f"{len(reporting_cases['move'])} cases; each direction at the length that was best on the others\n")
print(f"{'':<24}{'length':<9}{'errors':<23}AUROC, unseen games")
for name, found in turned.items():
    told = board_auroc(turning[name])
    print(f"{name:<24}{lengths[name]:<9g}{mean_interval(found)!s:<23}{told:.3f}")
for name, legal in (("no edit", "edited_legal"), ("own board, no edit", "legal")):
    print(f"{name:<33}{mean_interval(move_errors(reporting_cases, None, legal=legal))}")
print(f"{f'{len(floor)} random':<24}{lengths['random']:<9g}{min(floor):.3f} … {max(floor):.3f}\n")
for worse, better in (
    ("mass-mean", "logistic"),
    ("mass-mean", "mass-mean, others out"),
    ("logistic", "mass-mean, others out"),
):
    print(f"errors of {worse} − {better}, case by case: {mean_interval(turned[worse] - turned[better])}")

# %% [markdown]
# Here the probe's direction detects better than the mean difference, .92 against .83. And it steers no better and no
# worse: .94 and .92 errors, a difference of −.02 [−.12, .08] case by case. Random directions mend nothing (2.8 … 3.0;
# without an edit 2.67).
#
# And the neighbours? Without the eight most similar squares the direction detects worse, .76. So the others were
# evidence that it used. But it makes as many errors as before (−.01 [−.14, .14]): no gain that these cases can show.


# %% [markdown]
# ## Exercise · `orthogonalise_weight`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# To ablate a direction in the stream, hooks must run at every layer. The same can be done once, in the weights.
# Whatever is written to the stream is `x @ weight` for some `weight` of shape (d_in, d_model): the embedding, the
# output of attention, the output of the MLP. With $\hat r$ the unit vector along the direction,
#
# $$ W' = W - (W \hat r)\, \hat r^\top : $$
#
# every row loses its component along the direction, and so does everything that is written, whatever $x$ is. What is
# orthogonal to the direction is written as before. (Arditi et al. multiply from the other side, so that their
# formula is the transpose of this one. They treat biases that are added to the stream in the same way: as a weight
# of one row.)
#
# `direction` may have any length (a zero one: `ValueError`). Return a new tensor of the same dtype.
#
# <details><summary>Hint</summary>
#
# `torch.outer(weight @ unit, unit)` has the shape of `weight`.
#
# </details>


# %%
def orthogonalise_weight(
    weight: Float[Tensor, "d_in d_model"], direction: Float[Tensor, "d_model"]
) -> Float[Tensor, "d_in d_model"]:
    """A copy of weight, used as x @ weight, whose output has no component along direction and is otherwise the same.

    The result has the dtype of weight, so that it can take its place in the model.
    Raises ValueError for a zero direction.
    Source: "weight orthogonalization" of Arditi et al. 2024, arXiv:2406.11717, there W ← W − r̂ r̂ᵀ W for W x.
    """
    ### BEGIN SOLUTION
    if not direction.any():
        raise ValueError("the direction is zero: there is nothing to take out")
    unit = direction / direction.norm()
    return weight - torch.outer(weight @ unit, unit)
    ### END SOLUTION


check(orthogonalise_weight)
# %% [markdown]
# ## Out of the weights
#
# To add a direction shows that the model *can* be moved by it. Does it *need* it? Three kinds of module write to
# this model's stream: the embedding, each attention's output and each MLP's. (That is the Llama family; a model
# under `PROBING_MODEL` has to be one of it. There are no biases.) Take the direction out of all of them.
#
# One trap. In this model embedding and unembedding are *one* matrix, which writes and reads. The last norm rescales
# each dimension by itself, so that a stream without the direction may have it again when the unembedding reads it.
# To change what is written and nothing that is read, the unembedding gets a copy of its own first.

# %%
edited = load_language_model()
modules = {
    name.replace("._original_component", ""): module for name, module in edited.original_model.named_modules()
}
modules["lm_head"].weight = nn.Parameter(modules["lm_head"].weight.clone())
removed = directions[LAYER]["mass-mean"]
n_changed = 0
for name, module in modules.items():
    if isinstance(module, nn.Embedding):
        module.weight.data = orthogonalise_weight(module.weight.data, removed)
    elif name.endswith(("o_proj", "down_proj")) and isinstance(module, nn.Linear):
        # torch keeps a linear layer's weight as (d_model, d_in), for weight @ x.
        module.weight.data = orthogonalise_weight(module.weight.data.T, removed).T
    else:
        continue
    n_changed += 1
print(f"{n_changed} weights of {model.cfg.n_layers} blocks changed")

# %% [markdown]
# Is that the same as hooks that take the direction out of whatever is written? **Expect** equal logits to float
# precision, at every token. The untouched model's logits say what "equal" has to be compared with. And what is left
# of the direction in the stream?

# %%
WRITERS = [
    "hook_embed",
    *(f"blocks.{layer}.{part}.hook_out" for layer in range(model.cfg.n_layers) for part in ("attn", "mlp")),
]


def without(unit: Float[Tensor, "d_model"]):
    """Hooks that take the direction out of everything that is written to the stream."""
    return [(name, lambda acts, hook: acts - (acts @ unit).unsqueeze(-1) * unit) for name in WRITERS]


with torch.no_grad():
    tokens = torch.tensor(tokenize(model, [f"{reporting[0].positive} Overall, it was"]))
    untouched, by_weights = model(tokens), edited(tokens)
    by_hooks = model.run_with_hooks(tokens, fwd_hooks=without(removed))
    last = f"blocks.{model.cfg.n_layers - 1}.hook_out"
    left = {
        name: each.run_with_cache(tokens, names_filter=[last])[1][last] @ removed
        for name, each in (("untouched", model), ("edited", edited))
    }
print(f"largest difference of logits, weights and hooks: {(by_weights - by_hooks).abs().max():.1e}")
print(f"largest difference of logits, weights and untouched: {(by_weights - untouched).abs().max():.1f}")
for name, along in left.items():
    print(f"largest component along the direction at the end, {name}: {along.abs().max():.1e}")

# %% [markdown]
# Equal to 10⁻⁴ nats, where the untouched model's logits differ by up to 5.6. And nothing is left of the direction at
# the end of the stream.
#
# Now the question. With the direction gone from everything that is written, how far apart are the verdicts after
# praise and after blame? Hooks do it here, one candidate at a time. **Expect** random directions to change nothing,
# and the others to be needed, if this is how the model knows.

# %%
del edited, modules
asked = tokenize(model, both(reporting[::3]))
asked_groups = [each.group for each in reporting[::3]]


def gap_without(unit: Tensor | None) -> Interval:
    """Praise after praise − praise after blame, with the direction out of everything that is written."""
    with model.hooks(fwd_hooks=[] if unit is None else without(unit)):
        found = praised(Prefixes(model, asked))
    positive, negative = found.chunk(2)
    return mean_interval(positive - negative, groups=asked_groups)


intact = gap_without(None)
needed = {
    name: gap_without(unit) for name, unit in tqdm(directions[LAYER].items(), desc="removed", leave=False)
}
spared = [gap_without(unit).estimate for unit in tqdm(drawn[: sample_size(5, 1)], desc="random", leave=False)]
print(f"nothing removed: {intact}; {len(spared)} random ones {min(spared):.2f} … {max(spared):.2f}")
for name, each in needed.items():
    print(f"{name:<14}{each}")
bars_with_floor(
    {name: each.estimate for name, each in needed.items()},
    intervals={name: (each.low, each.high) for name, each in needed.items()},
    floors={"nothing removed": intact.estimate, "least of the random ones": min(spared)},
    xlabel="verdict after praise − after blame, nats",
    title=f"A direction of block {LAYER} out of all that is written",
)

# %% [markdown]
# All are needed, where random directions leave 2.0 to 2.7 nats. Without the difference of means, one direction of 576, .40
# [.01, .81] of 2.53 nats are left; without contrast PCA .47 [.09, .87], logistic .92 [.52, 1.37], the neuron 1.00
# [.63, 1.40], whitened 1.69 [1.32, 2.06]. The whitened direction, which detects best and moves least, is also needed
# least. The order of the others is not settled by so few pairs.
#
# ## What was shown, and what was not
#
# | | here (SmolLM2-135M) | floor | published (AxBench 2025, Gemma-2) |
# |---|---|---|---|
# | detection, logistic / mass-mean | 1.00 / .99 [.97, 1.00] | 20 random: .31 … .83 | probe .940, mean difference .942 |
# | steering, logistic / mass-mean | 3.5 [3.4, 3.7] / 3.8 [3.6, 3.9] nats | −1.2 … 1.3 | .098 / .239 (a judge's score) |
# | whitened; contrast PCA; one neuron | 1.7; 3.7; 3.7 nats | the same | |
# | a disc turned, logistic / mass-mean, errors | .94 [.79, 1.10] / .92 [.76, 1.11] | no edit 2.67, random 2.8 … 3.0, own board .64 | |
# | verdict without the mean difference | .40 [.01, .81] of 2.53 nats | 5 random: 2.0 … 2.7 | refusal .95 → .01 (Arditi et al. 2024, Llama-3-8B) |
#
# * How well a direction detects does not say how well it steers. That agrees with AxBench. The wide gap between probe
#   and mean difference does not appear here: at equal norm both act nearly alike after block 26. Theirs is a judge's score
#   of written text, over many concepts; ours the next word after one ending.
# * Whitening spoils the direction for steering on the reviews, and not on the board. There thousands of positions estimate
#   a covariance of 192 dimensions, here 160 texts one of 576; and the shrinkage differs, .01 and .1.
# * Taking out and pushing agree that the whitened direction does least. They need not agree: a model can be moved by what
#   it does not need.
# * One concept, one ending, one model; pairs that differ in opinion words only. Try `LAYER = 21`, where the directions
#   differ more: on the choosing things a push towards praise is worth 4.5 nats for mass-mean, 2.7 for logistic.
