"""What a class did, counted: exercises, mistakes, and who needs help."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from utils.course.grading.results import ExerciseResult, LessonResult, Result

State = Literal["passed", "partly", "failed", "not written", "unreadable", "not submitted"]

# Below this share of the points a student is listed as one who may need help, at most so many of them.
HELP_BELOW, HELP_LISTED = 0.5, 12
# How `grade` begins the note on a submission that it could not grade itself; the next run tries it again.
GRADER_FAILED = "grading failed"


@dataclass(frozen=True)
class ExerciseSummary:
    """How the class did in one exercise. `seconds` is the median of the machine time of those who were graded."""

    lesson: str
    name: str
    points: float
    states: Counter[State]
    seconds: float
    commonest: str | None

    @property
    def graded(self) -> int:
        """How many handed in something that could be read."""
        return sum(self.states[state] for state in ("passed", "partly", "failed", "not written"))

    @property
    def pass_rate(self) -> float:
        """The share of those graded whose every check passed."""
        return self.states["passed"] / self.graded if self.graded else 0.0


@dataclass(frozen=True)
class MistakeSummary:
    """A known mistake and the students whose answer it was."""

    lesson: str
    exercise: str
    name: str
    diagnosis: str
    students: tuple[str, ...]


@dataclass(frozen=True)
class ClassSummary:
    """Exercises in the order of the course, mistakes from the commonest on, students from the lowest score on."""

    exercises: tuple[ExerciseSummary, ...]
    mistakes: tuple[MistakeSummary, ...]
    need_help: tuple[Result, ...]
    submitted: tuple[Result, ...]
    not_submitted: tuple[Result, ...]
    unreadable: tuple[Result, ...]
    not_graded: tuple[Result, ...]

    @property
    def median_share(self) -> float | None:
        """The median share of the points among those who submitted; None where nobody did."""
        return median(map(share, self.submitted)) if self.submitted else None

    @property
    def full_marks(self) -> int:
        return sum(result.score >= result.points for result in self.submitted)


def summarise(results: Sequence[Result]) -> ClassSummary:
    """Count. An exercise that only some results know (a changed assignment) is counted where it occurs."""
    tried: dict[tuple[str, str], list[tuple[State, ExerciseResult]]] = defaultdict(list)
    made: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for result in results:
        for lesson in result.lessons:
            for exercise in lesson.exercises:
                tried[lesson.lesson, exercise.name].append((state_of(lesson, exercise), exercise))
                if exercise.mistake:
                    key = (lesson.lesson, exercise.name, exercise.mistake.name)
                    made[key].append((exercise.mistake.diagnosis, result.student))
    mistakes = [
        MistakeSummary(*key, diagnosis=found[0][0], students=tuple(student for _, student in found))
        for key, found in made.items()
    ]
    mistakes.sort(key=lambda m: (-len(m.students), m.lesson, m.exercise, m.name))
    exercises = [_exercise_summary(*key, attempts, mistakes) for key, attempts in tried.items()]
    not_submitted = [result for result in results if result.statuses == {"not submitted"}]
    submitted = [result for result in results if result.statuses != {"not submitted"}]
    not_graded = [result for result in results if any(map(grader_failed, result.lessons))]
    broken = [result for result in results if "unreadable" in result.statuses]
    unreadable = [result for result in broken if not any(map(grader_failed, result.lessons))]
    struggling = [r for r in submitted if share(r) < HELP_BELOW and "unreadable" not in r.statuses]
    return ClassSummary(
        exercises=tuple(exercises),
        mistakes=tuple(mistakes),
        need_help=tuple(sorted(struggling, key=share)[:HELP_LISTED]),
        submitted=tuple(submitted),
        not_submitted=tuple(not_submitted),
        unreadable=tuple(unreadable),
        not_graded=tuple(not_graded),
    )


def grader_failed(lesson: LessonResult) -> bool:
    """Whether it is the grader that could not do it: nothing that the student has done."""
    return lesson.status == "unreadable" and any(note.startswith(GRADER_FAILED) for note in lesson.notes)


def share(result: Result) -> float:
    """The score as a share of the points, 0 where there are none to earn."""
    return result.score / result.points if result.points else 0.0


def state_of(lesson: LessonResult, exercise: ExerciseResult) -> State:
    """What became of an exercise, in one word."""
    if lesson.status != "graded":
        return lesson.status
    if exercise.passed:
        return "passed"
    outcomes = [check.outcome for check in exercise.checks]
    stub = f"{exercise.name} is yours to write"
    if all(outcome == "missing" for outcome in outcomes) or any(c.message == stub for c in exercise.checks):
        return "not written"
    return "partly" if "passed" in outcomes else "failed"


def checks_passed(exercise: ExerciseResult) -> int:
    return sum(check.outcome == "passed" for check in exercise.checks)


def _exercise_summary(
    lesson: str,
    name: str,
    attempts: Sequence[tuple[State, ExerciseResult]],
    mistakes: Sequence[MistakeSummary],
) -> ExerciseSummary:
    graded = [e.seconds for state, e in attempts if state not in ("unreadable", "not submitted")]
    return ExerciseSummary(
        lesson=lesson,
        name=name,
        points=attempts[0][1].points,
        states=Counter(state for state, _ in attempts),
        seconds=median(graded) if graded else 0.0,
        commonest=next((m.name for m in mistakes if (m.lesson, m.exercise) == (lesson, name)), None),
    )
