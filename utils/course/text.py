"""Text from elsewhere, made safe to show."""

from __future__ import annotations


def readable(text: str) -> str:
    """The text with what a terminal would obey, or could not print, escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
