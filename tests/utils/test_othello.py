"""The bitboard rules against a slow simulator that shares no code with them, published node counts, and bad input."""

import numpy as np
import pytest

from utils.boards import othello

DIRECTIONS = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0)]


class SlowOthello:
    """The rules as a person would explain them: walk outwards from the square and count the discs."""

    def __init__(self):
        self.board = [[0] * 8 for _ in range(8)]
        self.board[3][3] = self.board[4][4] = 2
        self.board[3][4] = self.board[4][3] = 1
        self.player = 1

    def captured(self, square, player):
        row, col = divmod(square, 8)
        if self.board[row][col]:
            return []
        found = []
        for dr, dc in DIRECTIONS:
            line, r, c = [], row + dr, col + dc
            while 0 <= r < 8 and 0 <= c < 8 and self.board[r][c] == 3 - player:
                line.append((r, c))
                r, c = r + dr, c + dc
            if line and 0 <= r < 8 and 0 <= c < 8 and self.board[r][c] == player:
                found += line
        return found

    def legal(self, player=None):
        player = player or self.player
        return [s for s in range(64) if self.captured(s, player)]

    def play(self, square):
        for r, c in self.captured(square, self.player):
            self.board[r][c] = self.player
        self.board[square // 8][square % 8] = self.player
        if self.legal(3 - self.player):
            self.player = 3 - self.player
        elif not self.legal():
            self.player = 0

    def copy(self):
        other = SlowOthello()
        other.board, other.player = [row[:] for row in self.board], self.player
        return other


def one_game(*squares):
    return np.array([squares], dtype=np.int8)


@pytest.fixture(scope="module")
def games():
    return othello.random_games(1000, seed=11)


def continuations(games):
    """Every game one move longer."""
    legal = othello.legal_moves(games)[:, -1]
    rows, squares = np.nonzero(legal)
    return np.concatenate([games[rows], squares[:, None].astype(games.dtype)], axis=1)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6, pytest.param(7, marks=pytest.mark.slow)])
def test_perft(depth):
    """Node counts published with many engines, e.g. aartbik.com/strategy.php."""
    first = np.array([[19], [26], [37], [44]], dtype=np.int8)  # d3 c4 f5 e6
    games = first
    for _ in range(depth - 1):
        games = continuations(games)
    assert len(games) == [4, 12, 56, 244, 1396, 8200, 55092][depth - 1]


@pytest.mark.slow
def test_agrees_with_slow_simulator_on_1000_games(games):
    boards, mover, legal = othello.board_states(games), othello.to_move(games), othello.legal_moves(games)
    for g, game in enumerate(games):
        slow = SlowOthello()
        for i, square in enumerate(game):
            if square < 0:
                assert slow.player == 0
                break
            assert slow.captured(int(square), slow.player)
            slow.play(int(square))
            assert boards[g, i].reshape(8, 8).tolist() == slow.board
            assert mover[g, i] == slow.player
            assert np.flatnonzero(legal[g, i]).tolist() == (slow.legal() if slow.player else [])


def test_first_move_by_hand():
    """d3 turns d4: black on d3, d4, d5, e4; white on e5 alone; white may play c3, e3 or c5."""
    games = one_game(19)
    board = othello.board_states(games)[0, 0]
    assert sorted(np.flatnonzero(board == othello.BLACK)) == [19, 27, 28, 35]
    assert np.flatnonzero(board == othello.WHITE).tolist() == [36]
    assert othello.to_move(games).tolist() == [[2]]
    assert np.flatnonzero(othello.legal_moves(games)[0, 0]).tolist() == [18, 20, 34]


def test_wipe_out_ends_the_game():
    """After nine moves white has no disc, so nobody can move although the board is not full."""
    wipe_out = [37, 45, 19, 20, 21, 29, 53, 54, 63]
    slow = SlowOthello()
    for square in wipe_out:
        assert square in slow.legal()
        slow.play(square)
    games = one_game(*wipe_out, *[-1] * 51)
    assert slow.player == 0
    assert not (np.array(slow.board) == 2).any()
    assert othello.to_move(games)[0, 8:].tolist() == [0] * 52
    assert not othello.legal_moves(games)[0, 8:].any()
    boards = othello.board_states(games)
    assert (boards[0, 8:] == boards[0, 8]).all()


def test_passes_occur_and_keep_the_mover(games):
    """After a pass the same colour plays twice; the slow simulator confirms that the other had no move."""
    mover = othello.to_move(games)
    players = np.concatenate([np.full((len(games), 1), 1), mover], axis=1)  # who made move i
    twice = (players[:, 1:] == players[:, :-1]) & (players[:, 1:] > 0)
    assert twice.sum() > 100
    for g, i in np.argwhere(twice)[:20]:
        slow = SlowOthello()
        for square in games[g, : i + 1]:
            slow.play(int(square))
        assert slow.legal(3 - slow.player) == []


def test_random_games_are_uniform_over_first_replies():
    games = othello.random_games(12_000, seed=3)
    pairs, counts = np.unique(games[:, :2], axis=0, return_counts=True)
    assert len(pairs) == 12
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_random_games_repeat_with_the_seed_only():
    first = othello.random_games(50, seed=4)
    assert (first == othello.random_games(50, seed=4)).all()
    assert (first != othello.random_games(50, seed=5)).any()
    assert othello.random_games(0, seed=1).shape == (0, 60)


def test_random_state_of_the_caller_is_untouched():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    othello.random_games(10, seed=0)
    assert (np.random.random(3) == expected).all()  # noqa: NPY002


def test_legal_moves_on_agrees_with_replay_and_sees_edits(games):
    boards, mover = othello.board_states(games), othello.to_move(games)
    assert (othello.legal_moves_on(boards, mover) == othello.legal_moves(games)).all()
    edited = othello.board_states(one_game(19))[0, 0].copy()
    edited[28] = othello.WHITE  # e4 turned white: white lost e3 and c5's captures, gained others
    slow = SlowOthello()
    slow.board = edited.reshape(8, 8).tolist()
    assert othello.legal_moves_on(edited, np.array(2)).shape == (64,)
    assert np.flatnonzero(othello.legal_moves_on(edited, np.array(2))).tolist() == slow.legal(2)
    assert np.flatnonzero(othello.legal_moves_on(edited, np.array(1))).tolist() == slow.legal(1)


def test_capture_lines_counts_the_directions_that_capture(games):
    boards, mover = othello.board_states(games[:40]), othello.to_move(games[:40])
    lines = othello.capture_lines(boards, mover)
    playing = mover > 0
    assert ((lines > 0) == othello.legal_moves(games[:40]))[playing].all()
    slow = SlowOthello()
    for game in range(5):
        slow.board, player = boards[game, 30].reshape(8, 8).tolist(), int(mover[game, 30])
        for square in np.flatnonzero(lines[game, 30]):
            row, col = divmod(int(square), 8)
            captured = slow.captured(int(square), player)
            ways = {(np.sign(r - row), np.sign(c - col)) for r, c in captured}
            assert len(ways) == lines[game, 30, square]


def test_mine_and_theirs_is_the_board_of_the_player_to_move(games):
    boards, mover = othello.board_states(games), othello.to_move(games)
    seen = othello.mine_and_theirs(boards, mover)
    playing = mover > 0
    assert ((seen == 1) == (boards == mover[..., None]))[playing].all()
    assert ((seen == 0) == (boards == 0)).all()


def test_reachable_boards_are_those_of_games(games):
    """Boards of games are reachable; with the other player to move, or a centre square emptied, they are not."""
    for n_moves in (0, 1, 5, 7):
        if n_moves:
            boards, mover = (
                othello.board_states(games)[:, n_moves - 1],
                othello.to_move(games)[:, n_moves - 1],
            )
        else:
            boards = np.zeros((1, 64), dtype=np.int8)
            boards[0, [28, 35]], boards[0, [27, 36]] = othello.BLACK, othello.WHITE
            mover = np.array([othello.BLACK])
        assert othello.is_reachable(boards, mover, n_moves).all()
        emptied = boards.copy()
        emptied[:, 27] = 0
        assert not othello.is_reachable(emptied, mover, n_moves).any()
        assert not othello.is_reachable(boards, 3 - mover, n_moves).any()
    with pytest.raises(ValueError, match="10"):
        othello.is_reachable(boards, mover, 10)


def test_symmetry():
    """The start is its own transpose, so transposed games are legal and give transposed boards."""
    games = othello.random_games(200, seed=8)
    rows, cols = np.divmod(games.astype(int), 8)
    mirrored = np.where(games < 0, -1, cols * 8 + rows)
    boards = othello.board_states(games).reshape(200, 60, 8, 8)
    assert (othello.board_states(mirrored).reshape(200, 60, 8, 8) == boards.swapaxes(2, 3)).all()


def test_tokens_are_those_of_the_published_model():
    """Token 1 is a1 and 60 is h8, the four centre squares left out."""
    assert othello.encode(np.array([0, 26, 29, 34, 37, 63, -1])).tolist() == [1, 27, 28, 33, 34, 60, 0]
    squares = np.array([s for s in range(64) if s not in othello.CENTRE] + [-1])
    assert (othello.decode(othello.encode(squares)) == squares).all()


def test_pack_and_unpack():
    rng = np.random.default_rng(0)
    squares = rng.random((5, 7, 64)) < 0.5
    packed = othello.pack(squares)
    assert packed[2, 3] == sum(1 << i for i in range(64) if squares[2, 3, i])
    assert (othello.unpack(packed) == squares).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: othello.random_games(-1, 0), "n is -1"),
        (lambda: othello.board_states(one_game(19, 19)), "game 0, move 1: square 19"),
        (lambda: othello.board_states(one_game(0)), "game 0, move 0: square 0"),
        (lambda: othello.legal_moves(one_game(19, 64)), "square 64"),
        (lambda: othello.to_move(one_game(-2)), "square -2"),
        (lambda: othello.board_states(np.zeros(3, dtype=int)), "shape"),
        (lambda: othello.board_states(np.zeros((1, 3))), "float64"),
        (lambda: othello.encode(np.array([27])), "27"),
        (lambda: othello.encode(np.array([64])), "64"),
        (lambda: othello.decode(np.array([61])), "61"),
        (lambda: othello.legal_moves_on(np.zeros((2, 64), int), np.zeros(3, int)), "should be"),
    ],
)
def test_bad_input_names_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_says_which_games_are_legal():
    games = othello.random_games(50, seed=3)
    changed = games.copy()
    changed[::2, 20] = changed[::2, 0]  # a square that is taken
    changed[1, 5] = 64
    expected = np.ones(50, dtype=bool)
    expected[::2] = expected[1] = False
    assert othello.is_legal(games).all()
    assert othello.is_legal(changed).tolist() == expected.tolist()
    for game, is_legal in zip(changed, expected, strict=True):
        if is_legal:
            othello.replay(game[None])
        else:
            with pytest.raises(ValueError, match="game 0, move"):
                othello.replay(game[None])
    with pytest.raises(ValueError, match="game 0, move 20"):
        othello.replay(changed)
