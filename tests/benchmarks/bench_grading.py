"""Grade the same 40 submissions with the course, with `nbgrader autograde` and with `otter run`. `--quick`: 8 of them.

`--curve` grades 10, 100 and 300 submissions with the course alone: time, and memory of the coordinator and of all.

The submissions answer one lesson of chapter 1: right, written differently, known mistakes, untouched. All three run
the lesson's own checks. For nbgrader and otter, which execute a notebook, it is cut down to imports and answers: no
language model, no figures. The course gets the notebooks as students hand them in, runs every exercise in its
sandbox, and names the mistakes besides. Memory is the peak of all processes together, shared pages counted once.
Environments for the other two are made in build/, on top of this one's packages.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

from utils.course.grading.assignment.assign import assign
from utils.course.grading.demo_submissions import CHECKED, demo_submissions
from utils.course.grading.reports.grades import load_grades
from utils.course.grading.sandbox.levels import available_level
from utils.course.lessons import ROOT, Lesson

LESSON = Lesson("ch1_probing_basics/part2_fit_probes")
BUILD = ROOT / "build" / "bench-grading"
NBGRADER, OTTER = "nbgrader==0.9.6", "otter-grader==7.0.0"
BROKEN = ("leslie", "niels", "hedy")  # no notebooks, which the others do not take
CHECKS = """\
from utils.course.learner import Learner
from utils.course.lessons import Lesson
from utils.course.runner import run_exercise
from utils.course.transports import LiveTransport

_lesson = Lesson("{slug}")
_learner = Learner(LiveTransport({namespace}, _lesson.guarded()))
for _result in run_exercise(_lesson.exercise("{name}"), _learner, 918273):
    assert _result.outcome == "passed", _result.message
"""


@dataclass(frozen=True)
class Handed:
    """One submission: the notebook as handed in, and the exercises that should pass."""

    student: str
    notebook: str
    passes: frozenset[str]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and peaks of memory in megabytes: of all processes, and of the first of them."""

    seconds: float
    megabytes: float
    first: float


@dataclass(frozen=True)
class Measured:
    """Cost, and by student the exercises that passed."""

    cost: Cost
    passed: dict[str, frozenset[str]]


def class_of(number: int) -> list[Handed]:
    """That many students: the honest ones of the demo, again and again."""
    given = nbformat.writes(_assigned_notebook())
    honest = [
        each
        for each in demo_submissions(LESSON, given)
        if not each.hostile and each.student not in BROKEN and next(iter(each.files)).endswith(".ipynb")
    ]
    found = []
    for at in range(number):
        each = honest[at % len(honest)]
        found.append(Handed(f"s{at:03}", next(iter(each.files.values())).decode(), each.passes))
    return found


def _assigned_notebook() -> nbformat.NotebookNode:
    from utils.course.notebooks import assigned_notebook

    return assigned_notebook(LESSON, "", {})


def cut_down(notebook: str) -> list[tuple[str | None, str]]:
    """Of a submission what the other systems execute: the imports that answers need, then (exercise, answer)."""
    cells = [cell.source for cell in nbformat.reads(notebook, as_version=4).cells if cell.cell_type == "code"]
    answers = [(found[1], cell[: found.start()]) for cell in cells if (found := CHECKED.search(cell))]
    tree = ast.parse(LESSON.source.read_text(encoding="utf-8"))
    used = {
        node.id for _, cell in answers for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Name)
    }
    imports = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [each for each in node.names if (each.asname or each.name).split(".")[0] in used]
            imports += [ast.unparse(node)] if node.names else []
    return [(None, "\n".join(imports)), *answers]


def ours(students: Sequence[Handed], folder: Path, jobs: int, level: str) -> Measured:
    """`grade`, with that many processes."""
    assignment, submissions, grades = folder / "assignment", folder / "submissions", folder / f"grades{jobs}"
    if not assignment.exists():
        assign([LESSON.slug], assignment)
        for each in students:
            _write(submissions / each.student / f"{LESSON.part}.ipynb", each.notebook)
    command = [sys.executable, "-m", "utils.course", "grade", submissions, "--assignment", assignment]
    command += ["--out", grades, "--jobs", jobs, "--sandbox", level]
    cost = measured(lambda: run(command, ROOT))
    passed = {
        result.student: frozenset(each.name for each in result.exercises if each.passed)
        for result in load_grades(grades).results
    }
    return Measured(cost, passed)


def nbgrader(students: Sequence[Handed], folder: Path) -> Measured:
    """`nbgrader autograde`: a locked cell with the checks after each answer."""
    python = environment(NBGRADER)
    given = nbformat.writes(_assigned_notebook())
    _write(folder / "source" / "probes" / "probes.ipynb", nbformat.writes(_for_nbgrader(given)))
    _write(folder / "nbgrader_config.py", "c = get_config()\nc.CourseDirectory.course_id = 'probing'\n"
           "c.ClearSolutions.enforce_metadata = False\nc.ExecutePreprocessor.timeout = 120\n")  # fmt: skip
    for each in students:
        path = folder / "submitted" / each.student / "probes" / "probes.ipynb"
        _write(path, nbformat.writes(_for_nbgrader(each.notebook)))
    run([python, "-m", "nbgrader", "generate_assignment", "probes"], folder)
    cost = measured(lambda: run([python, "-m", "nbgrader", "autograde", "probes"], folder))
    run([python, "-m", "nbgrader", "export", "--to", "grades.csv"], folder)
    passed = {}
    for each in students:
        path = folder / "autograded" / each.student / "probes" / "probes.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        passed[each.student] = frozenset(
            cell.metadata.nbgrader.grade_id.removeprefix("checks-")
            for cell in cells
            if cell.metadata.get("nbgrader", {}).get("grade")
            and not any(output.output_type == "error" for output in cell.outputs)
        )
    return Measured(cost, passed)


def _for_nbgrader(notebook: str) -> nbformat.NotebookNode:
    cells = []
    for name, source in cut_down(notebook):
        cell = nbformat.v4.new_code_cell(source)
        cells.append(cell)
        if name is None:
            continue
        marks = {"schema_version": 3, "task": False, "locked": False, "solution": True, "grade": False}
        cell.metadata["nbgrader"] = {**marks, "grade_id": f"answer-{name}", "cell_type": "code"}
        checks = nbformat.v4.new_code_cell(CHECKS.format(slug=LESSON.slug, name=name, namespace="globals()"))
        marks |= {"locked": True, "solution": False, "grade": True, "points": 1}
        checks.metadata["nbgrader"] = {**marks, "grade_id": f"checks-{name}", "cell_type": "code"}
        cells.append(checks)
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return made


def otter(students: Sequence[Handed], folder: Path, jobs: int) -> Measured:
    """`otter run`, once a submission, that many at a time: a test file with the checks for each exercise."""
    python = environment(OTTER)
    for exercise in LESSON.exercises():
        checks = CHECKS.format(slug=LESSON.slug, name=exercise.name, namespace="env")
        body = "".join(f"    {line}\n" for line in checks.splitlines())
        _write(
            folder / "tests" / f"{exercise.name}.py",
            f'from otter.test_files import test_case\n\nOK_FORMAT = False\nname = "{exercise.name}"\npoints = 1\n\n\n'
            f"@test_case(points=1, hidden=False)\ndef test_all(env):\n{body}",
        )
    archive = folder / "autograder.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("otter_config.json", json.dumps({"lang": "python"}))
        for path in sorted((folder / "tests").iterdir()):
            file.write(path, f"tests/{path.name}")
    for each in students:
        cells = [nbformat.v4.new_code_cell(source) for _, source in cut_down(each.notebook)]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        _write(folder / f"{each.student}.ipynb", nbformat.writes(made))

    def grade(each: Handed) -> None:
        out = folder / "out" / each.student
        out.mkdir(parents=True)
        run([python, "-m", "otter", "run", folder / f"{each.student}.ipynb", "-a", archive, "-o", out], out)

    def grade_all() -> None:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(grade, students))

    cost = measured(grade_all)
    passed = {}
    for each in students:
        document = json.loads((folder / "out" / each.student / "results.json").read_text(encoding="utf-8"))
        passed[each.student] = frozenset(
            test["name"].split()[0]
            for test in document["tests"]
            if test.get("max_score") and test["score"] == test["max_score"]
        )
    return Measured(cost, passed)


def environment(requirement: str) -> Path:
    """The Python of an environment with that package; everything else that it can is taken from this one."""
    folder = BUILD / requirement.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        (own,) = folder.glob("lib/python3*/site-packages")
        theirs = [path for path in sys.path if path.endswith("site-packages")]
        (own / "course.pth").write_text("\n".join(theirs) + "\n")
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], folder)
        run([python, "-m", "ipykernel", "install", "--prefix", folder, "--name", "python3"], folder)
        (folder / ".ready").touch()
    return python


def run(command: Sequence[object], folder: Path) -> None:
    words = [str(word) for word in command]
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    paths = f"{Path(words[0]).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **variables, "PATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    # nbgrader ends with 1 where a notebook has failed.
    if done.returncode and "autograde" not in words:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def measured(work: Callable[[], object]) -> Cost:
    """What it costs to run what starts processes."""
    this = psutil.Process()
    finished, all_of_them, first = threading.Event(), [0], [0]

    def watch() -> None:
        while not finished.wait(0.5):
            all_of_them.append(sum(map(_bytes, this.children(recursive=True))))
            first.append(max(map(_bytes, this.children()), default=0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - began
        finished.set()
        watcher.join()
    return Cost(seconds, max(all_of_them) / 2**20, max(first) / 2**20)


def _bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.Error, AttributeError, OSError):
        return 0


def contenders(students: Sequence[Handed], folder: Path, level: str) -> Iterator[tuple[str, Measured]]:
    yield f"the course, 2 jobs, sandbox {level}", ours(students, folder / "ours", 2, level)
    yield f"the course, 1 job, sandbox {level}", ours(students, folder / "ours", 1, level)
    yield NBGRADER.replace("==", " "), nbgrader(students, folder / "nbgrader")
    yield OTTER.replace("==", " ") + ", 2 at a time", otter(students, folder / "otter", 2)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def compare(number: int, level: str) -> None:
    """Everyone on the same submissions."""
    students = class_of(number)
    print(f"{number} submissions of {LESSON.slug}")
    print(f"{'':<44}{'seconds':>9}{'a minute':>10}{'peak MB':>9}{'as expected':>13}")
    for name, found in contenders(students, _emptied(), level):
        right = sum(found.passed.get(each.student) == each.passes for each in students)
        rate = 60 * number / found.cost.seconds
        print(f"{name:<44}{found.cost.seconds:>9.0f}{rate:>10.1f}{found.cost.megabytes:>9.0f}{right:>9}/{number}",
              flush=True)  # fmt: skip


def curve(level: str) -> None:
    """The course on classes of several sizes, two jobs."""
    print(f"{'submissions':>11}{'seconds':>9}{'a minute':>10}{'peak MB':>9}{'coordinator MB':>16}")
    for number in (10, 100, 300):
        cost = ours(class_of(number), _emptied(), 2, level).cost
        rate = 60 * number / cost.seconds
        print(
            f"{number:>11}{cost.seconds:>9.0f}{rate:>10.1f}{cost.megabytes:>9.0f}{cost.first:>16.0f}",
            flush=True,
        )


def _emptied() -> Path:
    folder = BUILD / "run"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--curve", action="store_true")
    options = parser.parse_args()
    level, reason = available_level()
    if reason:
        print(f"Not the full sandbox: {reason}")
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}")
    if options.curve:
        curve(level)
    else:
        compare(8 if options.quick else 40, level)


if __name__ == "__main__":
    main()
