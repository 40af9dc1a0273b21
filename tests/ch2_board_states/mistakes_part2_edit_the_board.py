"""Wrong answers to chapter 2, part 2 that its checks must reject, and right ones written differently."""

import torch
import torch.nn.functional as F

from utils.boards import othello
from utils.course import alternative, mistake


def on_board(weight, square, from_state, to_state):
    _, n_squares, n_states = weight.shape
    if from_state == to_state:
        raise ValueError("the states are equal")
    if not (0 <= square < n_squares and 0 <= from_state < n_states and 0 <= to_state < n_states):
        raise ValueError("the weight has no such square or state")


def difference(weight, square, from_state, to_state):
    return weight[:, square, to_state] - weight[:, square, from_state]


@mistake("flip_direction")
def reversed_direction(weight, square, from_state, to_state):
    """The direction points the wrong way: along it `from_state` grows. Subtract the weights of `from_state` from
    those of `to_state`."""
    on_board(weight, square, from_state, to_state)
    backwards = weight[:, square, from_state] - weight[:, square, to_state]
    return backwards / backwards.norm()


@mistake("flip_direction")
def not_normalised(weight, square, from_state, to_state):
    """The difference is not divided by its length. With unit norm a step means the same at every square."""
    on_board(weight, square, from_state, to_state)
    return difference(weight, square, from_state, to_state)


@mistake("flip_direction")
def divided_by_squared_length(weight, square, from_state, to_state):
    """The difference is divided by its *squared* length (v @ v). Divide by v.norm(), the square root of that."""
    on_board(weight, square, from_state, to_state)
    towards = difference(weight, square, from_state, to_state)
    return towards / (towards @ towards)


@mistake("flip_direction")
def divided_by_sum(weight, square, from_state, to_state):
    """The difference is divided by the sum of its absolute values. Unit norm means that the *squares* sum to 1."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(difference(weight, square, from_state, to_state), p=1, dim=0)


@mistake("flip_direction")
def to_state_alone(weight, square, from_state, to_state):
    """Only the weights of `to_state` are used. Along them the output for `from_state` may grow as well: subtract
    its weights."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(weight[:, square, to_state], dim=0)


@mistake("flip_direction")
def away_from_state_alone(weight, square, from_state, to_state):
    """Only the weights of `from_state` are used: away from one state may lead to any of the others. Start from the
    weights of `to_state`."""
    on_board(weight, square, from_state, to_state)
    return -F.normalize(weight[:, square, from_state], dim=0)


@mistake("flip_direction")
def each_normalised_first(weight, square, from_state, to_state):
    """Each weight vector was given unit norm *before* the difference, whose own length is then not 1. Subtract
    first, divide last."""
    on_board(weight, square, from_state, to_state)
    return difference(F.normalize(weight, dim=0), square, from_state, to_state)


@mistake("flip_direction")
def equal_lengths_first(weight, square, from_state, to_state):
    """The two weight vectors were brought to the same length before the difference, so that it points elsewhere.
    Only the difference is to be normalised."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(difference(F.normalize(weight, dim=0), square, from_state, to_state), dim=0)


@mistake("flip_direction")
def against_all_others(weight, square, from_state, to_state):
    """This is `to_state` against the mean of *all* other states. Only one of them is to shrink, `from_state`."""
    on_board(weight, square, from_state, to_state)
    others = [state for state in range(weight.shape[2]) if state != to_state]
    return F.normalize(weight[:, square, to_state] - weight[:, square, others].mean(dim=1), dim=0)


@mistake("flip_direction")
def summed_states(weight, square, from_state, to_state):
    """The two weight vectors were added. Then the output for `from_state` grows too: subtract."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(weight[:, square, to_state] + weight[:, square, from_state], dim=0)


@mistake("flip_direction")
def mean_over_squares(weight, square, from_state, to_state):
    """The weights were averaged over squares, so that every square has the same direction. Take those of
    `square`."""
    on_board(weight, square, from_state, to_state)
    return F.normalize((weight[:, :, to_state] - weight[:, :, from_state]).mean(dim=1), dim=0)


@mistake("flip_direction")
def states_before_squares(weight, square, from_state, to_state):
    """Square and state have changed places. The weight is (d_model, square, state): weight[:, square, state]."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(weight[:, to_state, square] - weight[:, from_state, square], dim=0)


@mistake("flip_direction")
def columns_by_state(weight, square, from_state, to_state):
    """The flattened weight was read as (state, square). Its columns run through the states of square 0, then those
    of square 1: index the three dimensions instead."""
    on_board(weight, square, from_state, to_state)
    columns, n_squares = weight.flatten(1), weight.shape[1]
    towards = columns[:, to_state * n_squares + square] - columns[:, from_state * n_squares + square]
    return F.normalize(towards, dim=0)


@mistake("flip_direction")
def keeps_a_dimension(weight, square, from_state, to_state):
    """The direction is a column of shape (d_model, 1). It should be a vector of shape (d_model,): index with a
    number, not with a slice or a list."""
    on_board(weight, square, from_state, to_state)
    return F.normalize(difference(weight, square, from_state, to_state), dim=0).unsqueeze(1)


@mistake("flip_direction")
def subtracted_in_place(weight, square, from_state, to_state):
    """The subtraction is done in place (`-=`) on weight[:, square, to_state], a view of the probe's own weights,
    which it changes. Write v = a − b."""
    on_board(weight, square, from_state, to_state)
    towards = weight[:, square, to_state]
    towards -= weight[:, square, from_state]
    return towards / towards.norm()


@mistake("flip_direction")
def equal_states_accepted(weight, square, from_state, to_state):
    """Two equal states give 0/0 = NaN. The contract asks for a ValueError."""
    if from_state != to_state:
        on_board(weight, square, from_state, to_state)
    towards = difference(weight, square, from_state, to_state)
    return towards / towards.norm()


@mistake("flip_direction")
def outside_left_to_torch(weight, square, from_state, to_state):
    """A square or state that the weight does not have is left to the indexing, which raises IndexError, and
    nothing for −1. The contract asks for a ValueError: compare with weight.shape."""
    if from_state == to_state:
        raise ValueError("the states are equal")
    return F.normalize(difference(weight, square, from_state, to_state), dim=0)


@mistake("flip_direction")
def negative_accepted(weight, square, from_state, to_state):
    """Numbers that are too large raise ValueError, negative ones do not: Python counts them from the end. There is
    no square −1 and no state −1."""
    _, n_squares, n_states = weight.shape
    if from_state == to_state or square >= n_squares or max(from_state, to_state) >= n_states:
        raise ValueError("the weight has no such direction")
    return F.normalize(difference(weight, square, from_state, to_state), dim=0)


@mistake("flip_direction")
def states_unchecked(weight, square, from_state, to_state):
    """The square is checked, the states are not. A state that the weight does not have should raise ValueError
    too."""
    on_board(weight, square, 0, 1)
    if from_state == to_state:
        raise ValueError("the states are equal")
    return F.normalize(difference(weight, square, from_state, to_state), dim=0)


@mistake("flip_direction")
def last_square_refused(weight, square, from_state, to_state):
    """The last square or state raises ValueError. They count from 0: allowed is everything below their number."""
    on_board(weight[:, :-1, :-1], square, from_state, to_state)
    return F.normalize(difference(weight, square, from_state, to_state), dim=0)


@alternative("flip_direction")
def by_numpy(weight, square, from_state, to_state):
    on_board(weight, square, from_state, to_state)
    first, second = weight.double().numpy()[:, square, [to_state, from_state]].T
    towards = first - second
    return torch.from_numpy(towards / (towards**2).sum() ** 0.5)


@alternative("flip_direction")
def by_ranges(weight, square, from_state, to_state):
    _, n_squares, n_states = weight.shape
    states = {from_state, to_state}
    if len(states) < 2 or square not in range(n_squares) or not states <= set(range(n_states)):
        raise ValueError("no such direction")
    return F.normalize(weight[:, square, [from_state, to_state]].diff(dim=1).squeeze(1), dim=0)


@alternative("flip_direction")
def by_gradient(weight, square, from_state, to_state):
    """A linear output grows fastest along its gradient."""
    on_board(weight, square, from_state, to_state)
    with torch.enable_grad():
        resid = torch.zeros(len(weight), requires_grad=True)
        outputs = torch.einsum("d,ds->s", resid, weight[:, square])
        (gradient,) = torch.autograd.grad(outputs[to_state] - outputs[from_state], resid)
    return gradient / torch.linalg.vector_norm(gradient)


def unit_of(direction):
    if not bool((direction != 0).any()):
        raise ValueError("direction is zero")
    return direction / direction.norm()


def distance(resid, unit, target_projection):
    """How far each vector has to go, as a column."""
    return (target_projection - resid @ unit).unsqueeze(-1)


@mistake("push_along")
def target_added(resid, direction, target_projection):
    """The target was *added* along the direction, wherever each vector was before. Move each by target −
    projection."""
    unit = unit_of(direction)
    return resid + torch.as_tensor(target_projection).unsqueeze(-1) * unit


@mistake("push_along")
def direction_not_normalised(resid, direction, target_projection):
    """The direction is used with the length that it happens to have. Divide it by its norm first."""
    unit_of(direction)
    return resid + distance(resid, direction, target_projection) * direction


@mistake("push_along")
def moved_along_raw_direction(resid, direction, target_projection):
    """The projection is taken on the unit vector, but the vectors are moved along `direction` itself and go too
    far, or not far enough. Move along the unit vector."""
    return resid + distance(resid, unit_of(direction), target_projection) * direction


@mistake("push_along")
def measured_on_raw_direction(resid, direction, target_projection):
    """The vectors move along the unit vector, but resid @ direction is the projection *times the direction's
    length*. Use the unit vector in both places."""
    return resid + distance(resid, direction, target_projection) * unit_of(direction)


@mistake("push_along")
def target_in_lengths(resid, direction, target_projection):
    """The target was taken as a multiple of `direction`: the projection becomes target times its length. Divide
    the direction by its norm, and then use it alone."""
    unit_of(direction)
    return resid + (target_projection - resid @ direction / direction.norm() ** 2).unsqueeze(-1) * direction


@mistake("push_along")
def divided_by_its_square(resid, direction, target_projection):
    """The direction was divided by its *squared* length. The unit vector is direction / direction.norm()."""
    unit_of(direction)
    shorter = direction / (direction @ direction)
    return resid + distance(resid, shorter, target_projection) * shorter


@mistake("push_along")
def projection_only(resid, direction, target_projection):
    """The result is target · u and nothing else: all that was orthogonal to the direction is lost. Add the change
    to resid."""
    unit = unit_of(direction)
    return distance(torch.zeros_like(resid), unit, target_projection) * unit


@mistake("push_along")
def projected_out(resid, direction, target_projection):
    """The projection was removed, but the target not put in its place: the vectors end at 0."""
    unit = unit_of(direction)
    return resid - (resid @ unit).unsqueeze(-1) * unit


@mistake("push_along")
def moved_backwards(resid, direction, target_projection):
    """The vectors move away from the target: the sign is wrong. The change is target − projection."""
    unit = unit_of(direction)
    return resid - distance(resid, unit, target_projection) * unit


@mistake("push_along")
def mirrored(resid, direction, target_projection):
    """The vectors move twice as far as the target, to its other side. Strength is not the business of this
    function: move by target − projection."""
    unit = unit_of(direction)
    return resid + 2 * distance(resid, unit, target_projection) * unit


@mistake("push_along")
def never_back(resid, direction, target_projection):
    """Vectors whose projection lies beyond the target already were left there. They should move back to it."""
    unit = unit_of(direction)
    return resid + distance(resid, unit, target_projection).clamp(min=0) * unit


@mistake("push_along")
def one_step_for_all(resid, direction, target_projection):
    """All vectors move by the same amount, so that only their *mean* arrives at the target. Each needs its own
    step: keep the shape of resid @ unit."""
    unit = unit_of(direction)
    step = distance(resid, unit, target_projection)
    return resid + step.mean() * unit


@mistake("push_along")
def one_vector_only(resid, direction, target_projection):
    """torch.dot takes two single vectors, but resid may be a batch of them. resid @ unit works for any number of
    dimensions."""
    unit = unit_of(direction)
    return resid + (target_projection - torch.dot(resid, unit)) * unit


@mistake("push_along")
def one_batch_dimension(resid, direction, target_projection):
    """`unsqueeze(1)` puts the new dimension at the end for one batch dimension only. `unsqueeze(-1)` always
    does."""
    unit = unit_of(direction)
    return resid + (target_projection - resid @ unit).unsqueeze(1) * unit


@mistake("push_along")
def steps_across_coordinates(resid, direction, target_projection):
    """The steps, one a vector, are multiplied by the unit vector coordinate by coordinate: this fails, or where
    there are as many vectors as coordinates, gives nonsense. Give them a last dimension: unsqueeze(-1)."""
    unit = unit_of(direction)
    return resid + (target_projection - resid @ unit) * unit


@mistake("push_along")
def number_only(resid, direction, target_projection):
    """`target_projection` was made a single number. It may also be a tensor, with one for each vector."""
    unit = unit_of(direction)
    return resid + distance(resid, unit, float(target_projection)) * unit


@mistake("push_along")
def tensor_only(resid, direction, target_projection):
    """`target_projection` was used as a tensor. It may be a plain number, which has no unsqueeze: subtract the
    projections first, or use torch.as_tensor."""
    unit = unit_of(direction)
    return resid + (target_projection.unsqueeze(-1) - (resid @ unit).unsqueeze(-1)) * unit


@mistake("push_along")
def edited_in_place(resid, direction, target_projection):
    """resid is changed in place (`+=`): others still need the activations as they were. Write resid + …, which
    makes a new tensor."""
    unit = unit_of(direction)
    resid += distance(resid, unit, target_projection) * unit
    return resid


@mistake("push_along")
def normalised_in_place(resid, direction, target_projection):
    """The direction is normalised in place (`direction /= …`), so that the caller's changes too. Make a new
    tensor."""
    unit_of(direction)
    direction /= direction.norm()
    return resid + distance(resid, direction, target_projection) * direction


@mistake("push_along")
def cast_to_float32(resid, direction, target_projection):
    """Everything is converted to float32: float64 activations lose half of their digits. Leave the dtype as it
    is."""
    unit = unit_of(direction.float())
    return resid.float() + distance(resid.float(), unit, target_projection) * unit


@mistake("push_along")
def zero_direction_divides(resid, direction, target_projection):
    """A direction of zeros gives 0/0 = NaN everywhere. The contract asks for a ValueError."""
    unit = direction / direction.norm()
    return resid + distance(resid, unit, target_projection) * unit


@mistake("push_along")
def zero_direction_ignored(resid, direction, target_projection):
    """With a direction of zeros nothing moves, in silence (F.normalize leaves zeros as they are). The contract
    asks for a ValueError."""
    unit = F.normalize(direction, dim=0)
    return resid + distance(resid, unit, target_projection) * unit


@mistake("push_along")
def short_direction_refused(resid, direction, target_projection):
    """A short direction raises ValueError. Any length but zero will do."""
    if direction.norm() < 0.1:
        raise ValueError("direction is too short")
    unit = unit_of(direction)
    return resid + distance(resid, unit, target_projection) * unit


@alternative("push_along")
def by_parts(resid, direction, target_projection):
    """What is orthogonal to the direction, plus the new part along it."""
    unit = unit_of(direction)
    orthogonal = resid @ (torch.eye(len(unit), dtype=unit.dtype) - torch.outer(unit, unit))
    return orthogonal + torch.as_tensor(target_projection).unsqueeze(-1) * unit


@alternative("push_along")
def by_einsum(resid, direction, target_projection):
    """Without a square root of its own: the length is divided out twice."""
    squared = torch.einsum("d,d->", direction, direction)
    if squared == 0:
        raise ValueError("direction is zero")
    wanted = target_projection * squared.sqrt()
    missing = (wanted - torch.einsum("...d,d->...", resid, direction)) / squared
    return resid + torch.einsum("...,d->...d", missing, direction)


@alternative("push_along")
def vector_by_vector(resid, direction, target_projection):
    unit = unit_of(direction)
    rows = resid.reshape(-1, resid.shape[-1])
    targets = torch.as_tensor(target_projection, dtype=resid.dtype).expand(resid.shape[:-1]).flatten()
    moved = [row + (goal - row.dot(unit)) * unit for row, goal in zip(rows, targets, strict=True)]
    return torch.stack(moved).reshape(resid.shape)


def have_discs(boards, square):
    if not bool(boards.gather(1, square.unsqueeze(1)).all()):
        raise ValueError("a square is empty")


def legal_on(boards, to_move):
    return torch.from_numpy(othello.legal_moves_on(boards.numpy(), to_move.numpy()))


def turned(boards, square):
    """A right edit: what most of the mistakes below do something else with."""
    have_discs(boards, square)
    edited, rows = boards.clone(), torch.arange(len(boards))
    edited[rows, square] = 3 - edited[rows, square]
    return edited


@mistake("edited_legal_moves")
def unedited(boards, to_move, square):
    """These are the legal moves of the board as it was: the disc was not turned, or turned on a copy that was not
    used."""
    have_discs(boards, square)
    return legal_on(boards, to_move)


@mistake("edited_legal_moves")
def other_player(boards, to_move, square):
    """These are the moves of the other player. Turning a disc is no move: `to_move` still is to move."""
    return legal_on(turned(boards, square), 3 - to_move)


@mistake("edited_legal_moves")
def black_always(boards, to_move, square):
    """Black is taken to be the player to move on every board. Pass `to_move` on."""
    return legal_on(turned(boards, square), torch.ones_like(to_move))


@mistake("edited_legal_moves")
def first_player_for_all(boards, to_move, square):
    """The player of the first board is used for all. `to_move` has one for each."""
    return legal_on(turned(boards, square), to_move[:1].repeat(len(boards)))


@mistake("edited_legal_moves")
def first_square_for_all(boards, to_move, square):
    """The square of the first board is turned on all of them. Index with rows *and* squares: edited[rows,
    square]."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[:, square[0]] = torch.where(edited[:, square[0]] > 0, 3 - edited[:, square[0]], 0)
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def all_squares_on_all_boards(boards, to_move, square):
    """`edited[:, square]` means all these squares on *every* board. With rows = torch.arange(len(boards)),
    `edited[rows, square]` is one square a board."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[:, square] = 3 - edited[:, square]
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def every_disc_turned(boards, to_move, square):
    """Every disc of the board was turned. Turn the one on `square`."""
    have_discs(boards, square)
    return legal_on(torch.where(boards > 0, 3 - boards, boards), to_move)


@mistake("edited_legal_moves")
def disc_removed(boards, to_move, square):
    """The disc was taken off the board. Turn it: the other colour of a disc is 3 minus it."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[torch.arange(len(boards)), square] = 0
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def disc_of_mover(boards, to_move, square):
    """The disc becomes one of the player to move, also where it was that already. Turn it to the other colour,
    whichever that is."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[torch.arange(len(boards)), square] = to_move.to(boards.dtype)
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def disc_of_other_player(boards, to_move, square):
    """The disc becomes one of the player who is not to move, also where it was that already. Turn it to the other
    colour, whichever that is."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[torch.arange(len(boards)), square] = 3 - to_move.to(boards.dtype)
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def white_always(boards, to_move, square):
    """The disc becomes white, also where it was white before. 3 minus its colour turns either."""
    have_discs(boards, square)
    edited = boards.clone()
    edited[torch.arange(len(boards)), square] = 2
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def what_changed(boards, to_move, square):
    """These are the moves whose legality *changes*. Return where the player may play on the edited board."""
    return legal_on(turned(boards, square), to_move) != legal_on(boards, to_move)


@mistake("edited_legal_moves")
def legal_on_both(boards, to_move, square):
    """These are the moves that are legal before *and* after. Only the edited board counts."""
    return legal_on(turned(boards, square), to_move) & legal_on(boards, to_move)


@mistake("edited_legal_moves")
def passes_the_turn(boards, to_move, square):
    """Where the player to move cannot, these are the moves of the other. The question is about `to_move`: the
    answer is no square at all."""
    edited = turned(boards, square)
    legal = legal_on(edited, to_move)
    return torch.where(legal.any(dim=1, keepdim=True), legal, legal_on(edited, 3 - to_move))


@mistake("edited_legal_moves")
def boards_edited_in_place(boards, to_move, square):
    """The caller's boards are changed: `edited = boards` is no copy, nor is boards.numpy(). Use boards.clone()."""
    have_discs(boards, square)
    rows = torch.arange(len(boards))
    boards[rows, square] = 3 - boards[rows, square]
    return legal_on(boards, to_move)


@mistake("edited_legal_moves")
def numpy_array(boards, to_move, square):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    return othello.legal_moves_on(turned(boards, square).numpy(), to_move.numpy())


@mistake("edited_legal_moves")
def zeros_and_ones(boards, to_move, square):
    """These are numbers 0 and 1. Return booleans: they index, and compare, as legal moves do elsewhere."""
    return legal_on(turned(boards, square), to_move).long()


@mistake("edited_legal_moves")
def empty_square_accepted(boards, to_move, square):
    """An empty square passes in silence: 3 − 0 = 3 is no disc at all, and the moves are those of the unedited
    board. The contract asks for a ValueError."""
    edited, rows = boards.clone(), torch.arange(len(boards))
    edited[rows, square] = 3 - edited[rows, square]
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def empty_everywhere_only(boards, to_move, square):
    """ValueError is raised only where the squares of *all* boards are empty. A single one is enough: use any()."""
    rows = torch.arange(len(boards))
    if bool((boards[rows, square] == 0).all()):
        raise ValueError("the squares are empty")
    edited = boards.clone()
    edited[rows, square] = 3 - edited[rows, square]
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def first_board_checked(boards, to_move, square):
    """Only the first board's square is checked. Every board has one that may be empty."""
    if boards[0, square[0]] == 0:
        raise ValueError("the square is empty")
    edited, rows = boards.clone(), torch.arange(len(boards))
    edited[rows, square] = 3 - edited[rows, square]
    return legal_on(edited, to_move)


@mistake("edited_legal_moves")
def asserts_a_disc(boards, to_move, square):
    """An empty square raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    rows = torch.arange(len(boards))
    assert bool((boards[rows, square] > 0).all())
    return legal_on(turned(boards, square), to_move)


@mistake("edited_legal_moves")
def table_of_int64_only(boards, to_move, square):
    """A table of the turned colours was indexed with the boards, which fails for small integers. 3 minus the disc
    works for all, or use boards.long()."""
    have_discs(boards, square)
    edited, rows = boards.clone(), torch.arange(len(boards))
    edited[rows, square] = torch.tensor([0, 2, 1])[boards[rows, square]].to(boards.dtype)
    return legal_on(edited, to_move)


@alternative("edited_legal_moves")
def by_mask(boards, to_move, square):
    chosen = torch.arange(64) == square.unsqueeze(1)
    if bool((chosen & (boards == 0)).any()):
        raise ValueError("a square is empty")
    return legal_on(torch.where(chosen, 3 - boards, boards), to_move)


@alternative("edited_legal_moves")
def board_by_board(boards, to_move, square):
    rows = []
    for position, mover, turn in zip(boards.tolist(), to_move.tolist(), square.tolist(), strict=True):
        if position[turn] not in (1, 2):
            raise ValueError(f"square {turn} is empty")
        position[turn] = {1: 2, 2: 1}[position[turn]]
        rows.append(legal_on(torch.tensor([position]), torch.tensor([mover])))
    return torch.cat(rows)


@alternative("edited_legal_moves")
def by_numpy_copy(boards, to_move, square):
    """The player's own view gives the same moves, asked for player 1."""
    edited, index = boards.numpy().copy(), (range(len(boards)), square.tolist())
    if (edited[index] == 0).any():
        raise ValueError("a square is empty")
    edited[index] = 3 - edited[index]
    seen = othello.mine_and_theirs(edited, to_move.numpy())
    return torch.from_numpy(othello.legal_moves_on(seen, (to_move * 0 + 1).numpy()))


def named_by_rank(logits, n, descending=True):
    """True on the first n squares of each board in the order of their logits."""
    rank = logits.argsort(dim=-1, descending=descending).argsort(dim=-1)
    return rank < n


def number_legal(legal):
    return legal.sum(dim=-1, keepdim=True)


@mistake("legal_move_errors")
def false_positives_only(logits, legal):
    """Only the named moves that are not legal are counted. As many legal ones are not named: count both."""
    return (named_by_rank(logits, number_legal(legal)) & ~legal).sum(dim=-1)


@mistake("legal_move_errors")
def smallest_named(logits, legal):
    """The *smallest* logits are named: argsort sorts ascending unless told otherwise."""
    return (named_by_rank(logits, number_legal(legal), descending=False) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def sorted_once(logits, legal):
    """One argsort says which square is first, second, …, not which rank each square has. A second argsort of that
    does."""
    return ((logits.argsort(dim=-1, descending=True) < number_legal(legal)) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def one_too_many(logits, legal):
    """One move too many is named. Ranks count from 0: named is rank < n."""
    return (named_by_rank(logits, number_legal(legal) + 1) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def one_too_few(logits, legal):
    """The n-th largest logit itself is not named (`logits > n-th largest`). Compare with ≥."""
    return (named_by_rank(logits, number_legal(legal) - 1) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def number_of_first_board(logits, legal):
    """On every board as many moves are named as are legal on the *first*. Each board has its own number."""
    return (named_by_rank(logits, legal[0].sum()) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def largest_number(logits, legal):
    """On every board as many moves are named as are legal where most are. Each board has its own number."""
    return (named_by_rank(logits, number_legal(legal).max()) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def mean_number(logits, legal):
    """On every board as many moves are named as are legal on average. Each board has its own number."""
    return (named_by_rank(logits, number_legal(legal).float().mean().round()) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def number_of_illegal(logits, legal):
    """As many moves are named as are *not* legal. n is the number of legal moves."""
    return (named_by_rank(logits, number_legal(~legal)) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def above_zero(logits, legal):
    """Every square with a logit above 0 is named. A logit has no fixed zero: name the n largest of each board."""
    return ((logits > 0) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def above_even_share(logits, legal):
    """Every square is named whose probability is above an even share. Name as many as are legal, the n largest."""
    return ((logits.softmax(dim=-1) > 1 / logits.shape[-1]) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def ranked_over_batch(logits, legal):
    """The logits of all boards were ranked together, as many named as are legal on all. Rank within each board:
    dim=-1."""
    named = named_by_rank(logits.flatten(), legal.sum()).view_as(legal)
    return (named != legal).sum(dim=-1)


@mistake("legal_move_errors")
def ranked_over_boards(logits, legal):
    """The ranks are those of a square among the *boards* (dim=0). Rank the squares of each board: dim=-1."""
    rank = logits.argsort(dim=0, descending=True).argsort(dim=0)
    return ((rank < number_legal(legal)) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def ranks_of_first_board(logits, legal):
    """The ranks of the first board's logits are used for all. Each board has its own."""
    return (named_by_rank(logits[:1].expand_as(logits), number_legal(legal)) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def errors_by_square(logits, legal):
    """These are errors a square, summed over boards (dim=0). Sum over the squares of each board."""
    return (named_by_rank(logits, number_legal(legal)) != legal).sum(dim=0)


@mistake("legal_move_errors")
def one_total(logits, legal):
    """This is one number for all boards. Return one for each: the mean, and how sure it is, come later."""
    return (named_by_rank(logits, number_legal(legal)) != legal).sum()


@mistake("legal_move_errors")
def share_of_legal(logits, legal):
    """The errors are divided by the number of legal moves. Return the counts, as integers."""
    return (named_by_rank(logits, number_legal(legal)) != legal).sum(dim=-1) / legal.sum(dim=-1)


@mistake("legal_move_errors")
def floats(logits, legal):
    """The counts are right, but floating-point numbers. Return integers: sum booleans, not floats."""
    return (named_by_rank(logits, number_legal(legal)) != legal).float().sum(dim=-1)


@mistake("legal_move_errors")
def hits(logits, legal):
    """These are the named moves that *are* legal. Count the errors."""
    return (named_by_rank(logits, number_legal(legal)) & legal).sum(dim=-1)


@mistake("legal_move_errors")
def squares_in_agreement(logits, legal):
    """These are the squares on which named and legal agree. Errors are where they differ: !=."""
    return (named_by_rank(logits, number_legal(legal)) == legal).sum(dim=-1)


@mistake("legal_move_errors")
def best_move_only(logits, legal):
    """Only the single best move is judged: 1 where it is illegal. Name n moves and count both kinds of error."""
    return (~legal.gather(1, logits.argmax(dim=-1, keepdim=True))).sum(dim=-1)


@mistake("legal_move_errors")
def at_least_one_named(logits, legal):
    """One move is named even where none is legal, and counted as an error. Such a board has none."""
    return (named_by_rank(logits, number_legal(legal).clamp(min=1)) != legal).sum(dim=-1)


@mistake("legal_move_errors")
def illegal_logits_overwritten(logits, legal):
    """The logits of the caller are overwritten. Rank them, or work on logits.clone()."""
    errors = (named_by_rank(logits, number_legal(legal)) != legal).sum(dim=-1)
    logits[~legal] = float("-inf")
    return errors


@mistake("legal_move_errors")
def weighted_by_logit(logits, legal):
    """Logits and legal moves were multiplied before ranking, so that an illegal move counts as logit 0. Rank the
    logits as they are, and compare afterwards."""
    return (named_by_rank(logits * legal, number_legal(legal)) != legal).sum(dim=-1)


@alternative("legal_move_errors")
def by_sets(logits, legal):
    errors = []
    for row, allowed in zip(logits, legal, strict=True):
        wanted = set(allowed.nonzero().flatten().tolist())
        errors.append(len(wanted ^ set(row.topk(len(wanted)).indices.tolist())))
    return torch.tensor(errors)


@alternative("legal_move_errors")
def twice_the_misses(logits, legal):
    """As many are named as are legal, so that every false positive comes with a false negative."""
    in_order = legal.gather(1, logits.argsort(dim=1, descending=True))
    beyond = torch.arange(legal.shape[1]) >= number_legal(legal)
    return 2 * (in_order & beyond).sum(dim=1)


@alternative("legal_move_errors")
def by_threshold(logits, legal):
    """Named is what reaches the n-th largest logit; with n = 0 nothing reaches infinity."""
    infinity = torch.full_like(logits[:, :1], float("inf"))
    steps = torch.cat([infinity, logits.sort(dim=1, descending=True).values], dim=1)
    named = logits >= steps.gather(1, number_legal(legal))
    return (named & ~legal).sum(dim=1) + (legal & ~named).sum(dim=1)


@alternative("legal_move_errors")
def by_comparing_pairs(logits, legal):
    """A square's rank is the number of larger logits on its board."""
    rank = (logits.unsqueeze(1) > logits.unsqueeze(2)).sum(dim=-1)
    return ((rank < number_legal(legal)) ^ legal).sum(dim=-1, dtype=torch.int32)
