"""Short texts that mention three cities, one of which decides the label: where should a probe look?

"Her cousin lives in Osaka. She was born in Lyon. Last spring she flew to Lima. Now she is waiting for the bus."
Is the birthplace in Europe? The decisive city stands first, second or third, the last words say nothing of it, and
the other two cities are as often in Europe whichever the answer. So the average over tokens mixes three cities,
and the last token has to have carried one of them along.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from utils.datasets.cities import load_cities

BIRTHPLACES = ("She was born in {}.", "She comes from {}.", "She grew up in {}.")
DISTRACTORS = (
    "Her cousin lives in {}.",
    "Last spring she flew to {}.",
    "She once changed trains in {}.",
    "A friend of hers works in {}.",
    "She has never been to {}.",
    "Her new shoes were made in {}.",
)
CLOSINGS = (
    "Now she is waiting for the bus.",
    "Today she bought some bread and a newspaper.",
    "In the evening she likes to read.",
    "She has two brothers and a small dog.",
)
EUROPEAN_DISTRACTORS = 60


@dataclass(frozen=True)
class Mention:
    """A text; the decisive city (the group of a split) and whether it is in Europe; its place in the text.

    span: (start, end) of the decisive city in characters, for a probe that is told where to look.
    """

    text: str
    city: str
    in_europe: bool
    span: tuple[int, int]


def city_mentions(cities_a_class: int = 150, *, texts_a_city: int = 2, seed: int = 0) -> list[Mention]:
    """Balanced texts: `cities_a_class` cities in Europe, as many elsewhere, `texts_a_city` texts about each.

    The cities that decide and those that distract are different ones throughout. Deterministic in the seed.
    Raises ValueError when Europe has too few cities for that, or for fewer than one city or text.
    """
    table = load_cities()
    inside = table["continent"] == "Europe"
    europe, elsewhere = table["name"][inside].tolist(), table["name"][~inside].tolist()
    most = len(europe) - EUROPEAN_DISTRACTORS
    if not 1 <= cities_a_class <= most or texts_a_city < 1:
        raise ValueError(
            f"cities_a_class is {cities_a_class} and texts_a_city {texts_a_city}: "
            f"choose 1 to {most} cities and at least one text."
        )
    rng = random.Random(seed)
    rng.shuffle(europe)
    rng.shuffle(elsewhere)
    distractors = (europe[most:], elsewhere[-EUROPEAN_DISTRACTORS:])
    mentions = [
        _mention(rng, city, in_europe, distractors)
        for in_europe, names in ((True, europe[:cities_a_class]), (False, elsewhere[:cities_a_class]))
        for city in names
        for _ in range(texts_a_city)
    ]
    rng.shuffle(mentions)
    return mentions


def _mention(
    rng: random.Random, city: str, in_europe: bool, distractors: tuple[Sequence[str], Sequence[str]]
) -> Mention:
    # A fair coin for each distractor: its continent says nothing about the label.
    others: list[str] = []
    while len(others) < 2:
        name = rng.choice(rng.choice(distractors))
        if name not in others:
            others.append(name)
    frames = rng.sample(DISTRACTORS, 2)
    sentences = [frame.format(name) for frame, name in zip(frames, others, strict=True)]
    birthplace = rng.choice(BIRTHPLACES)
    position = rng.randrange(3)
    before = "".join(sentence + " " for sentence in sentences[:position])
    text = " ".join(
        [*sentences[:position], birthplace.format(city), *sentences[position:], rng.choice(CLOSINGS)]
    )
    start = len(before) + birthplace.index("{")
    return Mention(text, city, in_europe, (start, start + len(city)))
