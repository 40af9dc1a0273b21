"""Train a board model on processor cores: `python -m utils.boards.train othello|chess --minutes 150 [--resume]`.

The target at each position is the exact distribution of the player who made the game, not the move that was drawn (a
random player is uniform over the legal moves): the same expected gradient with far less noise. Matrices inside the
blocks are optimised by Muon (Jordan et al. 2024), everything else by AdamW. Checkpoint and log lie in the cache
folder; `python -m utils.boards.export` turns a checkpoint into the committed weights and their card.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.boards.evaluate import Quality, measure
from utils.boards.model import BoardGPT
from utils.boards.muon import Muon
from utils.boards.tasks import Games, Task, UnseenGames, make_task
from utils.storage import atomic_path, atomic_write, cache_folder


@dataclass(frozen=True)
class Recipe:
    """How to train. Learning rates are peaks: they rise over the first `warmup` of the run and fall linearly to zero
    over its last `decay`, where the run is measured in wall time (so a slowed run still finishes its schedule).
    bfloat16: multiply matrices in it (`bfloat16_is_faster` tells where that pays)."""

    minutes: float
    batch_games: int = 64
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 0.01
    decay: float = 0.5
    threads: int = 2
    seed: int = 0
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if not (self.minutes > 0 and 0 < self.warmup <= 1 and 0 < self.decay <= 1):
            raise ValueError(
                f"minutes {self.minutes}, warmup {self.warmup} and decay {self.decay}: minutes must be positive, "
                "warmup and decay fractions of the run above 0"
            )


class Trainer:
    """One run: its model, optimisers, progress and log, saved together so that a killed run resumes."""

    def __init__(self, task: Task, recipe: Recipe, folder: Path) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        self.model = BoardGPT(task.config, seed=recipe.seed)
        matrices = {
            name for name, p in self.model.named_parameters() if name.startswith("blocks") and p.ndim == 2
        }
        parameters = dict(self.model.named_parameters())
        self.muon = Muon(
            [parameters[name] for name in sorted(matrices)],
            lr=recipe.muon_lr,
            weight_decay=recipe.weight_decay,
            threads=recipe.threads,
        )
        self.adam = torch.optim.AdamW(
            [p for name, p in parameters.items() if name not in matrices],
            lr=recipe.adam_lr,
            betas=(0.9, 0.95),
            weight_decay=0.0,
        )
        self.seconds = 0.0
        self.steps = self.games = self.chunk = 0
        self.log: list[dict[str, float]] = []

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "config": asdict(self.task.config),
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "progress": [self.seconds, self.steps, self.games, self.chunk],
            "log": self.log,
        }
        with atomic_path(self.checkpoint) as path:
            torch.save(state, path)
        atomic_write(self.folder / "log.json", json.dumps(self.log, indent=1))

    def resume(self) -> None:
        """Go on from the checkpoint. Raises FileNotFoundError without one, ValueError for another model's shape."""
        if not self.checkpoint.exists():
            raise FileNotFoundError(f"{self.checkpoint} does not exist: start without --resume")
        state = torch.load(self.checkpoint, weights_only=True)
        if state["config"] != asdict(self.task.config):
            raise ValueError(f"the checkpoint's model is {state['config']}, not {asdict(self.task.config)}")
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.seconds, self.steps, self.games, self.chunk = state["progress"]
        self.log = state["log"]

    def rate(self) -> float:
        """The fraction of the peak learning rate at this moment of the run."""
        done = self.seconds / (60 * self.recipe.minutes)
        return max(0.0, min(1.0, (done + 1e-3) / self.recipe.warmup, (1 - done) / self.recipe.decay))

    def run(self, validate_games: int = 512, log_every: float = 120.0, save_every: float = 300.0) -> Quality:
        """Train until the minutes are used up; validate and save at intervals (seconds) and at the end."""
        held_out = self.task.validation(validate_games)
        budget = 60 * self.recipe.minutes
        next_log, next_save = self.seconds + log_every, self.seconds + save_every
        chunks = self.task.chunks(self.chunk)
        clock = time.monotonic()
        with ThreadPoolExecutor(self.recipe.threads) as pool:
            while self.seconds < budget:
                chunk = next(chunks)
                self.chunk += 1
                for start in range(0, len(chunk.tokens), self.recipe.batch_games):
                    self._step(chunk, start, pool)
                    now = time.monotonic()
                    self.seconds, clock = self.seconds + now - clock, now
                    if self.seconds >= next_log:
                        self._report(held_out)
                        next_log = self.seconds + log_every
                        clock = time.monotonic()
                    if self.seconds >= next_save:
                        self.save()
                        next_save = self.seconds + save_every
                        clock = time.monotonic()
                    if self.seconds >= budget:
                        break
        quality = self._report(held_out)
        self.save()
        return quality

    def _step(self, chunk: Games, start: int, pool: ThreadPoolExecutor) -> None:
        """One optimiser step. Each worker thread takes small pieces as it gets free: on a machine whose cores are
        shared, the piece on a busy core does not hold up the others, and a piece stays in the cache."""
        stop = min(start + self.recipe.batch_games, len(chunk.tokens))
        n_positions = (chunk.targets[start:stop].sum(-1) > 0).sum()
        size = max(1, min(32, (stop - start) // self.recipe.threads))
        pieces = [slice(i, min(i + size, stop)) for i in range(start, stop, size)]
        parameters = list(self.model.parameters())

        def gradient(piece: slice) -> tuple[Tensor, ...]:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bfloat16):
                logits = self.model(chunk.tokens[piece])
            loss = -(chunk.targets[piece] * F.log_softmax(logits.float(), -1)).sum() / n_positions
            return torch.autograd.grad(loss, parameters)

        gradients = list(pool.map(gradient, pieces))
        for parameter, *parts in zip(parameters, *gradients, strict=True):
            parameter.grad = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
        rate = self.rate()
        for optimiser, peak in ((self.muon, self.recipe.muon_lr), (self.adam, self.recipe.adam_lr)):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate
            optimiser.step()
        self.steps += 1
        self.games += stop - start

    def _report(self, held_out: UnseenGames) -> Quality:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bfloat16):
            quality = measure(self.model, held_out)
        progress = {"minutes": round(self.seconds / 60, 2), "steps": self.steps, "games": self.games}
        self.log.append({**progress, **{k: round(v, 5) for k, v in asdict(quality).items()}})
        print(json.dumps(self.log[-1]), flush=True)
        return quality


def bfloat16_is_faster() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones. Without instructions for it
    they are emulated, and training would take ten times as long."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype)
        torch.mm(a, a)
        start = time.monotonic()
        for _ in range(5):
            torch.mm(a, a)
        seconds[dtype] = time.monotonic() - start
    return seconds[torch.bfloat16] < seconds[torch.float32]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.boards.train", description=__doc__)
    parser.add_argument("game", choices=["othello", "chess"])
    parser.add_argument(
        "--minutes",
        type=float,
        default=150,
        help="wall time of the whole run, resumed parts included; a resumed "
        "run may be given more or fewer, its learning rates then follow the new length",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the cache folder")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)

    # Each worker thread computes alone; threads within an operation would wait for each other on a shared machine.
    torch.set_num_threads(1)
    recipe = Recipe(minutes=options.minutes, threads=options.threads, bfloat16=bfloat16_is_faster())
    trainer = Trainer(make_task(options.game, options.threads), recipe, cache_folder("boards", options.game))
    if options.resume:
        trainer.resume()
    elif trainer.checkpoint.exists():
        parser.error(f"{trainer.checkpoint} exists: add --resume, or delete it to start afresh")
    trainer.run()


if __name__ == "__main__":
    main()
