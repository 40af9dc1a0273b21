"""Wrong answers to chapter 2, part 3 that its checks must reject, and right ones written differently."""

import numpy as np
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake


def game_goes_on(legal):
    """Which positions have a legal move; ValueError where none has."""
    counted = legal.any(dim=-1)
    if not bool(counted.any()):
        raise ValueError("no position has a legal move")
    return counted


def top_is_legal(move_logits, legal):
    return legal.gather(-1, move_logits.argmax(dim=-1, keepdim=True)).squeeze(-1)


@mistake("legal_rate")
def over_counts_as_wrong(move_logits, legal):
    """Positions in which the game is over are counted, as wrong: nothing is legal there. Leave them out of the mean."""
    game_goes_on(legal)
    return float(top_is_legal(move_logits, legal).float().mean())


@mistake("legal_rate")
def over_counts_as_right(move_logits, legal):
    """Positions in which the game is over are counted, as right. Nothing was asked there: leave them out of the
    mean."""
    return float((top_is_legal(move_logits, legal) | ~game_goes_on(legal)).float().mean())


@mistake("legal_rate")
def only_the_over(move_logits, legal):
    """The condition is reversed: the mean runs over the positions in which the game *is* over. Keep those with a
    legal move."""
    game_goes_on(legal)
    return float(top_is_legal(move_logits, legal)[~legal.any(dim=-1)].float().mean())


@mistake("legal_rate")
def all_after_the_first_end(move_logits, legal):
    """Everything after the first game-over is dropped. The next rows may belong to another game: each position is
    counted if it has a legal move itself."""
    goes_on = game_goes_on(legal)
    before_the_end = goes_on.long().cumprod(dim=-1).bool()
    return float(top_is_legal(move_logits, legal)[before_the_end].float().mean())


@mistake("legal_rate")
def only_trailing_dropped(move_logits, legal):
    """Positions without a legal move are dropped only at the end of the rows. They do not count wherever they
    stand."""
    goes_on = game_goes_on(legal).long()
    kept = goes_on.flip(-1).cumsum(dim=-1).flip(-1) > 0
    return float(top_is_legal(move_logits, legal)[kept].float().mean())


@mistake("legal_rate")
def unfinished_games_only(move_logits, legal):
    """A game that ends is dropped as a whole. Only the positions after its end do not count."""
    complete = game_goes_on(legal).all(dim=-1, keepdim=True) & legal.any(dim=-1)
    return float(top_is_legal(move_logits, legal)[complete].float().mean())


@mistake("legal_rate")
def forced_moves_dropped(move_logits, legal):
    """Positions with a single legal move are dropped as well. One is enough for a position to count."""
    game_goes_on(legal)
    return float(top_is_legal(move_logits, legal)[legal.sum(dim=-1) > 1].float().mean())


@mistake("legal_rate")
def positions_without_illegal_dropped(move_logits, legal):
    """Positions in which every move is legal are dropped as well. Only those with *no* legal move do not count."""
    counted = game_goes_on(legal) & ~legal.all(dim=-1)
    return float(top_is_legal(move_logits, legal)[counted].float().mean())


@mistake("legal_rate")
def all_moves_legal(move_logits, legal):
    """legal.all(dim=-1) keeps the positions in which *every* move is legal. legal.any(dim=-1) keeps those that have
    one."""
    counted = legal.all(dim=-1)
    if not bool(counted.any()):
        raise ValueError("no position has a legal move")
    return float(top_is_legal(move_logits, legal)[counted].float().mean())


@mistake("legal_rate")
def mean_of_games(move_logits, legal):
    """This is the mean over games of each game's rate, in which a short game's positions weigh more. Count all
    positions alike."""
    counted = game_goes_on(legal)
    right = (top_is_legal(move_logits, legal) & counted).sum(dim=-1)
    return float((right / counted.sum(dim=-1)).nanmean())


@mistake("legal_rate")
def probability_of_legal(move_logits, legal):
    """This is the probability that falls on legal moves. The question is only whether the single largest logit is
    one."""
    counted = game_goes_on(legal)
    return float((move_logits.softmax(dim=-1) * legal).sum(dim=-1)[counted].mean())


@mistake("legal_rate")
def more_than_half_legal(move_logits, legal):
    """A position counts as right where the legal moves *together* have more than half of the probability. Look at the
    single largest logit."""
    counted = game_goes_on(legal)
    mass = (move_logits.softmax(dim=-1) * legal).sum(dim=-1)
    return float((mass > 0.5)[counted].float().mean())


@mistake("legal_rate")
def best_among_legal(move_logits, legal):
    """The largest logit is sought among the legal moves only, so that the answer is always 1. The model does not know
    which are legal: search among all."""
    counted = game_goes_on(legal)
    return float(top_is_legal(move_logits.masked_fill(~legal, float("-inf")), legal)[counted].float().mean())


@mistake("legal_rate")
def logits_times_legal(move_logits, legal):
    """The logits were multiplied by `legal` before the search, which makes those of illegal moves 0. Search among the
    logits as they are."""
    counted = game_goes_on(legal)
    return float(top_is_legal(move_logits * legal, legal)[counted].float().mean())


@mistake("legal_rate")
def first_legal_move(move_logits, legal):
    """The top move is compared with the *first* legal one, which is what argmax finds among booleans. Any legal move
    will do: look the top move up in `legal`."""
    counted = game_goes_on(legal)
    agree = move_logits.argmax(dim=-1) == legal.long().argmax(dim=-1)
    return float(agree[counted].float().mean())


@mistake("legal_rate")
def top_n_legal(move_logits, legal):
    """As many moves are judged as are legal, as in `legal_move_errors`. Here only the largest logit counts."""
    counted = game_goes_on(legal)
    rank = move_logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    n_legal = legal.sum(dim=-1)
    hits = ((rank < n_legal.unsqueeze(-1)) & legal).sum(dim=-1)
    return float((hits / n_legal)[counted].mean())


@mistake("legal_rate")
def smallest_logit(move_logits, legal):
    """This looks at the *smallest* logit. The model's choice is the largest."""
    counted = game_goes_on(legal)
    return float(top_is_legal(-move_logits, legal)[counted].float().mean())


@mistake("legal_rate")
def share_of_illegal(move_logits, legal):
    """This is the share of positions whose top move is *not* legal: 1 minus what is asked for."""
    counted = game_goes_on(legal)
    return 1 - float(top_is_legal(move_logits, legal)[counted].float().mean())


@mistake("legal_rate")
def above_zero(move_logits, legal):
    """Moves with a logit above 0 are judged. A logit has no fixed zero: judge the largest of each position."""
    counted = game_goes_on(legal)
    chosen = move_logits > 0
    return float((chosen & legal)[counted].sum() / chosen[counted].sum())


@mistake("legal_rate")
def over_all_positions(move_logits, legal):
    """One argmax was taken over all positions together. Each has its own largest logit: argmax(dim=-1)."""
    game_goes_on(legal)
    return float(legal.flatten()[move_logits.argmax()])


@mistake("legal_rate")
def along_positions(move_logits, legal):
    """The argmax runs over the *positions* (dim=0) and finds one a move. Moves are the last dimension: dim=-1."""
    counted = game_goes_on(legal)
    best = torch.zeros_like(legal).scatter(0, move_logits.argmax(dim=0, keepdim=True), True)
    return float((best & legal).any(dim=-1)[counted].float().mean())


@mistake("legal_rate")
def divided_by_legal_moves(move_logits, legal):
    """The number of right positions is divided by the number of legal *moves*. Divide by that of positions that
    count."""
    game_goes_on(legal)
    return float(top_is_legal(move_logits, legal).sum() / legal.sum())


@mistake("legal_rate")
def number_of_right(move_logits, legal):
    """This is the number of right positions. Divide by the number of those that count."""
    game_goes_on(legal)
    return float(top_is_legal(move_logits, legal).sum())


@mistake("legal_rate")
def in_percent(move_logits, legal):
    """This is the share in percent. A share lies between 0 and 1."""
    return 100 * float(top_is_legal(move_logits, legal)[game_goes_on(legal)].float().mean())


@mistake("legal_rate")
def one_for_each_position(move_logits, legal):
    """These are trues and falses, one for each position. Return their mean."""
    return top_is_legal(move_logits, legal)[game_goes_on(legal)].float()


@mistake("legal_rate")
def one_batch_dimension_only(move_logits, legal):
    """`legal[torch.arange(n), top]` works for one batch dimension only. `gather` along the last dimension works for
    any number."""
    counted = game_goes_on(legal)
    top = move_logits.argmax(dim=-1)
    return float(legal[torch.arange(len(legal)), top][counted].float().mean())


@mistake("legal_rate")
def logits_overwritten(move_logits, legal):
    """The caller's logits are overwritten where the game is over. Index with the positions that count instead."""
    counted = game_goes_on(legal)
    move_logits[~counted] = 0.0
    return float(top_is_legal(move_logits, legal)[counted].float().mean())


@mistake("legal_rate")
def nothing_left_is_nan(move_logits, legal):
    """Where no position has a legal move this is the mean of nothing, NaN. The contract asks for a ValueError."""
    return float(top_is_legal(move_logits, legal)[legal.any(dim=-1)].float().mean())


@mistake("legal_rate")
def nothing_left_is_zero(move_logits, legal):
    """Where no position has a legal move the answer is 0, as if the model had been wrong. The contract asks for a
    ValueError."""
    right = top_is_legal(move_logits, legal).sum()
    return float(right / legal.any(dim=-1).sum().clamp(min=1))


@mistake("legal_rate")
def nothing_left_divides_by_zero(move_logits, legal):
    """Where no position has a legal move this raises ZeroDivisionError. The contract asks for a ValueError: check
    before you divide."""
    return int(top_is_legal(move_logits, legal).sum()) / int(legal.any(dim=-1).sum())


@mistake("legal_rate")
def any_end_refused(move_logits, legal):
    """ValueError is raised as soon as *one* position has no legal move. Only where none has one is there nothing to
    measure."""
    if not bool(legal.any(dim=-1).all()):
        raise ValueError("a position has no legal move")
    return float(top_is_legal(move_logits, legal).float().mean())


@alternative("legal_rate")
def by_largest_legal_logit(move_logits, legal):
    """The largest logit is a legal move's where masking the others does not lower the maximum."""
    counted = game_goes_on(legal)
    among_legal = move_logits.masked_fill(~legal, float("-inf")).amax(dim=-1)
    return (among_legal == move_logits.amax(dim=-1))[counted].double().mean()


@alternative("legal_rate")
def position_by_position(move_logits, legal):
    n_moves, right, counted = legal.shape[-1], 0, 0
    for logits, allowed in zip(move_logits.reshape(-1, n_moves), legal.reshape(-1, n_moves), strict=True):
        if allowed.sum() == 0:
            continue
        counted += 1
        right += bool(allowed[logits.topk(1).indices])
    if counted == 0:
        raise ValueError("the games are over")
    return right / counted


@alternative("legal_rate")
def by_one_hot(move_logits, legal):
    """Wrong where the game is over, so that only the denominator has to leave these out."""
    chosen = F.one_hot(move_logits.max(dim=-1).indices, legal.shape[-1])
    denominator = legal.amax(dim=-1).sum()
    if denominator == 0:
        raise ValueError("nothing is legal")
    return float(torch.einsum("nm,nm->", chosen.flatten(0, -2), legal.flatten(0, -2).long()) / denominator)


@alternative("legal_rate")
def by_numpy_selection(move_logits, legal):
    allowed = legal.numpy()
    kept = allowed.any(axis=-1)
    logits, allowed = move_logits.numpy()[kept], allowed[kept]
    if len(allowed) == 0:
        raise ValueError("nothing is legal")
    return np.take_along_axis(allowed, logits.argmax(axis=-1)[:, None], axis=-1).mean()


def known_players(to_move):
    if not bool(((to_move == 1) | (to_move == 2)).all()):
        raise ValueError("to_move is neither 1 nor 2")


def exchanged(boards):
    """White's pieces as black's and black's as white's."""
    return torch.where(boards == 0, boards, torch.where(boards > 6, boards - 6, boards + 6))


def black_moves(to_move):
    """True for black, as a column."""
    return (to_move == 2).unsqueeze(1)


@mistake("piece_labels")
def as_they_are(boards, to_move):
    """These are the boards as they are, white and black. Exchange the colours where black is to move."""
    known_players(to_move)
    return boards.clone()


@mistake("piece_labels")
def exchanged_for_white(boards, to_move):
    """The condition is reversed: the colours are exchanged where *white* is to move. For white 1 to 6 are mine
    already."""
    known_players(to_move)
    return torch.where(black_moves(to_move), boards, exchanged(boards))


@mistake("piece_labels")
def exchanged_for_both(boards, to_move):
    """The colours are exchanged in every position, `if to_move` being true for 1 as well as 2. Exchange them where
    to_move == 2."""
    known_players(to_move)
    return exchanged(boards)


@mistake("piece_labels")
def empty_becomes_six(boards, to_move):
    """Where black is to move, empty squares become 6, a king of mine: 0 + 6. An empty square stays 0."""
    known_players(to_move)
    return torch.where(black_moves(to_move), torch.where(boards > 6, boards - 6, boards + 6), boards)


@mistake("piece_labels")
def empty_becomes_twelve(boards, to_move):
    """Where black is to move, empty squares become 12, a king of theirs. An empty square stays 0, whoever moves."""
    known_players(to_move)
    twelve = torch.where(boards == 0, torch.full_like(boards, 12), exchanged(boards))
    return torch.where(black_moves(to_move), twelve, boards)


@mistake("piece_labels")
def counted_from_zero(boards, to_move):
    """The pieces are numbered from 0 to 11, and an empty square is 12. Here empty is 0 and pieces start at 1."""
    known_players(to_move)
    return (torch.where(black_moves(to_move), exchanged(boards), boards) + 12) % 13


@mistake("piece_labels")
def kings_vanish(boards, to_move):
    """White's king, seen by black, becomes 0, an empty square: (6 + 6) % 12, or 6 taken for black's. Exchange 1 to 6
    with 7 to 12, both ends included."""
    known_players(to_move)
    return torch.where(black_moves(to_move) & (boards > 0), (boards + 6) % 12, boards)


@mistake("piece_labels")
def modulo_thirteen(boards, to_move):
    """Numbers are taken modulo 13, the number of states. Twelve of these are pieces: (boards + 5) % 12 + 1, and empty
    squares apart."""
    known_players(to_move)
    return torch.where(black_moves(to_move) & (boards > 0), (boards + 6) % 13, boards)


@mistake("piece_labels")
def black_pawns_left_out(boards, to_move):
    """Black's pawns become 13: they are 7, which > 7 leaves out. Black's pieces are those > 6."""
    known_players(to_move)
    wrong = torch.where(boards > 7, boards - 6, boards + 6)
    return torch.where(black_moves(to_move) & (boards > 0), wrong, boards)


@mistake("piece_labels")
def thirteen_minus(boards, to_move):
    """13 − label exchanges the colours, but turns the order of the pieces round: a pawn becomes a king. Add or
    subtract 6."""
    known_players(to_move)
    return torch.where(black_moves(to_move) & (boards > 0), 13 - boards, boards)


@mistake("piece_labels")
def only_blacks_pieces_renamed(boards, to_move):
    """For black all pieces end up as 1 to 6: only black's were renamed, or white's a second time. Decide both from the
    boards as they were."""
    known_players(to_move)
    return torch.where(black_moves(to_move) & (boards > 6), boards - 6, boards)


@mistake("piece_labels")
def only_whites_pieces_renamed(boards, to_move):
    """For black all pieces end up as 7 to 12: only white's were renamed, or black's a second time. Decide both from the
    boards as they were."""
    known_players(to_move)
    return torch.where(black_moves(to_move) & (boards > 0) & (boards <= 6), boards + 6, boards)


@mistake("piece_labels")
def mine_and_theirs_alone(boards, to_move):
    """These are 0 empty, 1 mine, 2 theirs, as in Othello. Chess needs to know which piece: 1 to 6 and 7 to 12."""
    known_players(to_move)
    seen = torch.where(black_moves(to_move), exchanged(boards), boards)
    return (seen > 0).long() + (seen > 6).long()


@mistake("piece_labels")
def theirs_negative(boards, to_move):
    """Their pieces are −1 to −6. A probe's classes count from 0: theirs are 7 to 12."""
    known_players(to_move)
    seen = torch.where(black_moves(to_move), exchanged(boards), boards)
    return torch.where(seen > 6, 6 - seen, seen)


@mistake("piece_labels")
def turned_round(boards, to_move):
    """For black the board is mirrored too, so that pieces change squares. Only the labels change: the square's probe
    stays at its square."""
    known_players(to_move)
    return torch.where(black_moves(to_move), exchanged(boards)[:, torch.arange(64) ^ 56], boards)


@mistake("piece_labels")
def every_other_position(boards, to_move):
    """Black is taken to move in every second row. The rows may be in any order: look at `to_move`."""
    known_players(to_move)
    odd = (torch.arange(len(boards)) % 2 == 1).unsqueeze(1)
    return torch.where(odd, exchanged(boards), boards)


@mistake("piece_labels")
def player_of_first_position(boards, to_move):
    """The first position's player is used for all. Each position has its own."""
    known_players(to_move)
    return exchanged(boards) if to_move[0] == 2 else boards.clone()


@mistake("piece_labels")
def player_for_each_square(boards, to_move):
    """`to_move` was lined up with the *squares*, as the last dimension. Make it a column: to_move.unsqueeze(1)."""
    known_players(to_move)
    return torch.where(to_move == 2, exchanged(boards), boards)


@mistake("piece_labels")
def renamed_in_place(boards, to_move):
    """The caller's boards are changed: `labels = boards` is no copy. Use boards.clone(), or torch.where."""
    known_players(to_move)
    labels = boards
    rows = to_move == 2
    labels[rows] = exchanged(labels[rows])
    return labels


@mistake("piece_labels")
def as_floats(boards, to_move):
    """The labels are right, but floating-point numbers. Return integers: they are classes."""
    known_players(to_move)
    return torch.where(black_moves(to_move), exchanged(boards), boards).float()


@mistake("piece_labels")
def as_array(boards, to_move):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    known_players(to_move)
    return torch.where(black_moves(to_move), exchanged(boards), boards).numpy()


@mistake("piece_labels")
def table_for_int64_only(boards, to_move):
    """A table of labels was indexed with the boards, which fails for small integers. Index with boards.long()."""
    known_players(to_move)
    table = torch.tensor([0, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6])
    return torch.where(black_moves(to_move), table[boards], boards)


@mistake("piece_labels")
def others_taken_for_white(boards, to_move):
    """Everything but 2 is taken for white, also the 0 of a game that is over. The contract asks for a ValueError."""
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def others_taken_for_black(boards, to_move):
    """Everything but 1 is taken for black, also the 0 of a game that is over. The contract asks for a ValueError."""
    return torch.where((to_move != 1).unsqueeze(1), exchanged(boards), boards)


@mistake("piece_labels")
def zero_accepted(boards, to_move):
    """0 is accepted as a player, which says that the game is over. Only 1 and 2 move; the contract asks for a
    ValueError."""
    if bool(((to_move < 0) | (to_move > 2)).any()):
        raise ValueError("no such player")
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def above_two_accepted(boards, to_move):
    """0 raises ValueError, 3 does not. Compare with both ends: anything but 1 and 2 is to be refused."""
    if bool((to_move < 1).any()):
        raise ValueError("no such player")
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def negative_player_accepted(boards, to_move):
    """0 and 3 raise ValueError, negative numbers do not. Anything but 1 and 2 is to be refused."""
    if bool(((to_move == 0) | (to_move > 2)).any()):
        raise ValueError("no such player")
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def one_player_is_enough(boards, to_move):
    """ValueError is raised only where *no* entry of `to_move` is 1 or 2. A single other one is enough: use all()."""
    if not bool(((to_move == 1) | (to_move == 2)).any()):
        raise ValueError("no such player")
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def first_player_checked(boards, to_move):
    """Only the first entry of `to_move` is checked. Any of them may be wrong."""
    if int(to_move[0]) not in (1, 2):
        raise ValueError("no such player")
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def over_dropped(boards, to_move):
    """Positions in which nobody moves are dropped in silence, and labels no longer match positions. The contract asks
    for a ValueError."""
    kept = (to_move == 1) | (to_move == 2)
    boards, to_move = boards[kept], to_move[kept]
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@mistake("piece_labels")
def asserts_a_player(boards, to_move):
    """A player that is neither 1 nor 2 raises AssertionError. The contract asks for a ValueError, which callers can
    expect."""
    assert bool(((to_move == 1) | (to_move == 2)).all())
    return torch.where(black_moves(to_move), exchanged(boards), boards)


@alternative("piece_labels")
def by_table(boards, to_move):
    """A table of two rows, one for each player."""
    if not set(to_move.tolist()) <= {1, 2}:
        raise ValueError("to_move is neither 1 nor 2")
    table = torch.tensor([[*range(13)], [0, *range(7, 13), *range(1, 7)]])
    return table[to_move.long()[:, None] - 1, boards.long()]


@alternative("piece_labels")
def by_modulo(boards, to_move):
    """On 1 to 12, adding 6 and wrapping round is the exchange; white adds 0."""
    if bool(((to_move - 1) * (to_move - 2) != 0).any()):
        raise ValueError("to_move is neither 1 nor 2")
    moved = (boards - 1 + 6 * (to_move[:, None] - 1)) % 12 + 1
    return moved * (boards != 0)


@alternative("piece_labels")
def square_by_square(boards, to_move):
    rows = []
    for row, player in zip(boards.tolist(), to_move.tolist(), strict=True):
        if player not in (1, 2):
            raise ValueError(f"player {player} does not exist")
        mine = range(1, 7) if player == 1 else range(7, 13)
        rows.append([piece and (piece - 1) % 6 + (1 if piece in mine else 7) for piece in row])
    return torch.tensor(rows)


@alternative("piece_labels")
def by_kind_and_colour(boards, to_move):
    """Which piece it is, and whose, put together again."""
    players = to_move.numpy()[:, None]
    if not np.isin(players, (1, 2)).all():
        raise ValueError("to_move is neither 1 nor 2")
    squares = boards.numpy()
    kind, colour = (squares - 1) % 6 + 1, np.where(squares <= 6, 1, 2)
    return torch.from_numpy(np.where(squares == 0, 0, kind + 6 * (colour != players)))


@alternative("piece_labels")
def in_a_copy(boards, to_move):
    known_players(to_move)
    labels = boards.clone()
    black = black_moves(to_move)
    labels[black & (boards >= 1) & (boards <= 6)] += 6
    labels[black & (boards >= 7)] -= 6
    return labels


def both_bins(low, high, weak, strong):
    if not low < high:
        raise ValueError("low is not below high")
    if not (bool(weak.any()) and bool(strong.any())):
        raise ValueError("a bin is empty")


@mistake("skill_bins")
def middle_is_strong(ratings, low, high):
    """Whoever is not weak is labelled strong, the middle too. `labels` is True only from `high` on."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return ~weak, weak | strong


@mistake("skill_bins")
def nearer_to_high(ratings, low, high):
    """Players are labelled strong from the middle between `low` and `high` on. In between `labels` is False
    everywhere."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return ratings > (low + high) / 2, weak | strong


@mistake("skill_bins")
def edges_left_out(ratings, low, high):
    """Ratings of exactly `low` and `high` are in no bin. Compare with <= and >=."""
    weak, strong = ratings < low, ratings > high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def low_left_out(ratings, low, high):
    """A rating of exactly `low` is not counted as weak. Weak is `low` or less: <=."""
    weak, strong = ratings < low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def high_left_out(ratings, low, high):
    """A rating of exactly `high` is not counted as strong. Strong is `high` or more: >=."""
    weak, strong = ratings <= low, ratings > high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def median_split(ratings, low, high):
    """Players are split at the median, whatever `low` and `high` are. Compare each rating with these two."""
    both_bins(low, high, ratings <= low, ratings >= high)
    return ratings > ratings.median(), torch.ones_like(ratings, dtype=torch.bool)


@mistake("skill_bins")
def split_in_the_middle(ratings, low, high):
    """Nobody is dropped: everyone is in the nearer bin. Who is between `low` and `high` is in none."""
    both_bins(low, high, ratings <= low, ratings >= high)
    return ratings >= (low + high) / 2, torch.ones_like(ratings, dtype=torch.bool)


@mistake("skill_bins")
def nobody_dropped(ratings, low, high):
    """`kept` is True for everyone. Players between `low` and `high` are not kept."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, torch.ones_like(strong)


@mistake("skill_bins")
def middle_kept(ratings, low, high):
    """`kept` is reversed: it is True for those in *between*. Keep the weak and the strong."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, ~(weak | strong)


@mistake("skill_bins")
def weak_and_strong(ratings, low, high):
    """`kept` asks for players who are weak *and* strong, and there are none. Use |, or."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, weak & strong


@mistake("skill_bins")
def only_strong_kept(ratings, low, high):
    """Only the strong are kept. A probe needs the weak as well."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, strong.clone()


@mistake("skill_bins")
def weak_labelled(ratings, low, high):
    """`labels` is True for the weak. True is for the strong."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return weak, weak | strong


@mistake("skill_bins")
def weak_and_strong_returned(ratings, low, high):
    """These are (strong, weak). The second tensor is `kept`: weak or strong."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, weak


@mistake("skill_bins")
def order_swapped(ratings, low, high):
    """The two tensors come in the wrong order. Return `labels` first, then `kept`."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return weak | strong, strong


@mistake("skill_bins")
def labels_of_the_kept(ratings, low, high):
    """`labels` has only the kept players. It should be as long as `ratings`, so that one mask indexes everything."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong[weak | strong], weak | strong


@mistake("skill_bins")
def kept_as_numbers(ratings, low, high):
    """`kept` has the places of the kept players. Return booleans, one for each rating."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, (weak | strong).nonzero().squeeze(1)


@mistake("skill_bins")
def zeros_and_ones(ratings, low, high):
    """The labels are numbers 0 and 1. Return booleans."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong.long(), weak | strong


@mistake("skill_bins")
def three_classes(ratings, low, high):
    """The labels are 1, 0 and −1 for the middle. Return booleans: the middle is False, and `kept` tells it apart."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong.long() - (~(weak | strong)).long(), weak | strong


@mistake("skill_bins")
def stacked(ratings, low, high):
    """The two are stacked in one tensor. Return a tuple of two."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return torch.stack([strong, weak | strong])


@mistake("skill_bins")
def labels_alone(ratings, low, high):
    """Only the labels are returned. Return `kept` too, as the second of two."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong


@mistake("skill_bins")
def whole_ratings(ratings, low, high):
    """The ratings lose their fractions before they are compared, and some arrive in another bin. Compare them as they
    are."""
    weak, strong = ratings.long() <= low, ratings.long() >= high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def clamped_in_place(ratings, low, high):
    """clamp_ changes the caller's ratings. Compare without changing them."""
    both_bins(low, high, ratings <= low, ratings >= high)
    ratings.clamp_(low, high)
    return ratings == high, (ratings == low) | (ratings == high)


@mistake("skill_bins")
def sorted_first(ratings, low, high):
    """The ratings were sorted first, so that the answers belong to other players. Leave the players where they are."""
    ordered = ratings.sort().values
    weak, strong = ordered <= low, ordered >= high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def bins_of_equal_size(ratings, low, high):
    """The larger bin was cut to the size of the smaller. Keep everyone who is weak or strong; classes are balanced
    later, if at all."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    n = min(int(weak.sum()), int(strong.sum()))
    weak, strong = weak & (weak.cumsum(0) <= n), strong & (strong.cumsum(0) <= n)
    return strong, weak | strong


@mistake("skill_bins")
def order_of_bounds_unchecked(ratings, low, high):
    """A `low` that is not below `high` passes, and players are weak and strong at once. The contract asks for a
    ValueError."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(0, 1, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def equal_bounds_accepted(ratings, low, high):
    """A `low` equal to `high` passes. It has to be below: raise ValueError unless low < high."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high + (low == high), weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def bounds_put_in_order(ratings, low, high):
    """`low` and `high` are exchanged in silence where they come in the wrong order. The contract asks for a
    ValueError."""
    low, high = min(low, high), max(low, high)
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def empty_bins_accepted(ratings, low, high):
    """An empty bin passes in silence. The contract asks for a ValueError: with one class any probe is always right."""
    if not low < high:
        raise ValueError("low is not below high")
    weak, strong = ratings <= low, ratings >= high
    return strong, weak | strong


@mistake("skill_bins")
def one_bin_is_enough(ratings, low, high):
    """ValueError is raised only where *both* bins are empty. One empty bin is enough."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak | strong, weak | strong)
    return strong, weak | strong


@mistake("skill_bins")
def only_strong_checked(ratings, low, high):
    """That nobody is strong raises ValueError, that nobody is weak does not. Check both bins."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, strong, strong)
    return strong, weak | strong


@mistake("skill_bins")
def only_weak_checked(ratings, low, high):
    """That nobody is weak raises ValueError, that nobody is strong does not. Check both bins."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, weak)
    return strong, weak | strong


@mistake("skill_bins")
def two_classes_of_labels(ratings, low, high):
    """It is checked that the labels are not all equal, but the middle is False as well as the weak. Check each bin."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, ~strong, strong)
    return strong, weak | strong


@mistake("skill_bins")
def more_than_one_each(ratings, low, high):
    """A bin with a single player raises ValueError. Only an empty one should."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak.cumsum(0) > 1, strong.cumsum(0) > 1)
    return strong, weak | strong


@mistake("skill_bins")
def someone_must_be_dropped(ratings, low, high):
    """ValueError is raised where nobody is in between. The middle may be empty, the bins may not."""
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    if bool((weak | strong).all()):
        raise ValueError("nobody is in between")
    return strong, weak | strong


@mistake("skill_bins")
def zero_taken_for_missing(ratings, low, high):
    """A `low` or `high` of 0 raises ValueError: `not 0` is true. 0 is a rating like any other."""
    if not low or not high:
        raise ValueError("low or high is missing")
    weak, strong = ratings <= low, ratings >= high
    both_bins(low, high, weak, strong)
    return strong, weak | strong


@mistake("skill_bins")
def asserts_bins(ratings, low, high):
    """Bad bounds and empty bins raise AssertionError. The contract asks for a ValueError, which callers can expect."""
    weak, strong = ratings <= low, ratings >= high
    assert low < high
    assert bool(weak.any())
    assert bool(strong.any())
    return strong, weak | strong


@alternative("skill_bins")
def player_by_player(ratings, low, high):
    if low >= high:
        raise ValueError("low is not below high")
    labels, kept = [], []
    for rating in ratings.tolist():
        labels.append(rating >= high)
        kept.append(rating >= high or rating <= low)
    if True not in labels or labels.count(True) == kept.count(True):
        raise ValueError("a bin is empty")
    return torch.tensor(labels), torch.tensor(kept)


@alternative("skill_bins")
def by_least_and_greatest(ratings, low, high):
    """The bins are filled if the weakest is weak and the strongest strong."""
    if not (low < high and len(ratings) and ratings.min() <= low and ratings.max() >= high):
        raise ValueError("no two bins")
    between = (ratings > low) & (ratings < high)
    return ~(ratings < high), ~between


@alternative("skill_bins")
def by_numpy_masks(ratings, low, high):
    values = ratings.numpy()
    side = np.where(values >= high, 1, np.where(values <= low, -1, 0))
    if low >= high or {1, -1} - set(side.tolist()):
        raise ValueError("no two bins")
    return torch.from_numpy(side == 1), torch.from_numpy(side != 0)


@alternative("skill_bins")
def by_distance_from_the_middle(ratings, low, high):
    """Doubled, so that nothing is rounded."""
    if low - high >= 0:
        raise ValueError("low is not below high")
    offset = 2 * ratings.double() - (low + high)
    kept = offset.abs() >= high - low
    labels = kept & (offset > 0)
    if len(labels[kept].unique()) < 2:
        raise ValueError("a bin is empty")
    return [labels, kept]


def probe_has(weight, square, piece):
    _, n_squares, n_states = weight.shape
    if not (0 <= square < n_squares and 0 < piece < n_states):
        raise ValueError("the probe has no such square or piece")


def against_empty(weight, square, piece):
    return weight[:, square, piece] - weight[:, square, 0]


@mistake("remove_piece")
def added(resid, weight, square, piece, strength):
    """The direction is *added*, which puts more of the piece there. Subtract it."""
    probe_has(weight, square, piece)
    return resid + strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def not_normalised(resid, weight, square, piece, strength):
    """The difference is not divided by its length. With unit norm a strength means the same on every square."""
    probe_has(weight, square, piece)
    return resid - strength * against_empty(weight, square, piece)


@mistake("remove_piece")
def divided_by_squared_length(resid, weight, square, piece, strength):
    """The difference is divided by its *squared* length. Divide by v.norm(), the square root of that."""
    probe_has(weight, square, piece)
    towards = against_empty(weight, square, piece)
    return resid - strength * towards / (towards @ towards)


@mistake("remove_piece")
def divided_by_sum(resid, weight, square, piece, strength):
    """The difference is divided by the sum of its absolute values. Unit norm means that the *squares* sum to 1."""
    probe_has(weight, square, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), p=1, dim=0)


@mistake("remove_piece")
def divided_by_weight_norm(resid, weight, square, piece, strength):
    """The difference is divided by the norm of the *whole* weight. Divide by its own length."""
    probe_has(weight, square, piece)
    return resid - strength * against_empty(weight, square, piece) / weight.norm()


@mistake("remove_piece")
def divided_by_piece_norm(resid, weight, square, piece, strength):
    """The difference is divided by the length of the piece's weights. Divide by the difference's own length."""
    probe_has(weight, square, piece)
    return resid - strength * against_empty(weight, square, piece) / weight[:, square, piece].norm()


@mistake("remove_piece")
def each_normalised_first(resid, weight, square, piece, strength):
    """Both weight vectors were given unit norm *before* the difference, whose own length is then not 1. Subtract
    first, divide last."""
    probe_has(weight, square, piece)
    return resid - strength * against_empty(F.normalize(weight, dim=0), square, piece)


@mistake("remove_piece")
def equal_lengths_first(resid, weight, square, piece, strength):
    """Both weight vectors were brought to the same length before the difference, so that it points elsewhere. Only
    the difference is to be normalised."""
    probe_has(weight, square, piece)
    towards = against_empty(F.normalize(weight, dim=0), square, piece)
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def piece_alone(resid, weight, square, piece, strength):
    """Only the piece's own weights are used, as in the paper. Here the output for an empty square is to grow too:
    subtract its weights."""
    probe_has(weight, square, piece)
    return resid - strength * F.normalize(weight[:, square, piece], dim=0)


@mistake("remove_piece")
def empty_alone(resid, weight, square, piece, strength):
    """Only the empty square's weights are used, whichever the piece. Start from the weights of `piece`."""
    probe_has(weight, square, piece)
    return resid + strength * F.normalize(weight[:, square, 0], dim=0)


@mistake("remove_piece")
def summed(resid, weight, square, piece, strength):
    """The weights of piece and empty square were added. Then the output for empty shrinks too: subtract them."""
    probe_has(weight, square, piece)
    return resid - strength * F.normalize(weight[:, square, piece] + weight[:, square, 0], dim=0)


@mistake("remove_piece")
def against_all_others(resid, weight, square, piece, strength):
    """This is the piece against the mean of *all* other states. Only one of them is to grow, the empty square."""
    probe_has(weight, square, piece)
    others = [state for state in range(weight.shape[2]) if state != piece]
    towards = weight[:, square, piece] - weight[:, square, others].mean(dim=1)
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def last_state_is_empty(resid, weight, square, piece, strength):
    """The *last* state was taken for the empty square. Empty is state 0."""
    probe_has(weight, square, piece)
    towards = weight[:, square, piece] - weight[:, square, -1]
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def pieces_from_zero(resid, weight, square, piece, strength):
    """The weights are those of `piece − 1`, as if pieces were counted from 0. State 0 is the empty square: pieces
    start at 1."""
    probe_has(weight, square, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece - 1), dim=0)


@mistake("remove_piece")
def states_before_squares(resid, weight, square, piece, strength):
    """Square and state have changed places. The weight is (d_model, square, state): weight[:, square, piece]."""
    probe_has(weight, square, piece)
    towards = weight[:, piece, square] - weight[:, 0, square]
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def columns_by_state(resid, weight, square, piece, strength):
    """The flattened weight was read as (state, square). Its columns run through the states of square 0, then those of
    square 1: index the three dimensions instead."""
    probe_has(weight, square, piece)
    columns, n_squares = weight.flatten(1), weight.shape[1]
    return resid - strength * F.normalize(columns[:, piece * n_squares + square] - columns[:, square], dim=0)


@mistake("remove_piece")
def mean_over_squares(resid, weight, square, piece, strength):
    """The weights were averaged over squares, so that every square has the same direction. Take those of `square`."""
    probe_has(weight, square, piece)
    towards = (weight[:, :, piece] - weight[:, :, 0]).mean(dim=1)
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def empty_averaged_over_squares(resid, weight, square, piece, strength):
    """The empty square's weights are the mean over *all* squares. Take those of `square`."""
    probe_has(weight, square, piece)
    towards = weight[:, square, piece] - weight[:, :, 0].mean(dim=1)
    return resid - strength * F.normalize(towards, dim=0)


@mistake("remove_piece")
def projection_removed(resid, weight, square, piece, strength):
    """Each vector loses `strength` times *its own projection* on the direction. Move them all by the same step."""
    probe_has(weight, square, piece)
    unit = F.normalize(against_empty(weight, square, piece), dim=0)
    return resid - strength * (resid @ unit).unsqueeze(-1) * unit


@mistake("remove_piece")
def pushed_to_minus_strength(resid, weight, square, piece, strength):
    """Each vector is pushed until its projection is −strength, as in `push_along`. Here all move by the same step,
    from wherever they are."""
    probe_has(weight, square, piece)
    unit = F.normalize(against_empty(weight, square, piece), dim=0)
    return resid - (strength + resid @ unit).unsqueeze(-1) * unit


@mistake("remove_piece")
def relative_to_norm(resid, weight, square, piece, strength):
    """The step is a multiple of each vector's own norm. It should be of length `strength`."""
    probe_has(weight, square, piece)
    unit = F.normalize(against_empty(weight, square, piece), dim=0)
    return resid - strength * resid.norm(dim=-1, keepdim=True) * unit


@mistake("remove_piece")
def norm_restored(resid, weight, square, piece, strength):
    """After the step the vectors were brought back to their old norm. Leave them where the step ends."""
    probe_has(weight, square, piece)
    moved = resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)
    return F.normalize(moved, dim=-1) * resid.norm(dim=-1, keepdim=True)


@mistake("remove_piece")
def sign_of_strength_lost(resid, weight, square, piece, strength):
    """A negative strength goes the same way as a positive one. Use it with its sign."""
    probe_has(weight, square, piece)
    return resid - abs(strength) * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def negative_strength_refused(resid, weight, square, piece, strength):
    """A negative strength raises ValueError. It is allowed, and goes the other way."""
    probe_has(weight, square, piece)
    if strength < 0:
        raise ValueError("strength is negative")
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def zero_is_default(resid, weight, square, piece, strength):
    """`strength or 1` makes 1 of a strength of 0. With 0 nothing moves."""
    probe_has(weight, square, piece)
    return resid - (strength or 1.0) * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def last_vector_only(resid, weight, square, piece, strength):
    """Only the last vector of a batch is moved. Move them all."""
    probe_has(weight, square, piece)
    step = strength * F.normalize(against_empty(weight, square, piece), dim=0)
    moved = resid.clone()
    moved.view(-1, resid.shape[-1])[-1] -= step
    return moved


@mistake("remove_piece")
def step_alone(resid, weight, square, piece, strength):
    """This is the step. Return the activations after it."""
    probe_has(weight, square, piece)
    return -strength * F.normalize(against_empty(weight, square, piece), dim=0).expand_as(resid)


@mistake("remove_piece")
def always_a_batch(resid, weight, square, piece, strength):
    """A single vector comes back as a batch of one. Return the shape that came: broadcasting does that by itself."""
    probe_has(weight, square, piece)
    step = strength * F.normalize(against_empty(weight, square, piece), dim=0)
    return torch.atleast_2d(resid) - step


@mistake("remove_piece")
def rows_and_columns_only(resid, weight, square, piece, strength):
    """This works for a matrix of activations only. `resid` may have any number of batch dimensions: broadcasting
    needs no loop."""
    probe_has(weight, square, piece)
    n, d_model = resid.shape
    step = strength * F.normalize(against_empty(weight, square, piece), dim=0)
    return resid - step.view(1, d_model).expand(n, d_model)


@mistake("remove_piece")
def float32_only(resid, weight, square, piece, strength):
    """The direction is picked with a float32 one-hot vector, and fails for weights in float64. Index, or give the
    vector the weight's dtype."""
    probe_has(weight, square, piece)
    pick = torch.zeros(weight.shape[2])
    pick[piece], pick[0] = 1.0, -1.0
    return resid - strength * F.normalize(weight[:, square] @ pick, dim=0)


@mistake("remove_piece")
def moved_in_place(resid, weight, square, piece, strength):
    """The caller's activations are changed: `-=` works in place. Write resid − step, a new tensor."""
    probe_has(weight, square, piece)
    resid -= strength * F.normalize(against_empty(weight, square, piece), dim=0)
    return resid


@mistake("remove_piece")
def weight_changed_in_place(resid, weight, square, piece, strength):
    """The subtraction is done in place (`-=`) on weight[:, square, piece], a view of the probe's own weights, which it
    changes. Write v = a − b."""
    probe_has(weight, square, piece)
    towards = weight[:, square, piece]
    towards -= weight[:, square, 0]
    return resid - strength * towards / towards.norm()


@mistake("remove_piece")
def empty_accepted(resid, weight, square, piece, strength):
    """Piece 0 gives 0/0 = NaN. There is nothing to remove: the contract asks for a ValueError."""
    if piece != 0:
        probe_has(weight, square, piece)
    towards = against_empty(weight, square, piece)
    return resid - strength * towards / towards.norm()


@mistake("remove_piece")
def empty_changes_nothing(resid, weight, square, piece, strength):
    """Piece 0 comes back unchanged, and nobody notices. There is nothing to remove: the contract asks for a
    ValueError."""
    probe_has(weight, square, piece or 1)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def outside_left_to_torch(resid, weight, square, piece, strength):
    """A square or piece that the weight does not have is left to the indexing, which raises IndexError, and nothing
    for −1. The contract asks for a ValueError: compare with weight.shape."""
    if piece == 0:
        raise ValueError("nothing to remove")
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def negative_accepted(resid, weight, square, piece, strength):
    """Numbers that are too large raise ValueError, negative ones do not: Python counts them from the end. There is no
    square −1 and no piece −1."""
    if piece == 0 or square >= weight.shape[1] or piece >= weight.shape[2]:
        raise ValueError("the weight has no such output")
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def negative_square_accepted(resid, weight, square, piece, strength):
    """A negative square is accepted: Python counts it from the end. There is no square −1."""
    probe_has(weight, max(square, 0), piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def negative_piece_accepted(resid, weight, square, piece, strength):
    """A negative piece is accepted: Python counts it from the end. There is no piece −1."""
    probe_has(weight, square, 1 if piece < 0 else piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def one_past_the_end(resid, weight, square, piece, strength):
    """A square or piece equal to their number passes the check (`<=`) and fails with IndexError. They count from 0:
    allowed is everything below."""
    if not (0 <= square <= weight.shape[1] and 0 < piece <= weight.shape[2]):
        raise ValueError("the weight has no such output")
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def piece_unchecked(resid, weight, square, piece, strength):
    """The square is checked, the piece only for 0. One that the weight does not have should raise ValueError too."""
    probe_has(weight, square, 1 if piece else 0)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def square_unchecked(resid, weight, square, piece, strength):
    """The piece is checked, the square is not. One that the weight does not have should raise ValueError too."""
    probe_has(weight, 0, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def sixty_four_by_thirteen(resid, weight, square, piece, strength):
    """Square and piece are compared with 64 and 13. The contract asks what *this* weight has: weight.shape."""
    if not (0 <= square < 64 and 0 < piece < 13):
        raise ValueError("a board has no such square or piece")
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def bounds_exchanged(resid, weight, square, piece, strength):
    """The square is compared with the number of states and the piece with that of squares. The weight is (d_model,
    square, state)."""
    probe_has(weight.transpose(1, 2), square, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def last_refused(resid, weight, square, piece, strength):
    """The last square or piece raises ValueError. They count from 0: allowed is everything below their number."""
    probe_has(weight[:, :-1, :-1], square, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def first_square_refused(resid, weight, square, piece, strength):
    """Square 0 raises ValueError. It is a1; only *piece* 0 is to be refused."""
    probe_has(weight, square or -1, piece)
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@mistake("remove_piece")
def asserts_a_piece(resid, weight, square, piece, strength):
    """A wrong square or piece raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert 0 <= square < weight.shape[1]
    assert 0 < piece < weight.shape[2]
    return resid - strength * F.normalize(against_empty(weight, square, piece), dim=0)


@alternative("remove_piece")
def by_numpy(resid, weight, square, piece, strength):
    probe_has(weight, square, piece)
    first, second = weight.double().numpy()[:, square, [piece, 0]].T
    towards = first - second
    return resid - torch.from_numpy(strength * towards / np.linalg.norm(towards)).to(resid.dtype)


@alternative("remove_piece")
def by_einsum(resid, weight, square, piece, strength):
    """A contrast of states, and a row of ones for the batch."""
    n_squares, n_states = weight.shape[1:]
    if square not in range(n_squares) or piece not in range(1, n_states):
        raise ValueError("no such piece or square")
    contrast = torch.zeros(n_squares, n_states, dtype=weight.dtype)
    contrast[square, piece], contrast[square, 0] = 1, -1
    towards = torch.einsum("dqs,qs->d", weight, contrast)
    rows = torch.ones(resid.shape[:-1], dtype=resid.dtype)
    return resid - torch.einsum("...,d->...d", rows, towards * strength / towards.pow(2).sum().sqrt())


@alternative("remove_piece")
def vector_by_vector(resid, weight, square, piece, strength):
    probe_has(weight, square, piece)
    unit = F.normalize(weight[:, square, [0, piece]].diff(dim=1).squeeze(1), dim=0)
    rows = [vector - strength * unit for vector in resid.reshape(-1, resid.shape[-1])]
    return torch.stack(rows).view(resid.shape)


@alternative("remove_piece")
def by_gradient(resid, weight, square, piece, strength):
    """A step down the gradient of how far the piece is ahead of the empty square."""
    probe_has(weight, square, piece)
    with torch.enable_grad():
        at = resid.clone().requires_grad_(True)
        outputs = torch.einsum("...d,ds->...s", at, weight[:, square])
        (outputs[..., piece] - outputs[..., 0]).sum().backward()
        assert at.grad is not None
    return resid - strength * F.normalize(at.grad, dim=-1)
