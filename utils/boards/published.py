"""Published board models, converted to the weights of a `TransformerBridge`: Othello-GPT and Chess-GPT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens.config import TransformerBridgeConfig

Weights = dict[str, Tensor]
Converted = tuple["TransformerBridgeConfig", Weights]


@dataclass(frozen=True)
class Published:
    """Where a model lies on the Hugging Face hub, what it reads, and how its checkpoint is converted."""

    repo: str
    file: str
    game: str
    convert: Callable[[Mapping[str, Any]], Converted]
    card: str


def convert_othello_gpt(checkpoint: Mapping[str, Any]) -> Converted:
    """A HookedTransformer state dict without LayerNorm weights (they are folded in).

    The shapes of the weights give the model's. Raises ValueError for a checkpoint of another kind, such as one whose
    LayerNorm weights are not folded in.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    if "blocks.0.attn.W_Q" not in checkpoint:
        raise ValueError(f"no HookedTransformer state dict: its keys begin {sorted(checkpoint)[:3]}")
    if "blocks.0.ln1.w" in checkpoint:
        raise ValueError(
            "the checkpoint has LayerNorm weights (blocks.0.ln1.w): fold them in before conversion"
        )
    n_heads, d_model, d_head = checkpoint["blocks.0.attn.W_Q"].shape
    config = TransformerBridgeConfig(
        d_model=d_model,
        d_head=d_head,
        n_heads=n_heads,
        n_layers=_count(checkpoint, "blocks."),
        d_mlp=checkpoint["blocks.0.mlp.W_in"].shape[1],
        n_ctx=len(checkpoint["pos_embed.W_pos"]),
        d_vocab=len(checkpoint["embed.W_E"]),
        act_fn="gelu",
        normalization_type="LNPre",
        positional_embedding_type="standard",
    )
    return config, convert_tl_checkpoint(dict(checkpoint), config)


def convert_nanogpt(checkpoint: Mapping[str, Any]) -> Converted:
    """A nanoGPT checkpoint (`{"model": …, "model_args": …}`), saved with or without torch.compile's prefix and biases.

    Source of the format: github.com/karpathy/nanoGPT, `model.py`. Raises ValueError for a checkpoint of another kind.
    """
    from transformer_lens.config import TransformerBridgeConfig

    if "model" not in checkpoint or "model_args" not in checkpoint:
        raise ValueError(f"no nanoGPT checkpoint: its keys are {sorted(checkpoint)[:3]}")
    old = {key.removeprefix("_orig_mod."): value for key, value in checkpoint["model"].items()}
    if "transformer.wpe.weight" not in old:
        raise ValueError(f"no nanoGPT weights: their names begin {sorted(old)[:3]}")
    n_ctx, d_model = old["transformer.wpe.weight"].shape
    n_layers, n_heads = _count(old, "transformer.h."), checkpoint["model_args"]["n_head"]
    config = TransformerBridgeConfig(
        d_model=d_model,
        d_head=d_model // n_heads,
        n_heads=n_heads,
        n_layers=n_layers,
        d_mlp=len(old["transformer.h.0.mlp.c_fc.weight"]),
        n_ctx=n_ctx,
        d_vocab=len(old["transformer.wte.weight"]),
        act_fn="gelu",
        normalization_type="LN",
        positional_embedding_type="standard",
    )
    new: Weights = {
        "embed.weight": old["transformer.wte.weight"],
        "pos_embed.weight": old["transformer.wpe.weight"],
        "unembed.weight": old["lm_head.weight"],
        "unembed.bias": torch.zeros(len(old["lm_head.weight"])),
    }

    def copy(target: str, source: str) -> None:
        weight = old[f"{source}.weight"]
        bias = old.get(f"{source}.bias")
        new[f"{target}.weight"] = weight
        new[f"{target}.bias"] = torch.zeros(len(weight)) if bias is None else bias

    copy("ln_final", "transformer.ln_f")
    for layer in range(n_layers):
        block, source = f"blocks.{layer}", f"transformer.h.{layer}"
        copy(f"{block}.ln1", f"{source}.ln_1")
        copy(f"{block}.ln2", f"{source}.ln_2")
        copy(f"{block}.attn.o", f"{source}.attn.c_proj")
        copy(f"{block}.mlp.in", f"{source}.mlp.c_fc")
        copy(f"{block}.mlp.out", f"{source}.mlp.c_proj")
        copy("qkv", f"{source}.attn.c_attn")
        weights, biases = new.pop("qkv.weight").chunk(3), new.pop("qkv.bias").chunk(3)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            new[f"{block}.attn.{name}.weight"], new[f"{block}.attn.{name}.bias"] = weight, bias
    return config, new


def _count(state: Mapping[str, Any], prefix: str) -> int:
    return 1 + max(int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix))


def _chess_gpt(layers: int, data: str, described: str) -> Published:
    return Published(
        "adamkarvonen/chess_llms",
        f"{data}_{layers}layers_ckpt_no_optimizer.pt",
        "pgn",
        convert_nanogpt,
        f"Chess-GPT, {layers} layers, d_model 512, trained on PGN characters of {described} (Karvonen 2024, "
        "arXiv:2403.15498). Boards are probed at the dots of move numbers, where white is to move.\n",
    )


PUBLISHED: dict[str, Published] = {
    "othello-gpt-published": Published(
        "NeelNanda/Othello-GPT-Transformer-Lens",
        "synthetic_model.pth",
        "othello",
        convert_othello_gpt,
        "Othello-GPT, 8 layers, d_model 512, trained on 20 million random games (Li et al. 2023, arXiv:2210.13382; "
        "converted by Nanda 2022).\n",
    ),
    "chess-gpt-8layers-lichess": _chess_gpt(8, "lichess", "human games from Lichess"),
    "chess-gpt-16layers-lichess": _chess_gpt(16, "lichess", "human games from Lichess"),
    "chess-gpt-8layers-stockfish": _chess_gpt(8, "stockfish", "games that Stockfish plays as white"),
    "chess-gpt-16layers-stockfish": _chess_gpt(16, "stockfish", "games that Stockfish plays as white"),
}
