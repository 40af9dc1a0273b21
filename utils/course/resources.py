"""Models too large to send: each side builds its own from the name, and only the name crosses."""

from collections.abc import Callable
from functools import cache


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


BUILDERS: dict[str, Callable[[], object]] = {
    "tiny_model": _tiny_model,
    "tiny_model_scaled_norm": _tiny_model_scaled_norm,
}
_built: dict[int, str] = {}


@cache
def get(name: str) -> object:
    """The resource of that name, built once a process. Raises LookupError for an unknown name."""
    if name not in BUILDERS:
        raise LookupError(f"no resource is called {name!r}; there are {sorted(BUILDERS)}")
    resource = BUILDERS[name]()
    _built[id(resource)] = name
    return resource


def name_of(value: object) -> str | None:
    """The name under which `get` built this very object, or None."""
    return _built.get(id(value))
