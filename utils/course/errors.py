"""What the person at the keyboard can mend: one line, never a traceback."""

from __future__ import annotations


class CourseError(Exception):
    """A wrong name, a missing or unreadable file; the message is one line."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]
