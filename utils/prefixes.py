"""The beginnings of texts, computed once, so that many runs of one ending cost no more than the ending."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Hooks = Sequence[tuple[str, Callable[..., Tensor]]]


class Prefixes:
    """The keys and values of several texts' beginnings in a model.

    model: whose `original_model` is a Hugging Face causal model. token_lists: the beginnings' token ids, unpadded.
    Padding is put on the left, so that the same ending stands at the same positions after all of them.
    Raises ValueError where there is no text, or an empty one.
    """

    @torch.no_grad()
    def __init__(self, model: "TransformerBridge", token_lists: Sequence[Sequence[int]]):
        if not token_lists or not all(map(len, token_lists)):
            raise ValueError(f"{len(token_lists)} beginnings, of which each needs a token at least")
        rows = [torch.tensor(each) for each in token_lists]
        ids = pad_sequence(rows, batch_first=True, padding_side="left")
        self.model = model
        self.lengths = torch.tensor([[len(each)] for each in token_lists])
        self._mask = (torch.arange(ids.shape[1]) >= ids.shape[1] - self.lengths).long()
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        self._past = model.original_model(
            ids, attention_mask=self._mask, position_ids=positions, use_cache=True
        ).past_key_values

    def __len__(self) -> int:
        return len(self.lengths)

    @torch.no_grad()
    def logits(
        self, ending: Sequence[int], hooks: Hooks = (), last: int = 0
    ) -> Float[Tensor, "text pos d_vocab"]:
        """The logits at each token of one ending after every beginning.

        hooks: as for `run_with_hooks`; they see the ending only, "text pos d_model".
        last: only at this many last tokens, which is cheaper; 0: at all of them.
        """
        n = len(ending)
        mask = torch.cat([self._mask, torch.ones(len(self), n, dtype=torch.long)], dim=1)
        with self.model.hooks(fwd_hooks=list(hooks)):
            return self.model.original_model(
                torch.tensor([list(ending)] * len(self)),
                attention_mask=mask,
                position_ids=self.lengths + torch.arange(n),
                past_key_values=copy.deepcopy(self._past),
                use_cache=True,
                logits_to_keep=last,
            ).logits
