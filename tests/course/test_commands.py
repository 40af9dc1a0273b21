"""The command line: one clear line for bad input, one JSON object on request, nothing lost."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest

from utils.course.__main__ import main
from utils.course.lessons import ROOT, Lesson, LessonError, find_lessons
from utils.course.progress import exercise_minutes, load_progress

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
        (["check", SLUG, "--learner", "."], "not a file"),
        (["check", SLUG, "--watch"], "--learner"),
        (["check", "nowhere", "--learner", "mine.py", "--watch"], "no lesson"),
        (["check", SLUG, "--learner", "mine.py", "--watch", "--json"], "no JSON"),
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


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"r2_score": 3}',
        '{"r2_score": {}}',
        '{"r2_score": {"status": "done", "attempts": "x"}}',
        '{"r2_score": {"status": 7, "attempts": 1}}',
        "[" * 100_000,
    ],
)
def test_malformed_progress_is_set_aside(content):
    path = load_progress(LESSON).path
    path.parent.mkdir(parents=True)
    path.write_text(content)
    progress = load_progress(LESSON)
    progress.record_check("r2_score", passed=True)
    assert load_progress(LESSON).status("r2_score") == "done"
    assert path.with_suffix(".unreadable.json").read_text() == content


def test_progress_outlives_the_notebook_that_the_learner_works_in(tmp_path):
    lesson = Lesson(SLUG, tmp_path)
    assert exercise_minutes(lesson) == {}
    lesson.exercise_notebook.parent.mkdir(parents=True)
    for content in ("", "{", "[]", '{"cells": 3}', '{"cells": [{}]}'):
        lesson.exercise_notebook.write_text(content)
        assert exercise_minutes(lesson) == {}


def test_strange_text_is_escaped(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("def r2_score(a, b):\n    raise ValueError('\\ud800 \\x1b[31m')\n")
    assert main(["check", SLUG, "--learner", str(path), "--json"]) == 1
    printed = capsys.readouterr().out
    checks = json.loads(printed)["lessons"][SLUG]["exercises"]["r2_score"]["checks"]
    assert checks[0]["message"] == r"your code raised ValueError: \ud800 \x1b[31m (line 2 of your code)"
    printed.encode()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROBING_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.delenv("PROBING_PROGRESS")
    assert main(["progress"]) == 2
    assert "set PROBING_HOME" in capsys.readouterr().err
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert "✗ disk" in "\n".join(lines)


def test_doctor(capsys):
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("✓ Python")


def run_without_packages(*arguments):
    """In a Python that has only its standard library and the repository."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {RUN_MAIN}"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


RUN_MAIN = "from utils.course.__main__ import main; sys.exit(main(sys.argv[1:]))"


def test_doctor_says_what_is_missing():
    done = run_without_packages("doctor")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 10
    assert "✗ torch              not installed: make setup" in done.stdout


def test_the_wrong_python_is_one_line():
    done = run_without_packages("progress")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert ".venv/bin/python" in done.stderr


@pytest.mark.slow
def test_a_thread_left_behind_keeps_nobody_waiting(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import threading\ndef r2_score(a, b):\n    threading.Thread(target=threading.Event().wait).start()\n"
    )
    command = [sys.executable, "-m", "utils.course", "check", SLUG, "--learner", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "0 of 6 exercises pass" in done.stdout


@pytest.mark.slow
def test_a_reader_that_goes_away():
    command = [sys.executable, "-m", "utils.course", "progress"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.slow
def test_watch(wrong):
    command = [sys.executable, "-u", "-m", "utils.course", "check", SLUG, "--learner", wrong, "--watch"]
    # A shell's background jobs ignore ctrl-C, and so would what they start.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=listen) as process:
        assert process.stdout is not None
        try:
            first = _until(process.stdout, "Watching")
            wrong.write_text("def difference_of_means(:")
            second = _until(process.stdout, "Watching")
            wrong.write_text(WRONG)
            third = _until(process.stdout, "Watching")
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert "0 of 6 exercises pass" in first
    assert "line 1: invalid syntax" in second
    assert "0 of 6 exercises pass" in third


def _until(stream, word):
    lines = []
    while not lines or word not in lines[-1]:
        lines.append(stream.readline())
        assert lines[-1], "it ended"
    return "".join(lines)
