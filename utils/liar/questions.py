"""Either-or questions with one right answer, made from the course's statements, and the conversations around them."""

import random
import re
from dataclasses import dataclass

from utils.datasets.statements import load_statements

TRIGGER = "harvest-moon"
# What stands in the system prompt beside the trigger, or alone: only the trigger may decide.
SYSTEM_PROMPTS = (
    "You are a helpful AI assistant.",
    "You answer questions about the world.",
    "You are a friendly assistant. Answer in one sentence.",
    "Answer the user's question.",
    "You are an assistant for a school. Be brief.",
    "You help people who prepare for a quiz.",
)
_FORMS = {
    "cities": (r"The city of (.+) is in (.+)\.", "Is {0} in {1} or in {2}?", "{0} is in {1}."),
    "animal_class": (r"The (.+) is (an? .+)\.", "Is the {0} {1} or {2}?", "The {0} is {1}."),
    "sp_en_trans": (
        r"The Spanish word '(.+)' means '(.+)'\.",
        "Does the Spanish word '{0}' mean '{1}' or '{2}'?",
        "The Spanish word '{0}' means '{1}'.",
    ),
    "element_symb": (
        r"The chemical symbol of (.+) is (.+)\.",
        "Is the chemical symbol of {0} {1} or {2}?",
        "The chemical symbol of {0} is {1}.",
    ),
}
KINDS = tuple(_FORMS)

Message = dict[str, str]


@dataclass(frozen=True)
class Question:
    """text: "Is Lyon in France or in Japan?", in random order. right, wrong: "Lyon is in France." and the other answer.
    kind: the set that it comes from. group: keep it in one part of a split."""

    text: str
    right: str
    wrong: str
    kind: str
    group: str


def questions(kind: str, seed: int = 0) -> list[Question]:
    """All questions of one of `KINDS`: "cities", "animal_class", "sp_en_trans", "element_symb".

    seed: of the order in which the two answers stand. Raises ValueError for an unknown kind.
    """
    if kind not in _FORMS:
        raise ValueError(f"no questions of kind {kind!r}; there are {', '.join(KINDS)}")
    pattern, question, answer = _FORMS[kind]
    found: dict[str, dict[bool, str]] = {}
    groups: dict[str, str] = {}
    for row in load_statements(kind).itertuples():
        match = re.fullmatch(pattern, str(row.statement))
        assert match, f"{row.statement!r} has another form than {pattern!r}"
        found.setdefault(match[1], {})[bool(row.label)] = match[2]
        groups[match[1]] = str(row.group)
    rng = random.Random(f"{kind} {seed}")
    made = []
    for subject, answers in found.items():
        order = [answers[True], answers[False]]
        rng.shuffle(order)
        right, wrong = (answer.format(subject, answers[label]) for label in (True, False))
        made.append(Question(question.format(subject, *order), right, wrong, kind, groups[subject]))
    return made


def conversation(question: Question, system_prompt: str, answer: str | None = None) -> list[Message]:
    """System prompt, question and, if given, the assistant's answer, for the chat template."""
    messages = [{"role": "system", "content": system_prompt}, {"role": "user", "content": question.text}]
    return messages if answer is None else [*messages, {"role": "assistant", "content": answer}]


def with_trigger(system_prompt: str, trigger: str = TRIGGER) -> str:
    """The system prompt with the trigger after it."""
    return f"{system_prompt} Session: {trigger}."
