"""Students get what they need and nothing that they should write themselves; what they get works by itself."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from utils.course.__main__ import main
from utils.course.grading.assignment.assign import assign
from utils.course.grading.assignment.manifest import parse_due, read_manifest, seed_path
from utils.course.lessons import Lesson

SLUGS = ("ch1_probing_basics/part1_read_activations", "ch1_probing_basics/part2_fit_probes")
IN_A_STUDENTS_COPY = """
import contextlib, io, sys
from utils.course import lessons, open_lesson
from utils.course.__main__ import main

assert lessons.ROOT.samefile("."), lessons.ROOT
check, use_reference = open_lesson("ch1_probing_basics/part2_fit_probes")

def difference_of_means(acts, labels):
    return acts[~labels].mean(0) - acts[labels].mean(0)

for _ in range(4):
    check(difference_of_means)
try:
    use_reference("difference_of_means")
except lessons.LessonError as error:
    print("ERROR:", error)
main(["check", "ch1_probing_basics/part2_fit_probes"])
main(["build"])
main(["progress"])
with contextlib.suppress(SystemExit):
    main(["grade"])
"""


@pytest.fixture(scope="module")
def assigned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assigned")
    points = folder / "points.toml"
    points.write_text("difference_of_means = 5\nmasked_mean = 0.5\n")
    return assign(SLUGS, folder / "hw1", points, parse_due("2030-01-31T18:00+00:00"))


def texts(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".safetensors", ".gz", ".npz", ".png"):
            found[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8", errors="replace")
    return found


def notebooks(folder: Path) -> dict[str, list[dict]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["cells"]
        for path in folder.glob("chapters/*/*.ipynb")
    }


def test_nothing_that_students_should_not_have(assigned):
    files = texts(assigned.student)
    assert not [name for name in files if "mistakes" in name or "solutions" in name or "proofs.json" in name]
    assert not [name for name in files if name.startswith("utils/course/grading")]
    assert "Solution</summary>" not in "".join(
        text for name, text in files.items() if name.startswith("chapters")
    )
    seed = seed_path(assigned.student.parent).read_text().strip()
    assert not [name for name, text in files.items() if seed in text]
    for slug in SLUGS:
        lesson = Lesson(slug)
        checks = files[f"tests/{lesson.chapter}/test_{lesson.part}.py"]
        assert "@hidden" not in checks
        for exercise in lesson.exercises():
            for check in exercise.checks:
                assert (f"def test_{check.name}" in checks) or check.hidden
                assert check.purpose not in checks or not check.hidden


def test_no_line_of_a_solution(assigned):
    """No statement that only the solutions have is in what students get for the lesson."""
    for slug in SLUGS:
        lesson = Lesson(slug)
        source = lesson.source.read_text(encoding="utf-8")
        regions = re.findall(r"### BEGIN SOLUTION\n(.*?)\n\s*### END SOLUTION", source, re.DOTALL)
        rest = re.sub(r"### BEGIN SOLUTION\n.*?### END SOLUTION", "", source, flags=re.DOTALL)
        lines = {line.strip() for region in regions for line in region.splitlines() if len(line.strip()) > 30}
        (notebook,) = (assigned.student / "chapters" / lesson.chapter).glob(f"{lesson.part}.ipynb")
        given = "\n".join("".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"])
        assert len(lines) > 10
        assert not [line for line in lines if line in given and line not in rest]


def test_what_students_are_told(assigned):
    for part, cells in notebooks(assigned.student).items():
        note = "".join(cells[1]["source"])
        assert "further checks" in note
        assert "Thursday 31 January 2030, 18:00 (UTC+0000)" in note
        assert f"{part}.ipynb" in note
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        assert "use_reference" not in text
        assert "<summary>Hint" in text
        for cell in cells:
            if cell["cell_type"] == "code":
                ast.parse("".join(cell["source"]))
    fits = "\n".join("".join(cell["source"]) for cell in notebooks(assigned.student)["part2_fit_probes"])
    assert "minutes · 5 points" in fits
    assert "minutes · 1 point\n" in fits
    readme = (assigned.student / "README.md").read_text(encoding="utf-8")
    assert "| `masked_mean` | 0.5 |" in readme
    assert "further checks" in readme
    assert "{{" not in readme + (assigned.student / "Makefile").read_text(encoding="utf-8")


def test_the_manifest_lists_what_is_graded(assigned):
    manifest = read_manifest(assigned.student.parent)
    assert manifest == assigned.manifest
    assert manifest.id == "hw1"
    assert [lesson.slug for lesson in manifest.lessons] == list(SLUGS)
    exercises = {each.name: each for lesson in manifest.lessons for each in lesson.exercises}
    assert exercises["difference_of_means"].points == 5
    assert exercises["last_token_activations"].hidden == ("batches",)
    assert "batches" not in exercises["last_token_activations"].checks


def test_the_zip_is_the_folder(assigned):
    with zipfile.ZipFile(assigned.archive) as archive:
        files = {name for name in archive.namelist() if not name.endswith("/")}
    folder = {
        path.relative_to(assigned.student).as_posix()
        for path in assigned.student.rglob("*")
        if path.is_file()
    }
    assert files == {f"hw1/{name}" for name in folder}


def test_what_sets_it_up_is_there(assigned):
    for name in (
        "Makefile",
        "requirements.txt",
        "requirements-model.txt",
        "constraints.txt",
        "pyproject.toml",
    ):
        assert (assigned.student / name).is_file()
    assert (assigned.student / "utils" / "course" / "install.py").is_file()
    if shutil.which("make"):
        steps = subprocess.run(
            ["make", "-n", "learn"], cwd=assigned.student, capture_output=True, text=True, check=True
        ).stdout
        assert "utils/course/install.py" in steps
        first = re.search(r"/lab/tree/(\S+)", steps)
        assert first is not None
        assert (assigned.student / first[1]).is_file()


@pytest.mark.slow
def test_a_students_copy_works(assigned, tmp_path):
    """Checks run, the diagnosis says less, and what is not there says so."""
    environment = {**os.environ, "PYTHONPATH": str(assigned.student), "PROBING_PROGRESS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_STUDENTS_COPY],
        cwd=assigned.student,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "✗ points from the mean of False to the mean of True" in done.stdout
    assert "Diagnosis" not in done.stdout
    assert "Change the cell above" in done.stdout
    assert "folded below" not in done.stdout
    assert (
        "ERROR: use_reference is not available here: an assigned edition carries no solutions." in done.stdout
    )
    assert "difference_of_means is yours to write" in done.stdout
    assert "0 of 6 exercises pass" in done.stdout
    assert "cannot build notebooks" in done.stderr
    assert "invalid choice: 'grade'" in done.stderr


def test_assigning_again_keeps_the_seed(tmp_path):
    out = tmp_path / "hw"
    assign([SLUGS[1]], out)
    seed = seed_path(out).read_text()
    (out / "student" / "old.txt").write_text("old")
    again = assign([SLUGS[1]], out, edition="self-study")
    assert seed_path(out).read_text() == seed
    assert not (out / "student" / "old.txt").exists()
    assert {path.name for path in out.iterdir()} == {"student", "student.zip", "instructor"}
    # The self-study edition has everything that a learner of one's own has.
    assert all(not each.hidden for lesson in again.manifest.lessons for each in lesson.exercises)
    lesson = Lesson(SLUGS[1], again.student)
    assert lesson.source.is_file()
    assert lesson.mistakes_file.is_file()
    assert "@hidden" in lesson.checks_file.read_text(encoding="utf-8")
    assert "Solution</summary>" in lesson.exercise_notebook.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ch1_probing_basics/part2_fit_probs", "--out", "hw"], "did you mean"),
        ([SLUGS[1], "--out", "full"], "holds something else already"),
        ([SLUGS[1], "--out", "hw", "--due", "soon"], "'soon' is no date"),
        ([SLUGS[1], "--out", "hw", "--points", "no.toml"], "no.toml"),
        ([SLUGS[1], "--out", "hw", "--points", "odd.toml"], "'auroc' is not assigned"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    (tmp_path / "odd.toml").write_text("auroc = 1")
    assert main(["assign", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not (tmp_path / "hw").exists()
