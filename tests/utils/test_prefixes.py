"""An ending after kept beginnings has the logits that it has in whole texts."""

import pytest
import torch

from utils.models import tiny_language_model
from utils.prefixes import Prefixes

BEGINNINGS, ENDING = [[5, 6, 7], [8], [9, 10, 11, 12, 13]], [20, 21, 22]
SHARED = [30, 31, 32, 33, 34, 35, 36, 37, 38, 39]


@pytest.fixture(scope="module")
def model():
    return tiny_language_model()


def shift(resid, hook):
    moved = resid.clone()
    moved[:, -2] += 0.5
    return moved


HOOKS = {
    "plain": [],
    "a block": [("blocks.1.hook_out", shift)],
    "two blocks": [("blocks.2.hook_out", shift), ("blocks.1.hook_out", shift)],
    "within a block": [("blocks.2.attn.hook_out", shift)],
    "the embedding": [("hook_embed", shift), ("blocks.2.hook_out", shift)],
}


@pytest.mark.parametrize("shared", [[], SHARED], ids=["", "shared"])
@pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS)
def test_agrees_with_whole_texts(model, hooks, shared):
    beginnings = [shared + each for each in BEGINNINGS]
    found = Prefixes(model, beginnings).logits(ENDING, hooks)
    for row, beginning in zip(found, beginnings, strict=True):
        with torch.no_grad():
            whole = model.run_with_hooks(torch.tensor([beginning + ENDING]), fwd_hooks=hooks)
        torch.testing.assert_close(row, whole[0, len(beginning) :], atol=1e-4, rtol=1e-4)


def test_endings_of_their_own(model):
    endings, hooks = torch.tensor([[20, 21], [22, 23], [24, 25]]), HOOKS["a block"]
    found = Prefixes(model, BEGINNINGS).logits(endings, hooks)
    for row, beginning, ending in zip(found, BEGINNINGS, endings.tolist(), strict=True):
        alone = Prefixes(model, [beginning]).logits(ending, hooks)
        torch.testing.assert_close(row, alone[0], atol=1e-4, rtol=1e-4)


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


def test_runs_no_block_below_the_hooked_ones_twice(model):
    runs, handles = [], []
    for number, block in enumerate(model.blocks):

        def count(*_, number=number):
            runs.append(number)

        # Posing as the library's, or it would be somebody's hook, with which all blocks run.
        count.__module__ = "transformer_lens.test"
        handles.append(block.ln1.register_forward_hook(count))
    try:
        prefixes = Prefixes(model, BEGINNINGS)
        prefixes.logits(ENDING, [("blocks.1.hook_out", shift)])
        runs.clear()
        prefixes.logits(ENDING, [("blocks.1.hook_out", shift)])
    finally:
        for handle in handles:
            handle.remove()
    assert runs == [1, 2]


def test_another_ending_is_computed_anew(model):
    hooks = [("blocks.2.hook_out", shift)]
    prefixes = Prefixes(model, BEGINNINGS)
    prefixes.logits(ENDING, hooks)
    other = [*reversed(ENDING), 30]
    torch.testing.assert_close(
        prefixes.logits(other, hooks), Prefixes(model, BEGINNINGS).logits(other, hooks)
    )
    assert not any("forward" in vars(block.original_component) for block in model.blocks)


def test_hooks_that_are_on_the_model_count_and_leave_nothing(model):
    """A push at block 2 within somebody's push at block 0, and then alone."""
    hooks, theirs = [("blocks.2.hook_out", shift)], ("blocks.0.hook_out", lambda resid, hook: resid + 0.5)
    prefixes, fresh = Prefixes(model, BEGINNINGS), Prefixes(model, BEGINNINGS)
    with model.hooks(fwd_hooks=[theirs]):
        within = prefixes.logits(ENDING, hooks)
    torch.testing.assert_close(within, fresh.logits(ENDING, [theirs, *hooks]))
    torch.testing.assert_close(prefixes.logits(ENDING, hooks), fresh.logits(ENDING, hooks))
    with model.hooks(fwd_hooks=[theirs]):
        torch.testing.assert_close(prefixes.logits(ENDING, hooks), within)
