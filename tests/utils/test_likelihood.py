"""The probability of a continuation, against one token at a time."""

import pytest
import torch

from utils.likelihood import continuation_log_probs, next_token_log_probs, option_log_probs, word_tokens
from utils.models import tiny_language_model

BEFORE = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
AFTER = [[20], [21, 22, 23], [24, 25]]


@pytest.fixture(scope="module")
def model():
    return tiny_language_model()


def one_by_one(model, before, after):
    total, so_far = 0.0, list(before)
    for token in after:
        total += model(torch.tensor([so_far]))[0, -1].log_softmax(-1)[token].item()
        so_far.append(token)
    return total


def test_is_the_sum_over_the_continuations_tokens(model):
    expected = [one_by_one(model, *pair) for pair in zip(BEFORE, AFTER, strict=True)]
    torch.testing.assert_close(
        continuation_log_probs(model, BEFORE, AFTER), torch.tensor(expected), atol=1e-4, rtol=1e-4
    )


def test_many_texts_come_back_in_their_order(model):
    n = 40
    before, after = [[3 + i % 7] * (1 + i % 5) for i in range(n)], [[30 + i] for i in range(n)]
    together = continuation_log_probs(model, before, after)
    alone = torch.cat([continuation_log_probs(model, [b], [a]) for b, a in zip(before, after, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_a_hugging_face_model_gives_the_same(model):
    torch.testing.assert_close(
        continuation_log_probs(model.original_model, BEFORE, AFTER),
        continuation_log_probs(model, BEFORE, AFTER),
    )


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [([[1]], [], "1 texts before, 0 after"), ([[1], []], [[2], [3]], "text 1"), ([[1]], [[]], "text 0")],
)
def test_refuses_what_it_cannot_score(model, before, after, message):
    with pytest.raises(ValueError, match=message):
        continuation_log_probs(model, before, after)


def test_candidates_are_continuations_of_one_token(model):
    candidates = [[20, 3], [21, 21], [0, 24]]
    expected = [continuation_log_probs(model, BEFORE, [[row[i]] for row in candidates]) for i in range(2)]
    for source in (model, model.original_model):
        found = next_token_log_probs(source, BEFORE, candidates)
        torch.testing.assert_close(found, torch.stack(expected, dim=1), atol=1e-4, rtol=1e-4)


def test_candidates_of_many_texts_come_back_in_their_order(model):
    texts = [[3 + i % 7] * (1 + i % 5) for i in range(40)]
    together = next_token_log_probs(model, texts, [[30 + i, 5] for i in range(40)])
    alone = [next_token_log_probs(model, [ids], [[30 + i, 5]]) for i, ids in enumerate(texts)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("texts", "candidates", "message"),
    [([[1]], [], "1 texts, 0 lists"), ([[1], []], [[2], [3]], "text 1")],
)
def test_refuses_candidates_that_belong_to_no_text(model, texts, candidates, message):
    with pytest.raises(ValueError, match=message):
        next_token_log_probs(model, texts, candidates)


def test_options_are_continuations(model):
    n = 40
    before = [[3 + i % 7] * (2 + i % 5) for i in range(n)]
    options = [[[30 + i, 5], [7] * (1 + i % 3)] for i in range(n)]
    alone = [continuation_log_probs(model, before, [row[k] for row in options]) for k in range(2)]
    found = option_log_probs(model, before, options)
    torch.testing.assert_close(found, torch.stack(alone, dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("before", "options", "message"),
    [
        ([[1, 2]], [], "1 texts before, 0 lists"),
        ([[1]], [[[2]]], "text 0"),
        ([[1, 2]], [[[2], []]], "text 0"),
        ([[1, 2], [3, 4]], [[[5]], [[6], [7]]], "texts with 1 and with 2 options"),
    ],
)
def test_refuses_options_that_cannot_follow(model, before, options, message):
    with pytest.raises(ValueError, match=message):
        option_log_probs(model, before, options)


def tokenizer_of_words(text, add_special_tokens):
    """Knows two words; others are spelt."""
    assert not add_special_tokens
    known = {" sea": [7], " ship": [3]}
    return {"input_ids": known.get(text, [100 + ord(each) for each in text])}


def test_words_of_one_token_are_kept_once_and_in_order():
    assert word_tokens(tokenizer_of_words, ["sea", "lighthouse", "ship", "sea"]) == [3, 7]


def test_no_word_of_one_token_is_an_error():
    with pytest.raises(ValueError, match="none of 1 words"):
        word_tokens(tokenizer_of_words, ["lighthouse"])
