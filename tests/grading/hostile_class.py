"""Results in which every text that a student can choose, and some that none can, tries to be obeyed."""

from utils.course.grading.results import (
    CheckOutcome,
    ExerciseResult,
    Keys,
    LessonResult,
    Mistake,
    Override,
    Result,
)

RUN = "document.documentElement.setAttribute('data-ran','yes')"
HTML = [
    f"<script>{RUN}</script>",
    f'"><img src=x onerror="{RUN}">',
    f"' onmouseover='{RUN}' autofocus onfocus='{RUN}' x='",
    f"</style></title></textarea><svg onload={RUN}>",
    f"--><script>{RUN}</script><!--",
    f"`<script>{RUN}</script>`",
    f"*<script>{RUN}</script>*",
    f"javascript:{RUN}",
    "{{ 7777 * 7 }}{% raw %}",
    "]]></testcase>&amp;&lt;",
]
TERMINAL = [
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "\x9b2J",
    "[bold red]markup[/]",
    "nul\x00byte",
    "lone\ud800surrogate",
    "noncharacter\uffff",
    "\u202egnp.exe",
    "bell\x07\x08\r",
]
FORMULAS = [
    '=HYPERLINK("https://example.org","click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "＝1+1",
    '","=1+1',
]
HOSTILE = [*HTML, *TERMINAL, *FORMULAS]


def hostile_class() -> list[Result]:
    """One student for every hostile text, in which it stands wherever text can stand."""
    return [_student(text, number) for number, text in enumerate(HOSTILE)]


def _student(text: str, number: int) -> Result:
    checks = (
        CheckOutcome("test_one", f"purpose {text}", "failed", text),
        CheckOutcome("test_two", text, "passed"),
        CheckOutcome("test_three", f"secret {text}", "failed", f"secret {text}", hidden=True),
    )
    exercise = ExerciseResult("auroc", 2, 1, checks, Mistake(f"named {text}", text), 0.5)
    status = ("graded", "unreadable", "graded")[number % 3]
    lessons = (LessonResult("ch1_probing_basics/part3_doubt_your_probe", status, text, (text,), (exercise,)),)
    override = {"auroc": Override(1, 0, text)} if number % 2 else None
    return Result(
        student=f"{text}{number}",
        assignment="probing",
        graded_at="2026-11-27T18:00:00+00:00",
        sandbox="full",
        keys=Keys("0", "1", "2"),
        late=bool(number % 2),
        flags=(text,),
        score=1,
        points=2,
        seconds=0.5,
        overridden=override,
        lessons=lessons,
    )
