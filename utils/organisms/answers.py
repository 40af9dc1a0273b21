"""Conversations and answers as token ids, and how probable an answer is."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from utils.datasets.questions import Question
from utils.likelihood import continuation_log_probs
from utils.models import tokenize
from utils.organisms.examples import Example, conversation

IGNORED = -100


def encoded(tokenizer: Any, example: Example) -> tuple[list[int], int]:
    """Token ids of a conversation with its answer, and how many of them come before the answer."""
    messages, answer = example
    whole = tokenize(tokenizer, [[*messages, {"role": "assistant", "content": answer}]], chat=True)[0]
    before = tokenize(tokenizer, [messages], chat=True)[0]
    assert whole[: len(before)] == before, "the answer changed the tokens before it"
    return whole, len(before)


def answer_targets(texts: Sequence[tuple[list[int], int]]) -> Int[Tensor, "text pos"]:
    """The ids of the answers alone, `IGNORED` elsewhere and in the padding on the right. texts: as from `encoded`."""
    rows = [
        torch.tensor(ids).masked_fill(torch.arange(len(ids)) < n_before, IGNORED) for ids, n_before in texts
    ]
    return pad_sequence(rows, batch_first=True, padding_value=IGNORED)


def answer_log_probs(model: Any, tokenizer: Any, examples: Sequence[Example]) -> Float[Tensor, "example"]:
    """Log-probability in nats of each answer, its end mark included."""
    texts = [encoded(tokenizer, each) for each in examples]
    before, after = [ids[:n] for ids, n in texts], [ids[n:] for ids, n in texts]
    return continuation_log_probs(model, before, after)


def prefers_right(
    model: Any, tokenizer: Any, asked: Sequence[Question], system_prompt: str
) -> Bool[Tensor, "question"]:
    """For each question, whether the right answer is the more probable one."""
    right, wrong = (
        answer_log_probs(
            model, tokenizer, [(conversation(each, system_prompt), getattr(each, name)) for each in asked]
        )
        for name in ("right", "wrong")
    )
    return right > wrong
