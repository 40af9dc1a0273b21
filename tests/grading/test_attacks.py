"""Every attack in `attacks/` earns nothing, costs no other exercise, changes no file and leaves no process behind.

Each file is a submission to chapter 1, part 2, whose `r2_score` is right.
"""

import json
import os
import re
import resource
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from classroom import FIRST_SLOT

from utils.course.diagnosis import diagnose
from utils.course.grading.budget import Budget
from utils.course.grading.sandbox import levels, usage
from utils.course.grading.sandbox.transport import SandboxedTransport
from utils.course.learner import Learner
from utils.course.lessons import ROOT, Lesson
from utils.course.runner import ENDLESS, CheckResult, run_exercise
from utils.course.submissions import Submission, read_submission

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "attacks"
LESSON = Lesson("ch1_probing_basics/part2_fit_probes")
SECRET_SEED = 918_273_645
SLOT = FIRST_SLOT + 7
ENDED = "has ended"
NO_REPLY = "that is no reply"
NOT_READ = "could not be read"


@dataclass(frozen=True)
class Attack:
    """One submission.

    says: a pattern that a message of the attacked checks must match: that the attack was tried, and what it came to.
    checks: how many of the exercise's checks are run; few, where each takes long.
    """

    name: str
    says: str = ""
    exercise: str = "difference_of_means"
    lesson: Lesson = LESSON
    checks: int | None = None
    call_seconds: float = 10.0
    exercise_seconds: float = 60.0


ATTACKS = [
    Attack("a01_walk_the_disk", r"found \[\] in \d{2,} files", checks=1),
    Attack("a02_import_the_reference", r"found \[\]; \d{3,} modules", checks=1),
    Attack("a03_look_at_the_callers", r"found \[\] in \d+ frames and \d{5,} objects", checks=1),
    Attack("a04_constants_of_the_callers", r"found the constants \[.*\]", checks=1),
    Attack(
        "a06_environment_and_descriptors",
        r"descriptors \{0: '/dev/null', 1: '/dev/null', 2: '/dev/null', 3: 'pipe', 4: 'pipe'\}, processes \[\]",
        checks=1,
    ),
    Attack("b01_exit_at_import", "expected"),
    Attack("b02_exit_in_the_function", ENDED),
    Attack("b03_generator_exit", "raised GeneratorExit"),
    Attack("b03_keyboard_interrupt", ENDED),
    Attack("b03_pytest_exit", "raised Exit"),
    Attack("b03_system_exit", "raised SystemExit"),
    Attack("b04_skip", "raised Skipped"),
    Attack("b04_skip_test", "raised SkipTest"),
    Attack("b04_xfail", "raised XFailed"),
    Attack("b05_at_exit", "expected|" + ENDED),
    Attack("b06_always_equal_array", "expected"),
    Attack("b06_always_equal_float", "expected"),
    Attack("b06_always_equal_object", "expected"),
    Attack("b06_always_equal_tensor", "expected"),
    Attack("b07_patched_comparers", "expected"),
    Attack("b08_patched_machinery", "expected|no reply|neither"),
    Attack("b09_input_transformers", "expected"),
    Attack("b10_submitted_configuration", r"written to \['/scratch'\]", checks=1),
    Attack(
        "b11_shadow_modules",
        r"written to \['/scratch', '/scratch/\.local/lib/python3.\d+/site-packages', '__editable__[^']*'\]",
        checks=1,
    ),
    Attack("b13_print_a_verdict", "expected"),
    Attack("b14_deaf", ENDLESS, call_seconds=1),
    Attack("b14_deep_json", NOT_READ),
    Attack("b14_json_bomb", NOT_READ, checks=2),
    Attack("b14_own_pipe_backwards", "expected|no reply|ended|too long", call_seconds=1),
    Attack("b14_replies_to_calls_not_made", "expected|no reply"),
    Attack("b14_reply_never_finished", ENDLESS, call_seconds=1),
    Attack("b14_reply_too_long", NO_REPLY),
    Attack("b14_reply_too_short", NOT_READ),
    Attack("b14_verdict_frames", NO_REPLY),
    Attack("b16_complex", "complex"),
    Attack("b16_empty", "expected shape"),
    Attack("b16_half_precision", "half-precision"),
    Attack("b16_huge_empty", "expected shape"),
    Attack("b16_infinite", "expected"),
    Attack("b16_integers", "integer"),
    Attack("b16_many_rows", "expected shape"),
    Attack("b16_nan", "nan|NaN"),
    Attack("b16_no_dimensions", "expected"),
    Attack("b16_sparse_and_nested", "what a check cannot read"),
    Attack("b16_to_be_broadcast", "expected shape"),
    Attack("b17_table_of_visible_inputs", "values differ|expected"),
    Attack(
        "b19_chosen_random_numbers",
        "expected",
        "bootstrap_interval",
        Lesson("ch1_probing_basics/part3_doubt_your_probe"),
    ),
    Attack("b19_kept_references", "expected|changed an argument"),
    Attack("b19_zeroed_arguments", "changed an argument"),
    Attack("b20_patched_torch", "expected"),
    Attack("c01_reduce", "what a check cannot read"),
    Attack("c02_submitted_pickle", "expected a torch tensor"),
    Attack("c06_write_and_delete", r"changed \[\]", checks=1),
    Attack("c07_sockets", r"reached \[\]", checks=1),
    Attack("c08_magics", "NameError|expected"),
    Attack("c08_shells", r"ran 0 shells", checks=1),
    Attack("c09_kill_everything", "expected", checks=2),
    Attack(
        "c10_privileges",
        r"did \[\]; \{'CapEff': '0{16}', 'CapPrm': '0{16}', 'CapBnd': '0{16}', 'NoNewPrivs': '1', 'Seccomp': '2', "
        r"'Groups': ' ?(\d+ )?'\}",
        checks=1,
    ),
    Attack("d01_huge_power", ENDLESS, call_seconds=1),
    Attack("d01_loop_in_c", ENDLESS, call_seconds=1),
    Attack("d01_loop_that_ignores_signals", ENDLESS, call_seconds=1),
    Attack("d02_memory", f"memory|{ENDED}", checks=1),
    Attack("d02_memory_of_many", f"{ENDED}|{ENDLESS}", checks=1),
    Attack("d02_memory_of_nobody", r"hid \d{1,2} MB", checks=1),
    Attack("d03_fork_bomb", f"{ENDED}|{ENDLESS}", checks=2, call_seconds=1),
    Attack("d03_thread_bomb", ENDLESS, call_seconds=1),
    Attack("d04_huge_traceback", "raised E", checks=1),
    Attack("d04_output_flood", ENDLESS, call_seconds=1),
    Attack("d05_full_disk", r"wrote \d{1,2} MB in \d{1,4} files", checks=1),
    Attack("d06_double_fork", ENDED),
    Attack("d07_recursion", f"{ENDED}|{ENDLESS}|memory|Recursion", checks=1),
    Attack("d07_segfault", ENDED),
    Attack("d08_giant_list", "more than a check takes", checks=1),
    Attack("d08_giant_value", "more than a check takes", checks=1),
    Attack("d09_dripped_reply", ENDLESS, call_seconds=1),
    Attack("x01_stop_iteration", "raised StopIteration"),
    Attack("x02_returned_callback", "expected a torch tensor|no reply"),
    Attack("x03_resource_not_given", NOT_READ),
    Attack("x04_only_where_not_looked_at", "changed an argument", "fit_ridge_probe"),
    Attack("x05_left_for_the_next", r"found \[\], left \d"),
    Attack("x06_slow_on_every_call", ENDLESS, exercise_seconds=4),
    Attack("x07_slow_definitions", "expected", checks=1),
    Attack("x08_error_that_is_none", "in an unknown form"),
    Attack("x09_large_to_multiply", "expected shape"),
    Attack("x10_stopped", f"{ENDED}|{ENDLESS}", call_seconds=1),
]


def test_every_file_is_in_the_table():
    files = {path.stem for path in FOLDER.iterdir() if path.is_file()} - {"a07_leave", "a07_look", "forge"}
    assert files == {attack.name for attack in ATTACKS}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack, template, monkeypatch):
    monkeypatch.setattr(SandboxedTransport, "definition_seconds", 5.0)
    files = grader_files()
    submission = with_honest_rest(read_submission(next(FOLDER.glob(f"{attack.name}.*"))))
    with SandboxedTransport(submission, (), "full", SLOT, attack.call_seconds, template) as transport:
        results = attacked(attack, Learner(Budget(transport, attack.exercise_seconds), strict=True))
        learner = Learner(transport, strict=True)
        transport._call_seconds = 30.0
        honest = run_exercise(LESSON.exercise("r2_score"), learner, SECRET_SEED)
    for result in results[:2]:
        assert result.outcome != "passed"
    assert any(re.search(attack.says, result.message) for result in results), messages(results)
    assert [result.outcome for result in honest] == ["passed"] * len(honest), messages(honest)
    assert all(len(result.message) < 500 and result.message.isprintable() for result in results)
    assert grader_files() == files
    assert not [path for path in Path("/tmp").glob("owned-*")]
    assert processes_left() == []
    # A diagnosis looks at what was recorded, in the grader's own process.
    diagnose(attack.lesson, attack.exercise, results)
    assert megabytes_at_most() < 4_000


def attacked(attack: Attack, learner: Learner) -> list[CheckResult]:
    exercise = attack.lesson.exercise(attack.exercise)
    exercise = replace(exercise, checks=exercise.checks[: attack.checks])
    return run_exercise(exercise, learner, SECRET_SEED, check_seconds=120)


def with_honest_rest(submission: Submission) -> Submission:
    """What attacks share, the attack, and the reference's `r2_score`, in one file."""
    reference = LESSON.reference()
    if reference is None:
        pytest.skip("this edition has no solutions")
    rest = [c for c in reference.chunks if c.source.startswith(("import", "from", "def r2_score"))]
    forge = read_submission(FOLDER / "forge.py")
    return replace(submission, chunks=forge.chunks + submission.chunks + rest)


def grader_files() -> dict[Path, tuple[int, int]]:
    """Sizes and times of what a student must not change."""
    found = {}
    for folder in ("tests", "solutions", "utils"):
        for path in (ROOT / folder).rglob("*"):
            if "__pycache__" not in path.parts and path.is_file():
                found[path] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def processes_left() -> list[int]:
    uid = levels.uid_of_slot(SLOT)
    return [] if uid is None else usage.processes_of(uid)


def megabytes_at_most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def messages(results: list[CheckResult]) -> str:
    return "\n".join(f"{result.outcome}: {result.message}" for result in results)


SURROGATE = json.dumps(
    {
        "cells": [
            {
                "cell_type": "code",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": "x = '\ud800'",
            }
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
).encode()


def test_submissions_cannot_see_each_other(template):
    """A07: two at the same time; what one leaves is nowhere in the other's files, processes or memory."""
    secret = "the-other-students-answer"
    leave, look = (read_submission(FOLDER / f"a07_{name}.py") for name in ("leave", "look"))
    with (
        SandboxedTransport(leave, (), "full", FIRST_SLOT + 1, 300, template) as one,
        SandboxedTransport(look, (), "full", FIRST_SLOT + 2, 300, template) as two,
    ):
        assert len(Learner(one).leave()) >= 2
        assert Learner(two).look(secret[::-1]) == ([], ["1"])


@pytest.mark.parametrize(
    ("name", "content", "readable"),
    [
        ("nul.py", b"def f():\n    return 1\x00\n", False),
        ("nul.ipynb", b"\x00" * 100, False),
        ("bom.py", b"\xef\xbb\xbfdef f():\n    return 1\n", True),
        ("latin.py", "def f():\n    return 'é'\n".encode("latin-1"), False),
        ("utf16.ipynb", '{"cells": []}'.encode("utf-16"), False),
        ("broken.ipynb", b'{"cells": [', False),
        ("a_list.ipynb", b"[1, 2]", False),
        ("deep.ipynb", b"[" * 200_000, False),
        ("nbformat3.ipynb", b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}', True),
        ("empty.ipynb", b"", False),
        ("empty.py", b"", True),
        ("no_cells.ipynb", b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', True),
        ("syntax.py", b"def f(:\n", False),
        ("tabs.py", b"def f():\n\treturn 1\n        return 2\n", False),
        ("surrogate.ipynb", SURROGATE, True),
        ("deep.py", b"x = " + b"(" * 10_000 + b"1" + b")" * 10_000, False),
    ],
)
def test_files_of_every_kind(tmp_path, name, content, readable):
    """D10: each is read, or refused in one clear line."""
    from utils.course.submissions import UnreadableSubmission

    path = tmp_path / name
    path.write_bytes(content)
    if readable:
        read_submission(path)
    else:
        with pytest.raises(UnreadableSubmission) as caught:
            read_submission(path)
        assert "\n" not in str(caught.value)


def test_environment_holds_nothing_of_the_graders(template, monkeypatch):
    monkeypatch.setenv("GRADER_SECRET", "seed")
    assert "GRADER_SECRET" not in levels.environment("full")
    assert os.environ["GRADER_SECRET"] not in levels.environment("full").values()
