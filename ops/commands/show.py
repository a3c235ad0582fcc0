"""`show`: one record's story."""

from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.text import Text

from ops.command import command
from ops.commands.parked import document
from ops.output import plain, stamp, table
from ops.session import Entity, ExitCode, Session, UsageError
from shared.domain.base import Base
from shared.domain.words import plural
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


@command
async def show(
    session: Session,
    entity: Entity,
    key: Annotated[str, typer.Option("--key", "-k", help="The business key.")],
) -> int:
    """Tell one record's story: both sides, the ledger, what a sync would do, lost values, parked messages.

    The exit code is 1 if the sides differ or something is parked, and 2 if nothing at all is known of the key.

    For example:

    \b
        python -m ops show --entity asset --key 0001 --local
        python -m ops show -e order -k REQ-1 --json | jq .fields
    """
    mapped = session.entity(entity)
    wiring = session.wiring
    if (error := mapped.key_error(key)) is not None:
        raise UsageError(error.message)
    story = await tell(
        mapped,
        key,
        ledger=wiring.ledger,
        dynamics=wiring.dynamics,
        cmms=wiring.cmms,
        queues=session.queues,
        clock=wiring.clock,
    )
    if not (story.known or story.cmms or story.row or story.parked):
        raise UsageError(
            f"Nothing is known of {entity} {key}: neither side has such a record, nor does the ledger remember one,"
            " nor is a message of it parked. Is the key spelt right?"
        )
    if session.as_json:
        session.print_json(_document(story))
    else:
        _print(session, story)
    return ExitCode.FINE if story.agrees else ExitCode.FINDINGS


def _document(story: Story) -> dict[str, Any]:
    link = story.link
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
            "version": stamp(story.cmms.version.at) if story.cmms.version else None,
        },
        "dynamics": None
        if story.row is None
        else {"id": story.row.id, "etag": story.row.etag, "state": story.row.state, "open": story.row.is_open},
        "other_rows": list(story.others),
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
        "ledger": link.as_json if story.known else None,
        "problems": list(story.problems),
        "due": list(story.due),
        "conflicts": [one.as_json for one in story.conflicts],
        "parked": [document(message) for message in story.parked],
    }


def _base(base: Base | None) -> dict[str, Any] | None:
    return None if base is None else {"cmms": base.cmms, "dynamics": base.dynamics}


def _print(session: Session, story: Story) -> None:
    out = session.out
    out.print(f"[bold]{escape(plain(f'{story.entity} {story.key}'))}[/]", soft_wrap=True)
    _sides(session, story)
    rows = []
    for one in () if story.is_unknown else story.fields:
        base = "-" if one.base is None else f"{_value(one.base.cmms)} / {_value(one.base.dynamics)}"
        state = Text(one.state, style=_STYLES[one.state])
        rows.append((one.name, _value(one.cmms), _value(one.dynamics), base, one.rule, state))
    if rows:
        table(out, ("field", "CMMS", "Dynamics", "agreed (CMMS / Dynamics)", "rule", "now"), rows)
    if any(one.state == "kept" for one in story.fields):
        out.print("[dim]kept: the CMMS deleted the record, and its inactive row keeps the value.[/]", soft_wrap=True)
    for problem in (*story.problems, *(one.problem for one in story.fields if one.problem)):
        out.print(f"[red]{escape(plain(problem))}[/]", soft_wrap=True)
    for due in story.due:
        out.print(f"[yellow]A sync would act: {escape(plain(due))}.[/]", soft_wrap=True)
    if text := story.held_apart:
        out.print(f"[red]{escape(plain(text))}[/]", soft_wrap=True)
    _past(session, story)
    if story.agrees:
        out.print("[green]Both sides agree, and nothing is parked.[/]")


def lost_values(story: Story) -> list[tuple[str, str]]:
    """The values that did not survive, as an instant and a sentence each, the newest first."""
    found = []
    for lost in story.conflicts:
        winner, loser = ("the CMMS", "Dynamics") if lost.winner == "cmms" else ("Dynamics", "the CMMS")
        values = f'{lost.field}: "{_value(lost.lost)}" of {loser} gave way to "{_value(lost.won)}" of {winner}'
        found.append((stamp(lost.at), f"{values} ({lost.why})"))
    return found


def _past(session: Session, story: Story) -> None:
    out = session.out
    if story.conflicts:
        out.print("\n[bold]Values that did not survive[/]")
    for at, sentence in lost_values(story):
        out.print(f"  [dim]{at}[/]  {escape(plain(sentence))}", soft_wrap=True)
    if story.parked:
        out.print("\n[bold]Parked[/]")
    for message in story.parked:
        text = f"{message.sequence}  {message.reason}: {message.text}"
        out.print(f"  [red]{escape(plain(text))}[/]", soft_wrap=True)
    if story.is_settled:
        numbers = " ".join(str(message.sequence) for message in story.parked)
        text = f"Both sides agree by now, so what is parked is settled: parked discard {numbers} --because settled"
        out.print(f"[green]{text}[/]", soft_wrap=True)


def _sides(session: Session, story: Story) -> None:
    out, link = session.out, story.link
    if story.cmms is None:
        out.print("  CMMS      no record")
    else:
        version = f", version {stamp(story.cmms.version.at)}" if story.cmms.version else ""
        source = ", as its messages said (one-way mode)" if story.one_way else ""
        out.print(
            escape(f"  CMMS      {'deleted' if story.cmms.deleted else 'exists'}{version}{source}"), soft_wrap=True
        )
    if story.row is None:
        out.print("  Dynamics  no row")
    else:
        closed = "" if story.row.is_open else ", closed: refuses edits"
        out.print(
            escape(f"  Dynamics  {story.row.id}, state {story.row.state}, {story.row.etag}{closed}"), soft_wrap=True
        )
    if not story.known:
        out.print("  ledger    knows nothing of it: the two sides have not met")
        return
    parts = [f"last sync {stamp(link.last_sync) if link.last_sync else 'never'}"]
    if link.deleted_at:
        parts.append(f"deleted {stamp(link.deleted_at)}")
    if link.intents:
        parts.append(f"{plural(len(link.intents), 'write')} announced{' and under way' if story.in_flight else ''}")
    out.print(escape(plain(f"  ledger    {', '.join(parts)}")), soft_wrap=True)


def _value(value: str | None) -> str:
    return "-" if value is None else value
