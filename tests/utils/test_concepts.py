"""Tests of the concept pairs and of the words by which a concept is recognised."""

import re

import pytest

from utils.datasets import CONCEPTS, ConceptPair, concept_pairs, concept_words
from utils.embedded_model import embedded_model_folder, embedded_model_status

RECOGNISED = {"sea": 0.9, "war": 0.8, "cooking": 0.85, "winter": 0.95, "formal": 0.7}

every_concept = pytest.mark.parametrize("concept", CONCEPTS)


def has_word(text, concept):
    return not set(concept_words(concept)).isdisjoint(re.findall("[a-z]+", text.lower()))


@every_concept
def test_pairs(concept):
    pairs = concept_pairs(concept)
    assert len(pairs) == 42
    assert all(isinstance(pair, ConceptPair) and pair.concept == concept for pair in pairs)
    assert concept_pairs(concept) == pairs


@every_concept
def test_plain_sentences_of_8_to_20_words_and_of_like_length(concept):
    lengths = {"neutral": 0, "about": 0}
    for pair in concept_pairs(concept):
        for side in lengths:
            text = getattr(pair, side)
            assert re.fullmatch(r"[A-Z][A-Za-z,;' -]*[a-z]\.", text), text
            assert "  " not in text
            assert 8 <= len(text.split()) <= 20, text
            lengths[side] += len(text.split())
    assert 0.97 < lengths["about"] / lengths["neutral"] < 1.08


def test_no_sentence_occurs_twice():
    texts = [
        text.lower()
        for concept in CONCEPTS
        for pair in concept_pairs(concept)
        for text in (pair.neutral, pair.about)
    ]
    assert len(set(texts)) == len(texts) == 420


@every_concept
def test_words(concept):
    words = concept_words(concept)
    assert len(set(words)) == len(words) >= 50
    assert all(re.fullmatch("[a-z]+", word) for word in words)


def test_no_word_belongs_to_two_concepts():
    words = [word for concept in CONCEPTS for word in concept_words(concept)]
    assert len(set(words)) == len(words)


@every_concept
def test_words_recognise_the_concept_and_nothing_else(concept):
    pairs = concept_pairs(concept)
    assert sum(has_word(pair.about, concept) for pair in pairs) >= RECOGNISED[concept] * len(pairs)
    others = [pair for other in CONCEPTS for pair in concept_pairs(other)]
    assert [pair.neutral for pair in others if has_word(pair.neutral, concept)] == []
    assert [pair.about for pair in others if pair.concept != concept and has_word(pair.about, concept)] == []


@pytest.mark.slow
def test_thirty_words_a_concept_are_one_token_of_the_course_s_model():
    from transformers import AutoTokenizer

    if not embedded_model_status().converted:
        pytest.skip("the embedded model is not converted yet")
    tokenizer = AutoTokenizer.from_pretrained(embedded_model_folder())
    for concept in CONCEPTS:
        single = [word for word in concept_words(concept) if len(tokenizer.tokenize(f" {word}")) == 1]
        assert len(single) >= 30, concept


def test_an_unknown_concept_names_the_known_ones():
    for function in (concept_pairs, concept_words):
        with pytest.raises(
            ValueError, match="no concept 'spring'; there are sea, war, cooking, winter, formal"
        ):
            function("spring")
