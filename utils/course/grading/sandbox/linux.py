"""The few Linux calls that Python does not have: namespaces, mounts, capabilities."""

import ctypes
import errno
import os

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_PARENT = 0x10000000, 0x20000000, 0x40000000, 0x00008000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """The result of a call. Raises OSError where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _words(*values: int) -> list[ctypes.c_ulong]:
    """Full registers: a bare Python int would be passed as half of one."""
    return [ctypes.c_ulong(value) for value in values]


def unshare(flags: int) -> None:
    """Put this process, or with CLONE_NEWPID its future children, into namespaces of their own."""
    check(libc.unshare(flags), f"unshare({flags:#x})")


def enter(descriptor: int, kind: int) -> None:
    """Put this process, or with CLONE_NEWPID its future children, into the namespace that the descriptor names."""
    check(libc.setns(descriptor, kind), "setns")


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mount a file system that needs no source."""
    arguments = (kind.encode(), target.encode(), kind.encode(), *_words(flags), options.encode())
    check(libc.mount(*arguments), f"mount {kind} on {target}")


def prctl(option: int, *values: int) -> None:
    """One attribute of this process."""
    arguments = _words(*values, *[0] * (4 - len(values)))
    check(libc.prctl(option, *arguments), f"prctl({option})")


def drop_bounding_set() -> None:
    """No capability can ever be regained by executing a file."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            # Past the last capability that this kernel knows.
            if error.errno == errno.EINVAL:
                return
            raise


def drop_capabilities() -> None:
    """No capability at all: effective, permitted, inheritable, ambient."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
