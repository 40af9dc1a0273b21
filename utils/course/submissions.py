"""A learner's work, read from a notebook or a .py file without running anything but definitions.

What comes along: imports, functions, classes, and assignments whose right side calls nothing (constants, type
aliases), also inside `if` and `try`. What stays behind: loading a model, plotting, checks; with a note: magics, broken
cells. A function is known by its name, and the last definition of a name wins.
"""

import __future__

import ast
import contextlib
import io
import linecache
import os
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from utils.course.cells import notebook_cells
from utils.course.errors import CourseError
from utils.course.timelimit import limited

SIZE_LIMIT = 50 << 20
# Importing torch and transformer_lens takes ten seconds, on a busy machine several times that.
DEFINITION_SECONDS = 60.0
MAGIC = re.compile(r"\s*([%!?]|[\w.]+\?{1,2}\s*$|[\w, ]+=\s*[%!])")


class UnreadableSubmission(CourseError):
    """The file is no notebook or Python source."""


@dataclass(frozen=True)
class Chunk:
    """One top-level statement's source, the file or cell it is from, and its first line there."""

    source: str
    name: str
    line: int


@dataclass
class Submission:
    """The definitions of one file, in order, and notes on what was left out."""

    name: str
    chunks: list[Chunk]
    notes: list[str] = field(default_factory=list)

    def namespace(self, announce: Callable[[int], None] = lambda number: None) -> dict:
        """Execute the definitions. One that fails is noted and skipped: it must not cost the others.

        announce: is told each chunk's index before it runs, so that one which ends the process can be named.
        """
        module = _empty_module()
        flags = 0
        # What a definition prints (an import, a class body) must not mix with a report.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            for number, chunk in enumerate(self.chunks):
                flags |= _future_flags(chunk.source)
                announce(number)
                try:
                    _define(chunk, f"<{chunk.name} · {number}>", module, flags)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    # What is computed from something left behind (a model, its activations) is left behind with it.
                    if not (isinstance(error, NameError) and _is_assignment(chunk.source)):
                        self.notes.append(f"{chunk.name}, line {chunk.line}: {type(error).__name__}: {error}")
        # The functions' own globals keep theirs: C code that imports, such as the first torch.tensor, looks there.
        return {key: value for key, value in module.items() if key != "__builtins__"}


def _empty_module() -> dict:
    """The globals of a module that Python can find: a dataclass looks up its annotations there."""
    module = types.ModuleType("submission")
    vars(module).clear()
    vars(module)["__name__"] = "submission"
    sys.modules["submission"] = module
    return vars(module)


def _future_flags(source: str) -> int:
    """What `from __future__ import annotations` asks of the statements after it, which are compiled apart from it."""
    flags = 0
    for node in ast.parse(source).body if "__future__" in source else []:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            features = [getattr(__future__, alias.name, None) for alias in node.names]
            flags |= sum(feature.compiler_flag for feature in features if feature is not None)
    return flags


def _define(chunk: Chunk, filename: str, module: dict, flags: int) -> None:
    padded = "\n" * (chunk.line - 1) + chunk.source
    # Registered with linecache so that tracebacks and inspect.getsource can show the learner's lines.
    linecache.cache[filename] = (len(padded), None, padded.splitlines(keepends=True), filename)
    limited(DEFINITION_SECONDS, lambda: exec(compile(padded, filename, "exec", flags), module))


def read_submission(path: Path) -> Submission:
    """The definitions in a .ipynb or .py file. Raises UnreadableSubmission with one clear line."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UnreadableSubmission(f"{path} is not a file")
        if size > SIZE_LIMIT:
            raise UnreadableSubmission(f"{path.name} is larger than {SIZE_LIMIT >> 20} MB")
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableSubmission(f"{path}: {error.strerror or error}") from error
    return parse_submission(path.name, content)


def parse_submission(name: str, content: bytes) -> Submission:
    """The definitions in what a .ipynb or .py file of that name holds. Raises UnreadableSubmission."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableSubmission(f"{name} is not UTF-8 text: save it again as UTF-8") from error
    suffix = Path(name).suffix.lower()
    if suffix == ".ipynb":
        return _from_notebook(name, text)
    if suffix == ".py":
        return _from_python(name, text)
    raise UnreadableSubmission(f"{name}: expected a notebook (.ipynb) or a Python file (.py)")


def _from_python(name: str, text: str) -> Submission:
    try:
        return _definitions(name, ast.parse(text), text, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableSubmission(f"{name}: {describe_syntax_error(error)}") from error


def _from_notebook(name: str, text: str) -> Submission:
    try:
        cells = notebook_cells(text)
    except ValueError as error:
        raise UnreadableSubmission(f"{name} is not a notebook: {error}") from error
    submission = Submission(name, [])
    number = 0
    for kind, source in cells:
        if kind != "code":
            continue
        number += 1
        place = f"code cell {number}"
        try:
            clean = without_magics(source, place, submission.notes)
            part = _definitions(name, ast.parse(clean), clean, place)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            submission.notes.append(f"{place}: {describe_syntax_error(error)}; the cell was left out")
            continue
        submission.chunks += part.chunks
        submission.notes += part.notes
    return submission


def without_magics(source: str, place: str, notes: list[str]) -> str:
    """The cell with `%magic`, `!shell` and `?help` lines blanked, so that line numbers stay.

    Only lines that Python cannot read: `% 2` or `!= 2` may well begin a line of an expression or a string.
    """
    first = next((line for line in source.splitlines() if line.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%capture")):
        notes.append(f"{place}: left out ({first.split()[0]})")
        return ""
    lines = _lines(source)
    while (number := _unreadable_line(lines)) is not None and MAGIC.match(lines[number]):
        line = lines[number]
        notes.append(f"{place}: left out `{line.strip()[:60]}`")
        # `pass`, not nothing: the magic may be all that a block holds.
        lines[number] = line[: len(line) - len(line.lstrip())] + "pass\n"
    return "".join(lines)


def _unreadable_line(lines: list[str]) -> int | None:
    """The index of the first line that is no Python; None where all are, or the error has no place."""
    try:
        ast.parse("".join(lines))
    except SyntaxError as error:
        return error.lineno - 1 if error.lineno and error.lineno <= len(lines) else None
    return None


def _lines(source: str) -> list[str]:
    """The lines as Python counts them: `str.splitlines` would also break at form feeds and the like."""
    return io.StringIO(source, newline=None).readlines()


def _definitions(name: str, tree: ast.Module, source: str, place: str) -> Submission:
    submission = Submission(name, [])
    lines = _lines(source)
    for node in tree.body:
        if _is_definition(node):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            text = "".join(lines[first - 1 : node.end_lineno])
            # A statement that shares its line with another is cut out alone.
            shared = any(
                other is not node
                and other.lineno <= (node.end_lineno or 0)
                and (other.end_lineno or 0) >= first
                for other in tree.body
            )
            submission.chunks.append(Chunk(ast.unparse(node) if shared else text, place, first))
    return submission


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(node, ast.If):
        return not _calls_something(node.test) and _are_definitions(node.body + node.orelse)
    if isinstance(node, ast.Try):
        handled = [statement for handler in node.handlers for statement in handler.body]
        return _are_definitions(node.body + handled + node.orelse + node.finalbody)
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in ast.walk(target)]
        # Names only: `torch.allclose = …` or `table[0] = …` would change what others see.
        named = all(isinstance(part, (ast.Name, ast.Tuple, ast.Starred, ast.expr_context)) for part in parts)
        return named and not _calls_something(node.value)
    return False


def _are_definitions(nodes: list[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Pass) or _is_definition(node) for node in nodes)


def _calls_something(node: ast.AST) -> bool:
    """Whether evaluating the expression runs more than operators. The body of a lambda only runs when it is called."""
    active = (ast.Call, ast.Await, ast.Yield, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if isinstance(node, active):
        return True
    now = node.args if isinstance(node, ast.Lambda) else node
    return any(_calls_something(child) for child in ast.iter_child_nodes(now))


def _is_assignment(source: str) -> bool:
    return isinstance(ast.parse(source).body[0], (ast.Assign, ast.AnnAssign))


def describe_syntax_error(error: BaseException) -> str:
    """One line: what Python could not read, and where."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: {error.msg}"
    return f"Python cannot read it ({type(error).__name__}: {error})"
