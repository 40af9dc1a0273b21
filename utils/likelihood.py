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
