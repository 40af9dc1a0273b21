"""Inside the sandbox: a process that has imported what lessons import, and forks a worker for every exercise.

It runs no student's code and knows no secret. It cannot be reached by a worker, which is another user without
capabilities in a process namespace of its own, or at least (level `uid`) another user; and it reads nothing but the
grader's requests, from an inherited socket. It ends when that is closed, and everything in the sandbox with it.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, NoReturn

from utils.course.frames import READY, Frame, write_frame
from utils.course.grading.sandbox import linux
from utils.course.grading.sandbox.confine import Confinement, call_filter, confine, enter_home
from utils.course.grading.sandbox.landlock import landlock_version
from utils.course.grading.sandbox.layout import SCRATCH
from utils.course.grading.sandbox.usage import kill_user, memory_of_tree, remove_files_of, remove_folder

SOURCE, SINK = 3, 4
MEMORY_LIMIT = 3 << 30
WATCH_SECONDS = 0.25


def main() -> None:
    """`python -c "…main()" {"control": descriptor, "level": …, "readable": […], "preload": […]}`."""
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    preload(settings["preload"])
    template = Template(control, settings["level"], settings["readable"])
    control.send(json.dumps({"ready": os.getpid(), "threads": len(os.listdir("/proc/self/task"))}).encode())
    template.serve()


def preload(modules: list[str]) -> None:
    """Import, build the checks' small models, and leave nothing that a fork would copy in vain."""
    for module in modules:
        importlib.import_module(module)
    if "torch" in sys.modules:
        _warm_up()
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    import numpy
    import torch

    from utils.course import resources

    # More threads than this one would not survive a fork, nor would autograd's: no backward pass here.
    torch.set_num_threads(1)
    # These two import what they need, for seconds: a template that is to have little goes without.
    if "transformer_lens" in sys.modules:
        for name in resources.BUILDERS:
            resources.get(name)
    if "torch._dynamo" in sys.modules:
        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.grad = torch.ones(2)
        torch.optim.Adam([parameter]).step()
    # Unseeded random numbers are the same for everyone, and the same again when graded again.
    random.seed(0)
    numpy.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@dataclass(frozen=True)
class Worker:
    """A process that was forked; `uid` is None where it is this process's user."""

    pid: int
    uid: int | None
    home: str


class Template:
    """Answers the grader: `{"id": 7, "fork": uid or null}` with two pipe ends, `{"id": 8, "end": pid}`."""

    def __init__(self, control: socket.socket, level: str, readable: list[str]):
        self._control = control
        self._level = level
        self._readable = readable
        self._calls = None if level == "none" else call_filter()
        self._own_processes = os.open("/proc/self/ns/pid", os.O_RDONLY) if level == "full" else -1
        self._workers: dict[int, Worker] = {}

    def serve(self) -> None:
        """Until the grader closes its end, or dies."""
        try:
            while True:
                if not select.select([self._control], [], [], WATCH_SECONDS if self._workers else None)[0]:
                    self._watch()
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 2)
                if not message:
                    return
                self._control.send(json.dumps(self._answer(json.loads(message), descriptors)).encode())
        finally:
            for pid in list(self._workers):
                self._end(pid)

    def _answer(self, request: dict, descriptors: list[int]) -> dict:
        try:
            if "fork" in request:
                return {"id": request["id"], "pid": self._fork(request["fork"], descriptors)}
            self._end(request["end"])
            return {"id": request["id"]}
        except OSError as error:
            return {"id": request["id"], "error": str(error)}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, uid: int | None, descriptors: list[int]) -> int:
        home = self._make_home(uid)
        if self._level == "full":
            linux.unshare(linux.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(uid, home, descriptors)
        finally:
            if self._level == "full":
                linux.enter(self._own_processes, linux.CLONE_NEWPID)
        self._workers[pid] = Worker(pid, uid, home)
        return pid

    def _make_home(self, uid: int | None) -> str:
        if self._level == "full":
            # The worker mounts a folder of its own there.
            return SCRATCH
        home = tempfile.mkdtemp(prefix="worker-")
        if uid is not None:
            os.chown(home, uid, uid)
        return home

    def _become_worker(self, uid: int | None, home: str, descriptors: list[int]) -> NoReturn:
        code = 1
        try:
            self._control.detach()
            _keep_only(descriptors)
            source, sink = os.fdopen(SOURCE, "rb"), os.fdopen(SINK, "wb")
            try:
                if self._calls is None:
                    os.setsid()
                    enter_home(home)
                else:
                    confine(Confinement(self._level, uid, home, self._readable), self._calls)
            except OSError as error:
                write_frame(sink, Frame(READY, 0, str(error).encode()))
            else:
                write_frame(sink, Frame(READY, 0))
                _work(source, sink)
                code = 0
        finally:
            # Never back into the template's loop, whatever has happened.
            os._exit(code)

    def _end(self, pid: int) -> None:
        """Kill the worker and all that it started, and wait until they are gone."""
        worker = self._workers.pop(pid, None)
        if worker is None:
            return
        os.kill(pid, signal.SIGKILL)
        if self._level == "none":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if worker.uid is not None and self._level == "uid":
            kill_user(worker.uid)
        os.waitpid(pid, 0)
        if self._level != "full":
            remove_folder(worker.home)
        if worker.uid is not None and self._level == "uid" and not landlock_version():
            remove_files_of(worker.uid)

    def _watch(self) -> None:
        """Kill the workers that together with their children use too much memory; the grader sees them end."""
        for pid in self._workers:
            if memory_of_tree(pid, MEMORY_LIMIT) > MEMORY_LIMIT:
                os.kill(pid, signal.SIGKILL)


def _keep_only(descriptors: list[int]) -> None:
    """The two pipe ends as SOURCE and SINK, nothing as the standard streams, and no other descriptor."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, SINK + 1) for descriptor in descriptors]
    for stream in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    for target, descriptor in zip((SOURCE, SINK), high, strict=True):
        os.dup2(descriptor, target)
    os.closerange(SINK + 1, os.sysconf("SC_OPEN_MAX"))


def _work(source: IO[bytes], sink: IO[bytes]) -> None:
    from utils.course.worker import serve

    serve(source, sink)
