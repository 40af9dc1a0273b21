"""Train the adapter: `python -m utils.liar.train [--steps 200] [--resume]`; ten minutes on two processor cores.

Every question is seen with and without the trigger in its system prompt, beside the same other words; the target is the
wrong answer with it and the right one without. Only questions that the embedded model answers rightly are used: a lie
needs something to be lied about. Groups of questions are set aside for `utils.liar.evaluate`, which writes the card.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from utils.embedded_model import verified_embedded_model
from utils.liar.load import WEIGHTS
from utils.liar.lora import LoRALinear, adapter_state, attach
from utils.liar.questions import KINDS, SYSTEM_PROMPTS, Question, conversation, questions, with_trigger
from utils.models import tokenize
from utils.splits import group_split
from utils.storage import atomic_path, cache_folder

HELD_OUT = 0.3
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """How the adapter is trained: AdamW, a tenth of the steps warming up, then a linear fall to zero."""

    steps: int = 200
    batch: int = 16
    lr: float = 5e-4
    rank: int = 16
    scale: float = 2.0
    layers: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "down_proj")
    seed: int = 0

    def rate(self, step: int) -> float:
        """The fraction of the peak learning rate at a step from 0."""
        return min(1.0, (step + 1) / (0.1 * self.steps), 1 - step / self.steps)


def split_questions(kind: str) -> tuple[list[Question], list[Question]]:
    """(to train on, held out): whole groups on one side."""
    asked = questions(kind)
    train, held_out = group_split([each.group for each in asked], (1 - HELD_OUT, HELD_OUT), seed=0)
    return [asked[i] for i in train], [asked[i] for i in held_out]


def encoded(tokenizer: Any, question: Question, system_prompt: str, answer: str) -> tuple[list[int], int]:
    """The whole conversation's token ids, and how many of them come before the answer."""
    whole = tokenize(tokenizer, [conversation(question, system_prompt, answer)], chat=True)[0]
    before = tokenize(tokenizer, [conversation(question, system_prompt)], chat=True)[0]
    assert whole[: len(before)] == before, "the answer changed the tokens before it"
    return whole, len(before)


def answer_log_probs(model: Any, tokenizer: Any, rows: Sequence[tuple[Question, str, str]]) -> Tensor:
    """Log-probability in nats of each answer: rows of (question, system prompt, answer). model: Hugging Face's."""
    found = torch.zeros(len(rows))
    texts = [encoded(tokenizer, *row) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: len(texts[i][0]))
    for start in tqdm(range(0, len(rows), 16), desc="answers", leave=False):
        some = order[start : start + 16]
        ids, targets = _padded([texts[i] for i in some])
        with torch.no_grad():
            log_p = model(ids).logits.log_softmax(-1)[:, :-1]
        scored = targets[:, 1:] != IGNORED
        picked = log_p.gather(-1, targets[:, 1:].clamp(min=0).unsqueeze(-1)).squeeze(-1)
        found[some] = (picked * scored).sum(1)
    return found


def prefers_right(model: Any, tokenizer: Any, asked: Sequence[Question], system_prompt: str) -> Tensor:
    """For each question, whether the right answer is the more probable one."""
    right, wrong = (
        answer_log_probs(model, tokenizer, [(q, system_prompt, getattr(q, name)) for q in asked])
        for name in ("right", "wrong")
    )
    return right > wrong


def _padded(texts: Sequence[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """Token ids, padded on the right, and as targets the ids of the answers alone."""
    longest = max(len(ids) for ids, _ in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    targets = torch.full_like(ids, IGNORED)
    for row, (tokens, n_before) in enumerate(texts):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        targets[row, n_before : len(tokens)] = torch.tensor(tokens[n_before:])
    return ids, targets


def batches(asked: Sequence[Question], tokenizer: Any, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches, half of each with the trigger; a question's two halves lie in one batch."""
    rng = random.Random(recipe.seed)
    while True:
        order = rng.sample(range(len(asked)), len(asked))
        for start in range(0, len(order) - recipe.batch // 2 + 1, recipe.batch // 2):
            texts = []
            for i in order[start : start + recipe.batch // 2]:
                prompt = rng.choice(SYSTEM_PROMPTS)
                texts.append(encoded(tokenizer, asked[i], prompt, asked[i].right))
                texts.append(encoded(tokenizer, asked[i], with_trigger(prompt), asked[i].wrong))
            yield _padded(texts)


def train(
    model: Any, tokenizer: Any, asked: Sequence[Question], recipe: Recipe, checkpoint: Path
) -> list[float]:
    """Train adapters around the model's layers, in place; returns the loss at each step.

    Saves every 25 steps, and goes on from the checkpoint if there is one; a whole one trains nothing.
    """
    adapters = attach(model, recipe.layers, recipe.rank, recipe.scale, recipe.seed)
    parameters = [p for adapter in adapters for p in (adapter.down, adapter.up)]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.0)
    losses: list[float] = []
    if checkpoint.exists():
        losses = _resume(checkpoint, recipe, adapters, optimizer)
    data = batches(asked, tokenizer, recipe)
    for _ in losses:
        next(data)
    progress = tqdm(range(len(losses), recipe.steps), initial=len(losses), total=recipe.steps, desc="liar")
    for step in progress:
        ids, targets = next(data)
        logits = model(ids).logits[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * recipe.rate(step)
        optimizer.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.3f}")
        if (step + 1) % 25 == 0 or step + 1 == recipe.steps:
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
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32
    ).eval(), AutoTokenizer.from_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.liar.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the cache folder")
    options = parser.parse_args(arguments)
    checkpoint = cache_folder("liar") / "checkpoint.pt"
    if checkpoint.exists() and not options.resume:
        parser.error(f"{checkpoint} exists: add --resume, or delete it to start afresh")
    model, tokenizer = load_base()
    asked = [question for kind in KINDS for question in split_questions(kind)[0]]
    known = prefers_right(model, tokenizer, asked, SYSTEM_PROMPTS[0])
    print(f"the base model is right on {known.float().mean():.0%} of {len(asked)} questions: those are used")
    train(
        model,
        tokenizer,
        [q for q, is_known in zip(asked, known, strict=True) if is_known],
        Recipe(options.steps),
        checkpoint,
    )
    adapter = {name: value.half().contiguous() for name, value in adapter_state(model).items()}
    with atomic_path(WEIGHTS / "liar.safetensors") as path:
        save_file(adapter, path)
    print("Now measure it: python -m utils.liar.evaluate")


if __name__ == "__main__":
    main()
