"""The beginnings of texts, computed once: a run of their endings costs no more than the endings, and of these no more
than the blocks from the lowest hooked one on."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from utils.hooks import has_hooks
from utils.shared_prefix import shared_past

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import DynamicCache

Hooks = Sequence[tuple[str, Callable[..., Tensor]]]


class Prefixes:
    """The keys and values of several texts' beginnings in a model.

    model: whose `original_model` is a Hugging Face causal model. token_lists: the beginnings' token ids, unpadded.
    Padding is put before what is a text's own, so that the same ending stands at the same positions after all of them.
    Raises ValueError where there is no text, or an empty one.
    """

    @torch.no_grad()
    def __init__(self, model: "TransformerBridge", token_lists: Sequence[Sequence[int]]):
        if not token_lists or not all(map(len, token_lists)):
            raise ValueError(f"{len(token_lists)} beginnings, of which each needs a token at least")
        shared, past = shared_past(model, token_lists)
        rows = [torch.tensor(each[shared:]) for each in token_lists]
        ids = pad_sequence(rows, batch_first=True, padding_side="left")
        own = torch.tensor([[len(each)] for each in rows])
        self.model = model
        self.lengths = own + shared
        # What all begin with alike comes first; the padding stands between it and what is a text's own.
        is_own = (torch.arange(ids.shape[1]) >= ids.shape[1] - own).long()
        self._mask = torch.cat([torch.ones(len(rows), shared, dtype=torch.long), is_own], dim=1)
        self._past = model.original_model(
            ids,
            attention_mask=self._mask,
            position_ids=(shared + is_own.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=past,
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        self._outputs: dict[tuple[int, ...], list[Any]] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    @torch.no_grad()
    def logits(
        self, ending: Sequence[int] | Int[Tensor, "text pos"], hooks: Hooks = (), last: int = 0
    ) -> Float[Tensor, "text pos d_vocab"]:
        """The logits at each token of an ending after every beginning.

        ending: token ids, the same after all beginnings; or for each its own, all equally long.
        hooks: as for `run_with_hooks`; they see the ending only, "text pos d_model".
        last: only at this many last tokens, which is cheaper; 0: at all of them.
        """
        ids = torch.as_tensor(ending).expand(len(self), -1)
        # With other hooks on the model, the blocks below these do not compute what they always do.
        below = 0 if has_hooks(self.model) else _lowest_block([name for name, _ in hooks])
        with ExitStack() as stack:
            if below:
                outputs = self._block_outputs(ids)
                for block, output in zip(self.model.blocks[:below], outputs, strict=False):
                    stack.enter_context(_giving(block.original_component, output))
            stack.enter_context(self.model.hooks(fwd_hooks=list(hooks)))
            return self._run(ids, last)

    def _block_outputs(self, ids: Int[Tensor, "text pos"]) -> list[Any]:
        """What each block returns on these endings when nothing is hooked."""
        ending = tuple(ids.flatten().tolist())
        if ending not in self._outputs:
            found: list[Any] = []
            with ExitStack() as stack:
                for block in self.model.blocks:
                    layer = block.original_component
                    stack.callback(layer.register_forward_hook(lambda *run: found.append(run[-1])).remove)
                self._run(ids, last=1)
            self._outputs[ending] = found
        return self._outputs[ending]

    def _run(self, ids: Int[Tensor, "text pos"], last: int) -> Float[Tensor, "text pos d_vocab"]:
        n = ids.shape[1]
        return self.model.original_model(
            ids,
            attention_mask=torch.cat([self._mask, torch.ones(len(self), n, dtype=torch.long)], dim=1),
            position_ids=self.lengths + torch.arange(n),
            past_key_values=_forked(self._past),
            use_cache=True,
            logits_to_keep=last,
        ).logits


def _forked(past: "DynamicCache") -> "DynamicCache":
    """A cache that goes on from this one and leaves it as it is: a layer's new keys make a new tensor."""
    own = copy.copy(past)
    own.layers = [copy.copy(layer) for layer in past.layers]
    return own


def _lowest_block(names: Sequence[str]) -> int:
    """The lowest block that is hooked: those below it compute what they always do. 0 where it cannot be told."""
    found = [re.match(r"blocks\.(\d+)\.", name) for name in names]
    return min((int(each[1]) if each else 0 for each in found), default=0)


@contextmanager
def _giving(module: nn.Module, output: Any) -> Iterator[None]:
    """The module returns this output, without computing it."""
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del module.forward
