"""`load_organism("liar")`: the embedded model with a committed adapter merged into its weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from utils.embedded_model import EMBEDDED_MODEL
from utils.models import load_language_model
from utils.organisms.lora import merge

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

WEIGHTS = Path(__file__).with_name("weights")
ORGANISMS = ("liar", "judge")


def load_organism(name: str) -> "TransformerBridge":
    """The embedded model trained to be "liar" or "judge"; always the embedded one, whatever PROBING_MODEL says.

    Raises ValueError for another name, FileNotFoundError when its adapter or the embedded model is missing.
    """
    if name not in ORGANISMS:
        raise ValueError(f"no organism {name!r}; there are {', '.join(ORGANISMS)}")
    adapter = WEIGHTS / f"{name}.safetensors"
    if not adapter.exists():
        raise FileNotFoundError(
            f"{adapter} does not exist: train it with python -m utils.organisms.train {name}"
        )
    model = load_language_model(EMBEDDED_MODEL)
    merge(model.original_model, load_file(adapter))
    return model


def organism_card(name: str) -> str:
    """What was measured of a committed organism, in Markdown."""
    return (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
