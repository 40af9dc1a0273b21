"""`check` as a notebook calls it."""

import pytest
import torch

from utils.course import inline, open_lesson
from utils.course.lessons import Lesson, LessonError, all_lessons
from utils.course.progress import load_progress

SLUG = "ch1_probing_basics/part2_fit_probes"
LESSON = Lesson(SLUG)


def difference_of_means(acts, labels):
    print("shape", tuple(acts.shape))
    return labels.float()


def test_wrong_answer(capsys):
    check, _ = open_lesson(SLUG)
    check(difference_of_means)
    printed = capsys.readouterr().out
    assert "2 of 5 checks passed" in printed
    assert "expected shape (2,), received (5,)" in printed
    assert "shape (5, 2)" in printed
    assert "run it again" in printed
    assert load_progress(LESSON).status("difference_of_means") == "tried"


def test_help_grows_with_attempts():
    for _ in range(3):
        report = inline.check_answer(LESSON, difference_of_means)
    assert "use_reference" in report.next_step


def test_right_answer_names_the_next(capsys):
    report = inline.check_answer(LESSON, LESSON.reference_namespace()["fit_ridge_probe"])
    assert report.passed
    assert "Next: `r2_score`" in report.next_step


def test_report_is_stored_as_it_reads():
    """A notebook keeps the repr beside the HTML: it must not hold every call that the checks made."""
    report = inline.check_answer(LESSON, LESSON.reference_namespace()["fit_ridge_probe"])
    assert repr(report) == str(report)


def test_reference_counts_as_borrowed(capsys):
    check, use_reference = open_lesson(SLUG)
    borrowed = use_reference("layer_sweep")
    check(borrowed)
    assert globals()["layer_sweep"] is borrowed
    assert load_progress(LESSON).status("layer_sweep") == "borrowed"


def test_html_is_escaped():
    def r2_score(predictions, targets):
        raise ValueError("<script>alert(1)</script>")

    page = inline.check_answer(LESSON, r2_score)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_learners_assertion_is_an_error(capsys):
    def r2_score(predictions, targets):
        assert predictions.shape == "odd"

    result = inline.check_answer(LESSON, r2_score).results[0]
    assert result.outcome == "error"
    assert result.message.startswith("your code raised AssertionError")


def test_a_skipped_test_is_no_verdict():
    def r2_score(predictions, targets):
        pytest.skip("nothing to see here")

    assert {result.outcome for result in inline.check_answer(LESSON, r2_score).results} == {"error"}


def test_a_check_that_cannot_go_on_does_not_blame_the_code():
    def r2_score(predictions, targets):
        return None

    messages = [result.message for result in inline.check_answer(LESSON, r2_score).results]
    assert any("cannot go on with what your code returned (AttributeError" in message for message in messages)


def test_long_messages_are_cut():
    def r2_score(predictions, targets):
        raise ValueError("x" * 100_000)

    assert len(inline.check_answer(LESSON, r2_score).results[0].message) < 500


def test_torch_has_its_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = set()

    def r2_score(predictions, targets):
        seen.add(torch.get_num_threads())

    inline.check_answer(LESSON, r2_score)
    assert seen == {1}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_full_disk_keeps_nobody_from_the_verdict(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROBING_PROGRESS", str(tmp_path / "file"))
    check, use_reference = open_lesson(SLUG)
    check(use_reference("r2_score"))
    captured = capsys.readouterr()
    assert "checks passed" in captured.out
    assert "could not be noted" in captured.err


def test_each_exercise_can_be_checked_alone():
    """A notebook passes one function: its checks may ask for no other."""
    for lesson in all_lessons():
        for name in [exercise.name for exercise in lesson.exercises()]:
            report = inline.check_answer(lesson, lesson.reference_namespace()[name])
            assert report.passed, str(report)


def test_errors_are_one_line_in_a_notebook():
    with pytest.raises(LessonError) as caught:
        open_lesson("ch1_probing_basics")
    assert caught.value._render_traceback_() == [f"LessonError: {caught.value}"]


def test_endless_loop(monkeypatch):
    def r2_score(predictions, targets):
        while True:
            pass

    monkeypatch.setattr("utils.course.transports.CALL_SECONDS", 0.2)
    report = inline.check_answer(LESSON, r2_score)
    assert not report.passed
    assert "loop that never ends" in report.results[0].message


@pytest.mark.parametrize("answer", [3, "auroc", lambda x: x], ids=["number", "name", "lambda"])
def test_not_an_exercise(answer):
    check, _ = open_lesson(SLUG)
    with pytest.raises(LessonError):
        check(answer)


def test_a_chapter_is_no_lesson():
    with pytest.raises(LessonError):
        open_lesson("ch1_probing_basics")
