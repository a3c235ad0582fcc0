"""`status`: everything on one screen."""

import asyncio
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.command import command
from ops.first_sync.words import progress_document, told
from ops.output import age, plain, stamp
from ops.session import ExitCode, Session, UsageError
from shared.domain.words import plural
from shared.flows.operate.overview import Overview, QueueView

_EVERY = 3.0


@command
async def status(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 3 seconds until Ctrl-C.")] = False,
) -> int:
    """Show on one screen what answers, what waits, what is parked, the brake, and the last reconciliation.

    The exit code is 0 if nothing needs a person, 1 if something does, 3 if a part gives no answer.

    For example:

    \b
        python -m ops status --local
        python -m ops status --watch --local
        python -m ops status --json | jq .concerns
    """
    if watch and session.as_json:
        raise UsageError("--json prints one document: leave --watch out.")
    with session.err.status("looking"):
        view = await session.overseer.look()
    if session.as_json:
        session.print_json(document(view))
    elif not watch:
        session.out.print(_screen(view))
    else:
        with Live(_screen(view), console=session.out, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(_EVERY)
                view = await session.overseer.look()
                live.update(_screen(view), refresh=True)
    return code_of(view)


def code_of(view: Overview) -> ExitCode:
    """What the command ends with."""
    if view.unreachable:
        return ExitCode.UNREACHABLE
    return ExitCode.FINDINGS if view.concerns else ExitCode.FINE


def document(view: Overview) -> dict[str, object]:
    """An overview for `--json`."""
    run = view.last_run
    return {
        "at": stamp(view.at),
        "concerns": list(view.concerns),
        "health": [{"part": one.name, "problem": one.problem or None} for one in view.health],
        "queues": [_queue(one, view) for one in view.queues],
        "parked": dict(view.parked),
        "brake": view.brake.model_dump(mode="json") if view.brake is not None else None,
        "first_sync": None if view.first_sync is None else progress_document(view.first_sync),
        "reconcile": {
            "last": None if run is None else stamp(run.at),
            "kind": None if run is None else run.kind,
            "drifted": None if run is None else sum(run.drift.values()),
            "pending": view.pending,
        },
    }


def _queue(one: QueueView, view: Overview) -> dict[str, object]:
    oldest = one.survey.oldest
    return {
        "queue": one.name,
        "problem": one.problem or None,
        "waiting": one.survey.waiting,
        "scheduled": one.survey.scheduled,
        "dead": one.survey.dead,
        "oldest_seconds": None if oldest is None else round((view.at - oldest).total_seconds()),
        "more": one.survey.more,
    }


def _screen(view: Overview) -> Group:
    parts: list[Text | Table] = []
    if view.concerns:
        parts += [Text(f"! {plain(one)}", style="yellow") for one in view.concerns]
    else:
        parts.append(Text("Nothing needs a person.", style="green"))
    answers = Text("answers: ")
    for one in view.health:
        answers.append(f"{one.name} ", style="red" if one.problem else "green")
    parts += [Text(), answers, Text(), _queues(view)]
    if view.parked:
        shown = ", ".join(f"{count:,} {reason}" for reason, count in view.parked)
        parts += [Text(), Text(f"parked: {plain(shown)}")]
    if view.first_sync is not None and view.first_sync.ended is None:
        parts += [Text(), Text(f"first sync: {told(view.first_sync, view.at)}")]
    parts += [Text(), Text(f"reconciliation: {last_run(view)}"), Text(f"at {stamp(view.at)}", style="dim")]
    return Group(*parts)


def last_run(view: Overview) -> str:
    """The last reconciliation, in words."""
    run = view.last_run
    if run is None:
        return "none has compared anything yet"
    since = age((view.at - run.at).total_seconds())
    drifted = plural(sum(run.drift.values()), "record")
    pending = f", {plural(view.pending, 'repair')} pending" if view.pending else ""
    return f"{run.kind} pass {since} ago, {drifted} drifted{pending}"


def _queues(view: Overview) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("queue", "waiting", "scheduled", "dead letters", "oldest"):
        table.add_column(title, justify="left" if title == "queue" else "right", no_wrap=True)
    for one in view.queues:
        survey = one.survey
        if one.problem:
            table.add_row(one.name, "?", "?", "?", "?")
            continue
        oldest = "-" if survey.oldest is None else age((view.at - survey.oldest).total_seconds())
        more = "+" if survey.more else ""
        figures = (f"{survey.waiting:,}{more}", f"{survey.scheduled:,}", f"{survey.dead:,}", oldest)
        table.add_row(one.name, *figures, style="red" if survey.dead else "")
    return table
