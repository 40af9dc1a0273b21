"""How good a board model is: legal moves on unseen games, and a linear probe of the board at every layer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import chess, chess_games, othello
from utils.boards.tasks import UnseenGames

Streams = Callable[[Int[Tensor, "game pos"]], Sequence[Float[Tensor, "game pos d_model"]]]


@dataclass(frozen=True)
class Quality:
    """Quality on unseen games. `floor` is the loss of a perfect model: the entropy of the targets, in nats."""

    loss: float
    floor: float
    top1_legal: float
    legal_mass: float


@torch.no_grad()
def measure(model: torch.nn.Module, games: UnseenGames, micro: int = 128) -> Quality:
    """Mean over the positions that have a target. Raises ValueError when none has.

    model: tokens "game pos" to logits "game pos d_vocab". Top-1 legal: the most probable move is legal. Legal mass: the
    probability on legal moves.
    """
    loss = floor = top = mass = count = 0.0
    for start in range(0, len(games.tokens), micro):
        part = slice(start, start + micro)
        targets, legal = games.targets[part], games.legal[part]
        log_p = model(games.tokens[part]).float().log_softmax(-1)
        seen = targets.sum(-1) > 0
        count += seen.sum().item()
        loss -= (targets * log_p).sum().item()
        floor -= torch.xlogy(targets, targets).sum().item()
        top += legal.gather(-1, log_p.argmax(-1, keepdim=True)).squeeze(-1)[seen].sum().item()
        mass += (log_p.exp() * legal).sum(-1)[seen].sum().item()
    if count == 0:
        raise ValueError("no position has a target: every game is over")
    return Quality(loss / count, floor / count, top / count, mass / count)


@dataclass(frozen=True)
class BoardLabels:
    """Tokens with the board at some of their positions.

    tokens: model input. positions: where a board is known and probed. boards: the boards of those positions, game by
    game, states 0 to n_states − 1.
    """

    tokens: Int[Tensor, "game pos"]
    positions: Bool[Tensor, "game pos"]
    boards: Int[Tensor, "position square"]
    n_states: int


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy over all probed positions and squares of unseen games: by layer (0 is the embedding) and of always
    naming the state that is most common on the square in the training games."""

    by_layer: tuple[float, ...]
    majority: float

    @property
    def best_layer(self) -> int:
        return max(range(len(self.by_layer)), key=self.by_layer.__getitem__)


def board_labels(game: str, n_games: int, seed: int, relative: bool) -> BoardLabels:
    """Games with their boards: for Othello after each of the first 59 moves, for chess before each ply.

    relative: count colours from the player to move (1 mine, 2 theirs; in chess 1–6 mine, 7–12 theirs) instead of as
    black and white. Finished games are not probed.
    """
    if game == "othello":
        games = othello.random_games(n_games, seed)[:, :59]
        tokens, boards, mover = othello.encode(games), othello.board_states(games), othello.to_move(games)
        seen_by_mover, positions, n_states = othello.mine_and_theirs, mover > 0, 3
    elif game == "chess":
        games = chess_games.generate(n_games, seed).tokens
        tokens, boards, mover = chess.encode(games), chess.board_states(games), chess.to_move(games)
        seen_by_mover, n_states = chess.mine_and_theirs, 13
        positions = np.zeros(tokens.shape, dtype=bool)
        positions[:, ::2] = mover > 0
    else:
        raise ValueError(f"no game {game!r}; there are 'othello' and 'chess'")
    if relative:
        boards = seen_by_mover(boards, mover)
    return BoardLabels(
        torch.from_numpy(tokens), torch.from_numpy(positions), torch.from_numpy(boards[mover > 0]), n_states
    )


def probe_board(streams: Streams, train: BoardLabels, test: BoardLabels, l2: float = 1.0) -> ProbeResult:
    """Fit one-hot ridge regressions from the residual stream to every square's state, layer by layer.

    streams: tokens to the residual stream of each layer. l2: penalty on the weights (centred features, raw units).
    Source: the linear probe of Nanda et al. 2023, arXiv:2309.00941, fitted in closed form.
    """
    if train.n_states != test.n_states:
        raise ValueError(f"training boards have {train.n_states} states, test boards {test.n_states}")
    # State by state: the one-hot boards of all games at once would take gigabytes.
    onehot_mean = torch.stack([(train.boards == s).double().mean(0) for s in range(train.n_states)], -1)
    majority = (test.boards == onehot_mean.argmax(-1)).double().mean().item()
    moments = [_Moments(onehot_mean.flatten()) for _ in streams(train.tokens[:1])]
    for acts, boards in _batches(streams, train):
        onehot = torch.nn.functional.one_hot(boards.long(), train.n_states).double().flatten(1)
        for moment, x in zip(moments, acts, strict=True):
            moment.add(x, onehot)
    weights = [moment.solve(l2) for moment in moments]
    right, count = torch.zeros(len(weights), dtype=torch.float64), 0
    for acts, boards in _batches(streams, test):
        count += boards.numel()
        for layer, (x, (weight, bias)) in enumerate(zip(acts, weights, strict=True)):
            states = (x.double() @ weight + bias).unflatten(1, (-1, train.n_states)).argmax(-1)
            right[layer] += (states == boards).sum()
    return ProbeResult(tuple((right / count).tolist()), majority)


class _Moments:
    """What ridge regression needs of the data, gathered batch by batch."""

    def __init__(self, y_mean: Float[Tensor, "output"]) -> None:
        self.y_mean = y_mean
        self.count = 0
        self.xx = self.xy = self.x = torch.zeros((), dtype=torch.float64)

    def add(self, x: Float[Tensor, "position d_model"], y: Float[Tensor, "position output"]) -> None:
        x = x.double()
        self.count += len(x)
        self.x = self.x + x.sum(0)
        self.xx = self.xx + x.T @ x
        self.xy = self.xy + x.T @ (y - self.y_mean)

    def solve(self, l2: float) -> tuple[Float[Tensor, "d_model output"], Float[Tensor, "output"]]:
        mean = self.x / self.count
        gram = self.xx - self.count * torch.outer(mean, mean)
        weight = torch.linalg.solve(gram + l2 * torch.eye(len(mean), dtype=torch.float64), self.xy)
        return weight, self.y_mean - mean @ weight


@torch.no_grad()
def _batches(streams: Streams, labels: BoardLabels, size: int = 100) -> Iterator[tuple[list[Tensor], Tensor]]:
    offset = 0
    for start in range(0, len(labels.tokens), size):
        keep = labels.positions[start : start + size]
        n = int(keep.sum())
        yield (
            [x[keep] for x in streams(labels.tokens[start : start + size])],
            labels.boards[offset : offset + n],
        )
        offset += n
