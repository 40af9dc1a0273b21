"""The sandbox itself: what a worker is allowed, that workers of one template share nothing, that nothing is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from classroom import FIRST_SLOT

from utils.course.errors import CourseError
from utils.course.grading.sandbox import levels, usage
from utils.course.grading.sandbox.template import WorkerTemplate, preloaded
from utils.course.grading.sandbox.transport import SandboxedTransport
from utils.course.learner import Learner, WorkerDied
from utils.course.lessons import ROOT
from utils.course.submissions import read_submission

pytestmark = pytest.mark.slow

PARENT = os.getpid()

LOOK = """
import os
import sys
import threading

import torch


def status():
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def visible(folder):
    return sorted(os.listdir(folder))


def writable():
    return [folder for folder, _, _ in os.walk("/") if not folder.startswith("/proc") and os.access(folder, os.W_OK)]


def environment():
    return dict(os.environ)


def break_torch():
    torch.Tensor.mean = lambda *arguments, **keywords: torch.tensor(13.0)
    torch.set_default_dtype(torch.float64)
    sys.modules["numpy"] = None


def mean(values):
    import numpy

    return values.mean(), float(numpy.mean([1.0, 3.0])), torch.tensor([1.0]).dtype


def threads():
    return threading.active_count(), len(os.listdir("/proc/self/task"))


def random_numbers():
    return torch.rand(3)


def leave_children():
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            while True:
                threading.Event().wait(100)
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    path = tmp_path_factory.mktemp("work") / "look.py"
    path.write_text(LOOK)
    return read_submission(path)


@pytest.fixture
def worker(template, look):
    with SandboxedTransport(look, (), "full", FIRST_SLOT + 5, 60, template) as transport:
        yield Learner(transport)


def test_no_privileges(worker):
    status = worker.status()
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[field], 16) == 0, field
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["Pid"] == "1"
    assert status["Threads"] == "1"
    if os.geteuid() == 0:
        uid = str(levels.FIRST_UID + FIRST_SLOT + 5)
        assert status["Uid"].split() == status["Gid"].split() == [uid] * 4
        assert status["Groups"].strip() in ("", uid)


def test_nothing_but_libraries_in_sight(worker):
    top = worker.visible("/")
    assert worker.visible("/course") == ["utils"]
    assert (
        set(top) & {"home", "autograder", "boot", "srv", "media", "mnt", "sys", "tests", "solutions"} == set()
    )
    assert set(worker.visible("/dev")) == {"null", "zero", "full", "random", "urandom", "shm"}
    assert [name for name in worker.visible("/proc") if not name.isdigit()] == ["self", "thread-self"]
    assert set(worker.writable()) == {"/dev/shm", levels.SCRATCH}


def test_no_environment_but_its_own(worker, monkeypatch):
    monkeypatch.setenv("GRADER_SECRET", "seed")
    allowed = {*levels.environment("full"), "PWD", "LC_CTYPE"}
    assert set(worker.environment()) <= allowed | {
        name
        for name in worker.environment()
        if name.startswith(("KMP_", "TORCHINDUCTOR", "TRITON", "PYTORCH"))
    }
    assert "seed" not in worker.environment().values()


def test_the_template_starts_no_threads(template, worker):
    assert worker.threads() == (1, 1)
    assert template.threads == 1


def test_what_one_worker_breaks_is_whole_in_the_next(worker):
    values = torch.tensor([1.0, 3.0])
    worker.break_torch()
    with pytest.raises((ImportError, WorkerDied)):
        worker.mean(values)
    worker._renew()
    worker._begin()
    mean, numpy_mean, dtype = worker.mean(values)
    assert (float(mean), numpy_mean, dtype) == (2.0, 2.0, torch.float32)


def test_unseeded_numbers_are_the_same_for_everyone(worker):
    first = worker.random_numbers()
    worker._renew()
    worker._begin()
    assert first.tolist() == worker.random_numbers().tolist()


def test_children_end_with_their_worker(template, look):
    with SandboxedTransport(look, (), "full", FIRST_SLOT + 6, 60, template) as transport:
        learner = Learner(transport)
        learner.leave_children()
        if os.geteuid() == 0:
            assert len(usage.processes_of(levels.FIRST_UID + FIRST_SLOT + 6)) == 4
    if os.geteuid() == 0:
        assert usage.processes_of(levels.FIRST_UID + FIRST_SLOT + 6) == []


GRADER = """
import sys, time
from pathlib import Path
from utils.course.grading.sandbox.transport import SandboxedTransport
from utils.course.grading.sandbox.template import WorkerTemplate
from utils.course.learner import Learner, WorkerDied
from utils.course.submissions import read_submission

template = WorkerTemplate("full", preload=("utils.course.worker",))
transport = SandboxedTransport(read_submission(Path(sys.argv[1])), (), "full", int(sys.argv[2]), 60, template)
Learner(transport).leave_children()
print(template._process.pid, flush=True)
time.sleep(600)
"""


def test_everything_ends_with_the_grader(tmp_path, full_sandbox):
    """Also where it is killed and can clean up nothing."""
    path = tmp_path / "look.py"
    path.write_text(LOOK)
    grader = subprocess.Popen(
        [sys.executable, "-c", GRADER, path, str(FIRST_SLOT + 8)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert grader.stdout is not None
    wall = int(grader.stdout.readline())
    tree = descendants(wall)
    assert len(tree) >= 5
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    wait_until_gone(tree)


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while (left := [pid for pid in pids if usage.status_of(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def descendants(root: int) -> list[int]:
    parents = {pid: int(status["PPid"]) for pid in usage.processes() if (status := usage.status_of(pid))}
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def test_a_template_that_died_is_no_students_fault(look, full_sandbox):
    with WorkerTemplate("full", preload=("utils.course.worker",)) as template:
        transport = SandboxedTransport(look, (), "full", FIRST_SLOT + 9, 60, template)
        learner = Learner(transport)
        assert learner.threads()[0] == 1
        assert template._process is not None
        tree = descendants(template._process.pid)
        template._process.kill()
        wait_until_gone(tree)
        with pytest.raises(levels.SandboxFailed):
            learner.threads()
        # The next worker comes from a new template.
        learner._begin()
        assert learner.threads()[0] == 1
        transport._stop()


def test_imports_of_the_lessons_are_preloaded():
    """Otherwise each worker imports them again, which takes seconds."""
    assert {"utils.probes", "utils.boards.othello", "sklearn.linear_model", "torch._dynamo"} <= set(
        preloaded()
    )


def test_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(levels.shutil, "which", lambda name: None)
    levels.problem_with.cache_clear()
    try:
        with pytest.raises(CourseError, match="apt install bubblewrap.*--sandbox (uid|none)"):
            levels.require("full")
        level, reason = levels.available_level()
        assert level != "full"
        assert "bubblewrap" in reason
    finally:
        levels.problem_with.cache_clear()


def test_the_template_starts_before_any_limit_runs(look, full_sandbox):
    with (
        WorkerTemplate("full", preload=("utils.course.worker",)) as template,
        SandboxedTransport(look, (), "full", FIRST_SLOT + 9, 60, template),
    ):
        assert template._process is not None


def test_slots_are_users_of_their_own():
    assert len({levels.uid_of_slot(slot) for slot in range(50)}) in (1, 50)
    with pytest.raises(ValueError, match="slot -1"):
        levels.uid_of_slot(-1)


def test_secrets_in_sight_are_refused(monkeypatch):
    monkeypatch.setattr(levels, "ROOT", Path(sys.base_prefix) / "lib" / "course")
    with pytest.raises(CourseError, match="move the course elsewhere"):
        levels.readable_folders()


def test_memory_of_a_tree_counts_shared_pages_once():
    held = bytearray(os.urandom(64 << 20))
    children = [os.fork() for _ in range(2) if os.getpid() == PARENT]
    if os.getpid() != PARENT:
        time.sleep(60)
        os._exit(0)
    try:
        enough = 100 << 20
        quick, exact = usage.memory_of_tree(PARENT, 1 << 60), usage.memory_of_tree(PARENT, enough)
        assert quick - exact > len(held)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
