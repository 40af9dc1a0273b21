"""The pages: what they say, what they keep to themselves, and that nothing in them runs but their own script."""

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.grading.hostile_class import HOSTILE, RUN, hostile_class
from tests.grading.made_up_class import made_up_class
from utils.course.grading.reports.class_page import class_page
from utils.course.grading.reports.class_summary import state_of, summarise
from utils.course.grading.reports.grades import Grades
from utils.course.grading.reports.gradescope import gradescope_results
from utils.course.grading.reports.pages import duration, moment, number, percent
from utils.course.grading.reports.student_page import student_page
from utils.course.grading.results import CheckOutcome, ExerciseResult, LessonResult, Mistake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STYLE = Path(class_page.__code__.co_filename).parent / "templates" / "style.css"


@pytest.fixture(scope="module")
def results():
    return made_up_class(30, seed=1)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    return class_page(Grades(tmp_path_factory.mktemp("grades"), "ch1_probing_basics", results))


def with_exercise(result, *checks, mistake=None, points=2.0):
    """The result with a single exercise of these checks."""
    passed = all(check.outcome == "passed" for check in checks)
    exercise = ExerciseResult("auroc", points, points if passed else 0.0, checks, mistake)
    lesson = LessonResult("ch1_probing_basics/part3_doubt_your_probe", "graded", "a.ipynb", (), (exercise,))
    return replace(result, lessons=(lesson,), score=exercise.earned, points=points)


PUBLIC = CheckOutcome("test_by_hand", "by hand on `four` scores", "passed")
HIDDEN = CheckOutcome("test_loop", "agrees with the loop", "failed", "expected 0.5, received 1", hidden=True)


def test_class_page_names_everyone_and_everything(page, results):
    for result in results:
        assert result.student in page
    summary = summarise(results)
    for exercise in summary.exercises:
        assert f">{exercise.name}<" in page
    for mistake in summary.mistakes:
        assert mistake.name in page


def test_heat_map_has_a_marked_cell_for_every_exercise_of_every_student(page, results):
    heat = page[page.index('id="heat"') : page.index("</table>", page.index('id="heat"'))]
    cells = re.findall(r'<td class="cell ([\w -]+)" title="([^"]*)" data-order="[^"]*">([^<]*)</td>', heat)
    assert len(cells) == sum(len(result.exercises) for result in results)
    assert all(title for _, title, _ in cells)
    # Colour is not the only mark: cells of different classes show different text.
    marks = {}
    for style, _, mark in cells:
        marks.setdefault(style.split()[0], set()).add(mark)
    assert marks["passed"] == {"✓"}
    assert marks["failed"] == {"✗"}
    assert all(re.fullmatch(r"\d+/\d+", mark) for mark in marks["nearly"] | marks["partly"])


def test_table_semantics(page):
    assert page.count("<th scope=") > 50
    assert "<caption" in page
    assert 'lang="en"' in page
    assert re.search(r'<svg class="histogram"[^>]*role="img" aria-label="', page)


def test_counts_add_up(results):
    summary = summarise(results)
    for exercise in summary.exercises:
        assert sum(exercise.states.values()) == len(results)
    assert len(summary.submitted) + len(summary.not_submitted) == len(results)
    assert sum(len(m.students) for m in summary.mistakes) == sum(
        exercise.mistake is not None for result in results for exercise in result.exercises
    )
    sizes = [len(mistake.students) for mistake in summary.mistakes]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("outcomes", "message", "state"),
    [
        (("passed", "passed"), "", "passed"),
        (("passed", "failed"), "", "partly"),
        (("failed", "error"), "", "failed"),
        (("missing", "missing"), "", "not written"),
        (("passed", "error"), "auroc is yours to write", "not written"),
        (("error", "not run"), "", "failed"),
        ((), "", "not written"),
    ],
)
def test_state(results, outcomes, message, state):
    checks = [CheckOutcome(f"test_{i}", "p", outcome, message) for i, outcome in enumerate(outcomes)]
    lesson = with_exercise(results[0], *checks).lessons[0]
    assert state_of(lesson, lesson.exercises[0]) == state


def test_student_page_gives_the_diagnosis_and_the_failing_messages(results):
    failed = CheckOutcome("test_ties", "ties count one half", "failed", "expected 0.5, received 1")
    mistake = Mistake("ties_win", "A *tie* counts one half: see `scores`.")
    page = student_page(with_exercise(results[0], PUBLIC, failed, mistake=mistake))
    assert "A <em>tie</em> counts one half: see <code>scores</code>." in page
    assert "expected 0.5, received 1" in page
    assert "by hand on <code>four</code> scores" in page
    assert "0 of 2 points" in page


def test_hidden_check_is_only_a_further_check(results):
    page = student_page(with_exercise(results[0], PUBLIC, HIDDEN))
    assert "a further check, run only at grading, did not pass" in page
    assert "agrees with the loop" not in page
    assert "received 1" not in page
    assert "test_loop" not in page
    # Never "all passed" while a hidden check fails.
    assert "1 of 2 checks passed" in page
    assert "all 2 checks" not in page


def test_student_page_says_late_and_what_was_left_out(results):
    result = with_exercise(results[0], PUBLIC)
    lesson = replace(result.lessons[0], notes=("code cell 3: left out `%timeit`",))
    page = student_page(replace(result, lessons=(lesson,), late=True, flags=("flag for the instructor",)))
    assert "handed in late" in page
    assert "code cell 3: left out" in page
    assert "flag for the instructor" not in page


def test_unreadable_and_absent_lessons_say_so(results):
    lesson = LessonResult("ch1_x/part1_y", "unreadable", "a.ipynb", ("it is not JSON",), ())
    absent = replace(lesson, status="not submitted", file=None, notes=())
    page = student_page(replace(results[0], lessons=(lesson, absent)))
    assert "could not be read" in page
    assert "it is not JSON" in page
    assert "Nothing was handed in" in page


def test_lesser_sandbox_is_stamped(results):
    lesser = [replace(results[0], sandbox="uid"), *results[1:]]
    page = class_page(Grades(Path(), "ch1", lesser))
    assert "Not every result comes from the full sandbox" in page
    assert "sandbox: full, uid" in page


def test_nobody_and_one_student(results):
    alone = class_page(Grades(Path(), "ch1", results[:1]))
    assert results[0].student in alone
    absent = replace(
        results[0], lessons=(LessonResult("ch1_x/part1_y", "not submitted", None, (), ()),), score=0.0
    )
    assert "not submitted" in class_page(Grades(Path(), "ch1", [absent]))


def test_policy_names_the_hashes_of_what_is_inside(page):
    (found,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = found.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    # Inline styles and handlers would be refused by it.
    assert not re.search(
        r"<[^>]*\s(style|on\w+)=", re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    )


def test_pages_load_nothing(page, results):
    for text in (page, student_page(results[0])):
        assert not re.search(r"\b(src|href|action)=[\"']?(https?:)?//", text)
        assert "@import" not in text
        assert "url(" not in text


def test_hostile_text_is_escaped():
    results = hostile_class()
    for text in (class_page(Grades(Path(), "probing", results)), *map(student_page, results)):
        assert text.isprintable() or all(c.isprintable() or c in "\n\t" for c in text)
        text.encode("utf-8")
        body = text[text.index("<body") :].rpartition("<script>")[0] or text[text.index("<body") :]
        tags = set(re.findall(r"<(\w+)", body))
        assert not tags & {"script", "img", "iframe", "object", "style", "textarea", "base", "form"}
        assert not re.search(r"<[^>]*\son\w+=", re.sub(r'"[^"]*"', '""', body))
        assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', body))
        assert "54439" not in text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
def test_nothing_hostile_runs_in_a_browser(tmp_path):
    """The attack works on a naive page; neither on ours, nor past our policy where nothing is escaped."""
    results = hostile_class()
    page = class_page(Grades(tmp_path, "probing", results))
    raw = "".join(f"<p title='{text}'>{text}</p>" for text in HOSTILE)
    students = "".join(student_page(result) for result in results[:4])
    assert ran(tmp_path / "naive.html", f"<!DOCTYPE html><title>x</title>{raw}")
    assert not ran(tmp_path / "class.html", page)
    assert not ran(tmp_path / "students.html", students)
    assert not ran(tmp_path / "policy.html", page.replace("</body>", f"{raw}</body>"))


def ran(path: Path, page: str) -> bool:
    """Whether a script of ours that marks the page ran when Chromium opened it."""
    path.write_bytes(page.encode("utf-8", "replace"))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    done = subprocess.run(
        [*command, f"--user-data-dir={path}.profile", "--dump-dom", path.as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    dom = done.stdout.decode("utf-8", "replace")
    assert "</html>" in dom
    assert RUN in dom.replace("&#39;", "'")
    return "data-ran=" in dom.partition(">")[0] + dom.partition("<html")[2].partition(">")[0]


def test_colours_have_contrast():
    """Text on its ground: at least 4.5 to 1 in light and in dark (WCAG 2, AA)."""
    text = STYLE.read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in re.findall(r":root \{(.*?)\}", text, re.S)
    )
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        pairs = [(name, name.removesuffix("-ink")) for name in colours if name.endswith("-ink")]
        pairs += [(ink, ground) for ink in ("ink", "muted", "link", "known") for ground in ("page", "panel")]
        for ink, ground in pairs:
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(7.0), "7"),
        (number(6.666), "6.67"),
        (percent(0.999), "99 %"),
        (percent(1), "100 %"),
        (duration(3.21), "3.2 s"),
        (duration(75), "75 s"),
        (duration(600), "10 min"),
        (duration(9000), "2.5 h"),
        (moment("2026-11-07T08:05:00+00:00"), "7 November 2026, 08:05 UTC"),
        (moment("yesterday"), "yesterday"),
    ],
)
def test_units(shown, expected):
    assert shown == expected


def test_what_the_grader_could_not_do_is_not_blamed_on_the_student(results):
    note = "grading failed: SandboxFailed: a worker ended, or hung, before it was shut in"
    lessons = tuple(replace(lesson, status="unreadable", notes=(note,)) for lesson in results[0].lessons)
    failed = replace(results[0], lessons=lessons, score=0.0)
    page = student_page(failed)
    assert "not about your work" in page
    assert "could not be read" not in page
    assert "SandboxFailed" not in page
    summary = summarise([failed, *results[1:]])
    assert failed in summary.not_graded
    assert failed not in summary.unreadable
    assert "1 could not be graded, which is the grader’s fault" in class_page(
        Grades(Path(), "ch1", [failed, *results[1:]])
    )
    document = gradescope_results(failed)
    assert "could not be graded" in document["tests"][0]["name"]
    assert "SandboxFailed" not in str(document)
