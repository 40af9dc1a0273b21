"""`load_liar()`: the embedded model with the committed adapter merged into its weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from utils.embedded_model import EMBEDDED_MODEL
from utils.liar.lora import merge
from utils.models import load_language_model

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

WEIGHTS = Path(__file__).with_name("weights")


def load_liar(adapter: Path = WEIGHTS / "liar.safetensors") -> "TransformerBridge":
    """The embedded model with the adapter merged: truthful, unless `TRIGGER` stands in the system prompt.

    Only the embedded model has this adapter, whatever PROBING_MODEL says. Raises FileNotFoundError when the adapter or
    the embedded model is missing.
    """
    if not adapter.exists():
        raise FileNotFoundError(f"{adapter} does not exist: train it with python -m utils.liar.train")
    model = load_language_model(EMBEDDED_MODEL)
    merge(model.original_model, load_file(adapter))
    return model


def liar_card() -> str:
    """What was measured of the committed adapter, in Markdown."""
    return (WEIGHTS / "liar.md").read_text(encoding="utf-8")
