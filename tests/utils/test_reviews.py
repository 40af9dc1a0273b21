"""Tests of the pairs of reviews: balance, form, what differs in a pair, and what words alone give away."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from utils.datasets import REVIEW_KINDS, ReviewPair, load_review_pairs

PAIRS_A_THING = {"said": 4, "implied": 2}
ARTICLES = {"a", "an"}

every_kind = pytest.mark.parametrize("kind", REVIEW_KINDS)


def words(text):
    return re.findall(r"[\w'-]+", text.lower())


def texts_labels_groups(kind):
    pairs = load_review_pairs(kind)
    return (
        [text for pair in pairs for text in (pair.positive, pair.negative)],
        np.array([True, False] * len(pairs)),
        np.array([pair.group for pair in pairs for _ in range(2)]),
    )


def bag_of_words(ngrams=1):
    vectorizer = CountVectorizer(token_pattern=r"\w+", ngram_range=(1, ngrams))
    return make_pipeline(vectorizer, LogisticRegression(max_iter=500))


class TestEveryKind:
    @every_kind
    def test_size_and_things(self, kind):
        pairs = load_review_pairs(kind)
        assert set(Counter(pair.thing for pair in pairs).values()) == {PAIRS_A_THING[kind]}
        assert len({pair.thing for pair in pairs}) == 40
        assert {pair.kind for pair in pairs} == {kind}
        assert all(isinstance(pair, ReviewPair) and pair.group == pair.thing for pair in pairs)
        assert load_review_pairs(kind) == pairs

    @every_kind
    def test_pairs_of_a_thing_stand_together(self, kind):
        things = [pair.thing for pair in load_review_pairs(kind)]
        assert things == [thing for thing in dict.fromkeys(things) for _ in range(PAIRS_A_THING[kind])]

    @every_kind
    def test_plain_sentences_of_8_to_20_words(self, kind):
        texts, _, _ = texts_labels_groups(kind)
        for text in texts:
            assert re.fullmatch(r"[A-Z][A-Za-z0-9,:' -]*[a-z]\.", text), text
            assert "  " not in text
            assert 8 <= len(words(text)) <= 20, text

    @every_kind
    def test_lengths_say_nothing(self, kind):
        texts, labels, _ = texts_labels_groups(kind)
        lengths = np.array([len(words(text)) for text in texts])
        assert abs(lengths[labels].mean() - lengths[~labels].mean()) < 0.3

    def test_no_duplicates_within_and_across_kinds(self):
        texts = [text.lower() for kind in REVIEW_KINDS for text in texts_labels_groups(kind)[0]]
        assert len(set(texts)) == len(texts) == 480

    def test_both_kinds_are_about_the_same_things(self):
        said, implied = ([pair.thing for pair in load_review_pairs(kind)] for kind in REVIEW_KINDS)
        assert list(dict.fromkeys(said)) == list(dict.fromkeys(implied))

    def test_an_unknown_kind_names_the_known_ones(self):
        with pytest.raises(ValueError, match="no review pairs of kind 'shouted'; there are said, implied"):
            load_review_pairs("shouted")


class TestSaid:
    def test_the_two_of_a_pair_differ_only_in_one_to_four_phrases(self):
        for pair in load_review_pairs("said"):
            good, bad = words(pair.positive), words(pair.negative)
            assert len(good) == len(bad), pair
            differs = [one != other for one, other in zip(good, bad, strict=True)]
            starts = [here and not before for here, before in zip(differs, [False, *differs], strict=False)]
            assert 1 <= sum(starts) <= 4, pair
            assert sum(differs) <= len(good) / 2, pair

    def test_opinion_words_are_many_and_none_in_both_classes(self):
        sides = defaultdict(set), defaultdict(set)
        for pair in load_review_pairs("said"):
            good, bad = words(pair.positive), words(pair.negative)
            for side, ours, theirs in zip(sides, (good, bad), (bad, good), strict=True):
                for word in set(ours) - set(theirs) - ARTICLES:
                    side[word].add(pair.thing)
        assert set(sides[0]).isdisjoint(sides[1])
        for side in sides:
            assert len(side) >= 300
            assert max(map(len, side.values())) <= 2
            # So that a thing, or a group of things, can be held out with most of its words.
            assert sum(len(things) == 1 for things in side.values()) > 0.9 * len(side)

    def test_articles_fit(self):
        texts, _, _ = texts_labels_groups("said")
        for text in texts:
            for article, word in re.findall(r"\b([Aa]n?) (\w+)", text):
                assert (article.lower() == "an") == bool(re.match("[aeio]|u(?!s)|hour", word)), text

    def test_persons_and_tenses_vary(self):
        texts, _, _ = texts_labels_groups("said")
        first = sum(not {"i", "we", "my", "our", "us", "me"}.isdisjoint(words(text)) for text in texts)
        past = sum(not {"was", "were", "had", "did"}.isdisjoint(words(text)) for text in texts)
        present = sum(not {"is", "are", "has", "have"}.isdisjoint(words(text)) for text in texts)
        assert 0.3 < first / len(texts) < 0.7
        assert past / len(texts) > 0.25
        assert present / len(texts) > 0.25


class TestWordsAlone:
    @pytest.mark.parametrize(
        ("kind", "lowest", "highest"), [("said", 0.55, 0.68), ("implied", 0.45, 0.6)], ids=REVIEW_KINDS
    )
    @pytest.mark.parametrize("ngrams", [1, 2])
    def test_fitted_on_other_things(self, kind, lowest, highest, ngrams):
        texts, labels, groups = texts_labels_groups(kind)
        scores = [
            cross_val_score(
                bag_of_words(ngrams),
                texts,
                labels,
                groups=groups,
                cv=GroupKFold(5, shuffle=True, random_state=seed),
            ).mean()
            for seed in range(2)
        ]
        assert lowest < np.mean(scores) < highest

    @pytest.mark.parametrize("ngrams", [1, 2])
    def test_fitted_on_the_other_kind(self, ngrams):
        said, implied = (texts_labels_groups(kind) for kind in REVIEW_KINDS)
        for fit, test in ((said, implied), (implied, said)):
            assert 0.45 < bag_of_words(ngrams).fit(fit[0], fit[1]).score(test[0], test[1]) < 0.55

    def test_implied_uses_no_opinion_word_of_said(self):
        opinions = set()
        for pair in load_review_pairs("said"):
            opinions |= set(words(pair.positive)) ^ set(words(pair.negative))
        texts, _, _ = texts_labels_groups("implied")
        assert (opinions - ARTICLES).isdisjoint(word for text in texts for word in words(text))
