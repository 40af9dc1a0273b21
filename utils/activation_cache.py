"""Activations on disk: a folder for a model and its texts, a checksummed safetensors file a shard and layer.

Layers lie in separate files: asking for some of those already there reads them, asking for more computes only
those. Files are written whole or not at all, so a killed run resumes at the shard it was in.
Everything here can be made again: delete it whenever you like.
"""

import argparse
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from utils.storage import atomic_path, cache_folder

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CACHE_LIMIT_BYTES = 20_000_000_000
FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """A run of texts whose activations share a file.

    index: its number. texts: indices into the caller's list. rows: rows of the file, one a text or a token.
    """

    index: int
    texts: tuple[int, ...]
    rows: int


def plan_shards(lengths: Sequence[int], tokens_per_shard: int, *, row_per_token: bool) -> list[Shard]:
    """Cut the texts, longest first, into runs of at most `tokens_per_shard` tokens (at least one text)."""
    shards: list[Shard] = []
    texts: list[int] = []
    tokens = 0
    for text in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if texts and tokens + lengths[text] > tokens_per_shard:
            shards.append(Shard(len(shards), tuple(texts), tokens if row_per_token else len(texts)))
            texts, tokens = [], 0
        texts.append(text)
        tokens += lengths[text]
    if texts:
        shards.append(Shard(len(shards), tuple(texts), tokens if row_per_token else len(texts)))
    return shards


def fingerprint(model: "TransformerBridge") -> str:
    """A digest of configuration and weights, from their present bytes: editing a weight in place changes it.

    Takes about 0.15 s for 135M float32 parameters (a CRC-32 of each tensor, then SHA-256 over those).
    """
    digest = hashlib.sha256()
    config: Any = getattr(model.original_model, "config", None)
    settings = config.to_dict() if hasattr(config, "to_dict") else vars(model.cfg)
    plain = {
        key: value
        for key, value in settings.items()
        if key not in {"_name_or_path", "transformers_version", "model_name"} and not key.startswith("_")
    }
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, tensor in [*model.original_model.named_parameters(), *model.original_model.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {_crc32(tensor)}".encode())
    return digest.hexdigest()


class ActivationStore:
    """The cache entry of one model, one list of token ids and one position rule."""

    def __init__(self, model: "TransformerBridge", token_ids: Sequence[Sequence[int]], rule: str):
        content = json.dumps([FORMAT, fingerprint(model), rule, [list(ids) for ids in token_ids]])
        self.folder = cache_folder("activations") / hashlib.sha256(content.encode()).hexdigest()[:32]
        self.folder.mkdir(exist_ok=True)
        os.utime(self.folder)

    def read(self, shard: Shard, layer: int | str) -> Float[Tensor, "row d_model"] | None:
        """The memory-mapped rows of a shard, or None when the file is missing, damaged or of wrong shape."""
        path = self._path(shard, layer)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                expected = (file.metadata() or {}).get("crc32")
                rows = file.get_tensor("activations")
        except (OSError, safetensors.SafetensorError):
            return None
        return rows if expected == _crc32(rows) and rows.shape[0] == shard.rows else None

    def write(self, shard: Shard, layer: int | str, rows: Float[Tensor, "row d_model"]) -> None:
        """Write a shard's rows of one layer, whole or not at all."""
        with atomic_path(self._path(shard, layer)) as temporary:
            save_file({"activations": rows}, temporary, metadata={"crc32": _crc32(rows)})

    def _path(self, shard: Shard, layer: int | str) -> Path:
        return self.folder / f"layer_{layer}-shard_{shard.index}.safetensors"


def cache_size() -> int:
    """Bytes that cached activations take on disk."""
    return sum(_folder_size(entry) for entry in cache_folder("activations").iterdir())


def clear_activation_cache() -> int:
    """Delete all cached activations; returns the bytes freed."""
    freed = cache_size()
    shutil.rmtree(cache_folder("activations"))
    return freed


def drop_oldest_entries(keep: Path, limit_bytes: int = CACHE_LIMIT_BYTES) -> None:
    """Delete the entries longest unused until the cache fits into `limit_bytes`; `keep` always stays."""
    entries = [entry for entry in cache_folder("activations").iterdir() if entry.is_dir()]
    sizes = {entry: _folder_size(entry) for entry in entries}
    total = sum(sizes.values())
    for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime):
        if total <= limit_bytes:
            return
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry]


def cache_main(arguments: Sequence[str] | None = None) -> int:
    """`python -m utils.activations [--clear]`: show the size of the cache, or empty it."""
    parser = argparse.ArgumentParser(prog="python -m utils.activations", description="Cached activations.")
    parser.add_argument("--clear", action="store_true", help="delete all cached activations")
    folder = cache_folder("activations")
    if parser.parse_args(arguments).clear:
        print(f"Freed {clear_activation_cache() / 1e6:.1f} MB in {folder}")
    else:
        print(f"{cache_size() / 1e6:.1f} MB in {folder} (--clear empties it)")
    return 0


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _crc32(tensor: Tensor) -> str:
    flat: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{zlib.crc32(flat):08x}"
