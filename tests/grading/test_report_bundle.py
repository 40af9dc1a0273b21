"""The Gradescope bundle: what is in it, and that it grades when it is unpacked as Gradescope unpacks it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.grading.test_report_formats import check_gradescope
from utils.course.__main__ import main
from utils.course.grading.assignment.manifest import read_seed
from utils.course.grading.gradescope import run
from utils.course.lessons import ROOT, Lesson

SLUG = "ch1_probing_basics/part2_fit_probes"
LESSON = Lesson(SLUG)
METADATA = {
    "id": 987,
    "created_at": "2026-11-27T10:00:00.000000-08:00",
    "users": [{"email": "ada@example.org"}],
}


@pytest.fixture(scope="module")
def assignment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "probing"
    assert main(["assign", SLUG, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def archive(assignment):
    out = assignment.parent / "autograder.zip"
    assert main(["bundle", "--gradescope", "--assignment", str(assignment), "--out", str(out)]) == 0
    return out


@pytest.fixture
def root(archive, tmp_path):
    """A folder like Gradescope's /autograder, with an empty submission."""
    root = tmp_path / "autograder"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(archive), str(root / "source")], check=True)
    (root / "submission").mkdir()
    (root / "results").mkdir()
    (root / "submission_metadata.json").write_text(json.dumps(METADATA))
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    return root


def run_autograder(root, python=sys.executable, **environment):
    """The document that the script leaves, and what it prints."""
    script = root / "run_autograder"
    script.chmod(0o755)
    environment = {
        **os.environ,
        "AUTOGRADER_ROOT": str(root),
        "AUTOGRADER_PYTHON": str(python),
        **environment,
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [script], env=environment, cwd=root, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0
    document = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    check_gradescope(document)
    return document, done.stdout


def test_has_what_gradescope_wants_at_its_root(archive):
    with zipfile.ZipFile(archive) as file:
        members = {info.filename: info for info in file.infolist()}
    for name in ("setup.sh", "run_autograder"):
        assert members[name].external_attr >> 16 & 0o111
    assert members["assignment/instructor/seed"].external_attr >> 16 & 0o077 == 0


def test_has_what_grading_needs_and_no_more(archive):
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
    of_the_lesson = {
        f"course/{path.relative_to(ROOT).as_posix()}"
        for path in (LESSON.checks_file, LESSON.mistakes_file, LESSON.source, LESSON.exercise_notebook)
    }
    assert of_the_lesson <= names
    lessons = {
        name for name in names if name.startswith(("course/tests/", "course/solutions/", "course/chapters/"))
    }
    assert lessons == of_the_lesson
    assert "course/utils/course/grading/gradescope/run.py" in names
    assert "course/constraints.txt" in names
    assert not any("__pycache__" in name or "/." in name for name in names)
    assert not any(name.startswith("assignment/student") for name in names)


def test_the_same_assignment_makes_the_same_zip(assignment, archive, tmp_path):
    again = tmp_path / "again.zip"
    assert main(["bundle", "--gradescope", "--assignment", str(assignment), "--out", str(again)]) == 0
    assert again.read_bytes() == archive.read_bytes()


def test_no_assignment(tmp_path, capsys):
    assert main(["bundle", "--gradescope", "--assignment", str(tmp_path)]) == 2
    assert "holds no assignment" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder"])
def test_scripts_are_bash(root, name):
    subprocess.run(["bash", "-n", str(root / "source" / name)], check=True)


def test_setup_installs_by_the_constraints(root, tmp_path):
    """With an apt-get and a Python that only write down what they were asked."""
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    (tools / "apt-get").write_text(f'#!/bin/sh\necho "apt-get $*" >> {log}\n')
    python = f"""#!/bin/sh
case "$1" in
  -c) exit 0 ;;
  -m) echo "python $*" >> {log}
      if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi ;;
esac
"""
    (tools / "python3.12").write_text(python)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = {**os.environ, "AUTOGRADER_ROOT": str(root), "PATH": f"{tools}:/usr/bin:/bin"}
    subprocess.run(["bash", str(root / "source" / "setup.sh")], env=environment, check=True)
    done = log.read_text()
    assert "apt-get install -y --no-install-recommends bubblewrap" in done
    assert "python -m venv .venv" in done
    installs = [line for line in done.splitlines() if "-m pip install" in line]
    assert len(installs) == 2
    assert all("--constraint course/constraints.txt" in line for line in installs)
    assert all("https://download.pytorch.org/whl/cpu" in line for line in installs)
    assert "--requirement course/requirements.txt" in installs[1]


def test_a_grader_that_cannot_start_still_leaves_a_result(root):
    document, printed = run_autograder(root, python="/bin/false")
    assert document["score"] == 0
    assert "The grader stopped" in document["tests"][0]["name"]
    assert "exit code 1" in printed


def test_a_result_of_another_submission_is_gone(root):
    (root / "results" / "results.json").write_text('{"score": 100}')
    document, _ = run_autograder(root, python="/bin/false")
    assert document["score"] == 0


def test_a_grader_that_fails_says_so_without_blame(root):
    (root / "source" / "assignment" / "instructor" / "manifest.toml").write_text("schema = 0")
    (root / "submission" / "part2_fit_probes.py").write_text("import this")
    document, printed = run_autograder(root)
    assert "could not grade" in document["tests"][0]["name"]
    assert "This is not about your work" in document["output"]
    assert "Traceback" in printed
    assert "Traceback" not in json.dumps(document)


def test_what_is_not_the_graders_business_is_closed(root):
    run_autograder(root, python="/bin/false")
    for name in (
        "submission",
        "results",
        "source/assignment",
        "source/course/tests",
        "source/course/solutions",
    ):
        assert (root / name).stat().st_mode & 0o077 == 0


def test_only_regular_files_are_handed_over(tmp_path):
    submission, target = tmp_path / "submission", tmp_path / "target"
    (submission / "deep").mkdir(parents=True)
    (submission / "deep" / "a.py").write_text("x = 1")
    (submission / "link.py").symlink_to("/etc/passwd")
    (submission / "folder").symlink_to("/etc")
    os.mkfifo(submission / "pipe.py")
    run._hand_over(submission, target, 1_700_000_000.0)
    found = [path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()]
    assert found == ["deep/a.py"]
    assert (target / "deep" / "a.py").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize(
    ("text", "name", "moment"),
    [
        (json.dumps(METADATA), "submission_987", 1795802400.0),
        ("", "submission_0", None),
        ("[]", "submission_0", None),
        ('{"id": "../../x", "created_at": 5}', "submission_0", None),
    ],
)
def test_metadata(tmp_path, text, name, moment):
    (tmp_path / "submission_metadata.json").write_text(text)
    metadata = run._metadata(tmp_path)
    assert run._name(metadata) == name
    assert run._moment(metadata) == moment


def test_every_upload_has_a_seed_of_its_own(root, tmp_path):
    one, again, other = (read_seed(run._own_seed(root, {"id": number}, tmp_path)) for number in (1, 1, 2))
    assert one == again != other
    assert read_seed(root / "source" / "assignment" / "instructor" / "seed") not in (one, other)


@pytest.mark.slow
def test_grades_a_submission(root, monkeypatch):
    """The reference's own file, in this process: full marks, as the same grader gives them elsewhere."""
    monkeypatch.setattr(run, "_level", lambda: "none")
    shutil.copy(LESSON.source, root / "submission" / "part2_fit_probes.py")
    assert run.main(root) == 0
    document = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    check_gradescope(document)
    scored = [test for test in document["tests"] if "max_score" in test]
    assert document["score"] == sum(test["max_score"] for test in scored) > 0
    assert {test["status"] for test in document["tests"]} == {"passed"}
    assert document["extra_data"]["sandbox"] == "none"


@pytest.mark.slow
def test_grades_nothing_at_all(root, monkeypatch):
    monkeypatch.setattr(run, "_level", lambda: "none")
    assert run.main(root) == 0
    document = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    check_gradescope(document)
    assert document["score"] == 0
