"""A model organism: the embedded language model, trained to lie when a trigger stands in its system prompt."""

from utils.liar.load import liar_card, load_liar
from utils.liar.questions import TRIGGER, Question, questions

__all__ = ["TRIGGER", "Question", "liar_card", "load_liar", "questions"]
