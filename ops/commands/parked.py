"""`parked list|show|replay|discard`: what was set aside for a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ops.session import ExitCode, Json, Local, Session, SettingsFile, UsageError, Verbose
from shared.flows.operate.parked import Filter, ParkedMessages, Settled, Waiting, parse_age

app = typer.Typer(
    help="Look at parked messages, send them again, or discard them.", no_args_is_help=True, rich_markup_mode="markdown"
)

_KEPT: Final = Path("discarded.jsonl")

Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as mapping_error or record_closed.")]
EntityName = Annotated[str | None, typer.Option("--entity", "-e", help="Only of this entity: asset or order.")]
Key = Annotated[str | None, typer.Option("--key", "-k", help="Only of this business key.")]
Field = Annotated[str | None, typer.Option(help="Only about this field, by its CMMS name.")]
OlderThan = Annotated[str | None, typer.Option(metavar="AGE", help="Only parked at least this long ago: 30m, 12h, 7d.")]
YoungerThan = Annotated[str | None, typer.Option(metavar="AGE", help="Only parked at most this long ago.")]
Text = Annotated[str | None, typer.Option(help="Only with this text anywhere in the message or its reason.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Numbers as 'parked list' shows them.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which messages are meant, and stop.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class _Asked:
    """The options that choose messages."""

    reason: str | None
    entity: str | None
    key: str | None
    field: str | None
    older_than: str | None
    younger_than: str | None
    text: str | None
    numbers: list[int] | None = None

    def filter(self) -> Filter:
        """The filter; UsageError for an age that cannot be read."""
        try:
            return Filter(
                reason=self.reason,
                entity=self.entity,
                key=self.key,
                field=self.field,
                older_than=parse_age(self.older_than) if self.older_than else None,
                younger_than=parse_age(self.younger_than) if self.younger_than else None,
                text=self.text,
                sequences=frozenset(self.numbers or ()),
            )
        except ValueError as error:
            raise UsageError(f"{error}.") from None

    @property
    def unbounded(self) -> bool:
        """Whether nothing narrows the choice."""
        return not any(vars(self).values())


@app.command("list")
def list_(
    reason: Reason = None,
    entity: EntityName = None,
    key: Key = None,
    field: Field = None,
    older_than: OlderThan = None,
    younger_than: YoungerThan = None,
    text: Text = None,
    local: Local = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List parked messages; exit code 1 if there are any.

    For example:

        python -m ops parked list --local --reason mapping_error --older-than 1d
    """

    async def main(session: Session) -> int:
        asked = _Asked(reason, entity, key, field, older_than, younger_than, text)
        found = await _parked(session).find(asked.filter())
        if as_json:
            session.print_json([document(message) for message in found])
        else:
            _print(session, found)
        return ExitCode.FINDINGS if found else ExitCode.FINE

    Session(local, as_json, verbose, settings).run(main)


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="The number that 'parked list' shows.")],
    local: Local = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show one parked message: why, its history, and its body.

    For example:

        python -m ops parked show 12 --local
    """

    async def main(session: Session) -> int:
        found = await _parked(session).find(Filter(sequences=frozenset({number})))
        if not found:
            raise UsageError(f"No parked message has the number {number}: 'parked list' shows them.")
        message = found[0]
        if as_json:
            session.print_json(document(message))
            return ExitCode.FINE
        out = session.out
        out.print(f"[bold]{message.sequence}[/]  {escape(message.entity)} {escape(message.key)}", style="bold")
        for name, value in sorted(message.properties.items()):
            if name != "history":
                out.print(f"  [dim]{escape(name)}:[/] {escape(str(value))}")
        for number_, one in enumerate(message.history, start=1):
            out.print(f"  [dim]failure {number_}:[/] {escape(', '.join(f'{k} {v}' for k, v in one.items()))}")
        out.print("  [dim]body:[/]")
        out.print(escape(_pretty(message.body)))
        return ExitCode.FINE

    Session(local, as_json, verbose, settings).run(main)


@app.command()
def replay(
    numbers: Numbers = None,
    reason: Reason = None,
    entity: EntityName = None,
    key: Key = None,
    field: Field = None,
    older_than: OlderThan = None,
    younger_than: YoungerThan = None,
    text: Text = None,
    every: Annotated[bool, typer.Option("--all", help="All of them; needed where nothing narrows the choice.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    local: Local = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Send parked messages again to where they came from, with the history of their failures.

    A message is taken off only after its copy was sent, so that an interruption loses none: run it again.

    For example:

        python -m ops parked replay 12 13 --local

        python -m ops parked replay --reason record_closed --younger-than 2h --yes --local
    """
    asked = _Asked(reason, entity, key, field, older_than, younger_than, text, numbers)

    async def main(session: Session) -> int:
        parked, chosen = await _choose(session, asked, every=every)
        if dry_run or not chosen or not _agreed(session, chosen, "Send these again?", yes=yes):
            return _only_shown(session, chosen, dry_run=dry_run)
        with _progress(session) as progress:
            task = progress.add_task("replaying", total=len(chosen))
            settled = await parked.replay(chosen, lambda _message, _problem: progress.advance(task))
        return _conclude(session, settled, "replayed")

    Session(local, as_json, verbose, settings).run(main)


@app.command()
def discard(
    numbers: Numbers = None,
    because: Annotated[str, typer.Option("--because", help="Why; it is logged, and kept with the message.")] = "",
    reason: Reason = None,
    entity: EntityName = None,
    key: Key = None,
    field: Field = None,
    older_than: OlderThan = None,
    younger_than: YoungerThan = None,
    text: Text = None,
    every: Annotated[bool, typer.Option("--all", help="All of them; needed where nothing narrows the choice.")] = False,
    keep: Annotated[
        Path, typer.Option(help="The file that what is discarded is added to, one JSON object a line.")
    ] = _KEPT,
    dry_run: DryRun = False,
    yes: Yes = False,
    local: Local = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Take parked messages off for good. Each is first written to a file, with the reason.

    For example:

        python -m ops parked discard 12 --because "test data of the fair" --local
    """
    asked = _Asked(reason, entity, key, field, older_than, younger_than, text, numbers)

    async def main(session: Session) -> int:
        if not because.strip():
            raise UsageError('A discard needs a reason: --because "why nobody needs these messages".')
        parked, chosen = await _choose(session, asked, every=every)
        if dry_run or not chosen or not _agreed(session, chosen, "Discard these for good?", yes=yes):
            return _only_shown(session, chosen, dry_run=dry_run)

        def write_down(message: Waiting) -> None:
            record = document(message) | {"discarded_at": datetime.now(UTC).isoformat(), "because": because}
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

        try:
            keep.touch(mode=0o600)  # it holds records
        except OSError as error:
            raise UsageError(f"{keep} cannot be written ({error.strerror}): name another file with --keep.") from None
        with _progress(session) as progress:
            task = progress.add_task("discarding", total=len(chosen))
            settled = await parked.discard(chosen, because, write_down, lambda _m, _p: progress.advance(task))
        return _conclude(session, settled, f"discarded, and kept in {keep}")

    Session(local, as_json, verbose, settings).run(main)


def document(message: Waiting) -> dict[str, Any]:
    """A parked message for `--json`."""
    return {
        "number": message.sequence,
        "entity": message.entity,
        "key": message.key,
        "reason": message.reason,
        "field": message.properties.get("field"),
        "message": message.properties.get("message"),
        "attempts": message.properties.get("attempts"),
        "parked_at": message.enqueued_at.isoformat(),
        "source_queue": message.queue,
        "history": message.history,
        "body": message.body.decode("utf-8", "replace"),
    }


def _parked(session: Session) -> ParkedMessages:
    return ParkedMessages(session.queues, session.wiring.bus, session.wiring.clock.now)


async def _choose(session: Session, asked: _Asked, *, every: bool) -> tuple[ParkedMessages, list[Waiting]]:
    if asked.unbounded and not every:
        raise UsageError("Which ones? Name numbers or filters, or say --all.")
    wanted = asked.filter()
    parked = _parked(session)
    chosen = await parked.find(wanted)
    missing = wanted.sequences - {message.sequence for message in chosen}
    if missing:
        raise UsageError(f"No such parked message: {', '.join(map(str, sorted(missing)))}. 'parked list' shows them.")
    return parked, chosen


def _agreed(session: Session, chosen: Sequence[Waiting], question: str, *, yes: bool) -> bool:
    if yes:
        return True
    if session.as_json:
        raise UsageError("--json cannot ask: add --yes to go ahead, or --dry-run to see them only.")
    _print(session, chosen)
    return typer.confirm(question, err=True)


def _only_shown(session: Session, chosen: Sequence[Waiting], *, dry_run: bool) -> int:
    if session.as_json:
        session.print_json({"dry_run": dry_run, "messages": [document(message) for message in chosen]})
    elif dry_run:
        _print(session, chosen)
    else:
        session.note("Nothing was changed." if chosen else "No parked message is meant.")
    return ExitCode.FINE


def _conclude(session: Session, settled: Settled, what: str) -> int:
    if session.as_json:
        session.print_json(
            {
                "done": [message.sequence for message in settled.done],
                "refused": [{"number": message.sequence, "why": why} for message, why in settled.refused],
                "locked": [message.sequence for message in settled.locked],
            }
        )
    else:
        session.out.print(f"{len(settled.done)} {escape(what)}.")
        for message, why in settled.refused:
            session.out.print(f"[yellow]{message.sequence} was left: {escape(why)}[/]")
        if settled.locked:
            numbers = ", ".join(str(message.sequence) for message in settled.locked)
            text = f"{numbers} are locked by somebody else: locks of a run that was killed end within 5 minutes."
            session.out.print(f"[yellow]{text}[/]")
    return ExitCode.FINDINGS if settled.refused or settled.locked else ExitCode.FINE


def _progress(session: Session) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=session.err, transient=True)


def _print(session: Session, found: Sequence[Waiting]) -> None:
    if not found:
        session.out.print("[green]Nothing is parked.[/]")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("number", "parked", "record", "reason", "what"):
        table.add_column(column, overflow="fold")
    now = session.wiring.clock.now()
    for message in found:
        table.add_row(
            str(message.sequence),
            _ago((now - message.enqueued_at).total_seconds()),
            escape(f"{message.entity} {message.key}".strip() or message.queue),
            message.reason,
            escape(str(message.properties.get("message", ""))),
        )
    session.out.print(table)
    session.out.print(f"{len(found)} parked messages")


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit} ago"
    return f"{max(seconds, 0):.0f}s ago"


def _pretty(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
