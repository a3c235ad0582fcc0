"""`mapping check|plan`: is a mapping file right, and what would it change?"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ops.command import command
from ops.output import plain, table
from ops.session import ExitCode, Session, UsageError, plain_lines
from shared.domain.schema.mapping import Mapping
from shared.domain.words import plural
from shared.errors import ConfigurationError
from shared.flows.operate.mapping_review import Remark, review
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping

if TYPE_CHECKING:
    from shared.flows.operate.mapping_plan import MappingPlan
    from shared.flows.reconcile import Report

app = typer.Typer(
    help="Check a mapping file, and see what it would change.", no_args_is_help=True, rich_markup_mode=None
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="A mapping file in TOML.")]


@app.command(short_help="Check a mapping file by itself, offline.")
@command
async def check(
    session: Session,
    file: File,
) -> int:
    """Check a mapping file by itself: needs no settings, no sign-in and no network.

    Every mistake is named with its place in the file, and a misspelt name with the one that was probably meant. The
    exit code is 1 if the file cannot be used or looks odd. Whether Dynamics has its tables and columns, 'mapping plan'
    and 'check' tell.

    For example:

    \b
        python -m ops mapping check shared/mappings/document.toml
    """
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    try:
        found = load_mapping(file)
    except ConfigurationError as error:
        if session.as_json:
            session.print_json({"file": str(file), "usable": False, "problem": error.message, "remarks": []})
        else:
            session.out.print(f"[red]{escape(plain_lines(error.message))}[/]", soft_wrap=True)
        return ExitCode.FINDINGS
    remarks = list(review(found, load_mapping(DOCUMENT_MAPPING)))
    if session.as_json:
        document = [asdict(one) for one in remarks]
        session.print_json({"file": str(file), "usable": True, "problem": None, "remarks": document})
    else:
        _print(session, found, remarks)
    return ExitCode.FINDINGS if remarks else ExitCode.FINE


def _print(session: Session, mapping: Mapping, remarks: list[Remark]) -> None:
    out = session.out
    for entity in mapping.entities.values():
        out.print(
            f"[bold]{escape(entity.name)}[/]: {escape(plain(f'{entity.cmms} <-> {entity.table}'))}, by"
            f" {escape(plain(f'{entity.key.name} = {entity.key.column}'))}",
            soft_wrap=True,
        )
        rows = [
            (one.name, one.column, one.type, one.direction, one.on_conflict if one.direction == "both" else "")
            for one in entity.fields.values()
        ]
        table(out, ("field", "column", "type", "direction", "in a conflict"), rows)
        out.print()
    for one in remarks:
        out.print(f"[yellow]{escape(plain(f'{one.where}: {one.what}'))}[/]", soft_wrap=True)
        out.print(f"  [dim]->[/] {escape(plain(one.action))}", soft_wrap=True)
    if remarks:
        out.print(f"The file can be used; {plural(len(remarks), 'remark')}.")
    else:
        out.print("[green]The file can be used.[/]")


@app.command(short_help="What a mapping file would change on both sides.")
@command
async def plan(
    session: Session,
    file: File,
    first: Annotated[
        bool, typer.Option("--first", help="Compare with nothing: also what differs already is counted.")
    ] = False,
) -> int:
    """Show what a mapping file would change on both sides, before it is deployed; write nothing.

    Reads every record of both sides under the file and under the mapping that the settings name, and counts what only
    the file would do: for each field how many records, with examples. The exit code is 1 if there is anything.

    For example:

    \b
        python -m ops mapping plan shared/mappings/document.toml --local
    """
    from shared.flows.operate.mapping_plan import plan as make  # noqa: PLC0415  # brings the comparison with it

    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    if session.wiring.settings.cmms_base_url == "":
        raise UsageError("There is nothing to compare with: CMMS_BASE_URL is not set (one-way mode).")
    new = load_mapping(file)
    await session.reach()
    with session.err.status("comparing every record of both sides under both mappings"):
        present = None if first else session.wiring.mapping
        found = await make(new, present, session.platform, lambda mapping: _compare(session, mapping))
    if session.as_json:
        session.print_json(_document(found))
    else:
        _print_plan(session, found)
    return ExitCode.FINDINGS if found.effects or found.cannot else ExitCode.FINE


async def _compare(session: Session, mapping: Mapping) -> "Report":
    from shared.flows.reconcile import Policy, Reconciler  # noqa: PLC0415  # brings SQL and templates with it

    wiring = session.wiring
    policy = Policy(wiring.settings.reconcile_settle, mode="report")
    reconciler = Reconciler(
        mapping, wiring.ledger, wiring.dynamics, wiring.cmms, wiring.router, clock=wiring.clock, policy=policy
    )
    return await reconciler.run("full")


def _document(found: "MappingPlan") -> dict[str, object]:
    return {
        "compared": found.compared,
        "cannot": [asdict(one) for one in found.cannot],
        "notes": list(found.notes),
        "effects": [
            {
                "entity": one.entity,
                "field": one.name,
                "what": one.what,
                "count": one.count,
                "examples": [{"key": key, "cmms": cmms, "dynamics": dynamics} for key, cmms, dynamics in one.examples],
            }
            for one in found.effects
        ],
    }


def _print_plan(session: Session, found: "MappingPlan") -> None:
    out = session.out
    for finding in found.cannot:
        text = f"{finding.area}, {finding.subject}: {finding.message}"
        out.print(f"[red]! {escape(plain(text))}[/]\n    [dim]->[/] {escape(plain(finding.action))}", soft_wrap=True)
    if found.cannot:
        out.print("Mend these first: until then no record can be compared.")
        return
    for one in found.effects:
        name = "whole records" if one.name == "*" else one.name
        text = f"~ {one.entity} {name}: {one.what}: {plural(one.count, 'record')}"
        out.print(f"[yellow]{escape(plain(text))}[/]", soft_wrap=True)
        rows = [(key, _value(cmms), _value(dynamics)) for key, cmms, dynamics in one.examples]
        table(out, ("    such as", "CMMS", "Dynamics"), [(f"    {key}", cmms, row) for key, cmms, row in rows])
    for note in found.notes:
        out.print(f"[dim]{escape(plain(note))}[/]", soft_wrap=True)
    compared = ", ".join(plural(count, entity) for entity, count in found.compared.items())
    changes = plural(found.records, "change") if found.effects else "nothing would change"
    out.print(f"Compared {compared}: {changes}.")


def _value(value: str | None) -> str:
    return "-" if value is None else value
