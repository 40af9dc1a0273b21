"""Which files a process can still reach, where it has no mount namespace of its own: Landlock, Linux 5.13 and later."""

import ctypes
import os
from collections.abc import Iterable

from utils.course.grading.sandbox.linux import check, libc

# Landlock's system calls have the same numbers on every architecture.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_VERSION, LANDLOCK_PATH_BENEATH = 1, 1
# Rights to files: those of Landlock 1, then refer (2), truncate (3), and ioctl on devices (5).
READ = 1 << 2 | 1 << 3
EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
RIGHTS_BY_VERSION = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
# Files only take these; a rule that names more on a file is refused.
FILE_RIGHTS = EXECUTE | WRITE_FILE | 1 << 2 | 1 << 14 | 1 << 15
NET_RIGHTS, SCOPES = 3, 3


def landlock_version() -> int:
    """Which Landlock this kernel has; 0: none."""
    return max(0, libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), LANDLOCK_VERSION))


def landlock(readable: Iterable[str], devices: Iterable[str], writable: Iterable[str]) -> None:
    """Confine this process to these files and folders; no TCP, no signals and no abstract sockets outwards.

    Needs no privilege, but PR_SET_NO_NEW_PRIVS first. Raises OSError where the kernel has no Landlock.
    """
    version = landlock_version()
    handled = RIGHTS_BY_VERSION[min(version, len(RIGHTS_BY_VERSION) - 1)]
    attributes = (ctypes.c_uint64 * 3)(
        handled, NET_RIGHTS if version >= 4 else 0, SCOPES if version >= 6 else 0
    )
    size = ctypes.c_size_t(8 * (1 + (version >= 4) + (version >= 6)))
    rules = check(libc.syscall(LANDLOCK_CREATE, attributes, size, 0), "landlock")
    for paths, rights in (
        (readable, READ | EXECUTE),
        (devices, READ | WRITE_FILE),
        (writable, handled & ~EXECUTE),
    ):
        for path in paths:
            _allow(rules, path, rights & handled)
    check(libc.syscall(LANDLOCK_RESTRICT, rules, 0), "landlock")
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    class PathBeneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))

    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        # What cannot be reached now cannot be reached under a rule either.
        return
    try:
        rights = rights if os.path.isdir(path) else rights & FILE_RIGHTS
        rule = PathBeneath(rights, descriptor)
        check(
            libc.syscall(LANDLOCK_ADD, rules, LANDLOCK_PATH_BENEATH, ctypes.byref(rule), 0),
            f"landlock, {path}",
        )
    finally:
        os.close(descriptor)
