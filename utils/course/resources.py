"""Models too large to send: each side builds its own from the name, and only the name crosses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from utils.hooks import observes


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
_as_built: list["_Module"] = []


@dataclass(frozen=True)
class _Module:
    """A part of a model, and what it had when the model was built: hooks, parameters and what these held.

    handles: those of a hook point's hooks; None where it is none.
    """

    module: Any
    hooks: dict
    handles: list | None
    parameters: dict
    held: dict

    def restore(self) -> None:
        found = self.module._forward_hooks
        if self.handles is None:
            hooks = self.hooks | {key: hook for key, hook in found.items() if observes(hook)}
        else:
            hooks = self.hooks
            if self.module.fwd_hooks != self.handles:
                self.module.fwd_hooks = list(self.handles)
        if found != hooks:
            found.clear()
            found.update(hooks)
        self.module._parameters.update(self.parameters)
        for name, held in self.held.items():
            if not self.parameters[name].equal(held):
                self.parameters[name].data = held.clone()


@cache
def get(name: str) -> object:
    """The resource of that name, built once a process. Raises LookupError for an unknown name."""
    if name not in BUILDERS:
        raise LookupError(f"no resource is called {name!r}; there are {sorted(BUILDERS)}")
    resource: Any = BUILDERS[name]()
    _built[id(resource)] = name
    for module in resource.modules() if hasattr(resource, "modules") else ():
        parameters = dict(module._parameters)
        held = {key: each.detach().clone() for key, each in parameters.items() if each is not None}
        handles = list(module.fwd_hooks) if hasattr(module, "fwd_hooks") else None
        _as_built.append(_Module(module, dict(module._forward_hooks), handles, parameters, held))
    return resource


def restore() -> None:
    """Put the hooks and the weights of every model back as they were when it was built: whoever left a hook, removed
    somebody else's, or changed a weight in place, would be the cause of what the next check finds."""
    for part in _as_built:
        part.restore()


def name_of(value: object) -> str | None:
    """The name under which `get` built this very object, or None."""
    return _built.get(id(value))
