"""Models too large to send: each side builds its own from the name, and only the name crosses."""

from collections.abc import Callable
from functools import cache
from typing import Any


def _tiny_model() -> object:
    from utils.models import tiny_language_model

    return tiny_language_model()


def _tiny_model_scaled_norm() -> object:
    """The tiny model with a final norm as a trained one has it: fresh weights are all one, and forgetting them shows
    nothing."""
    import torch

    from utils.models import tiny_language_model

    model = tiny_language_model()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight = model.ln_final.weight
        weight.copy_(0.5 + torch.rand(weight.shape, generator=generator))
    return model


def _tiny_tokenizer() -> object:
    """The tiny model's tokenizer: a token a byte, and a ChatML template."""
    return _tiny_model().tokenizer  # pyright: ignore[reportAttributeAccessIssue]


def _tiny_tokenizer_other_template() -> object:
    """The same with a chat template of another form: ChatML written out by hand shows nothing on the first one."""
    import copy

    tokenizer = copy.deepcopy(_tiny_tokenizer())
    tokenizer.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def _tiny_board_model() -> object:
    """A board model of three narrow blocks whose norms, biases and weights are all of ordinary size, as after training:
    fresh ones would let a forgotten component pass."""
    import torch

    from utils.boards.load import boot_board_model
    from utils.boards.model import BoardConfig, BoardGPT

    config = BoardConfig(d_model=16, n_layers=3, n_heads=2, n_ctx=59, d_vocab=61)
    weights = BoardGPT(config, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return boot_board_model(config, weights.bridge_state())


def _tiny_model_with_hook() -> object:
    """The tiny model on which somebody else has put a hook: it adds a vector after the first block."""
    import torch

    from utils.models import tiny_language_model

    model = tiny_language_model()
    step = 2 * torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    model.add_hook("blocks.0.hook_out", lambda resid, hook: resid + step)
    return model


BUILDERS: dict[str, Callable[[], object]] = {
    "tiny_model": _tiny_model,
    "tiny_model_scaled_norm": _tiny_model_scaled_norm,
    "tiny_tokenizer": _tiny_tokenizer,
    "tiny_tokenizer_other_template": _tiny_tokenizer_other_template,
    "tiny_model_with_hook": _tiny_model_with_hook,
    "tiny_board_model": _tiny_board_model,
}
_built: dict[int, str] = {}
_hooked: list[tuple[Any, dict, list]] = []


@cache
def get(name: str) -> object:
    """The resource of that name, built once a process. Raises LookupError for an unknown name."""
    if name not in BUILDERS:
        raise LookupError(f"no resource is called {name!r}; there are {sorted(BUILDERS)}")
    resource: Any = BUILDERS[name]()
    _built[id(resource)] = name
    for module in resource.modules() if hasattr(resource, "modules") else ():
        _hooked.append((module, dict(module._forward_hooks), list(getattr(module, "fwd_hooks", ()))))
    return resource


def restore_hooks() -> None:
    """Put the hooks of every model back as they were when it was built: whoever left one, or removed somebody else's,
    would be the cause of what the next check finds."""
    for module, hooks, handles in _hooked:
        is_hook_point = hasattr(module, "fwd_hooks")
        # transformers puts hooks of its own on its modules in the first run that asks for hidden states, only once.
        kept = {} if is_hook_point else {key: h for key, h in module._forward_hooks.items() if _observes(h)}
        if module._forward_hooks != hooks | kept or list(getattr(module, "fwd_hooks", ())) != handles:
            module._forward_hooks.clear()
            module._forward_hooks.update(hooks | kept)
            if is_hook_point:
                module.fwd_hooks = list(handles)


def _observes(hook: object) -> bool:
    return getattr(hook, "__module__", "").startswith(("transformers.", "transformer_lens."))


def name_of(value: object) -> str | None:
    """The name under which `get` built this very object, or None."""
    return _built.get(id(value))
