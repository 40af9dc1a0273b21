"""What a worker and its descendants use and leave behind, as the template sees it from outside."""

import os
import signal
import subprocess
import time

SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def memory_of_tree(root: int, enough: int) -> int:
    """Bytes of memory of a process and its descendants; what several share counts once where it matters.

    A quick sum counts shared pages for each process. Only where that is more than `enough` the kernel is asked for
    proportional shares, which takes milliseconds a process.
    """
    parents: dict[int, list[int]] = {}
    memory: dict[int, int] = {}
    for pid in processes():
        status = status_of(pid)
        if status:
            parents.setdefault(int(status["PPid"]), []).append(pid)
            memory[pid] = _kilobytes(status, "RssAnon", "RssShmem")
    tree = [root]
    for pid in tree:
        # An orphan becomes a child of the worker, the first process of its namespace.
        tree += parents.get(pid, [])
    quick = sum(memory.get(pid, 0) for pid in tree)
    return quick if quick <= enough else sum(_proportional(pid) for pid in tree)


def processes() -> list[int]:
    """All process ids in sight."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def status_of(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status; empty where the process has gone."""
    return _fields(f"/proc/{pid}/status")


def kill_user(uid: int, seconds: float = 60.0) -> None:
    """Kill every process of a user, again and again until none is left: some may be forking. Needs root.

    Raises TimeoutError where some stay.
    """
    deadline = time.monotonic() + seconds
    while (alive := processes_of(uid)) and time.monotonic() < deadline:
        # As that user, so that one call reaches all of them and nobody else.
        killer = os.fork()
        if killer == 0:
            try:
                os.setresuid(uid, uid, uid)
                os.kill(-1, signal.SIGKILL)
            finally:
                os._exit(0)
        os.waitpid(killer, 0)
        time.sleep(0.005)
    if alive:
        raise TimeoutError(f"processes {alive} of user {uid} do not end")


def remove_folder(folder: str) -> None:
    """Remove a folder that a worker wrote to; `rm` follows no link and minds no depth."""
    subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL)


def remove_files_of(uid: int) -> None:
    """Remove what a user has left in the folders that everyone may write to."""
    folders = [folder for folder in SHARED_FOLDERS if os.path.isdir(folder)]
    subprocess.run(["find", *folders, "-xdev", "-user", str(uid), "-delete"], stderr=subprocess.DEVNULL)


def processes_of(uid: int) -> list[int]:
    """The living processes of a user."""
    found = []
    for pid in processes():
        status = status_of(pid)
        # A zombie holds nothing any more, and its parent will see to it.
        if status and int(status["Uid"].split()[0]) == uid and not status["State"].startswith("Z"):
            found.append(pid)
    return found


def _proportional(pid: int) -> int:
    return _kilobytes(_fields(f"/proc/{pid}/smaps_rollup"), "Pss_Anon", "Pss_Shmem")


def _kilobytes(fields: dict[str, str], *names: str) -> int:
    return sum(int(fields.get(name, "0 kB").split()[0]) for name in names) << 10


def _fields(path: str) -> dict[str, str]:
    try:
        with open(path) as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
