"""The board probe against scikit-learn, and its labels against boards read off game by game."""

from dataclasses import replace

import chess as python_chess
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from utils.boards import chess, chess_games, othello
from utils.boards.evaluate import BoardLabels, _Moments, board_labels, probe_board

N_STATES, N_SQUARES, N_POS, N_TOKENS, D_MODEL = 3, 5, 4, 9, 12


def some_labels(n_games: int, seed: int) -> BoardLabels:
    """Boards that the tokens determine in part: on each square its own state for low, middle and high tokens."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(N_TOKENS, size=(n_games, N_POS))
    positions = rng.random((n_games, N_POS)) < 0.6
    boards = (tokens[positions][:, None] // 3 + np.arange(N_SQUARES)) % N_STATES
    noise = rng.random(boards.shape) < 0.3
    boards = np.where(noise, rng.choice(N_STATES, p=(0.7, 0.2, 0.1), size=boards.shape), boards)
    return BoardLabels(
        torch.from_numpy(tokens),
        torch.from_numpy(positions),
        torch.from_numpy(boards.astype(np.int8)),
        N_STATES,
    )


def streams(tokens):
    """Two "layers": the first knows only the position, the second the token too."""
    generator = torch.Generator().manual_seed(0)
    by_pos = torch.empty(N_POS, D_MODEL).normal_(2, 1, generator=generator)
    by_token = torch.empty(N_TOKENS, D_MODEL).normal_(0, 1, generator=generator)
    first = by_pos.expand(len(tokens), N_POS, D_MODEL)
    return [first, first + by_token[tokens]]


# More than two batches of 100 games, the last one incomplete.
TRAIN, TEST = some_labels(230, seed=1), some_labels(130, seed=2)


def one_hot(boards) -> np.ndarray:
    return np.eye(N_STATES)[boards.numpy()].reshape(len(boards), -1)


def ridge(layer: int, l2: float) -> tuple[Ridge, np.ndarray]:
    x = streams(TRAIN.tokens)[layer][TRAIN.positions].double().numpy()
    return Ridge(alpha=l2, solver="cholesky").fit(x, one_hot(TRAIN.boards)), x


class TestProbeBoard:
    @pytest.mark.parametrize("l2", [0.1, 1.0, 50.0])
    def test_weights_are_ridge_regressions(self, l2):
        expected, x = ridge(1, l2)
        y = torch.from_numpy(one_hot(TRAIN.boards))
        moments = _Moments(y.mean(0))
        for part in (slice(0, 200), slice(200, 201), slice(201, None)):
            moments.add(torch.from_numpy(x[part]), y[part])
        weight, bias = moments.solve(l2)
        np.testing.assert_allclose(weight.T, expected.coef_, rtol=0, atol=1e-6)
        np.testing.assert_allclose(bias, expected.intercept_, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("l2", [0.1, 1.0, 5000.0])
    def test_accuracy_is_that_of_ridge_regression(self, l2):
        result = probe_board(streams, TRAIN, TEST, l2)
        for layer, accuracy in enumerate(result.by_layer):
            x = streams(TEST.tokens)[layer][TEST.positions].double().numpy()
            scores = ridge(layer, l2)[0].predict(x).reshape(len(x), N_SQUARES, N_STATES)
            expected = (scores.argmax(-1) == TEST.boards.numpy()).mean()
            assert accuracy == pytest.approx(expected, abs=1e-6)

    def test_finds_the_layer_that_knows(self):
        result = probe_board(streams, TRAIN, TEST)
        assert len(result.by_layer) == 2
        assert result.best_layer == 1
        assert result.by_layer[1] > result.majority + 0.1
        assert result.by_layer[0] == pytest.approx(result.majority, abs=0.05)

    def test_majority_by_loop(self):
        """The commonest state of each square, counted in the training games and judged on the test games."""
        right = 0
        for square in range(N_SQUARES):
            train, test = TRAIN.boards[:, square].tolist(), TEST.boards[:, square].tolist()
            right += test.count(max(range(N_STATES), key=train.count))
        assert probe_board(streams, TRAIN, TEST).majority == pytest.approx(right / TEST.boards.numel())

    def test_majority_is_not_taken_from_the_test_games(self):
        train = replace(TRAIN, boards=torch.zeros_like(TRAIN.boards))
        test = replace(TEST, boards=torch.ones_like(TEST.boards))
        result = probe_board(streams, train, test)
        assert (result.majority, result.by_layer) == (0, (0, 0))

    def test_numbers_of_states_must_agree(self):
        with pytest.raises(ValueError, match="3 states, test boards 13"):
            probe_board(streams, TRAIN, replace(TEST, n_states=13))


def slow_othello(n_games: int, seed: int, relative: bool):
    """One game, move and square at a time."""
    games = othello.random_games(n_games, seed)
    for g, game in enumerate(games):
        boards, movers = othello.board_states(game[None])[0], othello.to_move(game[None])[0].tolist()
        for i in range(59):
            board, mover = boards[i].tolist(), movers[i]
            if mover == 0:
                continue
            if relative:
                board = [0 if disc == 0 else 1 if disc == mover else 2 for disc in board]
            yield (g, i), int(othello.encode(game[i])), board


def slow_chess(n_games: int, seed: int, relative: bool):
    """python-chess replays each game; input position 2 × ply sees the board before that ply."""
    for g, game in enumerate(chess_games.generate(n_games, seed).tokens.tolist()):
        board = python_chess.Board()
        for ply in range(len(game) // 2):
            start, goal = game[2 * ply : 2 * ply + 2]
            if start < 0:
                break
            squares = []
            for square in python_chess.SQUARES:
                piece = board.piece_at(square)
                first = board.turn if relative else python_chess.WHITE
                squares.append(0 if piece is None else piece.piece_type + 6 * (piece.color != first))
            yield (g, 2 * ply), chess.START_TOKEN if ply == 0 else game[2 * ply - 1], squares
            board.push(chess.token_move(start, goal))


class TestBoardLabels:
    @pytest.mark.parametrize("relative", [False, True])
    @pytest.mark.parametrize(
        ("game", "slow", "n_games", "seed"), [("othello", slow_othello, 6, 4), ("chess", slow_chess, 8, 4)]
    )
    def test_agree_with_loop(self, game, slow, n_games, seed, relative):
        labels = board_labels(game, n_games, seed, relative)
        expected = list(slow(n_games, seed, relative))
        assert labels.positions.nonzero().tolist() == [list(place) for place, _, _ in expected]
        assert labels.tokens[labels.positions].tolist() == [token for _, token, _ in expected]
        assert labels.boards.tolist() == [board for _, _, board in expected]

    @pytest.mark.parametrize(("game", "n_pos", "n_states"), [("othello", 59, 3), ("chess", 80, 13)])
    def test_shapes(self, game, n_pos, n_states):
        labels = board_labels(game, 12, seed=6, relative=True)
        assert labels.n_states == n_states
        assert labels.tokens.shape == labels.positions.shape == (12, n_pos)
        assert (labels.tokens.dtype, labels.positions.dtype) == (torch.int64, torch.bool)
        assert labels.boards.shape == (int(labels.positions.sum()), 64)
        assert sorted(labels.boards.unique().tolist()) == list(range(n_states))

    def test_finished_games_are_not_probed(self, monkeypatch):
        """An Othello game over after nine moves has boards after eight; fool's mate has four with a move to come."""
        wipe_out = np.full((1, 60), -1, dtype=np.int8)
        wipe_out[0, :9] = [37, 45, 19, 20, 21, 29, 53, 54, 63]
        monkeypatch.setattr(othello, "random_games", lambda n, seed: wipe_out)
        assert board_labels("othello", 1, 0, True).positions.nonzero()[:, 1].tolist() == list(range(8))
        mate = np.full((1, 12), -1, dtype=np.int8)
        mate[0, :8] = [13, 21, 52, 36, 14, 30, 59, 31]  # f2f3 e7e5 g2g4 d8h4
        games = replace(chess_games.generate(1, seed=0), tokens=mate)
        monkeypatch.setattr(chess_games, "generate", lambda n, seed: games)
        assert board_labels("chess", 1, 0, True).positions.nonzero()[:, 1].tolist() == [0, 2, 4, 6]

    def test_unknown_game(self):
        with pytest.raises(ValueError, match="'go'.*'othello' and 'chess'"):
            board_labels("go", 1, 0, True)
