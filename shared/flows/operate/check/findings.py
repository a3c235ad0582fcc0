"""One line of a check's result."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`error` stops some record or all of them; `warning` costs something, or could not be found out."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do. `area` groups lines: settings, sign-in, table, webhook."""

    level: Level
    area: str
    subject: str
    message: str = ""
    action: str = ""


def ok(area: str, subject: str, message: str = "") -> Finding:
    """A line that needs nothing."""
    return Finding(Level.OK, area, subject, message)


def warning(area: str, subject: str, message: str, action: str = "") -> Finding:
    """A line to look at."""
    return Finding(Level.WARNING, area, subject, message, action)


def error(area: str, subject: str, message: str, action: str = "") -> Finding:
    """A line to act on."""
    return Finding(Level.ERROR, area, subject, message, action)
