"""A made-up class of any size with the real exercises, checks and mistakes: what reports are tried on."""

import inspect
import random

from utils.course.grading.results import CheckOutcome, ExerciseResult, Keys, LessonResult, Mistake, Result
from utils.course.lessons import find_lessons

FIRST = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Dorothy",
    "Edsger",
    "Emmy",
    "Evelyn",
    "Frances",
    "Grace",
    "Hedy",
    "Ida",
    "Joan",
    "Karen",
    "Kurt",
    "Leslie",
    "Mary",
]
LAST = [
    "Abara",
    "Bianchi",
    "Chen",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalski",
    "Łukasik",
    "Mbeki",
    "Novák",
    "Okafor",
]
OUTCOME_MESSAGES = ("expected [3, 7], received [-3, -7]", "expected shape (5,), received (5, 1)")


def made_up_class(size: int, chapter: str = "ch1_probing_basics", seed: int = 0) -> list[Result]:
    """`size` students of unequal ability on exercises of unequal difficulty."""
    draw = random.Random(seed)
    lessons = find_lessons(chapter)
    plan = [
        (lesson, exercise, draw.uniform(-1.2, 1.4)) for lesson in lessons for exercise in lesson.exercises()
    ]
    students = []
    for number in range(size):
        name = f"{FIRST[number * 7 % len(FIRST)]} {LAST[number * 4 % len(LAST)]}"
        if number >= len(FIRST) * len(LAST):
            name += f" {number}"
        students.append(_student(name, draw, lessons, plan))
    return students


def _student(name, draw, lessons, plan) -> Result:
    ability, fate = draw.gauss(0.9, 1.1), draw.random()
    stops_after = len(plan) if draw.random() < 0.8 else draw.randrange(len(plan))
    results = []
    for lesson in lessons:
        status = "graded"
        if fate < 0.04 or (fate < 0.1 and lesson is lessons[-1]):
            status = "not submitted"
        elif 0.1 < fate < 0.125:
            status = "unreadable"
        exercises = tuple(
            _exercise(lesson, exercise, draw, ability - difficulty, status, at >= stops_after)
            for at, (owner, exercise, difficulty) in enumerate(plan)
            if owner is lesson
        )
        notes = ("code cell 3: left out `%matplotlib inline`",) if draw.random() < 0.3 else ()
        if status == "unreadable":
            notes = (f"{lesson.part}.ipynb is not a notebook: it is not JSON",)
        file = None if status == "not submitted" else f"{name}/{lesson.part}.ipynb"
        results.append(LessonResult(lesson.slug, status, file, notes, exercises))
    exercises = [exercise for lesson in results for exercise in lesson.exercises]
    return Result(
        student=name,
        assignment=lessons[0].chapter,
        graded_at="2026-11-27T18:00:00+00:00",
        sandbox="full",
        keys=Keys("0" * 64, "1" * 64, "2" * 64),
        late=draw.random() < 0.08,
        flags=("the notebook says it is by somebody else",) if draw.random() < 0.02 else (),
        score=sum(exercise.earned for exercise in exercises),
        points=sum(exercise.points for exercise in exercises),
        seconds=sum(exercise.seconds for exercise in exercises),
        overridden=None,
        lessons=tuple(results),
    )


def _exercise(lesson, exercise, draw, margin, status, unwritten) -> ExerciseResult:
    def result(outcomes, messages, mistake=None):
        checks = tuple(
            CheckOutcome(f"test_{check.name}", check.purpose, outcome, message, check.hidden)
            for check, outcome, message in zip(exercise.checks, outcomes, messages, strict=True)
        )
        earned = exercise.points if all(outcome == "passed" for outcome in outcomes) else 0
        seconds = 0.0 if status != "graded" else draw.uniform(0.1, 2.5)
        return ExerciseResult(exercise.name, exercise.points, earned, checks, mistake, seconds)

    n = len(exercise.checks)
    if status != "graded":
        return result(["not run"] * n, [""] * n)
    if unwritten:
        return result(["error"] * n, [f"{exercise.name} is yours to write"] * n)
    if draw.gauss(margin, 0.7) > -0.4:
        return result(["passed"] * n, [""] * n)
    good = draw.choice([0, *range(n)])
    failing = set(draw.sample(range(n), n - good))
    messages = [draw.choice(OUTCOME_MESSAGES) if i in failing else "" for i in range(n)]
    mistake = None
    if draw.random() < 0.65:
        known = list(lesson.answers("mistake", exercise.name).items())
        name, answer = known[min(int(draw.expovariate(0.7)), len(known) - 1)]
        mistake = Mistake(name, " ".join((inspect.getdoc(answer) or "").split()))
    return result(["failed" if i in failing else "passed" for i in range(n)], messages, mistake)
