"""The grader's end of the template: start it, ask it for workers, and end it."""

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from utils.course.grading import sandbox
from utils.course.grading.template_main import PRELOADED
from utils.course.lessons import ROOT

CODE = "from utils.course.grading.template_main import main; main()"
# Imports take ten seconds on a quiet machine, and minutes on a busy one.
START_SECONDS = 900.0
ANSWER_SECONDS = 60.0


class WorkerTemplate:
    """A process in the sandbox that has imported the lessons' libraries once and forks a worker in milliseconds.

    It starts when the first worker is asked for, and again if it has died. Any thread may ask. Use as a context
    manager, or take the process's own by `shared_template`.
    preload: modules to import; default: what lessons import.
    """

    def __init__(self, level: sandbox.SandboxLevel, preload: Sequence[str] = PRELOADED):
        self.level = level
        self._preload = list(preload)
        self._lock = threading.RLock()
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None
        self._errors: IO[bytes] | None = None
        self._asked = 0
        self.threads = 0

    def __enter__(self) -> "WorkerTemplate":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def must_live(self) -> None:
        """Raises SandboxFailed where the template has died, and its workers with it."""
        self._ask({"end": -1}, [], start=False)

    def fork(self, slot: int, source: int, sink: int) -> int:
        """A worker of that slot that reads frames from one descriptor and writes to the other; its process id in there.

        Raises SandboxFailed where there can be none.
        """
        return self._ask({"fork": sandbox.uid_of_slot(slot)}, [source, sink])["pid"]

    def end(self, pid: int) -> None:
        """End a worker and whatever it has started. If the template cannot, end the template with all its workers."""
        try:
            self._ask({"end": pid}, [], start=False)
        except sandbox.SandboxFailed:
            self.close()

    def close(self) -> None:
        """End the template, and with it every worker."""
        with self._lock:
            process, self._process = self._process, None
            if self._control is not None:
                self._control.close()
            if process is not None:
                try:
                    process.wait(ANSWER_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if self._errors is not None:
                self._errors.close()
            self._control = self._errors = None

    def _ask(self, request: dict, descriptors: list[int], start: bool = True) -> dict:
        with self._lock:
            if start and (self._process is None or self._process.poll() is not None):
                self.close()
                self._start()
            if self._control is None:
                raise sandbox.SandboxFailed("the sandbox's template has ended")
            self._asked += 1
            request = {"id": self._asked, **request}
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
                # An answer that nobody has waited for, because a time limit struck, is passed over.
                while (answer := self._receive(ANSWER_SECONDS)).get("id") != self._asked:
                    pass
            except (OSError, EOFError) as error:
                raise sandbox.SandboxFailed(f"the sandbox's template does not answer: {error}") from error
        if "error" in answer:
            raise sandbox.SandboxFailed(f"the sandbox's template cannot do that: {answer['error']}")
        return answer

    def _receive(self, seconds: float) -> dict:
        assert self._control is not None
        if not select.select([self._control], [], [], seconds)[0]:
            raise TimeoutError(f"no answer in {seconds:.0f} s")
        message = self._control.recv(65536)
        if not message:
            raise EOFError("it has ended")
        return json.loads(message)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        settings = {"control": theirs.fileno(), "level": self.level, "preload": self._preload}
        settings["readable"] = [*sandbox.readable_folders(), str(ROOT / "utils")]
        program = sandbox.command(self.level, CODE, json.dumps(settings))
        started = threading.Event()

        def keep() -> None:
            try:
                self._process = subprocess.Popen(
                    program,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=sandbox.environment(self.level),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            finally:
                started.set()
            self._process.wait()

        # A thread that lives as long as the template: with `--die-with-parent` the kernel ends a process when the
        # *thread* that started it ends.
        with theirs:
            threading.Thread(target=keep, daemon=True).start()
            started.wait()
        try:
            self.threads = self._receive(START_SECONDS)["threads"]
        except (OSError, EOFError) as error:
            if self._process is not None:
                self._process.kill()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self.close()
            raise sandbox.SandboxFailed(
                f"the sandbox does not start: {lines[-1] if lines else error}"
            ) from error


@functools.cache
def _template_of(process: int, level: sandbox.SandboxLevel) -> WorkerTemplate:
    template = WorkerTemplate(level)
    atexit.register(template.close)
    return template


def shared_template(level: sandbox.SandboxLevel) -> WorkerTemplate:
    """This process's own template of that level. One that was forked from the grader starts another."""
    return _template_of(os.getpid(), level)
