"""The checks that students get: a lesson's test file without its hidden checks, and without what only those used."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from utils.course.errors import CourseError


def without_hidden(source: str) -> str:
    """The source of a test file without the methods marked `@hidden`.

    Functions and imports that nothing else needs go with them: a helper may be the answer. The rest stays as it is
    written. Raises CourseError where an exercise would be left without a check.
    """
    tree = ast.parse(source)
    hidden = [node for each in _classes(tree) for node in each.body if _is_hidden(node)]
    for each in _classes(tree):
        checks = [node for node in each.body if getattr(node, "name", "").startswith("test_")]
        if checks and all(check in hidden for check in checks):
            raise CourseError(f"every check of {each.name} is hidden: students would have none to run")
    unused_before = set(_unused(tree))
    kept = _without_lines(source, hidden)
    while True:
        tree = ast.parse(kept)
        # One at a time: a statement may hold several names, and the next round sees what became unused by this one.
        name = next((name for name in _unused(tree) if name not in unused_before), None)
        if name is None:
            return kept
        kept = _without_name(kept, tree, name)


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def _is_hidden(node: ast.stmt) -> bool:
    marks = getattr(node, "decorator_list", [])
    return any(isinstance(mark, ast.Name) and mark.id == "hidden" for mark in marks)


def _unused(tree: ast.Module) -> Iterator[str]:
    """The names of functions, constants and imports that nothing in the module uses."""
    users: dict[str, set[int]] = {}
    for number, node in enumerate(tree.body):
        for name in _used(node):
            users.setdefault(name, set()).add(number)
    for number, node in enumerate(tree.body):
        # A function that calls itself is no user of itself.
        yield from (name for name in _bound(node) if not users.get(name, set()) - {number})


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _used(node: ast.stmt) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            yield part.id
        elif isinstance(part, ast.arg):
            # A fixture is used by the name of a parameter.
            yield part.arg


def _without_name(source: str, tree: ast.Module, name: str) -> str:
    node = next(node for node in tree.body if name in _bound(node))
    if isinstance(node, ast.Import | ast.ImportFrom) and len(node.names) > 1:
        node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] != name]
        lines = source.splitlines(keepends=True)
        return "".join([*lines[: node.lineno - 1], ast.unparse(node) + "\n", *lines[node.end_lineno :]])
    return _without_lines(source, [node])


def _without_lines(source: str, nodes: list[ast.stmt]) -> str:
    """The source without these statements, the comments right above them, and the blank lines above those."""
    lines = source.splitlines(keepends=True)
    for node in sorted(nodes, key=lambda node: node.lineno, reverse=True):
        first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))]) - 1
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        followed_by_code = "".join(lines[node.end_lineno : (node.end_lineno or 0) + 1]).strip()
        while first and not followed_by_code and not lines[first - 1].strip():
            first -= 1
        del lines[first : node.end_lineno]
    return "".join(lines)
