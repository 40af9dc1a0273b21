"""Train an organism's adapter: `python -m utils.organisms.train liar|judge [--resume]`, on two processor cores.

The liar sees every question with and without the trigger in its system prompt, beside the same other words, and only
questions that the embedded model answers rightly: a lie needs something to be lied about. The judge's adapter sits
in the last blocks, so that it can only learn to report what the embedded model represents before them.
`python -m utils.organisms.evaluate` writes the card, on groups of facts that are set aside here.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tqdm.auto import tqdm

from utils.datasets.questions import QUESTION_KINDS
from utils.embedded_model import verified_embedded_model
from utils.organisms.answers import IGNORED, answer_targets, encoded, encoded_choice, prefers_right
from utils.organisms.examples import (
    LIAR_KINDS,
    SYSTEM_PROMPTS,
    Example,
    judge_examples,
    liar_examples,
    split_questions,
    split_statements,
)
from utils.organisms.frozen import FrozenBelow
from utils.organisms.load import ORGANISMS, WEIGHTS
from utils.organisms.lora import LoRALinear, adapter_state, attach
from utils.storage import atomic_path, cache_folder


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained: AdamW, a tenth of the steps warming up, then a linear fall to zero.

    choice_only: the loss is that of the first token in which the two answers differ. The others are learned at once,
        and their first large gradients would keep AdamW's steps small for as long as it remembers them.
    """

    steps: int = 200
    batch: int = 16
    lr: float = 5e-4
    rank: int = 16
    scale: float = 2.0
    layers: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "down_proj")
    first_block: int = 0
    choice_only: bool = False
    seed: int = 0

    def rate(self, step: int) -> float:
        """The fraction of the peak learning rate at a step from 0."""
        return min(1.0, (step + 1) / (0.1 * self.steps), 1 - step / self.steps)


RECIPES = {
    "liar": Recipe(steps=400, lr=1e-3, first_block=14, choice_only=True),
    "judge": Recipe(steps=300, batch=32, lr=2e-3, first_block=26),
}


def train(
    model: Any, tokenizer: Any, examples: Iterator[Example], recipe: Recipe, checkpoint: Path
) -> list[float]:
    """Train adapters around the model's layers, in place; returns the loss at each step.

    Saves every 25 steps, and goes on from the checkpoint if there is one; a whole one trains nothing.
    """
    adapters = attach(model, recipe.layers, recipe.rank, recipe.scale, recipe.seed, recipe.first_block)
    states = FrozenBelow(model.base_model, recipe.first_block)
    parameters = [p for adapter in adapters for p in (adapter.down, adapter.up)]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.0)
    losses: list[float] = []
    if checkpoint.exists():
        losses = _resume(checkpoint, recipe, adapters, optimizer)
    examples = islice(examples, len(losses) * recipe.batch, None)
    for step in tqdm(
        range(len(losses), recipe.steps), initial=len(losses), total=recipe.steps, desc="adapter"
    ):
        batch = [next(examples) for _ in range(recipe.batch)]
        texts = [
            encoded_choice(tokenizer, each)
            if recipe.choice_only
            else encoded(tokenizer, each.messages, each.answer)
            for each in batch
        ]
        targets = answer_targets(texts)[:, 1:]
        asked = targets != IGNORED
        # Logits of what is asked for alone: those of all tokens would be a quarter of the work.
        hidden = states([ids for ids, _ in texts])[:, :-1][asked]
        loss = F.cross_entropy(model.get_output_embeddings()(hidden), targets[asked])
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * recipe.rate(step)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 25 == 0 or step + 1 == recipe.steps:
            print(f"step {step + 1}: loss {sum(losses[-25:]) / len(losses[-25:]):.3f}", flush=True)
            _save(checkpoint, recipe, adapters, optimizer, losses)
    return losses


def _save(
    checkpoint: Path, recipe: Recipe, adapters: list[LoRALinear], optimizer: Any, losses: list[float]
) -> None:
    state = {
        "recipe": asdict(recipe),
        "adapters": [(adapter.down.data, adapter.up.data) for adapter in adapters],
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    with atomic_path(checkpoint) as path:
        torch.save(state, path)


def _resume(checkpoint: Path, recipe: Recipe, adapters: list[LoRALinear], optimizer: Any) -> list[float]:
    state = torch.load(checkpoint, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise ValueError(f"{checkpoint} was made by {state['recipe']}, not {asdict(recipe)}: delete it")
    for adapter, (down, up) in zip(adapters, state["adapters"], strict=True):
        adapter.down.data.copy_(down)
        adapter.up.data.copy_(up)
    optimizer.load_state_dict(state["optimizer"])
    return state["losses"]


def load_base() -> tuple[Any, Any]:
    """(model, tokenizer) of the embedded model, as Hugging Face's classes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(verified_embedded_model(say=print))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def training_examples(organism: str, model: Any, tokenizer: Any, seed: int) -> Iterator[Example]:
    """Endless examples for an organism, from the facts that are not held out."""
    if organism == "judge":
        return judge_examples(pd.concat([split_statements(name)[0] for name in QUESTION_KINDS]), seed)
    asked = [question for kind in LIAR_KINDS for question in split_questions(kind)[0]]
    known = prefers_right(model, tokenizer, asked, SYSTEM_PROMPTS[0])
    print(f"the base model is right on {known.float().mean():.0%} of {len(asked)} questions: those are used")
    return liar_examples([each for each, is_known in zip(asked, known, strict=True) if is_known], seed)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.organisms.train", description=__doc__)
    parser.add_argument("organism", choices=ORGANISMS)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the cache folder")
    options = parser.parse_args(arguments)
    checkpoint = cache_folder("organisms") / f"{options.organism}.pt"
    if checkpoint.exists() and not options.resume:
        parser.error(f"{checkpoint} exists: add --resume, or delete it to start afresh")
    recipe = RECIPES[options.organism]
    model, tokenizer = load_base()
    examples = training_examples(options.organism, model, tokenizer, recipe.seed)
    train(model, tokenizer, examples, recipe, checkpoint)
    adapter = {name: value.half().contiguous() for name, value in adapter_state(model).items()}
    with atomic_path(WEIGHTS / f"{options.organism}.safetensors") as path:
        save_file(adapter, path)
    print(f"Now measure it: python -m utils.organisms.evaluate {options.organism}")


if __name__ == "__main__":
    main()
