"""The demo's made-up submissions are what they are said to be."""

import ast
from dataclasses import replace

import nbformat
import pytest

from tests.grading.made_up_class import made_up_class
from utils.course.errors import CourseError
from utils.course.grading.demo import LESSON, demo, print_table
from utils.course.grading.demo_submissions import MISTAKEN, answer_cell, demo_submissions, right_cells
from utils.course.grading.reports.grades import Grades
from utils.course.lessons import Lesson
from utils.course.notebooks import exercise_notebook
from utils.course.submissions import read_submission
from utils.course.terminal import check_lesson

DEMO = Lesson(LESSON)


@pytest.fixture(scope="module")
def made():
    return demo_submissions(DEMO, nbformat.writes(exercise_notebook(DEMO)))


def test_twenty_of_every_kind(made, tmp_path):
    assert len({each.student for each in made}) == len(made) == 20
    assert sum(each.hostile for each in made) == 3
    assert sum(each.late for each in made) == 1
    names = {exercise.name for exercise in DEMO.exercises()}
    assert all(each.passes <= names for each in made)
    for each in made:
        each.write(tmp_path, 1_900_000_000)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 20
    assert {path.stat().st_mtime > 1_900_000_000 for path in files} == {True, False}


def test_notebooks_keep_what_students_were_given(made):
    given = exercise_notebook(DEMO)
    ada = next(each for each in made if each.student == "ada")
    notebook = nbformat.reads(next(iter(ada.files.values())).decode(), as_version=4)
    assert len(notebook.cells) == len(given.cells)
    assert "yours to write" not in "".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("exercise", [exercise.name for exercise in DEMO.exercises()])
def test_answers_stand_alone(exercise):
    """A mistake or alternative comes with its helpers and without what marks it as one."""
    assert exercise in right_cells(DEMO)
    for role in ("mistake", "alternative"):
        for answer in DEMO.answers(role, exercise):
            source = answer_cell(DEMO, exercise, answer)
            tree = ast.parse(source)
            assert source.endswith(f"{exercise} = {answer}")
            assert "utils.course" not in source
            marks = {
                ast.unparse(mark) for node in ast.walk(tree) for mark in getattr(node, "decorator_list", [])
            }
            assert not any(mark.startswith(("mistake(", "alternative(")) for mark in marks)


def test_table_counts_surprises(made, tmp_path, capsys):
    result = replace(made_up_class(1)[0], student="ada", late=False)
    passed = frozenset(exercise.name for exercise in result.exercises if exercise.passed)
    ada = replace(made[0], passes=passed)
    assert print_table(Grades(tmp_path, "demo", [result]), [ada], "full") == 0
    assert print_table(Grades(tmp_path, "demo", [result]), [replace(ada, late=True)], "full") == 1
    assert (
        print_table(Grades(tmp_path, "demo", [result]), [replace(ada, late=True, hostile=True)], "none") == 0
    )
    assert print_table(Grades(tmp_path, "demo", [result]), [replace(ada, student="nobody")], "full") == 1
    assert "no result" in capsys.readouterr().out


def test_nothing_else_is_emptied(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CourseError, match="holds something that is no demo"):
        demo(tmp_path, jobs=1)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.slow
def test_they_earn_what_they_should(made, tmp_path):
    """Live, so only those whose code does no harm; every known mistake is recognised."""
    for each in made:
        each.write(tmp_path, 1_900_000_000)
    for each in made:
        file = tmp_path / next(iter(each.files))
        if each.hostile or each.zipped or each.student in ("leslie", "niels"):
            continue
        reports = check_lesson(DEMO, read_submission(file))
        assert {report.exercise for report in reports if report.passed} == each.passes, each.student
        if each.student in MISTAKEN:
            assert any(report.diagnosis for report in reports)
