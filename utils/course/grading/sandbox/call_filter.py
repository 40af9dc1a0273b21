"""Which system calls a worker can no longer make: seccomp, through libseccomp, which every Debian has."""

import ctypes
import errno
import os
from collections.abc import Iterable


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7FFF0000, 0x00050000
SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ = 4, 7


class CallFilter:
    """A seccomp filter, by libseccomp: everything is allowed but what `refuse` names. Raises OSError without it."""

    def __init__(self):
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._library.seccomp_init.argtypes = [ctypes.c_uint32]
        self._library.seccomp_load.argtypes = [ctypes.c_void_p]
        self._library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.POINTER(_Comparison),
        ]
        self._context = self._library.seccomp_init(SCMP_ACT_ALLOW)

    def refuse(self, names: Iterable[str], error: int = errno.EPERM) -> None:
        """Let these system calls fail. Names that this machine's libseccomp does not know are passed over."""
        for name in names:
            self._add(name, error, [])

    def refuse_flags(self, name: str, flags: Iterable[int]) -> None:
        """Let the system call fail where its first argument has one of the flags."""
        for flag in flags:
            self._add(name, errno.EPERM, [_Comparison(0, SCMP_CMP_MASKED_EQ, flag, flag)])

    def refuse_value(self, name: str, argument: int, value: int) -> None:
        """Let the system call fail where that argument (0 is the first) has that value."""
        self._add(name, errno.EPERM, [_Comparison(argument, SCMP_CMP_EQ, value, 0)])

    def _add(self, name: str, error: int, comparisons: list[_Comparison]) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return
        array = (_Comparison * max(1, len(comparisons)))(*comparisons)
        result = self._library.seccomp_rule_add_array(
            self._context, SCMP_ACT_ERRNO | error, number, len(comparisons), array
        )
        if result < 0:
            raise OSError(-result, f"libseccomp, {name}: {os.strerror(-result)}")

    def load(self) -> None:
        """Apply it to this process, irrevocably and for all its descendants."""
        result = self._library.seccomp_load(self._context)
        if result < 0:
            raise OSError(-result, f"seccomp: {os.strerror(-result)}")
