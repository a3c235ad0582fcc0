"""`drift`: the reconciliation's comparison, without its repairs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.text import Text

from ops.command import command
from ops.output import plain, table
from ops.session import ExitCode, Session, UsageError
from shared.domain.words import plural, word_for

if TYPE_CHECKING:
    from shared.flows.reconcile import BrakeState, Report

# The comparison brings SQL and templates with it, which no other command needs.
# ruff: noqa: PLC0415


@command
async def drift(
    session: Session,
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
) -> int:
    """Compare every record of both sides, and show what differs, field by field; change nothing.

    The exit code is 1 if something drifted. The timer's own comparison repairs what it finds; 'resync' repairs at once.

    For example:

    \b
        python -m ops drift --local
        python -m ops drift --entity asset --report drift.html --local
        python -m ops drift --release-brake "Ana, after looking at the report" --local
    """
    from shared.flows.reconcile import Policy, Reconciler, brake_of
    from shared.flows.reconcile.report_html import as_json

    wiring = session.wiring
    if release_brake_by is not None:
        return await _release(session, release_brake_by)
    mapping = wiring.mapping
    if entity is not None:
        mapping = mapping.model_copy(update={"entities": {entity: session.entity(entity)}})
    if wiring.cmms is None:
        raise UsageError("There is nothing to compare with: CMMS_BASE_URL is not set (one-way mode).")
    await session.reach()
    brake = await brake_of(wiring.state)
    with session.err.status("comparing every record of both sides"):
        found = await Reconciler(
            mapping,
            wiring.ledger,
            wiring.dynamics,
            wiring.cmms,
            wiring.router,
            clock=wiring.clock,
            policy=Policy(wiring.settings.reconcile_settle, mode="report"),
        ).run("full")
    found.asked = True
    if report_file is not None or open_page:
        _write_page(session, found, report_file, open_page=open_page)
    if session.as_json:
        session.print_json(json.loads(as_json(found)))
    elif session.out.is_terminal and len(found.findings) > session.out.height:
        with session.out.pager(styles=True):
            _print(session, found, brake)
    else:
        _print(session, found, brake)
    return ExitCode.FINDINGS if found.drifted else ExitCode.FINE


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
        held = f"{plural(released.held, 'repair')} {word_for(released.held, 'is')}"
        session.out.print(f"{held} let go, at the pace of the next runs. A further flood is held again.")
    return ExitCode.FINE


def _write_page(session: Session, report: Report, file: Path | None, *, open_page: bool) -> None:
    from shared.flows.reconcile.report_html import as_html

    if file is None:
        file = Path(tempfile.mkdtemp(prefix="drift-")) / "drift.html"
    try:
        file.write_text(as_html(report), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name another file with --report.") from None
    session.note(f"The page: {file.resolve().as_uri()}")
    if open_page:
        typer.launch(file.resolve().as_uri())


def _print(session: Session, report: Report, brake: BrakeState | None) -> None:
    out = session.out
    if report.findings:
        rows: list[tuple[str | Text, ...]] = []
        for finding in report.findings:
            record = f"{finding.entity} {finding.key}"
            kind = Text(finding.kind.value, style="yellow")
            rows.extend(
                (
                    record,
                    kind,
                    "whole record" if one.field == "*" else one.field,
                    Text(plain(one.cmms or "-"), style="cyan"),
                    Text(plain(one.dynamics or "-"), style="magenta"),
                    one.plan,
                )
                for one in finding.differences
            )
            if not finding.differences:
                rows.append((record, kind, "", "", "", ""))
        table(out, ("record", "drift", "field", "CMMS", "Dynamics", "next sync"), rows)
    for entity in report.entities:
        counts = ", ".join(f"{count:,} {kind.value}" for kind, count in sorted(entity.drift.items())) or "no drift"
        flight = f", {entity.in_flight:,} in flight" if entity.in_flight else ""
        text = f"{entity.entity}: {plural(entity.compared, 'record')} compared, {counts}{flight}"
        out.print(escape(plain(text)), soft_wrap=True)
        for note in entity.notes:
            out.print(f"  [dim]{escape(plain(note))}[/]", soft_wrap=True)
    if brake is not None and not brake.allowance:
        held = (
            f"The brake is on and holds {plural(brake.held, 'repair')}: the timer repairs nothing until somebody lets"
        )
        out.print(f"[red]{held} them go (--release-brake).[/] 'resync' repairs a record at once.", soft_wrap=True)
    elif any(kind.repairable for entity in report.entities for kind in entity.drift):
        out.print("'resync' repairs a record at once; the timer repairs what it may at its next run.", soft_wrap=True)
    elif report.drifted:
        out.print("Nothing repairs this by itself: 'show' tells what a record waits for.", soft_wrap=True)
