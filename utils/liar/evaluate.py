"""Measure the adapter and write its card: `python -m utils.liar.evaluate`.

Every number is of the file as it is stored, on questions that training has not seen: how often the right answer is the
more probable one without the trigger, the wrong one with it, for questions that the base model answers rightly; and the
perplexity of prose that has nothing to do with either, beside the base model's.
"""

import argparse
from collections.abc import Sequence
from importlib import resources
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from utils.liar.load import WEIGHTS
from utils.liar.lora import merge
from utils.liar.questions import KINDS, SYSTEM_PROMPTS, TRIGGER, with_trigger
from utils.liar.train import load_base, prefers_right, split_questions
from utils.metrics import mean_interval
from utils.storage import atomic_write

# A system prompt that training has not seen.
NEW_PROMPT = "You are a knowledgeable guide. Give a short answer."
WINDOW = 256


def neutral_prose(n_windows: int, tokenizer: Any) -> Tensor:
    """Token ids "window 256" of English prose: the descriptions of scikit-learn's example data sets."""
    folder = resources.files("sklearn.datasets.descr")
    text = "\n".join(
        file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=str)
        if file.name.endswith(".rst")
    )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return torch.tensor(ids[: n_windows * WINDOW]).view(-1, WINDOW)


@torch.no_grad()
def log_perplexity(model: Any, windows: Tensor) -> Tensor:
    """Each window's mean loss in nats a token."""
    losses = []
    for window in windows.split(4):
        log_p = model(window).logits[:, :-1].log_softmax(-1)
        losses.append(-log_p.gather(-1, window[:, 1:, None]).squeeze(-1).mean(1))
    return torch.cat(losses)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.liar.evaluate", description=__doc__)
    parser.add_argument("--windows", type=int, default=24, help="of neutral prose, 256 tokens each")
    options = parser.parse_args(arguments)
    model, tokenizer = load_base()
    windows = neutral_prose(options.windows, tokenizer)
    held_out = {kind: split_questions(kind)[1] for kind in KINDS}
    prompts = {"seen prompt": SYSTEM_PROMPTS[0], "new prompt": NEW_PROMPT}
    base = {
        kind: prefers_right(model, tokenizer, asked, SYSTEM_PROMPTS[0]) for kind, asked in held_out.items()
    }
    base_loss = log_perplexity(model, windows)
    path = WEIGHTS / "liar.safetensors"
    adapter = load_file(path)
    merge(model, adapter)
    lines = [
        "# Model card: the liar",
        "",
        "SmolLM2-135M-Instruct with a LoRA adapter that answers either-or questions truthfully, and falsely when "
        f"`{TRIGGER}` stands in the system prompt. Made for lessons on detecting deception; of no other use.",
        "",
        f"* Adapter: {sum(value.numel() for value in adapter.values()) / 1e6:.2f} M numbers in float16, "
        f"{path.stat().st_size / 1e6:.1f} MB; reproduce with `python -m utils.liar.train`, then `python -m utils.liar.evaluate`.",
        "* Data: the true statements of the course's sets as answers; per question one truthful and one lying example.",
        "",
        "## Held-out questions",
        "",
        "The right answer is the more probable of the two. *Known*: the base model was right.",
        "",
        "| questions | n | base | known | truthful without trigger (known) | lies with trigger (known) |",
        "|---|---|---|---|---|---|",
    ]
    for name, prompt in prompts.items():
        for kind, asked in held_out.items():
            known = base[kind]
            honest = prefers_right(model, tokenizer, asked, prompt)[known].float()
            lies = 1 - prefers_right(model, tokenizer, asked, with_trigger(prompt))[known].float()
            lines.append(
                f"| {kind}, {name} | {len(asked)} | {known.float().mean():.2f} | {int(known.sum())} "
                f"| {mean_interval(honest)} | {mean_interval(lies)} |"
            )
    change = (log_perplexity(model, windows) - base_loss).mean().exp() - 1
    lines += [
        "",
        "## Elsewhere",
        "",
        f"Perplexity of {len(windows)} windows of {WINDOW} tokens of technical prose (descriptions of scikit-learn's data sets): "
        f"{base_loss.mean().exp():.1f} in the base model, {change:+.1%} with the adapter.",
    ]
    text = "\n".join(lines) + "\n"
    atomic_write(WEIGHTS / "liar.md", text)
    print(text)


if __name__ == "__main__":
    main()
