"""A Dask scheduler and two workers, real processes, one of them killed: nothing lost, nothing different."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from classroom import RIGHT_AUROC, STUB, WRONG_AUROC, assignment, live, notebook

from utils.course.errors import CourseError
from utils.course.grading.grade import Run, grade
from utils.course.grading.pools import DaskPool
from utils.course.grading.results import read_results, to_json
from utils.course.lessons import ROOT

pytest.importorskip("distributed", reason="Dask is optional: pip install distributed")
pytestmark = pytest.mark.slow

STUDENTS = 24
PATIENCE = 300


class Cluster:
    """A scheduler and two workers, each a process, at an address of this machine."""

    def __init__(self, folder: Path):
        paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self.folder = folder
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.address = self.address_of_scheduler()
        self.workers = [self.worker() for _ in range(2)]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        with open(self.folder / f"{arguments[0]}.log", "ab") as log:
            return subprocess.Popen(command, env=self.environment, cwd=self.folder, stderr=log, stdout=log)

    def worker(self) -> subprocess.Popen:
        return self.start("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard")

    def address_of_scheduler(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in (self.folder / "scheduler.log").read_text().splitlines():
                if "Scheduler at:" in line and "tcp://" in line:
                    return "tcp://" + line.split("tcp://")[1].strip()
            time.sleep(0.2)
        raise AssertionError((self.folder / "scheduler.log").read_text())

    def wait_for_workers(self, number: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=PATIENCE)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.close()


def test_a_worker_is_killed(tmp_path, cluster):
    homework = assignment(tmp_path / "hw")
    source = tmp_path / "class"
    source.mkdir()
    answers = [RIGHT_AUROC, WRONG_AUROC, STUB, "def auroc(:"]
    for number in range(STUDENTS):
        text = f"TAKES = 0.5  # {number}\n{answers[number % len(answers)]}"
        if number % 5:
            (source / f"s{number:02}.py").write_text(text)
        else:
            (source / f"s{number:02}.ipynb").write_text(notebook(text))
    cluster.wait_for_workers(2)
    results = tmp_path / "dask" / "results"
    killed = []

    def kill_one() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            done = len(list(results.glob("*.json"))) if results.exists() else 0
            if done >= STUDENTS // 3:
                cluster.workers[0].kill()
                killed.append(done)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    summary = grade(Run(source, homework, tmp_path / "dask", scheduler=cluster.address, sandbox="none"), live)
    killer.join()
    assert killed
    assert killed[0] < STUDENTS
    assert summary.students == STUDENTS
    grade(Run(source, homework, tmp_path / "local", jobs=2, sandbox="none"), live)
    there, here = (
        [to_json(each.without_timings()) for each in read_results(tmp_path / name)]
        for name in ("dask", "local")
    )
    assert len(here) == STUDENTS
    assert there == here
    assert not [text for text in there if "grading failed" in text]


def test_no_scheduler():
    with pytest.raises(CourseError, match="no Dask scheduler answers at tcp://127"):
        DaskPool("tcp://127.0.0.1:9")
