"""Which of a student's files is the work for which lesson: by its name, otherwise by what it defines."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from utils.course.grading.intake.lms import lesson_named
from utils.course.grading.plan import PlannedLesson
from utils.course.submissions import Submission, UnreadableSubmission, parse_submission
from utils.course.text import readable
from utils.course.timelimit import TimeLimit, limited

READ_SECONDS = 30.0
CODE_BYTES = 1 << 20


@dataclass(frozen=True)
class Work:
    """What a student handed in for one lesson. None, with notes that say why, where nothing could be read."""

    submission: Submission | None
    notes: tuple[str, ...]


def works(
    files: Sequence[tuple[str, Path]], problems: Sequence[str], planned: Sequence[PlannedLesson]
) -> dict[str, Work]:
    """By lesson, the newest of the files (oldest first; name, path) that are for it; no entry where there is none.

    Nothing of the files is run. `problems` say what could not even be collected.
    """
    read: list[Submission] = []
    unread: list[tuple[str, str]] = [("", problem) for problem in problems]
    for name, path in files:
        try:
            read.append(_read(name, path))
        except UnreadableSubmission as error:
            unread.append((name, readable(str(error))))
    found: dict[str, Work] = {}
    for lesson in planned:
        candidates = [each for each in read if _named(each.name, planned) is lesson]
        unnamed = [each for each in read if _named(each.name, planned) is None]
        # The only lesson that there is needs no sign.
        candidates = candidates or [
            each for each in unnamed if len(planned) == 1 or defined(each) & lesson.names
        ]
        reasons = [reason for name, reason in unread if _named(name, planned) in (lesson, None)]
        if candidates:
            chosen = candidates[-1]
            if len(candidates) > 1:
                reasons.append(
                    f"{len(candidates)} files are for this lesson; the newest was graded, {chosen.name}"
                )
            found[lesson.lesson.slug] = Work(chosen, tuple(reasons))
        elif reasons:
            found[lesson.lesson.slug] = Work(None, tuple(reasons))
    if not found and read:
        names = ", ".join(each.name for each in read[:5])
        nothing = Work(None, (f"no exercise of this assignment is defined in {names}",))
        found = {lesson.lesson.slug: nothing for lesson in planned}
    return found


def defined(submission: Submission) -> set[str]:
    """The names of the functions, classes and constants that a submission defines."""
    names = set()
    for chunk in submission.chunks:
        for node in ast.walk(ast.parse(chunk.source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


def _read(name: str, path: Path) -> Submission:
    def read() -> Submission:
        submission = parse_submission(name, path.read_bytes())
        size = sum(len(chunk.source) for chunk in submission.chunks)
        if size > CODE_BYTES:
            raise UnreadableSubmission(f"{name} holds {size >> 20} MB of code")
        return submission

    try:
        if name.lower().endswith(".py") and path.stat().st_size > CODE_BYTES:
            raise UnreadableSubmission(f"{name} is larger than {CODE_BYTES >> 20} MB")
        return limited(READ_SECONDS, read)
    except TimeLimit:
        raise UnreadableSubmission(f"{name} takes longer than {READ_SECONDS:.0f} s to read") from None
    except (OSError, MemoryError, RecursionError) as error:
        raise UnreadableSubmission(f"{name} cannot be read ({type(error).__name__})") from error


def _named(name: str, planned: Sequence[PlannedLesson]) -> PlannedLesson | None:
    """The lesson after which a file is named; its folder tells apart two of the same name."""
    part = lesson_named(name, [each.lesson.part for each in planned])
    found = [each for each in planned if each.lesson.part == part]
    here = [each for each in found if each.lesson.chapter in PurePosixPath(name).parts]
    return next(iter(here or found), None)
