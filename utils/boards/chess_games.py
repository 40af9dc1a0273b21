"""Games between players of known strength, with what each player might have played: made in parallel, kept in shards.

`python -m utils.boards.chess_games --games 100000 --workers 2` writes shards to the cache folder and skips those that
are there, so a killed run is resumed by the same command. A shard of 512 games takes about 0.6 MB.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import chess
import numpy as np
from jaxtyping import Bool, Float, Float32, Int8, UInt8, UInt16
from tqdm.auto import tqdm

from utils.boards.chess import START_TOKEN, move_tokens
from utils.boards.chess_players import PLAYERS, Player
from utils.storage import atomic_path, cache_folder

# Shard k has seed TRAINING_SEEDS + k; every smaller seed is free for evaluation, lessons and tests.
TRAINING_SEEDS = 1_000_000
N_PLIES = 40
SHARD = 512
# Mostly random games: they reach the widest range of positions. Both colours draw their player independently.
MIXTURE = (0.6, 0.2, 0.2)
_GOAL_SHIFT, _PREFERRED_SHIFT = 6, 13


@dataclass(frozen=True)
class ChessGames:
    """Games and, for each ply, every legal move, one 16-bit word each.

    tokens: as in `utils.boards.chess`. options: for one ply after another, start | goal << 6 | preferred << 13, where
    preferred says that the player might have chosen the move (uniformly among the preferred). n_options: how many
    words each ply has, 0 after a game's end. players: index of white and of black into the players of `generate`.
    """

    tokens: Int8[np.ndarray, "game column"]
    options: UInt16[np.ndarray, "word"]
    n_options: UInt8[np.ndarray, "game ply"]
    players: UInt8[np.ndarray, "game 2"]

    def __len__(self) -> int:
        return len(self.tokens)

    def legal(self) -> Bool[np.ndarray, "game column 96"]:
        """Squares with a movable piece at even columns; at odd ones where the piece that was moved may go."""
        return self._spread(np.ones(len(self.options), dtype=bool)) > 0

    def targets(self) -> Float32[np.ndarray, "game column 96"]:
        """The player's exact probability of each token; zeros after a game's end."""
        weight = self._spread(self.options >> _PREFERRED_SHIFT & 1 > 0)
        return (weight / np.maximum(weight.sum(-1, keepdims=True), 1)).astype(np.float32)

    def ratings(self, players: Sequence[Player] = PLAYERS) -> Float[np.ndarray, "game 2"]:
        """Elo points of white and of black above the random player. players: those that `generate` was given."""
        return np.array([p.rating for p in players], dtype=np.float64)[self.players]

    def _spread(self, counted: Bool[np.ndarray, "word"]) -> Float[np.ndarray, "game column 96"]:
        """How many counted moves begin at each square, and how many of those of the moved piece end at each goal."""
        n_columns = self.tokens.shape[1]
        ply = np.repeat(np.arange(self.n_options.size), self.n_options.ravel())
        start = (self.options & 63).astype(np.int64)
        goal = (self.options >> _GOAL_SHIFT & 127).astype(np.int64)
        same_piece = counted & (start == self.tokens[:, ::2].ravel()[ply])
        cells = np.concatenate(
            [
                2 * ply[counted] * START_TOKEN + start[counted],
                (2 * ply[same_piece] + 1) * START_TOKEN + goal[same_piece],
            ]
        )
        counts = np.bincount(cells, minlength=len(self) * n_columns * START_TOKEN)
        return counts.reshape(len(self), n_columns, START_TOKEN).astype(np.float32)


def generate(
    n: int,
    seed: int,
    n_plies: int = N_PLIES,
    players: Sequence[Player] = PLAYERS,
    mixture: Sequence[float] = MIXTURE,
    progress: bool = False,
) -> ChessGames:
    """Play n games, each cut off after n_plies; with a progress bar where asked for.

    mixture: how often each of `players` is drawn, for white and black independently. Raises ValueError when the
    mixture does not fit the players or n is negative.
    """
    if len(mixture) != len(players) or min(mixture) < 0 or not np.isclose(sum(mixture), 1):
        raise ValueError(f"mixture {tuple(mixture)} should be {len(players)} probabilities that add up to 1")
    if n < 0:
        raise ValueError(f"n is {n}; ask for zero games or more")
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(players), size=(n, 2), p=mixture).astype(np.uint8)
    tokens = np.full((n, 2 * n_plies), -1, dtype=np.int8)
    n_options = np.zeros((n, n_plies), dtype=np.uint8)
    options: list[int] = []
    for g in tqdm(range(n), desc="chess games", leave=False, disable=not progress):
        board = chess.Board()
        for ply in range(n_plies):
            legal = list(board.legal_moves)
            if not legal:
                break
            preferred = players[drawn[g, ply % 2]].choose(board, legal)
            chosen = set(preferred)
            for move in legal:
                start, goal = move_tokens(move)
                options.append(start | goal << _GOAL_SHIFT | (move in chosen) << _PREFERRED_SHIFT)
            move = preferred[rng.integers(len(preferred))]
            tokens[g, 2 * ply : 2 * ply + 2] = move_tokens(move)
            n_options[g, ply] = len(legal)
            board.push(move)
    return ChessGames(tokens, np.array(options, dtype=np.uint16), n_options, drawn)


def save(games: ChessGames, path: Path) -> None:
    """Write games as a compressed .npz, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **{f.name: getattr(games, f.name) for f in fields(games)})


def load(path: Path) -> ChessGames:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return ChessGames(**{f.name: stored[f.name] for f in fields(ChessGames)})


def shard_path(index: int) -> Path:
    """Where training shard `index` lies."""
    return cache_folder("boards", "chess_games") / f"games_{index:05d}.npz"


def make_shards(n_games: int, workers: int = 1) -> list[Path]:
    """Make the shards that are missing among the first n_games / 512 (rounded up); return all their paths."""
    paths = [shard_path(k) for k in range(-(-n_games // SHARD))]
    missing = [k for k, path in enumerate(paths) if not path.exists()]
    if missing and workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(partial(_make_shard, folder=paths[0].parent), missing))
    else:
        for k in missing:
            _make_shard(k, paths[0].parent)
    return paths


def _make_shard(index: int, folder: Path) -> None:
    save(generate(SHARD, TRAINING_SEEDS + index), folder / f"games_{index:05d}.npz")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.boards.chess_games", description=__doc__)
    parser.add_argument("--games", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    paths = make_shards(options.games, options.workers)
    print(f"{len(paths)} shards, {sum(p.stat().st_size for p in paths) / 1e6:.0f} MB, in {paths[0].parent}")


if __name__ == "__main__":
    main()
