"""What a command prints: tables whose words are never cut, counts in the right number, any terminal's encoding."""

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ops.output import age, plain, stamp, table

# The last lines of a command of ours, with a record that only Unicode can write.
_PROGRAM = """
import sys
import typer
from ops.session import Session

async def main(session):
    if session.as_json:
        session.print_json({"name": chr(0x2603)})
    else:
        session.out.print(chr(0x2603))
    session.note(chr(0x2603))
    return 0

for as_json in (False, True):
    try:
        Session(as_json=as_json).run(main)
    except typer.Exit as ended:
        if ended.exit_code:
            sys.exit(ended.exit_code)
"""
HEAD = ("record", "field", "CMMS", "Dynamics", "next sync")
WORDS = ("asset A-0001", "numero_de_serie", "x" * 150, "gone_from_dynamics", "written to Dynamics")


def printed(width: int, *rows: tuple[str, ...], terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False)
    table(console, HEAD, rows)
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 120, 400])
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_no_word_of_a_table_is_cut_at_any_width(width: int, terminal: bool) -> None:
    shown = printed(width, WORDS, WORDS, terminal=terminal)
    assert all(shown.count(word) == 2 for word in WORDS)


def test_a_pipe_gets_one_line_for_each_row() -> None:
    assert len(printed(20, WORDS, WORDS, terminal=False).splitlines()) == 3


def test_a_table_that_is_too_wide_for_the_terminal_becomes_blocks() -> None:
    shown = printed(60, WORDS, terminal=True)
    assert "  field: numero_de_serie\n" in shown
    assert shown.startswith("asset A-0001\n")


@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.text(), st.text()), min_size=1, max_size=4))
def test_whatever_the_values_are_a_row_is_one_line_without_control_characters(rows: list[tuple[str, ...]]) -> None:
    shown = printed(80, *rows, terminal=False)
    assert len(shown.split("\n")) == len(rows) + 2
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in shown.replace("\n", ""))


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86_400 * 9, "9 d")],
)
def test_an_age_is_in_its_largest_unit(seconds: float, says: str) -> None:
    assert age(seconds) == says


def test_an_instant_has_one_form() -> None:
    assert stamp(datetime(2026, 1, 31, 12, tzinfo=UTC)) == "2026-01-31T12:00:00Z"


def test_what_would_steer_a_terminal_is_shown_instead() -> None:
    assert plain("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\nd"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_terminal_of_another_encoding_ends_no_command(encoding: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    text, document = done.stdout.decode(encoding).split("\n", 1)
    assert {text, json.loads(document)["name"]} <= {"\u2603", "\\u2603"}
