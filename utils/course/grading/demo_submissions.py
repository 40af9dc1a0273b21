"""Twenty made-up students and what they hand in: right, partly right, known mistakes, broken, late, hostile."""

from __future__ import annotations

import ast
import io
import os
import re
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from utils.course.lessons import Lesson
from utils.course.notebooks import solution_notebook

CHECKED = re.compile(r"^check\((\w+)\)\s*\Z", re.MULTILINE)
MISTAKEN = ("alan", "barbara", "claude", "dorothy", "edsger", "frances", "hedy", "ida")
DAY = 24 * 60 * 60

UNTIDY = """%matplotlib inline
!pip install probes
import os"""
BROKEN_CELL = "def almost(:\n    return 1"

READS_FILES = '''
def _stolen(name, *arguments):
    """Look for the course's solutions wherever this process may read, and run the one that is asked for."""
    import ast, os, pathlib, sys
    places = [pathlib.Path(place) for place in (os.getcwd(), "/proc/self/cwd", "/proc/1/cwd", *sys.path)]
    for place in [folder for each in places for folder in (each, *each.parents)]:
        for file in place.glob("solutions/*/part*.py"):
            tree = ast.parse(file.read_text())
            wanted = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) or getattr(n, "name", "") == name]
            if any(getattr(node, "name", "") == name for node in wanted):
                names = {}
                exec(compile(ast.Module(wanted, []), "stolen", "exec"), names)
                return names[name](*arguments)
    raise FileNotFoundError("no solutions to be found from " + os.getcwd())


def NAME(*arguments):
    return _stolen("NAME", *arguments)
'''  # noqa: E501

LOOPS = '''
def NAME(*arguments):
    """Never returns, whatever signal or exception comes."""
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
'''

FORGES = '''
def NAME(*arguments):
    """Print a verdict, write one to every open descriptor and into the grades, and leave as if all were well."""
    import json, os, pathlib
    verdict = json.dumps({"name": "NAME", "outcome": "passed", "score": 1000, "passed": True})
    print("PASSED", verdict)
    message = len(verdict).to_bytes(8, "big") + verdict.encode()
    for descriptor in range(1, 64):
        for kind in (b"R", b"Q", b""):
            try:
                os.write(descriptor, kind + len(message).to_bytes(8, "big") + message)
            except OSError:
                break
    for folder in (pathlib.Path.cwd(), *pathlib.Path.cwd().parents):
        try:
            (folder / "results.json").write_text(verdict)
        except OSError:
            pass
    os._exit(0)
'''


@dataclass(frozen=True)
class DemoSubmission:
    """One student's files by name, what they are meant to show, and the exercises that should pass."""

    student: str
    about: str
    files: Mapping[str, bytes]
    passes: frozenset[str]
    late: bool = False
    hostile: bool = False
    zipped: bool = False

    def write(self, folder: Path, due: float) -> None:
        """Write the files; their time is a day before `due` (seconds since 1970), or a day after it."""
        moment = due + DAY if self.late else due - DAY
        files = {f"{self.student}.zip": _zipped(self.files, moment)} if self.zipped else self.files
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (moment, moment))


def demo_submissions(lesson: Lesson, notebook: str) -> list[DemoSubmission]:
    """Twenty submissions of one lesson. `notebook`: the text of the notebook that students were given."""
    right = right_cells(lesson)
    names, file = list(right), f"{lesson.part}.ipynb"
    everything, nothing = frozenset(names), frozenset()
    first, middle, last = names[0], names[len(names) // 2], names[-1]

    def filled(cells: Mapping[str, str], extra: Iterable[str] = ()) -> bytes:
        return fill_notebook(notebook, cells, extra)

    def instead(name: str, attack: str) -> bytes:
        return filled({**right, name: attack.replace("NAME", name)})

    differently = {**right, **_alternatives(lesson)}
    half = {name: right[name] for name in names[: len(names) // 2]}
    return [
        DemoSubmission("ada", "everything right", {f"ada/{file}": filled(right)}, everything),
        DemoSubmission(
            "grace", "right, as a .py file", {f"grace_{lesson.part}.py": lesson.source.read_bytes()}, everything
        ),
        DemoSubmission(
            "emmy", "right, written differently", {f"emmy/{file}": filled(differently)}, everything
        ),
        *(
            _mistaken(student, number, lesson, right, filled, zipped=student == "hedy")
            for number, student in enumerate(MISTAKEN)
        ),
        DemoSubmission("joan", "the first half only", {f"joan/{file}": filled(half)}, frozenset(half)),
        DemoSubmission(
            "karen", "magics, a broken cell, right", {f"karen/{file}": filled(right, [UNTIDY, BROKEN_CELL])}, everything
        ),
        DemoSubmission("kurt", "untouched", {f"kurt/{file}": notebook.encode()}, nothing),
        DemoSubmission("leslie", "half a file", {f"leslie/{file}": filled(right)[:2000]}, nothing),
        DemoSubmission("mary", "right, a day late", {f"mary/{file}": filled(right)}, everything, late=True),
        DemoSubmission("niels", "an empty file", {f"niels/{file}": b""}, nothing),
        DemoSubmission(
            "mallory", f"hostile: {first} reads the solutions from disk",
            {f"mallory/{file}": instead(first, READS_FILES)}, _unharmed(right, [first]), hostile=True,
        ),
        DemoSubmission(
            "oscar", f"hostile: {middle} never returns",
            {f"oscar/{file}": instead(middle, LOOPS)}, _unharmed(right, [middle]), hostile=True,
        ),
        DemoSubmission(
            "trudy", f"hostile: {last} forges a verdict and exits",
            {f"trudy/{file}": instead(last, FORGES)}, _unharmed(right, [last]), hostile=True,
        ),
    ]  # fmt: skip


def right_cells(lesson: Lesson) -> dict[str, str]:
    """The course's answer to each exercise, in the order of the lesson, as the source of a code cell."""
    sources = [cell.source for cell in solution_notebook(lesson).cells if cell.cell_type == "code"]
    return {
        found[1]: source[: found.start()].rstrip() for source in sources if (found := CHECKED.search(source))
    }


def fill_notebook(notebook: str, cells: Mapping[str, str], extra: Iterable[str] = ()) -> bytes:
    """The student's notebook with these answers in place of its stubs, and extra code cells at its end."""
    document = nbformat.reads(notebook, as_version=4)
    for cell in document.cells:
        found = CHECKED.search(cell.source) if cell.cell_type == "code" else None
        if found and found[1] in cells:
            cell.source = f"{cells[found[1]].strip()}\n\n\n{found[0]}"
    document.cells += [nbformat.v4.new_code_cell(source) for source in extra]
    return nbformat.writes(document).encode()


def answer_cell(lesson: Lesson, exercise: str, answer: str) -> str:
    """A mistake or alternative of the lesson, with the helpers it needs, as a code cell that defines the exercise."""
    tree = ast.parse(lesson.mistakes_file.read_text(encoding="utf-8"))
    bound = {name: node for node in tree.body for name in _bound(node)}
    wanted, queue = set(), [answer]
    while queue:
        name = queue.pop()
        if name in bound and bound[name] not in wanted:
            wanted.add(bound[name])
            queue += [part.id for part in ast.walk(bound[name]) if isinstance(part, ast.Name)]
    kept = [node for node in tree.body if node in wanted]
    for node in kept:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            # They mark what it is: no student writes them.
            node.decorator_list = [mark for mark in node.decorator_list if not _is_mark(mark)]
    parts = [*map(ast.unparse, kept), f"{exercise} = {answer}"]
    return "\n\n\n".join(parts)


def _mistaken(
    student: str,
    number: int,
    lesson: Lesson,
    right: Mapping[str, str],
    filled: Callable[[Mapping[str, str]], bytes],
    zipped: bool,
) -> DemoSubmission:
    """Every second exercise answered by its known mistake of that number."""
    cells = dict(right)
    for at, name in enumerate(right):
        known = list(lesson.answers("mistake", name))
        if (at + number) % 2 == 0 and number < len(known):
            cells[name] = answer_cell(lesson, name, known[number])
    passes = _unharmed(cells, [name for name in right if cells[name] != right[name]])
    about = "known mistakes" + (", in a zip" if zipped else "")
    file = f"{lesson.part}.ipynb" if zipped else f"{student}/{lesson.part}.ipynb"
    return DemoSubmission(student, about, {file: filled(cells)}, passes, zipped=zipped)


def _unharmed(cells: Mapping[str, str], wrong: Collection[str]) -> frozenset[str]:
    """The exercises that pass: a right answer that calls a wrong one fails with it."""
    return frozenset(
        name for name in cells if not any(re.search(rf"\b{each}\b", cells[name]) for each in wrong)
    )


def _alternatives(lesson: Lesson) -> dict[str, str]:
    names = [exercise.name for exercise in lesson.exercises()]
    known = {name: list(lesson.answers("alternative", name)) for name in names}
    return {name: answer_cell(lesson, name, found[0]) for name, found in known.items() if found}


def _zipped(files: Mapping[str, bytes], moment: float) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, time.localtime(moment)[:6]), content)
    return stream.getvalue()


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "module", "") != "utils.course":
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
        "mistake",
        "alternative",
        "recogniser",
    )
