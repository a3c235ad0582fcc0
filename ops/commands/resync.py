"""`resync`: have records looked at again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.command import command
from ops.output import plain
from ops.session import Entity, ExitCode, Session, UsageError
from shared.domain.link import Identity
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.domain.words import plural, word_for
from shared.errors import KeyNotUsable
from shared.flows.operate.parked import parse_age
from shared.flows.operate.resync import Followed, Resync, name_of


@command
async def resync(
    session: Session,
    entity: Entity,
    key: Annotated[list[str] | None, typer.Option("--key", "-k", help="A business key; may be repeated.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="AGE|INSTANT", help="What changed on either side since: 2h, 7d, 2026-01-31T12:00:00Z."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every record that either side or the ledger knows.")] = False,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Create rows again that were deleted in Dynamics.")
    ] = False,
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="cmms|dynamics",
            help="Whose values count where fields meet for the first time and differ; else each field's rule decides.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Messages a second, at most.")] = 100.0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the records to their outcome.")] = False,
    patience: Annotated[str, typer.Option(metavar="AGE", help="How long --wait waits.")] = "10m",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which records are meant, and stop.")] = False,
) -> int:
    """Enqueue a message for each record, so that the engine compares and repairs it.

    With --wait the exit code is 1 if one was parked or is not done in time. A key that neither side nor the ledger
    knows is refused.

    For example:

    \b
        python -m ops resync --entity asset --key 0001 --wait --local
        python -m ops resync --entity order --since 2h --local
        python -m ops resync --entity asset --all --rate 20
        python -m ops resync --entity asset --all --prefer cmms --local
    """
    mapped = session.entity(entity)
    if sum((bool(key), since is not None, every)) != 1:
        raise UsageError("Which records? Give one of --key, --since and --all.")
    if prefer not in {None, "cmms", "dynamics"}:
        raise UsageError(f"--prefer {prefer!r} is no side: say cmms or dynamics.")
    flow = session.resync
    longest = age_of(patience)
    instant = _instant(since) if since is not None else None
    if not key:
        await session.reach()
    with session.err.status("looking for the records"):
        records = await _records(flow, mapped, key, instant)
    if dry_run:
        _show(session, records)
        return ExitCode.FINE
    started = session.wiring.clock.now()
    with _progress(session) as progress:
        task = progress.add_task("enqueueing", total=len(records))
        await flow.enqueue(
            mapped,
            records,
            rate=rate,
            recreate=recreate,
            prefer=cast("Side | None", prefer),
            progress=lambda count: progress.advance(task, count),
        )
        followed = None
        if wait and records:
            task = progress.add_task("synchronizing", total=len(records))

            def show(now: Followed) -> None:
                progress.update(task, completed=len(now.settled) + len(now.parked))

            followed = await flow.follow(mapped, records, started, longest, show)
    return _conclude(session, len(records), followed)


async def _records(
    flow: Resync, entity: EntityMapping, keys: list[str] | None, since: datetime | None
) -> Mapping[Identity, str]:
    if not keys:
        return await (flow.everything(entity) if since is None else flow.changed(entity, since))
    try:
        named = await flow.named(entity, [entity.usable_key(one) for one in keys])
    except KeyNotUsable as error:
        raise UsageError(error.message) from None
    if unknown := [key for identity, key in named.items() if identity.kind == "key"]:
        raise UsageError(
            f"Nothing is known of {entity.name} {', '.join(unknown)}: neither side has such a record, nor does the"
            " ledger remember one. Is the key spelt right?"
        )
    return named


def _instant(text: str) -> datetime:
    try:
        return datetime.now(UTC) - parse_age(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is neither an age such as 2h nor an instant such as 2026-01-31T12:00:00Z."
        ) from None
    return found if found.tzinfo is not None else found.astimezone()


def age_of(text: str) -> timedelta:
    """A span of time as people type it, such as `10m`.

    Raises:
        UsageError: It is none.
    """
    try:
        return parse_age(text)
    except ValueError as error:
        raise UsageError(f"{error}.") from None


def _progress(session: Session) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=session.err, transient=True)


def _show(session: Session, records: Mapping[Identity, str]) -> None:
    keys = sorted(name_of(identity, key) for identity, key in records.items())
    if session.as_json:
        session.print_json({"dry_run": True, "keys": keys})
        return
    for one in keys:
        session.out.print(escape(plain(one)), soft_wrap=True)
    session.note(f"{plural(len(keys), 'record')} {word_for(len(keys), 'is')} meant.")


def _conclude(session: Session, enqueued: int, followed: Followed | None) -> int:
    if session.as_json:
        result: dict[str, object] = {"enqueued": enqueued}
        if followed is not None:
            result |= {
                "settled": sorted(followed.settled),
                "parked": followed.parked,
                "waiting": sorted(followed.waiting),
            }
        session.print_json(result)
    else:
        session.out.print(f"{plural(enqueued, 'message')} enqueued.")
        if followed is not None:
            settled = plural(len(followed.settled), "record")
            session.out.print(f"{settled} synchronized, or found already true.")
            for one, reason in sorted(followed.parked.items()):
                text = f"{one} is parked: {reason}"
                session.out.print(f"[red]{escape(plain(text))}[/] ('show' tells its story)", soft_wrap=True)
            if followed.waiting:
                names = ", ".join(sorted(followed.waiting)[:10])
                many = f"{plural(len(followed.waiting), 'record')} {word_for(len(followed.waiting), 'is')}"
                session.out.print(f"[yellow]{many} not done yet, such as {escape(plain(names))}[/]", soft_wrap=True)
    undone = followed is not None and (followed.parked or followed.waiting)
    return ExitCode.FINDINGS if undone else ExitCode.FINE
