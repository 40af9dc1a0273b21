"""`python -m utils.course report`: what it writes, what it says, and one clear line for bad input."""

import json
import os
from dataclasses import replace

import pytest

from tests.grading.hostile_class import hostile_class
from tests.grading.made_up_class import made_up_class
from utils.course.__main__ import main
from utils.course.grading.results import result_path, safe_name, write_result


@pytest.fixture(scope="module")
def results():
    return made_up_class(8, seed=2)


@pytest.fixture
def folder(results, tmp_path):
    for result in results:
        write_result(tmp_path / "grades", result)
    return tmp_path / "grades"


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_default_is_pages_csv_and_gradebook(folder, results, capsys):
    before = written(folder)
    assert main(["report", str(folder)]) == 0
    pages = {f"students/{safe_name(result.student)}.html" for result in results}
    assert written(folder) - before == {"class.html", "grades.csv", "gradebook.sqlite", *pages}
    printed = capsys.readouterr().out
    assert "class.html" in printed
    assert "8 submitted" in printed or "of 8 submitted" in printed


def test_links_of_the_class_page_lead_somewhere(folder):
    assert main(["report", str(folder)]) == 0
    page = (folder / "class.html").read_text(encoding="utf-8")
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    assert links
    assert all((folder / link).is_file() for link in links)


def test_every_format(folder, results, tmp_path, capsys):
    export = tmp_path / "export.csv"
    export.write_text(f"Student,ID,Section\nSomebody,{results[0].student},A\nNobody,x,A\n", encoding="utf-8")
    junit = tmp_path / "out" / "junit.xml"
    command = [
        "report",
        str(folder),
        "--html",
        "--gradescope",
        "--canvas",
        str(export),
        "--junit",
        str(junit),
    ]
    assert main(command) == 0
    assert junit.is_file()
    for result in results:
        document = json.loads(
            (folder / "gradescope" / safe_name(result.student) / "results.json").read_text()
        )
        assert document["score"] == result.score
    assert "canvas.csv: 1 scores" in capsys.readouterr().out


def test_one_format_alone_makes_no_pages(folder):
    assert main(["report", str(folder), "--gradescope"]) == 0
    assert not (folder / "class.html").exists()


def test_pages_of_those_who_are_gone_go(folder, results):
    assert main(["report", str(folder)]) == 0
    result_path(folder, results[0].student).unlink()
    assert main(["report", str(folder)]) == 0
    assert not (folder / "students" / f"{safe_name(results[0].student)}.html").exists()


def test_a_second_report_is_the_same(folder):
    def texts():
        return {
            name: (folder / name).read_bytes() for name in written(folder) if not name.endswith(".sqlite")
        }

    assert main(["report", str(folder), "--html", "--gradescope"]) == 0
    first = texts()
    assert main(["report", str(folder), "--html", "--gradescope"]) == 0
    assert texts() == first


def test_a_roster_with_identifiers(folder, results, tmp_path, capsys):
    export, roster = tmp_path / "export.csv", tmp_path / "roster.csv"
    export.write_text("Student,ID,Section\nSomebody,501,A\n", encoding="utf-8")
    roster.write_text(f"student,canvas\n{results[0].student},501\n", encoding="utf-8")
    assert main(["report", str(folder), "--canvas", str(export), "--roster", str(roster)]) == 0
    assert "canvas.csv: 1 scores" in capsys.readouterr().out


def test_hostile_names_print_as_text_and_make_tame_files(tmp_path, capsys):
    for result in hostile_class():
        write_result(tmp_path, result)
    export = tmp_path / "export.csv"
    export.write_text("Student,ID,Section\nSomebody,501,A\n", encoding="utf-8")
    outside = set(os.listdir(tmp_path.parent))
    assert main(["report", str(tmp_path), "--html", "--gradescope", "--canvas", str(export)]) == 0
    printed = capsys.readouterr().out
    assert all(c.isprintable() or c in "\n\t" for c in printed)
    assert set(os.listdir(tmp_path.parent)) == outside
    assert len(list((tmp_path / "students").iterdir())) == len(hostile_class())


def test_a_run_that_was_stopped_is_no_secret(folder, capsys):
    (folder / "grades.json").write_text('{"finished": null}')
    assert main(["report", str(folder)]) == 0
    assert "has not come to its end" in capsys.readouterr().out
    assert "Not everyone is graded yet" in (folder / "class.html").read_text(encoding="utf-8")


def test_no_results(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}', "\x00", "[" * 100_000])
def test_a_damaged_result_is_one_line(folder, results, capsys, text):
    result_path(folder, results[0].student).write_text(text)
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "delete it and grade again" in error


def test_results_of_two_assignments_do_not_mix(folder, results, capsys):
    write_result(folder, replace(results[0], student="another", assignment="ch2"))
    assert main(["report", str(folder)]) == 2
    assert "several assignments" in capsys.readouterr().err


def test_two_results_of_one_student(folder, results, capsys):
    path = result_path(folder, results[0].student)
    path.with_name("copy.json").write_bytes(path.read_bytes())
    assert main(["report", str(folder)]) == 2
    assert "two results" in capsys.readouterr().err
