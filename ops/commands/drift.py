"""`drift`: the reconciliation's comparison, without its repairs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ops.session import ExitCode, Json, Local, Session, SettingsFile, UsageError, Verbose

if TYPE_CHECKING:
    from shared.flows.reconcile import Report

# The comparison brings SQL and templates with it, which no other command needs.
# ruff: noqa: PLC0415


def drift(
    entity: Annotated[str | None, typer.Option("--entity", "-e", help="Only this entity: asset or order.")] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Also write the readable page to this file.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the readable page in the browser.")] = False,
    release_brake_by: Annotated[
        str | None,
        typer.Option(
            "--release-brake",
            metavar="WHO",
            help="Instead of comparing: let the repairs go that the brake holds. WHO stands in the report.",
        ),
    ] = None,
    local: Local = False,
    settings: SettingsFile = None,
    as_json_: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare every record of both sides, and show what differs, field by field; change nothing.

    The exit code is 1 if something drifted. The timer's own comparison repairs what it finds; 'resync' repairs at once.

    For example:

        python -m ops drift --local

        python -m ops drift --entity asset --report drift.html --local

        python -m ops drift --release-brake "Ana, after looking at the report" --local
    """

    async def main(session: Session) -> int:
        from shared.flows.reconcile import Policy, Reconciler
        from shared.flows.reconcile.report_html import as_json

        wiring = session.wiring
        if release_brake_by is not None:
            return await _release(session, release_brake_by)
        mapping = wiring.mapping
        if entity is not None:
            mapping = mapping.model_copy(update={"entities": {entity: session.entity(entity)}})
        if wiring.cmms is None:
            raise UsageError("There is nothing to compare with: CMMS_BASE_URL is not set (one-way mode).")
        with session.err.status("comparing both sides"):
            found = await Reconciler(
                mapping,
                wiring.ledger,
                wiring.dynamics,
                wiring.cmms,
                wiring.router,
                clock=wiring.clock,
                policy=Policy(wiring.settings.reconcile_settle, mode="report"),
            ).run("full")
        if report_file is not None or open_page:
            _write_page(session, found, report_file, open_page=open_page)
        if as_json_:
            session.print_json(json.loads(as_json(found)))
        elif session.out.is_terminal and len(found.findings) > session.out.height:
            with session.out.pager(styles=True):
                _print(session, found)
        else:
            _print(session, found)
        return ExitCode.FINDINGS if found.drifted else ExitCode.FINE

    Session(local, as_json_, verbose, settings).run(main)


async def _release(session: Session, who: str) -> int:
    from shared.flows.reconcile import release_brake

    if not who.strip():
        raise UsageError("Who releases the brake? The name stands in the report.")
    released = await release_brake(session.wiring.state, who)
    if session.as_json:
        session.print_json({"released": None if released is None else released.model_dump(mode="json")})
    elif released is None:
        session.out.print("[green]The brake holds nothing.[/]")
    else:
        session.out.print(
            f"{released.held} repairs are let go, at the pace of the next runs. A further flood is held again."
        )
    return ExitCode.FINE


def _write_page(session: Session, report: Report, file: Path | None, *, open_page: bool) -> None:
    from shared.flows.reconcile.report_html import as_html

    if file is None:
        file = Path(tempfile.mkdtemp(prefix="drift-")) / "drift.html"
    try:
        file.write_text(as_html(report), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name another file with --report.") from None
    session.note(f"The page is {file}")
    if open_page:
        typer.launch(str(file))


def _print(session: Session, report: Report) -> None:
    out = session.out
    if report.findings:
        table = Table(box=None, pad_edge=False)
        for column in ("record", "drift", "field", "CMMS", "Dynamics", "a sync would"):
            table.add_column(column, overflow="fold")
        for finding in report.findings:
            record, kind = escape(f"{finding.entity} {finding.key}"), f"[yellow]{finding.kind.value}[/]"
            for one in finding.differences:
                values = [escape("-" if value is None else value) for value in (one.cmms, one.dynamics)]
                table.add_row(
                    record, kind, escape(one.field), f"[cyan]{values[0]}[/]", f"[magenta]{values[1]}[/]", one.plan
                )
                record = kind = ""
            if record:
                table.add_row(record, kind, "", "", "", "")
        out.print(table)
    for entity in report.entities:
        counts = ", ".join(f"{count} {kind.value}" for kind, count in sorted(entity.drift.items())) or "no drift"
        flight = f", {entity.in_flight} in flight" if entity.in_flight else ""
        out.print(escape(f"{entity.entity}: {entity.compared} compared, {counts}{flight}"))
        for note in entity.notes:
            out.print(f"  [dim]{escape(note)}[/]")
    if report.drifted:
        out.print("'resync' repairs a record at once; the timer repairs them at its next run.")
