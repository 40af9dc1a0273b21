"""The result file: it comes back as it was written, and no student's id can aim it elsewhere."""

import json

import pytest

from utils.course.errors import CourseError
from utils.course.grading.results import (
    CheckOutcome,
    ExerciseResult,
    Keys,
    LessonResult,
    Mistake,
    Override,
    Result,
    from_json,
    read_results,
    result_path,
    safe_name,
    to_json,
    write_result,
)

HOSTILE = [
    "../../etc/passwd",
    "/abs",
    "a\\b",
    "..",
    ".",
    "",
    "a/../b",
    "con",
    "nul.json",
    "x" * 300,
    "a\0b",
    "\ud800",
    "a\nb",
]


def result(student="ada", **changes) -> Result:
    checks = (
        CheckOutcome("test_by_hand", "adds up", "passed"),
        CheckOutcome("test_loop", "agrees with a loop", "failed", "expected 1, received 2", hidden=True),
    )
    exercise = ExerciseResult("auroc", 2.0, 0.0, checks, Mistake("reversed", "Swap the two."), 0.4)
    lesson = LessonResult(
        "ch1_probing_basics/part3_doubt_your_probe", "graded", "a.ipynb", ("code cell 3: …",), (exercise,)
    )
    made = Result(
        student,
        "hw1",
        "2030-01-01T00:00:00+00:00",
        "full",
        Keys("a", "b", "c"),
        False,
        ("the name says …",),
        0.0,
        2.0,
        0.4,
        {"auroc": Override(1.0, 0.0, "oral exam")},
        (lesson,),
    )
    return Result(**{**vars(made), **changes})


def test_there_and_back(tmp_path):
    write_result(tmp_path, result())
    assert list(read_results(tmp_path)) == [result()]
    fields = json.loads((tmp_path / "results" / "ada.json").read_text(encoding="utf-8"))
    assert fields["schema"] == 1
    assert fields["lessons"][0]["exercises"][0]["mistake"] == {
        "name": "reversed",
        "diagnosis": "Swap the two.",
    }
    assert fields["overridden"]["auroc"]["reason"] == "oral exam"


def test_timings_are_no_difference():
    later = result(graded_at="2031-01-01T00:00:00+00:00", seconds=9.0)
    assert to_json(later) != to_json(result())
    assert to_json(later.without_timings()) == to_json(result().without_timings())


@pytest.mark.parametrize("student", HOSTILE)
def test_ids_cannot_aim_elsewhere(tmp_path, student):
    write_result(tmp_path, result(student))
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert len(list((tmp_path / "results").iterdir())) == 1
    assert next(read_results(tmp_path)).student == student
    assert result_path(tmp_path, student).name == f"{safe_name(student)}.json"


def test_every_id_has_its_own_file():
    ids = ["ada", "Ada", "ADA", "a da", "a_da", "a/da", "a\\da", "ada.", "ada@uni.edu", "ada+1", *HOSTILE]
    assert len({safe_name(student).lower() for student in ids}) == len(set(ids))
    assert safe_name("ada@uni.edu") == "ada@uni.edu"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', "[" * 100_000, '{"schema": 1, "student": "ada"}']
)
def test_anything_else_is_one_clear_error(text):
    with pytest.raises(CourseError, match="ada.json is no result"):
        from_json(text, "ada.json")
