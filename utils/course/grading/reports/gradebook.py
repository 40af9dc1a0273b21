"""The results as a SQLite database to ask questions of: rebuilt from the result files at will, never the truth."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from utils.course.grading.reports.class_summary import state_of
from utils.course.grading.reports.grades import Grades
from utils.course.grading.results import ExerciseResult, Result, safe_name
from utils.course.text import readable
from utils.storage import atomic_path

TABLES = """
CREATE TABLE students (
    student TEXT PRIMARY KEY, name TEXT, assignment TEXT, score REAL, points REAL, late INTEGER, sandbox TEXT,
    graded_at TEXT, seconds REAL, flags TEXT, submission_sha256 TEXT, checks_sha256 TEXT, seed_sha256 TEXT
);
CREATE TABLE lessons (
    student TEXT REFERENCES students, lesson TEXT, status TEXT, file TEXT, notes TEXT,
    PRIMARY KEY (student, lesson)
);
CREATE TABLE exercises (
    student TEXT REFERENCES students, lesson TEXT, exercise TEXT, points REAL, earned REAL, state TEXT, seconds REAL,
    by_hand TEXT, PRIMARY KEY (student, lesson, exercise)
);
CREATE TABLE checks (
    student TEXT REFERENCES students, lesson TEXT, exercise TEXT, "check" TEXT, purpose TEXT, outcome TEXT,
    message TEXT, hidden INTEGER, PRIMARY KEY (student, lesson, exercise, "check")
);
CREATE TABLE mistakes (
    student TEXT REFERENCES students, lesson TEXT, exercise TEXT, mistake TEXT, diagnosis TEXT,
    PRIMARY KEY (student, lesson, exercise)
);
CREATE VIEW pass_rates AS
    SELECT lesson, exercise, SUM(state = 'passed') AS passed, COUNT(*) AS graded,
        ROUND(1.0 * SUM(state = 'passed') / COUNT(*), 3) AS rate
    FROM exercises WHERE state NOT IN ('unreadable', 'not submitted') GROUP BY lesson, exercise ORDER BY rate;
CREATE VIEW common_mistakes AS
    SELECT lesson, exercise, mistake, COUNT(*) AS students, diagnosis
    FROM mistakes GROUP BY lesson, exercise, mistake ORDER BY students DESC, lesson, exercise, mistake;
"""


def write_gradebook(grades: Grades, path: Path) -> None:
    """Write the whole database or nothing. Tables: students, lessons, exercises, checks, mistakes, and two views.

    `student` is the stem of the result's file, different for every id; `name` the id as it may be printed.
    """
    with atomic_path(path) as temporary, closing(sqlite3.connect(temporary)) as database:
        database.executescript(TABLES)
        with database:
            for result in grades.results:
                _insert(database, result)


def _insert(database: sqlite3.Connection, result: Result) -> None:
    student = safe_name(result.student)
    _row(database, "students", student, result.student, result.assignment, result.score, result.points, result.late,
         result.sandbox, result.graded_at, result.seconds, "\n".join(result.flags), result.keys.submission,
         result.keys.checks, result.keys.seed)  # fmt: skip
    for lesson in result.lessons:
        notes = "\n".join(lesson.notes)
        _row(database, "lessons", student, lesson.lesson, lesson.status, lesson.file, notes)
        for exercise in lesson.exercises:
            _row(database, "exercises", student, lesson.lesson, exercise.name, exercise.points,
                 exercise.earned, state_of(lesson, exercise), exercise.seconds, _reason(result, exercise))  # fmt: skip
            for check in exercise.checks:
                _row(database, "checks", student, lesson.lesson, exercise.name, check.id, check.purpose,
                     check.outcome, check.message, check.hidden)  # fmt: skip
            if exercise.mistake:
                _row(database, "mistakes", student, lesson.lesson, exercise.name, exercise.mistake.name,
                     exercise.mistake.diagnosis)  # fmt: skip


def _reason(result: Result, exercise: ExerciseResult) -> str | None:
    override = (result.overridden or {}).get(exercise.name)
    return override.reason if override else None


def _row(database: sqlite3.Connection, table: str, *values: object) -> None:
    """Text goes in as it may come out on a terminal; SQLite could not store a lone surrogate anyway."""
    cells = [readable(value) if isinstance(value, str) else value for value in values]
    database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(cells))})", cells)
