"""A check finds the named models with the hooks and weights that they were built with, whatever was left before."""

from typing import Any

import pytest
import torch

from utils.course import resources
from utils.course.host import Host

TOKENS = torch.tensor([[80, 33, 60]])


def model_of(name) -> Any:
    return resources.get(name)


def logits(name):
    with torch.no_grad():
        return model_of(name)(TOKENS)


def hooks_of(model):
    handles = [(point.name, list(point.fwd_hooks)) for point in model.hook_points()]
    return handles, [dict(module._forward_hooks) for module in model.modules()]


def left_by_bridge(model):
    model.add_hook("blocks.1.hook_out", lambda resid, hook: resid + 1)


def left_for_good(model):
    model.add_perma_hook("blocks.1.hook_out", lambda resid, hook: resid + 1)


def left_on_torch(model):
    model.original_model.model.layers[1].register_forward_hook(lambda module, args, output: None)


def weight_in_place(model):
    with torch.no_grad():
        model.original_model.model.layers[1].mlp.down_proj.weight.mul_(2)


def weight_replaced(model):
    layer = model.original_model.model.layers[1].mlp.down_proj
    # A bridge forwards what is set on it: the parameter's own module is the innermost.
    layer = getattr(layer, "original_component", layer)
    layer.weight = torch.nn.Parameter(2 * layer.weight.detach())


def removed(model):
    model.reset_hooks(including_permanent=True)


@pytest.mark.parametrize("name", ["tiny_model", "tiny_model_with_hook"])
@pytest.mark.parametrize(
    "harm", [left_by_bridge, left_for_good, left_on_torch, weight_in_place, weight_replaced, removed]
)
def test_hooks_and_weights_are_restored(name, harm):
    model, before = model_of(name), logits(name)
    hooks = hooks_of(model)
    harm(model)
    Host({})
    assert torch.equal(logits(name), before)
    assert hooks_of(model) == hooks


def test_a_hook_can_be_taken_off_after_it_was_restored():
    model = model_of("tiny_model_with_hook")
    model.reset_hooks()
    without = logits("tiny_model_with_hook")
    resources.restore()
    assert not torch.equal(logits("tiny_model_with_hook"), without)
    model.reset_hooks()
    assert torch.equal(logits("tiny_model_with_hook"), without)
    resources.restore()


def test_what_a_library_observes_by_stays():
    model = model_of("tiny_model").original_model
    first = model(TOKENS, output_hidden_states=True).hidden_states
    resources.restore()
    again = model(TOKENS, output_hidden_states=True).hidden_states
    assert len(first) == len(again) == model.config.num_hidden_layers + 1
