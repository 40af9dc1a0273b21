"""`python -m utils.course report GRADES`: everything that is made from result files, for whom it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from utils.course.grading.intake.roster import read_roster
from utils.course.grading.reports.canvas import Filled, fill_gradebook
from utils.course.grading.reports.class_page import class_page
from utils.course.grading.reports.class_summary import summarise
from utils.course.grading.reports.gradebook import write_gradebook
from utils.course.grading.reports.grades import Grades, load_grades, page_name
from utils.course.grading.reports.gradescope import gradescope_files
from utils.course.grading.reports.junit import junit_xml
from utils.course.grading.reports.pages import percent
from utils.course.grading.reports.spreadsheet import class_csv
from utils.course.grading.reports.student_page import student_page
from utils.course.text import readable
from utils.storage import atomic_write

STUDENT_FOLDER, GRADESCOPE_FOLDER = "students", "gradescope"
LISTED = 20


@dataclass(frozen=True)
class Wanted:
    """The formats asked for beside grades.csv and gradebook.sqlite, which are always written.

    canvas: the gradebook exported from Canvas; the filled one is written as GRADES/canvas.csv.
    junit: the file to write.
    roster: the class list that `grade` takes; its other columns may hold the identifiers that Canvas knows.
    """

    html: bool = False
    gradescope: bool = False
    canvas: Path | None = None
    canvas_column: str | None = None
    roster: Path | None = None
    junit: Path | None = None

    @property
    def pages(self) -> bool:
        """Pages are wanted where they are asked for, and where nothing is."""
        return self.html or not (self.gradescope or self.canvas or self.junit)


def report(folder: Path, wanted: Wanted) -> int:
    """Write the reports into the folder of the grades and print where they are. Raises CourseError for bad input."""
    grades = load_grades(folder)
    print(_headline(grades))
    failed = len(summarise(grades.results).not_graded)
    if failed:
        print(
            f"{failed} could not be graded, which is the grader's fault: run `grade` again, it tries them again."
        )
    if not grades.finished:
        print("The run has not come to its end: these are the results so far.")
    for line in write_reports(grades, wanted):
        print(readable(line))
    return 0


def write_reports(grades: Grades, wanted: Wanted) -> Iterable[str]:
    """Write each report; after each, a line that says what it is and where."""
    folder = grades.folder
    if wanted.canvas:
        # First: it is the one that may be refused.
        aliases = read_roster(wanted.roster).students if wanted.roster else {}
        filled = fill_gradebook(wanted.canvas, grades, wanted.canvas_column, aliases)
        _write(folder / "canvas.csv", filled.text)
        yield f"for Canvas       {folder / 'canvas.csv'}: {filled.count} scores"
        yield from _remarks(filled)
    if wanted.pages:
        _write(folder / "class.html", class_page(grades, STUDENT_FOLDER))
        yield f"class page       {folder / 'class.html'}"
        students = tqdm(grades.results, "students' pages", leave=False, disable=None)
        pages = {page_name(result): student_page(result) for result in students}
        _write_folder(folder / STUDENT_FOLDER, pages)
        yield f"students' pages  {folder / STUDENT_FOLDER}: {len(pages)}, one to hand to each"
    if wanted.gradescope:
        _write_folder(folder / GRADESCOPE_FOLDER, gradescope_files(grades))
        yield f"for Gradescope   {folder / GRADESCOPE_FOLDER}: a results.json for each student"
    if wanted.junit:
        _write(wanted.junit, junit_xml(grades))
        yield f"JUnit XML        {wanted.junit}"
    # With a byte order mark, without which Excel takes UTF-8 for something else.
    _write(folder / "grades.csv", "\ufeff" + class_csv(grades))
    yield f"grades           {folder / 'grades.csv'}"
    write_gradebook(grades, folder / "gradebook.sqlite")
    yield f"gradebook        {folder / 'gradebook.sqlite'}"


def _headline(grades: Grades) -> str:
    summary = summarise(grades.results)
    median = "–" if summary.median_share is None else percent(summary.median_share)
    return readable(
        f"{grades.assignment}: {len(summary.submitted)} of {len(grades.results)} submitted, "
        f"{len(summary.unreadable)} could not be read, {summary.full_marks} have full marks; median {median}"
    )


def _remarks(filled: Filled) -> Iterable[str]:
    yield from (f"  {note}" for note in filled.notes)
    for what, names in (
        ("not in Canvas's gradebook", filled.unmatched),
        ("not filled in, because the identifier fits several", filled.ambiguous),
        ("in Canvas's gradebook without a result", filled.without_result),
    ):
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            # One line, whatever line breaks a name holds.
            shown = "; ".join(" ".join(name.split()) for name in names[:LISTED])
            yield f"  {what}: {shown}{more}"


def _write(path: Path, text: str) -> None:
    atomic_write(path, text.encode("utf-8"))


def _write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, and remove those of an earlier report whose student is gone."""
    for name, text in files.items():
        _write(folder / name, text)
    suffixes = {Path(name).suffix for name in files}
    for path in folder.rglob("*"):
        if path.suffix in suffixes and path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
