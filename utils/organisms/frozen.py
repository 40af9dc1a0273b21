"""A model whose first blocks never change: their output is computed once a text, and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class FrozenBelow:
    """The final hidden states of a decoder in Llama's form of which only the blocks from `first` on are trained.

    base: `model.base_model`. first: the first block that may change; with 0 nothing but the embedding is kept.
    Kept are "pos d_model" numbers for every text that was asked for.
    """

    def __init__(self, base: Any, first: int):
        self.base, self.first = base, first
        self._kept: dict[tuple[int, ...], Float[Tensor, "pos d_model"]] = {}

    def __call__(self, texts: Sequence[Sequence[int]]) -> Float[Tensor, "text pos d_model"]:
        """texts: token ids, unpadded. The result is padded on the right, with gradients through the upper blocks."""
        keys = [tuple(each) for each in texts]
        if missing := [key for key in dict.fromkeys(keys) if key not in self._kept]:
            self._keep(missing)
        inputs = pad_sequence([self._kept[key] for key in keys], batch_first=True)
        with self._only(slice(self.first, None), self.base.norm):
            return self.base(inputs_embeds=inputs, use_cache=False).last_hidden_state

    @torch.no_grad()
    def _keep(self, keys: list[tuple[int, ...]]) -> None:
        ids = pad_sequence([torch.tensor(key) for key in keys], batch_first=True)
        with self._only(slice(None, self.first), nn.Identity()):
            states = self.base(ids, use_cache=False).last_hidden_state
        for key, row in zip(keys, states, strict=True):
            self._kept[key] = row[: len(key)].clone()

    @contextmanager
    def _only(self, part: slice, norm: nn.Module) -> Iterator[None]:
        blocks, last_norm = self.base.layers, self.base.norm
        self.base.layers, self.base.norm = blocks[part], norm
        try:
            yield
        finally:
            self.base.layers, self.base.norm = blocks, last_norm
