"""Whose hooks are on a model: those that somebody has put there, and those by which its libraries observe it."""

from typing import Any


def has_hooks(model: Any) -> bool:
    """Whether somebody has put a hook on the model or any part of it.

    model: a TransformerBridge, or a model of Hugging Face's.
    """
    if any(point.fwd_hooks for point in getattr(model, "hook_dict", {}).values()):
        return True
    modules = [*model.modules(), *getattr(model, "original_model", model).modules()]
    hooks = [h for m in modules for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    return not all(map(observes, hooks))


def observes(hook: object) -> bool:
    """Whether the hook is one of TransformerLens's or of transformers', which they put on modules of their own in a
    first forward, once, only to observe. (What `add_hook` puts on a hook point looks the same: ask its `fwd_hooks`.)
    """
    return getattr(hook, "__module__", "").startswith(("transformer_lens.", "transformers."))
