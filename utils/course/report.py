"""What a learner reads after a check: as text in a terminal, as HTML in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from utils.course.diagnosis import Diagnosis
from utils.course.runner import CheckResult
from utils.course.text import inline_code

PRINTED_LINES, PRINTED_WIDTH = 8, 200

# Translucent colours and the surrounding text colour: legible on light and dark alike.
GOOD, BAD, NOTE = "#2e9d5b", "#d1495b", "#b8860b"


@dataclass(frozen=True)
class Report:
    """The result of one exercise's checks, with what to do next."""

    exercise: str
    results: Sequence[CheckResult]
    diagnosis: Diagnosis | None
    next_step: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.results) and all(result.outcome == "passed" for result in self.results)

    def as_dict(self) -> dict:
        """The form that `--json` prints."""
        return {
            "passed": self.passed,
            "mistake": self.diagnosis.mistake if self.diagnosis else None,
            "diagnosis": self.diagnosis.text if self.diagnosis else None,
            "checks": [
                {"name": r.name, "purpose": r.purpose, "outcome": r.outcome, "message": r.message}
                for r in self.results
            ],
        }

    def __str__(self) -> str:
        lines = [self._headline()]
        for result in self.results:
            lines.append(f"  {'✓' if result.outcome == 'passed' else '✗'} {result.purpose}")
            if result.message:
                lines += [f"      {line}" for line in result.message.splitlines()]
        if self._printed():
            lines += ["  your code printed:", *(f"      {line}" for line in self._printed())]
        if self.diagnosis:
            lines.append(f"  Diagnosis: {self.diagnosis.text}")
        if self.next_step:
            lines.append(f"  → {self.next_step}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        # A notebook stores it beside the HTML: the recorded calls would make half a megabyte of it.
        return str(self)

    def _repr_html_(self) -> str:
        colour = GOOD if self.passed else BAD
        rows = "".join(_row(result) for result in self.results)
        parts = [f'<div style="font-weight:600;margin-bottom:4px">{escape(self._headline())}</div>', rows]
        if self._printed():
            text = escape("\n".join(self._printed()))
            parts.append(
                f'<div style="margin-top:6px">Your code printed:<pre style="margin:2px 0 0 1.6em">{text}</pre></div>'
            )
        if self.diagnosis:
            parts.append(
                f'<div style="margin-top:8px;padding:6px 10px;border-left:3px solid {NOTE};background:{NOTE}1f">'
                f"<b>Diagnosis.</b> {inline_code(self.diagnosis.text)}</div>"
            )
        if self.next_step:
            parts.append(f'<div style="margin-top:8px;opacity:.85">→ {inline_code(self.next_step)}</div>')
        return (
            f'<div style="border-left:4px solid {colour};background:{colour}14;padding:10px 14px;margin:6px 0;'
            f'max-width:820px;line-height:1.45;border-radius:0 4px 4px 0">{"".join(parts)}</div>'
        )

    def _headline(self) -> str:
        good = sum(result.outcome == "passed" for result in self.results)
        if self.passed:
            return f"{self.exercise} · all {good} checks passed"
        return f"{self.exercise} · {good} of {len(self.results)} checks passed"

    def _printed(self) -> list[str]:
        # Every check prints alike, so the first that printed will do.
        text = next((result.printed for result in self.results if result.printed.strip()), "")
        lines = [
            line if len(line) <= PRINTED_WIDTH else f"{line[:PRINTED_WIDTH]} …"
            for line in text.rstrip().splitlines()
        ]
        return [*lines[:PRINTED_LINES], "…"] if len(lines) > PRINTED_LINES else lines


def _row(result: CheckResult) -> str:
    good = result.outcome == "passed"
    mark = f'<span style="color:{GOOD if good else BAD};font-weight:700">{"✓" if good else "✗"}</span>'
    message = (
        f'<div style="margin-left:1.6em;font-family:monospace;font-size:.92em;white-space:pre-wrap;opacity:.9">'
        f"{escape(result.message)}</div>"
        if result.message
        else ""
    )
    return f"<div>{mark}&ensp;{inline_code(result.purpose)}</div>{message}"
