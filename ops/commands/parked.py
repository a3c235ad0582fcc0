"""`parked list|show|replay|discard`: what was set aside for a person."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.command import command
from ops.output import age, plain, restamp, stamp, table
from ops.session import ExitCode, Session, UsageError, plain_lines
from ops.suggest import known
from shared.domain.words import plural, word_for
from shared.errors import reasons
from shared.flows.operate.parked import Filter, ParkedMessages, Settled, Waiting, parse_age

app = typer.Typer(
    help="Look at parked messages, send them again, or discard them.", no_args_is_help=True, rich_markup_mode=None
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
@command
async def list_(
    session: Session,
    reason: Reason = None,
    entity: EntityName = None,
    key: Key = None,
    field: Field = None,
    older_than: OlderThan = None,
    younger_than: YoungerThan = None,
    text: Text = None,
) -> int:
    """List parked messages; exit code 1 if there are any.

    For example:

    \b
        python -m ops parked list --local --reason mapping_error --older-than 1d
    """
    asked = _Asked(reason, entity, key, field, older_than, younger_than, text)
    found = await _find(session, asked)
    if session.as_json:
        session.print_json([document(message) for message in found])
    elif found:
        _print(session, found)
    else:
        text = "Nothing is parked." if asked.unbounded else "No parked message matches."
        session.out.print(f"[green]{text}[/]")
    return ExitCode.FINDINGS if found else ExitCode.FINE


@app.command()
@command
async def show(
    session: Session,
    number: Annotated[int, typer.Argument(help="The number that 'parked list' shows.")],
) -> int:
    """Show one parked message: why, its history, and its body.

    For example:

    \b
        python -m ops parked show 12 --local
    """
    found = await messages_of(session).find(Filter(sequences=frozenset({number})))
    if not found:
        raise UsageError(f"No parked message has the number {number}: 'parked list' shows them.")
    message = found[0]
    if session.as_json:
        session.print_json(document(message))
        return ExitCode.FINE
    _print_one(session, message)
    return ExitCode.FINE


@app.command(short_help="Send parked messages again.")
@command
async def replay(
    session: Session,
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
) -> int:
    """Send parked messages again to where they came from, with the history of their failures.

    A message is taken off only after its copy was sent, so that an interruption loses none: run it again.

    For example:

    \b
        python -m ops parked replay 12 13 --local
        python -m ops parked replay --reason record_closed --younger-than 2h --yes --local
    """
    asked = _Asked(reason, entity, key, field, older_than, younger_than, text, numbers)
    parked, chosen = await _choose(session, asked, every=every)
    rehearsed = parked.rehearse(chosen)
    if dry_run or not chosen or not _agreed(session, rehearsed, "Send these again?", yes=yes):
        return _only_shown(session, rehearsed, dry_run=dry_run)
    with _progress(session) as progress:
        task = progress.add_task("replaying", total=len(chosen))
        settled = await parked.replay(chosen, lambda _message, _problem: progress.advance(task))
    return _conclude(session, settled, "replayed")


@app.command()
@command
async def discard(
    session: Session,
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
) -> int:
    """Take parked messages off for good. Each is first written to a file, with the reason.

    For example:

    \b
        python -m ops parked discard 12 --because "test data of the fair" --local
    """
    asked = _Asked(reason, entity, key, field, older_than, younger_than, text, numbers)
    if not because.strip():
        raise UsageError('A discard needs a reason: --because "why nobody needs these messages".')
    parked, chosen = await _choose(session, asked, every=every)
    rehearsed = Settled(done=chosen)
    if dry_run or not chosen or not _agreed(session, rehearsed, "Discard these for good?", yes=yes):
        return _only_shown(session, rehearsed, dry_run=dry_run)

    def write_down(message: Waiting) -> None:
        record = document(message) | {"discarded_at": stamp(datetime.now(UTC)), "because": because}
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


def document(message: Waiting) -> dict[str, Any]:
    """A parked message for `--json` and for the file of what is discarded.

    A body that is not UTF-8 stands there in base64 as well, so that no byte of it is lost.
    """
    try:
        body = {"body": message.body.decode()}
    except UnicodeDecodeError:
        body = {
            "body": message.body.decode(errors="backslashreplace"),
            "body_base64": b64encode(message.body).decode(),
        }
    return {
        "number": message.sequence,
        "entity": message.entity,
        "key": message.key,
        "reason": message.reason,
        "field": message.properties.get("field"),
        "message": message.properties.get("message"),
        "attempts": message.properties.get("attempts"),
        "parked_at": stamp(message.enqueued_at),
        "source_queue": message.queue,
        "history": message.history,
        **body,
    }


def messages_of(session: Session) -> ParkedMessages:
    """The parked messages of the installation that the command works on."""
    return ParkedMessages(session.queues, session.wiring.bus, session.wiring.clock.now)


def _print_one(session: Session, message: Waiting) -> None:
    out = session.out
    record = f"{message.entity} {message.key}".strip() or "no record known"
    out.print(f"[bold]{message.sequence}  {escape(plain(record))}[/]", soft_wrap=True)
    for name, value in sorted(message.properties.items()):
        if name != "history":
            out.print(f"  [dim]{escape(plain(name))}:[/] {escape(plain(restamp(value)))}", soft_wrap=True)
    for number, one in enumerate(message.history, start=1):
        told = ", ".join(f"{name} {restamp(value)}" for name, value in one.items())
        out.print(f"  [dim]failure {number}:[/] {escape(plain(told))}", soft_wrap=True)
    out.print("  [dim]body:[/]")
    out.print(escape(plain_lines(pretty(message.body))), soft_wrap=True)


async def _find(session: Session, asked: _Asked) -> list[Waiting]:
    """The messages that are meant. A name that exists nowhere is a mistake, and not an empty result."""
    fields = {name for entity in session.wiring.mapping.entities.values() for name in entity.names}
    if asked.entity is not None:
        session.entity(asked.entity)
    found = await messages_of(session).find(asked.filter())
    if not found:
        known("reason", asked.reason, reasons())
        known("field", asked.field, fields)
    return found


async def _choose(session: Session, asked: _Asked, *, every: bool) -> tuple[ParkedMessages, list[Waiting]]:
    if asked.unbounded and not every:
        raise UsageError("Which ones? Name numbers or filters, or say --all.")
    chosen = await _find(session, asked)
    missing = asked.filter().sequences - {message.sequence for message in chosen}
    if missing:
        raise UsageError(f"No such parked message: {', '.join(map(str, sorted(missing)))}. 'parked list' shows them.")
    return messages_of(session), chosen


def _agreed(session: Session, rehearsed: Settled, question: str, *, yes: bool) -> bool:
    if yes:
        return True
    if session.as_json:
        raise UsageError("--json cannot ask: add --yes to go ahead, or --dry-run to see them only.")
    _print(session, rehearsed.done)
    _print_refused(session, rehearsed)
    return bool(rehearsed.done) and session.agreed(question)


def _only_shown(session: Session, rehearsed: Settled, *, dry_run: bool) -> int:
    if session.as_json:
        session.print_json(
            {
                "dry_run": dry_run,
                "messages": [document(message) for message in rehearsed.done],
                "refused": [{"number": message.sequence, "why": why} for message, why in rehearsed.refused],
            }
        )
    elif dry_run:
        _print(session, rehearsed.done)
        _print_refused(session, rehearsed)
    else:
        meant = bool(rehearsed.done or rehearsed.refused)
        session.note("Nothing was changed." if meant else "No parked message is meant.")
    return ExitCode.FINDINGS if rehearsed.refused or (rehearsed.done and not dry_run) else ExitCode.FINE


def _print_refused(session: Session, settled: Settled) -> None:
    for message, why in settled.refused:
        text = f"{message.sequence} cannot be sent again: {why}"
        session.out.print(f"[yellow]{escape(plain(text))}[/]", soft_wrap=True)


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
        session.out.print(f"{len(settled.done):,} {escape(what)}.", soft_wrap=True)
        _print_refused(session, settled)
        if settled.locked:
            numbers = ", ".join(str(message.sequence) for message in settled.locked)
            are = word_for(len(settled.locked), "is")
            text = f"{numbers} {are} locked by somebody else: locks of a run that was killed end within 5 minutes."
            session.out.print(f"[yellow]{text}[/]", soft_wrap=True)
    return ExitCode.FINDINGS if settled.refused or settled.locked else ExitCode.FINE


def _progress(session: Session) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=session.err, transient=True)


def _print(session: Session, found: Sequence[Waiting]) -> None:
    if not found:
        return  # those that are refused are told by themselves
    now = session.wiring.clock.now()
    rows = [
        (
            str(message.sequence),
            f"{age((now - message.enqueued_at).total_seconds())} ago",
            f"{message.entity} {message.key}".strip() or message.queue,
            message.reason,
            message.text,
        )
        for message in found
    ]
    table(session.out, ("number", "parked", "record", "reason", "what"), rows)
    session.out.print(plural(len(found), "parked message"))


def pretty(body: bytes) -> str:
    """A body as a person reads it: JSON in lines, anything else as it is."""
    text = body.decode(errors="backslashreplace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text
