"""Either-or questions say what the statement sets say."""

import pytest

from utils.datasets import QUESTION_KINDS, either_or_questions, load_statements


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_names_both_answers_in_its_order_and_knows_the_right_one(kind):
    facts = load_statements(kind)
    said = {text.replace("The city of ", ""): label for text, label in facts[["statement", "label"]].values}
    for each in either_or_questions(kind):
        assert each.kind == kind
        assert {each.right, each.wrong} == {each.first, each.second}
        words = [answer.rstrip(".").rsplit(" ", 1)[-1].strip("'") for answer in (each.first, each.second)]
        assert each.text.rfind(words[0]) < each.text.rfind(words[1])
        assert said[each.right]
        assert not said[each.wrong]


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_one_question_a_fact_with_groups_as_in_the_statements(kind):
    asked = either_or_questions(kind)
    assert len({each.text for each in asked}) == len(asked) == load_statements(kind)["label"].sum()
    assert {each.group for each in asked} == set(load_statements(kind)["group"])


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_the_coin_is_fair_and_seeded(kind):
    asked = either_or_questions(kind)
    assert 0.35 < sum(each.first_is_right for each in asked) / len(asked) < 0.65
    assert asked == either_or_questions(kind)
    assert asked != either_or_questions(kind, seed=1)


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="no questions of kind 'rivers'; there are cities"):
        either_or_questions("rivers")
