# %% [markdown]
# # Edit the board
#
# **A probe reads a board. Does the model read it too? Turn one disc in the residual stream, and see whether the model
# plays by the rules of a board that never was.**
#
# After this lesson you can
#
# * turn a probe's weights into a direction, and move an activation along it to a chosen place and nowhere else;
# * say exactly what an edit *should* do, and count the errors against that;
# * hold an edit against its three yardsticks: no edit, a perfect edit, random directions of the same size;
# * choose a layer and a strength on some games and report on others.
#
# Time: 75 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2 GB of
# memory.

# %%
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations
from utils.boards import othello
from utils.boards.load import load_board_model
from utils.boards.probe import linear_board_probe
from utils.boards.records import OthelloRecords, othello_records
from utils.course import open_lesson, sample_size
from utils.intervals import Interval
from utils.metrics import mean_interval
from utils.plots import BoardView, board_row, layer_sweep

check, use_reference = open_lesson("ch2_board_states/part2_edit_the_board")

# %% [markdown]
# The model and the probe of part 1: for every layer a linear probe of mine / theirs / empty, fitted on games that are
# used for nothing else.

# %%
model = load_board_model("othello").model
LAYERS = list(range(model.cfg.n_layers))
EMPTY, MINE, THEIRS = 0, 1, 2


def relative(records: OthelloRecords) -> Int[Tensor, "game move square"]:
    return torch.from_numpy(othello.mine_and_theirs(records.boards.numpy(), records.to_move.numpy()))


train = othello_records(sample_size(1000, 200), seed=12)
acts = all_token_activations(model, train.tokens.tolist(), LAYERS)
probes = [
    linear_board_probe(acts.flat(layer)[0], relative(train).flatten(0, 1), n_states=3)
    for layer in tqdm(LAYERS, desc="probes", leave=False)
]
print("weight:", tuple(probes[0].weight.shape), "(d_model, square, state)")

# %% [markdown]
# ## Exercise · `flip_direction`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# Turning a disc means: at this square, less of one state and more of another. Return the direction in which the
# output for `to_state` grows and the output for `from_state` shrinks fastest, of unit norm: the difference of the two
# weight vectors, divided by its length. Two equal states, or a square or state that the probe does not have:
# `ValueError`.
#
# <details><summary>Hint</summary>
#
# `weight[:, square, to_state]` is the weight vector of one output. Negative indices count from the end in Python:
# refuse them.
#
# </details>


# %%
def flip_direction(
    weight: Float[Tensor, "d_model square state"], square: int, from_state: int, to_state: int
) -> Float[Tensor, "d_model"]:
    """The unit vector along weight[to_state] − weight[from_state] of one square.

    Raises ValueError where the states are equal, and for a square or state that the weight does not have.
    """
    ### BEGIN SOLUTION
    _, n_squares, n_states = weight.shape
    if from_state == to_state:
        raise ValueError(f"from_state and to_state are both {from_state}: that is no direction")
    if not (0 <= square < n_squares and 0 <= from_state < n_states and 0 <= to_state < n_states):
        raise ValueError(f"no square {square} or states {from_state}, {to_state} in {n_squares} × {n_states}")
    difference = weight[:, square, to_state] - weight[:, square, from_state]
    return difference / difference.norm()
    ### END SOLUTION


check(flip_direction)

# %% [markdown]
# Directions of different squares need not be orthogonal, and an edit of one square then touches others. **Expect**
# small cosines: in this many dimensions there is room for all squares.

# %%
layer = 2
flips = torch.stack([flip_direction(probes[layer].weight, square, THEIRS, MINE) for square in range(64)])
chosen = 8 * 2 + 2  # c3
board_row(
    [BoardView(torch.zeros(64, dtype=torch.long), {"cosine": flips @ flips[chosen]}, framed=chosen)],
    game="othello",
    title="Cosine of each square's flip direction with c3's",
    unit="cosine",
    frame="c3",
)

# %% [markdown]
# ## Exercise · `push_along`
#
# difficulty ●●○○○ · importance ●●●●● · 15 minutes
#
# To *add* a direction moves every activation by the same amount, wherever it was. Here each activation should end at
# a given place: move `resid` along `direction` so that its projection on it becomes `target_projection`, and change
# nothing orthogonal to it. With $u$ the unit vector along the direction,
#
# $$ x' = x + (t - x \cdot u)\, u. $$
#
# `direction` may have any length (a zero one: `ValueError`). `target_projection` is a number, or a tensor with one
# number for each vector of `resid`. Return a new tensor: an edit in place would change activations that others still
# need.
#
# <details><summary>Hint</summary>
#
# `projection = resid @ unit` has the shape of `resid` without its last dimension; `(target -
# projection).unsqueeze(-1) * unit` has the shape of `resid`.
#
# </details>


# %%
def push_along(
    resid: Float[Tensor, "*batch d_model"],
    direction: Float[Tensor, "d_model"],
    target_projection: float | Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch d_model"]:
    """resid moved along direction until its projection on the unit vector along it is target_projection; a new tensor.

    Raises ValueError for a direction of zeros.
    """
    ### BEGIN SOLUTION
    length = direction.norm()
    if length == 0:
        raise ValueError("direction is zero: nothing can be moved along it")
    unit = direction / length
    return resid + (target_projection - resid @ unit).unsqueeze(-1) * unit
    ### END SOLUTION


check(push_along)

# %% [markdown]
# ## What should happen?
#
# Before any edit: what would a model do whose board was edited perfectly? It would play the legal moves of the
# *edited* board. Those are a matter of rules, not of taste, and this is what makes Othello a good place to learn
# interventions.
#
# ## Exercise · `edited_legal_moves`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# Turn the disc on one square of each board to the other colour, and return where the player to move may play then.
# `boards` are in black and white (0 empty, 1 black, 2 white), `to_move` 1 or 2, `square` names one square a board.
# `othello.legal_moves_on(boards, mover)` knows the rules; it takes and returns NumPy arrays. An empty square has no
# disc to turn: `ValueError`. Leave `boards` as they are.
#
# <details><summary>Hint</summary>
#
# `rows = torch.arange(len(boards))`; `edited = boards.clone()`; the other colour of a disc is 3 minus it. `.numpy()`
# and `torch.from_numpy` cross between the two libraries.
#
# </details>


# %%
def edited_legal_moves(
    boards: Int[Tensor, "board 64"], to_move: Int[Tensor, "board"], square: Int[Tensor, "board"]
) -> Bool[Tensor, "board 64"]:
    """Where the player to move may play after the disc on one square of each board has changed colour.

    boards: 0 empty, 1 black, 2 white. to_move: 1 black, 2 white. square: one a board.
    Raises ValueError where the square is empty. Leaves its arguments as they were.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(boards))
    if (boards[rows, square] == 0).any():
        board = int((boards[rows, square] == 0).nonzero()[0])
        raise ValueError(f"board {board}: square {int(square[board])} is empty, there is no disc to turn")
    edited = boards.clone()
    edited[rows, square] = 3 - boards[rows, square]
    return torch.from_numpy(othello.legal_moves_on(edited.numpy(), to_move.numpy()))
    ### END SOLUTION


check(edited_legal_moves)

# %% [markdown]
# ## Exercise · `legal_move_errors`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# How far are a model's predictions from a set of legal moves? Li et al. (2023) let it name as many moves as are
# legal: its $n$ largest logits, $n$ the number of legal moves of that board. Count the named moves that are not legal
# (false positives) plus the legal ones not named (false negatives). Return one integer a board; a board without a
# legal move has none.
#
# <details><summary>Hint 1</summary>
#
# $n$ differs from board to board, so `topk` does not do it in one call. What is the *rank* of each logit in its row?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `logits.argsort(descending=True).argsort()` is each square's rank, 0 the largest. Named: `rank < n.unsqueeze(-1)`.
# The errors are where `named` and `legal` differ.
#
# </details>


# %%
def legal_move_errors(
    logits: Float[Tensor, "board square"], legal: Bool[Tensor, "board square"]
) -> Int[Tensor, "board"]:
    """False positives plus false negatives among each board's n largest logits, n its number of legal moves.

    Source: Li et al. 2023, arXiv:2210.13382, section 4.2.
    """
    ### BEGIN SOLUTION
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    named = rank < legal.sum(dim=-1, keepdim=True)
    return (named != legal).sum(dim=-1)
    ### END SOLUTION


check(legal_move_errors)

# %% [markdown]
# ## Cases
#
# A case is a position and a disc to turn: one from each game, after some move from the tenth to the fiftieth, such
# that turning it changes what is legal (or there would be nothing to see). Some cases serve to choose a layer and a
# strength, the others to report.


# %%
def with_disc_turned(
    boards: Int[Tensor, "board 64"], square: Int[Tensor, "board"]
) -> Int[Tensor, "board 64"]:
    """The boards, each with the disc on its square in the other colour."""
    return boards.scatter(1, square.unsqueeze(1), 3 - boards.gather(1, square.unsqueeze(1)))


# %%
@dataclass(frozen=True)
class Cases:
    """One edit a game: after `move` (from 0) the disc on `square`, which is `state` (mine or theirs), is turned."""

    tokens: Int[Tensor, "case pos"]
    move: Int[Tensor, "case"]
    square: Int[Tensor, "case"]
    state: Int[Tensor, "case"]
    boards: Int[Tensor, "case 64"]
    to_move: Int[Tensor, "case"]
    legal: Bool[Tensor, "case 64"]
    edited_legal: Bool[Tensor, "case 64"]

    def __getitem__(self, rows) -> "Cases":
        return Cases(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.move)


# %%
def make_cases(records: OthelloRecords, first: int, last: int) -> Cases:
    """A random disc of each game after a random move from first to last, where turning it changes the legal moves."""
    generator = torch.Generator().manual_seed(0)
    games = torch.arange(len(records.tokens))
    move = torch.randint(first, last + 1, (len(games),), generator=generator)
    boards, to_move = records.boards[games, move], records.to_move[games, move]
    square = torch.multinomial((boards > 0).float(), 1, generator=generator).squeeze(1)
    state = relative(records)[games, move, square]
    legal, edited_legal = records.legal[games, move], edited_legal_moves(boards, to_move, square)
    cases = Cases(records.tokens, move, square, state, boards, to_move, legal, edited_legal)
    return cases[(legal != edited_legal).any(dim=1)]


cases = make_cases(othello_records(sample_size(1400, 120), seed=13), first=9, last=49)
n_choosing = sample_size(250, 20)
choosing, reporting = cases[:n_choosing], cases[n_choosing:]
changed = (cases.legal != cases.edited_legal).sum(1).float().mean()
print(f"{len(choosing)} cases to choose, {len(reporting)} to report")
print(
    f"turning the disc changes {changed:.1f} of {cases.legal.sum(1).float().mean():.1f} legal moves, on average"
)

# %% [markdown]
# The edit. How far is the activation from the plane on which the probe finds *mine* and *theirs* equally likely? Push
# it to the other side, `strength` times as far. Strength 1 is the mirror image: asked about this square, the probe
# would be exactly as sure of the opposite. The edit is made at the last move of the case, in each of the layers
# given.
#
# The control is a push of the same length in a random direction: same case, same layer, so that only the direction
# differs.


# %%
def targets(cases: Cases, layer: int, strength: float) -> list[tuple[int, Tensor, float, float]]:
    """For each case the move at which to edit, the direction, where on it the two states tie, and the strength."""
    weight, bias = probes[layer].weight, probes[layer].bias
    found = []
    for move, square, state in zip(
        cases.move.tolist(), cases.square.tolist(), cases.state.tolist(), strict=True
    ):
        other = THEIRS if state == MINE else MINE
        length = (weight[:, square, other] - weight[:, square, state]).norm()
        tie = float((bias[square, state] - bias[square, other]) / length)
        found.append((move, flip_direction(weight, square, state, other), tie, strength))
    return found


# %%
def edit_hook(edits: list[tuple[int, Tensor, float, float]], random: torch.Generator | None):
    """A hook that pushes each case's stream to the other side, or as far in a random direction."""

    def hook(resid, hook):
        edited = resid.clone()
        for row, (move, direction, tie, strength) in enumerate(edits):
            old = resid[row, move]
            new = push_along(old, direction, tie + strength * abs(float(old @ direction) - tie))
            if random is not None:
                noise = torch.randn(old.shape, generator=random)
                new = old + (new - old).norm() * noise / noise.norm()
            edited[row, move] = new
        return edited

    return hook


@torch.no_grad()
def predictions(cases: Cases, layers=(), strength=1.0, random=None) -> Float[Tensor, "case 64"]:
    """The model's logits of each square after the case's move, with the edit in each of the layers."""
    tokens = cases.tokens[:, : int(cases.move.max()) + 1]
    hooks = [(f"blocks.{k}.hook_out", edit_hook(targets(cases, k, strength), random)) for k in layers]
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[torch.arange(len(cases)), cases.move]
    squares = torch.full((len(cases), 64), float("-inf"))
    squares[:, othello.TOKEN_SQUARES[1:]] = logits[:, 1:]
    return squares


# %% [markdown]
# Two yardsticks first. **No edit**: the untouched model, judged by the edited board. **Its own board**: the untouched
# model, judged by the true board. A perfect edit would bring the first number down to the second, and no further: an
# edit cannot be expected to play better than the model does.


# %%
def mean_errors(logits: Tensor, legal: Tensor) -> Interval:
    return mean_interval(legal_move_errors(logits, legal))


untouched = predictions(choosing)
no_edit, own_board = (mean_errors(untouched, legal) for legal in (choosing.edited_legal, choosing.legal))
print("no edit, judged by the edited board:", no_edit)
print("its own board                      :", own_board)

# %% [markdown]
# Now by layer and strength, on the choosing cases; "1 – 2" is an edit after block 1 and again after block 2, in case
# block 2 repairs the first. **Expect** the middle to work best: later than the board is computed, earlier than it has
# been used. And expect the last layer to change little: nothing reads it but the unembedding.

# %%
STRENGTHS = [1, 2, 4, 6][:: sample_size(1, 3)]
RANGES = {f"{k}": [k] for k in LAYERS} | {f"{k} – {k + 1}": [k, k + 1] for k in LAYERS[1:-1]}
swept = {
    (name, strength): mean_errors(predictions(choosing, layers, strength), choosing.edited_legal).estimate
    for name, layers in tqdm(RANGES.items(), desc="edits", leave=False)
    for strength in STRENGTHS
}
generator = torch.Generator().manual_seed(0)
at_random = [
    mean_errors(predictions(choosing, layers, 2, generator), choosing.edited_legal).estimate
    for layers in RANGES.values()
]
layer_sweep(
    {f"strength {s}": [swept[name, s] for name in RANGES] for s in STRENGTHS},
    floors={"no edit": no_edit.estimate, "own board": own_board.estimate, "random, 2": at_random},
    layers=[f"{name} " for name in RANGES],
    ylabel="legal-move errors a board",
    title="Errors against the edited board: lower is better (choosing cases)",
).update_xaxes(title_text="edited after block")

# %% [markdown]
# The best combination, on cases that took no part in choosing it. Beside it twenty draws of random directions: their
# lowest and highest mean are the band that a direction means nothing in.

# %%
best, strength = min(swept, key=swept.__getitem__)


def report(cases: Cases, n_random: int) -> dict[str, Interval | str]:
    """Mean errors a board with 95 % intervals over cases, and the band of random directions."""
    untouched, edited = predictions(cases), predictions(cases, RANGES[best], strength)
    band = [
        mean_errors(
            predictions(cases, RANGES[best], strength, torch.Generator().manual_seed(seed)),
            cases.edited_legal,
        ).estimate
        for seed in tqdm(range(n_random), desc="random directions", leave=False)
    ]
    return {
        "no edit": mean_errors(untouched, cases.edited_legal),
        "edited": mean_errors(edited, cases.edited_legal),
        "its own board, untouched": mean_errors(untouched, cases.legal),
        f"{n_random} random directions": f"{min(band):.3f} to {max(band):.3f}",
    }


print(f"after block {best}, strength {strength}, {len(reporting)} cases")
for name, result in report(reporting, sample_size(20, 3)).items():
    print(f"    {name:<25} {result}")

# %% [markdown]
# ## Boards that no game can reach
#
# Perhaps the edit only moves the model to another *game* that it might have read. Turning one disc rarely gives a
# board that can arise at all. After eight moves that can be decided by playing every game of eight moves (270,000
# boards): is there one that ends on the edited board, with the same player to move?
#
# So two kinds of case after move 8, natural and unnatural. If the model held a list of games, not a board, unnatural
# edits would fail.

# %%
early = make_cases(othello_records(sample_size(12000, 1500), seed=14), first=7, last=7)
turned = with_disc_turned(early.boards, early.square)
natural = torch.from_numpy(othello.is_reachable(turned.numpy(), early.to_move.numpy(), n_moves=8))
print(f"{natural.float().mean():.1%} of the edited boards can be reached")
for kind, chosen in {"natural": natural, "unnatural": ~natural}.items():
    cases_of_kind = early[chosen.nonzero().squeeze(1)[: sample_size(300, 20)]]
    print(f"\n{kind}: {len(cases_of_kind)} cases")
    for name, result in report(cases_of_kind, sample_size(5, 2)).items():
        print(f"    {name:<25} {result}")

# %% [markdown]
# ## One board, before and after
#
# The first reporting case in which turning the disc changes five legal moves or more: chosen by the rules, not by how
# well the edit worked. Rings are what the rules allow, on the left for the true board, on the right for the board
# with the framed disc turned. Purple: what the model expects.

# %%
change = (reporting.legal != reporting.edited_legal).sum(dim=1)
case = int((change >= 5).nonzero()[0])
before = predictions(reporting).softmax(dim=-1)[case]
after = predictions(reporting, RANGES[best], strength).softmax(dim=-1)[case]
turned = with_disc_turned(reporting.boards, reporting.square)[case]
square = int(reporting.square[case])
player = "black" if reporting.to_move[case] == 1 else "white"
board_row(
    [
        BoardView(
            reporting.boards[case],
            legal=reporting.legal[case],
            predicted=before,
            framed=square,
            label="no edit",
        ),
        BoardView(turned, legal=reporting.edited_legal[case], predicted=after, framed=square, label="edited"),
    ],
    game="othello",
    title=f"Move {int(reporting.move[case]) + 2}, {player} to play: the same game, another board in mind",
    frame="the disc that is turned",
)

# %% [markdown]
# ## What was shown, and what was not
#
# On the committed model turning one disc, by a push along a direction that a probe found, moves the predictions most
# of the way to the edited board. In mid-game 2.6 errors a board become 1.2, where the model makes 0.7 on its own
# boards; after eight moves 2.7 become 0.1, and the difference between boards that can arise and boards that cannot is
# within the intervals. Random pushes of the same length only do damage (3.5 to 3.7 in mid-game). So the model reads
# its moves off a board, and reads it from where the probe does.
#
# Where it works is part of the result. After the last block an edit does little, though the probe reads the board
# there too: *readable is not yet used*. And strength 1, which would satisfy the probe, is not enough. Why was not
# tested. The model may have the board in more places than this one direction, earlier layers may have acted on the
# old disc already, and the probe's direction need not be exactly the model's.
#
# Not shown: that the edit is clean. The other squares' directions are not orthogonal to this one, and the errors that
# remain may be side effects as well as remnants. Nor that a language model would obey as well: here every effect can
# be checked by rules, there it cannot. Chapters 3 and 4 try.
#
# | errors a board | no edit | edited | its own board |
# |---|---|---|---|
# | [Li et al. 2023](https://arxiv.org/abs/2210.13382), nonlinear probe and gradient steps, natural / unnatural | 2.68 / 2.59 | 0.12 / 0.06 | |
# | here, moves 10–50 | 2.6 | 1.2 | 0.7 |
# | here, after move 8, natural / unnatural | 2.7 / 3.0 | 0.1 / 0.2 | 0.0 / 0.0 |
#
# [Nanda et al. 2023](https://arxiv.org/abs/2309.00941) steered the published model, ten times as large, with such a
# linear direction.
#
# **Try it yourself.** Edit a square from empty to mine, with the state 0. Which legal moves should appear, which
# disappear? Or turn two discs at once.
