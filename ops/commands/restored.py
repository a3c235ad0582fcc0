"""`restored`: settle what a restored backup took back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, get_args

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.command import command
from ops.output import plain, stamp, table
from ops.session import ExitCode, Session, UsageError
from shared.domain.link import Restored
from shared.domain.words import plural
from shared.flows.operate.parked import Filter, ParkedMessages, Waiting
from shared.flows.operate.restored import REASONS, Restore, Taken

_SIDES: Final[tuple[Restored, ...]] = get_args(Restored.__value__)
_COUNTS: Final[dict[Restored, str]] = {
    "dynamics": "the CMMS's values count",
    "cmms": "Dynamics' values count",
    "ledger": "each field's rule decides, as on first contact",
}


@command
async def restored(
    session: Session,
    side: Annotated[
        str, typer.Option(metavar="cmms|dynamics|ledger", help="What was restored. The other side's values then count.")
    ],
    at: Annotated[str, typer.Option(metavar="INSTANT", help="The moment of the backup, such as 2026-01-31T02:30:00Z.")],
    entity: Annotated[str | None, typer.Option("--entity", "-e", help="Only this entity: asset or order.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Records a second, at most.")] = 100.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken from where, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Settle what a restored backup took back: on one side, or in the ledger.

    Shows for each field how many records would take which side's value, with examples, and asks. Every value that does
    not survive is kept in its record's conflicts. Messages that were parked for the restore are sent again. What is
    done is done after an interruption: run the same command again. The runbook's section after-a-restore tells what to
    do before. The exit code is 1 where something is left for a person.

    For example:

    \b
        python -m ops restored --side dynamics --at 2026-01-31T02:30:00Z --dry-run --local
        python -m ops restored --side cmms --at 2026-01-31T02:30:00+01:00 --yes --local
        python -m ops restored --side ledger --at 2026-01-31T02:30:00Z --rate 20
    """
    wiring = session.wiring
    what = _side(side)
    moment = _instant(at, wiring.clock.now())
    if wiring.cmms is None and what != "dynamics":
        raise UsageError(
            "In one-way mode (CMMS_BASE_URL is not set) the ledger is all that is known of the CMMS: have the CMMS"
            " announce its records again instead (manage.py anunciar)."
        )
    entities = wiring.mapping.entities if entity is None else {entity: session.entity(entity)}
    restore = Restore(
        ledger=wiring.ledger,
        dynamics=wiring.dynamics,
        cmms=wiring.cmms,
        router=wiring.router,
        clock=wiring.clock,
    )
    await session.reach()
    with _progress(session) as progress:
        task = progress.add_task("looking", total=None)
        found = [
            await restore.look(one, what, moment, lambda count: progress.advance(task, count))
            for one in entities.values()
        ]
    if dry_run or not _agreed(session, found, what, yes=yes):
        return _only_shown(session, found, dry_run=dry_run)
    with _progress(session) as progress:
        task = progress.add_task("settling", total=sum(len(one.work) for one in found))
        for one in found:
            await restore.settle(one, what, rate=rate, progress=lambda count: progress.advance(task, count))
    replayed = await _replay(session, found)
    return _conclude(session, found, replayed)


def _side(text: str) -> Restored:
    found = next((side for side in _SIDES if side == text), None)
    if found is None:
        raise UsageError(f"--side {text!r} was not restored: name one of {', '.join(_SIDES)}.")
    return found


def _instant(text: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is no instant: write it as 2026-01-31T02:30:00Z.") from None
    if found.tzinfo is None:
        raise UsageError(f"--at {text!r} has no time zone: add Z for UTC, or an offset such as +01:00.")
    if found > now:
        raise UsageError(f"--at {text!r} is in the future: name the moment of the backup. It is {stamp(now)} now.")
    return found


async def _replay(session: Session, found: Sequence[Taken]) -> list[Waiting]:
    """Send the messages again that were parked for what is settled now; those of other records stay."""
    settled = {(one.entity.name, key) for one in found for key in one.keys}
    parked = ParkedMessages(session.queues, session.wiring.bus, session.wiring.clock.now)
    for_it = [
        message
        for message in (await parked.find(Filter()) if settled else ())
        if message.reason in REASONS and (message.entity, message.key) in settled
    ]
    return (await parked.replay(for_it, lambda _message, _problem: None)).done if for_it else []


def _agreed(session: Session, found: Sequence[Taken], side: Restored, *, yes: bool) -> bool:
    if yes:
        return True
    if session.as_json:
        raise UsageError("--json cannot ask: add --yes to go ahead, or --dry-run to look only.")
    _print(session, found)
    count = sum(len(one.records) + len(one.lost) for one in found)
    # Where nothing is to be settled, the word counts for what people edit from now on.
    return count == 0 or session.agreed(f"Settle {plural(count, 'record')}? Where both sides differ, {_COUNTS[side]}.")


def _only_shown(session: Session, found: Sequence[Taken], *, dry_run: bool) -> int:
    if session.as_json:
        session.print_json({"dry_run": dry_run, **_document(found)})
    elif dry_run:
        _print(session, found)
    else:
        session.note("Nothing was changed.")
    left = any(one.records or one.lost or one.for_people or one.busy for one in found)
    return ExitCode.FINDINGS if left else ExitCode.FINE


def _conclude(session: Session, found: Sequence[Taken], replayed: Sequence[Waiting]) -> int:
    settled = sum(len(one.records) + len(one.lost) for one in found)
    people = [f"{one.entity.name} {key}" for one in found for key in one.for_people]
    busy = [f"{one.entity.name} {key}" for one in found for key in one.busy]
    if session.as_json:
        session.print_json(
            {"dry_run": False, **_document(found), "enqueued": settled, "replayed": [one.sequence for one in replayed]}
        )
    else:
        text = f"{plural(settled, 'record')} enqueued; {plural(len(replayed), 'parked message')} sent again."
        session.out.print(text, soft_wrap=True)
        if people:
            session.out.print(f"[red]For a person: {escape(plain(_some(people)))}[/]", soft_wrap=True)
        if busy:
            text = f"Being written just now, run the command again for them: {_some(busy)}"
            session.out.print(f"[yellow]{escape(plain(text))}[/]", soft_wrap=True)
        session.note("'drift' and 'show' tell how they end.")
    return ExitCode.FINDINGS if people or busy else ExitCode.FINE


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= len(shown.split(", ")) else f"{shown} and {len(names) - 10:,} more"


def _document(found: Sequence[Taken]) -> dict[str, Any]:
    return {
        "entities": [
            {
                "entity": one.entity.name,
                "looked_at": one.looked_at,
                "records": len(one.records),
                "lost_in_the_cmms": len(one.lost),
                "for_people": one.for_people,
                "being_written": one.busy,
                "effects": [
                    {
                        "field": effect.name,
                        "what": effect.what,
                        "count": effect.count,
                        "examples": [{"key": key, "cmms": cmms, "dynamics": row} for key, cmms, row in effect.examples],
                    }
                    for effect in one.effects.values()
                ],
            }
            for one in found
        ]
    }


def _print(session: Session, found: Sequence[Taken]) -> None:
    out = session.out
    for one in found:
        for effect in sorted(one.effects.values(), key=lambda effect: (-effect.count, effect.name)):
            name = "whole records" if effect.name == "*" else effect.name
            text = f"~ {one.entity.name} {name}: {effect.what}: {plural(effect.count, 'record')}"
            out.print(f"[yellow]{escape(plain(text))}[/]", soft_wrap=True)
            rows = [(f"    {key}", _value(cmms), _value(row)) for key, cmms, row in effect.examples]
            table(out, ("    such as", "CMMS", "Dynamics"), rows)
        count = len(one.records) + len(one.lost)
        text = (
            f"{one.entity.name}: {one.looked_at:,} looked at, {count:,} to settle, {len(one.for_people):,} for a person"
        )
        out.print(text, soft_wrap=True)


def _value(value: str | None) -> str:
    return "-" if value is None else value


def _progress(session: Session) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=session.err, transient=True)
