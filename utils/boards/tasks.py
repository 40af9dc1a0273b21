"""What the trainer needs to know of each game: the model's shape, endless training games, unseen games."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import chess, chess_games, othello
from utils.boards.chess_games import TRAINING_SEEDS, ChessGames
from utils.boards.model import BoardConfig

OTHELLO_CONFIG = BoardConfig(d_model=192, n_layers=5, n_heads=6, n_ctx=59, d_vocab=othello.N_TOKENS)
# As wide as five blocks can be within the eight megabytes that a committed model may take.
CHESS_CONFIG = BoardConfig(
    d_model=252, n_layers=5, n_heads=7, n_ctx=2 * chess_games.N_PLIES, d_vocab=chess.N_TOKENS
)
CHESS_TRAINING_GAMES = 100_000
_CHUNK = 4096
_VALIDATION_SEED = 0


@dataclass(frozen=True)
class Games:
    """Games ready for the model. A position with no target (all zeros) does not count."""

    tokens: Int[Tensor, "game pos"]
    targets: Float[Tensor, "game pos d_vocab"]


@dataclass(frozen=True)
class UnseenGames(Games):
    """Games to judge a model on."""

    legal: Bool[Tensor, "game pos d_vocab"]


class Task(Protocol):
    """What a game must offer to be trained on."""

    @property
    def config(self) -> BoardConfig: ...

    def chunks(self, start: int) -> Iterator[Games]:
        """Endless training games, chunk `start` first: a resumed run goes on where it stopped."""
        ...

    def validation(self, n_games: int) -> UnseenGames:
        """Games that training never sees."""
        ...


def make_task(game: str, workers: int = 1) -> Task:
    """The task named "othello" or "chess"; for chess the training games that are missing are made first."""
    if game == "othello":
        return OthelloTask()
    if game == "chess":
        return ChessTask(tuple(chess_games.make_shards(CHESS_TRAINING_GAMES, workers)))
    raise ValueError(f"no game {game!r}; there are 'othello' and 'chess'")


@dataclass(frozen=True)
class OthelloTask:
    """Games of two uniformly random players; the target is uniform over the legal moves."""

    config: BoardConfig = OTHELLO_CONFIG

    def chunks(self, start: int) -> Iterator[Games]:
        while True:
            yield self.games(_CHUNK, TRAINING_SEEDS + start)
            start += 1

    def validation(self, n_games: int, seed: int = _VALIDATION_SEED) -> UnseenGames:
        return self.games(n_games, seed)

    def games(self, n_games: int, seed: int) -> UnseenGames:
        """Random games as model input: moves 1 to 59, each with the legal replies as its target."""
        games = othello.random_games(n_games, seed)[:, : self.config.n_ctx]
        tokens = torch.from_numpy(othello.encode(games))
        squares = torch.from_numpy(othello.legal_moves(games))
        legal = torch.zeros(*tokens.shape, othello.N_TOKENS, dtype=torch.bool)
        legal[..., 1:] = squares[..., othello.TOKEN_SQUARES[1:]]
        targets = legal.float()
        targets /= targets.sum(-1, keepdim=True).clamp(min=1)
        return UnseenGames(tokens, targets, legal)


@dataclass(frozen=True)
class ChessTask:
    """Games between players of three strengths; the target is the distribution of whoever is to move."""

    shards: tuple[Path, ...]
    config: BoardConfig = CHESS_CONFIG

    def chunks(self, start: int) -> Iterator[Games]:
        if not self.shards:
            raise ValueError(
                "there are no games to train on; make some with python -m utils.boards.chess_games"
            )
        while True:
            epoch, k = divmod(start, len(self.shards))
            order = np.random.default_rng([TRAINING_SEEDS, epoch]).permutation(len(self.shards))
            games = chess_games.load(self.shards[order[k]])
            yield Games(torch.from_numpy(chess.encode(games.tokens)), _padded(games.targets()))
            start += 1

    def validation(self, n_games: int, seed: int = _VALIDATION_SEED) -> UnseenGames:
        return self.prepare(chess_games.generate(n_games, seed))

    def prepare(self, games: ChessGames) -> UnseenGames:
        """Chess games as model input, each position with the mover's distribution as its target."""
        tokens = torch.from_numpy(chess.encode(games.tokens))
        return UnseenGames(tokens, _padded(games.targets()), _padded(games.legal()))


def _padded(columns: np.ndarray) -> Tensor:
    """Add the start token, which nobody ever plays, to the vocabulary axis."""
    return torch.from_numpy(np.pad(columns, ((0, 0), (0, 0), (0, 1))))
