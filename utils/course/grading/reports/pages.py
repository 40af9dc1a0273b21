"""Static pages from templates: self-contained, and inert whatever a student is called or prints.

Two independent guards: everything a template prints is escaped, and the page's own policy lets a browser run and load
nothing but the style and script that are part of it, known by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from utils.course.text import inline_code, readable

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, script: str | None = None, **values: object) -> str:
    """The page that `template` makes of `values`, with the style sheet and the named script inside it."""
    style_text = _asset("style.css")
    script_text = _asset(script) if script else None
    policy = ["default-src 'none'", f"style-src '{_hash(style_text)}'"]
    if script_text is not None:
        policy.append(f"script-src '{_hash(script_text)}'")
    policy += ["base-uri 'none'", "form-action 'none'"]
    # The three are files of ours, and quotes in them must stay quotes.
    return _environment().get_template(template).render(
        policy=Markup("; ".join(policy)),
        style=Markup(style_text),
        script=Markup(script_text) if script_text is not None else None,
        **values,
    )  # fmt: skip


def number(value: float) -> str:
    """Points without needless digits: 7, 7.5, 6.67."""
    return f"{round(value, 2):g}"


def percent(fraction: float) -> str:
    """A whole percentage; only everything is 100 %."""
    return f"{100 if fraction >= 1 else min(99, round(100 * fraction))} %"


def duration(seconds: float) -> str:
    """Machine time in the unit that reads best."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def moment(stamp: str) -> str:
    """An ISO time as people write it; anything else as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()


def lesson_title(slug: str) -> str:
    """ "ch1_probing_basics/part2_fit_probes" as "Part 2 · fit probes"."""
    part, _, name = slug.rpartition("/")[2].partition("_")
    words = re.sub(r"^part(\d+)$", r"Part \1", part)
    return f"{words} · {name.replace('_', ' ')}" if name else words


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters.update(
        number=number,
        percent=percent,
        duration=duration,
        moment=moment,
        lesson_title=lesson_title,
        code=lambda text: Markup(inline_code(readable(text))),
    )
    return environment


def _visible(value: Any) -> Any:
    """Control characters, lone surrogates and marks that turn the direction of text become escapes that can be seen."""
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
