"""The manifest comes back as it was written, and says where an edit went wrong."""

import stat
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from utils.course.errors import CourseError
from utils.course.grading.assignment.manifest import (
    AssignedExercise,
    AssignedLesson,
    Limits,
    Manifest,
    manifest_path,
    parse_due,
    read_manifest,
    read_points,
    read_seed,
    seed_path,
    write_manifest,
    write_seed,
)

LESSON = AssignedLesson(
    "ch1_x/part1_y", "ab", "cd", (AssignedExercise("auroc", 2.5, ("by_hand",), ("loop",)),)
)
MANIFEST = Manifest(
    'hw 1 "quoted" é', "graded", (LESSON,), datetime(2030, 1, 31, 18, tzinfo=UTC), Limits(5.0, 30.0)
)


def test_there_and_back(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    write_manifest(tmp_path, replace(MANIFEST, due=None))
    assert read_manifest(tmp_path).due is None


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("points = 2.5", 'points = "two"', "auroc: expected points"),
        ("points = 2.5", "points = -1", "auroc: expected points"),
        ("points = 2.5", "points = true", "auroc: expected points"),
        ("points = 2.5", "points = ", "manifest.toml"),
        ("schema = 1", "schema = 7", "assign again"),
        ("call_seconds = 5.0", "call_seconds = 0", "more than 0"),
        ("call_seconds = 5.0", "cal_seconds = 5", "cal_seconds"),
        ('slug = "ch1_x/part1_y"\n', "", "'slug' is missing"),
        ("due = 2030-01-31T18:00:00+00:00", 'due = "soon"', "'soon' is no date"),
    ],
)
def test_a_wrong_edit_is_one_clear_line(tmp_path, before, after, says):
    write_manifest(tmp_path, MANIFEST)
    path = manifest_path(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(CourseError, match=says) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_assignment(tmp_path):
    with pytest.raises(CourseError, match="holds no assignment"):
        read_manifest(tmp_path)


def test_a_date_means_its_whole_day(tmp_path):
    assert parse_due("2030-01-31").strftime("%H:%M:%S") == "23:59:59"
    assert parse_due("2030-01-31T18:00+02:00") == datetime(2030, 1, 31, 16, tzinfo=UTC)
    assert parse_due("2030-01-31").tzinfo is not None
    with pytest.raises(CourseError, match="no date"):
        parse_due("31.1.2030")


def test_the_seed_is_secret_and_stays(tmp_path):
    write_seed(tmp_path)
    path = seed_path(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = read_seed(path)
    write_seed(tmp_path)
    assert read_seed(path) == first
    other = tmp_path / "other"
    write_seed(other)
    assert read_seed(seed_path(other)) != first
    path.write_text("  \n")
    with pytest.raises(CourseError, match="empty"):
        read_seed(path)
    with pytest.raises(CourseError, match="cannot be read"):
        read_seed(tmp_path / "nothing")


def test_points(tmp_path):
    names = {"ch1_x/part1_y": ["auroc", "both"], "ch1_x/part2_z": ["both"]}
    path = tmp_path / "points.toml"
    path.write_text('auroc = 3\nboth = 1.5\n["ch1_x/part2_z"]\nboth = 4\n')
    assert read_points(path, names) == {
        "ch1_x/part1_y": {"auroc": 3.0, "both": 1.5},
        "ch1_x/part2_z": {"both": 4.0},
    }
    for text, says in (
        ("arouc = 1", "'arouc' is not assigned"),
        ("auroc = 'x'", "expected points"),
        ("=", "points.toml"),
    ):
        path.write_text(text)
        with pytest.raises(CourseError, match=says):
            read_points(path, names)
