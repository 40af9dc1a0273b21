"""Wrong answers to chapter 2, part 1 that its checks must reject, and right ones written differently."""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge

from utils.course import alternative, mistake


def checked(boards, n_states, l2):
    if l2 < 0:
        raise ValueError("l2 must not be negative")
    if boards.min() < 0 or boards.max() >= n_states:
        raise ValueError("a state is outside")


def one_hot(boards, n_states):
    return F.one_hot(boards.long(), n_states).double().flatten(1)


def ridge(x, y, l2):
    """Weight and bias of every column of y, on centred data: what most of the mistakes below get right."""
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - x_mean
    weight = torch.linalg.solve(
        centred.T @ centred + l2 * torch.eye(x.shape[1], dtype=x.dtype), centred.T @ y
    )
    return weight, y_mean - x_mean @ weight


def by_square(weight, bias, boards, n_states):
    shape = (boards.shape[1], n_states)
    return weight.unflatten(1, shape).float(), bias.unflatten(0, shape).float()


def with_ones(acts):
    return torch.cat([acts.double(), torch.ones(len(acts), 1, dtype=torch.float64)], dim=1)


@mistake("fit_board_probe")
def through_the_origin(acts, boards, n_states, l2):
    """Nothing was centred and the bias is 0. Activations lie far from the origin: fit on centred ones, then let the
    bias be mean(y) − mean(x) @ weight."""
    checked(boards, n_states, l2)
    x, y = acts.double(), one_hot(boards, n_states)
    weight = torch.linalg.solve(x.T @ x + l2 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    return by_square(weight, torch.zeros_like(y[0]), boards, n_states)


@mistake("fit_board_probe")
def bias_is_the_share(acts, boards, n_states, l2):
    """The bias is the mean of y, right for centred activations only. For raw ones subtract mean(x) @ weight."""
    checked(boards, n_states, l2)
    y = one_hot(boards, n_states)
    weight, _ = ridge(acts.double(), y, l2)
    return by_square(weight, y.mean(dim=0), boards, n_states)


@mistake("fit_board_probe")
def penalised_bias(acts, boards, n_states, l2):
    """The bias was fitted as the weight of a column of ones and penalised like the others. It should be free:
    centre, or set that entry of the penalty to 0."""
    checked(boards, n_states, l2)
    x = with_ones(acts)
    gram = x.T @ x + l2 * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ one_hot(boards, n_states))
    return by_square(weight[:-1], weight[-1], boards, n_states)


@mistake("fit_board_probe")
def penalty_times_positions(acts, boards, n_states, l2):
    """The penalty was multiplied by the number of positions, as if squared errors were averaged. Here they are
    summed."""
    checked(boards, n_states, l2)
    return by_square(*ridge(acts.double(), one_hot(boards, n_states), l2 * len(acts)), boards, n_states)


@mistake("fit_board_probe")
def penalty_on_every_entry(acts, boards, n_states, l2):
    """`gram + l2` adds the penalty to every entry of the matrix. It belongs on the diagonal:
    l2 * torch.eye(d_model)."""
    checked(boards, n_states, l2)
    x, y = acts.double(), one_hot(boards, n_states)
    centred = x - x.mean(dim=0)
    weight = torch.linalg.solve(centred.T @ centred + l2, centred.T @ y)
    return by_square(weight, y.mean(dim=0) - x.mean(dim=0) @ weight, boards, n_states)


@mistake("fit_board_probe")
def penalty_unused(acts, boards, n_states, l2):
    """l2 is not used: this is ordinary least squares, which fits every position by heart where there are fewer
    positions than features."""
    checked(boards, n_states, l2)
    x, y = acts.double(), one_hot(boards, n_states)
    weight = torch.linalg.pinv(x - x.mean(dim=0)) @ y
    return by_square(weight, y.mean(dim=0) - x.mean(dim=0) @ weight, boards, n_states)


@mistake("fit_board_probe")
def penalty_on_standardised_features(acts, boards, n_states, l2):
    """The features were divided by their standard deviation before the fit, so that the penalty acts on other
    weights. Only remove the mean."""
    checked(boards, n_states, l2)
    scale = acts.double().std(dim=0, correction=0).clamp(min=1e-9)
    weight, bias = ridge(acts.double() / scale, one_hot(boards, n_states), l2)
    return by_square(weight / scale.unsqueeze(1), bias, boards, n_states)


@mistake("fit_board_probe")
def columns_by_state(acts, boards, n_states, l2):
    """The columns of the solution were split as (state, square). Flattened from its second dimension the one-hot
    board runs through the states of square 0, then those of square 1: split as (square, state)."""
    checked(boards, n_states, l2)
    weight, bias = ridge(acts.double(), one_hot(boards, n_states), l2)
    shape = (n_states, boards.shape[1])
    return weight.unflatten(1, shape).transpose(1, 2).float(), bias.unflatten(0, shape).T.float()


@mistake("fit_board_probe")
def targets_of_plus_and_minus_one(acts, boards, n_states, l2):
    """The targets are −1 and 1. One-hot means 0 and 1: the outputs of a square's states then sum to 1."""
    checked(boards, n_states, l2)
    return by_square(*ridge(acts.double(), 2 * one_hot(boards, n_states) - 1, l2), boards, n_states)


@mistake("fit_board_probe")
def states_from_the_data(acts, boards, n_states, l2):
    """The number of states is taken from the boards. A state that these boards happen not to show would then be
    missing: pass n_states to F.one_hot."""
    checked(boards, n_states, l2)
    found = int(boards.max()) + 1
    return by_square(*ridge(acts.double(), one_hot(boards, found), l2), boards, found)


@mistake("fit_board_probe")
def solved_in_float32(acts, boards, n_states, l2):
    """The formula is right, but in float32 the sums over many positions lose digits, and where activations are
    large and alike, what tells them apart drowns in rounding. Use .double() before the first product."""
    checked(boards, n_states, l2)
    return by_square(*ridge(acts.float(), one_hot(boards, n_states).float(), l2), boards, n_states)


@mistake("fit_board_probe")
def centred_in_place(acts, boards, n_states, l2):
    """The activations are centred in place (`x -= …`). `.double()` makes no copy of what is float64 already, so
    that the caller's tensor changes: write x = x − mean."""
    checked(boards, n_states, l2)
    x, y = acts.double(), one_hot(boards, n_states)
    fitted = by_square(*ridge(x, y, l2), boards, n_states)
    x -= x.mean(dim=0)
    return fitted


@mistake("fit_board_probe")
def one_hot_of_int64_only(acts, boards, n_states, l2):
    """F.one_hot takes int64 and nothing else, but boards are often stored in smaller integers: boards.long()."""
    checked(boards, n_states, l2)
    y = F.one_hot(boards, n_states).double().flatten(1)
    return by_square(*ridge(acts.double(), y, l2), boards, n_states)


@mistake("fit_board_probe")
def zero_penalty_refused(acts, boards, n_states, l2):
    """l2 = 0 raises ValueError. Only a *negative* penalty is senseless; 0 is plain least squares."""
    if l2 <= 0:
        raise ValueError("l2 must be positive")
    checked(boards, n_states, l2)
    return by_square(*ridge(acts.double(), one_hot(boards, n_states), l2), boards, n_states)


@mistake("fit_board_probe")
def negative_penalty_accepted(acts, boards, n_states, l2):
    """A negative l2 rewards large weights, and the solution means nothing. The contract asks for a ValueError."""
    checked(boards, n_states, 0.0)
    return by_square(*ridge(acts.double(), one_hot(boards, n_states), l2), boards, n_states)


@mistake("fit_board_probe")
def states_left_to_one_hot(acts, boards, n_states, l2):
    """States outside 0 … n_states − 1 are left to F.one_hot, which raises RuntimeError. The contract asks for a
    ValueError: look at boards.min() and boards.max() first."""
    checked(boards.clamp(0, n_states - 1), n_states, l2)
    return by_square(*ridge(acts.double(), one_hot(boards, n_states), l2), boards, n_states)


@alternative("fit_board_probe")
def by_free_ones_column(acts, boards, n_states, l2):
    checked(boards, n_states, l2)
    x = with_ones(acts)
    penalty = torch.full((x.shape[1],), float(l2), dtype=torch.float64)
    penalty[-1] = 0
    weight = torch.linalg.solve(x.T @ x + penalty.diag(), x.T @ one_hot(boards, n_states))
    return by_square(weight[:-1], weight[-1], boards, n_states)


@alternative("fit_board_probe")
def by_extra_rows(acts, boards, n_states, l2):
    """A penalty is the squared error on d_model more positions, each with one feature √l2 and all targets 0."""
    checked(boards, n_states, l2)
    x, y = with_ones(acts), one_hot(boards, n_states)
    extra = torch.eye(x.shape[1], dtype=x.dtype)[:-1] * l2**0.5
    zeros = torch.zeros(len(extra), y.shape[1], dtype=y.dtype)
    weight = torch.linalg.lstsq(torch.cat([x, extra]), torch.cat([y, zeros]), driver="gelsd").solution
    return by_square(weight[:-1], weight[-1], boards, n_states)


@alternative("fit_board_probe")
def by_svd_of_activations(acts, boards, n_states, l2):
    checked(boards, n_states, l2)
    x, y = acts.double(), one_hot(boards, n_states)
    u, s, vt = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)
    weight = vt.T @ ((s / (s.square() + l2)).unsqueeze(1) * (u.T @ y))
    return by_square(weight, y.mean(dim=0) - x.mean(dim=0) @ weight, boards, n_states)


@alternative("fit_board_probe")
def by_scikit_learn(acts, boards, n_states, l2):
    """One Ridge a square, from numpy arrays."""
    checked(boards, n_states, l2)
    x, targets = acts.double().numpy(), np.eye(n_states)[boards.numpy()]
    models = [Ridge(alpha=l2, solver="svd").fit(x, targets[:, square]) for square in range(boards.shape[1])]
    weight = torch.from_numpy(np.stack([model.coef_.T for model in models], axis=1))
    bias = torch.from_numpy(np.stack([model.intercept_ for model in models]))
    return weight.float(), bias.float()


def on_board(exclude, n_squares):
    if any(not 0 <= square < n_squares for square in exclude):
        raise ValueError("exclude names a square that is not on the board")


def kept_squares(exclude, n_squares):
    on_board(exclude, n_squares)
    return [square for square in range(n_squares) if square not in exclude]


def hits(logits, boards):
    return (logits.argmax(dim=-1) == boards).float()


@mistake("board_accuracy")
def mean_over_squares(logits, boards, exclude=()):
    """The mean is taken over squares, one number a position. Take it over positions, dim=0: one number a square."""
    return hits(logits, boards)[:, kept_squares(exclude, boards.shape[1])].mean(dim=1)


@mistake("board_accuracy")
def one_number(logits, boards, exclude=()):
    """This is the mean over positions *and* squares. Return one number for each square: a mean hides which are
    hard."""
    return hits(logits, boards)[:, kept_squares(exclude, boards.shape[1])].mean()


@mistake("board_accuracy")
def counts_of_hits(logits, boards, exclude=()):
    """These are counts of right guesses. Divide by the number of positions."""
    return hits(logits, boards)[:, kept_squares(exclude, boards.shape[1])].sum(dim=0)


@mistake("board_accuracy")
def likeliest_square(logits, boards, exclude=()):
    """argmax runs over the squares (dim=1): it says on which square a state is likeliest. The states are the last
    dimension."""
    kept = kept_squares(exclude, boards.shape[1])
    return (logits.argmax(dim=1) == boards).float()[:, kept].mean(dim=0)


@mistake("board_accuracy")
def exclude_ignored(logits, boards, exclude=()):
    """`exclude` is not used: all squares are in the answer."""
    on_board(exclude, boards.shape[1])
    return hits(logits, boards).mean(dim=0)


@mistake("board_accuracy")
def excluded_only(logits, boards, exclude=()):
    """These are the squares *in* `exclude`. Return the others."""
    on_board(exclude, boards.shape[1])
    return hits(logits, boards)[:, sorted(exclude)].mean(dim=0)


@mistake("board_accuracy")
def excluded_as_zero(logits, boards, exclude=()):
    """The excluded squares are still there, with accuracy 0, and would spoil every mean. Leave them out: the answer
    is shorter by their number."""
    accuracy = hits(logits, boards).mean(dim=0)
    kept = kept_squares(exclude, len(accuracy))
    return torch.zeros_like(accuracy).index_copy(0, torch.tensor(kept), accuracy[kept])


@mistake("board_accuracy")
def dropped_one_after_another(logits, boards, exclude=()):
    """The squares are dropped one after another. After the first, those behind it have moved up by one, and the
    next number hits a neighbour. Decide from the original numbers which squares stay."""
    on_board(exclude, boards.shape[1])
    accuracy = hits(logits, boards).mean(dim=0)
    for square in exclude:
        accuracy = torch.cat([accuracy[:square], accuracy[square + 1 :]])
    return accuracy


@mistake("board_accuracy")
def positions_dropped(logits, boards, exclude=()):
    """`exclude` was applied to the first dimension, so that positions are missing. Squares are the second."""
    on_board(exclude, boards.shape[1])
    rows = [position for position in range(len(boards)) if position not in exclude]
    return hits(logits, boards)[rows].mean(dim=0)


@mistake("board_accuracy")
def sorted_accuracies(logits, boards, exclude=()):
    """The accuracies are sorted. "Ascending" is the order of the squares: otherwise nobody knows whose number is
    whose."""
    return hits(logits, boards)[:, kept_squares(exclude, boards.shape[1])].mean(dim=0).sort().values


@mistake("board_accuracy")
def sure_of_the_truth(logits, boards, exclude=()):
    """A guess counts as right where the output of the true state is above ½. It is right where that output is the
    largest of the square, however small."""
    output = logits.gather(-1, boards.long().unsqueeze(-1)).squeeze(-1)
    return (output > 0.5).float()[:, kept_squares(exclude, boards.shape[1])].mean(dim=0)


@mistake("board_accuracy")
def board_of_64(logits, boards, exclude=()):
    """The number of squares is fixed at 64. Take it from the boards: boards.shape[1]."""
    if any(not 0 <= square < 64 for square in exclude):
        raise ValueError("exclude names a square that is not on the board")
    kept = [square for square in range(64) if square not in exclude]
    return hits(logits, boards)[:, kept].mean(dim=0)


@mistake("board_accuracy")
def overwrites_the_excluded(logits, boards, exclude=()):
    """The excluded squares are overwritten in the caller's boards (`boards[:, exclude] = …`). Index, do not
    assign."""
    kept = kept_squares(exclude, boards.shape[1])
    boards[:, list(exclude)] = -1
    return hits(logits, boards)[:, kept].mean(dim=0)


@mistake("board_accuracy")
def square_outside_ignored(logits, boards, exclude=()):
    """An excluded square that is not on the board is passed over in silence, and a misprint with it. The contract
    asks for a ValueError."""
    kept = [square for square in range(boards.shape[1]) if square not in exclude]
    return hits(logits, boards)[:, kept].mean(dim=0)


@mistake("board_accuracy")
def negative_square_accepted(logits, boards, exclude=()):
    """Squares that are too large raise ValueError, negative ones do not. There is no square −1 on the board."""
    if any(square >= boards.shape[1] for square in exclude):
        raise ValueError("exclude names a square that is not on the board")
    kept = [square for square in range(boards.shape[1]) if square not in exclude]
    return hits(logits, boards)[:, kept].mean(dim=0)


@alternative("board_accuracy")
def by_mask(logits, boards, exclude=()):
    on_board(exclude, boards.shape[1])
    keep = torch.ones(boards.shape[1], dtype=torch.bool)
    keep[list(exclude)] = False
    return (logits.max(dim=-1).indices == boards).double().mean(dim=0)[keep]


@alternative("board_accuracy")
def by_loop(logits, boards, exclude=()):
    on_board(exclude, boards.shape[1])
    shares = []
    for square in sorted(set(range(boards.shape[1])) - set(exclude)):
        guessed = logits[:, square].argmax(dim=1)
        shares.append(sum(int(a == b) for a, b in zip(guessed, boards[:, square], strict=True)) / len(boards))
    return torch.tensor(shares)


@alternative("board_accuracy")
def by_rank_of_the_truth(logits, boards, exclude=()):
    """Right where no output is larger than that of the true state."""
    truth = logits.gather(-1, boards.long().unsqueeze(-1))
    share = ((logits > truth).sum(dim=-1) == 0).float().mean(dim=0)
    return share[kept_squares(exclude, len(share))]


def same_squares(train_boards, test_boards):
    if train_boards.shape[1] != test_boards.shape[1]:
        raise ValueError("different squares")


@mistake("majority_floor")
def learned_on_test_boards(train_boards, test_boards):
    """The commonest states are those of the *test* boards: a floor that knows the answers. Learn them on the
    training boards."""
    same_squares(train_boards, test_boards)
    return (test_boards == torch.mode(test_boards, dim=0).values).float().mean(dim=0)


@mistake("majority_floor")
def learned_on_both(train_boards, test_boards):
    """The commonest states were counted over training and test boards together. The test boards may only be
    scored."""
    same_squares(train_boards, test_boards)
    commonest = torch.mode(torch.cat([train_boards, test_boards]), dim=0).values
    return (test_boards == commonest).float().mean(dim=0)


@mistake("majority_floor")
def scored_on_training_boards(train_boards, test_boards):
    """This is the share of the commonest states in the *training* boards. Score them on the test boards."""
    same_squares(train_boards, test_boards)
    return (train_boards == torch.mode(train_boards, dim=0).values).float().mean(dim=0)


@mistake("majority_floor")
def one_majority_for_all(train_boards, test_boards):
    """One state, the commonest of all squares together, is named everywhere. Each square has its own: a corner is
    mostly empty, the centre never."""
    same_squares(train_boards, test_boards)
    return (test_boards == torch.mode(train_boards.flatten()).values).float().mean(dim=0)


@mistake("majority_floor")
def commonest_of_a_position(train_boards, test_boards):
    """The mode is taken over squares (dim=1): the commonest state of each *position*. Take it over positions,
    dim=0."""
    same_squares(train_boards, test_boards)
    return (test_boards == torch.mode(train_boards, dim=1).values).float().mean(dim=0)


@mistake("majority_floor")
def accuracy_of_a_position(train_boards, test_boards):
    """The mean is taken over squares, one number a test board. Take it over the boards, dim=0: one number a
    square."""
    same_squares(train_boards, test_boards)
    return (test_boards == torch.mode(train_boards, dim=0).values).float().mean(dim=1)


@mistake("majority_floor")
def mean_of_all_squares(train_boards, test_boards):
    """The accuracies of the squares were averaged. Return one number a square; who calls may average."""
    same_squares(train_boards, test_boards)
    return (test_boards == torch.mode(train_boards, dim=0).values).float().mean()


@mistake("majority_floor")
def always_empty(train_boards, test_boards):
    """Every square is called empty. That is not the commonest state everywhere: count on the training boards."""
    same_squares(train_boards, test_boards)
    return (test_boards == 0).float().mean(dim=0)


@mistake("majority_floor")
def median_state(train_boards, test_boards):
    """This names the *median* state. States are names, not sizes: half empty, half white does not make black. Name
    the commonest."""
    same_squares(train_boards, test_boards)
    return (test_boards == train_boards.median(dim=0).values).float().mean(dim=0)


@mistake("majority_floor")
def tie_to_the_higher(train_boards, test_boards):
    """On a tie the higher state is named. The contract asks for the lower one."""
    same_squares(train_boards, test_boards)
    return (test_boards == -torch.mode(-train_boards, dim=0).values).float().mean(dim=0)


@mistake("majority_floor")
def tie_to_the_first_seen(train_boards, test_boards):
    """On a tie Counter.most_common names the state that it met first, so that the order of the positions decides.
    Name the lower one."""
    same_squares(train_boards, test_boards)
    commonest = [Counter(column.tolist()).most_common(1)[0][0] for column in train_boards.T]
    return (test_boards == torch.tensor(commonest)).float().mean(dim=0)


@mistake("majority_floor")
def three_states_only(train_boards, test_boards):
    """Only states 0, 1 and 2 are counted. Other boards have more: count every state that occurs."""
    same_squares(train_boards, test_boards)
    counts = torch.stack([(train_boards == state).sum(dim=0) for state in range(3)])
    return (test_boards == counts.argmax(dim=0)).float().mean(dim=0)


@mistake("majority_floor")
def compared_in_place(train_boards, test_boards):
    """The commonest states are subtracted from the test boards in place (`test_boards -= …`), so that the caller's
    boards are gone. Compare with ==."""
    same_squares(train_boards, test_boards)
    test_boards -= torch.mode(train_boards, dim=0).values
    return (test_boards == 0).float().mean(dim=0)


@mistake("majority_floor")
def squares_not_compared(train_boards, test_boards):
    """Boards with different squares are compared anyway: with a single square torch broadcasts and an answer comes
    out, otherwise it fails with RuntimeError. The contract asks for a ValueError."""
    return (test_boards == torch.mode(train_boards, dim=0).values).float().mean(dim=0)


@alternative("majority_floor")
def by_bincount(train_boards, test_boards):
    same_squares(train_boards, test_boards)
    commonest = [int(torch.bincount(column.long()).argmax()) for column in train_boards.T]
    return torch.stack([(test_boards[:, s] == state).double().mean() for s, state in enumerate(commonest)])


@alternative("majority_floor")
def by_counting_one_hot(train_boards, test_boards):
    same_squares(train_boards, test_boards)
    n_states = int(max(train_boards.max(), test_boards.max())) + 1
    commonest = F.one_hot(train_boards.long(), n_states).sum(dim=0).argmax(dim=-1)
    return (
        F.one_hot(test_boards.long(), n_states)
        .float()
        .mean(dim=0)
        .gather(1, commonest.unsqueeze(1))
        .squeeze(1)
    )


def valid(to_move):
    if not ((to_move == 1) | (to_move == 2)).all():
        raise ValueError("to_move must be 1 or 2")


def seen_by(boards, to_move):
    """A right answer, whoever `to_move` says."""
    return torch.where(boards == 0, 0, torch.where(boards == to_move.unsqueeze(-1), 1, 2))


@mistake("relative_board")
def mine_and_theirs_exchanged(boards, to_move):
    """Mine and theirs are exchanged: the board is seen by the player who does *not* move next. A disc is mine, 1,
    where boards == to_move."""
    valid(to_move)
    return seen_by(boards, 3 - to_move)


@mistake("relative_board")
def black_is_always_mine(boards, to_move):
    """The boards come back as they were: black is 1 whoever moves. Where white moves, its discs are mine."""
    valid(to_move)
    return boards.clone()


@mistake("relative_board")
def always_swapped(boards, to_move):
    """The colours are swapped everywhere. Where black moves, black is mine already: swap where white moves only."""
    valid(to_move)
    return torch.where(boards == 0, 0, 3 - boards)


@mistake("relative_board")
def players_alternate(boards, to_move):
    """The player is worked out from the number of the move. Players do not always alternate, whoever cannot move
    passes: use `to_move`."""
    valid(to_move)
    alternating = 2 - torch.arange(to_move.shape[1]) % 2
    return seen_by(boards, alternating.expand_as(to_move))


@mistake("relative_board")
def one_player_a_game(boards, to_move):
    """The whole game is seen by the player of its first position. Each position has its own player to move."""
    valid(to_move)
    return seen_by(boards, to_move[:, :1].expand_as(to_move))


@mistake("relative_board")
def players_of_the_first_game(boards, to_move):
    """Every game is given the players of the first one. `to_move` has one row a game."""
    valid(to_move)
    return seen_by(boards, to_move[:1].expand_as(to_move))


@mistake("relative_board")
def empty_becomes_three(boards, to_move):
    """Where white moves, 3 − boards swaps the colours but makes every empty square a 3. Empty stays 0."""
    valid(to_move)
    return torch.where(to_move.unsqueeze(-1) == 1, boards, 3 - boards)


@mistake("relative_board")
def empty_is_theirs(boards, to_move):
    """What is not mine is called theirs, empty squares too. Empty stays 0."""
    valid(to_move)
    return torch.where(boards == to_move.unsqueeze(-1), 1, 2)


@mistake("relative_board")
def only_mine(boards, to_move):
    """Only my discs are marked, theirs look like empty squares. Theirs are 2."""
    valid(to_move)
    return (boards == to_move.unsqueeze(-1)).long()


@mistake("relative_board")
def theirs_is_minus_one(boards, to_move):
    """Their discs are −1. The probe's states count from 0: 0 empty, 1 mine, 2 theirs."""
    valid(to_move)
    states = seen_by(boards, to_move)
    return torch.where(states == 2, -1, states)


@mistake("relative_board")
def compared_along_the_squares(boards, to_move):
    """`to_move` is compared along the squares. Broadcasting aligns the *last* dimensions: give `to_move` a new last
    one, to_move.unsqueeze(-1)."""
    valid(to_move)
    return torch.where(boards == 0, 0, torch.where(boards == to_move.unsqueeze(1), 1, 2))


@mistake("relative_board")
def states_as_floats(boards, to_move):
    """The states are floats. They are names that F.one_hot and == will use: return integers."""
    valid(to_move)
    return seen_by(boards, to_move).float()


@mistake("relative_board")
def swapped_in_place(boards, to_move):
    """The boards where white moves are swapped in place (`boards[white] = …`), so that the caller's black and white
    are gone. Make a new tensor."""
    valid(to_move)
    boards[to_move == 2] = torch.where(boards == 0, 0, 3 - boards).to(boards.dtype)[to_move == 2]
    return boards


@mistake("relative_board")
def to_move_not_checked(boards, to_move):
    """A `to_move` that is neither 1 nor 2 is accepted: no disc is mine then, or every empty square. The contract
    asks for a ValueError."""
    return seen_by(boards, to_move)


@mistake("relative_board")
def fails_only_where_all_are_wrong(boards, to_move):
    """ValueError is raised only where *every* `to_move` is wrong (`any` instead of `all`). One is enough."""
    if not ((to_move == 1) | (to_move == 2)).any():
        raise ValueError("to_move must be 1 or 2")
    return seen_by(boards, to_move)


@mistake("relative_board")
def only_large_players_refused(boards, to_move):
    """A `to_move` above 2 raises ValueError, but 0 or less does not: with 0, "no one", empty squares are compared
    with it. Only 1 and 2 are players."""
    if (to_move > 2).any():
        raise ValueError("to_move must be 1 or 2")
    return seen_by(boards, to_move)


@alternative("relative_board")
def by_arithmetic(boards, to_move):
    """Modulo 3, twice 1 is 2 and twice 2 is 1."""
    valid(to_move)
    return (boards * to_move.unsqueeze(-1)) % 3


@alternative("relative_board")
def by_table(boards, to_move):
    valid(to_move)
    table = torch.tensor([[0, 1, 2], [0, 2, 1]])
    return table[to_move.long().unsqueeze(-1) - 1, boards.long()]


@alternative("relative_board")
def by_game_and_move(boards, to_move):
    valid(to_move)
    relative = boards.clone()
    for game, move in (to_move == 2).nonzero().tolist():
        was = boards[game, move]
        relative[game, move][was == 1] = 2
        relative[game, move][was == 2] = 1
    return relative
