"""One student's result as Gradescope's `results.json`.

Format: https://gradescope-autograders.readthedocs.io/en/latest/specs/. Everything is sent as plain text. An exercise
is a visible test that carries the points; its checks follow as tests without points. A hidden check is a test with the
visibility "hidden": students never see it, and, other than "after_published", it does not hide their score. Whether it
passed shows in the exercise all the same, so that no exercise looks right while it earns nothing.
"""

from __future__ import annotations

import json
from typing import Any

from utils.course.grading.reports.class_summary import grader_failed
from utils.course.grading.reports.grades import Grades, page_name
from utils.course.grading.reports.pages import lesson_title, number
from utils.course.grading.reports.student_page import by_hand, further_checks, headline
from utils.course.grading.results import CheckOutcome, ExerciseResult, LessonResult, Result
from utils.course.text import readable

SORRY = (
    "This is not about your work. Your instructor can see what went wrong, and can run the autograder again."
)


def gradescope_files(grades: Grades) -> dict[str, str]:
    """The text of every student's results.json, by a path below the folder for them."""
    return {
        f"{page_name(result).removesuffix('.html')}/results.json": gradescope_text(result)
        for result in grades.results
    }


def gradescope_text(result: Result) -> str:
    return json.dumps(gradescope_results(result), indent=1)


def gradescope_results(result: Result) -> dict[str, Any]:
    """The document. Its score is the result's, which points given by hand may have changed."""
    tests = []
    for at, lesson in enumerate(result.lessons, start=1):
        tests += _lesson_tests(str(at), lesson)
    return {
        "score": result.score,
        "execution_time": round(result.seconds, 1),
        "output": readable("\n".join(_output(result))),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {
            "sandbox": result.sandbox,
            "graded_at": result.graded_at,
            "late": result.late,
            "flags": [readable(flag) for flag in result.flags],
        },
        "tests": tests,
    }


def failed_run(message: str) -> dict[str, Any]:
    """What is shown where the grader itself could not grade: no points, and no blame."""
    return {
        "score": 0,
        "output": readable(message),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [
            {
                "name": "The grader could not grade this submission",
                "output": readable(message),
                "score": 0,
                "status": "failed",
                "visibility": "visible",
            }
        ],
    }


def _output(result: Result) -> list[str]:
    passed = sum(exercise.passed for exercise in result.exercises)
    lines = [
        f"{number(result.score)} of {number(result.points)} points; "
        f"{passed} of {len(result.exercises)} exercises passed{', handed in late' if result.late else ''}.",
        "An exercise earns its points when all of its checks pass, those that are run only at grading included.",
    ]
    lines += by_hand(result)
    for lesson in result.lessons:
        if lesson.notes and not grader_failed(lesson):
            lines.append(f"{lesson_title(lesson.lesson)}: {len(lesson.notes)} notes on your file")
            lines += [f"  {note}" for note in lesson.notes]
    return lines


def _lesson_tests(place: str, lesson: LessonResult) -> list[dict[str, Any]]:
    tests = []
    for at, exercise in enumerate(lesson.exercises, start=1):
        tests += _exercise_tests(f"{place}.{at}", lesson, exercise)
    if grader_failed(lesson):
        tests.insert(0, _test(place, f"{lesson_title(lesson.lesson)} could not be graded", False, SORRY))
    elif lesson.status != "graded":
        says = "could not be read" if lesson.status == "unreadable" else "was not handed in"
        text = [f"{lesson.file or lesson_title(lesson.lesson)} {says}.", *lesson.notes]
        tests.insert(0, _test(place, f"{lesson_title(lesson.lesson)} {says}", False, "\n".join(text)))
    return tests


def _exercise_tests(place: str, lesson: LessonResult, exercise: ExerciseResult) -> list[dict[str, Any]]:
    lines = [headline(exercise), *(line.text for line in further_checks(exercise))]
    if exercise.mistake:
        lines += ["", f"Diagnosis: {exercise.mistake.diagnosis}"]
    whole = _test(place, exercise.name, exercise.passed, "\n".join(lines))
    whole |= {"score": exercise.earned, "max_score": exercise.points, "tags": [lesson.lesson]}
    if lesson.status != "graded":
        return [whole]
    return [
        whole,
        *(_check_test(f"{place}.{at}", exercise, check) for at, check in enumerate(exercise.checks, start=1)),
    ]


def _check_test(place: str, exercise: ExerciseResult, check: CheckOutcome) -> dict[str, Any]:
    test = _test(place, f"{exercise.name}: {check.purpose}", check.outcome == "passed", check.message)
    return test | {"visibility": "hidden" if check.hidden else "visible"}


def _test(place: str, name: str, passed: bool, output: str) -> dict[str, Any]:
    return {
        "number": place,
        "name": readable(name),
        "status": "passed" if passed else "failed",
        "output": readable(output),
        "visibility": "visible",
    }
