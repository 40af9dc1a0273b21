"""The lower levels: what they still hold, and that they grade alike."""

import os
from pathlib import Path

import pytest
from classroom import FIRST_SLOT

from utils.course.grading.sandbox import levels, usage
from utils.course.grading.sandbox.landlock import landlock_version
from utils.course.grading.sandbox.template import WorkerTemplate
from utils.course.grading.sandbox.transport import SandboxedTransport
from utils.course.learner import Learner
from utils.course.lessons import ROOT
from utils.course.submissions import read_submission

pytestmark = pytest.mark.slow

SLOT = FIRST_SLOT + 11

LOOK = """
import os
import socket
import time


def identity():
    return os.getuid(), os.getgid(), os.getgroups(), os.getcwd()


def status(name):
    with open("/proc/self/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(name))


def reads(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(10))
    except OSError as error:
        return type(error).__name__


def writes(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        return True
    except OSError:
        return False


def connects():
    try:
        socket.socket()
        return True
    except OSError:
        return False


def leaves_children():
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)


def kills(pid):
    try:
        os.kill(pid, 9)
        return True
    except OSError:
        return False
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    path = tmp_path_factory.mktemp("work") / "look.py"
    path.write_text(LOOK)
    return read_submission(path)


@pytest.fixture(scope="module")
def by_user():
    problem = levels.problem_with("uid")
    if problem:
        pytest.skip(problem)
    with WorkerTemplate("uid", preload=("utils.course.worker",)) as template:
        yield template


@pytest.fixture
def worker(by_user, look):
    with SandboxedTransport(look, (), "uid", SLOT, 60, by_user) as transport:
        yield Learner(transport)


def test_another_user_without_privileges(worker):
    uid = levels.uid_of_slot(SLOT)
    user, group, groups, home = worker.identity()
    assert (user, group, groups) == (uid, uid, [])
    assert Path(home).stat().st_uid == uid
    assert Path(home).stat().st_mode & 0o77 == 0


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_files_out_of_reach(worker, tmp_path):
    secret = tmp_path / "manifest.toml"
    secret.write_text("seed = 3")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o55)
    assert worker.reads(str(secret)) == "PermissionError"
    assert worker.reads(str(ROOT / "tests" / "conftest.py")) == "PermissionError"
    assert worker.reads("/etc/passwd") == "PermissionError"
    assert worker.reads(f"/proc/{os.getpid()}/cmdline") == "PermissionError"
    assert worker.reads(str(ROOT / "utils" / "__init__.py")) == 10
    for folder in ("/tmp", "/var/tmp", "/dev/shm", str(tmp_path)):
        assert not worker.writes(f"{folder}/left-by-a-worker")
    assert worker.writes("own")


def test_no_sockets_and_no_signals(worker):
    assert worker.connects() is False
    assert worker.kills(os.getpid()) is False
    assert worker.kills(os.getppid()) is False


def test_nothing_is_left(by_user, look):
    with SandboxedTransport(look, (), "uid", SLOT, 60, by_user) as transport:
        learner = Learner(transport)
        home = Path(learner.identity()[3])
        learner.leaves_children()
        assert len(usage.processes_of(learner.identity()[0])) >= 2
    assert usage.processes_of(levels.FIRST_UID + SLOT) == []
    assert not home.exists()


def test_none_is_this_user(look):
    with (
        WorkerTemplate("none", preload=("utils.course.worker",)) as template,
        SandboxedTransport(look, (), "none", 0, 60, template) as transport,
    ):
        learner = Learner(transport)
        user, _, _, home = learner.identity()
        assert user == os.getuid()
        assert Path(home).exists()
    assert not Path(home).exists()
