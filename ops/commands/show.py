"""`show`: one record's story."""

from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from ops.commands.parked import document
from ops.session import Entity, ExitCode, Json, Local, Session, SettingsFile, UsageError, Verbose
from shared.domain.ledger import Base
from shared.errors import KeyNotUsable
from shared.flows.operate.show import Story, tell

_STYLES: Final = {
    "agree": "green",
    "to Dynamics": "yellow",
    "to CMMS": "yellow",
    "conflict": "magenta",
    "blocked": "red",
    "differ": "red",
    "kept": "dim",
    "unknown": "dim",
}


def show(
    entity: Entity,
    key: Annotated[str, typer.Option("--key", "-k", help="The business key.")],
    local: Local = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Tell one record's story: both sides, the ledger, what a sync would do, lost values, parked messages.

    The exit code is 1 if the sides differ or something is parked.

    For example:

        python -m ops show --entity asset --key 0001 --local

        python -m ops show -e order -k REQ-1 --json | jq .fields
    """

    async def main(session: Session) -> int:
        mapped = session.entity(entity)
        wiring = session.wiring
        try:
            mapped.usable_key(key)
        except KeyNotUsable as error:
            raise UsageError(error.message) from None
        story = await tell(
            mapped,
            key,
            ledger=wiring.ledger,
            dynamics=wiring.dynamics,
            cmms=wiring.cmms,
            queues=session.queues,
            clock=wiring.clock,
        )
        if as_json:
            session.print_json(_document(story))
        else:
            _print(session, story)
        return ExitCode.FINE if story.agrees else ExitCode.FINDINGS

    Session(local, as_json, verbose, settings).run(main)


def _document(story: Story) -> dict[str, Any]:
    entry = story.entry
    return {
        "entity": story.entity,
        "key": story.key,
        "agrees": story.agrees,
        "in_flight": story.in_flight,
        "one_way": story.one_way,
        "cmms": None
        if story.cmms is None
        else {
            "etag": story.cmms.etag,
            "deleted": story.cmms.deleted,
            "version": story.cmms.version.at if story.cmms.version else None,
        },
        "dynamics": None
        if story.row is None
        else {"id": story.row.id, "etag": story.row.etag, "state": story.row.state, "open": story.row.is_open},
        "rows": story.rows,
        "fields": [
            {
                "field": one.name,
                "column": one.column,
                "cmms": one.cmms,
                "dynamics": one.dynamics,
                "base": _base(one.base),
                "rule": one.rule,
                "state": one.state,
                "problem": one.problem or None,
            }
            for one in story.fields
        ],
        "ledger": entry.model_dump(mode="json", exclude_defaults=True) if story.known else None,
        "problems": list(story.problems),
        "conflicts": [one.model_dump(mode="json") for one in story.conflicts],
        "parked": [document(message) for message in story.parked],
    }


def _base(base: Base | None) -> dict[str, Any] | None:
    return None if base is None else dict(base.model_dump())


def _print(session: Session, story: Story) -> None:
    out = session.out
    out.print(f"[bold]{escape(story.entity)} {escape(story.key)}[/]")
    _sides(session, story)
    table = Table(box=None, pad_edge=False)
    for column in ("field", "CMMS", "Dynamics", "agreed (CMMS / Dynamics)", "rule", "now"):
        table.add_column(column, overflow="fold")
    for one in story.fields:
        base = "-" if one.base is None else f"{_value(one.base.cmms)} / {_value(one.base.dynamics)}"
        style = _STYLES[one.state]
        table.add_row(
            escape(one.name),
            escape(_value(one.cmms)),
            escape(_value(one.dynamics)),
            escape(base),
            one.rule,
            f"[{style}]{one.state}[/]",
        )
    out.print(table)
    for problem in story.problems:
        out.print(f"[red]{escape(problem)}[/]")
    for one in story.fields:
        if one.problem:
            out.print(f"[red]{escape(one.problem)}[/]")
    _past(session, story)
    if story.agrees:
        out.print("[green]Both sides agree, and nothing is parked.[/]")


def _past(session: Session, story: Story) -> None:
    out = session.out
    if story.conflicts:
        out.print("\n[bold]Values that did not survive[/]")
    for lost in story.conflicts:
        winner, loser = ("CMMS", "Dynamics") if lost.winner == "cmms" else ("Dynamics", "CMMS")
        values = f"{loser} said {_value(lost.lost)}, {winner}'s {_value(lost.won)} stayed"
        out.print(f"  {escape(f'{_when(lost.at)}  {lost.field}: {values}')} [dim]({lost.why})[/]")
    if story.parked:
        out.print("\n[bold]Parked[/]")
    for message in story.parked:
        text = f"{message.sequence}  {message.reason}: {message.properties.get('message', '')}"
        out.print(f"  [red]{escape(text)}[/]")


def _sides(session: Session, story: Story) -> None:
    out, entry = session.out, story.entry
    if story.cmms is None:
        out.print("  CMMS      no record")
    else:
        version = f", version {_when(story.cmms.version.at)}" if story.cmms.version else ""
        source = ", as its messages said (one-way mode)" if story.one_way else ""
        out.print(escape(f"  CMMS      {'deleted' if story.cmms.deleted else 'exists'}{version}{source}"))
    if story.row is None:
        out.print("  Dynamics  no row")
    else:
        closed = "" if story.row.is_open else ", closed: refuses edits"
        out.print(escape(f"  Dynamics  {story.row.id}, state {story.row.state}, {story.row.etag}{closed}"))
    if not story.known:
        out.print("  ledger    knows nothing of it: the two sides have not met")
        return
    parts = [f"last sync {_when(entry.last_sync) if entry.last_sync else 'never'}"]
    if entry.deleted_at:
        parts.append(f"deleted {_when(entry.deleted_at)}")
    if entry.renamed_from:
        parts.append(f"renamed from {entry.renamed_from}")
    if entry.moved_to:
        parts.append(f"now {entry.moved_to}")
    if entry.intents:
        parts.append(f"{len(entry.intents)} writes announced{' and under way' if story.in_flight else ''}")
    out.print(escape(f"  ledger    {', '.join(parts)}"))


def _value(value: str | None) -> str:
    return "-" if value is None else value


def _when(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
