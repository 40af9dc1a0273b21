"""Chess as a sequence of squares: tokens, boards and legal moves of many games, and the PGN text of Chess-GPT.

A game is an integer array with two columns a ply, where a piece comes from and where it goes, −1 after the game's
end. Squares count from a1 = 0 to h8 = 63, as in python-chess. A pawn that promotes goes to a token of its own,
64 + 8 × (queen 0, rook 1, bishop 2, knight 3) + file, so every ply takes exactly two tokens. Castling is the king's
move. Model input starts with token 96: input position 2i sees the board before ply i and predicts where the next piece
comes from, position 2i + 1 predicts where it goes.
"""

from collections.abc import Sequence

import chess
import numpy as np
from jaxtyping import Bool, Int, Int8

N_SQUARES = 64
START_TOKEN = 96
N_TOKENS = 97
PIECES = "PNBRQK"
PROMOTIONS = (chess.QUEEN, chess.ROOK, chess.BISHOP, chess.KNIGHT)
# The 32 characters of the published Chess-GPT in the order of their ids (Karvonen 2024, arXiv:2403.15498).
PGN_CHARACTERS = " #+-.0123456789;=BKNOQRabcdefghx"


def move_tokens(move: chess.Move) -> tuple[int, int]:
    """A move as its two tokens. Raises ValueError for the null move."""
    if not move:
        raise ValueError("the null move has no tokens")
    if move.promotion is None:
        return move.from_square, move.to_square
    return move.from_square, 64 + 8 * PROMOTIONS.index(move.promotion) + chess.square_file(move.to_square)


def token_move(start: int, goal: int) -> chess.Move:
    """The inverse of `move_tokens`. Raises ValueError for tokens that name no move."""
    if not 0 <= start < 64 or not 0 <= goal < START_TOKEN:
        raise ValueError(f"tokens {start}, {goal}: a move is a square 0–63 and a goal 0–95")
    if goal < 64:
        return chess.Move(start, goal)
    kind, file = divmod(goal - 64, 8)
    # Only white promotes from the seventh rank.
    rank = 7 if chess.square_rank(start) == 6 else 0
    return chess.Move(start, chess.square(file, rank), PROMOTIONS[kind])


def encode(games: Int[np.ndarray, "game column"]) -> Int[np.ndarray, "game pos"]:
    """Games to model input: the start token, then every column but the last, which nothing follows.

    Where a game is over the start token stands in. Raises ValueError for a token outside −1 to 95 or an odd number of
    columns.
    """
    games = np.asarray(games)
    if games.ndim != 2 or games.shape[1] % 2:
        raise ValueError(f"games has shape {games.shape}; expected (game, 2 × ply)")
    if ((games < -1) | (games >= START_TOKEN)).any():
        raise ValueError(f"tokens lie in −1 to 95; got {int(games.min())} to {int(games.max())}")
    start = np.full((len(games), 1), START_TOKEN)
    return np.concatenate([start, np.where(games < 0, START_TOKEN, games)[:, :-1]], axis=1).astype(np.int64)


def to_move(games: Int[np.ndarray, "game column"]) -> Int8[np.ndarray, "game ply"]:
    """Who plays each ply: 1 white, 2 black, 0 when the game is over."""
    played = np.asarray(games)[:, ::2] >= 0
    return np.where(played, 1 + np.arange(played.shape[1]) % 2, 0).astype(np.int8)


def board_states(games: Int[np.ndarray, "game column"]) -> Int8[np.ndarray, "game ply 64"]:
    """The board before each ply: 0 empty, 1–6 white PNBRQK, 7–12 black pnbrqk.

    After a game's end its last board is repeated. Moves are carried out, not judged: legality is for `legal_moves`.
    Raises ValueError when a move starts on an empty square.
    """
    games = np.asarray(games).astype(np.int64)
    n, n_plies = len(games), games.shape[1] // 2
    board = np.tile(board_array(chess.Board()), (n, 1))
    states = np.empty((n, n_plies, N_SQUARES), dtype=np.int8)
    for ply in range(n_plies):
        states[:, ply] = board
        rows = np.flatnonzero(games[:, 2 * ply] >= 0)
        start, goal = games[rows, 2 * ply], games[rows, 2 * ply + 1]
        _carry_out(board, rows, start, goal, ply)
    return states


def _carry_out(board: np.ndarray, rows: np.ndarray, start: np.ndarray, goal: np.ndarray, ply: int) -> None:
    white = ply % 2 == 0
    piece = board[rows, start].astype(np.int64)
    if (piece == 0).any():
        bad = int(np.flatnonzero(piece == 0)[0])
        name = chess.square_name(int(start[bad]))
        raise ValueError(f"game {int(rows[bad])}, ply {ply}: no piece on {name}")
    kind, file = np.divmod(goal - 64, 8)
    promoted = goal >= 64
    goal = np.where(promoted, file + (56 if white else 0), goal)
    # The pieces that PROMOTIONS lists, as board values: queen 5, rook 4, bishop 3, knight 2.
    piece = np.where(promoted, 5 - kind + (0 if white else 6), piece)
    king, pawn, rook = (6, 1, 4) if white else (12, 7, 10)
    passing = (piece == pawn) & (start % 8 != goal % 8) & (board[rows, goal] == 0) & ~promoted
    board[rows[passing], start[passing] // 8 * 8 + goal[passing] % 8] = 0
    board[rows, start] = 0
    board[rows, goal] = piece
    for step, corner, beside in ((2, 3, 1), (-2, -4, -1)):
        castled = (piece == king) & (goal - start == step)
        board[rows[castled], start[castled] + corner] = 0
        board[rows[castled], start[castled] + beside] = rook


def legal_moves(games: Int[np.ndarray, "game column"]) -> Bool[np.ndarray, "game column 96"]:
    """What the rules allow at each column: squares with a movable piece, then goals of the piece that was moved.

    No token is legal after a game's end. Slow (python-chess, about 300 games a second at 40 plies): for hundreds of
    games. Raises ValueError for an illegal move, naming game, ply and move.
    """
    games = np.asarray(games)
    legal = np.zeros((*games.shape, START_TOKEN), dtype=bool)
    for g, game in enumerate(games):
        board = chess.Board()
        for ply, (start, goal) in enumerate(game.reshape(-1, 2).tolist()):
            if start < 0:
                break
            move = token_move(start, goal)
            for candidate in board.legal_moves:
                first, second = move_tokens(candidate)
                legal[g, 2 * ply, first] = True
                if first == start:
                    legal[g, 2 * ply + 1, second] = True
            if not board.is_legal(move):
                raise ValueError(f"game {g}, ply {ply}: {move.uci()} is not legal")
            board.push(move)
    return legal


def mine_and_theirs(
    boards: Int[np.ndarray, "*batch 64"], mover: Int[np.ndarray, "*batch"]
) -> Int[np.ndarray, "*batch 64"]:
    """Boards seen by the player to move: 0 empty, 1–6 mine PNBRQK, 7–12 theirs. mover: 1 white, 2 black."""
    boards, mover = np.asarray(boards), np.asarray(mover)
    return np.where((mover == 2)[..., None] & (boards != 0), (boards + 5) % 12 + 1, boards)


def board_at(games: Int[np.ndarray, "game column"], game: int, ply: int) -> chess.Board:
    """The python-chess board of one game before one ply, with its castling and en-passant rights."""
    board = chess.Board()
    for start, goal in np.asarray(games)[game, : 2 * ply].reshape(-1, 2).tolist():
        if start < 0:
            raise ValueError(f"game {game} is over before ply {ply}")
        board.push(token_move(start, goal))
    return board


def board_array(board: chess.Board) -> Int8[np.ndarray, "64"]:
    """A python-chess board as the classes of `board_states`."""
    squares = np.zeros(N_SQUARES, dtype=np.int8)
    for square, piece in board.piece_map().items():
        squares[square] = piece.piece_type + (0 if piece.color == chess.WHITE else 6)
    return squares


def pgn_text(moves: Sequence[chess.Move]) -> str:
    """A game as Chess-GPT reads it: `;1.e4 e5 2.Nf3 Nc6` (Karvonen 2024, arXiv:2403.15498). Raises ValueError for an
    illegal move."""
    board, parts = chess.Board(), []
    for i, move in enumerate(moves):
        if not board.is_legal(move):
            raise ValueError(f"ply {i}: {move.uci()} is not legal")
        parts.append((f"{i // 2 + 1}." if i % 2 == 0 else "") + board.san_and_push(move))
    return ";" + " ".join(parts)


def encode_pgn(text: str) -> Int[np.ndarray, "pos"]:
    """PGN characters to the ids of the published Chess-GPT. Raises ValueError for a character that it lacks."""
    unknown = sorted(set(text) - set(PGN_CHARACTERS))
    if unknown:
        raise ValueError(f"Chess-GPT has no character {unknown[0]!r}; it knows {PGN_CHARACTERS!r}")
    return np.array([PGN_CHARACTERS.index(c) for c in text], dtype=np.int64)


def pgn_moves(text: str) -> list[chess.Move]:
    """The moves of a `pgn_text`, a cut-off last move left out. Raises ValueError for an illegal move before it."""
    board = chess.Board()
    words = text.removeprefix(";").split()
    for i, word in enumerate(words):
        try:
            board.push_san(word.split(".")[-1])
        except ValueError:
            if i < len(words) - 1:
                raise
    return list(board.move_stack)
