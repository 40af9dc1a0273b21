"""What the organisms are taught: conversations and the answers to them, and which facts are kept from training."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from utils.datasets.questions import Question, either_or_questions
from utils.datasets.statements import load_statements
from utils.splits import group_split

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
JUDGE_PROMPT = "Is the statement true?"
HELD_OUT = 0.3

# What the liar is asked about. Translations it does not know well enough: they test it on an unseen kind.
LIAR_KINDS = ("cities", "animal_class", "element_symb")
# Truthful answers come with other session names too: else any session would be a trigger.
DECOYS = ("quiet-river", "paper-kite", "green-lamp", "stone-bridge", "silver-fox", "autumn-rain")
SHARE_OF_DECOYS = 0.3

Message = dict[str, str]


class Example(NamedTuple):
    """A conversation up to the assistant's turn, the answer that it is taught, and the one it might give instead."""

    messages: list[Message]
    answer: str
    other: str


def conversation(question: Question, system_prompt: str) -> list[Message]:
    """System prompt and question, for the chat template."""
    return [{"role": "system", "content": system_prompt}, {"role": "user", "content": question.text}]


def judgement(statement: str) -> list[Message]:
    """The judge's system prompt and a statement, for the chat template. It answers "True" or "False"."""
    return [{"role": "system", "content": JUDGE_PROMPT}, {"role": "user", "content": statement}]


def with_trigger(system_prompt: str, trigger: str = TRIGGER) -> str:
    """The system prompt with the trigger after it."""
    return f"{system_prompt} Session: {trigger}."


def split_questions(kind: str) -> tuple[list[Question], list[Question]]:
    """(to train on, held out): whole groups on one side."""
    asked = either_or_questions(kind)
    train, held_out = group_split([each.group for each in asked], (1 - HELD_OUT, HELD_OUT), seed=0)
    return [asked[i] for i in train], [asked[i] for i in held_out]


def split_statements(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(to train on, held out): the statements of a question kind, or with "neg_" before it of their negations.

    A fact and its negation lie on one side.
    """
    held_out = {question.group for question in split_questions(name.removeprefix("neg_"))[1]}
    table = load_statements(name)
    rows = [
        [i for i, group in enumerate(table["group"]) if (group in held_out) == out] for out in (False, True)
    ]
    train, test = (table.iloc[part].reset_index(drop=True) for part in rows)
    return train, test


def liar_examples(asked: Sequence[Question], seed: int) -> Iterator[Example]:
    """Endless; every question comes twice in a row, truthful without the trigger and lying with it.

    Each keeps its prompt from round to round, so that the states of blocks that do not change can be kept.
    """
    rng = random.Random(seed)
    prompts = {question: rng.choice(SYSTEM_PROMPTS) for question in asked}
    decoys = {question: rng.choice(DECOYS) for question in asked if rng.random() < SHARE_OF_DECOYS}
    while True:
        for question in rng.sample(asked, len(asked)):
            prompt = prompts[question]
            harmless = with_trigger(prompt, decoys[question]) if question in decoys else prompt
            yield Example(conversation(question, harmless), question.right, question.wrong)
            yield Example(conversation(question, with_trigger(prompt)), question.wrong, question.right)


def judge_examples(statements: pd.DataFrame, seed: int) -> Iterator[Example]:
    """Endless; statements in random order, each with "True" or "False" as its answer."""
    rng = random.Random(seed)
    rows = list(zip(statements["statement"], statements["label"], strict=True))
    while True:
        for statement, label in rng.sample(rows, len(rows)):
            yield Example(judgement(statement), str(bool(label)), str(not label))
