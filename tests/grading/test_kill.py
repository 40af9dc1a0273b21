"""The coordinator is killed at random moments: no result is lost, made twice, or comes out different."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from classroom import RIGHT_AUROC, STUB, WRONG_AUROC, assignment, notebook

from utils.course.grading.results import read_results, to_json
from utils.course.lessons import ROOT

STUDENTS, KILLS, SECONDS = 30, 20, 0.2
COORDINATOR = """
import sys
from pathlib import Path
from classroom import live
from utils.course.grading.grade import Run, grade

folder = Path(sys.argv[1])
grade(Run(folder / "class", folder / "hw", folder / sys.argv[2], jobs=int(sys.argv[3]), sandbox="none"), live)
"""


def coordinator(folder: Path, grades: str, jobs: int = 2) -> subprocess.Popen:
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GRADING_MARK": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, str(folder), grades, str(jobs)], env=environment
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").glob("*.json")}


def processes_of(folder: Path) -> list[psutil.Process]:
    """The coordinators of this test and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("GRADING_MARK") == str(folder)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals as on Linux and macOS")
def test_killed_twenty_times(tmp_path):
    assignment(tmp_path / "hw")
    (tmp_path / "class").mkdir()
    answers = [RIGHT_AUROC, WRONG_AUROC, STUB, "def auroc(:", "def auroc(*args):\n    return 0.5"]
    for number in range(STUDENTS):
        # Each file is another one, so that a result in the wrong place would show.
        text = f"TAKES = {SECONDS}  # {number}\n{answers[number % len(answers)]}"
        path = tmp_path / "class" / f"s{number:02}"
        if number % 4:
            path.with_suffix(".py").write_text(text)
        else:
            path.with_suffix(".ipynb").write_text(notebook("%magic", text))
    assert coordinator(tmp_path, "whole").wait() == 0
    expected = [to_json(each.without_timings()) for each in read_results(tmp_path / "whole")]
    assert len(expected) == STUDENTS

    draw = random.Random(0)
    # By how much is done, since how long that takes depends on the machine; every other time while a run starts.
    moments = sorted(draw.randrange(STUDENTS) for _ in range(KILLS))
    for number, moment in enumerate(moments):
        before = contents(tmp_path / "killed")
        # Every process imports torch anew, which is most of what this test costs.
        run = coordinator(tmp_path, "killed", jobs=1 + number % 2)
        if number % 2:
            time.sleep(draw.random() * 6)
        else:
            while len(contents(tmp_path / "killed")) < max(moment, len(before) + 1) and run.poll() is None:
                time.sleep(0.005)
            time.sleep(draw.random() * SECONDS)
        run.kill()
        run.wait()
        after = contents(tmp_path / "killed")
        # What was graded before has not been touched.
        assert {name: after[name] for name in before} == before
        list(read_results(tmp_path / "killed"))
    before = contents(tmp_path / "killed")
    assert coordinator(tmp_path, "killed").wait() == 0
    after = contents(tmp_path / "killed")
    assert {name: after[name] for name in before} == before
    assert [to_json(each.without_timings()) for each in read_results(tmp_path / "killed")] == expected
    left = {path.name for path in (tmp_path / "killed" / "results").iterdir()} - after.keys()
    assert not left, "what a killed run was writing has been cleared away"
    deadline = time.monotonic() + 30
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(tmp_path), "nobody is left behind"
