"""Gradescope, CSV, JUnit and SQLite: valid, complete, and safe to open."""

import csv
import io
import json
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing
from dataclasses import replace

import pytest

from tests.grading.hostile_class import FORMULAS, hostile_class
from tests.grading.made_up_class import made_up_class
from utils.course.grading.reports.gradebook import write_gradebook
from utils.course.grading.reports.grades import Grades
from utils.course.grading.reports.gradescope import failed_run, gradescope_results
from utils.course.grading.reports.junit import junit_xml
from utils.course.grading.reports.spreadsheet import class_csv, safe_cell
from utils.course.grading.results import CheckOutcome, ExerciseResult, LessonResult, Override

VISIBILITY = {"hidden", "after_due_date", "after_published", "visible"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
TEXT, NUMBER = (str,), (int, float)
# The fields of https://gradescope-autograders.readthedocs.io/en/latest/specs/ with their types.
TOP_FIELDS = {
    "score": NUMBER, "execution_time": NUMBER, "output": TEXT, "output_format": TEXT, "test_output_format": TEXT,
    "test_name_format": TEXT, "visibility": TEXT, "stdout_visibility": TEXT, "extra_data": (dict,), "tests": (list,),
    "leaderboard": (list,),
}  # fmt: skip
TEST_FIELDS = {
    "score": NUMBER, "max_score": NUMBER, "status": TEXT, "name": TEXT, "name_format": TEXT, "number": TEXT,
    "output": TEXT, "output_format": TEXT, "tags": (list,), "visibility": TEXT, "extra_data": (dict,),
}  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return made_up_class(30, seed=1)


@pytest.fixture
def grades(results, tmp_path):
    return Grades(tmp_path, "ch1_probing_basics", results)


@pytest.fixture(params=["made up", "hostile"])
def either(request, grades, tmp_path):
    return grades if request.param == "made up" else Grades(tmp_path, "probing", hostile_class())


def check_gradescope(document):
    """Only documented fields, each of its documented type and values."""
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert "score" in document or all("score" in test for test in document["tests"])
    for fields, each in [(TOP_FIELDS, document), *((TEST_FIELDS, test) for test in document["tests"])]:
        for name, value in each.items():
            assert isinstance(value, fields[name]), name
            assert not isinstance(value, bool)
        assert each.get("visibility", "visible") in VISIBILITY
        assert each.get("stdout_visibility", "hidden") in VISIBILITY
        assert each.get("status", "passed") in ("passed", "failed")
        assert {each.get(name, "text") for name in fields if name.endswith("_format")} <= FORMATS


def test_gradescope_has_the_documented_form(either):
    for result in either.results:
        document = gradescope_results(result)
        check_gradescope(document)
        assert document["score"] == result.score
        assert document["extra_data"]["sandbox"] == result.sandbox
        # The formats that would interpret what a student wrote are not used.
        assert {value for name, value in document.items() if name.endswith("_format")} == {"text"}
        scored = [test for test in document["tests"] if "score" in test]
        assert [test["score"] for test in scored] == [exercise.earned for exercise in result.exercises]
        assert [test["max_score"] for test in scored] == [exercise.points for exercise in result.exercises]


def test_gradescope_has_every_check_of_a_graded_lesson(results):
    for result in results:
        document = gradescope_results(result)
        checks = [test for test in document["tests"] if test["number"].count(".") == 2]
        graded = [lesson for lesson in result.lessons if lesson.status == "graded"]
        expected = [check for lesson in graded for exercise in lesson.exercises for check in exercise.checks]
        assert [t["status"] == "passed" for t in checks] == [c.outcome == "passed" for c in expected]
        assert [t["visibility"] == "hidden" for t in checks] == [c.hidden for c in expected]


def test_gradescope_never_says_passed_while_a_hidden_check_fails(results):
    checks = (
        CheckOutcome("test_by_hand", "by hand", "passed"),
        CheckOutcome("test_loop", "agrees with the loop", "failed", "expected 0.5", hidden=True),
    )
    lesson = LessonResult("ch1_x/part1_y", "graded", "a", (), (ExerciseResult("auroc", 2, 0, checks),))
    document = gradescope_results(replace(results[0], lessons=(lesson,), score=0, points=2))
    visible = [test for test in document["tests"] if test["visibility"] != "hidden"]
    assert visible[0]["status"] == "failed"
    assert "1 of 2 checks passed" in visible[0]["output"]
    assert "a further check, run only at grading, did not pass" in visible[0]["output"]
    shown = json.dumps(visible) + document["output"]
    assert "agrees with the loop" not in shown
    assert "expected 0.5" not in shown
    # Gradescope hides a student's whole score where a test is visible only after publication.
    assert {test["visibility"] for test in document["tests"]} == {"visible", "hidden"}


def test_gradescope_shows_points_given_by_hand(results):
    document = gradescope_results(
        replace(results[0], overridden={"auroc": Override(2.0, 0.0, "correct by email")})
    )
    assert "auroc: 2 points, set by hand instead of 0 (correct by email)" in document["output"]


def test_gradescope_of_an_unreadable_file():
    result = next(result for result in hostile_class() if result.unreadable)
    document = gradescope_results(result)
    assert "could not be read" in document["tests"][0]["name"]
    assert all(test["status"] == "failed" for test in document["tests"])


def test_gradescope_of_a_failed_run():
    document = failed_run("no \x1b[31msandbox")
    check_gradescope(document)
    assert document["score"] == 0
    assert "\x1b" not in document["output"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_text(text):
    cell = safe_cell(text)
    assert not cell.startswith(tuple("=+-@\t\r ＝"))
    assert "\t" not in cell
    assert "\r" not in cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (7.0, "7"),
        (2 / 3, "0.6666666667"),
        (-1.5, "-1.5"),
        ("-1.5", "-1.5"),
        ("+49", "+49"),
        ("O'Brien, Ada", "O'Brien, Ada"),
        ("Łukasik", "Łukasik"),
        ("two\nlines", "two lines"),
        ("-inf", "'-inf"),
        (None, "None"),
    ],
)
def test_cells(value, cell):
    assert safe_cell(value) == cell


def test_csv_has_a_row_for_everyone(grades):
    rows = list(csv.DictReader(io.StringIO(class_csv(grades))))
    assert len(rows) == len(grades.results)
    for row, result in zip(rows, grades.results, strict=True):
        assert row["student"] == result.student
        assert float(row["score"]) == result.score
        assert sum(float(row[exercise.name]) for exercise in result.exercises) == result.score


def test_csv_tells_two_exercises_of_one_name_apart(grades):
    first = grades.results[0].lessons[0]
    twice = replace(grades.results[0], lessons=(first, replace(first, lesson="ch2_x/part1_y")))
    header = next(csv.reader(io.StringIO(class_csv(replace(grades, results=[twice])))))
    assert f"{first.lesson}: {first.exercises[0].name}" in header
    assert f"ch2_x/part1_y: {first.exercises[0].name}" in header


def test_hostile_csv_has_no_formula(tmp_path):
    text = class_csv(Grades(tmp_path, "probing", hostile_class()))
    text.encode("utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(tuple("=+-@＝\t\r"))
        assert cell.isprintable()


def test_junit_is_well_formed_and_counts(either):
    root = ET.fromstring(junit_xml(either).encode("utf-8"))
    assert root.tag == "testsuites"
    suites = root.findall("testsuite")
    assert len(suites) == len(either.results)
    for suite, result in zip(suites, either.results, strict=True):
        cases = suite.findall("testcase")
        checks = [check for exercise in result.exercises for check in exercise.checks]
        assert int(suite.get("tests", "")) == len(cases) == len(checks)
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
        # Only a passed check may look like one.
        silent = [len(case) == 0 for case in cases]
        assert silent == [check.outcome == "passed" for check in checks]
        assert {case.get("classname", "").split(".")[0] for case in cases} <= {"ch1_probing_basics"}
    for name in ("tests", "failures", "errors"):
        assert int(root.get(name, "")) == sum(int(suite.get(name, "")) for suite in suites)


def test_gradebook_answers_questions(grades, tmp_path):
    path = tmp_path / "gradebook.sqlite"
    write_gradebook(grades, path)
    with closing(sqlite3.connect(path)) as database:
        students, score = database.execute("SELECT COUNT(*), SUM(score) FROM students").fetchone()
        assert students == len(grades.results)
        assert score == sum(result.score for result in grades.results)
        checks = database.execute("SELECT COUNT(*) FROM checks").fetchone()[0]
        assert checks == sum(len(e.checks) for result in grades.results for e in result.exercises)
        sizes = [row[0] for row in database.execute("SELECT students FROM common_mistakes")]
        assert sizes == sorted(sizes, reverse=True)
        assert sum(sizes) == sum(e.mistake is not None for result in grades.results for e in result.exercises)
        for passed, graded, rate in database.execute("SELECT passed, graded, rate FROM pass_rates"):
            assert rate == pytest.approx(passed / graded, abs=1e-3)


def test_gradebook_is_rebuilt(grades, tmp_path):
    path = tmp_path / "gradebook.sqlite"
    write_gradebook(grades, path)
    write_gradebook(replace(grades, results=grades.results[:3]), path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM students").fetchone()[0] == 3


def test_hostile_gradebook(tmp_path):
    results = hostile_class()
    write_gradebook(Grades(tmp_path, "probing", results), tmp_path / "gradebook.sqlite")
    with closing(sqlite3.connect(tmp_path / "gradebook.sqlite")) as database:
        names = [row[0] for row in database.execute("SELECT name FROM students")]
        assert len(names) == len(results)
        assert all(name.isprintable() or set("\n\t") & set(name) for name in names)
