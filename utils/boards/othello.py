"""Othello on bitboards: many games at once, one uint64 a colour and game.

Squares count row by row, 0 to 63; bit s of a board is square s. Black moves first. A player without a legal move
passes; a pass is no move and takes no place in a game, so a game is at most 60 squares, and fewer when neither
player can move before the board is full.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8, UInt64
from numpy.typing import NDArray

EMPTY, BLACK, WHITE = 0, 1, 2
N_SQUARES = 64
MAX_MOVES = 60
CENTRE = (27, 28, 35, 36)
N_TOKENS = 61
# Token 0 stands for "no move"; 1 to 60 are the squares outside the centre in order. It is the vocabulary of the
# published Othello-GPT, so one encoder serves both models.
TOKEN_SQUARES = np.array([-1] + [s for s in range(N_SQUARES) if s not in CENTRE], dtype=np.int64)
_SQUARE_TOKENS = np.full(N_SQUARES + 1, -1, dtype=np.int64)
_SQUARE_TOKENS[TOKEN_SQUARES] = np.arange(N_TOKENS)

_START_BLACK = np.uint64((1 << 28) | (1 << 35))
_START_WHITE = np.uint64((1 << 27) | (1 << 36))

_NOT_LEFT = 0xFEFEFEFEFEFEFEFE
_NOT_RIGHT = 0x7F7F7F7F7F7F7F7F
_ALL = 0xFFFFFFFFFFFFFFFF
# One step along each direction: (shift towards higher squares?, by how much, squares a step may land on). The
# mask keeps a step off the board's side from coming back in on the other.
_STEPS = tuple(
    (up, np.uint64(amount), np.uint64(mask))
    for up, amount, mask in (
        (True, 1, _NOT_LEFT),
        (True, 7, _NOT_RIGHT),
        (True, 8, _ALL),
        (True, 9, _NOT_LEFT),
        (False, 1, _NOT_RIGHT),
        (False, 7, _NOT_LEFT),
        (False, 8, _ALL),
        (False, 9, _NOT_RIGHT),
    )
)
# Small enough that the dozen arrays of a chunk stay in the processor's cache.
_CHUNK = 4096

Bitboards = NDArray[np.uint64]


@dataclass(frozen=True)
class Positions:
    """What holds after each move of each game; after a game's end its last position is repeated."""

    black: UInt64[np.ndarray, "game move"]
    white: UInt64[np.ndarray, "game move"]
    to_move: Int8[np.ndarray, "game move"]
    legal: UInt64[np.ndarray, "game move"]


def random_games(n: int, seed: int) -> Int8[np.ndarray, "game 60"]:
    """Games of two players who choose uniformly among the legal moves.

    Returns the squares played, −1 after a game's end; the same n and seed give the same games. Raises ValueError when
    n is negative.
    Source of the training distribution: Li et al. 2023, arXiv:2210.13382, section 2 (synthetic data set).
    """
    if n < 0:
        raise ValueError(f"n is {n}; ask for zero games or more")
    rng = np.random.default_rng(seed)
    chunks = [_play(min(_CHUNK, n - start), rng) for start in range(0, n, _CHUNK)]
    return np.concatenate(chunks) if chunks else np.empty((0, MAX_MOVES), dtype=np.int8)


def replay(games: Int[np.ndarray, "game move"]) -> Positions:
    """Play recorded games through the rules.

    games: squares played, −1 after a game's end (fewer than 60 columns are fine: the positions of unfinished games).
    Raises ValueError for an illegal move, naming game, move and square.
    """
    positions, wrong = _replay(games)
    if len(wrong):
        game, move = wrong[0]
        raise ValueError(f"game {game}, move {move}: square {int(games[game][move])} is not a legal move")
    return positions


def is_legal(games: Int[np.ndarray, "game move"]) -> Bool[np.ndarray, "game"]:
    """Which of some sequences of moves the rules allow from beginning to end; −1 after a game's end."""
    legal = np.ones(len(games), dtype=bool)
    legal[[game for game, _ in _replay(games)[1]]] = False
    return legal


def board_states(games: Int[np.ndarray, "game move"]) -> Int8[np.ndarray, "game move 64"]:
    """The board after each move: 0 empty, 1 black, 2 white. After a game's end the last board is repeated."""
    positions = replay(games)
    return (unpack(positions.black) * BLACK + unpack(positions.white) * WHITE).astype(np.int8)


def to_move(games: Int[np.ndarray, "game move"]) -> Int8[np.ndarray, "game move"]:
    """Who plays next after each move, passes counted: 1 black, 2 white, 0 when the game is over."""
    return replay(games).to_move


def legal_moves(games: Int[np.ndarray, "game move"]) -> Bool[np.ndarray, "game move 64"]:
    """The squares where the next player may play after each move; none when the game is over."""
    return unpack(replay(games).legal)


def legal_moves_on(
    boards: Int[np.ndarray, "*batch 64"], mover: Int[np.ndarray, "*batch"]
) -> Bool[np.ndarray, "*batch 64"]:
    """The legal squares on any boards, reached by play or edited.

    boards: 0 empty, 1 black, 2 white. mover: 1 black, 2 white (0 for nobody: no square is legal).
    """
    boards, mover = np.asarray(boards), np.asarray(mover)
    if boards.shape[-1:] != (N_SQUARES,) or boards.shape[:-1] != mover.shape:
        raise ValueError(f"boards {boards.shape} and mover {mover.shape} should be (…, 64) and (…)")
    moves = _moves(*_own_and_other(boards, mover))
    return unpack(np.where(mover == EMPTY, np.uint64(0), moves))


def capture_lines(
    boards: Int[np.ndarray, "*batch 64"], mover: Int[np.ndarray, "*batch"]
) -> Int8[np.ndarray, "*batch 64"]:
    """In how many of the eight directions a move to each square would turn discs: 0 where the move is illegal.

    boards: 0 empty, 1 black, 2 white. mover: 1 black, 2 white.
    """
    own, other = _own_and_other(np.asarray(boards), np.asarray(mover))
    by_direction = np.stack([unpack(_moves_along(step, own, other)) for step in _STEPS])
    return by_direction.view(np.int8).sum(axis=0, dtype=np.int8)


def _own_and_other(boards: NDArray[Any], mover: NDArray[Any]) -> tuple[Bitboards, Bitboards]:
    """The discs of the player to move and of the other."""
    black, white = pack(boards == BLACK), pack(boards == WHITE)
    return np.where(mover == BLACK, black, white), np.where(mover == BLACK, white, black)


def mine_and_theirs(
    boards: Int[np.ndarray, "*batch 64"], mover: Int[np.ndarray, "*batch"]
) -> Int[np.ndarray, "*batch 64"]:
    """Boards seen by the player to move: 0 empty, 1 mine, 2 theirs. mover: 1 black, 2 white."""
    boards, mover = np.asarray(boards), np.asarray(mover)
    return np.where((mover == WHITE)[..., None] & (boards != EMPTY), 3 - boards, boards)


def is_reachable(
    boards: Int[np.ndarray, "*batch 64"], mover: Int[np.ndarray, "*batch"], n_moves: int
) -> Bool[np.ndarray, "*batch"]:
    """Whether some game leads to the board with this player to move after n_moves moves.

    Answered by playing every game of that length. Raises ValueError for n_moves outside 0 … 9: there are two million
    boards after nine moves, and the number grows sevenfold with each.
    """
    if not 0 <= n_moves <= 9:
        raise ValueError(f"n_moves is {n_moves}: only boards of the first 9 moves can be listed")
    boards, mover = np.asarray(boards), np.asarray(mover)
    asked = _keys(pack(boards == BLACK), pack(boards == WHITE), mover)
    return np.isin(asked, _reachable_keys(n_moves)).reshape(mover.shape)


@cache
def _reachable_keys(n_moves: int) -> NDArray[np.void]:
    own, other, colour, moves = _start(1)
    for _ in range(n_moves):
        parent, square = np.nonzero(unpack(moves))
        own, other, colour, moves = _step(
            own[parent], other[parent], colour[parent], moves[parent], _bit_of(square)
        )
        is_black = colour == BLACK
        keys = _keys(np.where(is_black, own, other), np.where(is_black, other, own), colour)
        _, first = np.unique(keys, return_index=True)
        own, other, colour, moves = own[first], other[first], colour[first], moves[first]
    is_black = colour == BLACK
    return _keys(np.where(is_black, own, other), np.where(is_black, other, own), colour)


def _keys(black: NDArray[Any], white: NDArray[Any], mover: NDArray[Any]) -> NDArray[np.void]:
    """Positions as single values that can be compared and sorted."""
    columns = [np.ravel(part).astype(np.uint64) for part in (black, white, mover)]
    return np.stack(columns, axis=1).view([("black", "<u8"), ("white", "<u8"), ("mover", "<u8")])[:, 0]


def encode(games: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
    """Squares to tokens 1 to 60; −1 (no move) to token 0. Raises ValueError for a centre square or one off board."""
    games = np.asarray(games).astype(np.int64)
    bad = (games < -1) | (games >= N_SQUARES) | np.isin(games, CENTRE)
    if bad.any():
        raise ValueError(
            f"square {int(games[bad][0])} has no token; moves are squares 0–63 outside {CENTRE}, or −1"
        )
    return _SQUARE_TOKENS[games]


def decode(tokens: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
    """Tokens to squares; token 0 becomes −1. Raises ValueError for a token outside 0–60."""
    tokens = np.asarray(tokens)
    if ((tokens < 0) | (tokens >= N_TOKENS)).any():
        raise ValueError(f"tokens lie in 0–60; got {int(tokens.min())} to {int(tokens.max())}")
    return TOKEN_SQUARES[tokens]


def pack(squares: Bool[np.ndarray, "*batch 64"]) -> UInt64[np.ndarray, "*batch"]:
    """64 booleans to one bitboard."""
    packed = np.packbits(squares, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8")[..., 0].astype(np.uint64)


def unpack(bits: UInt64[np.ndarray, "*batch"]) -> Bool[np.ndarray, "*batch 64"]:
    """One bitboard to 64 booleans."""
    # Not ascontiguousarray, which would make an axis for a single board.
    as_bytes = np.asarray(bits, dtype="<u8", order="C")[..., None].view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little").view(bool)


def _replay(games: Int[np.ndarray, "game move"]) -> tuple[Positions, list[tuple[int, int]]]:
    """The positions, and (game, move) of the first illegal move of each game, after which the game stands still."""
    games = np.asarray(games)
    if games.ndim != 2 or games.dtype.kind not in "iu":
        raise ValueError(
            f"games has shape {games.shape} and dtype {games.dtype}; expected integers (game, move)"
        )
    n, n_moves = games.shape
    black, white, legal = (np.empty((n, n_moves), dtype=np.uint64) for _ in range(3))
    to_move = np.empty((n, n_moves), dtype=np.int8)
    found: list[tuple[int, int]] = []
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        own, other, colour, moves = _start(len(games[part]))
        stopped = np.zeros(len(own), dtype=bool)
        for i in range(n_moves):
            square = games[part, i]
            move = _bit_of(square)
            wrong = (square >= 0) & ((move & moves) == 0) | (square < -1) | (square >= N_SQUARES)
            wrong &= ~stopped
            if wrong.any():
                found += [(start + int(game), i) for game in np.flatnonzero(wrong)]
                stopped |= wrong
            if stopped.any():
                move = np.where(stopped, np.uint64(0), move)
            own, other, colour, moves = _step(own, other, colour, moves, move)
            is_black = colour == BLACK
            black[part, i] = np.where(is_black, own, other)
            white[part, i] = np.where(is_black, other, own)
            to_move[part, i] = np.where(moves == 0, EMPTY, colour)
            legal[part, i] = moves
    return Positions(black, white, to_move, legal), sorted(found)


def _play(n: int, rng: np.random.Generator) -> Int8[np.ndarray, "game 60"]:
    games = np.full((n, MAX_MOVES), -1, dtype=np.int8)
    own, other, colour, moves = _start(n)
    for i in range(MAX_MOVES):
        if not moves.any():
            break
        square = _choose(moves, rng.random(n))
        games[:, i] = square
        own, other, colour, moves = _step(own, other, colour, moves, _bit_of(square))
    return games


def _start(n: int) -> tuple[Bitboards, Bitboards, NDArray[np.int8], Bitboards]:
    own, other = np.full(n, _START_BLACK), np.full(n, _START_WHITE)
    return own, other, np.full(n, BLACK, dtype=np.int8), _moves(own, other)


def _step(
    own: Bitboards, other: Bitboards, colour: NDArray[np.int8], moves: Bitboards, move: Bitboards
) -> tuple[Bitboards, Bitboards, NDArray[np.int8], Bitboards]:
    """Play one move in every game (move 0 leaves a game as it is) and hand over to whoever can reply."""
    flips = _flips(own, other, move)
    played = move != 0
    own, other = own | move | flips, other ^ flips
    replies = _moves(other, own)
    # The player who moved goes on when the opponent has no reply; when neither can move, `own` stays and has no moves.
    stuck = np.flatnonzero(played & (replies == 0))
    hand_over = played.copy()
    hand_over[stuck] = False
    new_own, new_other = np.where(hand_over, other, own), np.where(hand_over, own, other)
    new_moves = np.where(hand_over, replies, moves)
    new_moves[stuck] = _moves(own[stuck], other[stuck])
    new_colour = np.where(hand_over, 3 - colour, colour).astype(np.int8)
    return new_own, new_other, new_colour, new_moves


def _moves(own: Bitboards, other: Bitboards) -> Bitboards:
    """Empty squares from which a run of the other's discs ends at one's own."""
    moves = np.zeros_like(own)
    for step in _STEPS:
        moves |= _moves_along(step, own, other)
    return moves


def _moves_along(step: tuple[bool, np.uint64, np.uint64], own: Bitboards, other: Bitboards) -> Bitboards:
    """Empty squares that end a run of the other's discs which begins beside one's own and goes this way."""
    up, amount, mask = step
    shift = np.left_shift if up else np.right_shift
    inner = other & mask
    run = shift(own, amount) & inner
    for _ in range(5):
        run |= shift(run, amount) & inner
    return shift(run, amount) & mask & ~(own | other)


def _flips(own: Bitboards, other: Bitboards, move: Bitboards) -> Bitboards:
    """The discs that a move turns over."""
    flips = np.zeros_like(own)
    for up, amount, mask in _STEPS:
        shift = np.left_shift if up else np.right_shift
        inner = other & mask
        run = shift(move, amount) & inner
        for _ in range(5):
            run |= shift(run, amount) & inner
        closed = (shift(run, amount) & mask & own) != 0
        flips |= np.where(closed, run, np.uint64(0))
    return flips


def _bit_of(square: NDArray[Any]) -> Bitboards:
    bit = np.left_shift(np.uint64(1), np.maximum(square, 0).astype(np.uint64) & np.uint64(63))
    return np.where(square >= 0, bit, np.uint64(0))


def _choose(moves: Bitboards, uniform: Float[np.ndarray, "game"]) -> NDArray[np.int8]:
    """A set bit of each board, uniformly; −1 where there is none."""
    rank = (uniform * np.bitwise_count(moves)).astype(np.uint64)
    square = np.zeros(len(moves), dtype=np.uint64)
    rest = moves.copy()
    # Halve the window six times: skip the lower half when the wanted bit is not among its set bits.
    for width in (32, 16, 8, 4, 2, 1):
        low = np.bitwise_count(rest & np.uint64((1 << width) - 1)).astype(np.uint64)
        skip = rank >= low
        rank -= np.where(skip, low, np.uint64(0))
        step = np.where(skip, np.uint64(width), np.uint64(0))
        square += step
        rest >>= step
    return np.where(moves == 0, -1, square.astype(np.int64)).astype(np.int8)
