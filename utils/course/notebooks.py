"""One source a lesson -> its solution notebook (executed) and its exercise notebook (solutions removed)."""

import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from utils.course.lessons import ROOT, Lesson, LessonError
from utils.storage import atomic_write

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# The tag of a cell that an assigned edition leaves out: it speaks of the solutions.
SELF_STUDY = "self-study"
CELL_SECONDS = 900
WIDGET = "application/vnd.jupyter.widget-view+json"
PEAK_MEGABYTES = """
import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10))
"""
KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


@dataclass(frozen=True)
class Run:
    """An executed notebook, and what executing it took."""

    notebook: NotebookNode
    seconds: float
    peak_megabytes: int


def source_hash(lesson: Lesson) -> str:
    """SHA-256 of the lesson's source: stamped into the executed notebook, compared by the test suite."""
    return hashlib.sha256(lesson.source.read_bytes()).hexdigest()


def solution_notebook(lesson: Lesson) -> NotebookNode:
    """The lesson with its solutions, not executed."""
    cells = []
    for cell in _source_cells(lesson):
        if cell.cell_type == "code":
            cell.source = _without_markers(cell.source)
        cells.append(cell)
    return _finished(cells)


def exercise_notebook(lesson: Lesson) -> NotebookNode:
    """The lesson as a learner gets it: stubs, and after each exercise its solution in a closed fold."""
    cells = []
    for cell in _source_cells(lesson):
        if cell.cell_type != "code" or BEGIN not in cell.source:
            cells.append(cell)
            continue
        solution = _without_markers(cell.source).split("\n\n\ncheck(")[0].rstrip()
        cell.source = _stubbed(cell.source, lesson)
        fold = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\n\n</details>"
        cells += [cell, nbformat.v4.new_markdown_cell(fold)]
    return _finished(cells)


def assigned_notebook(lesson: Lesson, note: str, points: Mapping[str, float]) -> NotebookNode:
    """The lesson as a student hands it in: stubs and no solutions, `note` below the title, each exercise's points."""
    cells = []
    for cell in _source_cells(lesson):
        if SELF_STUDY in cell.metadata.get("tags", ()):
            continue
        if cell.cell_type == "code" and BEGIN in cell.source:
            cell.source = _stubbed(cell.source, lesson)
        elif cell.cell_type == "markdown":
            cell.source = _with_points(cell.source, points)
        cells.append(cell)
    return _finished([cells[0], nbformat.v4.new_markdown_cell(note), *cells[1:]])


def _with_points(source: str, points: Mapping[str, float]) -> str:
    """The heading of an exercise with its points behind the minutes that it should take."""
    heading = re.match(r"## Exercise · `(\w+)`", source)
    if heading is None or heading[1] not in points:
        return source
    value = points[heading[1]]
    return re.sub(r"(\d+ minutes)", rf"\1 · {value:g} point{'' if value == 1 else 's'}", source, count=1)


def execute(lesson: Lesson, quick: bool = False) -> Run:
    """Run the solution notebook from top to bottom in a fresh kernel. Raises nbclient's CellExecutionError."""
    from nbclient import NotebookClient

    notebook = solution_notebook(lesson)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK_MEGABYTES))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(ROOT)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    with tempfile.TemporaryDirectory() as progress:
        environment = _environment(progress, quick)
        start = time.perf_counter()
        client.execute(env=environment)
        seconds = time.perf_counter() - start
    peak = int(notebook.cells.pop().outputs[0].text)
    # Progress bars ignore TQDM_DISABLE in a notebook, and would stay in it, stuck half-way.
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return Run(notebook, seconds, peak)


def build(lesson: Lesson, force: bool = False) -> Run | None:
    """Write both notebooks. The solution notebook is executed only where its code changed, or with `force`: where only
    the prose did, it keeps its outputs.

    An exercise notebook that someone has worked in is set aside, not overwritten.
    """
    if _is_edited(lesson.exercise_notebook):
        kept = lesson.exercise_notebook.with_name(f"{lesson.part}.edited-{time.time_ns()}.ipynb")
        lesson.exercise_notebook.rename(kept)
        print(f"{lesson.exercise_notebook.name} held edits: they are now in {kept}", file=sys.stderr)
    atomic_write(lesson.exercise_notebook, nbformat.writes(exercise_notebook(lesson)) + "\n")
    if not force:
        if not _stale(lesson):
            return None
        if kept := _with_outputs_kept(lesson):
            atomic_write(lesson.solution_notebook, nbformat.writes(kept) + "\n")
            return None
    run = execute(lesson)
    run.notebook.metadata["course"] = {
        "source_sha256": source_hash(lesson),
        "seconds": round(run.seconds),
        "peak_megabytes": run.peak_megabytes,
    }
    atomic_write(lesson.solution_notebook, nbformat.writes(run.notebook) + "\n")
    return run


def problems(lesson: Lesson) -> list[str]:
    """What differs between the committed notebooks and what the source generates; empty where nothing does."""
    found = []
    expected = nbformat.writes(exercise_notebook(lesson)) + "\n"
    path = lesson.exercise_notebook
    if not path.exists() or path.read_text(encoding="utf-8") != expected:
        found.append(f"{path.relative_to(lesson.root)} differs from what its source generates")
    if stale := _stale(lesson):
        found.append(f"{lesson.solution_notebook.relative_to(lesson.root)} {stale}")
    return [f"{problem}: run `make build`" for problem in found]


def _stale(lesson: Lesson) -> str | None:
    path = lesson.solution_notebook
    if not path.exists():
        return "does not exist"
    committed = nbformat.read(path, as_version=4)
    if committed.metadata.get("course", {}).get("source_sha256") != source_hash(lesson):
        return "was executed from another version of its source"
    if [cell.source for cell in committed.cells] != [cell.source for cell in solution_notebook(lesson).cells]:
        return "has been edited by hand"
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    if any(cell.execution_count is None for cell in code):
        return "has cells that were not executed"
    return None


def _with_outputs_kept(lesson: Lesson) -> NotebookNode | None:
    """The solution notebook with the outputs of the committed one, or None where a code cell is another one."""
    if not lesson.solution_notebook.exists():
        return None
    committed = nbformat.read(lesson.solution_notebook, as_version=4)
    notebook = solution_notebook(lesson)
    old, new = ([cell for cell in each.cells if cell.cell_type == "code"] for each in (committed, notebook))
    if [cell.source for cell in old] != [cell.source for cell in new]:
        return None
    if any(cell.execution_count is None for cell in old) or "course" not in committed.metadata:
        return None
    for before, after in zip(old, new, strict=True):
        after.outputs, after.execution_count = before.outputs, before.execution_count
    notebook.metadata = committed.metadata
    notebook.metadata["course"]["source_sha256"] = source_hash(lesson)
    return notebook


def _is_edited(path: Path) -> bool:
    """Whether a cell of a generated notebook differs from what it was generated with: its id says what that was."""
    if not path.exists():
        return False
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any(cell["id"].split("-")[0] != _content_id("".join(cell["source"])) for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def _content_id(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _source_cells(lesson: Lesson) -> list[NotebookNode]:
    if not lesson.source.exists():
        raise LessonError(f"{lesson.slug} has no source in solutions/: this edition cannot build notebooks")
    return jupytext.read(lesson.source, fmt="py:percent").cells


def _finished(cells: list[NotebookNode]) -> NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=dict(KERNEL))
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        # Ids from the content, so that an edit changes one id in the diff and a rebuild none.
        digest = _content_id(cell.source)
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = NotebookNode()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _without_markers(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if line.strip() not in (BEGIN, END))


def _stubbed(source: str, lesson: Lesson) -> str:
    """The cell with every marked region replaced by a NotImplementedError that names what to write."""
    lines, kept, inside = source.splitlines(), [], False
    for number, line in enumerate(lines, start=1):
        if line.strip() == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            name = _enclosing(source, number)
            kept.append(f'{indent}raise NotImplementedError("{name} is yours to write")')
            inside = True
        elif line.strip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise LessonError(f"{lesson.slug}: {BEGIN!r} without {END!r}")
    return "\n".join(kept)


def _enclosing(source: str, line: int) -> str:
    """The function or class around a line: the name that the checks know."""
    names = re.findall(r"^(?:def|class) (\w+)", "\n".join(source.splitlines()[:line]), re.MULTILINE)
    if not names:
        raise LessonError(f"a {BEGIN!r} stands outside any function")
    return names[-1]


def _environment(progress: str, quick: bool) -> dict[str, str]:
    environment = {**os.environ, "PROBING_PROGRESS": progress, "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PROBING_QUICK", None)
    return {**environment, "PROBING_QUICK": "1"} if quick else environment


def cells_too_long(lesson: Lesson, limit: int = 25) -> Iterator[str]:
    """Code cells of the lesson, exercises aside, with more than `limit` lines of code."""
    for cell in _source_cells(lesson):
        if cell.cell_type != "code" or BEGIN in cell.source:
            continue
        code = [
            line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")
        ]
        if len(code) > limit:
            yield f"{len(code)} lines: {code[0]}"
