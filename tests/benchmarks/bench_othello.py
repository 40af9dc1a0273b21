"""Random Othello games a second: bitboards of many games at once against a plain Python simulator. `--quick` for a
smaller run.

Both play uniformly random games to the end on one thread, turn by turn in each round; the table gives medians over
rounds. "processor" counts processor time, which other programs disturb least.
"""

import argparse
import random
import time
from collections.abc import Callable
from statistics import mean, median

from utils.boards import othello

STEPS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


def rays_from(square: int) -> list[list[int]]:
    """The squares in each direction, nearest first; only rays long enough to enclose a disc."""
    rays = []
    for down, right in STEPS:
        row, column, ray = square // 8 + down, square % 8 + right, []
        while 0 <= row < 8 and 0 <= column < 8:
            ray.append(8 * row + column)
            row, column = row + down, column + right
        if len(ray) > 1:
            rays.append(ray)
    return rays


RAYS = [rays_from(square) for square in range(64)]


def captures(board: list[int], square: int, player: int) -> list[int]:
    found = []
    for ray in RAYS[square]:
        line = []
        for other in ray:
            if board[other] == 3 - player:
                line.append(other)
                continue
            if board[other] == player:
                found += line
            break
    return found


def plain_game(rng: random.Random) -> list[int]:
    """One random game on a list of 64 squares."""
    board, player, moves = [0] * 64, 1, []
    board[28] = board[35] = 1
    board[27] = board[36] = 2
    passed = False
    while True:
        options = [(s, found) for s in range(64) if not board[s] and (found := captures(board, s, player))]
        if not options:
            if passed:
                return moves
            passed, player = True, 3 - player
            continue
        passed = False
        square, found = rng.choice(options)
        for turned in (square, *found):
            board[turned] = player
        moves.append(square)
        player = 3 - player


def rate(play: Callable[[], int]) -> tuple[float, float]:
    """Games a second on the clock and a second of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    n_games = play()
    return n_games / (time.perf_counter() - clock), n_games / (time.process_time() - processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    n_fast, n_plain = (8_192, 50) if options.quick else (65_536, 300)
    rng, lengths = random.Random(0), []

    def bitboards() -> int:
        return len(othello.random_games(n_fast, seed=0))

    def plain() -> int:
        lengths.extend(len(plain_game(rng)) for _ in range(n_plain))
        return n_plain

    rates: dict[str, list[tuple[float, float]]] = {"bitboards (ours)": [], "plain Python": []}
    for _ in range(options.rounds):
        for name, play in zip(rates, (bitboards, plain), strict=True):
            rates[name].append(rate(play))

    print(f"{'games a second':<18}{'clock':>12}{'processor':>12}")
    medians = {name: [median(each[k] for each in found) for k in (0, 1)] for name, found in rates.items()}
    for name, (clock, processor) in medians.items():
        print(f"{name:<18}{clock:>12,.0f}{processor:>12,.0f}")
    ours, theirs = medians.values()
    print(f"{'ratio':<18}{ours[0] / theirs[0]:>12.0f}{ours[1] / theirs[1]:>12.0f}")
    fast_length = (othello.random_games(4096, seed=1) >= 0).sum(axis=1).mean()
    print(
        f"the same games: mean length {mean(lengths):.2f} moves in plain Python, {fast_length:.2f} in bitboards"
    )


if __name__ == "__main__":
    main()
