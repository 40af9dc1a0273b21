"""A lesson is proved when chance fails none of its right answers, until its code changes."""

import json

import pytest

from utils.course import __main__ as command
from utils.course import proofs
from utils.course.lessons import Lesson

SOURCE = '''# %% [markdown]
# # A lesson


# %%
FACTOR = 2


def double(x: float) -> float:
    """Twice x."""
    return FACTOR * x
'''
CHECKS = '''from utils.course import exercise
import torch


@exercise("double")
class TestDouble:
    def test_small(self, learner, rng):
        """is twice its argument"""
        x = torch.rand(1, generator=rng).item()
        assert learner.double(x) < LIMIT

    def test_two(self, learner):
        """is four for two"""
        assert learner.double(2) == 4
'''
ANSWERS = '''from utils.course import alternative, mistake


@mistake("double")
def squares(x):
    """You square."""
    return x * x


@alternative("double")
def adds(x):
    return x + x
'''


@pytest.fixture
def lesson_with(tmp_path):
    def lesson_with(limit):
        lesson = Lesson(f"ch9_trial/part{len(list(tmp_path.rglob('test_*'))) + 1}_trial", tmp_path)
        for file in (lesson.source, lesson.checks_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        lesson.source.write_text(SOURCE)
        lesson.checks_file.write_text(CHECKS.replace("LIMIT", limit))
        lesson.mistakes_file.write_text(ANSWERS)
        return lesson

    return lesson_with


def change(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_check_that_chance_fails_is_found(lesson_with):
    lesson = lesson_with("1.9")
    exercise = lesson.exercise("double")
    found = proofs.failing_seeds(lesson, exercise, "adds", range(1, 61))
    assert 0 < len(found) < 30
    assert found == [
        line.replace("reference", "adds")
        for line in proofs.failing_seeds(lesson, exercise, None, range(1, 61))
    ]
    assert found[0].startswith("double, adds, seed ")
    assert "small" in found[0]


@pytest.mark.slow
def test_a_proof_is_stamped_and_a_failure_is_not(lesson_with, tmp_path):
    sound, flaky = lesson_with("2"), lesson_with("1.9")
    assert not proofs.is_proved(sound)
    assert proofs.prove(sound, range(1, 61)) == []
    assert proofs.is_proved(sound)
    problems = proofs.prove(flaky, range(1, 61))
    assert {line.split(",")[1] for line in problems} == {" reference", " adds"}
    assert not proofs.is_proved(flaky)
    assert json.loads((tmp_path / "tests" / "proofs.json").read_text()).keys() == {sound.slug}


def test_prose_keeps_the_proof_and_code_does_not(lesson_with):
    lesson = lesson_with("2")
    proved = proofs.fingerprint(lesson)
    change(lesson.source, "# # A lesson", "# # A good lesson")
    change(lesson.source, "Twice x.", "x, twice.")
    change(lesson.checks_file, "is four for two", "of two is four")
    change(lesson.mistakes_file, "x * x", "x**2")
    with lesson.source.open("a") as file:
        file.write("\n# %%\ndef plotted(x):\n    return FACTOR * x\n")
    assert proofs.fingerprint(lesson) == proved
    for file, before, after in (
        (lesson.source, "FACTOR * x", "x * FACTOR"),
        (lesson.source, "FACTOR = 2", "FACTOR = 2.0"),
        (lesson.checks_file, "== 4", "== 4.0"),
        (lesson.checks_file, '@exercise("double")', '@exercise("double", points=2)'),
        (lesson.mistakes_file, "x + x", "x - -x"),
    ):
        change(file, before, after)
        assert proofs.fingerprint(lesson) != proved
        proved = proofs.fingerprint(lesson)


def test_the_command_tries_what_is_not_proved(monkeypatch, capsys, lesson_with):
    lesson = lesson_with("2")
    monkeypatch.setattr("utils.course.lessons.all_lessons", lambda root=None: [lesson])
    monkeypatch.setattr(proofs, "prove", lambda lesson: [f"{lesson.part} fails"])
    assert command.main(["prove"]) == 1
    assert "part1_trial fails" in capsys.readouterr().out
    monkeypatch.setattr(proofs, "is_proved", lambda lesson: True)
    assert command.main(["prove"]) == 0
    assert "0 lessons tried" in capsys.readouterr().out
    assert command.main(["prove", "--force"]) == 1
