"""Sentences with known dependency trees, generated from a small grammar, for a structural probe.

Dependencies follow the basic Stanford scheme that Hewitt & Manning 2019 (NAACL, N19-1419) used: a preposition
heads its noun phrase, the first conjunct heads the conjunction and the others, the verb heads its clause.

Word order does not give the trees away. "The pilot put the letter in the drawer" hangs "in" on the verb, "The
pilot liked the letter in the drawer" on the noun. "that" opens a subject relative clause, an object relative
clause (centre-embedded before the main verb) or a complement clause. "and" joins noun phrases or clauses. No
sentence is ambiguous: a preposition follows an object only after verbs that need a place (put) or that hardly
take one (liked).
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from utils.datasets.lexicon import WORDS

ROOT = -1
LENGTHS = range(6, 17)
MAX_EMBEDDING = 2


@dataclass(frozen=True)
class ParsedSentence:
    """Words, and for each the position of its head; -1 marks the root (the main verb).

    Raises ValueError when the heads do not form one tree over the words.
    """

    words: tuple[str, ...]
    heads: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.heads):
            raise ValueError(f"{len(self.words)} words have {len(self.heads)} heads: one for each is needed.")
        if self.heads.count(ROOT) != 1 or not all(ROOT <= head < len(self.words) for head in self.heads):
            raise ValueError(f"heads {self.heads} must name positions and -1 exactly once.")
        for word in range(len(self.words)):
            _path_to_root(self.heads, word)

    @property
    def text(self) -> str:
        """The words with single spaces and a full stop, which is no word of the tree."""
        return " ".join(self.words) + "."

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each word stands in `text`: (start, end) in characters, to line words up with tokens."""
        ends = [
            sum(len(word) + 1 for word in self.words[: position + 1]) - 1
            for position in range(len(self.words))
        ]
        return tuple((end - len(word), end) for word, end in zip(self.words, ends, strict=True))


def generate_sentences(
    count: int, *, seed: int = 0, lexicon: Literal["train", "validation", "test", "all"] = "all"
) -> list[ParsedSentence]:
    """`count` distinct sentences of 6 to 16 words; the same ones for the same arguments.

    lexicon: "train", "validation" and "test" share no content word (nouns, verbs, adjectives, adverbs), only "the",
    "this", "that", "and" and the prepositions.
    Raises ValueError for a count below one or another lexicon.
    """
    if count < 1:
        raise ValueError(f"count is {count}: ask for at least one sentence.")
    grammar = _Grammar(random.Random(seed), _lexicon(lexicon))
    # A dict keeps the order of generation, which a set would not.
    sentences: dict[tuple[str, ...], ParsedSentence] = {}
    while len(sentences) < count:
        phrase = grammar.sentence()
        if len(phrase.words) in LENGTHS:
            words = (phrase.words[0].capitalize(), *phrase.words[1:])
            sentences[words] = ParsedSentence(words, phrase.heads)
    return list(sentences.values())


def gold_edges(sentence: ParsedSentence) -> frozenset[tuple[int, int]]:
    """The tree's edges without direction, as (left, right) positions: one fewer than words."""
    return frozenset(
        (min(word, head), max(word, head)) for word, head in enumerate(sentence.heads) if head != ROOT
    )


def tree_distances(sentence: ParsedSentence) -> Int[Tensor, "word word"]:
    """The number of edges on the path between every two words."""
    paths = [_path_to_root(sentence.heads, word) for word in range(len(sentence.words))]
    # Two paths to the root share exactly their common ancestors, and the words' own path leaves those out.
    return torch.tensor([[len(set(first) ^ set(second)) for second in paths] for first in paths])


def tree_depths(sentence: ParsedSentence) -> Int[Tensor, "word"]:
    """The number of edges from each word to the root."""
    return torch.tensor([len(_path_to_root(sentence.heads, word)) - 1 for word in range(len(sentence.words))])


def _path_to_root(heads: tuple[int, ...], word: int) -> list[int]:
    path = [word]
    while heads[path[-1]] != ROOT:
        path.append(heads[path[-1]])
        if len(path) > len(heads):
            raise ValueError(f"heads {heads} go round in a circle from position {word}.")
    return path


def _lexicon(name: str) -> dict[str, list[str]]:
    parts = {"train": (0, 1, 3, 4), "validation": (2,), "test": (5,), "all": tuple(range(6))}
    if name not in parts:
        raise ValueError(f"lexicon is {name!r}: choose one of {sorted(parts)}.")
    return {
        category: [word for place, word in enumerate(words.split()) if place % 6 in parts[name]]
        for category, words in WORDS.items()
    }


@dataclass(frozen=True)
class _Phrase:
    words: tuple[str, ...]
    heads: tuple[int, ...]

    @property
    def top(self) -> int:
        return self.heads.index(ROOT)


def _join(parts: Iterable["_Phrase | str"], head: int) -> _Phrase:
    """Parts in order of speech; the tops of all but part number `head` (-1 the last) hang on that part's top."""
    phrases = [_Phrase((part,), (ROOT,)) if isinstance(part, str) else part for part in parts]
    starts = [sum(len(phrase.words) for phrase in phrases[:index]) for index in range(len(phrases))]
    head %= len(phrases)
    top = starts[head] + phrases[head].top
    heads: list[int] = []
    for index, (phrase, start) in enumerate(zip(phrases, starts, strict=True)):
        parent = ROOT if index == head else top
        heads.extend(parent if local == ROOT else local + start for local in phrase.heads)
    return _Phrase(tuple(word for phrase in phrases for word in phrase.words), tuple(heads))


class _Grammar:
    """Draws phrases. `room` is how many more clauses may still be embedded in the phrase."""

    def __init__(self, rng: random.Random, lexicon: dict[str, list[str]]) -> None:
        self.rng = rng
        self.lexicon = lexicon

    def sentence(self) -> _Phrase:
        if self.rng.random() < 0.15:
            # Without clauses inside, nothing else could be what "and" joins.
            return _join([self.clause(0), "and", self.clause(0)], 0)
        return self.clause(MAX_EMBEDDING)

    def clause(self, room: int) -> _Phrase:
        subject = self.person(room, place=0.2)
        verb, *rest = self.predicate(room)
        return _join([subject, verb, *rest], 1)

    def predicate(self, room: int) -> list[_Phrase | str]:
        kind = self.rng.choice(["alone", "alone", "person", "thing", "give", "put", *["say"] * (room > 0)])
        if kind == "alone":
            return [
                self.word("intransitive"),
                self.place_phrase() if self.rng.random() < 0.6 else self.word("adverb"),
            ]
        if kind == "person":
            return [self.word("to_person"), self.person(room - 1, place=0.0)]
        if kind == "thing":
            return [self.word("to_thing"), self.thing(place=0.6)]
        if kind == "give":
            return [self.word("give"), self.person(0, place=0.2), self.thing(place=0.0)]
        if kind == "put":
            return [self.word("put"), self.thing(place=0.0), self.place_phrase()]
        return [self.word("say"), _join(["that", self.clause(room - 1)], 1)]

    def person(self, room: int, *, place: float) -> _Phrase:
        """`place` is the probability of "the nurse in the garden": none after a verb that could take "in"."""
        noun = self.noun("person")
        choice = self.rng.random()
        if room > 0 and choice < 0.2:
            verb, *rest = self.predicate(room - 1)
            return _join([*noun, _join(["that", verb, *rest], 1)], len(noun) - 1)
        if room > 0 and choice < 0.4:
            subject, verb = self.person(room - 1, place=0.2), self.word("to_person")
            return _join([*noun, _join(["that", subject, verb], 2)], len(noun) - 1)
        if choice < 0.5:
            return _join([*noun, "and", _join(self.noun("person"), -1)], len(noun) - 1)
        return self._placed(noun, place)

    def thing(self, *, place: float) -> _Phrase:
        return self._placed(self.noun("thing"), place)

    def _placed(self, noun: list[str], place: float) -> _Phrase:
        rest = [self.place_phrase()] if self.rng.random() < place else []
        return _join([*noun, *rest], len(noun) - 1)

    def place_phrase(self) -> _Phrase:
        preposition = self.rng.choice(["in", "near", "behind", "beside", "outside"])
        return _join([preposition, _join(self.noun("place"), -1)], 0)

    def noun(self, category: str) -> list[str]:
        """A determiner, up to two adjectives and the noun, last."""
        kind = "of_person" if category == "person" else "of_thing"
        adjectives = self.rng.sample(self.lexicon[kind], self.rng.choice([0, 0, 0, 1, 1, 2]))
        return ["the" if self.rng.random() < 0.75 else "this", *adjectives, self.word(category)]

    def word(self, category: str) -> str:
        return self.rng.choice(self.lexicon[category])
