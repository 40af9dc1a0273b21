# %% [markdown]
# # The hidden board
#
# **A model that has read nothing but lists of moves plays legal Othello. Is there a board inside it, and in which
# coordinates is it written?**
#
# After this lesson you can
#
# * fit one linear probe for all 64 squares at once, in closed form;
# * report its accuracy beside the floors that it has to clear: the majority of each square, an untrained model;
# * recognise a probe that fails because its *labels* are in the wrong coordinates, and find the right ones;
# * say why a nonlinear probe succeeded where a linear one failed, and what that did not show.
#
# Time: 75 minutes with the exercises. The machine needs about one minute on two CPU cores, and 2 GB of memory.

# %%
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations
from utils.boards.load import load_board_model
from utils.boards.othello import CENTRE, TOKEN_SQUARES
from utils.boards.records import othello_records
from utils.course import open_lesson, sample_size
from utils.metrics import mean_interval
from utils.plots import BoardView, bars_with_floor, board_film, board_row, layer_sweep

check, use_reference = open_lesson("ch2_board_states/part1_the_hidden_board")

# %% [markdown]
# ## A model of nothing but moves
#
# Othello in three rules. Black and white place discs in turn on an 8 × 8 board, black first. A move must enclose at
# least one line of the opponent's discs between the new disc and an old one of one's own; all enclosed discs change
# colour. Whoever cannot move passes.
#
# `othello` is a GPT with five blocks that was trained here, on games of two players who choose at random among the
# legal moves. A game is a list of squares, a square a token. No rule, board or colour was ever in its input. Its
# model card:

# %%
othello = load_board_model("othello")
model, n_layers = othello.model, othello.model.cfg.n_layers
display(Markdown(othello.summary))

# %% [markdown]
# New random games that training has never seen: `tokens` for the model, and the truth about them *after* each move,
# `boards` (0 empty, 1 black, 2 white), `to_move` (who is next, 1 black, 2 white) and `legal` (where they may play).
# Three sets of games: to fit probes, to choose among them, to test what was chosen. A game is never in two of them.

# %%
train = othello_records(sample_size(1000, 150), seed=2)
validation = othello_records(sample_size(200, 40), seed=3)
test = othello_records(sample_size(400, 60), seed=4)
print(f"games: {len(train.tokens)} to fit, {len(validation.tokens)} to choose, {len(test.tokens)} to test")
print("the first moves of one, as tokens:", test.tokens[0, :8].tolist())
print("boards:", tuple(test.boards.shape), "(game, move, square)")

# %% [markdown]
# Does it play by the rules? **Expect** its predictions (purple, larger means more probable) to sit in the yellow
# rings, the legal moves. Drag the slider.


# %%
def on_squares(per_token: Float[Tensor, "*batch token"]) -> Float[Tensor, "*batch square"]:
    """What the model says of each token, moved to the token's square; 0 on the centre, which has no token."""
    squares = torch.zeros(*per_token.shape[:-1], 64)
    squares[..., TOKEN_SQUARES[1:]] = per_token[..., 1:]
    return squares


with torch.no_grad():
    predicted = on_squares(model(test.tokens).softmax(dim=-1))

COLOUR = {1: "black", 2: "white"}
game = 0
board_film(
    [
        BoardView(
            test.boards[game, move],
            legal=test.legal[game, move],
            predicted=predicted[game, move],
            framed=int(test.moves[game, move]),
            label=f"after move {move + 1}, {COLOUR[int(test.to_move[game, move])]} to play",
        )
        for move in range(59)
    ],
    game="othello",
    title="A game that the model has never seen, and what it expects next",
    start=19,
)

# %% [markdown]
# Over all test games: how often is its favourite move legal? The floor is a player who knows only which squares are
# taken, and picks any empty one.

# %%
favourite = predicted.argmax(dim=-1, keepdim=True)
is_legal = test.legal.gather(-1, favourite).squeeze(-1).float()
blind = test.legal.sum(dim=-1) / (test.boards == 0).sum(dim=-1)
# Positions of one game are not independent evidence, games are: one number a game, an interval over games.
print("favourite move legal     ", mean_interval(is_legal.mean(dim=1)))
print("any empty square is legal", mean_interval(blind.mean(dim=1)))

# %% [markdown]
# ## The residual stream, move by move
#
# One vector a move and layer. `"embed"` enters the first block; layer k is what leaves block k. (The model reads from
# left to right, so the vector at move m has seen moves 1 … m, and the board after move m is what it could know.)
# Beside it the same architecture with fresh weights: what can be read from *that*, training has not put there.

# %%
LAYERS = ["embed", *range(n_layers)]
untrained = load_board_model("othello", untrained_seed=1).model


def streams(model, records):
    return all_token_activations(model, records.tokens.tolist(), LAYERS)


acts = {part: streams(model, records) for part, records in
        (("train", train), ("validation", validation), ("test", test))}  # fmt: skip
untrained_acts = {part: streams(untrained, records) for part, records in (("train", train), ("test", test))}
print("train, one layer:", tuple(acts["train"].flat(0)[0].shape), "(position, d_model)")

# %% [markdown]
# ## Exercise · `fit_board_probe`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# For every square a linear probe with one output a state, all fitted together. The target of a square is its state as
# a one-hot vector (state 2 of 3 is `[0, 0, 1]`), the loss is ridge regression's,
#
# $$ \sum_\text{positions} \lVert W^\top x + b - y \rVert^2 + \lambda \lVert W \rVert^2, $$
#
# with the intercept $b$ *not* penalised. It has a closed form, and one linear solve serves all squares and states,
# since they share the matrix on the left:
#
# $$ (X_c^\top X_c + \lambda I)\, W = X_c^\top Y_c, \qquad b = \bar y - W^\top \bar x, $$
#
# where the index $c$ says that the mean over positions is removed. Return `weight "d_model square state"` and `bias
# "square state"` in float32. A negative `l2`, or a state outside 0 … n_states − 1: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `F.one_hot(boards.long(), n_states)` has shape (position, square, state); flattened from its second dimension it is
# the Y of the formula.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Solve in float64 (`.double()`): in float32 the sums over fifty thousand positions lose digits. At the end
# `weight.unflatten(1, (n_squares, n_states))`.
#
# </details>


# %%
def fit_board_probe(
    acts: Float[Tensor, "position d_model"],
    boards: Int[Tensor, "position square"],
    n_states: int,
    l2: float,
) -> tuple[Float[Tensor, "d_model square state"], Float[Tensor, "square state"]]:
    """One-hot ridge regression from activations to the state of every square, in closed form: (weight, bias), float32.

    boards: any integer type. l2 may be 0.
    Minimises Σ‖acts @ weight + bias − one-hot‖² + l2 · ‖weight‖²; the bias is not penalised.
    Raises ValueError for a negative l2 and for states outside 0 … n_states − 1.
    Source: the linear probe of Nanda et al. 2023, arXiv:2309.00941, here with a squared loss.
    """
    ### BEGIN SOLUTION
    if l2 < 0:
        raise ValueError(f"l2 must not be negative, not {l2}")
    if boards.min() < 0 or boards.max() >= n_states:
        raise ValueError(f"states must lie in 0 … {n_states - 1}")
    x, y = acts.double(), F.one_hot(boards.long(), n_states).double().flatten(1)
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x = x - x_mean
    gram = x.T @ x + l2 * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ (y - y_mean))
    bias = y_mean - x_mean @ weight
    shape = (boards.shape[1], n_states)
    return weight.unflatten(1, shape).float(), bias.unflatten(0, shape).float()
    ### END SOLUTION


check(fit_board_probe)

# %% [markdown]
# ## Exercise · `board_accuracy`
#
# difficulty ●●○○○ · importance ●●●○○ · 10 minutes
#
# The probe's guess is the state with the largest output. Return, for each square, the share of positions where the
# guess is right, in ascending order of squares, without those in `exclude`. (The four squares of the centre are never
# empty and so easier than the rest: we leave them out.) A square in `exclude` that is not on the board: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `kept = [s for s in range(n_squares) if s not in exclude]` is in the order of the squares, whatever the order in
# `exclude`.
#
# </details>


# %%
def board_accuracy(
    logits: Float[Tensor, "position square state"],
    boards: Int[Tensor, "position square"],
    exclude: tuple[int, ...] = (),
) -> Float[Tensor, "kept"]:
    """The share of positions where the likeliest state is the true one, for each square not in exclude, ascending.

    Raises ValueError for an excluded square that is not on the board.
    """
    ### BEGIN SOLUTION
    n_squares = boards.shape[1]
    if any(not 0 <= square < n_squares for square in exclude):
        raise ValueError(f"exclude {exclude} names squares outside 0 … {n_squares - 1}")
    kept = [square for square in range(n_squares) if square not in exclude]
    return (logits.argmax(dim=-1) == boards)[:, kept].float().mean(dim=0)
    ### END SOLUTION


check(board_accuracy)

# %% [markdown]
# ## Exercise · `majority_floor`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# A number needs a floor. The least that any probe should beat: always name the state that is commonest *on this
# square*, whatever the activations say. Learn the commonest states on the training boards, and return their accuracy
# on the test boards, one number a square. On a tie the lower state. Training boards with another number of squares
# than the test boards: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `torch.mode(train_boards, dim=0).values` gives each column's commonest value, the smallest on a tie.
#
# </details>


# %%
def majority_floor(
    train_boards: Int[Tensor, "train square"], test_boards: Int[Tensor, "test square"]
) -> Float[Tensor, "square"]:
    """Accuracy on the test boards of naming each square's commonest state in the training boards (lower on a tie).

    Raises ValueError where the two have different squares.
    """
    ### BEGIN SOLUTION
    if train_boards.shape[1] != test_boards.shape[1]:
        raise ValueError(f"{train_boards.shape[1]} training squares, {test_boards.shape[1]} test squares")
    commonest = torch.mode(train_boards, dim=0).values
    return (test_boards == commonest).float().mean(dim=0)
    ### END SOLUTION


check(majority_floor)

# %% [markdown]
# ## First try: black, white, empty
#
# A board is black and white, so that is what we ask for, at every layer. **Expect** a disappointment.


# %%
def probe_layers(acts, fit_boards: Tensor, part: str, boards: Tensor) -> list[Tensor]:
    """For each layer a probe fitted on the training games; returns its accuracy a square on `part`."""
    found = []
    for layer in tqdm(LAYERS, desc="probes", leave=False):
        weight, bias = fit_board_probe(acts["train"].flat(layer)[0], fit_boards.flatten(0, 1), 3, l2=1.0)
        logits = torch.einsum("pd,dsk->psk", acts[part].flat(layer)[0], weight) + bias
        found.append(board_accuracy(logits, boards.flatten(0, 1), exclude=CENTRE))
    return found


kept = [square for square in range(64) if square not in CENTRE]
absolute = probe_layers(acts, train.boards, "validation", validation.boards)
absolute_floor = majority_floor(train.boards.flatten(0, 1), validation.boards.flatten(0, 1))[kept].mean()
layer_sweep(
    {"black / white / empty": [float(each.mean()) for each in absolute]},
    floors={"majority": float(absolute_floor)},
    layers=LAYERS,
    ylabel="accuracy, mean over 60 squares",
    title="A linear probe for black and white: better than nothing, and stuck (validation games)",
)

# %% [markdown]
# Three quarters of the squares, at any layer. The model plays by the rules, so it must know more than that. One could
# conclude, as the first paper on this question did (Li et al. 2023), that the board is there but not *linearly*.
#
# Before you believe that, look at where the probe fails. The same fit on half of the positions each: those where
# black moves next, and those where white does. Counted here are the *occupied* squares, black or white: empty ones
# are easy. **Expect** a surprise.


# %%
def half(side: int, acts: Tensor, records) -> tuple[Tensor, Tensor]:
    """Activations and boards of the positions in which this side moves next."""
    rows = (records.to_move == side).flatten()
    return acts[rows], records.boards.flatten(0, 1)[rows]


layer = 2
for side in COLOUR:
    weight, bias = fit_board_probe(*half(side, acts["train"].flat(layer)[0], train), n_states=3, l2=1.0)
    for asked in COLOUR:
        asked_acts, asked_boards = half(asked, acts["validation"].flat(layer)[0], validation)
        guesses = (torch.einsum("pd,dsk->psk", asked_acts, weight) + bias).argmax(dim=-1)
        right = (guesses == asked_boards)[asked_boards > 0].float().mean()
        print(
            f"fitted where {COLOUR[side]} moves, tested where {COLOUR[asked]} moves: {right:.3f} of the discs"
        )

# %% [markdown]
# A probe that has only ever seen positions with black to move reads most discs there, and where white is to move it
# calls most discs by the *other* colour: worse than a coin. So there is a board in the stream, in linear form. But
# what one half of the positions calls black, the other half calls white.
#
# ## Exercise · `relative_board`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# So ask as the model might: not *black or white?* but *mine or theirs?*, from the point of view of the player to
# move. From `boards` (0 empty, 1 black, 2 white) and `to_move` (1 black, 2 white) make boards with 0 empty, 1 mine, 2
# theirs. A `to_move` other than 1 or 2: `ValueError`.
#
# <details><summary>Hint</summary>
#
# A disc is mine where `boards == to_move`; `to_move` needs one more dimension to compare with every square.
#
# </details>


# %%
def relative_board(
    boards: Int[Tensor, "game move square"], to_move: Int[Tensor, "game move"]
) -> Int[Tensor, "game move square"]:
    """Boards from the point of view of the player to move: 0 empty, 1 mine, 2 theirs.

    boards: 0 empty, 1 black, 2 white. to_move: who moves next, 1 black, 2 white; ValueError for anything else.
    """
    ### BEGIN SOLUTION
    if not ((to_move == 1) | (to_move == 2)).all():
        raise ValueError("to_move must be 1 (black) or 2 (white) everywhere")
    mine = boards == to_move.unsqueeze(-1)
    return torch.where(boards == 0, 0, torch.where(mine, 1, 2))
    ### END SOLUTION


check(relative_board)

# %% [markdown]
# The same probe, the same activations, other labels. Beside it the untrained model with the same labels.

# %%
relative_train = relative_board(train.boards, train.to_move)
relative_validation = relative_board(validation.boards, validation.to_move)
relative_test = relative_board(test.boards, test.to_move)

relative = probe_layers(acts, relative_train, "validation", relative_validation)
floor = majority_floor(relative_train.flatten(0, 1), relative_test.flatten(0, 1))[kept].mean()
untrained_relative = probe_layers(untrained_acts, relative_train, "test", relative_test)
means = {
    "mine / theirs / empty": [float(each.mean()) for each in relative],
    "black / white / empty": [float(each.mean()) for each in absolute],
}
layer_sweep(
    means,
    floors={"untrained model": [float(each.mean()) for each in untrained_relative], "majority": float(floor)},
    layers=LAYERS,
    ylabel="accuracy, mean over 60 squares",
    title="The board is linear in the coordinates of the player to move (validation games)",
)

# %% [markdown]
# The layer is chosen on the validation games; its accuracy is reported on the test games, with an interval over
# games.

# %%
best = LAYERS[max(range(len(LAYERS)), key=lambda k: means["mine / theirs / empty"][k])]


def right_squares(acts, fit_boards: Tensor, boards: Tensor, layer) -> Bool[Tensor, "game move kept"]:
    """Where a probe fitted on the training games is right on the test games, the centre left out."""
    weight, bias = fit_board_probe(acts["train"].flat(layer)[0], fit_boards.flatten(0, 1), 3, l2=1.0)
    logits = torch.einsum("gmd,dsk->gmsk", acts["test"].padded(layer)[0], weight) + bias
    return (logits.argmax(dim=-1) == boards)[..., kept]


right = right_squares(acts, relative_train, relative_test, best)
commonest = torch.mode(relative_train.flatten(0, 1), dim=0).values
results = {
    "mine / theirs": right,
    "black / white": right_squares(acts, train.boards, test.boards, best),
    "mine / theirs, untrained": right_squares(untrained_acts, relative_train, relative_test, best),
    "mine / theirs, majority": (relative_test == commonest)[..., kept],
}
print(f"layer {best}, accuracy on unseen games with its 95 % interval over games")
for name, each in results.items():
    print(f"    {name:<25}", mean_interval(each.float().mean(dim=(1, 2))))

# %% [markdown]
# ## When, and where
#
# A mean over squares and moves hides where a probe fails. **Expect** accuracy to fall as the board fills (more discs,
# turned more often), and the squares around the centre to be harder than the edges.

# %%
by_move = {name: each.float().mean(dim=(0, 2)) for name, each in results.items()}
layer_sweep(
    {name: by_move[name].tolist() for name in ("mine / theirs", "black / white")},
    floors={"untrained": by_move["mine / theirs, untrained"], "majority": by_move["mine / theirs, majority"]},
    layers=range(1, 60),
    ylabel="accuracy, mean over 60 squares",
    title="Accuracy by move (test games)",
).update_xaxes(title_text="move")


# %%
def spread(per_kept: Float[Tensor, "kept"]) -> Float[Tensor, "64"]:
    """60 numbers on their squares; the centre gets none."""
    squares = torch.full((64,), float("nan"))
    squares[kept] = per_kept
    return squares


bare = torch.zeros(64, dtype=torch.long)
board_row(
    [
        BoardView(bare, {"accuracy": spread(results[name].float().mean(dim=(0, 1)))}, label=name)
        for name in ("mine / theirs, majority", "black / white", "mine / theirs")
    ],
    game="othello",
    title="Accuracy of each square (test games; the centre is left out)",
    unit="accuracy",
    limits=(0.4, 1.0),
)

# %% [markdown]
# ## What a nonlinear probe would have told us
#
# In 2023 the first answer was a probe with a hidden layer, on black and white. Let us repeat it. **Expect** it to do
# nearly as well as the linear probe in the right coordinates: it can compute "mine if black moves, else theirs" by
# itself.


# %%
def fit_mlp(acts: Tensor, boards: Tensor, steps: int = sample_size(1000, 100)) -> torch.nn.Module:
    """A probe with one hidden layer for all squares, trained by AdamW on the cross-entropy."""
    mean, scale = acts.mean(dim=0), acts.std(dim=0) + 1e-6
    torch.manual_seed(0)
    first, second = torch.nn.Linear(acts.shape[1], 256), torch.nn.Linear(256, 64 * 3)
    with torch.no_grad():
        first.weight /= scale
        first.bias -= first.weight @ mean
    probe = torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.Unflatten(1, (64, 3)))
    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3)
    for _ in tqdm(range(steps), desc="MLP probe", leave=False):
        rows = torch.randint(len(acts), (512,))
        loss = F.cross_entropy(probe(acts[rows]).flatten(0, 1), boards[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return probe


# %%
mlp = {}
for name, source in (("this model", acts), ("untrained", untrained_acts)):
    probe = fit_mlp(source["train"].flat(best)[0], train.boards.flatten(0, 1))
    with torch.no_grad():
        guesses = probe(source["test"].flat(best)[0]).argmax(dim=-1).view_as(test.boards)
    mlp[name] = (guesses == test.boards)[..., kept]

# %%
pairs = {
    "linear, black / white": (
        results["black / white"],
        right_squares(untrained_acts, train.boards, test.boards, best),
    ),
    "MLP, black / white": (mlp["this model"], mlp["untrained"]),
    "linear, mine / theirs": (right, results["mine / theirs, untrained"]),
}
found = {name: mean_interval(each.float().mean(dim=(1, 2))) for name, (each, _) in pairs.items()}
bars_with_floor(
    {name: each.estimate for name, each in found.items()},
    intervals={name: (each.low, each.high) for name, each in found.items()},
    floors={
        "majority": float(floor),
        "same probe, untrained model": [float(fresh.float().mean()) for _, fresh in pairs.values()],
    },
    start=0.5,
    xlabel="accuracy on unseen games",
    title=f"Two ways to the same board, layer {best} (95 % intervals over games)",
)

# %% [markdown]
# The hidden layer did not find a nonlinear board. It undid, square by square, a change of coordinates that we had
# made in the labels. A probe's power can make up for a question asked badly, and then it says less about the model
# than it seems to. Try the better question first.
#
# ## See it read
#
# The picture of this lesson: the discs are the truth, the colour of a square is what the linear probe reads at the
# chosen layer, blue for mine and orange for theirs. Press the buttons to go through the layers, drag the slider
# through a game.

# %%
shown = {}
for layer in dict.fromkeys(["embed", 0, best, n_layers - 1]):
    weight, bias = fit_board_probe(acts["train"].flat(layer)[0], relative_train.flatten(0, 1), 3, l2=1.0)
    scores = torch.einsum("md,dsk->msk", acts["test"].padded(layer, [game])[0][0], weight) + bias
    shares = scores.clamp(0, 1)
    shown[f"block {layer}" if layer != "embed" else "embed"] = shares[..., 1] - shares[..., 2]

board_film(
    [
        BoardView(
            test.boards[game, move],
            {name: values[move] for name, values in shown.items()},
            legal=test.legal[game, move],
            framed=int(test.moves[game, move]),
            label=f"after move {move + 1}, {COLOUR[int(test.to_move[game, move])]} to play",
        )
        for move in range(59)
    ],
    game="othello",
    title="The board that the probe reads",
    unit="mine − theirs",
    show=f"block {best}",
    start=29,
)

# %% [markdown]
# ## What was shown, and what was not
#
# On the committed model the favourite move is legal 99 times in 100. A linear probe reads 93 % of the squares in the
# coordinates of the player to move, 76 % in black and white; an untrained model gives 68 %, each square's majority 54
# %. The board is written by the first three blocks and read best after the third. An MLP on black and white reaches
# what the linear probe reaches in the right coordinates.
#
# Look at the last moves once more: after the 59th the probe falls to the level of an untrained model. One square is
# empty then, and where the next disc goes can be told from *which squares were played*. The model keeps a board for
# as long as it needs one.
#
# Not shown: that the model *uses* the board that we read. A probe finds what is there, whoever needs it. The next
# lesson changes the board in the stream and watches the moves. Nor that the board is complete: after move 50 more
# than one square in ten is read wrongly, and whether the model or the probe is mistaken there cannot be told from an
# accuracy.
#
# | | published | here |
# |---|---|---|
# | favourite move legal | 99.99 % on synthetic games, 25 million parameters ([Li et al. 2023](https://arxiv.org/abs/2210.13382)) | 99.2 %, 2.3 million parameters |
# | linear probe, black / white, best layer | 79.6 % right; on a randomised model 73 % (same) | 76 %, untrained 66 % |
# | MLP probe, black / white, best layer | 98.3 % (same) | 93 %, untrained 67 % |
# | linear probe, mine / theirs | nearly perfect from the middle layers on ([Nanda et al. 2023](https://arxiv.org/abs/2309.00941)) | 93 %, untrained 68 % |
#
# Theirs is ten times as large and saw twenty times as many games. The shape is the same: absolute colours stuck,
# relative ones far above, a hidden layer that makes up for the labels.
#
# **Try it yourself.** Fit the probe on moves 1–20 only and test it on moves 40–50. Or ask a third question: *was this
# disc turned by the last move?* Where there is a network, `load_board_model("othello-gpt-published")` loads the
# published model into the same cells.
