"""Either-or questions with one right answer, made from the statement sets."""

import random
import re
from dataclasses import dataclass

from utils.datasets.statements import load_statements

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
QUESTION_KINDS = tuple(_FORMS)


@dataclass(frozen=True)
class Question:
    """A question that names two answers, one of them right.

    text: "Is Lyon in Japan or in France?". first, second: "Lyon is in Japan.", "Lyon is in France.": as the question
    names them. first_is_right: which is right. kind: the statement set. group: keep it in one part of a split.
    """

    text: str
    first: str
    second: str
    first_is_right: bool
    kind: str
    group: str

    @property
    def right(self) -> str:
        return self.first if self.first_is_right else self.second

    @property
    def wrong(self) -> str:
        return self.second if self.first_is_right else self.first


def either_or_questions(kind: str, seed: int = 0) -> list[Question]:
    """All questions of one of `QUESTION_KINDS`, in a random order of the two answers.

    seed: of that order. Raises ValueError for an unknown kind.
    """
    if kind not in _FORMS:
        raise ValueError(f"no questions of kind {kind!r}; there are {', '.join(QUESTION_KINDS)}")
    pattern, question, answer = _FORMS[kind]
    options: dict[str, dict[bool, str]] = {}
    groups: dict[str, str] = {}
    table = load_statements(kind)
    for statement, label, group in zip(table["statement"], table["label"], table["group"], strict=True):
        match = re.fullmatch(pattern, statement)
        assert match, f"{statement!r} has another form than {pattern!r}"
        options.setdefault(match[1], {})[bool(label)] = match[2]
        groups[match[1]] = group
    rng = random.Random(f"{kind} {seed}")
    made = []
    for subject, named in options.items():
        right_first = rng.random() < 0.5
        first, second = named[right_first], named[not right_first]
        made.append(
            Question(
                question.format(subject, first, second),
                answer.format(subject, first),
                answer.format(subject, second),
                right_first,
                kind,
                groups[subject],
            )
        )
    return made
