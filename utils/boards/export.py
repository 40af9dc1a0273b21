"""From a checkpoint to the committed model: `python -m utils.boards.export othello|chess`.

Writes `weights/<game>.safetensors` (float16, so that millions of parameters stay small) and the model card
`weights/<game>.md`. Every number on the card is measured on the file as it is stored.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from utils.boards.evaluate import ProbeResult, Quality, board_labels, measure, probe_board
from utils.boards.model import WEIGHTS, BoardConfig, BoardGPT, read_model, save_weights
from utils.boards.tasks import ChessTask, OthelloTask, UnseenGames
from utils.storage import atomic_write, cache_folder

_TEST_SEED, _PROBE_TRAIN_SEED, _PROBE_TEST_SEED = 1, 2, 3

_DATA = {
    "othello": "Games of two players who choose uniformly among the legal moves, made on the fly and never repeated.",
    "chess": "Games of 40 plies, white and black drawn independently: 60 % uniformly random, 20 % greedy for "
    "material, 20 % one reply ahead on material (`utils/boards/chess_players.py`).",
}


def quality(game: str, model: BoardGPT, n_games: int) -> dict[str, Quality]:
    """Legal moves on unseen games; for chess also where pieces come from and go, beyond ply 20."""
    if game == "othello":
        return {"all moves": measure(model, OthelloTask(model.config).validation(n_games, _TEST_SEED))}
    games = ChessTask((), model.config).validation(n_games, _TEST_SEED)
    late = torch.arange(games.tokens.shape[1]) >= 40
    start = torch.arange(games.tokens.shape[1]) % 2 == 0
    return {
        "from": measure(model, _only(games, start)),
        "to": measure(model, _only(games, ~start)),
        "from, beyond ply 20": measure(model, _only(games, start & late)),
        "to, beyond ply 20": measure(model, _only(games, ~start & late)),
    }


def _only(games: UnseenGames, positions: torch.Tensor) -> UnseenGames:
    return replace(games, targets=games.targets * positions[:, None])


def probes(game: str, model: BoardGPT, n_train: int, n_test: int) -> dict[str, ProbeResult]:
    """The board probe in both coordinates, on this model and on an untrained one of its shape."""
    untrained = BoardGPT(model.config, seed=1).eval()
    results = {}
    for relative, labels in ((True, "mine and theirs"), (False, "absolute colours")):
        train = board_labels(game, n_train, _PROBE_TRAIN_SEED, relative)
        test = board_labels(game, n_test, _PROBE_TEST_SEED, relative)
        results[labels] = probe_board(model.streams, train, test)
        results[f"{labels}, untrained model"] = probe_board(untrained.streams, train, test)
    return results


def card(
    game: str,
    checkpoint: dict[str, Any],
    size: int,
    qualities: dict[str, Quality],
    probed: dict[str, ProbeResult],
    note: str,
) -> str:
    """The model card in Markdown."""
    config, recipe = checkpoint["config"], checkpoint["recipe"]
    seconds, steps, games, _ = checkpoint["progress"]
    precision = "bfloat16 autocast" if recipe["bfloat16"] else "float32"
    n_parameters = sum(value.numel() for value in checkpoint["model"].values())
    lines = [
        f"# Model card: {game}",
        "",
        f"A GPT that has seen nothing but {game} moves. `load_board_model({game!r})` loads it.",
        "",
        f"* Shape: {config['n_layers']} layers, d_model {config['d_model']}, {config['n_heads']} heads, context "
        f"{config['n_ctx']}, vocabulary {config['d_vocab']}; {n_parameters / 1e6:.2f} M parameters, stored in float16 "
        f"({size / 1e6:.1f} MB).",
        f"* Data: {_DATA[game]}",
        f"* Training: {games:,} games in {steps:,} steps of {recipe['batch_games']} games, {seconds / 60:.0f} minutes "
        f"of wall time on two processor cores; seed {recipe['seed']}; Muon {recipe['muon_lr']}, AdamW "
        f"{recipe['adam_lr']}, weight decay {recipe['weight_decay']} (Muon's), {precision}. {note}".rstrip(),
        f"* Reproduce: `python -m utils.boards.train {game} --minutes {recipe['minutes']:g}`, then "
        f"`python -m utils.boards.export {game}`.",
        "",
        "## Legal moves on unseen games",
        "",
        "| positions | loss, nats | entropy floor | top-1 legal | legal mass |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {q.loss:.4f} | {q.floor:.4f} | {q.top1_legal:.4f} | {q.legal_mass:.4f} |"
        for name, q in qualities.items()
    ]
    n_layers = len(next(iter(probed.values())).by_layer)
    lines += [
        "",
        "## Linear board probe (ridge on one-hot states), accuracy on unseen games",
        "",
        "| labels | majority | embedding | " + " | ".join(f"block {k}" for k in range(n_layers - 1)) + " |",
        "|---|" + "---|" * (n_layers + 1),
    ]
    for name, result in probed.items():
        cells = [
            f"**{a:.3f}**" if k == result.best_layer else f"{a:.3f}" for k, a in enumerate(result.by_layer)
        ]
        lines.append(f"| {name} | {result.majority:.3f} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Learning curve",
        "",
        "| minutes | games | loss | top-1 legal | legal mass |",
        "|---|---|---|---|---|",
    ]
    log = checkpoint["log"]
    every = max(1, len(log) // 12)
    lines += [
        f"| {row['minutes']:.0f} | {row['games']:,} | {row['loss']:.4f} | {row['top1_legal']:.4f} | "
        f"{row['legal_mass']:.4f} |"
        for row in [*log[:-1:every], log[-1]]
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.boards.export", description=__doc__)
    parser.add_argument("game", choices=["othello", "chess"])
    parser.add_argument(
        "--games", type=int, default=2000, help="unseen games to judge on; a probe is fitted on ¾ as many"
    )
    parser.add_argument("--folder", type=Path, default=WEIGHTS)
    parser.add_argument("--note", default="", help="a sentence for the card's line on training")
    options = parser.parse_args(arguments)

    checkpoint = torch.load(cache_folder("boards", options.game) / "checkpoint.pt", weights_only=True)
    trained = BoardGPT(BoardConfig(**checkpoint["config"]))
    trained.load_state_dict(checkpoint["model"])
    path = options.folder / f"{options.game}.safetensors"
    save_weights(trained, path)
    model = read_model(path)
    n_train, n_test = max(1, options.games * 3 // 4), max(1, options.games // 4)
    text = card(
        options.game,
        checkpoint,
        path.stat().st_size,
        quality(options.game, model, options.games),
        probes(options.game, model, n_train, n_test),
        options.note,
    )
    atomic_write(path.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
