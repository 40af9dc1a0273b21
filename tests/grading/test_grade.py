"""A class is graded, stopped, graded on, and scored anew where only points have changed."""

import json
import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from classroom import LIGHT, RIGHT_AUROC, STUB, WRONG_AUROC, HerePool, assignment, live, notebook
from filelock import FileLock

from utils.course.__main__ import main
from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import Limits, read_manifest, write_manifest
from utils.course.grading.grade import Run, grade
from utils.course.grading.pools import LocalPool
from utils.course.grading.results import read_results
from utils.course.grading.sandbox.levels import problem_with
from utils.course.lessons import Lesson

CLASS = {
    "ada.py": RIGHT_AUROC,
    "bob.ipynb": notebook("%matplotlib inline", WRONG_AUROC),
    "carl.py": STUB,
    "dora.ipynb": "{",
}
HIDDEN = '''
from utils.course import exercise

@exercise("auroc")
class TestFurther:
    def test_is_a_float(self, learner, rng):
        """a float"""
        import torch
        assert isinstance(learner.auroc(torch.rand(4, generator=rng), torch.tensor([True, False, True, False])), float)
'''


@pytest.fixture
def homework(tmp_path) -> Path:
    return assignment(tmp_path / "hw")


@pytest.fixture
def submissions(tmp_path) -> Path:
    folder = tmp_path / "class"
    folder.mkdir()
    for name, text in CLASS.items():
        (folder / name).write_text(text)
    return folder


EARNED_BY_BOB = {
    "group_split": 0,
    "auroc": 1,
    "bootstrap_interval": 0,
    "control_labels": 0,
    "selectivity": 1,
}


def ada_and_bob(tmp_path: Path, limits: Limits, **spoilt: str) -> Path:
    """The folder "class" with ada's right answers, and bob's with some functions' bodies spoilt; their assignment."""
    reference = Lesson(LIGHT).source.read_text(encoding="utf-8")
    defined = "".join(f"\ndef {name}(*args, **kwargs):\n    {body}\n" for name, body in spoilt.items())
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "ada.py").write_text(reference)
    (tmp_path / "class" / "bob.py").write_text(reference + defined)
    return assignment(tmp_path / "hw", tuple(EARNED_BY_BOB), limits=limits)


def run(homework: Path, submissions: Path, **changes):
    """Grade in this process: the results by student, whose were marked now, and the summary."""
    pool = HerePool()
    options = Run(submissions, homework, homework.parent / "grades", sandbox="none")
    summary = grade(replace(options, **changes), live, pool)
    return {each.student: each for each in read_results(homework.parent / "grades")}, pool.marked, summary


def test_a_class(homework, submissions):
    found, marked, summary = run(homework, submissions)
    assert set(marked) == found.keys() == {"ada", "bob", "carl", "dora"}
    assert {student: each.score for student, each in found.items()} == {
        "ada": 1,
        "bob": 0,
        "carl": 0,
        "dora": 0,
    }
    ada, bob, dora = found["ada"], found["bob"], found["dora"]
    assert {check.outcome for check in ada.exercises[0].checks} == {"passed"}
    assert ada.exercises[0].mistake is None
    mistake = bob.exercises[0].mistake
    assert mistake is not None
    assert mistake.name in Lesson(LIGHT).answers("mistake", "auroc")
    assert mistake.diagnosis
    assert bob.lessons[0].notes == ("code cell 1: left out `%matplotlib inline`",)
    assert dora.unreadable
    assert "not JSON" in dora.lessons[0].notes[0]
    assert [check.outcome for check in dora.exercises[0].checks] == ["not run"] * len(ada.exercises[0].checks)
    assert "3 graded, 1 unreadable, 1 full marks" in summary.report(Path("grades"))
    facts = json.loads((homework.parent / "grades" / "grades.json").read_text())
    assert facts["assignment"] == "hw"
    assert facts["sandbox"] == "none"
    assert facts["finished"]
    assert facts["counts"]["graded"] == 3
    assert facts["versions"]["torch"]


def test_a_second_run_goes_on(homework, submissions):
    run(homework, submissions)
    results = homework.parent / "grades" / "results"
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    found, marked, summary = run(homework, submissions)
    assert marked == []
    assert summary.resumed == 4
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before

    (submissions / "carl.py").write_text(RIGHT_AUROC)
    (results / "dora.json").write_text("{")
    (results / "ada.json").unlink()
    found, marked, _ = run(homework, submissions)
    assert sorted(marked) == ["ada", "carl", "dora"]
    assert found["carl"].score == 1
    _, marked, _ = run(homework, submissions, force=True)
    assert len(marked) == 4


def test_other_checks_or_another_seed_grade_again(homework, submissions, tmp_path):
    first, _, _ = run(homework, submissions)
    further = tmp_path / "further" / f"{LIGHT.replace('/part', '/test_part')}.py"
    further.parent.mkdir(parents=True)
    further.write_text(HIDDEN)
    found, marked, _ = run(homework, submissions, hidden=tmp_path / "further")
    assert len(marked) == 4
    added = found["ada"].exercises[0].checks[-1]
    assert (added.id, added.outcome, added.hidden) == ("test_is_a_float", "passed", True)
    further.write_text(HIDDEN.replace("float)", "int)"))
    found, marked, _ = run(homework, submissions, hidden=tmp_path / "further")
    assert len(marked) == 4
    assert found["ada"].score == 0

    (tmp_path / "seed").write_text("another seed")
    found, marked, _ = run(homework, submissions, seed_file=tmp_path / "seed")
    assert len(marked) == 4
    assert found["ada"].score == 1
    assert found["ada"].keys.seed != first["ada"].keys.seed
    assert "another seed" not in (homework.parent / "grades" / "results" / "ada.json").read_text()


def test_points_lateness_and_hand_given_points_need_no_grading(homework, submissions):
    run(homework, submissions)
    manifest = read_manifest(homework)
    (lesson,) = manifest.lessons
    exercises = (replace(lesson.exercises[0], points=7.5),)
    due = datetime(2000, 1, 1, tzinfo=UTC)
    write_manifest(homework, replace(manifest, lessons=(replace(lesson, exercises=exercises),), due=due))
    overrides = homework.parent / "grades" / "overrides.csv"
    overrides.write_text("student,exercise,points,reason\nbob,auroc,3,oral exam\n")
    found, marked, _ = run(homework, submissions)
    assert marked == []
    assert {student: each.score for student, each in found.items()} == {
        "ada": 7.5,
        "bob": 3,
        "carl": 0,
        "dora": 0,
    }
    assert all(each.late and each.points == 7.5 for each in found.values())
    overridden = found["bob"].overridden
    assert overridden is not None
    assert overridden["auroc"].reason == "oral exam"
    overrides.unlink()
    assert run(homework, submissions)[0]["bob"].score == 0


def test_the_class_list(homework, submissions, tmp_path):
    (tmp_path / "roster.csv").write_text("student,name\nada,Ada L\nbob,Bob B\nzoe,Zoe Z\n")
    found, _, summary = run(homework, submissions, roster=tmp_path / "roster.csv")
    assert found["zoe"].statuses == {"not submitted"}
    assert found["zoe"].points == 1
    assert found["carl"].flags == ("not in the class list",)
    assert summary.counts["not submitted"] == 1
    (submissions / "zoe.py").write_text(RIGHT_AUROC)
    assert run(homework, submissions, roster=tmp_path / "roster.csv")[0]["zoe"].score == 1


def test_those_of_an_earlier_batch_stay(homework, submissions):
    run(homework, submissions)
    shutil.rmtree(submissions)
    submissions.mkdir()
    (submissions / "eve.py").write_text(RIGHT_AUROC)
    found, marked, summary = run(homework, submissions)
    assert marked == ["eve"]
    assert found.keys() == {"ada", "bob", "carl", "dora", "eve"}
    assert summary.students == 5


def test_one_exercise_costs_no_other(tmp_path):
    """A loop, an exit and an odd value in one exercise each; the next one is graded all the same."""
    homework = ada_and_bob(
        tmp_path,
        Limits(call_seconds=2.0),
        group_split="while True: pass",
        bootstrap_interval="raise SystemExit(0)",
        control_labels="return [[[]]] * 3",
    )
    found, _, _ = run(homework, tmp_path / "class")
    assert found["ada"].score == found["ada"].points == 7
    assert {each.name: each.earned for each in found["bob"].exercises} == EARNED_BY_BOB
    split = found["bob"].exercises[0]
    assert "never ends" in split.checks[0].message
    assert {check.outcome for check in split.checks} == {"error"}


def test_time_of_an_exercise(tmp_path):
    """Calls that are short, but many: the exercise's own budget ends them."""
    homework = assignment(tmp_path / "hw", limits=Limits(call_seconds=5.0, exercise_seconds=0.3))
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "ada.py").write_text(
        "import time\ndef auroc(*args):\n    time.sleep(0.2)\n    return 1.0\n"
    )
    found, _, _ = run(homework, tmp_path / "class")
    assert any("time for this exercise" in check.message for check in found["ada"].exercises[0].checks)


def test_hostile_text_is_shown_not_obeyed(homework, tmp_path):
    (tmp_path / "class").mkdir()
    text = "def auroc(*args):\n    raise ValueError('\\x1b]0;owned\\x07<script>' + chr(0xD800))\n"
    (tmp_path / "class" / "a\x1b[31m.py").write_text(text)
    cells = notebook("!" + "\x1b[31m" * 200, *["%magic" for _ in range(300)], text)
    (tmp_path / "class" / "=HYPERLINK(1).ipynb").write_text(cells)
    found, _, _ = run(homework, tmp_path / "class")
    assert len(found) == 2
    for path in (homework.parent / "grades" / "results").iterdir():
        assert path.read_text(encoding="utf-8").replace("\n", "").isprintable()
    notes = found["=HYPERLINK(1)"].lessons[0].notes
    assert len(notes) == 21
    assert notes[-1].startswith("and ")
    assert max(map(len, notes)) <= 300


def test_one_run_at_a_time(homework, submissions):
    grades = homework.parent / "grades"
    grades.mkdir()
    with FileLock(grades / ".lock"), pytest.raises(CourseError, match="another run"):
        run(homework, submissions)


def test_checks_that_are_no_longer_there(homework, submissions):
    manifest = read_manifest(homework)
    (lesson,) = manifest.lessons
    exercises = (replace(lesson.exercises[0], checks=(*lesson.exercises[0].checks, "long_gone")),)
    write_manifest(homework, replace(manifest, lessons=(replace(lesson, exercises=exercises),)))
    with pytest.raises(CourseError, match="long_gone"):
        run(homework, submissions)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["class", "--assignment", "nowhere", "--out", "g"], "holds no assignment"),
        (["nowhere", "--assignment", "hw", "--out", "g", "--sandbox", "none"], "nowhere does not exist"),
        (["class", "--assignment", "hw", "--out", "g", "--jobs", "0"], "expected 1 or more"),
        (["class", "--assignment", "hw", "--out", "g", "--seed-file", "no"], "seed cannot be read"),
        (["class", "--assignment", "hw", "--out", "g", "--roster", "no.csv"], "no.csv"),
    ],
)
def test_bad_input_is_one_line(homework, submissions, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(homework.parent)
    monkeypatch.setattr("utils.course.grading.pools.LocalPool", lambda jobs: HerePool())
    assert main(["grade", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("level", ["full", "none"])
def test_in_processes_of_their_own(tmp_path, level):
    """As an instructor runs it: grading processes, and students' code in workers of its own."""
    if problem := problem_with(level):
        pytest.skip(f"no sandbox of level {level}: {problem}")
    homework = ada_and_bob(
        tmp_path,
        Limits(call_seconds=5.0),
        group_split="while True: pass",
        bootstrap_interval="import os; os._exit(0)",
        control_labels="raise SystemExit",
    )
    (tmp_path / "class" / "carl.py").write_text(WRONG_AUROC)
    grades = tmp_path / "grades"
    arguments = [str(tmp_path / "class"), "--assignment", str(homework), "--out", str(grades)]
    assert main(["grade", *arguments, "--jobs", "2", "--sandbox", level]) == 0
    found = {each.student: each for each in read_results(grades)}
    assert {each.sandbox for each in found.values()} == {level}
    assert found["ada"].score == found["ada"].points == 7
    assert {each.name: each.earned for each in found["bob"].exercises} == EARNED_BY_BOB
    mistake = found["carl"].exercises[1].mistake
    assert mistake is not None
    assert {check.outcome for check in found["carl"].exercises[0].checks} == {"missing"}


@pytest.mark.slow
def test_whoever_ends_the_grader_costs_only_that_result(homework, submissions):
    """Should a file end or hang the grading process itself, the others are graded, and it is tried again next time."""
    (submissions / "eve.py").write_text("ENDS_THE_GRADER = 1\n" + RIGHT_AUROC)
    options = Run(submissions, homework, homework.parent / "grades", jobs=2, sandbox="none")
    grade(options, live)
    found = {each.student: each for each in read_results(options.grades)}
    assert found.keys() == {"ada", "bob", "carl", "dora", "eve"}
    assert found["ada"].score == 1
    assert found["eve"].unreadable
    assert "grading failed" in found["eve"].lessons[0].notes[0]
    (submissions / "eve.py").write_text("HARMLESS = 1\n" + RIGHT_AUROC)
    _, marked, _ = run(homework, submissions)
    assert marked == ["eve"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be looked for")
@pytest.mark.parametrize("moment", [0.0, 0.01, 0.1])
def test_a_pool_leaves_nobody_behind(moment):
    """Also where it is closed while a child is being started."""
    import psutil

    pool = LocalPool(1)
    assert pool.submit(os.getpid).result() != os.getpid()
    worker = psutil.Process(pool.submit(os.getpid).result())
    pool.submit(os.system, "sleep 3600")
    time.sleep(moment)
    pool.close()
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert not alive
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "3600"]
    ]
