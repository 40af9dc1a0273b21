"""Whose hooks are on a model: those that somebody has put there, and those by which its libraries observe it."""

from collections.abc import Iterator
from typing import Any

from torch import nn


def has_hooks(model: Any) -> bool:
    """Whether somebody has put a hook on the model or any part of it.

    model: a TransformerBridge, or a model of Hugging Face's.
    """
    if any(point.fwd_hooks for point in getattr(model, "hook_dict", {}).values()):
        return True
    return not all(
        observes(hook)
        for module in _modules(model, getattr(model, "original_model", model))
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    )


def observes(hook: object) -> bool:
    """Whether the hook is one of TransformerLens's or of transformers', which they put on modules of their own in a
    first forward, once, only to observe. (What `add_hook` puts on a hook point looks the same: ask its `fwd_hooks`.)
    """
    return getattr(hook, "__module__", "").startswith(("transformer_lens.", "transformers."))


def _modules(*roots: nn.Module) -> Iterator[nn.Module]:
    """The roots and all that is in them. (`modules()` also finds their names, and takes ten times as long.)"""
    waiting, seen = list(roots), set()
    while waiting:
        module = waiting.pop()
        if id(module) not in seen:
            seen.add(id(module))
            waiting += [child for child in module._modules.values() if child is not None]
            yield module
