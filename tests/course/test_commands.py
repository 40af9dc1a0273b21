"""The command line: one clear line for bad input, one JSON object on request, nothing lost."""

import json
import shutil

import pytest

from utils.course.__main__ import main
from utils.course.lessons import Lesson, LessonError, find_lessons
from utils.course.progress import load_progress

SLUG = "ch1_probing_basics/part2_fit_probes"
LESSON = Lesson(SLUG)

WRONG = """
def difference_of_means(acts, labels):
    if labels.all() or not labels.any():
        raise ValueError
    return acts[~labels].mean(0) - acts[labels].mean(0)
"""


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(WRONG)
    return path


def test_json(wrong, capsys):
    assert main(["check", SLUG, "--learner", str(wrong), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    exercises = result["lessons"][SLUG]["exercises"]
    assert exercises["difference_of_means"]["mistake"] == "reversed_direction"
    outcomes = {check["name"]: check["outcome"] for check in exercises["difference_of_means"]["checks"]}
    assert outcomes["by_hand"] == "failed"
    assert outcomes["one_class_missing"] == "passed"
    assert {check["outcome"] for check in exercises["r2_score"]["checks"]} == {"missing"}


def test_text_names_the_mistake(wrong, capsys):
    assert main(["check", SLUG, "--learner", str(wrong)]) == 1
    printed = capsys.readouterr().out
    assert "mean(False) − mean(True)" in printed
    assert "`r2_score` is not defined" in printed


def test_solutions_pass(capsys):
    assert main(["check", SLUG]) == 0
    assert "6 of 6 exercises pass" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "ch1_probing_basics/part2_fit_probs"], "did you mean"),
        (["check", "nowhere"], "no lesson is called 'nowhere'"),
        (["check", SLUG, "--learner", "nothing.py"], "nothing.py"),
        (["check", SLUG, "--learner", "broken.ipynb"], "not JSON"),
        (["check", SLUG, "--learner", "broken.py"], "line 1"),
        (["check", "ch1_probing_basics", "--learner", "mine.py"], "which lesson"),
        (["check", SLUG, "--watch"], "--learner"),
        (["build", "ch7"], "no lesson"),
    ],
)
def test_bad_input_is_one_line(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "mine.py").write_text("")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1


def test_chapter_finds_the_lesson_by_file_name(tmp_path, capsys):
    path = tmp_path / "part2_fit_probes.ipynb"
    shutil.copy(LESSON.exercise_notebook, path)
    assert main(["check", "ch1_probing_basics", "--learner", str(path), "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["lessons"]) == [SLUG]


def test_unknown_exercise_suggests():
    with pytest.raises(LessonError, match="did you mean 'r2_score'"):
        LESSON.exercise("r2score")
    assert [lesson.slug for lesson in find_lessons(SLUG)] == [SLUG]


def test_progress_table(capsys):
    progress = load_progress(LESSON)
    progress.record_check("r2_score", passed=False)
    progress.record_check("r2_score", passed=True)
    progress.record_borrowed("layer_sweep")
    progress.record_check("layer_sweep", passed=True, borrowed=True)
    again = load_progress(LESSON)
    assert (again.status("r2_score"), again.attempts("r2_score")) == ("done", 2)
    assert again.status("layer_sweep") == "borrowed"
    assert main(["progress"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if SLUG in line).split()
    assert row[1:4] == ["1", "1", "4"]


def test_unreadable_progress_is_set_aside():
    path = load_progress(LESSON).path
    path.parent.mkdir(parents=True)
    path.write_text("{ half a file")
    assert load_progress(LESSON).status("r2_score") == "open"
    assert path.with_suffix(".unreadable.json").read_text() == "{ half a file"


def test_doctor(capsys):
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("✓ Python")
