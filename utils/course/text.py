"""Text that someone else wrote, made safe to show: in a terminal, in HTML."""

import re
from html import escape

EMPHASIS = re.compile(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])")


def readable(text: str) -> str:
    """The text with what a terminal would obey, or could not print, escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def inline_code(text: str) -> str:
    """Escaped HTML in which `backticks` become code and *asterisks* emphasis."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(
        f"<code>{part}</code>" if i % 2 else EMPHASIS.sub(r"<em>\1</em>", part)
        for i, part in enumerate(parts)
    )
