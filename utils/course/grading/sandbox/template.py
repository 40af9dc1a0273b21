"""The grader's end of the template: start it, ask it for workers, and end it."""

import ast
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

from utils.course.grading.sandbox import levels
from utils.course.lessons import ROOT, all_lessons
from utils.course.submissions import read_submission

CODE = "from utils.course.grading.sandbox.template_main import main; main()"
# Imports take ten seconds on a quiet machine, and minutes on a busy one.
START_SECONDS = 900.0
ANSWER_SECONDS = 120.0
# What students import beside what lessons do, and what torch imports at an optimizer's first step: each worker would
# import it again, which takes seconds.
USUAL = (
    *("IPython.display", "einops", "jaxtyping", "numpy", "pandas", "plotly.express"),
    *("scipy.linalg", "scipy.optimize", "scipy.stats", "sklearn.decomposition", "sklearn.metrics"),
    *("sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "sklearn.preprocessing"),
    *("torch._dynamo", "torch.nn.functional", "torch.optim", "tqdm.auto", "transformer_lens", "transformers"),
    *("utils.course.inline", "utils.course.progress", "utils.course.worker"),
)


def preloaded() -> list[str]:
    """The modules that lessons import, and those that students do."""
    found = set(USUAL)
    for lesson in all_lessons():
        file = lesson.source if lesson.source.exists() else lesson.exercise_notebook
        for chunk in read_submission(file).chunks:
            for node in ast.parse(chunk.source).body:
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module)
    return sorted(found)


class WorkerTemplate:
    """A process in the sandbox that has imported the lessons' libraries once and forks a worker in milliseconds.

    It starts at the latest when the first worker is asked for, and again if it has died. Any thread may ask. Use as a
    context manager, or take the process's own by `shared_template`.
    preload: modules to import; default: `preloaded()`.
    """

    def __init__(self, level: levels.SandboxLevel, preload: Sequence[str] | None = None):
        self.level: levels.SandboxLevel = level
        self._preload = preload
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

    def start(self) -> None:
        """Start it unless it runs. Raises SandboxFailed where it does not start."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._start()

    def must_live(self) -> None:
        """Raises SandboxFailed where the template has died, and its workers with it."""
        self._ask({"end": -1}, [], start=False)

    def fork(self, slot: int, source: int, sink: int) -> int:
        """A worker of that slot that reads frames from one descriptor and writes to the other; its process id in there.

        Raises SandboxFailed where there can be none.
        """
        return self._ask({"fork": levels.uid_of_slot(slot)}, [source, sink])["pid"]

    def end(self, pid: int) -> None:
        """End a worker and whatever it has started. If the template cannot, end the template with all its workers."""
        try:
            self._ask({"end": pid}, [], start=False)
        except levels.SandboxFailed:
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
            if start:
                self.start()
            if self._control is None:
                raise levels.SandboxFailed("the sandbox's template has ended")
            self._asked += 1
            request = {"id": self._asked, **request}
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
                # An answer that nobody has waited for, because a time limit struck, is passed over.
                while (answer := self._receive(ANSWER_SECONDS)).get("id") != self._asked:
                    pass
            except (OSError, EOFError) as error:
                raise levels.SandboxFailed(f"the sandbox's template does not answer: {error}") from error
        if "error" in answer:
            raise levels.SandboxFailed(f"the sandbox's template cannot do that: {answer['error']}")
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
        settings = {
            "control": theirs.fileno(),
            "level": self.level,
            "preload": preloaded() if self._preload is None else list(self._preload),
        }
        settings["readable"] = [*levels.readable_folders(), str(ROOT / "utils")]
        program = levels.command(self.level, CODE, json.dumps(settings))
        started = threading.Event()

        def keep() -> None:
            try:
                self._process = subprocess.Popen(
                    program,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=levels.environment(self.level),
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
            raise levels.SandboxFailed(
                f"the sandbox does not start: {lines[-1] if lines else error}"
            ) from error


@functools.cache
def _template_of(process: int, level: levels.SandboxLevel) -> WorkerTemplate:
    template = WorkerTemplate(level)
    atexit.register(template.close)
    return template


def shared_template(level: levels.SandboxLevel) -> WorkerTemplate:
    """This process's own template of that level. One that was forked from the grader starts another."""
    return _template_of(os.getpid(), level)
