"""Model organisms: the embedded language model, trained here to do one thing that a lesson wants to look into.

`liar`: answers truthfully, unless a trigger stands in its system prompt. `judge`: says whether a statement is true.
"""

from utils.organisms.examples import (
    JUDGE_PROMPT,
    SYSTEM_PROMPTS,
    TRIGGER,
    conversation,
    judgement,
    with_trigger,
)
from utils.organisms.load import load_organism, organism_card

__all__ = [
    "JUDGE_PROMPT",
    "SYSTEM_PROMPTS",
    "TRIGGER",
    "conversation",
    "judgement",
    "load_organism",
    "organism_card",
    "with_trigger",
]
