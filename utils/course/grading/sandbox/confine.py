"""What a worker does to itself between its fork and the first byte of a student's code.

`full`: namespaces of its own (processes, mounts, network, IPC, host name), a size-capped temporary folder, and then
    what `uid` has too.
`uid`: resource limits, another user, no groups, no capabilities, no new privileges, a system-call filter.
"""

import errno
import os
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from utils.course.grading.sandbox import linux
from utils.course.grading.sandbox.call_filter import CallFilter
from utils.course.grading.sandbox.landlock import landlock, landlock_version
from utils.course.grading.sandbox.layout import DEVICES, SCRATCH, TEMPORARY_BYTES

MB = 1 << 20
PROCESSES, FILES = 64, 256
# With a limit of 1 Linux neither writes a core file nor calls the system's crash reporter, which 0 would not prevent.
CORE_BYTES = 1
FILE_BYTES, TEMPORARY_FILES = 64 * MB, 4096
# Of address space beyond what the imported libraries take, a process.
MEMORY_BYTES = 2048 * MB

# Nothing that a solution to an exercise needs. Memory that belongs to no process (memfd, System V) would escape every
# limit; clone3 hides its flags from the filter, and glibc falls back to clone.
REFUSED = (
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "move_mount", "open_tree", "fsopen"),
    *(
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "open_tree_attr",
        "quotactl",
        "quotactl_fd",
        "swapon",
    ),
    *("swapoff", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("kcmp", "pidfd_getfd", "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd"),
    *(
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "init_module",
        "finit_module",
        "delete_module",
    ),
    *("kexec_load", "kexec_file_load", "open_by_handle_at", "name_to_handle_at", "acct", "reboot", "syslog"),
    *(
        "iopl",
        "ioperm",
        "modify_ldt",
        "personality",
        "vhangup",
        "sethostname",
        "setdomainname",
        "lookup_dcookie",
    ),
    *(
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "fanotify_init",
        "mbind",
        "migrate_pages",
    ),
    *("move_pages", "set_mempolicy", "socket", "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl"),
    *("semget", "semop", "msgget", "msgsnd", "mq_open", "vmsplice"),
)
NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP
)
CLONE_FLAGS = (
    linux.CLONE_PARENT,
    linux.CLONE_NEWUSER,
    linux.CLONE_NEWPID,
    linux.CLONE_NEWNS,
    linux.CLONE_NEWNET,
    linux.CLONE_NEWIPC,
    linux.CLONE_NEWUTS,
    linux.CLONE_NEWCGROUP,
)


@dataclass(frozen=True)
class Confinement:
    """How a worker is to be shut in.

    level: "full" or "uid". uid: the user to become, or None to stay who it is. home: the only folder to write to.
    readable: at level `uid`, what Landlock leaves it to read. memory: bytes of address space beyond the present.
    """

    level: str
    uid: int | None
    home: str
    readable: Sequence[str] = ()
    memory: int = MEMORY_BYTES


def call_filter() -> CallFilter:
    """Built before the fork: loading it is then a single call. Raises OSError where libseccomp is missing."""
    calls = CallFilter()
    calls.refuse(REFUSED)
    calls.refuse(["clone3"], errno.ENOSYS)
    calls.refuse_flags("clone", CLONE_FLAGS)
    # The limit on core files stays what it is: see CORE_BYTES.
    calls.refuse_value("prlimit64", 1, resource.RLIMIT_CORE)
    calls.refuse_value("setrlimit", 0, resource.RLIMIT_CORE)
    return calls


def confine(confinement: Confinement, calls: CallFilter) -> None:
    """Shut this process in, irrevocably. At level `full` it must be the first in a process namespace of its own."""
    os.setsid()
    if confinement.level == "full":
        linux.unshare(NAMESPACES)
        linux.mount("none", "/", linux.MS_REC | linux.MS_PRIVATE)
        _mount_own_folders(confinement.uid)
    limit_resources(confinement.memory)
    _offer_to_the_oom_killer()
    if confinement.uid is not None:
        os.setgroups([])
        linux.drop_bounding_set()
        os.setresgid(*[confinement.uid] * 3)
        os.setresuid(*[confinement.uid] * 3)
    elif confinement.level == "full":
        linux.drop_bounding_set()
    linux.drop_capabilities()
    enter_home(confinement.home)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    # A change of user takes away a process's right to look at itself, which the C library needs.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    if confinement.level == "uid":
        linux.prctl(linux.PR_SET_PDEATHSIG, 9)
        if landlock_version():
            landlock(confinement.readable, [f"/dev/{name}" for name in DEVICES], [confinement.home])
        _must_read(confinement.readable)
    calls.load()


def _must_read(paths: Sequence[str]) -> None:
    for path in paths:
        if not os.access(path, os.R_OK):
            raise PermissionError(
                f"{path} cannot be read by other users: install it where they can, or mend its mode"
            )


def enter_home(home: str) -> None:
    """Make a folder the place for everything temporary."""
    os.chdir(home)
    os.environ.update(HOME=home, TMPDIR=home, PROBING_HOME=home)
    tempfile.tempdir = home


def limit_resources(memory: int) -> None:
    """Limits a process; those on memory and disk in all are the temporary folder's size and the template's watch."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, CORE_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_AS, size + memory),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _mount_own_folders(uid: int | None) -> None:
    safe = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    owner = f",uid={uid},gid={uid}" if uid is not None else ""
    size = f"size={TEMPORARY_BYTES},nr_inodes={TEMPORARY_FILES},mode=0700{owner}"
    linux.mount("tmpfs", SCRATCH, safe, size)
    linux.mount("tmpfs", "/dev/shm", safe, size)
    try:
        linux.mount("proc", "/proc", safe, "subset=pid")
    except OSError as error:
        # Linux before 5.8 shows the machine's figures beside the processes.
        if error.errno != errno.EINVAL:
            raise
        linux.mount("proc", "/proc", safe)


def _offer_to_the_oom_killer() -> None:
    """When memory runs out, the kernel takes a worker rather than the grader."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        # Some containers forbid it; the other limits hold.
        return
