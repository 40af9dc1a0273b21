"""What makes the notebooks a course: exercises, checks, mistakes, progress, and the notebooks themselves."""

from utils.course.compare import assert_close
from utils.course.exercises import alternative, exercise, hidden, mistake, recogniser
from utils.course.inline import open_lesson, sample_size

__all__ = [
    "alternative",
    "assert_close",
    "exercise",
    "hidden",
    "mistake",
    "open_lesson",
    "recogniser",
    "sample_size",
]
