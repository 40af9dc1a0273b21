"""Running a model over texts for its residual stream alone: checks, batches, position rules, the cache in between."""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from utils.activation_cache import ActivationStore, Shard, drop_oldest_entries, plan_shards
from utils.hooks import has_hooks
from utils.models import tokenize
from utils.shared_prefix import empty_cache, repeated, shared_length

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Layer = int | str
Rule = Literal["last", "mean", "all"]
Texts = Sequence[str] | Sequence[Sequence[int]]
Rows = dict[Layer, Float[Tensor, "row d_model"]]

TOKENS_PER_SHARD = 65_536
ALL_TOKENS_SHARD_BYTES = 512_000_000


@dataclass(frozen=True)
class Run:
    """What to compute: a model, its input, the layers, where in each text, and how.

    token_ids and layers are those that `checked_token_ids` and `checked_layers` returned.
    """

    model: "TransformerBridge"
    token_ids: list[list[int]]
    layers: list[Layer]
    rule: Rule
    bfloat16: bool
    tokens_per_batch: int


def checked_layers(model: "TransformerBridge", layers: Sequence[Layer] | None) -> list[Layer]:
    """The layers as ints and "embed"; every block when None. Errors: see `utils.activations`."""
    n_layers = model.cfg.n_layers
    if isinstance(layers, int | str):
        raise TypeError(f"layers must be a sequence, got {layers!r}: write [{layers!r}].")
    checked: list[Layer] = []
    for layer in range(n_layers) if layers is None else layers:
        if isinstance(layer, str):
            if layer != "embed":
                raise ValueError(f'Unknown layer {layer!r}: use 0 to {n_layers - 1}, or "embed".')
        elif not 0 <= operator.index(layer) < n_layers:
            raise ValueError(f'Layer {layer} is out of range: use 0 to {n_layers - 1}, or "embed".')
        checked.append(layer if isinstance(layer, str) else operator.index(layer))
    if not checked:
        raise ValueError('No layers asked for: name at least one block or "embed".')
    return checked


def checked_token_ids(model: "TransformerBridge", texts: Texts) -> list[list[int]]:
    """The token ids of each text, none empty, too long or outside the vocabulary. Errors: see `utils.activations`."""
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list, got the single string {texts!r}: wrap it in a list.")
    if all(isinstance(text, str) for text in texts):
        token_ids = tokenize(model, [str(text) for text in texts])
    else:
        token_ids = [[operator.index(token) for token in ids] for ids in texts]  # type: ignore[arg-type]
    n_ctx, d_vocab = model.cfg.n_ctx, model.cfg.d_vocab
    for index, ids in enumerate(token_ids):
        if not ids:
            raise ValueError(f"Text {index} has no tokens: remove empty texts first.")
        if len(ids) > n_ctx:
            raise ValueError(f"Text {index} has {len(ids)} tokens, the model's context {n_ctx}: shorten it.")
        if min(ids) < 0 or max(ids) >= d_vocab:
            raise ValueError(
                f"Text {index} has token ids outside 0 to {d_vocab - 1}: tokenise it for this model."
            )
    return token_ids


def shard_rows(run: Run, cache: bool) -> Iterator[tuple[Shard, Rows]]:
    """Each shard with its rows at every layer, read where the cache has them and computed where not."""
    store = None
    if cache and run.token_ids and _runs_as_stored(run.model):
        store = ActivationStore(run.model, run.token_ids, f"{run.rule}{'-bfloat16' if run.bfloat16 else ''}")
    cfg = run.model.cfg
    # The plan must not depend on the layers asked for, or a subset of cached layers would miss the cache.
    tokens_per_shard = TOKENS_PER_SHARD
    if run.rule == "all":
        tokens_per_shard = ALL_TOKENS_SHARD_BYTES // (4 * cfg.d_model * (cfg.n_layers + 1))
    lengths = [len(ids) for ids in run.token_ids]
    computed = False
    with tqdm(total=sum(lengths), unit="token", unit_scale=True, delay=2, leave=False) as bar:
        for shard in plan_shards(lengths, tokens_per_shard, row_per_token=run.rule == "all"):
            found = _read(store, shard, run.layers)
            missing = [layer for layer in dict.fromkeys(run.layers) if layer not in found]
            if not missing:
                bar.update(sum(lengths[text] for text in shard.texts))
                yield shard, found
                continue
            rows = _compute(run, shard, missing, bar.update)
            computed = True
            if store:
                for layer in missing:
                    store.write(shard, layer, rows[layer])
                if run.rule == "all":
                    # Memory maps instead of the computed rows, which can then leave memory.
                    rows |= _read(store, shard, missing)
            yield shard, found | rows
            del rows
    if store and computed:
        drop_oldest_entries(keep=store.folder)


def _read(store: ActivationStore | None, shard: Shard, layers: Sequence[Layer]) -> Rows:
    if store is None:
        return {}
    read = {layer: store.read(shard, layer) for layer in dict.fromkeys(layers)}
    return {layer: rows for layer, rows in read.items() if rows is not None}


def _runs_as_stored(model: "TransformerBridge") -> bool:
    """Whether the fingerprint tells all: no hooks, and no folded weights (those lie outside the parameters)."""
    return not model.compatibility_mode and not has_hooks(model)


def _compute(run: Run, shard: Shard, layers: list[Layer], progress: Callable[[int], Any]) -> Rows:
    """Run a shard's texts, longest first; only the wanted rows of the wanted layers are kept."""
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    model = run.model
    names = {
        layer: "blocks.0.hook_in" if layer == "embed" else f"blocks.{layer}.hook_out" for layer in layers
    }
    absent = set(names.values()) - set(model.hook_dict)
    if absent:
        raise ValueError(f"This model has no hook points {sorted(absent)}: its blocks are not standard ones.")
    deepest = max(layers, key=lambda layer: -1 if isinstance(layer, str) else layer)
    rows: Rows = {layer: torch.empty(shard.rows, model.cfg.d_model) for layer in layers}
    device = next(model.original_model.parameters()).device

    def run_through(tokens: Tensor, take: Callable[[Layer, Tensor], None], past: Any) -> None:
        def see(resid: Tensor, layer: Layer) -> None:
            take(layer, resid)
            if layer == deepest:
                # stop_at_layer=n_layers would run on to the logits; its exception stops after any block.
                raise StopAtLayerException(resid)

        hooks: list[Any] = [
            (name, lambda resid, hook, layer=layer: see(resid, layer)) for layer, name in names.items()
        ]
        going_on: dict[str, Any] = (
            {"use_cache": False} if past is None else {"use_cache": True, "past_key_values": past}
        )
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=run.bfloat16):
            model.run_with_hooks(tokens.to(device), fwd_hooks=hooks, return_type=None, **going_on)

    texts = [run.token_ids[text] for text in shard.texts]
    shared, past, beginning = shared_length(model, texts), None, {}
    if shared:
        past = empty_cache(model)
        run_through(torch.tensor([texts[0][:shared]]), beginning.__setitem__, past)
    start = 0
    for batch in _batches(texts, run.tokens_per_batch):
        lengths = torch.tensor([len(ids) for ids in batch], device=device)
        n_rows = int(lengths.sum()) if run.rule == "all" else len(batch)

        def keep(layer: Layer, resid: Tensor, rows_now=slice(start, start + n_rows), lengths=lengths) -> None:
            if shared:
                resid = torch.cat([beginning[layer].expand(len(lengths), -1, -1), resid], dim=1)
            rows[layer][rows_now] = _POSITION_RULES[run.rule](resid, lengths).float()

        # Right padding needs no mask: causal attention keeps it out of the real tokens, and it is never read.
        tokens = pad_sequence([torch.tensor(ids[shared:]) for ids in batch], batch_first=True)
        run_through(tokens, keep, None if past is None else repeated(past, len(batch)))
        start += n_rows
        progress(int(lengths.sum()))
    return rows


def _batches(token_ids: list[list[int]], tokens_per_batch: int) -> Iterator[list[list[int]]]:
    """Cut a list sorted by length, longest first, into runs of at most `tokens_per_batch` padded tokens."""
    start = 0
    while start < len(token_ids):
        size = max(1, tokens_per_batch // len(token_ids[start]))
        yield token_ids[start : start + size]
        start += size


def _last(resid: Float[Tensor, "text pos d"], lengths: Int[Tensor, " text"]) -> Float[Tensor, "text d"]:
    return resid[torch.arange(len(lengths), device=resid.device), lengths - 1]


def _mean(resid: Float[Tensor, "text pos d"], lengths: Int[Tensor, " text"]) -> Float[Tensor, "text d"]:
    kept = resid.float().masked_fill(~_real_tokens(resid, lengths)[:, :, None], 0.0)
    return kept.sum(dim=1) / lengths[:, None]


def _all(resid: Float[Tensor, "text pos d"], lengths: Int[Tensor, " text"]) -> Float[Tensor, "token d"]:
    return resid[_real_tokens(resid, lengths)]


def _real_tokens(
    resid: Float[Tensor, "text pos d"], lengths: Int[Tensor, " text"]
) -> Bool[Tensor, "text pos"]:
    return torch.arange(resid.shape[1], device=resid.device) < lengths[:, None]


_POSITION_RULES = {"last": _last, "mean": _mean, "all": _all}
