# %% [markdown]
# # How the board is computed
#
# **The board is in the stream. Which parts of the model wrote it there, from which moves, and who reads it?**
#
# After this lesson you can
#
# * take a direction apart into what the embedding, each attention and each MLP contributed to it, exactly;
# * see what one head copied from which earlier move;
# * tell whether layers share a direction, or each has its own;
# * patch one position of one layer, and follow a fact from the move that made it to the move that uses it;
# * find a neuron that reads the board, and test the claim.
#
# Time: 80 minutes with the exercises. The machine needs about one and a half minutes on two CPU cores, and 2 GB of
# memory.

# %%
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations
from utils.boards import othello
from utils.boards.load import load_board_model
from utils.boards.probe import BoardProbe, linear_board_probe
from utils.boards.records import OthelloRecords, othello_records
from utils.course import open_lesson, sample_size
from utils.intervals import Interval
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.plots import BoardView, bars_with_floor, board_row, heatmap, layer_sweep

check, use_reference = open_lesson("ch2_board_states/part4_how_the_board_is_computed")

# %% [markdown]
# Model, games and probes as before: mine / theirs / empty, a probe a layer. A probe's "mine" direction for a square
# is the unit vector from *theirs* to *mine*.

# %%
model: Any = load_board_model("othello").model
LAYERS = list(range(model.cfg.n_layers))
EMPTY, MINE, THEIRS = 0, 1, 2
KEPT = [square for square in range(64) if square not in othello.CENTRE]


def relative(records: OthelloRecords) -> Int[Tensor, "game move square"]:
    return torch.from_numpy(othello.mine_and_theirs(records.boards.numpy(), records.to_move.numpy()))


train = othello_records(sample_size(1000, 200), seed=22)
test = othello_records(sample_size(200, 40), seed=23)
acts = {
    part: all_token_activations(model, records.tokens.tolist(), LAYERS)
    for part, records in (("train", train), ("test", test))
}
probes = [
    linear_board_probe(acts["train"].flat(layer)[0], relative(train).flatten(0, 1), n_states=3)
    for layer in tqdm(LAYERS, desc="probes", leave=False)
]


def mine_directions(probe: BoardProbe) -> Float[Tensor, "d_model square"]:
    difference = probe.weight[..., MINE] - probe.weight[..., THEIRS]
    return difference / difference.norm(dim=0)


# %% [markdown]
# ## Exercise · `component_contributions`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# The stream after a block is a *sum*: the embedding (of token and position), plus what each attention and each MLP up
# to this block has added. So its projection on a direction is a sum of projections, and each says how much one part
# of the model wrote.
#
# For one game `tokens "pos"`, return the projections on the unit vector along `direction`, one row a component in the
# order of the computation: embedding, attention 0, MLP 0, attention 1, MLP 1, … MLP `layer`. The rows add up to the
# projection of the stream after block `layer`. A layer that the model has not, or a direction of zeros: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `_, cache = model.run_with_cache(tokens.unsqueeze(0))` has `"hook_embed"`, `"hook_pos_embed"`, and for block k
# `f"blocks.{k}.hook_attn_out"` and `f"blocks.{k}.hook_mlp_out"`, each of shape (1, pos, d_model).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Add the two embeddings: they are one component. `torch.stack(parts) @ unit` has shape (component, pos).
#
# </details>


# %%
@torch.no_grad()
def component_contributions(
    model, tokens: Int[Tensor, "pos"], layer: int, direction: Float[Tensor, "d_model"]
) -> Float[Tensor, "component pos"]:
    """How much each component wrote along a direction: embedding, attention 0, MLP 0, … MLP `layer`.

    Projections on the unit vector along direction; they add up to that of the stream after block `layer`.
    Raises ValueError for a layer outside 0 … n_layers − 1 and for a direction of zeros.
    """
    ### BEGIN SOLUTION
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer must lie in 0 … {model.cfg.n_layers - 1}, not {layer}")
    if direction.norm() == 0:
        raise ValueError("direction is zero")
    _, cache = model.run_with_cache(tokens.unsqueeze(0))
    parts = [cache["hook_embed"][0] + cache["hook_pos_embed"][0]]
    for block in range(layer + 1):
        parts += [cache[f"blocks.{block}.hook_attn_out"][0], cache[f"blocks.{block}.hook_mlp_out"][0]]
    return torch.stack(parts) @ (direction / direction.norm())
    ### END SOLUTION


check(component_contributions)

# %% [markdown]
# Average over games and squares: the contribution towards the *truth*, that is towards mine where the disc is mine
# and away from it where it is theirs. A component that writes the same whatever the board contributes nothing on
# average, so each is centred first (over games, square by square and move by move).
#
# **Expect** little of the embedding: one move knows one disc, the one that was just placed. Control: the same sum
# along a random direction for each square.

# %%
layer = 2
truth = relative(test)
sign = (truth == MINE).float() - (truth == THEIRS).float()
MOVES = slice(9, 50)


def towards_truth(written: Float[Tensor, "game move square"]) -> float:
    """The mean contribution towards the true side over occupied squares, after centring over games."""
    centred = (written - written.mean(dim=0)) * sign[: len(written)]
    occupied = sign[: len(written)].abs()
    return float(centred[:, MOVES][..., KEPT].sum() / occupied[:, MOVES][..., KEPT].sum())


# %%
@torch.no_grad()
def all_components(
    games: Int[Tensor, "game move"], layer: int
) -> dict[str, Float[Tensor, "game move d_model"]]:
    """What `component_contributions` adds up, for many games and before any projection."""
    _, cache = model.run_with_cache(
        games, names_filter=lambda name: name.endswith(("embed", "attn_out", "mlp_out"))
    )
    parts = {"embedding": cache["hook_embed"] + cache["hook_pos_embed"]}
    for block in range(layer + 1):
        parts[f"attention {block}"] = cache[f"blocks.{block}.hook_attn_out"]
        parts[f"MLP {block}"] = cache[f"blocks.{block}.hook_mlp_out"]
    return parts


# %%
parts = all_components(test.tokens, layer)
directions = mine_directions(probes[layer])
one_game = component_contributions(model, test.tokens[0], layer, directions[:, KEPT[0]])
assert torch.allclose(
    one_game, torch.stack([part[0] for part in parts.values()]) @ directions[:, KEPT[0]], atol=1e-3
)

generator = torch.Generator().manual_seed(0)
noise = torch.randn(directions.shape, generator=generator)
noise = noise / noise.norm(dim=0)
wrote = {name: towards_truth(part @ directions) for name, part in parts.items()}
wrote_noise = {name: towards_truth(part @ noise) for name, part in parts.items()}
bars_with_floor(
    wrote,
    floors={"random directions": list(wrote_noise.values())},
    xlabel="contribution towards the true side (mean over games, moves, squares)",
    title=f"Who writes the board that the probe reads after block {layer}?",
)

# %% [markdown]
# ## From which move?
#
# Attention moves what earlier positions know. For one head, a source position k contributes its attention weight
# times the projection of its value vector (through the head's output matrix) on the direction. A disc has the colour
# that its *last* change gave it: when it was placed, or last turned.
#
# **Expect** that a square's direction is written from the move that last changed the square, and not from earlier
# changes, which have been overruled.

# %%
start = torch.zeros(64, dtype=torch.long)
start[list(othello.CENTRE)] = torch.tensor([2, 1, 1, 2])
n_games = sample_size(60, 20)
boards = test.boards[:n_games]
before = torch.cat([start.expand(n_games, 1, 64), boards[:, :-1]], dim=1)
changed = boards != before
last_change = torch.where(changed, torch.arange(59)[:, None], -1).cummax(dim=1).values


@torch.no_grad()
def from_sources(block: int, move: int, directions: Tensor) -> Float[Tensor, "game source square"]:
    """What attention in a block writes at a move along each square's direction, by the earlier move it comes from."""
    pattern_name, value_name = f"blocks.{block}.attn.hook_pattern", f"blocks.{block}.attn.hook_v"
    _, cache = model.run_with_cache(
        test.tokens[:n_games, : move + 1], names_filter=[pattern_name, value_name]
    )
    weights, values = (
        cache[pattern_name][:, :, move],
        cache[value_name],
    )  # game head source; game source head d_head
    output = model.blocks[block].attn.o.weight.view(model.cfg.d_model, *values.shape[2:])
    return torch.einsum("ghk,gkhe,dhe,ds->gks", weights, values, output, directions)


# %%
KINDS = ["the last change", "an earlier change", "any other move"]
blocks = LAYERS[:-1]
table = torch.zeros(len(blocks), len(KINDS))
for row, block in enumerate(tqdm(blocks, desc="sources", leave=False)):
    totals = torch.zeros(len(KINDS), 2)
    for move in range(19, 50, 6):
        written = from_sources(block, move, mine_directions(probes[block]))
        written = (written - written.mean(dim=0)) * sign[:n_games, move].unsqueeze(1)
        source = torch.arange(move + 1)[:, None]
        is_last = source == last_change[:, move].unsqueeze(1)
        is_earlier = changed[:, : move + 1] & ~is_last
        for kind, rows in enumerate((is_last, is_earlier, ~is_last & ~is_earlier)):
            rows = rows & (sign[:n_games, move] != 0).unsqueeze(1)
            totals[kind] += torch.stack([written[rows].sum(), rows.sum()])
    table[row] = totals[:, 0] / totals[:, 1]
heatmap(
    table,
    [f"attention {block}" for block in blocks],
    KINDS,
    title="What one source move contributes to a square's true side",
    unit="mean contribution",
    centre=0,
)

# %% [markdown]
# The last change writes the colour; earlier changes of the same square write a little *against* the truth, since they
# say what has since been turned.
#
# Who made that change, I or the other? Positions alternate between the players, so a head that looks only at every
# second position sees the moves of one side. The share of attention on moves of the player who is about to move (½
# would be indifferent):

# %%
name = ".attn.hook_pattern"
with torch.no_grad():
    _, cache = model.run_with_cache(test.tokens[:n_games], names_filter=lambda each: each.endswith(name))
# Position k holds a move of the player who is to move after position q where q − k is odd.
own = (torch.arange(59)[:, None] - torch.arange(59)) % 2 == 1
share = torch.stack(
    [(cache[f"blocks.{b}{name}"] * own)[:, :, MOVES].sum(-1).mean(dim=(0, 2)) for b in LAYERS]
)
heatmap(
    share,
    [f"block {block}" for block in LAYERS],
    [f"head {head}" for head in range(share.shape[1])],
    title="Share of attention on the moves of the player who is about to move",
    unit="share",
    centre=0.5,
)

# %% [markdown]
# (Passes break the alternation now and then. They are rare: we ignore them here.) Some heads look at one side's moves
# only. *Mine* and *theirs* are not derived from colours: they are what such a head sees.
#
# ## Exercise · `probe_across_layers`
#
# difficulty ●●○○○ · importance ●●●○○ · 12 minutes
#
# Is the board written once, in one direction that stays, or anew in every layer? Apply each layer's probe to every
# layer's activations: row i, column j is the accuracy of layer i's probe on the activations of layer j, over all
# positions and squares. Lists of different lengths: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `torch.einsum("pd,dsk->psk", acts, weight) + bias`, then the largest output, then the share of equal entries.
#
# </details>


# %%
def probe_across_layers(
    weights: list[Float[Tensor, "d_model square state"]],
    biases: list[Float[Tensor, "square state"]],
    acts_by_layer: list[Float[Tensor, "position d_model"]],
    boards: Int[Tensor, "position square"],
) -> Float[Tensor, "layer layer"]:
    """Accuracy, over positions and squares, of layer i's probe (row) on layer j's activations (column).

    Raises ValueError where the three lists differ in length.
    """
    ### BEGIN SOLUTION
    if not len(weights) == len(biases) == len(acts_by_layer):
        raise ValueError(f"{len(weights)} weights, {len(biases)} biases, {len(acts_by_layer)} layers")
    table = torch.zeros(len(weights), len(acts_by_layer))
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        for j, acts in enumerate(acts_by_layer):
            guesses = (torch.einsum("pd,dsk->psk", acts, weight) + bias).argmax(dim=-1)
            table[i, j] = (guesses == boards).float().mean()
    return table
    ### END SOLUTION


check(probe_across_layers)

# %% [markdown]
# **Expect** a bright diagonal that fades away from it. Beside it the mean cosine between the layers' "mine"
# directions of a square, which says whether a bad score off the diagonal comes from another direction, or only from
# another scale. (Chance: the majority is right for about half of the squares; a random cosine is within ± 0.15 in
# this many dimensions.)

# %%
kept_acts = [acts["test"].flat(layer)[0] for layer in LAYERS]
across = probe_across_layers(
    [probe.weight[:, KEPT] for probe in probes],
    [probe.bias[KEPT] for probe in probes],
    kept_acts,
    truth.flatten(0, 1)[:, KEPT],
)
names = [f"block {layer}" for layer in LAYERS]
heatmap(
    across,
    [f"probe of {name}" for name in names],
    [f"on {name}" for name in names],
    title="A probe of one layer, asked about another: accuracy",
    unit="accuracy",
)

# %%
every = torch.stack([mine_directions(probe)[:, KEPT] for probe in probes])
heatmap(
    torch.einsum("ids,jds->ij", every, every) / len(KEPT),
    names,
    names,
    title="Cosine between the layers' “mine” directions, mean over squares",
    unit="cosine",
    centre=0,
)

# %% [markdown]
# ## Exercise · `patch_position`
#
# difficulty ●●●●○ · importance ●●●●● · 25 minutes
#
# Contributions say who *wrote*. To see who *matters*, transplant. Take two games that differ in one early move:
# **clean**, and **corrupted**. Run the corrupted game, but at one `layer` and one `position` put in what the stream
# after that block was in the clean run. How much of the clean result comes back?
#
# $$ \frac{\text{patched} - \text{corrupted}}{\text{clean} - \text{corrupted}} $$
#
# 0: nothing changed; 1: as in the clean run. `metric` turns the logits `"pos d_vocab"` of a game into a number.
# `ValueError` where the games differ in length, the layer or the position does not exist (no negative ones), or
# `metric` is the same for both games, for then there is nothing to restore.
#
# <details><summary>Hint 1</summary>
#
# The stream after block k has the hook `f"blocks.{k}.hook_out"`. `model.run_with_cache(tokens.unsqueeze(0),
# names_filter=[name])` returns logits and cache.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `model.run_with_hooks(tokens.unsqueeze(0), fwd_hooks=[(name, hook)])`, where `hook(resid, hook)` returns a *changed
# copy* of `resid` (1, pos, d_model).
#
# </details>


# %%
@torch.no_grad()
def patch_position(
    model,
    clean: Int[Tensor, "pos"],
    corrupted: Int[Tensor, "pos"],
    layer: int,
    position: int,
    metric: Callable[[Float[Tensor, "pos d_vocab"]], float],
) -> float:
    """The share of the clean metric that returns when the clean stream after block `layer` is put in at one position.

    (patched − corrupted) / (clean − corrupted): 0 nothing changed, 1 as in the clean run.
    Raises ValueError where the games' lengths differ, the layer or position does not exist, or the metrics are equal.
    """
    ### BEGIN SOLUTION
    if len(clean) != len(corrupted):
        raise ValueError(f"the games have {len(clean)} and {len(corrupted)} moves: they must have as many")
    if not (0 <= layer < model.cfg.n_layers and 0 <= position < len(clean)):
        raise ValueError(f"no layer {layer} or position {position}")
    name = f"blocks.{layer}.hook_out"
    clean_logits, cache = model.run_with_cache(clean.unsqueeze(0), names_filter=[name])

    def hook(resid, hook):
        patched = resid.clone()
        patched[:, position] = cache[name][:, position]
        return patched

    corrupted_logits = model(corrupted.unsqueeze(0))
    patched_logits = model.run_with_hooks(corrupted.unsqueeze(0), fwd_hooks=[(name, hook)])
    high, low = float(metric(clean_logits[0])), float(metric(corrupted_logits[0]))
    if high == low:
        raise ValueError(f"the metric is {high} for both games: there is nothing to restore")
    return (float(metric(patched_logits[0])) - low) / (high - low)
    ### END SOLUTION


check(patch_position)

# %% [markdown]
# Pairs of games of 30 moves that differ in one move between the tenth and the twentieth, both legal to the end, with
# the same player to move. The metric: the logit of a move that is legal only in the clean game, minus that of one
# legal only in the corrupted.


# %%
def with_one_move_swapped(games: np.ndarray, at: np.ndarray) -> dict[int, tuple[np.ndarray, list[int]]]:
    """game -> it with another move at `at`, and two next moves: legal only in the game, legal only in the other."""
    truth = othello.replay(games)
    swaps = [
        (game, square)
        for game, place in enumerate(at.tolist())
        for square in np.flatnonzero(othello.unpack(truth.legal[game, place - 1])).tolist()
        if square != games[game, place]
    ]
    others = games[[game for game, _ in swaps]]
    for other, (game, square) in zip(others, swaps, strict=True):
        other[at[game]] = square
    kept = np.flatnonzero(othello.is_legal(others))
    ends, found = othello.replay(others[kept]), {}
    for row, candidate in enumerate(kept):
        game = swaps[candidate][0]
        here, there = (othello.unpack(legal) for legal in (truth.legal[game, -1], ends.legal[row, -1]))
        only = np.flatnonzero(here & ~there), np.flatnonzero(there & ~here)
        same_player = truth.to_move[game, -1] == ends.to_move[row, -1]
        if game not in found and len(only[0]) and len(only[1]) and same_player:
            found[game] = others[candidate], [int(moves[0]) for moves in only]
    return found


# %%
def preference(answers: list[int]) -> Callable[[Tensor], float]:
    return lambda logits: float(logits[-1, answers[0]] - logits[-1, answers[1]])


generator = torch.Generator().manual_seed(0)
LENGTH, pairs = 30, []
games = train.moves[: sample_size(250, 15), :LENGTH].numpy()
places = torch.randint(9, 20, (len(games),), generator=generator).numpy()
swapped = with_one_move_swapped(games, places)
for game, (other, answers) in swapped.items():
    clean, corrupted = (torch.from_numpy(othello.encode(each)) for each in (games[game], other))
    metric = preference(othello.encode(answers).tolist())
    with torch.no_grad():
        if metric(model(clean[None])[0]) > 0 > metric(model(corrupted[None])[0]):
            pairs.append((clean, corrupted, int(places[game]), metric))
print(f"{len(swapped)} pairs, of which the model tells {len(pairs)} apart")

# %% [markdown]
# **Expect**, if the board were put together at the move that changes it and then sent on, the clean result to return
# from the *changed move* in early layers and from the *last* one in late layers. A position half-way, with the same
# move in both games, is the control: it saw the changed move too, and might have passed it on.


# %%
PLACES = {
    "at the changed move": lambda at: at,
    "at the last move": lambda at: LENGTH - 1,
    "half-way between": lambda at: (at + LENGTH - 1) // 2,
}
restored: dict[str, list[Interval]] = {name: [] for name in PLACES}
for layer in tqdm(LAYERS, desc="patching", leave=False):
    for name, place in PLACES.items():
        shares = [
            patch_position(model, clean, corrupted, layer, place(at), metric)
            for clean, corrupted, at, metric in pairs
        ]
        restored[name].append(mean_interval(torch.tensor(shares)))
layer_sweep(
    {name: [each.estimate for each in found] for name, found in restored.items()},
    bands={name: ([e.low for e in found], [e.high for e in found]) for name, found in restored.items()},
    floors={"nothing changed": 0.0, "clean run": 1.0},
    layers=[str(layer) for layer in LAYERS],
    ylabel="share of the clean result restored",
    title="From the move that matters to the move that asks (95 % bands over pairs)",
).update_xaxes(title_text="patched after block")

# %% [markdown]
# Not what one would draw. After the very first block the last position already holds six tenths of what matters, the
# changed move itself an eighth, and a single position between them next to nothing. No position keeps the board for
# the others. From the first block on each looks back at *all* moves, takes from every one what it says of its
# squares, and puts its own board together.
#
# ## A neuron that reads the board
#
# Whoever decides on legal moves must read the board. We look among the hidden neurons of the last MLP for those whose
# activation tells, on training games, whether a certain square is a legal move. Choosing the best of tens of
# thousands of pairs of neuron and square flatters; the test games show by how much.


# %%
@torch.no_grad()
def neurons(records: OthelloRecords, block: int) -> Float[Tensor, "position d_mlp"]:
    """The hidden layer of one MLP, what its output matrix reads."""
    name = f"blocks.{block}.mlp.out.hook_in"
    parts = [model.run_with_cache(games, names_filter=[name])[1][name] for games in records.tokens.split(100)]
    return torch.cat(parts).flatten(0, 1)


def standardised(columns: Tensor) -> Tensor:
    return (columns - columns.mean(dim=0)) / (columns.std(dim=0) + 1e-6)


block = LAYERS[-1]
hidden, hidden_test = neurons(train, block), neurons(test, block)
legal, legal_test = (records.legal.flatten(0, 1)[:, KEPT].float() for records in (train, test))
correlation = standardised(hidden).T @ standardised(legal) / len(hidden)
neuron, column = divmod(int(correlation.argmax()), len(KEPT))
square = KEPT[column]
strong = int((correlation.max(dim=1).values > 0.6).sum())
print(f"block {block}: neuron {neuron} goes with square {'abcdefgh'[square % 8]}{square // 8 + 1}")
print(
    f"correlation on training games {correlation[neuron, column]:.3f}; {strong} of {len(correlation)} neurons exceed 0.6"
)

# %%
games = torch.arange(len(test.tokens)).repeat_interleave(59)
generator = torch.Generator().manual_seed(0)
others = torch.randint(0, hidden.shape[1], (50,), generator=generator).tolist()
asked = legal_test[:, column].bool()
floor = [auroc(hidden_test[:, other], asked) for other in others]
print("is the move legal? AUROC on test games")
print("    the neuron        ", bootstrap_interval(auroc, hidden_test[:, neuron], asked, 200, groups=games))
print(f"    50 random neurons  median {torch.tensor(floor).median():.3f}, best {max(floor):.3f}")

# %% [markdown]
# What does it read, and what does it do? Its input weights, projected on each square's "mine" direction after the
# block before, make a picture of what excites it: blue squares should be mine, orange theirs. Its output weights,
# through the unembedding, say which moves it makes likelier, blue, or less likely, orange. (Both leave out the layer
# norms' scale and the attention of the block itself: pictures, not proofs.)
#
# **Expect** theirs beside the square and mine behind them: that is what makes a move legal. And, on the right, the
# square itself in blue.


# %%
mlp, probe_before = model.blocks[block].mlp, probes[block - 1]
into_neuron = getattr(mlp, "in").weight[neuron] * model.blocks[block].ln2.weight
reads = into_neuron @ mine_directions(probe_before)
wrote_out = mlp.out.weight[:, neuron]
unembed = model.unembed.weight * model.ln_final.weight
promotes = torch.zeros(64)
promotes[othello.TOKEN_SQUARES[1:]] = (unembed @ (wrote_out - wrote_out.mean()))[1:]

# %%
bare = torch.zeros(64, dtype=torch.long)
pictures = {
    "what it reads: mine blue, theirs orange": reads,
    "its moves: likelier blue, less likely orange": promotes,
}
board_row(
    [
        BoardView(bare, {"weight": each.detach() / each.abs().max()}, framed=square, label=label)
        for label, each in pictures.items()
    ],
    game="othello",
    title=f"Neuron {neuron} of block {block}, in weights",
    unit="weight, largest = 1",
    frame="the square whose legality it follows",
)

# %% [markdown]
# The left picture is as expected. The right one is the wrong way round: a neuron that is active when the move is
# legal makes the move *less* likely. Before this is believed or explained away: is it so in the running model, and is
# it this neuron only? Replace the neuron by its mean, and look at the move's logit.

# %%
token = int(othello.encode([square])[0])
hook_name = f"blocks.{block}.mlp.out.hook_in"
asked = test.legal[..., square]


@torch.no_grad()
def logits_with(replaced: list[int]) -> Float[Tensor, "game move token"]:
    """The test games' logits with some of the neurons held at their mean."""

    def hook(neurons, hook):
        held = neurons.clone()
        held[..., replaced] = hidden[:, replaced].mean(dim=0)
        return held

    return model.run_with_hooks(test.tokens, fwd_hooks=[(hook_name, hook)] if replaced else [])


full = logits_with([])
effect = (full - logits_with([neuron]))[..., token]
per_game = torch.stack([(effect * rows).sum(1) / rows.sum(1).clamp(min=1) for rows in (asked, ~asked)])
print("what the neuron adds to the move's logit, with 95 % intervals over games")
print("    where the move is legal    ", mean_interval(per_game[0][asked.any(dim=1)]))
print("    where it is not            ", mean_interval(per_game[1]))
tops = correlation.max(dim=1)
strong_neurons = (tops.values > 0.6).nonzero().squeeze(1)
to_logits = (unembed @ (mlp.out.weight - mlp.out.weight.mean(dim=0)))[1:].T
own_effect = to_logits[strong_neurons, tops.indices[strong_neurons]]
print(f"of {len(strong_neurons)} such neurons {int((own_effect > 0).sum())} push their own square up")

# %% [markdown]
# It is so, for all of them. Why would a model train neurons to work *against* the moves that they recognise?
#
# A hypothesis. The model should give every legal move the *same* probability. A move may be legal along one line or
# along several; whoever adds up evidence line by line gives the second kind too much. Someone has to level that out
# at the end. If so, then
#
# * the neuron is more active the more lines make its move legal;
# * without the last MLP, moves that are legal along several lines come out ahead, and with it they do not.


# %%
lines = torch.from_numpy(othello.capture_lines(test.boards.numpy(), test.to_move.numpy()).astype(int))
activity = hidden_test[:, neuron].view(len(test.tokens), -1)
flattened = logits_with(list(range(hidden.shape[1])))


def ahead(logits: Tensor) -> Float[Tensor, "game move square"]:
    """Each move's logit minus the mean over the legal moves of its position."""
    squares = torch.zeros(*logits.shape[:-1], 64)
    squares[..., othello.TOKEN_SQUARES[1:]] = logits[..., 1:]
    return squares - ((squares * test.legal).sum(-1) / test.legal.sum(-1).clamp(min=1)).unsqueeze(-1)


print("lines that capture        " + "".join(f"{n:>8}" for n in (1, 2, 3, 4)))
rows = {
    "neuron's activity": [activity[lines[..., square] == n].mean() for n in (1, 2, 3, 4)],
    "ahead, without last MLP": [ahead(flattened)[lines == n].mean() for n in (1, 2, 3, 4)],
    "ahead, whole model": [ahead(full)[lines == n].mean() for n in (1, 2, 3, 4)],
}
for name, values in rows.items():
    print(f"{name:<26}" + "".join(f"{float(value):>8.2f}" for value in values))

# %% [markdown]
# Both predictions hold. What looked like a detector that argues for its move is part of a correction. It *reads* the
# board, as a probe would say; what it *does* with it no probe could have told.
#
# ## What was shown, and what was not
#
# On the committed model the board that is read after the third block is written by the second and third block's
# attention, and partly taken back by the third MLP. Attention takes a square's colour from the move that last changed
# it. Many heads look at one player's moves only, with shares up to .98 and down to .02: *mine* and *theirs* are what
# they see. Neighbouring layers share directions (cosine .88 from the second to the third), distant ones less, and a
# probe is best at home. Every position puts its own board together. And neurons of the last block that recognise a
# legal move hold it down, so that moves that are legal twice do not come out ahead.
#
# Not shown: how a line of theirs with mine at the end is recognised. Contributions and patches say where, not by
# which algorithm. "Mean contribution" is an average: single boards may be computed otherwise. And one neuron was
# chosen for being extreme; what holds for all of its kind was counted, the rest was not.
#
# **Try it yourself.** Take the neuron of another square from `strong_neurons`. Or hold the mean of *attention* heads
# instead of neurons: does the board survive without the heads that see only their moves?
