"""The proof that a lesson's checks fail no right answer by chance: the reference and every alternative, many seeds.

It takes minutes a lesson, so it is made when checks or answers change (`python -m utils.course prove`), and a stamp is
committed. The test suite compares the stamp, and tries a few seeds again.
"""

import ast
import hashlib
import itertools
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from utils.course.exercises import Exercise
from utils.course.learner import Learner
from utils.course.lessons import Lesson
from utils.course.runner import run_exercise
from utils.course.submissions import read_submission
from utils.course.transports import LiveTransport
from utils.storage import atomic_write

SEEDS = range(1, 201)


def failing_seeds(
    lesson: Lesson, exercise: Exercise, alternative: str | None, seeds: Sequence[int] = SEEDS
) -> list[str]:
    """What the checks said against the reference, or against one alternative: a line a seed that a check failed under.

    Only checks that draw from `rng` depend on the seed: the others run once.
    """
    namespace = lesson.reference_namespace()
    if alternative is not None:
        namespace = {**namespace, exercise.name: lesson.answers("alternative", exercise.name)[alternative]}
    learner = Learner(LiveTransport(namespace, lesson.guarded() if alternative is None else ()))
    drawn = replace(exercise, checks=tuple(check for check in exercise.checks if "rng" in check.fixtures))
    return [
        f"{exercise.name}, {alternative or 'reference'}, seed {seed}: {result.name}: {result.message}"
        for seed in seeds
        for result in run_exercise(exercise if seed == seeds[0] else drawn, learner, seed)
        if result.outcome != "passed"
    ]


def prove(lesson: Lesson, seeds: Sequence[int] = SEEDS) -> list[str]:
    """Try every right answer, a process a core. Stamps the lesson and returns [], or returns what failed."""
    before = fingerprint(lesson)
    answers = [
        (exercise.name, alternative)
        for exercise in lesson.exercises()
        for alternative in (None, *lesson.answers("alternative", exercise.name))
    ]
    problems: list[str] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(answers)), spawn) as pool:
        jobs = [pool.submit(_failing_seeds, lesson, *answer, seeds) for answer in answers]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc=lesson.slug, unit="answer"):
            problems += job.result()
    if not problems:
        stamps = _stamps(lesson.root) | {lesson.slug: before}
        atomic_write(_file(lesson.root), json.dumps(dict(sorted(stamps.items())), indent=1) + "\n")
    return sorted(problems)


def is_proved(lesson: Lesson) -> bool:
    """Are the checks and the answers still those that were proved?"""
    return _stamps(lesson.root).get(lesson.slug) == fingerprint(lesson)


def fingerprint(lesson: Lesson) -> str:
    """SHA-256 of the checks, the alternatives, and the reference with what it uses of its lesson: of code, not of
    docstrings and comments."""
    reference = "\n".join(chunk.source for chunk in read_submission(lesson.source).chunks)
    checks, answers = (
        path.read_text(encoding="utf-8") for path in (lesson.checks_file, lesson.mistakes_file)
    )
    exercises = [exercise.name for exercise in lesson.exercises()]
    code = [*_code(checks), *_code(_needed(reference, exercises)), *_code(answers)]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def _needed(source: str, names: Sequence[str]) -> str:
    """Of the source's statements those that bind these names, and those whose names they use in turn."""
    tree = ast.parse(source)
    bound: dict[str, list[int]] = {}
    for place, statement in enumerate(tree.body):
        for name in _binds(statement):
            bound.setdefault(name, []).append(place)
    needed, ahead = set(), list(names)
    while ahead:
        for place in bound.pop(ahead.pop(), []):
            needed.add(place)
            ahead += [node.id for node in ast.walk(tree.body[place]) if isinstance(node, ast.Name)]
    lines = source.splitlines()
    return "\n".join(lines[number - 1] for place in sorted(needed) for number in _lines(tree.body[place]))


def _binds(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
    else:
        stores = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        yield from (node.id for node in stores if isinstance(node.ctx, ast.Store))


def _failing_seeds(lesson: Lesson, exercise: str, alternative: str | None, seeds: Sequence[int]) -> list[str]:
    return failing_seeds(lesson, lesson.exercise(exercise), alternative, seeds)


def _file(root: Path) -> Path:
    return root / "tests" / "proofs.json"


def _stamps(root: Path) -> dict[str, str]:
    file = _file(root)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _code(source: str) -> Iterator[str]:
    """The lines of all but the mistakes. Lines, because `ast.dump` differs between versions of Python."""
    lines, tree = source.splitlines(), ast.parse(source)
    prose = {line for node in ast.walk(tree) for line in _docstring_lines(node)}
    for node in itertools.filterfalse(_is_mistake, tree.body):
        for number in _lines(node):
            line = lines[number - 1].rstrip()
            if number not in prose and line and not line.lstrip().startswith("#"):
                yield line


def _lines(statement: ast.stmt) -> range:
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
    return range(first, (statement.end_lineno or first) + 1)


def _docstring_lines(node: ast.AST) -> range:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        return range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    return range(0)


def _is_mistake(node: ast.stmt) -> bool:
    return any(
        isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "mistake"
        for mark in getattr(node, "decorator_list", [])
    )
