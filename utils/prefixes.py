"""The beginnings of texts, computed once, so that many runs of one ending cost no more than the ending: and of that no
more than the blocks from the lowest hooked one on."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from utils.hooks import has_hooks

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
            ids, attention_mask=self._mask, position_ids=positions, use_cache=True, logits_to_keep=1
        ).past_key_values
        self._outputs: dict[tuple[int, ...], list[Any]] = {}

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
        # With other hooks on the model, the blocks below these do not compute what they always do.
        below = 0 if has_hooks(self.model) else _lowest_block([name for name, _ in hooks])
        with ExitStack() as stack:
            if below:
                outputs = self._block_outputs(tuple(ending))
                for block, output in zip(self.model.blocks[:below], outputs, strict=False):
                    stack.enter_context(_giving(block.original_component, output))
            stack.enter_context(self.model.hooks(fwd_hooks=list(hooks)))
            return self._run(ending, last)

    def _block_outputs(self, ending: tuple[int, ...]) -> list[Any]:
        """What each block returns on this ending when nothing is hooked."""
        if ending not in self._outputs:
            found: list[Any] = []
            with ExitStack() as stack:
                for block in self.model.blocks:
                    layer = block.original_component
                    stack.callback(layer.register_forward_hook(lambda *run: found.append(run[-1])).remove)
                self._run(ending, last=1)
            self._outputs[ending] = found
        return self._outputs[ending]

    def _run(self, ending: Sequence[int], last: int) -> Float[Tensor, "text pos d_vocab"]:
        n = len(ending)
        return self.model.original_model(
            torch.tensor([list(ending)] * len(self)),
            attention_mask=torch.cat([self._mask, torch.ones(len(self), n, dtype=torch.long)], dim=1),
            position_ids=self.lengths + torch.arange(n),
            past_key_values=copy.deepcopy(self._past),
            use_cache=True,
            logits_to_keep=last,
        ).logits


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
