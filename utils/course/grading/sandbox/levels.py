"""Which sandbox this machine grants, and the command that starts a process inside its outer wall.

`full`: bubblewrap shows read-only libraries and `utils`, nothing else, and no network; every worker then shuts itself
    in further (`confine.py`). It needs Linux, bubblewrap and libseccomp; root or user namespaces.
`uid`: another user, resource limits, no sockets, and Landlock where the kernel has it. For containers that grant no
    namespaces. It needs root.
`none`: this very user. For work that you would run anyway.
"""

import contextlib
import functools
import os
import shutil
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from utils.course.errors import CourseError
from utils.course.grading.sandbox.layout import COURSE, DEVICES, SCRATCH, TEMPORARY_BYTES
from utils.course.lessons import ROOT
from utils.storage import cache_folder

SandboxLevel = Literal["full", "uid", "none"]


class SandboxFailed(CourseError):
    """The sandbox itself does not work: nothing that a student has done."""


LEVELS: tuple[SandboxLevel, ...] = ("full", "uid", "none")
# Slot n is user FIRST_UID + n: below 65,536, all that some containers have, and beyond what systems give to people.
FIRST_UID = 64_000
SLOTS = 1_000
# What the template needs to shut workers in; a worker keeps none of it.
CAPABILITIES = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "KILL", "SYS_PTRACE", "SYS_RESOURCE")
SECRET = ("solutions", "tests")


def uid_of_slot(slot: int) -> int | None:
    """The user of a slot; None where this process may not become another."""
    if not 0 <= slot < SLOTS:
        raise ValueError(f"slot {slot} is not within 0 … {SLOTS - 1}")
    return FIRST_UID + slot if os.geteuid() == 0 else None


def slot_to_try_out() -> int:
    """One that no submission and, since process ids differ, no other process of a run has.

    At level `uid` the end of a worker is the end of everything that its user runs.
    """
    return SLOTS // 2 + os.getpid() % (SLOTS // 2)


@contextlib.contextmanager
def hold_users(level: SandboxLevel) -> Iterator[None]:
    """Keep the slots' users for this run, where another one would end their processes."""
    if level != "uid":
        yield
        return
    try:
        with FileLock(cache_folder("grading") / "users.lock", timeout=0):
            yield
    except Timeout:
        raise CourseError(
            "another run grades at level uid on this machine, as the same users: wait for it"
        ) from None


def available_level() -> tuple[SandboxLevel, str]:
    """The strongest level that works here, and why none stronger does (empty at `full`)."""
    problems = []
    for level in LEVELS:
        problem = problem_with(level)
        if not problem:
            return level, "; ".join(problems)
        problems.append(problem)
    raise AssertionError("level none has no requirements")


def require(level: SandboxLevel) -> None:
    """Raises CourseError, with what to do, unless the level works here."""
    problem = problem_with(level)
    if problem:
        best, _ = available_level()
        raise CourseError(
            f"the sandbox is not available: {problem}. Mend that, or type --sandbox {best} to grade with less: "
            + ("another user, but no namespaces" if best == "uid" else "students' code then runs as you")
        )


@functools.cache
def problem_with(level: SandboxLevel) -> str:
    """Why the level does not work here, with the remedy; empty where it does. It is tried out, once a process."""
    if level == "none":
        return ""
    if sys.platform != "linux":
        return "it needs Linux (on Windows: WSL 2; on macOS: a Linux container or virtual machine)"
    if level == "uid" and os.geteuid() != 0:
        return "only root can run code as another user"
    if level == "full" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed (apt install bubblewrap)"
    # Imported here: the connection's module starts processes with this one's command.
    from utils.course.grading.sandbox.connection import try_out

    return try_out(level)


def command(level: SandboxLevel, code: str, *arguments: str) -> list[str]:
    """How to run Python code at the outer wall of a level; it finds `utils`, and descriptor 3 if that is inherited."""
    # No -I, which would ignore the environment that was made for it; -P and -s are the rest of it.
    python = [str(_prefix() / "bin" / Path(sys.executable).name), "-s", "-P", "-B", "-c"]
    root = COURSE if level == "full" else str(ROOT)
    program = [*python, f"import sys; sys.path.insert(0, {root!r}); {code}", *arguments]
    return [*_wall(), "--", *program] if level == "full" else program


def environment(level: SandboxLevel) -> dict[str, str]:
    """All that the process inside sees of an environment."""
    variables = {
        "PATH": "/usr/bin:/bin",
        **{name: SCRATCH if level == "full" else "/tmp" for name in ("HOME", "TMPDIR", "PROBING_HOME")},
        "USER": "worker",
        "LOGNAME": "worker",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # pandas brings pyarrow, whose allocator would start a thread, which would not survive a fork.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
    variables |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    return variables


def readable_folders() -> list[str]:
    """What a worker must read: Python, its packages, the system's libraries.

    Raises CourseError where the course's solutions or checks lie in one of them.
    """
    prefixes = {Path(sys.base_prefix), Path(sys.base_prefix).resolve()}
    python = [prefix / part for prefix in prefixes for part in ("bin", "lib", "lib64")]
    packages = [
        Path(path).resolve() for path in (sys.prefix, *site.getsitepackages(), site.getusersitepackages())
    ]
    system = [Path(path) for path in ("/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache")]
    folders: list[Path] = []
    for path in [*system, *sorted(set(python)), *packages]:
        if path.exists() and not any(path.is_relative_to(folder) for folder in folders):
            folders.append(path)
    for secret in SECRET:
        for folder in folders:
            if (ROOT / secret).resolve().is_relative_to(folder.resolve()):
                raise CourseError(
                    f"{ROOT / secret} lies in {folder}, which students' code must read: move the course elsewhere"
                )
    return [str(folder) for folder in folders]


def _prefix() -> Path:
    return Path(sys.prefix).resolve()


def _wall() -> list[str]:
    """bubblewrap, with the template's view of the file system. Its processes end with this one."""
    words = [
        "bwrap",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if os.geteuid() != 0:
        words.append("--unshare-user")
    for capability in CAPABILITIES:
        words += ["--cap-add", f"CAP_{capability}"]
    for name, value in environment("full").items():
        words += ["--setenv", name, value]
    for path in ("/bin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path) and path != "/bin":
            words += ["--ro-bind", path, path]
    shown = {folder: folder for folder in readable_folders()} | {f"{COURSE}/utils": str(ROOT / "utils")}
    # Made by bubblewrap itself, folders on the way could be entered by root only.
    for parent in dict.fromkeys(str(p) for path in shown for p in reversed(Path(path).parents[:-1])):
        words += ["--perms", "0755", "--dir", parent]
    for inside, outside in shown.items():
        words += ["--ro-bind", outside, inside]
    words += ["--proc", "/proc", "--perms", "0755", "--dir", "/dev", "--dir", "/dev/shm", "--chdir", "/"]
    words += ["--size", str(TEMPORARY_BYTES), "--tmpfs", SCRATCH]
    for device in DEVICES:
        words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return [*words, "--remount-ro", "/"]
