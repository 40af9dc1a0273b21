"""Chess encoding against python-chess, players against hand-made positions, generated games against their rules."""

import os
import subprocess
import sys
from dataclasses import replace

import chess
import numpy as np
import pytest

from utils.boards import chess as boards
from utils.boards import chess_games, chess_players
from utils.boards.chess_players import PLAYERS

# Both sides castle (white short, black long), an en-passant capture, and promotions to queen and to knight.
EVENTFUL_GAME = """
e2e4 d7d5 e4e5 f7f5 e5f6 b8c6 f6g7 c8f5 g7h8q d8d6 g1f3
e8c8 f1e2 d5d4 e1g1 d4d3 h2h3 d3e2 a2a3 e2f1n g1f1
"""
EVENTFUL: list[str] = [*EVENTFUL_GAME.split()]


def as_game(uci: list[str], n_plies: int | None = None) -> np.ndarray:
    columns = [token for move in uci for token in boards.move_tokens(chess.Move.from_uci(move))]
    columns += [-1] * (2 * (n_plies or len(uci)) - len(columns))
    return np.array([columns], dtype=np.int8)


def slow_array(board: chess.Board) -> list[int]:
    """The classes, read off the board's own text."""
    text = str(board).split()
    ranks = [text[8 * r : 8 * r + 8] for r in range(8)][::-1]
    return [" PNBRQKpnbrqk".replace(" ", ".").index(symbol) for rank in ranks for symbol in rank]


@pytest.fixture(scope="module")
def games():
    return chess_games.generate(24, seed=5)


def test_tokens_by_hand():
    assert boards.move_tokens(chess.Move.from_uci("e2e4")) == (12, 28)
    assert boards.move_tokens(chess.Move.from_uci("a7a8q")) == (48, 64)
    assert boards.move_tokens(chess.Move.from_uci("g2h1n")) == (14, 64 + 24 + 7)


def test_every_legal_move_survives_its_tokens():
    for fen in (
        chess.STARTING_FEN,
        "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N w - - 0 1",
        "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1",
    ):
        moves = list(chess.Board(fen).legal_moves)
        tokens = [boards.move_tokens(move) for move in moves]
        assert len(set(tokens)) == len(moves)
        assert [boards.token_move(*pair) for pair in tokens] == moves


def test_boards_of_an_eventful_game():
    """Castling on both wings, en passant, promotion to queen and knight, as python-chess plays them."""
    game = as_game(EVENTFUL)
    states = boards.board_states(game)
    board = chess.Board()
    for ply, uci in enumerate(EVENTFUL):
        assert states[0, ply].tolist() == slow_array(board)
        board.push_uci(uci)


def test_boards_of_generated_games(games):
    states = boards.board_states(games.tokens)
    for g, row in enumerate(games.tokens):
        board = chess.Board()
        for ply, (start, goal) in enumerate(row.reshape(-1, 2).tolist()):
            assert states[g, ply].tolist() == slow_array(board)
            if start >= 0:
                board.push(boards.token_move(start, goal))


def test_legal_moves_against_stored_options(games):
    assert (boards.legal_moves(games.tokens) == games.legal()).all()


def test_legal_moves_by_hand():
    """At the start ten pieces can move; the knight on g1 may go to f3 and h3."""
    legal = boards.legal_moves(as_game(["g1f3"]))
    assert np.flatnonzero(legal[0, 0]).tolist() == [1, 6, *range(8, 16)]
    assert np.flatnonzero(legal[0, 1]).tolist() == [21, 23]


def test_model_input_is_shifted_by_one():
    game = as_game(["e2e4"], n_plies=2)
    assert boards.encode(game).tolist() == [[96, 12, 28, 96]]
    assert boards.to_move(game).tolist() == [[1, 0]]


def test_finished_games_repeat_the_last_board():
    """Fool's mate: nothing is legal afterwards and nobody is to move."""
    mate = ["f2f3", "e7e5", "g2g4", "d8h4"]
    game = as_game(mate, n_plies=6)
    states = boards.board_states(game)
    assert (states[0, 4] == states[0, 5]).all()
    assert not boards.legal_moves(game)[0, 8:].any()
    assert boards.to_move(game)[0].tolist() == [1, 2, 1, 2, 0, 0]
    assert boards.board_at(game, 0, 4).is_checkmate()


def test_targets_are_the_players_distribution():
    """A random white: 20 first moves, 4 of them by knights; each knight has two squares to go to."""
    games = chess_games.generate(3, seed=0, n_plies=1, mixture=(1, 0, 0))
    targets = games.targets()
    for g in range(3):
        assert targets[g, 0, 1] == pytest.approx(2 / 20)
        assert targets[g, 0, 8] == pytest.approx(2 / 20)
        assert np.sort(targets[g, 1])[-2:].tolist() == [0.5, 0.5]


def test_targets_of_every_player_add_up_and_are_legal(games):
    targets, legal = games.targets(), games.legal()
    played = games.tokens >= 0
    np.testing.assert_allclose(targets.sum(-1), played, atol=1e-6)
    assert not targets[~legal].any()
    rows = np.where(played, games.tokens, 0).astype(int)
    chosen = np.take_along_axis(targets, rows[..., None], -1)[..., 0]
    assert (chosen[played] > 0).all()


def test_greedy_takes_the_queen():
    board = chess.Board("4k3/8/8/3q1p2/4P3/8/8/4K3 w - - 0 1")
    assert [m.uci() for m in chess_players.greedy(board, list(board.legal_moves))] == ["e4d5"]


def test_lookahead_leaves_the_protected_pawn():
    """Queen takes a pawn that a pawn protects: greedy does it, one reply ahead does not."""
    board = chess.Board("4k3/8/4p3/3p4/8/8/3Q4/4K3 w - - 0 1")
    moves = list(board.legal_moves)
    assert [m.uci() for m in chess_players.greedy(board, moves)] == ["d2d5"]
    assert "d2d5" not in [m.uci() for m in chess_players.lookahead(board, moves)]


def test_lookahead_mates():
    board = chess.Board("6k1/5ppp/8/8/8/8/1r6/K3R3 w - - 0 1")
    assert [m.uci() for m in chess_players.lookahead(board, list(board.legal_moves))] == ["e1e8"]


def test_lookahead_sees_a_quiet_promotion():
    """Black's pawn is about to queen; the only moves that prevent it capture or block it."""
    board = chess.Board("4k3/8/8/8/8/8/4p3/6KR w - - 0 1")
    best = {m.uci() for m in chess_players.lookahead(board, list(board.legal_moves))}
    for move in board.legal_moves:
        board.push(move)
        queens = any(reply.promotion for reply in board.legal_moves)
        board.pop()
        # Afterwards the rook or king may retake, so only the promotion itself counts one ply ahead.
        assert (move.uci() in best) == (not queens)


@pytest.mark.parametrize(
    ("fen", "uci", "won"),
    [
        ("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", "e4d5", 9),
        ("4k3/8/8/8/4Pp2/8/8/4K3 b - e3 0 1", "f4e3", 1),
        ("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7b8q", 3 + 8),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "e1g1", 0),
    ],
)
def test_gain(fen, uci, won):
    assert chess_players.gain(chess.Board(fen), chess.Move.from_uci(uci)) == won


def test_match_scores_mirror():
    """The greedy player beats the random one; a player against itself scores about one half."""
    greedy, anything = chess_players.greedy, chess_players.anything
    assert chess_players.play_match(greedy, anything, 10, seed=0, max_plies=60) > 0.6
    forwards = chess_players.play_match(greedy, anything, 1, seed=1, max_plies=40)
    assert forwards in (0.0, 0.5, 1.0)


def test_ratings_rise_with_the_player():
    ratings = [p.rating for p in PLAYERS]
    assert ratings == sorted(set(ratings))
    assert ratings[0] == 0
    games = chess_games.generate(4, seed=0, n_plies=1)
    assert games.ratings().tolist() == [[ratings[i] for i in pair] for pair in games.players]


def test_stockfish_is_optional(monkeypatch):
    monkeypatch.setattr(chess_players.shutil, "which", lambda *_, **__: None)
    assert chess_players.stockfish() is None


# Enough of the UCI protocol: thinks aloud, then plays e2e4 as white and nothing as black.
FAKE_ENGINE = """\
import sys
for line in sys.stdin:
    if line.startswith("position"):
        position = line
    elif line.startswith("go"):
        print("info string", position.strip(), line.strip())
        print("bestmove", "e2e4" if " w " in position else "(none)", flush=True)
"""


@pytest.mark.slow
def test_stockfish_plays_and_lets_the_process_end(tmp_path):
    """The engine named stockfish on the path is asked; a chooser still alive at the end keeps nothing alive."""
    engine = tmp_path / "stockfish"
    engine.write_text(f"#!{sys.executable}\n{FAKE_ENGINE}")
    engine.chmod(0o755)
    code = (
        "import chess; from utils.boards.chess_players import stockfish\n"
        "ask, board = stockfish(), chess.Board()\n"
        "print(*ask(board, [])); board.push_uci('e2e4')\n"
        "try: ask(board, [])\n"
        "except RuntimeError as error: print(error)\n"
    )
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.startswith("e2e4\nstockfish returned no move for rnbqkbnr/pppppppp/8/8/4P3"), (
        done.stderr
    )
    assert done.stderr == ""


def test_ratings_of_other_players():
    """Games between players of one's own are rated by them."""
    own = [replace(PLAYERS[0], rating=7), replace(PLAYERS[1], rating=9)]
    games = chess_games.generate(6, seed=0, n_plies=1, players=own, mixture=(0.5, 0.5))
    assert set(games.players.ravel()) == {0, 1}
    assert games.ratings(own).tolist() == [[7 + 2 * int(i) for i in pair] for pair in games.players]


def test_shards_are_resumed(tmp_path, monkeypatch):
    """A second run makes only what is missing, and a file of another size is the same games."""
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))
    monkeypatch.setattr(chess_games, "SHARD", 3)
    first = chess_games.make_shards(7)
    assert len(first) == 3
    stamp = first[0].stat().st_mtime_ns
    before = chess_games.load(first[1])
    first[1].unlink()
    assert chess_games.make_shards(7) == first
    assert first[0].stat().st_mtime_ns == stamp
    again = chess_games.load(first[1])
    assert (again.tokens == before.tokens).all()
    assert (again.options == before.options).all()
    assert not (chess_games.load(first[0]).tokens == before.tokens).all()


def test_pgn_text_and_characters():
    """The start of a game as Chess-GPT reads it, with the ids of its published example."""
    moves = [chess.Move.from_uci(m) for m in ("e2e4", "c7c5", "g1f3")]
    text = boards.pgn_text(moves)
    assert text == ";1.e4 c5 2.Nf3"
    assert boards.encode_pgn(text)[:12].tolist() == [15, 6, 4, 27, 9, 0, 25, 10, 0, 7, 4, 19]
    assert boards.pgn_moves(text) == moves
    assert boards.pgn_moves(";1.e4 c5 2.N") == moves[:2]


def test_pgn_of_an_eventful_game():
    moves = [chess.Move.from_uci(m) for m in EVENTFUL]
    text = boards.pgn_text(moves)
    assert "O-O-O" in text
    assert "=N" in text
    assert boards.pgn_moves(text) == moves
    assert len(boards.PGN_CHARACTERS) == 32
    assert boards.encode_pgn(text).max() < 32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boards.move_tokens(chess.Move.null()), "null"),
        (lambda: boards.token_move(0, 96), "96"),
        (lambda: boards.token_move(64, 0), "64"),
        (lambda: boards.encode(np.zeros((1, 3), int)), r"\(1, 3\)"),
        (lambda: boards.encode(np.array([[0, 96]])), "96"),
        (lambda: boards.board_states(np.array([[30, 31]])), "game 0, ply 0: no piece on g4"),
        (lambda: boards.legal_moves(np.array([[12, 36]])), "game 0, ply 0: e2e5"),
        (lambda: boards.board_at(as_game(["e2e4"], 3), 0, 2), "over before ply 2"),
        (lambda: boards.encode_pgn("1.e4!"), "'!'"),
        (lambda: boards.pgn_text([chess.Move.from_uci("e2e5")]), "e2e5"),
        (lambda: boards.pgn_moves(";1.e4 e4 2.Nf3"), "e4"),
        (lambda: chess_games.generate(1, 0, mixture=(1, 1, 1)), "add up to 1"),
        (lambda: chess_games.generate(-1, 0), "-1"),
        (lambda: chess_players.player("kasparov"), "kasparov"),
    ],
)
def test_bad_input_names_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
