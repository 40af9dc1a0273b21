"""What many texts begin with alike is run once, and changes nothing of what comes out."""

import pytest
import torch

from utils.activations import all_token_activations, last_token_activations, mean_token_activations
from utils.hooks import has_hooks
from utils.likelihood import continuation_log_probs, next_token_log_probs
from utils.models import tiny_language_model
from utils.shared_prefix import LEAST_TOKENS, shared_length

BEGINNING = list(range(3, 3 + LEAST_TOKENS))
TEXTS = [[*BEGINNING, *rest] for rest in ([40], [41, 42, 43], [41, 50], [60, 61, 62, 63])]


@pytest.fixture(scope="module")
def model():
    return tiny_language_model()


@pytest.fixture
def tokens_run(model):
    """How many tokens block 0 has seen."""
    seen = []

    def count(module, given, output):
        seen.append(given[0].shape[0] * given[0].shape[1])

    # Posing as the library's, or it would be somebody's hook.
    count.__module__ = "transformer_lens.test"
    handle = model.blocks[0].ln1.register_forward_hook(count)
    yield lambda: sum(seen)
    handle.remove()


@pytest.mark.parametrize("of", [last_token_activations, mean_token_activations])
def test_a_row_a_text_is_what_it_is_alone(model, of, tokens_run):
    together = of(model, TEXTS, [0, 2], cache=False)
    assert tokens_run() < 2 * len(BEGINNING) + 4 * len(TEXTS)
    for row, text in zip(together, TEXTS, strict=True):
        torch.testing.assert_close(row, of(model, [text], [0, 2], cache=False)[0], atol=1e-4, rtol=1e-4)


def test_every_token_is_what_it_is_alone(model):
    together = all_token_activations(model, TEXTS, ["embed", 1], cache=False)
    for row, text in enumerate(TEXTS):
        expected = all_token_activations(model, [text], ["embed", 1], cache=False)[0]
        torch.testing.assert_close(together[row], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("hugging_face", [False, True])
def test_probabilities_are_what_they_are_alone(model, hugging_face):
    scored = model.original_model if hugging_face else model
    before = [text[:-1] for text in TEXTS]
    after = [text[-1:] for text in TEXTS]
    together = continuation_log_probs(scored, before, after)
    singly = [continuation_log_probs(scored, [b], [a]) for b, a in zip(before, after, strict=True)]
    torch.testing.assert_close(together, torch.cat(singly), atol=1e-4, rtol=1e-4)
    chosen = next_token_log_probs(scored, before, after)
    torch.testing.assert_close(chosen[:, 0], together, atol=1e-4, rtol=1e-4)


def test_each_text_keeps_a_token(model):
    assert shared_length(model, TEXTS) == LEAST_TOKENS
    assert shared_length(model, [[*BEGINNING, 3], [*BEGINNING, 3]]) == LEAST_TOKENS
    assert shared_length(model, [BEGINNING, BEGINNING]) == 0
    assert shared_length(model, [TEXTS[0]]) == 0
    assert shared_length(model, [BEGINNING[1:], TEXTS[0]]) == 0


def test_hooks_see_each_text_in_one_pass(model):
    assert not has_hooks(model)
    with model.hooks(fwd_hooks=[("blocks.0.hook_out", lambda resid, hook: resid)]):
        assert has_hooks(model)
        assert shared_length(model, TEXTS) == 0
    handle = model.original_model.register_forward_pre_hook(lambda module, given: None)
    assert shared_length(model, TEXTS) == 0
    handle.remove()
    assert shared_length(model, TEXTS) == LEAST_TOKENS
