"""Texts in, residual-stream activations out: batched by length, cut at the deepest layer, cached on disk.

A layer is an int l (0-based: the residual stream after block l, `blocks.{l}.hook_out`) or "embed" (the stream
that enters block 0). Negative numbers are refused: -1 would mean the embedding to one reader and the last block to
another.

Results are float32 and outside autograd's graph. They are cached in the user's cache folder under the model's
weights, the token ids and the position rule. `python -m utils.activations` prints the cache's size, `--clear`
empties it, and beyond 20 GB the entries longest unused go. While hooks are attached to the model (steering,
ablation) or its weights are folded (`enable_compatibility_mode`) the cache is neither read nor written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.activation_cache import cache_main
from utils.activation_runs import Layer, Rows, Rule, Run, Texts, checked_layers, checked_token_ids, shard_rows

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOKENS_PER_BATCH = 1024


def last_token_activations(
    model: "TransformerBridge",
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Float[Tensor, "text layer d_model"]:
    """The residual stream at the last token of each text, in the order given.

    texts: strings, tokenised by `utils.models.tokenize`, or token ids.
    layers: block numbers and "embed", in the order of the result's second axis; default: every block.
    cache: read from and write to the disk cache.
    bfloat16: compute matrix products in bfloat16: relative error about 1e-2, faster only on CPUs made for it.
    tokens_per_batch: padded tokens in one forward; lower it when memory is short.

    float32, equal to running each text alone within 1e-5 of the row's norm.
    Raises ValueError for an empty text (naming its index), one longer than the context, an id outside the
    vocabulary, a layer that the model has not, or no layers; TypeError for a single string or layer.
    """
    return _one_row_a_text(_run(model, texts, layers, "last", bfloat16, tokens_per_batch), cache)


def mean_token_activations(
    model: "TransformerBridge",
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Float[Tensor, "text layer d_model"]:
    """The residual stream averaged over all tokens of each text.

    Arguments and errors as for `last_token_activations`.
    """
    return _one_row_a_text(_run(model, texts, layers, "mean", bfloat16, tokens_per_batch), cache)


def all_token_activations(
    model: "TransformerBridge",
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> "TokenActivations":
    """The residual stream at every token of each text.

    With cache=True rows go to disk as they are computed and are memory-mapped from there, so that the result
    may be larger than memory; with cache=False, or with hooks attached, they are held in memory.
    Arguments and errors as for `last_token_activations`.
    """
    run = _run(model, texts, layers, "all", bfloat16, tokens_per_batch)
    lengths = tuple(len(ids) for ids in run.token_ids)
    shards: list[Rows] = []
    places: dict[int, tuple[int, int]] = {}
    for shard, rows in shard_rows(run, cache):
        start = 0
        for text in shard.texts:
            places[text] = (len(shards), start)
            start += lengths[text]
        shards.append(rows)
    ordered = tuple(places[text] for text in range(len(lengths)))
    return TokenActivations(tuple(run.layers), lengths, model.cfg.d_model, tuple(shards), ordered)


@dataclass(frozen=True, repr=False, eq=False)
class TokenActivations:
    """Activations at every token, ragged and possibly on disk. What its methods return are copies in memory.

    layers: the layers held. lengths: tokens of each text. d_model: width of the residual stream.
    """

    layers: tuple[Layer, ...]
    lengths: tuple[int, ...]
    d_model: int
    _shards: tuple[Rows, ...]
    _places: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"TokenActivations({len(self)} texts, {sum(self.lengths)} tokens, layers {list(self.layers)})"

    def __getitem__(self, text: int) -> Float[Tensor, "pos layer d_model"]:
        """All tokens and layers of one text."""
        return torch.stack([self._view(text, layer) for layer in self.layers], dim=1)

    def padded(
        self, layer: Layer, texts: Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "text pos d_model"], Bool[Tensor, "text pos"]]:
        """One layer of some texts (default: all), right-padded with zeros; the mask is True at real tokens."""
        views = [self._view(text, layer) for text in (range(len(self)) if texts is None else texts)]
        longest = max((len(view) for view in views), default=0)
        values = torch.zeros(len(views), longest, self.d_model)
        mask = torch.zeros(len(views), longest, dtype=torch.bool)
        for row, view in enumerate(views):
            values[row, : len(view)] = view
            mask[row, : len(view)] = True
        return values, mask

    def flat(self, layer: Layer) -> tuple[Float[Tensor, "token d_model"], Int[Tensor, " token"]]:
        """One layer of all texts, token after token, and the index of the text that each token belongs to."""
        views = [self._view(text, layer) for text in range(len(self))]
        values = torch.cat([torch.empty(0, self.d_model), *views])
        return values, torch.arange(len(self)).repeat_interleave(torch.tensor(self.lengths, dtype=torch.long))

    def _view(self, text: int, layer: Layer) -> Float[Tensor, "pos d_model"]:
        if layer not in self.layers:
            raise ValueError(f"Layer {layer!r} is not among those asked for, {list(self.layers)}.")
        text = range(len(self))[text]
        shard, start = self._places[text]
        return self._shards[shard][layer][start : start + self.lengths[text]]


def _run(
    model: "TransformerBridge",
    texts: Texts,
    layers: Sequence[Layer] | None,
    rule: Rule,
    bfloat16: bool,
    tokens_per_batch: int,
) -> Run:
    if getattr(model.cfg, "attention_dir", "causal") != "causal":
        raise ValueError(
            "This model attends in both directions: right padding is exact for causal ones only."
        )
    if tokens_per_batch < 1:
        raise ValueError(f"tokens_per_batch must be at least 1, got {tokens_per_batch}.")
    token_ids = checked_token_ids(model, texts)
    return Run(model, token_ids, checked_layers(model, layers), rule, bfloat16, tokens_per_batch)


def _one_row_a_text(run: Run, cache: bool) -> Float[Tensor, "text layer d_model"]:
    result = torch.empty(len(run.token_ids), len(run.layers), run.model.cfg.d_model)
    for shard, rows in shard_rows(run, cache):
        for column, layer in enumerate(run.layers):
            result[list(shard.texts), column] = rows[layer]
    return result


if __name__ == "__main__":
    raise SystemExit(cache_main())
