"""Conversations and answers as token ids, and how probable an answer is."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from utils.datasets.questions import Question
from utils.likelihood import continuation_log_probs, next_token_log_probs
from utils.models import tokenize
from utils.organisms.examples import Example, Message, conversation

IGNORED = -100


def encoded(tokenizer: Any, messages: list[Message], answer: str) -> tuple[list[int], int]:
    """Token ids of a conversation with its answer, and how many of them come before the answer."""
    whole = tokenize(tokenizer, [[*messages, {"role": "assistant", "content": answer}]], chat=True)[0]
    before = tokenize(tokenizer, [messages], chat=True)[0]
    assert whole[: len(before)] == before, "the answer changed the tokens before it"
    return whole, len(before)


def encoded_choice(tokenizer: Any, example: Example) -> tuple[list[int], int]:
    """Token ids up to the first one in which the two answers differ, and how many come before it: all but one."""
    (ids, _), (other, _) = (
        encoded(tokenizer, example.messages, each) for each in (example.answer, example.other)
    )
    n_before = next(i for i, (mine, theirs) in enumerate(zip(ids, other, strict=False)) if mine != theirs)
    return ids[: n_before + 1], n_before


def answer_targets(texts: Sequence[tuple[list[int], int]]) -> Int[Tensor, "text pos"]:
    """The ids of the answers alone, `IGNORED` elsewhere and in the padding on the right. texts: as from `encoded`."""
    rows = [
        torch.tensor(ids).masked_fill(torch.arange(len(ids)) < n_before, IGNORED) for ids, n_before in texts
    ]
    return pad_sequence(rows, batch_first=True, padding_value=IGNORED)


def answer_log_probs(
    model: Any, tokenizer: Any, answered: Sequence[tuple[list[Message], str]]
) -> Float[Tensor, "answer"]:
    """Log-probability in nats of each answer to its conversation, its end mark included."""
    texts = [encoded(tokenizer, *each) for each in answered]
    before, after = [ids[:n] for ids, n in texts], [ids[n:] for ids, n in texts]
    return continuation_log_probs(model, before, after)


def preference(
    model: Any, tokenizer: Any, asked: Sequence[Question], system_prompt: str
) -> Float[Tensor, "question"]:
    """For each question log p(right) − log p(wrong), in nats, of the first token in which the two answers differ.

    What comes before it, such as "Lyon is in", is given.
    """
    texts, candidates = [], []
    for each in asked:
        messages = conversation(each, system_prompt)
        ids, n_before = encoded_choice(tokenizer, Example(messages, each.right, each.wrong))
        wrong, _ = encoded_choice(tokenizer, Example(messages, each.wrong, each.right))
        texts.append(ids[:n_before])
        candidates.append([ids[-1], wrong[-1]])
    right, wrong = next_token_log_probs(model, texts, candidates).unbind(dim=1)
    return right - wrong


def prefers_right(
    model: Any, tokenizer: Any, asked: Sequence[Question], system_prompt: str
) -> Bool[Tensor, "question"]:
    """For each question, whether the right answer is the more probable one, by `preference`."""
    return preference(model, tokenizer, asked, system_prompt) > 0
