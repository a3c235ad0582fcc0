"""`tail`: a line for each message that the engine processed."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.text import Text

from ops.activity import Processed
from ops.command import command
from ops.output import plain, speaks_unicode, stamp
from ops.session import ExitCode, Session, UsageError
from ops.settings import LOG, WORKSPACE
from shared.flows.operate.parked import parse_age

STYLES: Final = {"applied": "green", "already true": "dim", "retried": "yellow", "parked": "red"}
_EVERY: Final = 1.0


@command
async def tail(
    session: Session,
    since: Annotated[str, typer.Option(metavar="AGE", help="Begin this long ago: 10m, 1h.")] = "10m",
    follow: Annotated[bool, typer.Option(help="Go on with what comes, until Ctrl-C.")] = True,
    entity: Annotated[str | None, typer.Option("--entity", "-e", help="Only of this entity: asset or order.")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="Only of this business key.")] = None,
) -> int:
    """Print a line for each processed message: when, which record, how it ended, and its trace.

    It reads the functions' log: on the local stack its file, in Azure the Log Analytics workspace whose id
    OPS_WORKSPACE_ID names, where lines arrive some minutes late. With --json each line is one JSON object.

    For example:

    \b
        python -m ops tail --local
        python -m ops tail --since 1h --no-follow --key 0001 --local
    """
    try:
        begin = datetime.now(UTC) - parse_age(since)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    if entity is not None:
        session.entity(entity)
    if session.activity is None:
        raise UsageError(
            f"Where do the functions log to? Set {WORKSPACE} to the id of their Log Analytics workspace, or {LOG}"
            " to a log file; --local knows its own."
        )
    while True:
        for one in await session.activity.since(begin):
            begin = max(begin, one.at)
            if (entity is None or one.told.entity == entity) and (key is None or one.told.key == key):
                _print(session, one)
        if not follow:
            return ExitCode.FINE
        await asyncio.sleep(_EVERY if session.local else _EVERY * 15)


def document(one: Processed) -> dict[str, str | None]:
    """A processed message for `--json`."""
    told = one.told
    return {
        "at": stamp(one.at),
        "entity": told.entity,
        "key": told.key,
        "outcome": told.end,
        "detail": told.what or None,
        "trace": told.trace or None,
    }


def _print(session: Session, one: Processed) -> None:
    if session.as_json:
        sys.stdout.write(json.dumps(document(one), ensure_ascii=not speaks_unicode()) + "\n")
        sys.stdout.flush()
        return
    told = one.told
    line = Text(f"{stamp(one.at)}  ", style="dim").append(
        f"{told.entity} {plain(told.key) if told.key is not None else '(no key)'}", style="bold"
    )
    line.append(f"  {told.end}", style=STYLES[told.end])
    if told.what:
        line.append(f": {plain(told.what)}")
    if told.trace:
        line.append(f"  {told.trace}", style="dim")
    session.out.print(line, soft_wrap=True)
