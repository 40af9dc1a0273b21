# %% [markdown]
# # Chess
#
# **Thirteen states on 64 squares, players of different strength, and a model that has read nothing but squares. How
# much of a chess position can a line read, what else is in the stream, and does the model use it?**
#
# After this lesson you can
#
# * judge a model by the rules of its game, position by position, beside a player who knows less;
# * probe a board of thirteen states, and say for which pieces the mean hides a failure;
# * probe for something that is written nowhere in the input, a player's strength, and hold it against a plain count;
# * take a piece out of the model's mind, and turn its skill up and down, with controls that could have refuted you.
#
# Time: 80 minutes with the exercises. The machine needs five to eight minutes on two CPU cores, and 3 GB of memory.

# %%
from dataclasses import dataclass

import chess
import numpy as np
import torch
from IPython.display import Markdown, display
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations
from utils.boards.chess import board_array, board_at, move_tokens
from utils.boards.chess_players import player
from utils.boards.load import load_board_model
from utils.boards.probe import linear_board_probe
from utils.boards.records import ChessRecords, chess_records
from utils.course import open_lesson, sample_size
from utils.intervals import Interval
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.plots import BoardView, bars_with_floor, board_film, board_row, layer_sweep
from utils.probes import LogisticProbe

check, use_reference = open_lesson("ch2_board_states/part3_chess")

# %% [markdown]
# ## A model of squares
#
# `chess` was trained here, on games of 40 plies. (A ply is one player's move.) White and black were drawn
# independently from three players: `random` plays any legal move, `greedy` takes the most material that it can take
# at once, `lookahead` thinks of the opponent's best capture before it does. The model was never told who plays. Each
# ply is two tokens: the square that a piece leaves, then the square where it goes.

# %%
loaded = load_board_model("chess")
model, n_layers = loaded.model, loaded.model.cfg.n_layers
display(Markdown(loaded.summary))

# %% [markdown]
# New games, in three sets that share none: to fit, to choose, to test. `tokens` has two columns a ply; `boards` is
# the position *before* each ply (0 empty, 1 to 6 white's pawn, knight, bishop, rook, queen, king, 7 to 12 black's);
# `to_move` is 1 for white, 2 for black, and 0 when the game is over; `ratings` are the two players' strengths, in
# Elo points above `random`.

# %%
train = chess_records(sample_size(800, 120), seed=2)
validation = chess_records(sample_size(200, 40), seed=3)
test = chess_records(sample_size(400, 60), seed=4)
print(f"games: {len(train.tokens)} to fit, {len(validation.tokens)} to choose, {len(test.tokens)} to test")
print("boards:", tuple(test.boards.shape), "(game, ply, square)")
print("ratings of the first three games, white and black:", test.ratings[:3].tolist())

# %% [markdown]
# One game between two `lookahead` players. **Expect** the purple dots (what the model predicts) inside the rings
# (what is legal): first on the pieces that may move, then, for the piece that did move, on the squares where it may
# go. Go back to ply 13, too: white is in check there, and the model knows that the king has to do something about
# it. At ply 18 black is, and the model half overlooks it.


# %%
@torch.no_grad()
def predict(records: ChessRecords) -> Float[Tensor, "game column token"]:
    """Logits of every token but the start token, which nobody plays."""
    parts = [model(tokens)[..., :96] for tokens in tqdm(records.tokens.split(100), desc="model", leave=False)]
    return torch.cat(parts)


logits = predict(test)

# %%
strong_games = (test.ratings == test.ratings.max()).all(dim=1) & (test.to_move > 0).all(dim=1)
game = int(strong_games.nonzero()[0])
COLOUR = {1: "white", 2: "black"}
expected = logits[game].softmax(dim=-1)
board_film(
    [
        BoardView(
            test.boards[game, column // 2],
            legal=test.legal[game, column, :64],
            predicted=expected[column, :64],
            framed=int(test.columns[game, column - 1]) if column % 2 else None,
            label=f"ply {column // 2 + 1}, {COLOUR[int(test.to_move[game, column // 2])]}: "
            + ("where to?" if column % 2 else "which piece?"),
        )
        for column in range(80)
    ],
    game="chess",
    title="A game that the model has never seen, and what it expects next",
    frame="moving piece",
    start=20,
)

# %% [markdown]
# ## Exercise · `legal_rate`
#
# difficulty ●●○○○ · importance ●●●○○ · 10 minutes
#
# The share of positions in which the largest logit belongs to a legal move. Where the game is over nothing is legal,
# and nothing can be asked: such positions do not count. If none is left: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `legal.any(dim=-1)` says which positions count; `legal.gather(-1, top.unsqueeze(-1))` looks the top moves up.
#
# </details>


# %%
def legal_rate(move_logits: Float[Tensor, "*batch move"], legal: Bool[Tensor, "*batch move"]) -> float:
    """The share of positions whose largest logit is a legal move, among those that have a legal move.

    Raises ValueError where no position has one.
    """
    ### BEGIN SOLUTION
    counted = legal.any(dim=-1)
    if not counted.any():
        raise ValueError("no position has a legal move")
    top = move_logits.argmax(dim=-1, keepdim=True)
    return float(legal.gather(-1, top).squeeze(-1)[counted].float().mean())
    ### END SOLUTION


check(legal_rate)

# %% [markdown]
# How often is the favourite legal? One number a game, an interval over games; beyond ply 20 the positions are as
# unlike each other as they get. The floor is a player who sees whose piece stands where but knows no rule of
# movement: it lifts any piece of its own, and puts it on any square that is not taken by another of its own.

# %%
own = torch.where(test.to_move[..., None] == 1, test.boards <= 6, test.boards > 6) & (test.boards > 0)
n_own = own.sum(dim=-1)
for first in (0, 20):
    for column, question in enumerate(("which piece?", "where to?")):
        legal, logits_there = (each[:, 2 * first + column :: 2] for each in (test.legal, logits))
        going_on = legal.any(dim=-1)
        rates = [legal_rate(logits_there[g], legal[g]) for g in range(len(legal)) if going_on[g].any()]
        blind = legal[..., :64].sum(dim=-1) / (n_own if column == 0 else 64 - n_own)[:, first:]
        floor = (blind * going_on).sum(dim=1) / going_on.sum(dim=1)
        print(f"from ply {first + 1} on, {question:<12} {mean_interval(rates)}", end="")
        print(f"   knows no rule: {floor[going_on.any(dim=1)].mean():.3f}")

# %% [markdown]
# ## Thirteen states on 64 squares
#
# The stream before each ply, at every layer. Beside it, as always, the same architecture with fresh weights. Chess
# is kinder to it than Othello was: most pieces stand where they stood, so the last few squares and the number of the
# ply already say much.

# %%
LAYERS = ["embed", *range(n_layers)]
untrained = load_board_model("chess", untrained_seed=1).model
parts = {"train": train, "validation": validation, "test": test}


def streams(model):
    return {
        part: all_token_activations(model, records.tokens.tolist(), LAYERS) for part, records in parts.items()
    }


def before_plies(acts, part: str, layer) -> Float[Tensor, "position d_model"]:
    """The stream where a whole position is known: even columns, of games that are not over."""
    return acts[part].padded(layer)[0][:, ::2][parts[part].to_move > 0]


acts, untrained_acts = streams(model), streams(untrained)
boards = {part: records.boards[records.to_move > 0] for part, records in parts.items()}
movers = {part: records.to_move[records.to_move > 0] for part, records in parts.items()}
games = {part: (records.to_move > 0).nonzero()[:, 0] for part, records in parts.items()}
print("train:", tuple(before_plies(acts, "train", 0).shape), "(position, d_model)")

# %% [markdown]
# ## Exercise · `piece_labels`
#
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# Othello's board was linear in *mine* and *theirs*. Write chess boards in those coordinates: 0 empty, 1 to 6 my
# pawn, knight, bishop, rook, queen, king, 7 to 12 theirs, where I am the player to move. `boards` has 1 to 6 for
# white's pieces, 7 to 12 for black's; `to_move` is 1 for white, 2 for black; anything else: `ValueError`.
#
# <details><summary>Hint</summary>
#
# For white nothing changes. For black, 1 … 6 become 7 … 12 and 7 … 12 become 1 … 6, but 0 stays: `torch.where`
# twice.
#
# </details>


# %%
def piece_labels(
    boards: Int[Tensor, "position square"], to_move: Int[Tensor, "position"]
) -> Int[Tensor, "position square"]:
    """Boards from the point of view of the player to move: 0 empty, 1–6 mine PNBRQK, 7–12 theirs.

    boards: 0 empty, 1–6 white, 7–12 black. to_move: 1 white, 2 black; ValueError for anything else.
    """
    ### BEGIN SOLUTION
    if not ((to_move == 1) | (to_move == 2)).all():
        raise ValueError("to_move must be 1 (white) or 2 (black) everywhere")
    exchanged = torch.where(boards > 6, boards - 6, boards + 6)
    swap = (to_move == 2).unsqueeze(-1) & (boards > 0)
    return torch.where(swap, exchanged, boards)
    ### END SOLUTION


check(piece_labels)

# %% [markdown]
# The probe is part 1's, with thirteen states instead of three. In both coordinates, by layer. **Expect** the
# coordinates of the player to move to win again, by less: a pawn on its first square is white's whoever moves, and
# most of them are.


# %%
def accuracy_by_layer(acts, labels: dict[str, Tensor], part: str) -> list[float]:
    """For each layer the share of squares of `part` that a probe fitted on the training games reads correctly."""
    found = []
    for layer in tqdm(LAYERS, desc="probes", leave=False):
        probe = linear_board_probe(before_plies(acts, "train", layer), labels["train"], n_states=13)
        right = probe.read(before_plies(acts, part, layer)) == labels[part]
        found.append(float(right.float().mean()))
    return found


labels = {part: piece_labels(boards[part], movers[part]) for part in parts}
relative = accuracy_by_layer(acts, labels, "validation")
absolute = accuracy_by_layer(acts, boards, "validation")
untrained_relative = accuracy_by_layer(untrained_acts, labels, "validation")
commonest = torch.mode(labels["train"], dim=0).values
layer_sweep(
    {"mine / theirs": relative, "white / black": absolute},
    floors={
        "untrained model": untrained_relative,
        "majority": float((labels["validation"] == commonest).float().mean()),
    },
    layers=LAYERS,
    ylabel="accuracy, mean over 64 squares",
    title="A linear probe of the whole position (validation games)",
)

# %% [markdown]
# The layer is chosen on the validation games, and judged on the test games. Most squares are empty, and an empty
# square is easily right. So beside the mean stand the *occupied* squares, on which the majority can do little. The
# intervals are over games.

# %%
best = LAYERS[max(range(len(LAYERS)), key=relative.__getitem__)]
fitted = {
    "this model": linear_board_probe(before_plies(acts, "train", best), labels["train"], n_states=13),
    "untrained": linear_board_probe(before_plies(untrained_acts, "train", best), labels["train"], 13),
}
reads = {
    "this model": fitted["this model"].read(before_plies(acts, "test", best)),
    "untrained": fitted["untrained"].read(before_plies(untrained_acts, "test", best)),
    "majority": commonest.expand_as(labels["test"]),
}
occupied = labels["test"] > 0
print(f"layer {best}, unseen games")
for name, read in reads.items():
    right = (read == labels["test"]).float()
    pieces_right = (right * occupied).sum(dim=1) / occupied.sum(dim=1)
    print(f"    {name:<11} all squares    {mean_interval(right.mean(dim=1), groups=games['test'])}")
    print(f"    {'':<11} pieces alone   {mean_interval(pieces_right, groups=games['test'])}")

# %% [markdown]
# ## Which pieces?
#
# The share of each kind that is read as what it is. **Expect** pieces that stay at home to be easy for every probe,
# in a rook's case even for the majority. What training has added is the distance to the untrained model.

# %%
KINDS = ["pawn", "knight", "bishop", "rook", "queen", "king"]


def share_read(read: Tensor, kind: int):
    """How many of the pieces of this kind, mine and theirs, are read correctly, with an interval over games."""
    is_kind = (labels["test"] == kind) | (labels["test"] == kind + 6)
    rows = is_kind.nonzero()[:, 0]
    return mean_interval((read == labels["test"])[is_kind].float(), 200, groups=games["test"][rows])


found = {f"{name}": share_read(reads["this model"], k + 1) for k, name in enumerate(KINDS)}
bars_with_floor(
    {name: each.estimate for name, each in found.items()},
    intervals={name: (each.low, each.high) for name, each in found.items()},
    floors={
        floor: [share_read(reads[floor], k + 1).estimate for k in range(6)]
        for floor in ("untrained", "majority")
    },
    xlabel="share of these pieces read correctly",
    title=f"Pieces read at layer {best} (test games, 95 % intervals over games)",
)

# %% [markdown]
# And by ply. **Expect** the curves to start near 1, since every game begins alike, and to fall as pieces travel.
# (The majority zigzags: it knows one board for both players, which fits white's point of view better than black's.)

# %%
plies = (test.to_move > 0).nonzero()[:, 1]
by_ply = {
    name: [float((read == labels["test"])[plies == ply].float().mean()) for ply in range(40)]
    for name, read in reads.items()
}
layer_sweep(
    {"this model": by_ply["this model"]},
    floors={"untrained": by_ply["untrained"], "majority": by_ply["majority"]},
    layers=range(1, 41),
    ylabel="accuracy, mean over 64 squares",
    title=f"Accuracy by ply, layer {best} (test games)",
).update_xaxes(title_text="ply")

# %% [markdown]
# One position as the two models' streams have it: the game above, before its thirtieth ply. Blue squares are read
# wrongly. **Expect** many: late in a game the probe is wrong on one square in five, and a chess player would not
# call that knowing the position.

# %%
ply = 29
row = int(((games["test"] == game) & (plies == ply)).nonzero()[0])
seen_by_white = {
    name: piece_labels(read[row : row + 1], movers["test"][row : row + 1])[0] for name, read in reads.items()
}
board_row(
    [
        BoardView(seen, {"wrong": (seen != boards["test"][row]).float()}, label=label)
        for label, seen in {
            "the position": boards["test"][row],
            f"read at layer {best}": seen_by_white["this model"],
            "read in the untrained model": seen_by_white["untrained"],
        }.items()
    ],
    game="chess",
    title=f"Before ply {ply + 1}: the position, and what a linear probe reads",
    unit="read wrongly",
    limits=(0.0, 1.0),
)

# %% [markdown]
# ## Who is playing?
#
# No token says how strong a player is. But the model was trained to predict each player's moves, and whoever has
# just taken a queen for nothing will probably look for the next one. Does it keep an estimate?

# %% [markdown]
# ## Exercise · `skill_bins`
#
# difficulty ●●○○○ · importance ●●●○○ · 10 minutes
#
# Strength comes in numbers; a probe of two classes wants two bins. Call a player of rating `low` or less weak, of
# rating `high` or more strong, and drop everyone between. Return two tensors as long as `ratings`: `labels`, True
# where the player is strong, and `kept`, True where the player is weak or strong. A `low` that is not below `high`,
# or a bin that nobody falls into: `ValueError`.
#
# <details><summary>Hint</summary>
#
# An empty bin is a mistake that shows up only later, as a probe with an accuracy of 1. `(ratings >= high).any()`
# finds it here.
#
# </details>


# %%
def skill_bins(
    ratings: Float[Tensor, "player"], low: float, high: float
) -> tuple[Bool[Tensor, "player"], Bool[Tensor, "player"]]:
    """(labels, kept): strong is a rating of high or more, weak one of low or less, who is neither is not kept.

    labels: True where strong, False everywhere else, one for each rating. kept: True where weak or strong.
    Raises ValueError unless low < high, and where a bin is empty.
    """
    ### BEGIN SOLUTION
    if not low < high:
        raise ValueError(f"low {low} must be below high {high}")
    weak, strong = ratings <= low, ratings >= high
    if not (weak.any() and strong.any()):
        raise ValueError(f"{int(weak.sum())} players are weak and {int(strong.sum())} strong: a bin is empty")
    return strong, weak | strong
    ### END SOLUTION


check(skill_bins)

# %% [markdown]
# White is the player to move before every odd ply. One position a game, before ply 31: the label is whether white is
# `lookahead` or `random`. The probe is chapter 1's logistic regression. A plain count deserves to be its rival: a
# strong player is ahead in *material*. (The pieces are on the board; anyone can add them up.)

# %%
VALUES = torch.tensor([0.0, 1, 3, 3, 5, 9, 0, -1, -3, -3, -5, -9, 0])  # by state of a square


def white_strength(part: str, ply: int) -> tuple[Bool[Tensor, "kept"], Int[Tensor, "kept"]]:
    """Whether white is strong, and the games of this ply (from 0) in which white is weak or strong."""
    strong, kept = skill_bins(parts[part].ratings[:, 0], low=0, high=800)
    going_on = (kept & (parts[part].to_move[:, ply] == 1)).nonzero().squeeze(1)
    return strong[going_on], going_on


def skill_scores(acts, part: str, layer, ply: int) -> Float[np.ndarray, "kept"]:
    """Scores on `part` of a logistic probe of white's strength, fitted on the training games at this ply."""
    strong, rows = white_strength("train", ply)
    probe = LogisticProbe(l2=0.1).fit(acts["train"].padded(layer, rows.tolist())[0][:, 2 * ply], strong)
    _, rows = white_strength(part, ply)
    return probe.decision_function(acts[part].padded(layer, rows.tolist())[0][:, 2 * ply])


def material(part: str, ply: int) -> Float[Tensor, "kept"]:
    """White's pieces minus black's, in pawns."""
    return VALUES[parts[part].boards[white_strength(part, ply)[1], ply]].sum(dim=1)


# %%
ply = 30
truth = white_strength("validation", ply)[0]
skill = [auroc(skill_scores(acts, "validation", layer, ply), truth) for layer in LAYERS]
untrained_skill = [auroc(skill_scores(untrained_acts, "validation", layer, ply), truth) for layer in LAYERS]
layer_sweep(
    {"this model": skill},
    floors={
        "untrained model": untrained_skill,
        "material": auroc(material("validation", ply), truth),
        "chance": 0.5,
    },
    layers=LAYERS,
    title=f"Is white strong? Read before ply {ply + 1} (validation games)",
)

# %% [markdown]
# On the test games, as the evidence comes in. **Expect** chance before anything has happened, then growing
# certainty, and the count of material close behind all the way.

# %%
skill_layer = LAYERS[max(range(len(LAYERS)), key=skill.__getitem__)]
PLIES = range(2, 40, 6)
curves = {
    "this model": [skill_scores(acts, "test", skill_layer, ply) for ply in PLIES],
    "untrained": [skill_scores(untrained_acts, "test", skill_layer, ply) for ply in PLIES],
    "material": [material("test", ply) for ply in PLIES],
}
truths = [white_strength("test", ply)[0] for ply in PLIES]
found = {
    name: [bootstrap_interval(auroc, each, true, 300) for each, true in zip(scores, truths, strict=True)]
    for name, scores in curves.items()
}
layer_sweep(
    {"this model": [each.estimate for each in found["this model"]]},
    bands={
        "this model": tuple([getattr(each, end) for each in found["this model"]] for end in ("low", "high"))
    },
    floors={name: [each.estimate for each in found[name]] for name in ("untrained", "material")},
    layers=[ply + 1 for ply in PLIES],
    title=f"Is white strong? AUROC by ply, layer {skill_layer} (test games, 95 % interval)",
).update_xaxes(title_text="ply")

# %% [markdown]
# ## Take a piece away
#
# Reading is not using. As in part 2, an edit whose consequences the rules decide: take a piece out of the stream,
# and ask which piece the model now wants to move.

# %% [markdown]
# ## Exercise · `remove_piece`
#
# difficulty ●●●○○ · importance ●●●●○ · 12 minutes
#
# Take a piece off a square, in the stream: move it by `strength` against the direction in which the probe's output
# for `piece` grows and its output for an empty square (state 0) shrinks, of unit norm:
#
# $$ x' = x - s \, \frac{w_\text{piece} - w_\text{empty}}{\lVert w_\text{piece} - w_\text{empty} \rVert}. $$
#
# Return a new tensor. A `piece` of 0 (there is nothing to remove), or a square or piece that the probe does not
# have: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `weight[:, square, piece]` is the weight vector of one output. Negative indices count from the end in Python:
# refuse them.
#
# </details>


# %%
def remove_piece(
    resid: Float[Tensor, "*batch d_model"],
    weight: Float[Tensor, "d_model square state"],
    square: int,
    piece: int,
    strength: float,
) -> Float[Tensor, "*batch d_model"]:
    """resid − strength · unit(weight[piece] − weight[empty]) of one square, where empty is state 0; a new tensor.

    Raises ValueError for piece 0, and for a square or piece that the weight does not have.
    Source: Karvonen 2024, arXiv:2403.15498, section 4.2 (there the direction is the piece's own).
    """
    ### BEGIN SOLUTION
    _, n_squares, n_states = weight.shape
    if not (0 <= square < n_squares and 0 < piece < n_states):
        raise ValueError(f"no piece {piece} or square {square} in {n_squares} squares × {n_states} states")
    direction = weight[:, square, piece] - weight[:, square, 0]
    return resid - strength * direction / direction.norm()
    ### END SOLUTION


check(remove_piece)

# %% [markdown]
# A case is a position of a test game, after ply 10, and the piece that the model most wants to move (not the king,
# who cannot be taken away). What the rules allow afterwards is a matter for python-chess: take the piece off its
# board and list the legal moves. Other pieces may become free, such as a rook behind a pawn that is gone; those are
# the squares to watch, since nobody can name them who merely forbids the removed piece to move.


# %%
@dataclass(frozen=True)
class Case:
    """One edit: before `ply` of `game` the piece `label` (mine, 1–5) on `square` is taken away. other: the square and
    label of another piece of mine."""

    game: int
    ply: int
    square: int
    label: int
    other: tuple[int, int]
    legal: Bool[Tensor, "64"]
    edited_legal: Bool[Tensor, "64"]

    @property
    def freed(self) -> Bool[Tensor, "64"]:
        """Pieces that may move only once the piece is gone."""
        return self.edited_legal & ~self.legal


def pieces_that_move(board: chess.Board) -> Bool[Tensor, "64"]:
    can = torch.zeros(64, dtype=torch.bool)
    can[[move.from_square for move in board.legal_moves]] = True
    return can


# %%
def make_cases(records: ChessRecords, logits: Tensor) -> list[Case]:
    """From each game a random ply after the tenth; cases without a legal move before or after are left out."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for game in range(len(records.tokens)):
        ply = int(torch.randint(10, 40, (1,), generator=generator))
        square = int(logits[game, 2 * ply, :64].argmax())
        if records.to_move[game, ply] == 0 or not records.legal[game, 2 * ply, square]:
            continue
        board = board_at(records.columns.numpy(), game, ply)
        label, legal = board.piece_type_at(square), pieces_that_move(board)
        own = [s for s, piece in board.piece_map().items() if piece.color == board.turn and s != square]
        other = own[int(torch.randint(len(own), (1,), generator=generator))]
        other = (other, board.piece_type_at(other))
        board.remove_piece_at(square)
        edited = pieces_that_move(board)
        if label != chess.KING and edited.any() and not board.was_into_check():
            cases.append(Case(game, ply, square, label, other, legal, edited))
    return cases


n_choosing = sample_size(100, 25)
choosing = make_cases(validation, predict(validation))[:n_choosing]
reporting = make_cases(test, logits)
n_freed = sum(int(case.freed.sum()) for case in reporting)
print(f"{len(choosing)} cases to choose, {len(reporting)} to report; {n_freed} other pieces are freed")

# %% [markdown]
# The edit, at the position before the case's ply, after one block or two; its strength in units of the median norm
# of the stream there, so that layers compare. Three controls of the same length. **Random** directions. The **wrong
# kind**: the same square, but as if a knight stood there (for a knight, a queen). **Another piece**: one of mine
# somewhere else is taken away instead.

# %%
probes = [
    linear_board_probe(before_plies(acts, "train", layer), labels["train"], n_states=13)
    for layer in tqdm(range(n_layers), desc="probes", leave=False)
]
typical = [float(before_plies(acts, "train", layer).norm(dim=1).median()) for layer in range(n_layers)]
KNIGHT, QUEEN = 2, 5


def edit_hook(cases: list[Case], layer: int, strength: float, control=None):
    """A hook that takes each case's piece away. control: "wrong kind", "another piece", or a generator."""

    def hook(resid, hook):
        edited = resid.clone()
        for row, case in enumerate(cases):
            old, length = resid[row, 2 * case.ply], strength * typical[layer]
            if isinstance(control, torch.Generator):
                noise = torch.randn(old.shape, generator=control)
                edited[row, 2 * case.ply] = old - length * noise / noise.norm()
                continue
            square, piece = case.other if control == "another piece" else (case.square, case.label)
            if control == "wrong kind":
                piece = QUEEN if piece == KNIGHT else KNIGHT
            edited[row, 2 * case.ply] = remove_piece(old, probes[layer].weight, square, piece, length)
        return edited

    return hook


# %%
@torch.no_grad()
def which_piece(cases: list[Case], tokens: Tensor, layers=(), strength=0.0, control=None) -> Tensor:
    """Logits of the 64 squares that a piece might leave, after the edit in each of the layers."""
    rows = tokens[[case.game for case in cases]]
    hooks = [(f"blocks.{k}.hook_out", edit_hook(cases, k, strength, control)) for k in layers]
    found = model.run_with_hooks(rows, fwd_hooks=hooks)
    return found[torch.arange(len(cases)), [2 * case.ply for case in cases], :64]


# %%
def summary(cases: list[Case], logits: Tensor) -> dict[str, Interval]:
    """What the edit did: to the favourite, to the removed piece, to the pieces that it freed."""
    shares = logits.softmax(dim=-1)
    rates = [legal_rate(each, case.edited_legal) for each, case in zip(logits, cases, strict=True)]
    removed = [each[case.square] for each, case in zip(shares, cases, strict=True)]
    freed = [each[case.freed].sum() for each, case in zip(shares, cases, strict=True) if case.freed.any()]
    return {
        "favourite legal without the piece": mean_interval(rates),
        "probability of the removed piece": mean_interval(removed),
        "probability of freed pieces": mean_interval(freed),
    }


# %% [markdown]
# Without an edit the favourite is the removed piece itself, so that none is legal: 0 by construction. The yardstick
# is a model that is merely *forbidden* to move that piece: its second choice. **Expect** a rise with strength, and a
# fall where the push destroys the rest.

# %%
STRENGTHS = [0.2, 0.4, 0.8][:: sample_size(1, 2)]
RANGES = {f"{k}": [k] for k in range(n_layers)} | {f"{k} – {k + 1}": [k, k + 1] for k in range(n_layers - 1)}
swept = {
    (name, strength): summary(choosing, which_piece(choosing, validation.tokens, layers, strength))
    for name, layers in tqdm(RANGES.items(), desc="edits", leave=False)
    for strength in STRENGTHS
}
LEGAL = "favourite legal without the piece"
forbidden = which_piece(choosing, validation.tokens)
forbidden[torch.arange(len(choosing)), [case.square for case in choosing]] = float("-inf")
at_random = [
    summary(
        choosing,
        which_piece(choosing, validation.tokens, layers, STRENGTHS[-2], torch.Generator().manual_seed(0)),
    )
    for layers in RANGES.values()
]

# %%
layer_sweep(
    {f"strength {s}": [swept[name, s][LEGAL].estimate for name in RANGES] for s in STRENGTHS},
    floors={
        "forbidden": summary(choosing, forbidden)[LEGAL].estimate,
        f"random, {STRENGTHS[-2]}": [each[LEGAL].estimate for each in at_random],
    },
    layers=[f"{name} " for name in RANGES],
    ylabel="favourite legal on the edited board",
    title="Does the model play without the piece? (choosing cases)",
).update_xaxes(title_text="edited after block")

# %% [markdown]
# The best combination on cases that took no part in choosing it. Who only forbids a piece to move does not know that
# another one is now free; "any legal piece" is what the freed pieces would get from a player who picks among all
# legal ones alike.

# %%
chosen, strength = max(swept, key=lambda key: swept[key][LEGAL].estimate)
print(f"after block {chosen}, strength {strength}, {len(reporting)} cases")


def edited(control=None) -> Float[Tensor, "case 64"]:
    return which_piece(reporting, test.tokens, RANGES[chosen], strength, control)


untouched = which_piece(reporting, test.tokens)
forbidden = untouched.clone()
forbidden[torch.arange(len(reporting)), [case.square for case in reporting]] = float("-inf")
any_legal = torch.stack([case.edited_legal for case in reporting]).float().log()
results = {
    "no edit": untouched,
    "forbidden to move": forbidden,
    "piece removed": edited(),
    "wrong kind removed": edited("wrong kind"),
    "another piece removed": edited("another piece"),
    "any legal piece": any_legal,
}
for name, found in results.items():
    print(f"\n{name}")
    for question, each in summary(reporting, found).items():
        print(f"    {question:<35} {each}")

# %%
bands = [
    summary(reporting, edited(torch.Generator().manual_seed(seed)))
    for seed in tqdm(range(sample_size(10, 3)), desc="random directions", leave=False)
]
print(f"{len(bands)} random directions")
for question in bands[0]:
    means = [each[question].estimate for each in bands]
    print(f"    {question:<35} {min(means):.3f} to {max(means):.3f}")

# %% [markdown]
# Read the table in this order. *Forbidden to move* has as many legal favourites as the edit, so that number, taken
# alone, would prove nothing: to suppress one token is enough for it. But who merely forbids a piece to move leaves
# the freed ones where they were, near one in a hundred. With the piece *removed* they get almost as much as from a
# player who picks among all legal pieces alike. Nobody told the model that a line is open now. And the *wrong kind*
# does the same as the right one: what counts for this question is that one of mine stands there, and most of the
# direction says that.
#
# One of them: the reporting case in which removing the piece frees most others, chosen by the rules and not by how
# well the edit worked.

# %%
case = max(reporting, key=lambda case: int(case.freed.sum()))
pieces = test.boards[case.game, case.ply].clone()
before = which_piece([case], test.tokens)[0].softmax(dim=-1)
after = which_piece([case], test.tokens, RANGES[chosen], strength)[0].softmax(dim=-1)
without = pieces.clone()
without[case.square] = 0
board_row(
    [
        BoardView(pieces, legal=case.legal, predicted=before, framed=case.square, label="no edit"),
        BoardView(
            without, legal=case.edited_legal, predicted=after, framed=case.square, label="piece removed"
        ),
    ],
    game="chess",
    title=f"Which piece moves? {COLOUR[int(test.to_move[case.game, case.ply])].capitalize()} to play, ply {case.ply + 1}",
    frame="taken away",
)

# %% [markdown]
# ## Turn skill up and down
#
# The skill direction: the mean of the stream where the player to move is `lookahead`, minus the mean where it is
# `random`, over all plies from the eleventh on. Add it wherever the model decides for white, and let it play white,
# against `random`, from positions after six random plies. Judged is what a chess player would count: white's lead in
# material, in pawns, after 30 plies.
#
# Moves are drawn from the model's own probabilities, renormalised over the legal moves: the question is here how
# well it chooses, not whether it knows the rules. The dose is in units of the stream's median norm. Yardsticks: the
# three players themselves in white's place. Control: random directions of the same length.


# %%
def skill_direction(layer) -> Float[Tensor, "d_model"]:
    """Mean of the stream where the mover is strong minus mean where it is weak, on the training games."""
    resid = acts["train"].padded(layer)[0].unflatten(1, (40, 2))[:, 10:]
    mover = train.to_move[:, 10:]
    ratings = train.ratings.gather(1, (mover - 1).clamp(min=0))[..., None]
    strong, kept = skill_bins(ratings.flatten(), low=0, high=800)
    strong, kept = strong.view_as(mover), kept.view_as(mover) & (mover > 0)
    return resid[kept & strong].mean(dim=(0, 1)) - resid[kept & ~strong].mean(dim=(0, 1))


def whites_columns(resid: Tensor) -> Bool[Tensor, "column"]:
    """Columns at which the model decides for white: which piece, and where to."""
    return torch.arange(resid.shape[1]) // 2 % 2 == 0


# %%
def legal_choice(logits: Float[Tensor, "token"], allowed: list[int], rng: np.random.Generator) -> int:
    """A token drawn from the model's probabilities of the allowed ones."""
    shares = logits[allowed].double().softmax(dim=0).numpy()
    return allowed[rng.choice(len(allowed), p=shares / shares.sum())]


@torch.no_grad()
def next_tokens(tables: list[list[int]], hook) -> Float[Tensor, "table token"]:
    tokens = torch.tensor([[96, *columns] for columns in tables])
    hooks = [] if hook is None else [hook]
    return model.run_with_hooks(tokens, fwd_hooks=hooks)[:, -1, :96]


# %%
def model_moves(boards: list[chess.Board], tables: list[list[int]], hook, rng) -> list[chess.Move]:
    """One move for each board: a piece drawn from the model's probabilities, then where it goes."""
    options = [{move_tokens(move): move for move in board.legal_moves} for board in boards]
    starts = [
        legal_choice(logits, sorted({start for start, _ in each}), rng)
        for logits, each in zip(next_tokens(tables, hook), options, strict=True)
    ]
    begun = [[*columns, start] for columns, start in zip(tables, starts, strict=True)]
    moves = []
    for logits, each, start in zip(next_tokens(begun, hook), options, starts, strict=True):
        goal = legal_choice(logits, sorted({goal for first, goal in each if first == start}), rng)
        moves.append(each[start, goal])
    return moves


# %%
def play(white, n_games: int, seed: int, n_plies: int = 30) -> Float[np.ndarray, "game"]:
    """White's lead in pawns at the end. white: (boards, tables, rng) -> moves. Black, and the first six plies, random."""
    rng = np.random.default_rng(seed)
    boards = [chess.Board() for _ in range(n_games)]
    tables: list[list[int]] = [[] for _ in boards]
    for ply in range(n_plies):
        alive = [i for i, board in enumerate(boards) if any(board.legal_moves)]
        live = [boards[i] for i in alive]
        if ply >= 6 and ply % 2 == 0:
            moves = white(live, [tables[i] for i in alive], rng)
        else:
            moves = [rng.choice(list(board.legal_moves)) for board in live]
        for i, move in zip(alive, moves, strict=True):
            tables[i] += move_tokens(move)
            boards[i].push(move)
    return np.array([float(VALUES[torch.from_numpy(board_array(board)).long()].sum()) for board in boards])


# %%
def as_player(name: str):
    choose = player(name).choose
    return lambda boards, tables, rng: [
        rng.choice(choose(board, list(board.legal_moves))) for board in boards
    ]


def steered(layer: int, direction: Tensor, dose: float):
    """The model as a player, with `dose` median norms of the direction added where it decides for white."""
    added = dose * typical[layer] * direction / direction.norm()

    def hook(resid, hook):
        return resid + whites_columns(resid)[:, None] * added

    return lambda boards, tables, rng: model_moves(boards, tables, (f"blocks.{layer}.hook_out", hook), rng)


# %% [markdown]
# The layer is chosen at one dose on games of its own. **Expect** a middle one: late enough to know who plays, early
# enough for the moves to depend on it.

# %%
n_games = sample_size(60, 6)
candidates = list(range(1, n_layers - 1))[:: sample_size(1, 2)]
tried = {
    layer: play(steered(layer, skill_direction(layer), 0.5), n_games, seed=0).mean()
    for layer in tqdm(candidates, desc="layers", leave=False)
}
steered_layer = max(tried, key=tried.__getitem__)
print("lead at dose 0.5, by layer:", {layer: f"{lead:+.1f}" for layer, lead in tried.items()})

# %%
direction = skill_direction(steered_layer)
DOSES = [-0.5, -0.25, 0, 0.25, 0.5, 0.75][:: sample_size(1, 2)]
leads = {
    dose: mean_interval(play(steered(steered_layer, direction, dose), n_games, seed=1))
    for dose in tqdm(DOSES, desc="doses", leave=False)
}
generator = torch.Generator().manual_seed(0)
at_random = [
    play(
        steered(steered_layer, torch.randn(direction.shape, generator=generator), 0.5), n_games, seed=1
    ).mean()
    for _ in tqdm(range(sample_size(5, 1)), desc="random directions", leave=False)
]
yardsticks = {
    name: play(as_player(name), n_games, seed=1).mean() for name in ("random", "greedy", "lookahead")
}

# %%
print(f"{len(at_random)} random directions at dose 0.5: {min(at_random):+.1f} to {max(at_random):+.1f}")
layer_sweep(
    {"the model": [each.estimate for each in leads.values()]},
    bands={"the model": tuple([getattr(each, end) for each in leads.values()] for end in ("low", "high"))},
    floors=yardsticks,
    layers=[str(dose) for dose in DOSES],
    ylabel="white's lead after 30 plies, pawns",
    title=f"Skill added after block {steered_layer}, against the random player ({n_games} games, 95 % interval)",
).update_xaxes(title_text="dose, in norms of the stream")

# %% [markdown]
# ## What was shown, and what was not
#
# On the committed model the favourite piece may move 99 times in 100, and goes to a legal square 98 times; beyond
# ply 20 it is 98 and 96. A linear probe reads 86 % of the squares and 76 % of the pieces, where an untrained model
# gives 77 % and 60 %. The coordinates of the player to move are better than white and black, by a little. From ply
# 27 on a probe tells a strong player from a random one with an AUROC of .97 or more; a count of material reaches .92
# to .94, so that most of what the probe reads may be just that, but not all.
#
# Taking a piece out of the stream (a push of 0.8 norms after block 2) brings the pieces behind it to life: their
# share rises from 1 % to 8 %, where forbidding the move, random pushes and the removal of another piece leave it at
# 1 to 2 %. That the position is *used* is shown by them, not by the legal favourites, which are as many when the
# model is merely forbidden to move the piece. The kind of the piece does not matter to this question: a probe's
# thirteen states are not thirteen independent facts to the model.
#
# With the skill direction added white's lead grows from 4.9 pawns to 9.5, at a stronger dose to 10.8; with it
# subtracted it shrinks to about 1. Five random pushes of the same length end between 2.4 and 5.9. So here a
# direction that *predicts* skill also *controls* how well the model plays. It does not reach the players whom it
# imitates: `greedy` and `lookahead` lead by 17.1 and 14.5 from the same positions.
#
# Not shown: that the model knows positions well. Late in the game one square in five is misread, and checks are
# sometimes overlooked. It is a small model of little training, and what a larger one knows cannot be concluded from
# it, in either direction.
#
# | | published, [Karvonen 2024](https://arxiv.org/abs/2403.15498), 8 layers, human games | here |
# |---|---|---|
# | legal moves | 99.6 % | 99 % which piece, 98 % where to |
# | board probe | 98.0 %, untrained 70.7 % | 86 %, untrained 77 % |
# | skill probe, two bins | 88.0 % right, untrained 66 % | AUROC .97 at ply 27, untrained .71, material .92 |
# | legal moves on the edited board | 92.0 %, without the edit 40.5 % | 97 %, without 0 (the favourite is what is removed), forbidden 97 % |
# | games won after adding skill, from random positions | 16.7 → 43.2 % | lead 4.9 → 9.5 pawns, random pushes 2.4 to 5.9 |
#
# **Try it yourself.** Remove the opponent's piece that gives check: does the king stop fleeing? Or fit the skill probe
# with material balance projected out of the stream. Where there is a network,
# `load_board_model("chess-gpt-8layers-lichess")` loads the published model; it reads characters, and its
# `probe_positions` say at which of them a whole position is known.
