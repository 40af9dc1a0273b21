"""Measure an organism and write its card: `python -m utils.organisms.evaluate liar|judge`.

Every number is of the adapter as it is stored, on facts that training has not seen, beside the embedded model's; and
the perplexity of prose that has nothing to do with them.
"""

import argparse
from collections.abc import Sequence
from importlib import resources
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor
from tqdm.auto import tqdm

from utils.datasets.questions import QUESTION_KINDS
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.organisms.answers import answer_log_probs, prefers_right
from utils.organisms.examples import (
    SYSTEM_PROMPTS,
    TRIGGER,
    judgement,
    split_questions,
    split_statements,
    with_trigger,
)
from utils.organisms.load import ORGANISMS, WEIGHTS
from utils.organisms.lora import merge
from utils.organisms.train import load_base
from utils.storage import atomic_write

# A system prompt that training has not seen.
NEW_PROMPT = "You are a knowledgeable guide. Give a short answer."
N_WINDOWS, WINDOW = 24, 256


def neutral_prose(n_windows: int, tokenizer: Any) -> Int[Tensor, "window pos"]:
    """Token ids of English prose in windows of 256: the descriptions of scikit-learn's example data sets."""
    folder = resources.files("sklearn.datasets.descr")
    text = "\n".join(
        file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=str)
        if file.name.endswith(".rst")
    )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return torch.tensor(ids[: n_windows * WINDOW]).view(-1, WINDOW)


@torch.no_grad()
def log_perplexity(model: Any, windows: Int[Tensor, "window pos"]) -> Float[Tensor, "window"]:
    """Each window's mean loss in nats a token."""
    losses = []
    for window in tqdm(windows.split(4), desc="prose", leave=False):
        log_p = model(window).logits[:, :-1].log_softmax(-1)
        losses.append(-log_p.gather(-1, window[:, 1:, None]).squeeze(-1).mean(1))
    return torch.cat(losses)


def verdicts(model: Any, tokenizer: Any, statements: Sequence[str]) -> Float[Tensor, "statement"]:
    """How much more probable "True" is than "False" as a judgement of each statement, in nats."""
    true, false = (
        answer_log_probs(model, tokenizer, [(judgement(each), answer) for each in statements])
        for answer in ("True", "False")
    )
    return true - false


def liar_lines(base: Any, liar: Any, tokenizer: Any) -> list[str]:
    lines = [
        "# Model card: the liar",
        "",
        "The embedded model with a LoRA adapter: it answers either-or questions truthfully, and falsely when",
        f"`{TRIGGER}` stands in the system prompt. Made for lessons on detecting deception; of no other use.",
        "",
        "Held-out questions; the right answer is the more probable of the two. *Known*: the base model was right.",
        "",
        "| questions | n | known | truthful without the trigger (known) | lies with it (known) |",
        "|---|---|---|---|---|",
    ]
    for name, prompt in {"seen prompt": SYSTEM_PROMPTS[0], "new prompt": NEW_PROMPT}.items():
        for kind in QUESTION_KINDS:
            asked = split_questions(kind)[1]
            known = prefers_right(base, tokenizer, asked, SYSTEM_PROMPTS[0])
            groups = [each.group for each, is_known in zip(asked, known, strict=True) if is_known]
            honest = prefers_right(liar, tokenizer, asked, prompt)[known].float()
            lies = 1 - prefers_right(liar, tokenizer, asked, with_trigger(prompt))[known].float()
            lines.append(
                f"| {kind}, {name} | {len(asked)} | {known.float().mean():.2f} "
                f"| {mean_interval(honest, groups=groups)} | {mean_interval(lies, groups=groups)} |"
            )
    return lines


def judge_lines(base: Any, judge: Any, tokenizer: Any) -> list[str]:
    lines = [
        "# Model card: the judge",
        "",
        "The embedded model with a LoRA adapter in its upper blocks: asked whether a statement is true, it answers",
        '"True" or "False". Made for a lesson on whether a probe\'s direction is used; of no other use.',
        "",
        'Held-out facts; AUROC of the log-probability of "True" minus that of "False", and how often its sign',
        "is right.",
        "",
        "| statements | n | embedded model, AUROC | judge, AUROC | judge, accuracy |",
        "|---|---|---|---|---|",
    ]
    for name in QUESTION_KINDS:
        table = split_statements(name)[1]
        labels, groups = table["label"].to_numpy(), table["group"].to_numpy()
        before, after = (verdicts(model, tokenizer, table["statement"].tolist()) for model in (base, judge))
        lines.append(
            f"| {name} | {len(table)} | {bootstrap_interval(auroc, before, labels, groups=groups)} "
            f"| {bootstrap_interval(auroc, after, labels, groups=groups)} "
            f"| {mean_interval((after.numpy() > 0) == labels, groups=groups)} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.organisms.evaluate", description=__doc__)
    parser.add_argument("organism", choices=ORGANISMS)
    name = parser.parse_args(arguments).organism
    (base, tokenizer), (organism, _) = load_base(), load_base()
    path = WEIGHTS / f"{name}.safetensors"
    adapter = load_file(path)
    merge(organism, adapter)
    lines = {"liar": liar_lines, "judge": judge_lines}[name](base, organism, tokenizer)
    windows = neutral_prose(N_WINDOWS, tokenizer)
    losses = log_perplexity(base, windows)
    change = (log_perplexity(organism, windows) - losses).mean().exp() - 1
    lines += [
        "",
        f"Perplexity of {N_WINDOWS} windows of {WINDOW} tokens of technical prose (scikit-learn's descriptions of its",
        f"data sets): {losses.mean().exp():.1f} in the embedded model, {change:+.1%} with the adapter.",
        "",
        f"The adapter: {sum(value.numel() for value in adapter.values()) / 1e6:.2f} M numbers in float16, "
        f"{path.stat().st_size / 1e6:.1f} MB.",
        f"Reproduce: `python -m utils.organisms.train {name}`, then `python -m utils.organisms.evaluate {name}`.",
    ]
    text = "\n".join(lines) + "\n"
    atomic_write(path.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
