"""Checks of chapter 2, part 3: chess."""

import itertools

import chess
import pytest
import torch

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = ("utils.boards.chess.mine_and_theirs",)


def answers_to(*rows):
    """Logits of three moves for each position, the first the largest, and which are legal, from words like "x..": the
    first move alone."""
    logits = torch.tensor([3.0, -2.0, 1.0]).repeat(len(rows), 1)
    return logits, torch.tensor([[letter == "x" for letter in row] for row in rows])


def positions_asked(rng, *shape):
    """Logits without ties, of either sign, and legal moves: half of all, none where the game is over (one in four)."""
    steps = torch.rand(*shape, generator=rng).argsort(dim=-1).float() / 4
    logits = steps + torch.randint(-20, 10, (*shape[:-1], 1), generator=rng)
    legal = torch.rand(*shape, generator=rng) < 0.5
    legal &= torch.rand(*shape[:-1], 1, generator=rng) < 0.75
    # One position counts at least, whatever the seed.
    legal.view(-1, shape[-1])[-1, 0] = True
    return logits, legal


@exercise("legal_rate")
class TestLegalRate:
    def test_by_hand(self, learner):
        """the share of positions whose largest logit is a legal move, be it large or negative"""
        logits = torch.tensor([[2.0, 9.0, 1.0], [0.5, -1.0, 0.0], [-3.0, -2.0, -4.0], [1.0, 2.0, 3.0]])
        # The largest are moves 1, 0, 1 and 2, of which the second is not legal.
        legal = torch.tensor([[0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]]).bool()
        assert_close(learner.legal_rate(logits, legal), 0.75)

    def test_game_over(self, learner):
        """a position without a legal move does not count, neither as right nor as wrong, wherever it stands"""
        # Without the game's end two of three are right.
        for rows in (
            ("x..", ".x.", "xx.", "..."),
            ("...", "x..", ".x.", "xx."),
            ("x..", "...", "...", ".xx", "x.x"),
            ("...", "...", ".xx", "...", "x..", "...", "x.."),
        ):
            received = learner.legal_rate(*answers_to(*rows))
            assert_close(received, 2 / 3, what=f"with {rows.count('...')} of {len(rows)} positions over")

    def test_every_position_weighs_the_same(self, learner):
        """positions of all games count alike, whatever the batch dimensions, also where one game ends sooner"""
        # The first game ends after a legal move, the second has one of three: together two of four.
        logits, legal = answers_to("x..", "...", "...", "xx.", ".x.", "..x")
        for shape in ((2, 3, 3), (3, 2, 3), (1, 6, 3), (6, 1, 3)):
            received = learner.legal_rate(logits.view(shape), legal.view(shape))
            assert_close(received, 0.5, what=f"positions in the shape {shape}")

    def test_one_or_all(self, learner):
        """positions with a single legal move count, and so do those in which every move is legal"""
        for rows, expected in {
            ("x..", ".x.", "..x", "x.."): 0.5,
            ("xxx", "xxx", ".x."): 2 / 3,
            ("xxx",): 1.0,
            ("..x",): 0.0,
            ("xxx", "x.."): 1.0,
            (".xx", "..x"): 0.0,
        }.items():
            assert_close(learner.legal_rate(*answers_to(*rows)), expected, what=f"legal moves {rows}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over positions, with one batch dimension and with two, in float32 and float64"""
        for shape in ((1, 5), (40, 96), (6, 6), (5, 8, 7), (2, 1, 96), (4, 4, 4)):
            for dtype in (torch.float32, torch.float64):
                logits, legal = positions_asked(rng, *shape)
                right = []
                for row, allowed in zip(
                    logits.view(-1, shape[-1]).tolist(), legal.view(-1, shape[-1]).tolist(), strict=True
                ):
                    if any(allowed):
                        right.append(allowed[row.index(max(row))])
                received = learner.legal_rate(logits.to(dtype), legal)
                assert_close(received, sum(right) / len(right), what=f"logits of shape {shape}, {dtype}")

    def test_only_the_order_counts(self, learner, rng):
        """only the order of a position's logits matters, not their size, sign or spread"""
        logits, legal = positions_asked(rng, 30, 9)
        expected = learner.legal_rate(logits, legal)
        for name, changed in {
            "moved below 0": logits - 100,
            "moved above 0": logits + 100,
            "moved by a number for each position": logits + torch.randint(-50, 50, (30, 1), generator=rng),
            "ten times as far apart": 10 * logits,
            "a tenth as far apart": logits / 10,
        }.items():
            assert_close(learner.legal_rate(changed, legal), expected, what=f"logits {name}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        for shape in ((9, 5), (3, 4, 5)):
            logits, legal = positions_asked(rng, *shape)
            before = logits.clone(), legal.clone()
            learner.legal_rate(logits, legal)
            assert_close((logits, legal), before, what="arguments after the call")

    def test_nothing_legal(self, learner, rng):
        """raises ValueError where no position has a legal move, or there is no position"""
        for shape in ((1, 5), (4, 5), (2, 3, 5), (0, 5)):
            logits = torch.randn(*shape, generator=rng)
            with pytest.raises(ValueError):
                learner.legal_rate(logits, torch.zeros(shape, dtype=torch.bool))


WHITE, BLACK = 1, 2


def boards_and_players(rng, n, n_squares):
    """Boards with pieces of every kind, most squares empty, and who moves: both players, in no order."""
    pieces = torch.randint(1, 13, (n, n_squares), generator=rng)
    to_move = torch.tensor([WHITE, BLACK]).repeat(n)[:n]
    filled = torch.rand(n, n_squares, generator=rng) < 0.5
    return pieces * filled, to_move[torch.randperm(n, generator=rng)]


def random_play(rng, n):
    """python-chess boards before each of n plies, and a new game wherever one is over."""
    board, boards = chess.Board(), []
    while len(boards) < n:
        boards.append(board.copy())
        moves = list(board.legal_moves)
        board.push(moves[int(torch.randint(len(moves), (1,), generator=rng))])
        if board.is_game_over():
            board = chess.Board()
    return boards


def written(board, first):
    """The squares of a python-chess board, pieces of the colour `first` as 1 to 6 and of the other as 7 to 12."""
    pieces = [board.piece_at(square) for square in range(64)]
    return [0 if piece is None else piece.piece_type + 6 * (piece.color != first) for piece in pieces]


@exercise("piece_labels")
class TestPieceLabels:
    def test_by_hand(self, learner):
        """for white nothing changes, for black 1 to 6 and 7 to 12 change places; an empty square stays 0"""
        boards = torch.arange(13).repeat(2, 1)
        expected = torch.tensor([[*range(13)], [0, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]])
        assert_close(learner.piece_labels(boards, torch.tensor([WHITE, BLACK])), expected)

    def test_squares_stay(self, learner):
        """every piece stays on its square: the board is not turned round for black"""
        # White has a king on e1 and a pawn on e4, black a king on e8 and a queen on d8.
        boards = torch.zeros(2, 64, dtype=torch.long)
        boards[:, [4, 28, 60, 59]] = torch.tensor([6, 1, 12, 11])
        expected = boards.clone()
        expected[0, [4, 28, 60, 59]] = torch.tensor([12, 7, 6, 5])
        assert_close(learner.piece_labels(boards, torch.tensor([BLACK, WHITE])), expected)

    def test_each_position_its_own(self, learner, rng):
        """each position has its own player: alone or among others its labels are the same"""
        # As many positions as squares, too: a player is one for each position, not for each square.
        for n, n_squares in ((7, 64), (9, 9)):
            boards, to_move = boards_and_players(rng, n, n_squares)
            together = learner.piece_labels(boards.clone(), to_move.clone())
            for i in range(n):
                alone = learner.piece_labels(boards[i : i + 1].clone(), to_move[i : i + 1].clone())
                assert_close(together[i : i + 1], alone, what=f"position {i} among {n}")

    @hidden
    def test_agrees_with_python_chess(self, learner, rng):
        """agrees with the pieces of games that python-chess has set up, shuffled"""
        played = random_play(rng, 40)
        played = [played[i] for i in torch.randperm(40, generator=rng)]
        boards = torch.tensor([written(board, chess.WHITE) for board in played])
        to_move = torch.tensor([WHITE if board.turn else BLACK for board in played])
        expected = torch.tensor([written(board, board.turn) for board in played])
        assert_close(learner.piece_labels(boards, to_move), expected)

    def test_any_integers(self, learner, rng):
        """boards and `to_move` of small integers (int8, int32) will do"""
        boards, to_move = boards_and_players(rng, 6, 64)
        expected = learner.piece_labels(boards.clone(), to_move.clone())
        for first, second in itertools.product((torch.int8, torch.int32, torch.int64), repeat=2):
            received = learner.piece_labels(boards.to(first, copy=True), to_move.to(second, copy=True))
            assert_close(received, expected, what=f"boards of {first}, to_move of {second}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were: the labels are a new tensor"""
        for n in (1, 6):
            boards, to_move = boards_and_players(rng, n, 64)
            to_move[0] = BLACK
            before = boards.clone(), to_move.clone()
            learner.piece_labels(boards, to_move)
            assert_close((boards, to_move), before, what="arguments after the call")

    def test_game_over(self, learner, rng):
        """raises ValueError where `to_move` is 0, be it in a single position, the first, the last or all"""
        boards, to_move = boards_and_players(rng, 5, 64)
        for over in ([0, 1, 2, 3, 4], [0], [2], [4], [1, 3]):
            wrong = to_move.clone()
            wrong[over] = 0
            with pytest.raises(ValueError):
                learner.piece_labels(boards, wrong)
        with pytest.raises(ValueError):
            learner.piece_labels(boards[:1].clone(), torch.tensor([0]))

    def test_no_such_player(self, learner, rng):
        """raises ValueError where `to_move` is above 2 or negative, be it in a single position, first or last"""
        boards, to_move = boards_and_players(rng, 5, 64)
        for player, i in itertools.product((3, 4, 12, -1, -2), (0, 2, 4)):
            wrong = to_move.clone()
            wrong[i] = player
            with pytest.raises(ValueError):
                learner.piece_labels(boards, wrong)


def players(rng, n):
    """Ratings in quarters, exact in every float, and two of them that make bins: at least two players in each."""
    ratings = torch.randint(-2000, 8000, (n,), generator=rng) / 4
    ordered = ratings.unique()
    return ratings, float(ordered[len(ordered) // 4]), float(ordered[len(ordered) // 2])


@exercise("skill_bins")
class TestSkillBins:
    def test_by_hand(self, learner):
        """`labels` is True where strong, `kept` where weak or strong; in between both are False"""
        ratings = torch.tensor([100.0, 900.0, 400.0, 300.0, 700.0, 600.0])
        labels, kept = [0, 1, 0, 0, 1, 0], [1, 1, 0, 1, 1, 0]
        expected = torch.tensor(labels).bool(), torch.tensor(kept).bool()
        assert_close(learner.skill_bins(ratings, 350.0, 650.0), expected, what="(labels, kept)")

    def test_on_the_edge(self, learner):
        """a rating of exactly `low` is weak, one of exactly `high` strong, and a little more or less is neither"""
        ratings = torch.tensor([800.0, 500.0, 500.25, 500.0, 799.75, 800.0])
        expected = torch.tensor([1, 0, 0, 0, 0, 1]).bool(), torch.tensor([1, 1, 0, 1, 0, 1]).bool()
        assert_close(learner.skill_bins(ratings, 500.0, 800.0), expected, what="from 500 to 800")
        # Everyone on one of two ratings, next to each other.
        ratings = torch.tensor([1.25, 1.0, 1.0, 1.25])
        expected = torch.tensor([1, 0, 0, 1]).bool(), torch.ones(4).bool()
        assert_close(learner.skill_bins(ratings, 1.0, 1.25), expected, what="from 1 to 1.25")

    def test_one_in_each_bin(self, learner):
        """one weak and one strong player are enough, however many are in between or none"""
        for between in (0, 1, 50):
            ratings = torch.tensor([10.0, *[5.0] * between, 0.0])
            labels, kept = torch.zeros(between + 2).bool(), torch.zeros(between + 2).bool()
            labels[0], kept[0], kept[-1] = True, True, True
            received = learner.skill_bins(ratings, 1.0, 9.0)
            assert_close(received, (labels, kept), what=f"two players and {between} in between")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over players, in float32 and float64"""
        for n, dtype in ((50, torch.float32), (7, torch.float64), (300, torch.float32)):
            ratings, low, high = players(rng, n)
            labels = [rating >= high for rating in ratings.tolist()]
            kept = [not low < rating < high for rating in ratings.tolist()]
            received = learner.skill_bins(ratings.to(dtype), low, high)
            assert_close(received, (torch.tensor(labels), torch.tensor(kept)), what=f"{n} players, {dtype}")

    def test_each_player_alone(self, learner, rng):
        """a player's bin depends on nobody else, nor on where the player stands"""
        ratings, low, high = players(rng, 40)
        labels, kept = learner.skill_bins(ratings.clone(), low, high)
        order = torch.randperm(40, generator=rng)
        received = learner.skill_bins(ratings[order], low, high)
        assert_close(received, (labels[order], kept[order]), what="players shuffled")
        for name, others in {
            "stronger": high + 9000,
            "weaker": low - 9000,
            "middling": (low + high) / 2,
        }.items():
            received = learner.skill_bins(torch.cat([ratings, torch.full((60,), others)]), low, high)
            assert_close(
                (received[0][:40], received[1][:40]), (labels, kept), what=f"with 60 {name} players more"
            )

    def test_any_numbers(self, learner):
        """ratings, `low` and `high` may be negative, 0, or whole numbers"""
        for low, high in ((0, 2), (-2, 0), (-2, -1.0), (0, 1), (-3, 3)):
            ratings = torch.tensor([high + 1.0, low, (low + high) / 2, low - 1.0, high])
            expected = torch.tensor([1, 0, 0, 0, 1]).bool(), torch.tensor([1, 1, 0, 1, 1]).bool()
            assert_close(learner.skill_bins(ratings, low, high), expected, what=f"from {low} to {high}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves the ratings as they were"""
        ratings, low, high = players(rng, 20)
        before = ratings.clone()
        learner.skill_bins(ratings, low, high)
        assert_close(ratings, before, what="ratings after the call")

    def test_low_not_below_high(self, learner):
        """raises ValueError where `low` is above `high` or equal to it"""
        ratings = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        for low, high in ((4.0, 2.0), (5.0, 1.0), (3.0, 3.0), (3.5, 3.5), (3.25, 3.0), (0.0, -1.0)):
            with pytest.raises(ValueError):
                learner.skill_bins(ratings, low, high)

    def test_nobody_strong(self, learner):
        """raises ValueError where nobody is strong, be there weak players or not"""
        for ratings in ([4.0, 6.75], [1.0], [2.0, 1.0, 2.0], [1.0, 2.0, 5.0]):
            with pytest.raises(ValueError):
                learner.skill_bins(torch.tensor(ratings), 2.0, 7.0)

    def test_nobody_weak(self, learner):
        """raises ValueError where nobody is weak, be there strong players or not, or any player at all"""
        for ratings in ([2.25, 3.0], [9.0], [7.0, 9.0, 7.0], [5.0, 7.0, 8.0], []):
            with pytest.raises(ValueError):
                learner.skill_bins(torch.tensor(ratings), 2.0, 7.0)


SHAPES = ((6,), (5, 6), (6, 6), (1, 6), (2, 3, 6), (6, 6, 6))


def stream_and_probe(rng, *shape, n_squares=4, n_states=5):
    """Activations off the origin, and a probe whose outputs have weights of unequal length."""
    resid = 2 * torch.randn(*shape, generator=rng) + 1
    weight = torch.randn(shape[-1], n_squares, n_states, generator=rng)
    return resid, weight * torch.linspace(0.5, 2, n_states)


@exercise("remove_piece")
class TestRemovePiece:
    def test_by_hand(self, learner):
        """moves by `strength` against the piece's weights minus the empty square's, divided by their length"""
        # Square 1: empty, a pawn and a knight have the weights (1, 2), (4, 6) and (1, −8).
        weight = torch.tensor([[[9.0, 7.0, 8.0], [1.0, 4.0, 1.0]], [[3.0, 5.0, 0.0], [2.0, 6.0, -8.0]]])
        resid = torch.tensor([10.0, 20.0])
        received = learner.remove_piece(resid, weight, 1, 1, 5.0)
        assert_close(received, torch.tensor([7.0, 16.0]), what="the pawn off square 1, strength 5")
        received = learner.remove_piece(resid, weight, 1, 2, 3.0)
        assert_close(received, torch.tensor([10.0, 23.0]), what="the knight off square 1, strength 3")

    def test_as_far_as_strength(self, learner, rng):
        """moves exactly as far as `strength` says, however large or small the weights"""
        resid, weight = stream_and_probe(rng, 6)
        for size, strength in itertools.product((0.01, 1.0, 100.0), (0.5, 8.0)):
            received = learner.remove_piece(resid, size * weight, 2, 3, strength)
            moved = (received - resid).norm()
            what = f"distance with strength {strength} and weights of size {size:g}"
            assert_close(moved, torch.tensor(strength), rtol=1e-3, what=what)

    def test_any_strength(self, learner, rng):
        """a strength of 0 changes nothing, a negative one goes the other way, twice as much goes twice as far"""
        for shape in ((6,), (5, 6)):
            resid, weight = stream_and_probe(rng, *shape)
            step = resid - learner.remove_piece(resid, weight, 1, 2, 1.0)
            for strength in (0, 0.0, -1.0, 2.0, -3.5, 40):
                received = learner.remove_piece(resid, weight, 1, 2, strength)
                expected = resid - strength * step
                assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"strength {strength}")

    def test_all_move_alike(self, learner, rng):
        """every vector moves by the same step, wherever it is, for any number of batch dimensions"""
        _, weight = stream_and_probe(rng, 6)
        step = learner.remove_piece(torch.zeros(6), weight, 3, 1, 4.0)
        for shape, size in itertools.product(SHAPES, (0.0, 1.0, 10.0)):
            resid = size * stream_and_probe(rng, *shape)[0]
            received = learner.remove_piece(resid, weight, 3, 1, 4.0)
            what = f"vectors of shape {shape}, size {size:g}"
            assert_close(received, resid + step, rtol=1e-3, atol=1e-4, what=what)

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over d_model for every square and every piece, the first and the last too"""
        for d_model, n_squares, n_states in ((6, 4, 3), (3, 2, 13), (4, 3, 3), (5, 1, 2)):
            resid, weight = stream_and_probe(rng, 2, d_model, n_squares=n_squares, n_states=n_states)
            for square, piece in itertools.product(range(n_squares), range(1, n_states)):
                outputs = [weight[i, square].tolist() for i in range(d_model)]
                difference = [output[piece] - output[0] for output in outputs]
                length = sum(part**2 for part in difference) ** 0.5
                rows = [
                    [x - 2.5 * part / length for x, part in zip(row, difference, strict=True)]
                    for row in resid.tolist()
                ]
                received = learner.remove_piece(resid, weight, square, piece, 2.5)
                case = f"piece {piece} of {n_states} states off square {square} of {n_squares}"
                assert_close(received, torch.tensor(rows), rtol=1e-3, atol=1e-3, what=case)

    def test_a_whole_board(self, learner, rng):
        """takes any of the twelve pieces off any of 64 squares, h8 (63) too"""
        resid, weight = stream_and_probe(rng, 3, 8, n_squares=64, n_states=13)
        for square, piece in ((0, 1), (0, 12), (27, 6), (35, 7), (63, 1), (63, 12)):
            grows = weight[:, square, piece] - weight[:, square, 0]
            received = (resid - learner.remove_piece(resid, weight, square, piece, 2.0)) @ grows
            expected = (2.0 * grows.norm()).repeat(3)
            what = f"by how much piece {piece} on square {square} shrinks against empty"
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=what)

    def test_float64(self, learner, rng):
        """float64 activations and weights will do"""
        resid, weight = stream_and_probe(rng, 5, 6)
        expected = learner.remove_piece(resid, weight, 0, 4, 2.0)
        received = learner.remove_piece(resid.double(), weight.double(), 0, 4, 2.0)
        assert_close(received, expected, rtol=1e-3, atol=1e-4)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the activations and the weight as they were: the edited activations are a new tensor"""
        for shape in ((6,), (5, 6), (2, 3, 6)):
            resid, weight = stream_and_probe(rng, *shape)
            before = resid.clone(), weight.clone()
            learner.remove_piece(resid, weight, 2, 1, 3.0)
            assert_close((resid, weight), before, what="arguments after the call")

    def test_nothing_to_remove(self, learner, rng):
        """raises ValueError for piece 0 on any square: there is nothing to remove"""
        resid, weight = stream_and_probe(rng, 5, 6)
        for square, strength in itertools.product(range(4), (1.0, 0.0)):
            with pytest.raises(ValueError):
                learner.remove_piece(resid, weight, square, 0, strength)

    def test_square_outside(self, learner, rng):
        """raises ValueError for a square that the weight does not have, −1 too"""
        # More squares than states, and the other way round: a square is no state.
        for n_squares, n_states in ((5, 3), (2, 4)):
            resid, weight = stream_and_probe(rng, 5, 6, n_squares=n_squares, n_states=n_states)
            for square in (64, -1, -n_squares, n_squares + 1, n_squares):
                with pytest.raises(ValueError):
                    learner.remove_piece(resid, weight, square, 1, 2.0)

    def test_piece_outside(self, learner, rng):
        """raises ValueError for a piece that the weight does not have, −1 too"""
        for n_squares, n_states in ((5, 3), (2, 4)):
            resid, weight = stream_and_probe(rng, 5, 6, n_squares=n_squares, n_states=n_states)
            for piece in (13, -1, 1 - n_states, n_states + 1, n_states):
                with pytest.raises(ValueError):
                    learner.remove_piece(resid, weight, 0, piece, 2.0)
