"""How probable a model finds a text after another."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

_BATCH = 16


@torch.no_grad()
def continuation_log_probs(
    model: Any, before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> Float[Tensor, "text"]:
    """The log-probability in nats of each continuation's tokens, given the tokens before it.

    model: a TransformerBridge, or a causal model of Hugging Face's. before, after: token ids, without padding.
    Raises ValueError where the two differ in number, nothing stands before, or nothing follows.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} texts before, {len(after)} after: each needs the other")
    if empty := [i for i, pair in enumerate(zip(before, after, strict=True)) if not all(map(len, pair))]:
        raise ValueError(f"text {empty[0]}: at least one token must stand before, and one must follow")
    whole = [[*first, *second] for first, second in zip(before, after, strict=True)]
    found = torch.zeros(len(whole))
    # Texts of similar length share a batch. Padding on the right changes nothing before it.
    order = sorted(range(len(whole)), key=lambda i: len(whole[i]))
    for start in tqdm(range(0, len(order), _BATCH), desc="log-probabilities", leave=False):
        rows = order[start : start + _BATCH]
        tokens = pad_sequence([torch.tensor(whole[i]) for i in rows], batch_first=True)
        output = model(tokens)
        logits = getattr(output, "logits", output)
        for row, i in enumerate(rows):
            places = torch.arange(len(before[i]), len(whole[i]))
            log_p = logits[row, places - 1].log_softmax(dim=-1)
            found[i] = log_p.gather(1, tokens[row, places, None]).sum()
    return found


@torch.no_grad()
def next_token_log_probs(
    model: Any, texts: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]]
) -> Float[Tensor, "text candidate"]:
    """The log-probability in nats of each of a text's candidate tokens as the next one: one run a text, not one each.

    model: as above. texts: token ids, without padding. candidates: for each text equally many token ids.
    Raises ValueError where the two differ in number, or a text is empty.
    """
    if len(texts) != len(candidates):
        raise ValueError(f"{len(texts)} texts, {len(candidates)} lists of candidates: each needs the other")
    if empty := [i for i, ids in enumerate(texts) if not len(ids)]:
        raise ValueError(f"text {empty[0]}: at least one token must stand before")
    chosen = torch.tensor([list(ids) for ids in candidates])
    found = torch.zeros(chosen.shape)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in tqdm(range(0, len(order), _BATCH), desc="log-probabilities", leave=False):
        rows = order[start : start + _BATCH]
        output = model(pad_sequence([torch.tensor(texts[i]) for i in rows], batch_first=True))
        logits = getattr(output, "logits", output)
        last = logits[torch.arange(len(rows)), torch.tensor([len(texts[i]) - 1 for i in rows])]
        found[rows] = last.log_softmax(dim=-1).gather(1, chosen[rows])
    return found
