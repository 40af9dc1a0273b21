"""The beginning that all of many texts share, such as a system prompt: it is run once, and not once a text."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from utils.hooks import has_hooks

if TYPE_CHECKING:
    from transformers import DynamicCache

# A run of its own costs about as much as a few tokens of a batch.
LEAST_TOKENS = 8


def shared_length(model: Any, token_ids: Sequence[Sequence[int]]) -> int:
    """How many tokens all texts begin with alike; each keeps one at least to itself.

    0 where there is one text only, where it is fewer than LEAST_TOKENS, where somebody's hooks expect each text in one
    pass, and where `model`, a TransformerBridge or a causal model of Hugging Face's, does not go on from keys and
    values alone.
    """
    rows = [list(ids) for ids in token_ids]
    if len(rows) < 2 or not _goes_on_from_keys(model) or has_hooks(model):
        return 0
    first, last = min(rows), max(rows)
    most = min(map(len, rows)) - 1
    shared = next((i for i in range(most) if first[i] != last[i]), most)
    return shared if shared >= LEAST_TOKENS else 0


def empty_cache(model: Any) -> "DynamicCache":
    """A cache of keys and values to run the shared beginning with."""
    from transformers import DynamicCache

    return DynamicCache(config=_hugging_face(model).config)


def repeated(past: "DynamicCache", n_texts: int) -> "DynamicCache":
    """A copy of the beginning's keys and values for a batch of this many texts."""
    own = copy.deepcopy(past)
    own.batch_repeat_interleave(n_texts)
    return own


def shared_past(
    model: Any, token_ids: Sequence[Sequence[int]], most: int | None = None
) -> tuple[int, "DynamicCache | None"]:
    """How many tokens all texts begin with alike, as `shared_length`; their keys and values, for a batch of all texts.

    most: no more than these are wanted. None stands for the keys and values of no tokens.
    """
    shared = shared_length(model, token_ids)
    if most is not None:
        shared = min(shared, most)
    if not shared:
        return 0, None
    past = empty_cache(model)
    beginning = torch.tensor([list(token_ids[0][:shared])])
    model(beginning, past_key_values=past, use_cache=True, logits_to_keep=1)
    return shared, repeated(past, len(token_ids))


def _hugging_face(model: Any) -> Any:
    return getattr(model, "original_model", model)


def _goes_on_from_keys(model: Any) -> bool:
    from transformers import PreTrainedModel

    inner = _hugging_face(model)
    return isinstance(inner, PreTrainedModel) and inner.can_generate() and not inner._is_stateful
