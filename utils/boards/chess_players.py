"""Players of known strength, each a distribution over the legal moves, so that a model can be trained on it exactly."""

import shutil
import subprocess
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import chess
import numpy as np

VALUES = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 0}
_MATE = 1000

Chooser = Callable[[chess.Board, Sequence[chess.Move]], list[chess.Move]]


@dataclass(frozen=True)
class Player:
    """Plays uniformly among the moves that `choose` prefers.

    rating: Elo points above the random player, measured by `play_match` (see `PLAYERS`).
    """

    name: str
    rating: float
    choose: Chooser


def anything(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
    """Every legal move alike."""
    return list(moves)


def greedy(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
    """The moves that win most material at once, whatever the reply."""
    return _best(moves, [gain(board, move) for move in moves])


def lookahead(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
    """The moves with the best material after the opponent's greediest reply; mate at once if there is one."""
    scores = []
    for move in moves:
        score = gain(board, move)
        board.push(move)
        if board.is_check() and not any(board.generate_legal_moves()):
            score = _MATE
        else:
            score -= max((gain(board, reply) for reply in _winning_replies(board)), default=0)
        board.pop()
        scores.append(score)
    return _best(moves, scores)


def gain(board: chess.Board, move: chess.Move) -> int:
    """Material that a move wins at once, in pawns (pawn 1, knight and bishop 3, rook 5, queen 9)."""
    taken = board.piece_type_at(move.to_square)
    won = VALUES[taken] if taken else 0
    if move.promotion:
        won += VALUES[move.promotion] - 1
    elif taken is None and board.is_en_passant(move):
        won = 1
    return won


def _winning_replies(board: chess.Board):
    yield from board.generate_legal_captures()
    last_ranks = chess.BB_RANK_1 | chess.BB_RANK_8
    if board.pawns & board.occupied_co[board.turn] & (chess.BB_RANK_2 | chess.BB_RANK_7):
        yield from (m for m in board.generate_legal_moves(board.pawns, last_ranks) if m.promotion)


def _best(moves: Sequence[chess.Move], scores: Sequence[float]) -> list[chess.Move]:
    best = max(scores)
    return [move for move, score in zip(moves, scores, strict=True) if score == best]


def stockfish(nodes: int = 200) -> Chooser | None:
    """A chooser that asks Stockfish to search `nodes` nodes; None where no `stockfish` program is installed.

    The engine runs until the chooser is garbage-collected or the process ends.
    """
    path = shutil.which("stockfish") or shutil.which("stockfish", path="/usr/games")
    if path is None:
        return None
    # Not chess.engine: its thread outlives the last game and keeps the process from ending.
    engine = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def choose(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
        assert engine.stdin is not None
        assert engine.stdout is not None
        print(f"position fen {board.fen()}\ngo nodes {nodes}", file=engine.stdin, flush=True)
        answer = next((line.split()[1] for line in engine.stdout if line.startswith("bestmove")), "(none)")
        if answer == "(none)":
            raise RuntimeError(f"stockfish returned no move for {board.fen()}")
        return [chess.Move.from_uci(answer)]

    weakref.finalize(choose, _stop, engine)
    return choose


def _stop(engine: subprocess.Popen) -> None:
    with engine:
        engine.kill()


# Ratings: `python -m utils.boards.chess_players`, random fixed at 0. Each step up comes from 200 games against the
# player before: greedy scores 0.741 (± 28 points, one standard error), lookahead 0.973 (± 75 points more).
PLAYERS: tuple[Player, ...] = (
    Player("random", 0, anything),
    Player("greedy", 183, greedy),
    Player("lookahead", 803, lookahead),
)


def player(name: str) -> Player:
    """The player of that name. Raises ValueError for an unknown one."""
    for candidate in PLAYERS:
        if candidate.name == name:
            return candidate
    raise ValueError(f"no player {name!r}; there are {[p.name for p in PLAYERS]}")


def play_match(first: Chooser, second: Chooser, n_games: int, seed: int, max_plies: int = 200) -> float:
    """The first player's mean score (win 1, draw ½), colours alternating.

    A game that is not over after `max_plies` goes to whoever is ahead by three pawns or more, else it is drawn.
    """
    rng = np.random.default_rng(seed)
    score = 0.0
    for g in range(n_games):
        board = chess.Board()
        first_is_white = g % 2 == 0
        while not board.is_game_over(claim_draw=False) and board.ply() < max_plies:
            chooser = first if (board.turn == chess.WHITE) == first_is_white else second
            options = chooser(board, list(board.legal_moves))
            board.push(options[rng.integers(len(options))])
        white = _white_score(board)
        score += white if first_is_white else 1 - white
    return score / n_games


def _white_score(board: chess.Board) -> float:
    outcome = board.outcome()
    if outcome is not None and outcome.winner is not None:
        return float(outcome.winner == chess.WHITE)
    lead = sum(
        value * (len(board.pieces(kind, chess.WHITE)) - len(board.pieces(kind, chess.BLACK)))
        for kind, value in VALUES.items()
    )
    return 0.5 if outcome is not None or abs(lead) < 3 else float(lead > 0)


def main() -> None:
    """Rate each player against the one before it: Elo difference 400 log10(score / (1 − score))."""
    rating = 0.0
    rated = [(p.name, p.choose) for p in PLAYERS]
    engine = stockfish()
    if engine is not None:
        rated.append(("stockfish, 200 nodes", engine))
    for (_, weaker), (name, stronger) in pairwise(rated):
        n = 200
        score = play_match(stronger, weaker, n, seed=0)
        # Half a game on either side keeps a clean sweep finite.
        score = (score * n + 0.5) / (n + 1)
        rating += 400 * np.log10(score / (1 - score))
        print(f"{name}: scores {score:.3f} against the one before, rating {rating:.0f}")


if __name__ == "__main__":
    main()
