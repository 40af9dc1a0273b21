"""Texts in, residual-stream activations out: batched by length, cut at the deepest layer asked for, cached on disk.

A layer is an int l (0-based, the residual stream after block l, `blocks.{l}.hook_out`) or "embed" (the stream that
enters block 0). Negative numbers are refused: -1 means the embedding in one paper and the last block in the next.

Results are float32 tensors outside autograd's graph. They are cached in the user's cache folder under the model's weights, the
token ids and the position rule; `python -m utils.activations` prints its size, `--clear` empties it, and beyond
20 GB the entries longest unused go. While hooks are attached to the model (steering, ablation) the cache is
neither read nor written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activation_cache import ActivationStore, Shard, cache_main, drop_oldest_entries, plan_shards
from utils.models import tokenize

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Layer = int | Literal["embed"]
Rule = Literal["last", "mean", "all"]
Texts = Sequence[str] | Sequence[Sequence[int]]

TOKENS_PER_SHARD = 65_536
ALL_TOKENS_SHARD_BYTES = 512_000_000


def last_token_activations(
    model: TransformerBridge,
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = 1024,
) -> Float[Tensor, "text layer d_model"]:
    """The residual stream at the last token of each text, in the order given.

    texts: strings, tokenised by `utils.models.tokenize`, or token ids.
    layers: block numbers and "embed", in the order of the result's second axis; default: every block.
    cache: read from and write to the disk cache.
    bfloat16: compute matrix products in bfloat16 (faster on some CPUs, relative error about 1e-2).
    tokens_per_batch: padded tokens in one forward; lower it when memory is short.

    float32, equal to running each text alone within 1e-5 of the row's norm.
    Raises ValueError for an empty text (naming its index), one longer than the context, an id outside the
    vocabulary, a layer the model has not, or no layers; TypeError for a single string.
    """
    return _one_row_a_text(model, texts, layers, "last", cache, bfloat16, tokens_per_batch)


def mean_token_activations(
    model: TransformerBridge,
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = 1024,
) -> Float[Tensor, "text layer d_model"]:
    """The residual stream averaged over all tokens of each text. Arguments and errors: `last_token_activations`."""
    return _one_row_a_text(model, texts, layers, "mean", cache, bfloat16, tokens_per_batch)


def all_token_activations(
    model: TransformerBridge,
    texts: Texts,
    layers: Sequence[Layer] | None = None,
    *,
    cache: bool = True,
    bfloat16: bool = False,
    tokens_per_batch: int = 1024,
) -> TokenActivations:
    """The residual stream at every token of each text. Arguments and errors: `last_token_activations`.

    With cache=True rows go to disk as they are computed and are memory-mapped from there, so that the result may be
    larger than memory; with cache=False they are held in memory.
    """
    token_ids, layers = _checked(model, texts, layers)
    chunks: list[dict[Layer, Tensor]] = []
    rows: dict[int, tuple[int, int]] = {}
    for shard, found in _shards(model, token_ids, layers, "all", cache, bfloat16, tokens_per_batch):
        start = 0
        for text in shard.texts:
            rows[text] = (len(chunks), start)
            start += len(token_ids[text])
        chunks.append(found)
    lengths = tuple(len(ids) for ids in token_ids)
    return TokenActivations(
        tuple(layers), lengths, tuple(chunks), tuple(rows[i] for i in range(len(token_ids))), model.cfg.d_model
    )


@dataclass(frozen=True)
class TokenActivations:
    """Activations at every token, ragged and possibly on disk. What its methods return are copies in memory.

    layers: the layers held. lengths: tokens of each text. d_model: width of the residual stream.
    """

    layers: tuple[Layer, ...]
    lengths: tuple[int, ...]
    _chunks: tuple[dict[Layer, Float[Tensor, "row d_model"]], ...]
    _rows: tuple[tuple[int, int], ...]
    d_model: int

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, text: int) -> Float[Tensor, "pos layer d_model"]:
        """All tokens and layers of one text."""
        text = range(len(self))[text]
        return torch.stack([self._view(text, layer) for layer in self.layers], dim=1)

    def padded(
        self, layer: Layer, texts: Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "text pos d_model"], Bool[Tensor, "text pos"]]:
        """One layer of some texts (default: all), right-padded with zeros, and a mask that is True at real tokens."""
        texts = range(len(self)) if texts is None else [range(len(self))[int(text)] for text in texts]
        longest = max((self.lengths[text] for text in texts), default=0)
        values = torch.zeros(len(texts), longest, self.d_model)
        mask = torch.zeros(len(texts), longest, dtype=torch.bool)
        for row, text in enumerate(texts):
            values[row, : self.lengths[text]] = self._view(text, layer)
            mask[row, : self.lengths[text]] = True
        return values, mask

    def flat(self, layer: Layer) -> tuple[Float[Tensor, "token d_model"], Int[Tensor, "token"]]:
        """One layer of all texts, token after token, and the index of the text that each token belongs to."""
        parts = [self._view(text, layer) for text in range(len(self))]
        values = torch.cat(parts) if parts else torch.zeros(0, self.d_model)
        return values, torch.repeat_interleave(torch.arange(len(self)), torch.tensor(self.lengths, dtype=torch.long))

    def _view(self, text: int, layer: Layer) -> Float[Tensor, "pos d_model"]:
        if layer not in self.layers:
            raise ValueError(f"Layer {layer!r} was not asked for; these were: {list(self.layers)}.")
        chunk, start = self._rows[text]
        return self._chunks[chunk][layer][start : start + self.lengths[text]]


def _one_row_a_text(
    model: TransformerBridge,
    texts: Texts,
    layers: Sequence[Layer] | None,
    rule: Rule,
    cache: bool,
    bfloat16: bool,
    tokens_per_batch: int,
) -> Float[Tensor, "text layer d_model"]:
    token_ids, layers = _checked(model, texts, layers)
    result = torch.empty(len(token_ids), len(layers), model.cfg.d_model)
    for shard, found in _shards(model, token_ids, layers, rule, cache, bfloat16, tokens_per_batch):
        for column, layer in enumerate(layers):
            result[list(shard.texts), column] = found[layer]
    return result


def _checked(
    model: TransformerBridge, texts: Texts, layers: Sequence[Layer] | None
) -> tuple[list[list[int]], list[Layer]]:
    if getattr(model.cfg, "attention_dir", "causal") != "causal":
        raise ValueError("Right padding is exact for causal attention only; this model looks both ways.")
    n_layers = model.cfg.n_layers
    if isinstance(layers, (int, str)):
        raise TypeError(f"layers must be a sequence, got {layers!r}: write [{layers!r}].")
    checked: list[Layer] = []
    for layer in range(n_layers) if layers is None else layers:
        layer = "embed" if layer == "embed" else operator.index(layer)
        if layer != "embed" and not 0 <= layer < n_layers:
            raise ValueError(f'Layer {layer} is out of range: use 0 to {n_layers - 1}, or "embed".')
        checked.append(layer)
    if not checked:
        raise ValueError('No layers asked for: name at least one block or "embed".')

    if isinstance(texts, str):
        raise TypeError(f"texts must be a list, got the single string {texts!r}: wrap it in a list.")
    if len(texts) and isinstance(texts[0], str):
        token_ids = tokenize(model, texts)  # type: ignore[arg-type]
    else:
        token_ids = [[operator.index(token) for token in ids] for ids in texts]
    for index, ids in enumerate(token_ids):
        if not ids:
            raise ValueError(f"Text {index} has no tokens: remove empty texts first.")
        if len(ids) > model.cfg.n_ctx:
            raise ValueError(
                f"Text {index} has {len(ids)} tokens, the model's context only {model.cfg.n_ctx}: shorten it."
            )
        if min(ids) < 0 or max(ids) >= model.cfg.d_vocab:
            raise ValueError(f"Text {index} has token ids outside 0 to {model.cfg.d_vocab - 1}.")
    return token_ids, checked


def _shards(
    model: TransformerBridge,
    token_ids: list[list[int]],
    layers: list[Layer],
    rule: Rule,
    cache: bool,
    bfloat16: bool,
    tokens_per_batch: int,
) -> Iterator[tuple[Shard, dict[Layer, Float[Tensor, "row d_model"]]]]:
    """Each shard with its rows at every layer, read where the cache has them and computed where not."""
    store = None
    if cache and token_ids and not _has_hooks(model):
        store = ActivationStore(model, token_ids, f"{rule}-bfloat16" if bfloat16 else rule)
    # The plan must not depend on the layers asked for, or a subset of cached layers would miss the cache.
    bytes_a_token = 4 * model.cfg.d_model * (model.cfg.n_layers + 1)
    tokens_per_shard = ALL_TOKENS_SHARD_BYTES // bytes_a_token if rule == "all" else TOKENS_PER_SHARD
    lengths = [len(ids) for ids in token_ids]
    computed = False
    with tqdm(total=sum(lengths), unit="token", unit_scale=True, delay=2, leave=False) as bar:
        for shard in plan_shards(lengths, tokens_per_shard, row_per_token=rule == "all"):
            found = {layer: store.read(shard, layer) if store else None for layer in layers}
            missing = [layer for layer in found if found[layer] is None]
            if missing:
                rows = _compute(
                    model, [token_ids[i] for i in shard.texts], shard.rows, missing, rule, bfloat16,
                    tokens_per_batch, bar.update,
                )  # fmt: skip
                computed = True
                for layer in missing:
                    found[layer] = rows.pop(layer)
                    if store:
                        store.write(shard, layer, found[layer])
                        # Read back as a memory map, so that the computed rows can leave memory.
                        found[layer] = store.read(shard, layer) if rule == "all" else found[layer]
            else:
                bar.update(sum(lengths[i] for i in shard.texts))
            yield shard, found  # type: ignore[misc]
    if store and computed:
        drop_oldest_entries(keep=store.folder)


def _has_hooks(model: TransformerBridge) -> bool:
    modules = [*model.modules(), *model.original_model.modules()]
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def _compute(
    model: TransformerBridge,
    token_ids: list[list[int]],
    n_rows: int,
    layers: list[Layer],
    rule: Rule,
    bfloat16: bool,
    tokens_per_batch: int,
    progress: Callable[[int], Any],
) -> dict[Layer, Float[Tensor, "row d_model"]]:
    """Run texts sorted by length, longest first; only the wanted rows of the wanted layers are kept."""
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    names = {layer: "blocks.0.hook_in" if layer == "embed" else f"blocks.{layer}.hook_out" for layer in layers}
    absent = set(names.values()) - set(model.hook_dict)
    if absent:
        raise ValueError(f"This model has no hook points {sorted(absent)}.")
    deepest = max(layers, key=lambda layer: -1 if layer == "embed" else layer)
    rows = {layer: torch.empty(n_rows, model.cfg.d_model) for layer in layers}
    device = next(model.original_model.parameters()).device
    text, row = 0, 0
    while text < len(token_ids):
        batch = token_ids[text : text + max(1, tokens_per_batch // len(token_ids[text]))]
        lengths = torch.tensor([len(ids) for ids in batch])
        padded = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
        for i, ids in enumerate(batch):
            padded[i, : len(ids)] = torch.tensor(ids)
        taken = int(lengths.sum()) if rule == "all" else len(batch)

        def keep(resid: Tensor, hook: Any, layer: Layer, lengths: Tensor = lengths, row: int = row) -> None:
            kept = _POSITION_RULES[rule](resid, lengths.to(resid.device))
            rows[layer][row : row + len(kept)] = kept
            if layer == deepest:
                # stop_at_layer=n_layers would run the unembedding; its exception stops after any block.
                raise StopAtLayerException(resid)

        hooks = [(names[layer], lambda resid, hook, layer=layer: keep(resid, hook, layer)) for layer in layers]
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            model.run_with_hooks(padded.to(device), fwd_hooks=hooks, return_type=None, use_cache=False)  # type: ignore[arg-type]
        text, row = text + len(batch), row + taken
        progress(int(lengths.sum()))
    return rows


def _last(
    resid: Float[Tensor, "text pos d_model"], lengths: Int[Tensor, "text"]
) -> Float[Tensor, "text d_model"]:
    return resid[torch.arange(len(lengths), device=resid.device), lengths - 1].float()


def _mask(resid: Float[Tensor, "text pos d_model"], lengths: Int[Tensor, "text"]) -> Bool[Tensor, "text pos"]:
    return torch.arange(resid.shape[1], device=resid.device) < lengths[:, None]


def _mean(
    resid: Float[Tensor, "text pos d_model"], lengths: Int[Tensor, "text"]
) -> Float[Tensor, "text d_model"]:
    kept = resid.float().masked_fill(~_mask(resid, lengths)[..., None], 0.0)
    return kept.sum(dim=1) / lengths[:, None]


def _all(
    resid: Float[Tensor, "text pos d_model"], lengths: Int[Tensor, "text"]
) -> Float[Tensor, "token d_model"]:
    return resid[_mask(resid, lengths)].float()


_POSITION_RULES = {"last": _last, "mean": _mean, "all": _all}


if __name__ == "__main__":
    raise SystemExit(cache_main())
