"""Where large generated things live, and how a file is written so that a kill never leaves half of it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

APP_NAME = "linear-probes-course"


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: converted weights, activations. Created on first use.

    The environment variable PROBING_HOME moves it (and `data_folder`) elsewhere.
    """
    return _folder("cache", platformdirs.user_cache_dir(APP_NAME), parts)


def data_folder(*parts: str) -> Path:
    """A folder for what cannot be made again: the learner's progress. Created on first use."""
    return _folder("data", platformdirs.user_data_dir(APP_NAME), parts)


def _folder(kind: str, default: str, parts: tuple[str, ...]) -> Path:
    home = os.environ.get("PROBING_HOME")
    folder = (Path(home).expanduser() / kind if home else Path(default)).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be made ({error.strerror}): set PROBING_HOME to a folder of yours"
        ) from None
    return folder


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` (a file or a folder), renamed to it when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        temporary = Path(scratch) / target.name
        yield temporary
        os.replace(temporary, target)


def atomic_write(target: Path, content: str | bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_path(target) as temporary:
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            temporary.write_bytes(content)
