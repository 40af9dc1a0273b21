"""Only passed earns; points given by hand win; scoring twice is scoring once."""

from dataclasses import replace

import pytest

from utils.course.errors import CourseError
from utils.course.grading.results import CheckOutcome, ExerciseResult, Keys, LessonResult, Outcome, Result
from utils.course.grading.score import GivenPoints, read_overrides, scored

PASSED, FAILED = CheckOutcome("test_a", "a", "passed"), CheckOutcome("test_a", "a", "failed", "no")
BLANK = (
    LessonResult(
        "ch1_x/part1_y",
        "not submitted",
        None,
        (),
        (
            ExerciseResult(
                "f", 2.0, 0.0, (CheckOutcome("test_a", "a"), CheckOutcome("test_b", "b", hidden=True))
            ),
            ExerciseResult("g", 1.0, 0.0, (CheckOutcome("test_a", "a"),)),
        ),
    ),
    LessonResult(
        "ch1_x/part2_z",
        "not submitted",
        None,
        (),
        (ExerciseResult("h", 4.0, 0.0, (CheckOutcome("test_a", "a"),)),),
    ),
)


def result(*exercises: ExerciseResult) -> Result:
    lesson = LessonResult("ch1_x/part1_y", "graded", "y.ipynb", (), exercises)
    keys = Keys("a", "b", "c")
    return Result("ada", "hw", "", "none", keys, False, (), 0.0, 0.0, 0.0, None, (lesson,))


def exercise(name: str, *outcomes: Outcome) -> ExerciseResult:
    checks = tuple(CheckOutcome(f"test_{c}", c, outcome) for c, outcome in zip("abc", outcomes, strict=False))
    return ExerciseResult(name, 100.0, 100.0, checks, seconds=1.5)


def test_all_checks_or_nothing():
    made = scored(result(exercise("f", "passed", "passed"), exercise("g", "failed")), BLANK, {})
    assert (made.score, made.points, made.seconds) == (2.0, 7.0, 3.0)
    assert [each.earned for each in made.exercises] == [2.0, 0.0, 0.0]
    assert [each.points for each in made.exercises] == [2.0, 1.0, 4.0]
    assert made.lessons[1].status == "not submitted"


@pytest.mark.parametrize("outcome", ["failed", "error", "missing", "not run"])
def test_only_passed_earns(outcome):
    assert scored(result(exercise("f", "passed", outcome)), BLANK, {}).score == 0


def test_a_check_that_was_not_reached():
    """Neither a check left out nor one that nobody asked for is worth anything."""
    made = scored(
        result(exercise("f", "passed"), exercise("g", "failed", "passed"), exercise("k", "passed")), BLANK, {}
    )
    assert made.score == 0
    assert [check.outcome for check in made.exercises[0].checks] == ["passed", "not run"]
    assert made.exercises[0].checks[1].hidden
    assert [each.name for each in made.exercises] == ["f", "g", "h"]


def test_an_exercise_without_checks_earns_nothing():
    empty = (replace(BLANK[0], exercises=(replace(BLANK[0].exercises[0], checks=()),)),)
    assert scored(result(), empty, {}).score == 0


def test_points_by_hand_win():
    given = {"f": GivenPoints(1.5, "oral exam"), "h": GivenPoints(5.0, "bonus")}
    made = scored(result(exercise("f", "passed", "passed"), exercise("g", "passed")), BLANK, given)
    assert made.score == 1.5 + 1.0 + 5.0
    assert made.overridden is not None
    assert made.overridden["f"].earned == 2.0
    assert made.overridden["h"].reason == "bonus"
    again = scored(made, BLANK, given)
    assert again == made
    assert scored(made, BLANK, {}).score == 3.0
    assert scored(made, BLANK, {}).overridden is None


def test_overrides_file(tmp_path):
    path = tmp_path / "overrides.csv"
    assert read_overrides(path, BLANK) == {}
    path.write_text(
        '\ufeffstudent,exercise,points,reason\nada,f,1.5,"late, but fine"\nbob,h,0,\n', encoding="utf-8"
    )
    assert read_overrides(path, BLANK) == {
        "ada": {"f": GivenPoints(1.5, "late, but fine")},
        "bob": {"h": GivenPoints(0.0, "")},
    }
    path.write_text("student;exercise;points;reason\nada;f;1;x\n")
    assert read_overrides(path, BLANK)["ada"]["f"].points == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("ada,k,1,x", "line 2: 'k' is not assigned; there are: f, g, h"),
        ("ada,f,much,x", "line 2: expected student"),
        ("ada,f,nan,x", "from 0, not nan"),
        ("ada,f,inf,x", "from 0"),
        ("ada,f,-1,x", "from 0"),
        ("ada", "line 2: expected student"),
    ],
)
def test_a_bad_override_is_one_line(tmp_path, row, says):
    path = tmp_path / "overrides.csv"
    path.write_text(f"student,exercise,points,reason\n{row}\n")
    with pytest.raises(CourseError, match=says):
        read_overrides(path, BLANK)
