"""Recorded games as tensors, ready for a model and its probes: tokens, boards, who moves next, legal moves."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import chess, chess_games, othello
from utils.storage import cache_folder

# Most random games fill the board; this many more are played, so that enough are left when the others go.
_SPARE = 1.05


@dataclass(frozen=True)
class OthelloRecords:
    """Random Othello games, seen after each of their first 59 moves. No game ends early.

    tokens: model input. boards: 0 empty, 1 black, 2 white. to_move: who moves next, 1 black, 2 white. legal: where they
    may. moves: the squares that were played.
    """

    tokens: Int[Tensor, "game move"]
    boards: Int[Tensor, "game move square"]
    to_move: Int[Tensor, "game move"]
    legal: Bool[Tensor, "game move square"]
    moves: Int[Tensor, "game move"]


@dataclass(frozen=True)
class ChessRecords:
    """Chess games of up to 40 plies between players of known strength, seen before each ply.

    tokens: model input, two columns a ply. boards: 0 empty, 1–6 white PNBRQK, 7–12 black. to_move: 1 white, 2 black, 0
    when the game is over (one in twelve ends in mate before ply 40): its last board is then repeated, and nothing is
    legal. legal: at even columns the squares that a piece may leave, at odd ones where the moved piece may go (tokens,
    promotions included). ratings: of white and black, Elo points above the random player. columns: the games as
    `utils.boards.chess` writes them.
    """

    tokens: Int[Tensor, "game column"]
    boards: Int[Tensor, "game ply square"]
    to_move: Int[Tensor, "game ply"]
    legal: Bool[Tensor, "game column token"]
    ratings: Float[Tensor, "game 2"]
    columns: Int[Tensor, "game column"]


def othello_records(n: int, seed: int) -> OthelloRecords:
    """n games of two players who choose uniformly among the legal moves; of random games, those that fill the board
    (99 in 100). Raises ValueError when n is negative."""
    played = othello.random_games(int(n * _SPARE) + 10 if n >= 0 else n, seed)
    complete = played[(played >= 0).all(axis=1)][:n]
    assert len(complete) == n, f"only {len(complete)} of {len(played)} games fill the board"
    games = complete[:, :59]
    return OthelloRecords(
        tokens=torch.from_numpy(othello.encode(games)),
        boards=torch.from_numpy(othello.board_states(games)).long(),
        to_move=torch.from_numpy(othello.to_move(games)).long(),
        legal=torch.from_numpy(othello.legal_moves(games)),
        moves=torch.from_numpy(games).long(),
    )


def chess_records(n: int, seed: int) -> ChessRecords:
    """n games, both players drawn independently from `chess_players.PLAYERS`; kept in the cache folder, since players
    that think take their time. Raises ValueError when n is negative."""
    path = cache_folder("boards", "chess_records") / f"{n}_games_seed_{seed}.npz"
    if not path.exists():
        chess_games.save(chess_games.generate(n, seed, progress=True), path)
    games = chess_games.load(path)
    return ChessRecords(
        tokens=torch.from_numpy(chess.encode(games.tokens)),
        boards=torch.from_numpy(chess.board_states(games.tokens)).long(),
        to_move=torch.from_numpy(chess.to_move(games.tokens)).long(),
        legal=torch.from_numpy(games.legal()),
        ratings=torch.from_numpy(games.ratings()),
        columns=torch.from_numpy(games.tokens).long(),
    )
