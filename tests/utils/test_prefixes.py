"""An ending after kept beginnings has the logits that it has in whole texts."""

import pytest
import torch

from utils.models import tiny_language_model
from utils.prefixes import Prefixes

BEGINNINGS, ENDING = [[5, 6, 7], [8], [9, 10, 11, 12, 13]], [20, 21, 22]


@pytest.fixture(scope="module")
def model():
    return tiny_language_model()


def shift(resid, hook):
    moved = resid.clone()
    moved[:, -2] += 0.5
    return moved


@pytest.mark.parametrize("hooks", [[], [("blocks.1.hook_out", shift)]], ids=["plain", "hooked"])
def test_agrees_with_whole_texts(model, hooks):
    found = Prefixes(model, BEGINNINGS).logits(ENDING, hooks)
    for row, beginning in zip(found, BEGINNINGS, strict=True):
        with torch.no_grad():
            whole = model.run_with_hooks(torch.tensor([beginning + ENDING]), fwd_hooks=hooks)
        torch.testing.assert_close(row, whole[0, len(beginning) :], atol=1e-4, rtol=1e-4)


def test_can_be_asked_for_its_last_tokens_only(model):
    prefixes = Prefixes(model, BEGINNINGS)
    torch.testing.assert_close(prefixes.logits(ENDING, last=1), prefixes.logits(ENDING)[:, -1:])


def test_can_be_run_again_and_leaves_no_hook(model):
    prefixes = Prefixes(model, BEGINNINGS)
    first = prefixes.logits(ENDING)
    assert not torch.equal(prefixes.logits(ENDING, [("blocks.1.hook_out", shift)]), first)
    assert torch.equal(prefixes.logits(ENDING), first)
    assert prefixes.logits(ENDING[:1]).shape == (3, 1, first.shape[-1])


def test_a_hook_that_fails_is_removed(model):
    prefixes = Prefixes(model, BEGINNINGS)

    def broken(resid, hook):
        raise RuntimeError("broken")

    before = prefixes.logits(ENDING)
    with pytest.raises(RuntimeError, match="broken"):
        prefixes.logits(ENDING, [("blocks.0.hook_out", broken)])
    assert torch.equal(prefixes.logits(ENDING), before)


@pytest.mark.parametrize("bad", [[], [[1], []]])
def test_refuses_empty_beginnings(model, bad):
    with pytest.raises(ValueError, match="beginnings"):
        Prefixes(model, bad)
