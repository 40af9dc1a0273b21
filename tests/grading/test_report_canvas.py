"""Canvas: the instructor's own file comes back with one more column filled, and nobody is guessed at."""

import csv
import io
from dataclasses import replace

import pytest

from tests.grading.made_up_class import made_up_class
from utils.course.errors import CourseError
from utils.course.grading.reports.canvas import fill_gradebook
from utils.course.grading.reports.grades import Grades

EXPORT = """\
Student,ID,SIS User ID,SIS Login ID,Section,Quiz (77),Probing (12345),Current Score,Unposted Final Score
    Points Possible,,,,,10,28.0,(read only),(read only)
"Lovelace, Ada",501,S1,ada@example.org,A,9,,90,88
"Hopper, Grace",502,S2,grace@example.org,A,8,3,80,80
"Noether, Emmy",503,,emmy,B,,,,
"Student, Test",504,,504,B,,,,
"""


@pytest.fixture(scope="module")
def some():
    return made_up_class(3, seed=1)


@pytest.fixture
def fill(some, tmp_path):
    def run(students, text=EXPORT, **options):
        gradebook = tmp_path / "export.csv"
        gradebook.write_text(text, encoding="utf-8")
        results = [
            replace(some[i % 3], student=student, score=float(10 + i), points=28.0)
            for i, student in enumerate(students)
        ]
        filled = fill_gradebook(gradebook, Grades(tmp_path, "probing", results), **options)
        return filled, list(csv.reader(io.StringIO(filled.text)))

    return run


def column(rows, name):
    at = rows[0].index(name)
    return [row[at] for row in rows[1:]]


def test_fills_the_existing_column_and_keeps_the_rest(fill):
    filled, rows = fill(["501", "S2", "EMMY"], column="Probing")
    before = list(csv.reader(io.StringIO(EXPORT)))
    at = rows[0].index("Probing (12345)")
    assert column(rows, "Probing (12345)") == ["28.0", "10", "11", "12", ""]
    assert [[*row[:at], *row[at + 1 :]] for row in rows] == [[*row[:at], *row[at + 1 :]] for row in before]
    assert filled.count == 3
    assert filled.unmatched == ()
    assert filled.without_result == ("Student, Test",)
    assert filled.notes == ()


def test_adds_a_column_before_those_that_canvas_computes(fill):
    filled, rows = fill(["ada@example.org"])
    assert rows[0][-3:] == ["probing", "Current Score", "Unposted Final Score"]
    assert column(rows, "probing") == ["28", "10", "", "", ""]
    assert column(rows, "Current Score") == ["(read only)", "90", "80", "", ""]
    assert "new" in filled.notes[0]


def test_matches_by_identifier_only(fill):
    filled, rows = fill(["Ada Lovelace", "Lovelace, Ada", "ada", "999"], column="Probing")
    assert filled.count == 0
    assert filled.unmatched == ("Ada Lovelace", "Lovelace, Ada", "ada", "999")
    assert column(rows, "Probing (12345)") == ["28.0", "", "3", "", ""]


def test_a_download_of_canvas_names_its_students(fill):
    filled, rows = fill(["lovelaceada_501", "noetheremmy_502"], column="Probing")
    # The second one's number is somebody else's.
    assert column(rows, "Probing (12345)") == ["28.0", "10", "3", "", ""]
    assert filled.unmatched == ("noetheremmy_502",)


def test_a_roster_adds_identifiers(fill):
    filled, rows = fill(
        ["ada", "grace"], column="Probing", aliases={"ada": ("501", "Ada Lovelace"), "grace": ("?",)}
    )
    assert column(rows, "Probing (12345)")[1] == "10"
    assert filled.unmatched == ("grace",)


def test_two_results_for_one_row_are_left_to_the_instructor(fill):
    filled, rows = fill(["501", "ada@example.org"], column="Probing")
    assert column(rows, "Probing (12345)") == ["28.0", "", "3", "", ""]
    assert set(filled.ambiguous) == {"501", "ada@example.org"}


def test_an_identifier_of_two_rows_is_left_to_the_instructor(fill):
    text = EXPORT.replace("S2", "501")
    filled, _ = fill(["501"], text=text, column="Probing")
    assert filled.ambiguous == ("501",)
    assert filled.count == 0


def test_other_points_are_noted(fill):
    filled, _ = fill(["501"], text=EXPORT.replace("28.0", "100"), column="Probing")
    assert "100" in filled.notes[0]
    assert "28" in filled.notes[0]


def test_semicolons_and_a_byte_order_mark(fill):
    text = "\ufeff" + EXPORT.replace('"Lovelace, Ada"', "Lovelace").replace(",", ";")
    filled, _ = fill(["501"], text=text.replace('"Hopper; Grace"', '"Hopper, Grace"'), column="Probing")
    assert filled.count == 1
    assert filled.text.startswith("Student;ID;")


def test_a_formula_as_a_name_is_neutralised(fill):
    text = EXPORT.replace('"Lovelace, Ada"', '"=HYPERLINK(""https://example.org"")"')
    _, rows = fill(["501"], text=text, column="Probing")
    assert rows[2][0] == '\'=HYPERLINK("https://example.org")'
    # Points and identifiers are as they were, also negative ones.
    _, rows = fill(["501"], text=EXPORT.replace(",9,", ",-9,").replace("S1", "-S1"), column="Probing")
    assert (rows[2][5], rows[2][2]) == ("-9", "-S1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no gradebook exported from Canvas"),
        ("name,mark\nada,3\n", "no gradebook exported from Canvas"),
        (EXPORT.replace("Quiz (77)", "Probing (78)"), "2 columns called 'Probing'"),
        (EXPORT + "x," * 20, "rows longer"),
    ],
)
def test_other_files_are_refused(fill, text, says):
    with pytest.raises(CourseError, match=says.replace("(", r"\(")):
        fill(["501"], text=text, column="Probing")
