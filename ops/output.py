"""How the command line prints: tables that never cut a word, counts in the right number, one form of time."""

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.text import Text

_GAP: Final = "  "
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def stamp(moment: datetime) -> str:
    """An instant as every page and command writes it: `2026-01-31T12:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def restamp(value: object) -> str:
    """An instant as a message carries it, in the form of `stamp`; any other value as text."""
    text = str(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return stamp(moment) if moment.tzinfo is not None else text


def age(seconds: float) -> str:
    """A span of time in its largest unit, rounded down: `5 s`, `3 min`, `2 h`, `4 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size):,} {unit}"
    return f"{max(int(seconds), 0)} s"


def plain(text: str) -> str:
    r"""Text from elsewhere in one line: what would steer a terminal or turn its direction is shown, such as `\x1b`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def table(console: Console, head: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows under their heads. No value is ever cut or wrapped within a word that a search could look for.

    On a terminal that is too narrow each row becomes a block of `head: value` lines. Into a pipe or a file the lines
    are as long as they need to be.
    """
    cells = [[value if isinstance(value, Text) else Text(plain(value)) for value in row] for row in rows]
    widths = [max([len(title), *(row[place].cell_len for row in cells)]) for place, title in enumerate(head)]
    needed = sum(widths) + len(_GAP) * (len(head) - 1)
    if console.is_terminal and needed > console.width:
        _blocks(console, head, cells)
        return
    for row in ([Text(title, style="bold") for title in head], *cells):
        console.print(_joined(row, widths), no_wrap=True, overflow="ignore", crop=False)


def _joined(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        line.append_text(cell)
        if place < len(cells) - 1:
            line.append(" " * (width - cell.cell_len) + _GAP)
    line.rstrip()
    return line


def _blocks(console: Console, head: Sequence[str], cells: Sequence[Sequence[Text]]) -> None:
    for number, row in enumerate(cells):
        if number:
            console.print()
        console.print(row[0], soft_wrap=True)
        for title, cell in zip(head[1:], row[1:], strict=True):
            if cell.plain:
                console.print(Text(f"  {title}: ", style="dim").append_text(cell), soft_wrap=True)


def terminal_of_any_encoding() -> None:
    r"""Have what the terminal's encoding lacks written as an escape (`\u2603`), not end the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def speaks_unicode() -> bool:
    """Whether standard output takes every character: JSON is escaped where it does not."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return encoding.startswith(("utf8", "utf16", "utf32"))


def no_reader() -> None:
    """Whoever read our output has left, as `| head` does: nothing to say, and nobody to say it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
