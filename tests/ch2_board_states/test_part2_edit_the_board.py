"""Checks of chapter 2, part 2: edit the board."""

import itertools

import pytest
import torch

from utils.course import assert_close, exercise, hidden


def pairs_of_states(n_states):
    return list(itertools.permutations(range(n_states), 2))


@exercise("flip_direction")
class TestFlipDirection:
    def test_by_hand(self, learner):
        """the weight vector of `to_state` minus that of `from_state`, divided by its length"""
        # Square 1: states 0, 1 and 2 have the weights (1, 2), (4, 6) and (1, −8).
        weight = torch.tensor([[[9.0, 7.0, 8.0], [1.0, 4.0, 1.0]], [[3.0, 5.0, 0.0], [2.0, 6.0, -8.0]]])
        for states, expected in {(0, 1): (0.6, 0.8), (1, 0): (-0.6, -0.8), (0, 2): (0.0, -1.0)}.items():
            received = learner.flip_direction(weight, 1, *states)
            assert_close(received, torch.tensor(expected), what=f"square 1, from {states[0]} to {states[1]}")

    def test_unit_norm(self, learner, rng):
        """has unit norm, however large or small the weights"""
        for size in (0.01, 1.0, 100.0):
            weight = size * torch.randn(8, 4, 3, generator=rng)
            received = learner.flip_direction(weight, 2, 2, 1)
            assert_close(received.norm(), torch.tensor(1.0), what=f"norm with weights of size {size:g}")

    def test_steepest(self, learner, rng):
        """a step along it raises `to_state` over `from_state` more than an equal step in any other direction"""
        weight = torch.randn(7, 5, 3, generator=rng)
        others = torch.randn(200, 7, generator=rng)
        others /= others.norm(dim=1, keepdim=True)
        for from_state, to_state in pairs_of_states(3):
            output = weight[:, 3, to_state] - weight[:, 3, from_state]
            gain = float(learner.flip_direction(weight, 3, from_state, to_state).double() @ output.double())
            best = float((others @ output).max())
            assert gain > best - 1e-4, f"your direction gains {gain:.3f}, another one {best:.3f}"

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over d_model at every square, the first and the last too, and for every two states"""
        for d_model, n_squares, n_states in ((6, 4, 3), (3, 3, 3), (4, 1, 2)):
            weight = torch.randn(d_model, n_squares, n_states, generator=rng)
            for square, (from_state, to_state) in itertools.product(
                range(n_squares), pairs_of_states(n_states)
            ):
                outputs = [weight[i, square].tolist() for i in range(d_model)]
                difference = [output[to_state] - output[from_state] for output in outputs]
                length = sum(part**2 for part in difference) ** 0.5
                received = learner.flip_direction(weight, square, from_state, to_state)
                expected = torch.tensor([part / length for part in difference])
                case = f"square {square} of {n_squares}, from {from_state} to {to_state}"
                assert_close(received, expected, rtol=1e-3, atol=1e-4, what=case)

    def test_what_states_share(self, learner, rng):
        """what the weights of both states share drops out, and other squares and states do not matter"""
        weight = torch.randn(6, 4, 3, generator=rng)
        expected = learner.flip_direction(weight, 1, 2, 1)
        shared = weight + 3 * torch.randn(6, 1, 1, generator=rng)
        assert_close(
            learner.flip_direction(shared, 1, 2, 1), expected, rtol=1e-3, atol=1e-4, what="shared part"
        )
        others = torch.randn(6, 4, 3, generator=rng)
        others[:, 1, 1:] = weight[:, 1, 1:]
        assert_close(learner.flip_direction(others, 1, 2, 1), expected, what="with other weights elsewhere")

    def test_arguments_unchanged(self, learner, rng):
        """leaves the weight as it was"""
        weight = torch.randn(5, 4, 3, generator=rng)
        before = weight.clone()
        learner.flip_direction(weight, 2, 1, 2)
        assert_close(weight, before, what="weight after the call")

    def test_equal_states(self, learner, rng):
        """raises ValueError where the two states are the same"""
        weight = torch.randn(5, 4, 3, generator=rng)
        for state in range(3):
            with pytest.raises(ValueError):
                learner.flip_direction(weight, 0, state, state)

    def test_square_outside(self, learner, rng):
        """raises ValueError for a square that the weight does not have, −1 too"""
        weight = torch.randn(5, 4, 3, generator=rng)
        for square in (4, 63, -1, -4):
            with pytest.raises(ValueError):
                learner.flip_direction(weight, square, 2, 1)

    def test_state_outside(self, learner, rng):
        """raises ValueError for a state that the weight does not have, −1 too, be it the first or the second"""
        # More squares than states, and the other way round: a state is no square.
        for n_squares, n_states in ((5, 3), (2, 3)):
            weight = torch.randn(5, n_squares, n_states, generator=rng)
            for state in (n_states, 12, -1):
                for states in ((state, 1), (1, state)):
                    with pytest.raises(ValueError):
                        learner.flip_direction(weight, 0, *states)


SHAPES = ((4,), (3, 4), (4, 4), (1, 4), (2, 3, 4), (4, 4, 4), (2, 1, 3, 4))


def vectors(rng, *shape):
    """Activations off the origin, and a direction that is not of unit length."""
    resid = 2 * torch.randn(*shape, generator=rng) + 1
    direction = torch.randn(shape[-1], generator=rng)
    return resid, direction * 3 / direction.norm()


def projections(resid, direction):
    return resid.double() @ (direction.double() / direction.double().norm())


def across(resid, direction):
    """What of each vector is orthogonal to the direction."""
    unit = direction.double() / direction.double().norm()
    return resid.double() - projections(resid, direction).unsqueeze(-1) * unit


@exercise("push_along")
class TestPushAlong:
    def test_by_hand(self, learner):
        """moves a vector along the direction until its projection is the target, and not sideways"""
        # Along the second axis, whatever the length of the direction.
        received = learner.push_along(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), 10.0)
        assert_close(received, torch.tensor([3.0, 10.0]), what="along (0, 2) to 10")
        # (2, 1) has the projection 2 on (0.6, 0.8): to arrive at 7 it moves by 5 of these.
        received = learner.push_along(torch.tensor([2.0, 1.0]), torch.tensor([3.0, 4.0]), 7.0)
        assert_close(received, torch.tensor([5.0, 5.0]), what="along (3, 4) to 7")

    def test_each_from_where_it_was(self, learner):
        """each vector of a batch moves by as much as it needs, forwards or backwards"""
        resid = torch.tensor([[1.0, 5.0], [7.0, 6.0], [-2.0, 0.0], [3.0, 8.0]])
        received = learner.push_along(resid, torch.tensor([4.0, 0.0]), 3.0)
        assert_close(received, torch.tensor([[3.0, 5.0], [3.0, 6.0], [3.0, 0.0], [3.0, 8.0]]))

    def test_target_for_each(self, learner):
        """`target_projection` may be a tensor with one number for each vector"""
        resid = torch.tensor([[1.0, 5.0], [7.0, 6.0]])
        received = learner.push_along(resid, torch.tensor([0.5, 0.0]), torch.tensor([-1.0, 2.0]))
        assert_close(received, torch.tensor([[-1.0, 5.0], [2.0, 6.0]]), what="two vectors")
        received = learner.push_along(resid[0], torch.tensor([0.5, 0.0]), torch.tensor(-1.0))
        assert_close(received, torch.tensor([-1.0, 5.0]), what="one vector")

    def test_projection_is_the_target(self, learner, rng):
        """the projection becomes the target, 0 and negative ones too, for any number of batch dimensions"""
        for shape in SHAPES:
            resid, direction = vectors(rng, *shape)
            for target in (2.5, 0, -3.0, torch.randn(shape[:-1], generator=rng)):
                received = learner.push_along(resid, direction, target)
                assert_close(received * 0, resid * 0, what="the answer times 0")
                expected = torch.as_tensor(target).double().expand(shape[:-1])
                what = f"projections of shape {shape}"
                assert_close(projections(received, direction), expected, rtol=1e-3, atol=1e-3, what=what)

    def test_nothing_sideways(self, learner, rng):
        """what is orthogonal to the direction stays as it was"""
        for shape in SHAPES:
            resid, direction = vectors(rng, *shape)
            for target in (2.5, torch.randn(shape[:-1], generator=rng)):
                received = learner.push_along(resid, direction, target)
                expected = across(resid, direction)
                what = f"orthogonal part of shape {shape}"
                assert_close(across(received, direction), expected, rtol=1e-3, atol=1e-3, what=what)

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over vectors and their coordinates"""
        for shape in SHAPES:
            resid, direction = vectors(rng, *shape)
            target = 2 * torch.randn(shape[:-1], generator=rng)
            length = sum(part**2 for part in direction.tolist()) ** 0.5
            unit = [part / length for part in direction.tolist()]
            rows = []
            for row, goal in zip(
                resid.reshape(-1, shape[-1]).tolist(), target.flatten().tolist(), strict=True
            ):
                step = goal - sum(a * b for a, b in zip(row, unit, strict=True))
                rows.append([a + step * b for a, b in zip(row, unit, strict=True)])
            received = learner.push_along(resid, direction, target)
            expected = torch.tensor(rows).reshape(shape)
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"vectors of shape {shape}")

    def test_any_length(self, learner, rng):
        """the direction's length does not matter; the opposite direction with the opposite target is the same"""
        resid, direction = vectors(rng, 5, 6)
        expected = learner.push_along(resid, direction, 1.5)
        for factor in (1e-3, 0.2, 1e3):
            received = learner.push_along(resid, factor * direction, 1.5)
            assert_close(
                received, expected, rtol=1e-3, atol=1e-3, what=f"with a direction {factor:g} times as long"
            )
        received = learner.push_along(resid, -direction, -1.5)
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="with direction and target negated")

    def test_already_there(self, learner, rng):
        """a vector that is at the target stays: a second push changes nothing"""
        resid, direction = vectors(rng, 3, 4, 6)
        once = learner.push_along(resid, direction, -2.0)
        assert_close(
            learner.push_along(once, direction, -2.0), once, rtol=1e-3, atol=1e-3, what="second push"
        )
        target = projections(resid, direction).float()
        stayed = learner.push_along(resid, direction, target)
        assert_close(stayed, resid, rtol=1e-3, atol=1e-3, what="pushed to where it was")

    def test_float64(self, learner):
        """float64 vectors keep their digits, also where they come from far away"""
        resid = torch.tensor([[1e6, 5.0], [-1e6, 6.0]], dtype=torch.float64)
        received = learner.push_along(resid, torch.tensor([4.0, 0.0], dtype=torch.float64), 2.6)
        assert_close(received, torch.tensor([[2.6, 5.0], [2.6, 6.0]]), atol=0.01)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were: the edited activations are a new tensor"""
        for shape in ((6,), (5, 6), (2, 3, 6)):
            resid, direction = vectors(rng, *shape)
            target = torch.randn(shape[:-1], generator=rng)
            before = resid.clone(), direction.clone(), target.clone()
            learner.push_along(resid, direction, target)
            assert_close((resid, direction, target), before, what="arguments after the call")

    def test_zero_direction(self, learner, rng):
        """raises ValueError for a direction of zeros"""
        for shape in ((6,), (5, 6)):
            resid, direction = vectors(rng, *shape)
            with pytest.raises(ValueError):
                learner.push_along(resid, 0 * direction, 1.0)


BLACK, WHITE = 1, 2
AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


def squares(names):
    """Numbers of squares from their names: c1 is 2, a2 is 8."""
    return [8 * (int(row) - 1) + "abcdefgh".index(column) for column, row in names.split()]


def board(black, white=""):
    position = torch.zeros(64, dtype=torch.long)
    position[squares(black)] = BLACK
    position[squares(white)] = WHITE
    return position


def moves(*names):
    """One row a board: True on the squares named."""
    rows = torch.zeros(len(names), 64, dtype=torch.bool)
    for row, named in zip(rows, names, strict=True):
        row[squares(named)] = True
    return rows


def after_d3(n):
    """n times the board after black's first move to d3, which turned d4. White has nothing but e5."""
    return board("d3 d4 d5 e4", "e5").repeat(n, 1)


def walk(position, mover, square):
    """Whether the mover may play there: by walking outwards and looking what ends the row of the other's discs."""
    if position[square]:
        return False
    for down, right in AROUND:
        row, column, passed = square // 8 + down, square % 8 + right, 0
        while 0 <= row < 8 and 0 <= column < 8 and position[8 * row + column] == 3 - mover:
            row, column, passed = row + down, column + right, passed + 1
        if passed and 0 <= row < 8 and 0 <= column < 8 and position[8 * row + column] == mover:
            return True
    return False


def positions(rng, n):
    """Boards, who moves, and for each board a square with a disc."""
    filled = torch.rand(n, 64, generator=rng) < torch.linspace(0.1, 0.8, n).unsqueeze(1)
    # At least one disc and one empty square, whatever the seed.
    filled[:, 27], filled[:, 0] = True, False
    boards = torch.randint(1, 3, (n, 64), generator=rng) * filled
    to_move = torch.randint(1, 3, (n,), generator=rng)
    return boards, to_move, torch.multinomial((boards > 0).float(), 1, generator=rng).squeeze(1)


@exercise("edited_legal_moves")
class TestEditedLegalMoves:
    def test_by_hand(self, learner):
        """where white may play after 1. d3 with d4 turned white: no longer on c3, but on d2, e3, f4, c5 and d6"""
        received = learner.edited_legal_moves(after_d3(1), torch.tensor([WHITE]), torch.tensor(squares("d4")))
        assert_close(received, moves("d2 e3 f4 c5 d6"))

    def test_either_player(self, learner):
        """a disc turns whether it belongs to the player to move or to the other"""
        # Twice black's e4 becomes white's, then white's d4 black's.
        boards = torch.cat([after_d3(2), board("d3 e4 d5", "d4 e5").repeat(2, 1)])
        to_move = torch.tensor([WHITE, BLACK, WHITE, BLACK])
        received = learner.edited_legal_moves(boards, to_move, torch.tensor(squares("e4 e4 d4 d4")))
        assert_close(received, moves("c2 c3 c4 c5 c6", "f3 f4 f5 f6", "c3 e3 c5", "f5 e6 f6"))

    def test_no_legal_move(self, learner):
        """no square is legal for a player who cannot move, whether the other could or not"""
        # Without e5 white has no disc. With b1 white, black may play c1, but white has nothing behind a1.
        boards = torch.cat([after_d3(2), board("a1 b1").repeat(2, 1)])
        to_move = torch.tensor([WHITE, BLACK, WHITE, BLACK])
        received = learner.edited_legal_moves(boards, to_move, torch.tensor(squares("e5 e5 b1 b1")))
        assert_close(received, moves("", "", "", "c1"))

    def test_each_board_its_own(self, learner):
        """each board has its own square and its own player to move: alone or among others the answer is the same"""
        boards, square = after_d3(6), torch.tensor(squares("d4 e4 e5 d5 d4 d3"))
        to_move = torch.tensor([WHITE, WHITE, BLACK, WHITE, BLACK, BLACK])
        together = learner.edited_legal_moves(boards, to_move, square)
        for i in range(6):
            row = slice(i, i + 1)
            alone = learner.edited_legal_moves(boards[row].clone(), to_move[row].clone(), square[row].clone())
            assert_close(alone, together[row], what=f"board {i} alone")

    @hidden
    def test_agrees_with_slow_rules(self, learner, rng):
        """agrees with turning the disc and walking outwards from every square, with few discs and with many"""
        boards, to_move, square = positions(rng, 10)
        expected = torch.zeros(10, 64, dtype=torch.bool)
        for i, position in enumerate(boards.tolist()):
            position[square[i]] = WHITE if position[square[i]] == BLACK else BLACK
            expected[i] = torch.tensor([walk(position, int(to_move[i]), s) for s in range(64)])
        assert_close(learner.edited_legal_moves(boards, to_move, square), expected)

    def test_colours_swapped(self, learner, rng):
        """black and white exchanged everywhere, on the board and in `to_move`, change nothing"""
        boards, to_move, square = positions(rng, 6)
        swapped = torch.tensor([0, WHITE, BLACK])[boards]
        expected = learner.edited_legal_moves(boards, to_move, square)
        assert_close(learner.edited_legal_moves(swapped, 3 - to_move, square), expected)

    def test_turned_beforehand(self, learner, rng):
        """a disc turned beforehand is turned back: the answer is that of the board itself, whichever disc it was"""
        boards, to_move, square = positions(rng, 6)
        other = torch.multinomial((boards > 0).float(), 1, generator=rng).squeeze(1)
        received = []
        for turned in (square, other):
            edited = boards.clone()
            edited[torch.arange(6), turned] = 3 - edited[torch.arange(6), turned]
            received.append(learner.edited_legal_moves(edited, to_move, turned))
        assert_close(received[1], received[0], what="two discs turned and turned back")

    def test_any_integers(self, learner, rng):
        """boards and `to_move` of small integers (int8, int32) will do"""
        boards, to_move, square = positions(rng, 4)
        expected = learner.edited_legal_moves(boards, to_move, square)
        for dtype in (torch.int8, torch.int32):
            received = learner.edited_legal_moves(boards.to(dtype), to_move.to(dtype), square)
            assert_close(received, expected, what=f"with {dtype}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = positions(rng, 5)
        before = tuple(argument.clone() for argument in arguments)
        learner.edited_legal_moves(*arguments)
        assert_close(arguments, before, what="arguments after the call")

    def test_empty_square(self, learner, rng):
        """raises ValueError where a square is empty, be it on a single board, the first or the last"""
        with pytest.raises(ValueError):
            learner.edited_legal_moves(after_d3(1), torch.tensor([WHITE]), torch.tensor(squares("a1")))
        boards, to_move, square = positions(rng, 5)
        for i in range(5):
            wrong = square.clone()
            wrong[i] = int((boards[i] == 0).nonzero()[0])
            with pytest.raises(ValueError):
                learner.edited_legal_moves(boards, to_move, wrong)


def rankings(rng, n, n_squares):
    """Logits without ties, above 0 on every other board and below on the rest; legal moves tend to be high."""
    logits = torch.rand(n, n_squares, generator=rng).argsort(dim=1).float() / 4
    chance = torch.rand(n, 1, generator=rng) * (logits + 1) / (n_squares / 4)
    legal = torch.rand(n, n_squares, generator=rng) < chance
    return logits + torch.tensor([5.0, -n_squares]).repeat(n)[:n].unsqueeze(1), legal


@exercise("legal_move_errors")
class TestLegalMoveErrors:
    def test_by_hand(self, learner):
        """names as many moves as are legal, the largest logits; counts illegal ones named and legal ones not"""
        logits = torch.tensor([[5.0, 1.0, 4.0, 3.0, 2.0], [-4.0, -1.0, -5.0, -3.0, -2.0]])
        # Named are squares 0, 2 on the first board and 1, 3, 4 on the second.
        legal = torch.tensor([[True, False, False, True, False], [True, True, True, False, False]])
        assert_close(learner.legal_move_errors(logits, legal), torch.tensor([2, 4]))

    def test_best_and_worst(self, learner):
        """0 where the n largest logits are the legal moves, 2n where none of them is"""
        logits = torch.tensor([[3.0, 9.0, -1.0, 4.0, -2.0, 0.0]]).repeat(2, 1)
        legal = torch.tensor(
            [[False, True, False, True, False, False], [False, False, True, False, True, True]]
        )
        assert_close(learner.legal_move_errors(logits, legal), torch.tensor([0, 6]))

    def test_each_board_its_own_number(self, learner):
        """n differs from board to board: one board's legal moves do not count for another"""
        # The squares in order of their logits are 2, 0, 3, 1.
        logits = torch.tensor([[0.3, 0.1, 0.4, 0.2]]).repeat(5, 1)
        legal = torch.tensor([[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1]]).bool()
        assert_close(learner.legal_move_errors(logits, legal), torch.tensor([2, 0, 2, 0, 4]))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over boards and sets of squares, in float32 and float64"""
        for n, n_squares, dtype in ((12, 64, torch.float32), (7, 7, torch.float64), (3, 60, torch.float32)):
            logits, legal = rankings(rng, n, n_squares)
            expected = []
            for row, allowed in zip(logits.tolist(), legal.tolist(), strict=True):
                allowed = {square for square in range(n_squares) if allowed[square]}
                order = sorted(range(n_squares), key=row.__getitem__, reverse=True)
                expected.append(len(set(order[: len(allowed)]) ^ allowed))
            received = learner.legal_move_errors(logits.to(dtype), legal)
            assert_close(
                received, torch.tensor(expected), what=f"errors of {n} boards of {n_squares} squares"
            )

    def test_only_the_order_counts(self, learner, rng):
        """only the order of the logits matters: shifted, stretched or as probabilities they give the same errors"""
        logits, legal = rankings(rng, 6, 20)
        expected = learner.legal_move_errors(logits, legal)
        others = {"shifted": logits - 100, "stretched": 20 * logits, "probabilities": logits.softmax(dim=-1)}
        for name, other in others.items():
            assert_close(learner.legal_move_errors(other, legal), expected, what=f"errors with logits {name}")

    def test_no_token(self, learner, rng):
        """squares that no token stands for have logit −∞ and are never named"""
        logits, legal = rankings(rng, 6, 20)
        without = torch.tensor([5, 6, 12, 13])
        others = torch.tensor([square for square in range(20) if square not in without])
        expected = learner.legal_move_errors(logits[:, others], legal[:, others])
        logits[:, without], legal[:, without] = float("-inf"), False
        assert_close(learner.legal_move_errors(logits, legal), expected, what="errors with −∞")

    def test_no_legal_move(self, learner, rng):
        """a board without a legal move has no errors, nor has one where every square is legal"""
        logits, legal = rankings(rng, 4, 10)
        legal[1], legal[3] = False, True
        assert_close(learner.legal_move_errors(logits, legal)[[1, 3]], torch.tensor([0, 0]))
        nothing = torch.zeros(1, 10, dtype=torch.bool)
        assert_close(learner.legal_move_errors(logits[:1], nothing), torch.tensor([0]), what="a single board")

    def test_boards_are_independent(self, learner, rng):
        """a board has the same errors alone as among others"""
        logits, legal = rankings(rng, 5, 12)
        together = learner.legal_move_errors(logits, legal)
        for i in range(5):
            row = slice(i, i + 1)
            alone = learner.legal_move_errors(logits[row].clone(), legal[row].clone())
            assert_close(alone, together[row], what=f"errors of board {i} alone")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        logits, legal = rankings(rng, 5, 12)
        before = logits.clone(), legal.clone()
        learner.legal_move_errors(logits, legal)
        assert_close((logits, legal), before, what="arguments after the call")
