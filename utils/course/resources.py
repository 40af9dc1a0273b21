"""Models too large to send: each side builds its own from the name, and only the name crosses."""

from collections.abc import Callable
from functools import cache


def _tiny_model() -> object:
    from utils.models import tiny_language_model

    return tiny_language_model()


BUILDERS: dict[str, Callable[[], object]] = {"tiny_model": _tiny_model}
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
