"""One batch of messages, from bytes to an outcome for each. See docs/architecture.md for the rules by number."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from shared.domain.ledger import Entry
from shared.domain.made_again import made_again
from shared.domain.messages.ahead import ahead_of_time
from shared.domain.messages.queues import OF_ENTITY
from shared.domain.plan import Plan, Sides, decide
from shared.domain.recovery import settle_intents
from shared.domain.renamed import is_aside
from shared.domain.schema.mapping import EntityMapping, Mapping
from shared.domain.update import plan_release
from shared.errors import (
    Conflict,
    IntentHeld,
    InvalidMessage,
    RoutingFailed,
    SyncError,
    TransientError,
    Unexpected,
)
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.routing.outcomes import Again, Done, Park
from shared.flows.routing.route import Routed, Router
from shared.flows.sync.execute import INTENT_LIFE, Executor
from shared.flows.sync.items import (
    Group,
    Item,
    Memories,
    group_by_key,
    read_item,
    regrouped,
    remembered,
    still_open,
    unseen,
    unseen_rows,
)
from shared.flows.sync.jobs import Job
from shared.flows.sync.moves import Moves
from shared.flows.sync.naming import name_keys
from shared.flows.sync.observe import observed
from shared.flows.sync.reading import Reader
from shared.flows.sync.renames import Renames
from shared.flows.sync.strangers import held_back, is_anothers, wait_for_rows

log = logging.getLogger(__name__)
# Rounds within one batch for records that change under our hands; then the message waits its turn again. A record
# gets as many as it has fields, too, and one more: a side refuses one at a time, and the good ones are to arrive.
ROUNDS: Final = 6
_ROUND: Final = INTENT_LIFE + timedelta(seconds=20)
"""What a round may take: the longest bulk write, and its reads. None is begun that would outlive the queue's lock."""


@dataclass(frozen=True)
class Summary:
    """What became of a batch, in messages, and the field-level parks beside them."""

    applied: int
    already_true: int
    retried: int
    parked: int
    fields_parked: int


class Sync:
    """The engine. One instance serves every entity and any number of batches at a time."""

    def __init__(
        self,
        mapping: Mapping,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        *,
        clock: Clock,
        ids: Callable[[], UUID] = uuid4,
    ) -> None:
        """`cmms` None means one-way mode: the messages' own values are the CMMS's side. `ids` names new rows."""
        self._mapping = mapping
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._ids = ids
        self._executor = Executor(ledger, dynamics, cmms, router, clock=clock, ids=ids)
        self._reader = Reader(ledger, dynamics, cmms)
        self._renames = Renames(ledger, cmms, router, clock) if cmms is not None else None

    async def handle(self, entity_name: str, bodies: Sequence[bytes]) -> Summary:
        """Process a batch of message bodies from the entity's queue.

        Raises:
            RoutingFailed: An outcome could not be written to the bus; the broker must redeliver the batch.
        """
        entity = self._mapping.entities.get(entity_name)
        if entity is None:
            return await self._unmapped(entity_name, bodies)
        items = [read_item(entity, body) for body in bodies]
        with observed(entity.name, items, self._clock):
            return await self._handle(entity, items)

    async def _unmapped(self, entity_name: str, bodies: Sequence[bytes]) -> Summary:
        error = InvalidMessage(f"The mapping holds no {entity_name}: add it (SYNC_MAPPING), and replay this message.")
        queue = OF_ENTITY[entity_name].name
        routed = await self._router.route(queue, [Routed(body, None, None, Park(error)) for body in bodies])
        return Summary(0, 0, routed.retried, routed.parked, 0)

    async def _handle(self, entity: EntityMapping, items: list[Item]) -> Summary:
        fields_parked = 0
        try:
            fields_parked = await self._work(entity, items)
        except RoutingFailed:
            raise
        except TransientError as error:
            self._leave(items, error)
        except Exception as error:
            # A fault of ours must not redeliver the good messages of the batch for ever: it counts as an attempt.
            log.exception("The %s batch failed in an unexpected way", entity.name)
            self._leave(items, Unexpected(f"{type(error).__name__} in the sync engine: see the log."))
        routed = await self._router.route(OF_ENTITY[entity.name].name, [_routed(item) for item in items])
        outcomes = [item.outcome for item in items]
        summary = Summary(
            applied=sum(isinstance(outcome, Done) and outcome.applied for outcome in outcomes),
            already_true=sum(isinstance(outcome, Done) and not outcome.applied for outcome in outcomes),
            retried=routed.retried,
            parked=routed.parked,
            fields_parked=fields_parked,
        )
        log.info(
            "%s: %d messages: %d applied, %d already true, %d to retry, %d parked, %d fields parked",
            entity.name, len(items), summary.applied, summary.already_true, summary.retried, summary.parked,
            fields_parked,
        )  # fmt: skip
        return summary

    @staticmethod
    def _leave(items: Sequence[Item], error: TransientError) -> None:
        for item in items:
            if item.outcome is None:
                item.outcome = Again(error)

    async def _work(self, entity: EntityMapping, items: list[Item]) -> int:
        await name_keys(self._ledger, self._dynamics, entity, items)
        read = await self._as_said(entity, items) if self._cmms is None else None
        pending = group_by_key(items)
        parked = 0
        latest = self._clock.monotonic() + (OF_ENTITY[entity.name].lock_duration - _ROUND).total_seconds()
        for number in range(max(ROUNDS, len(entity.fields) + 1)):
            if not pending:
                return parked
            if number and self._clock.monotonic() > latest:
                break
            if number and self._cmms is None:
                # A race may have been lost to a rename that another worker heard of.
                read = await Moves(self._ledger, entity, self._clock).follow(items)
                pending = regrouped(pending)
            # What was read a moment ago serves the first round: its etags still guard it, and no side was read yet.
            parked += await self._round(entity, pending, read or await self._ledger.read(entity.name, list(pending)))
            read = None
            pending = still_open(pending.values())
        for group in pending.values():
            group.finish(Again(group.lost or Conflict(f"{group.key} kept changing while it was being written.")))
        return parked

    async def _as_said(self, entity: EntityMapping, items: list[Item]) -> Memories:
        """One-way mode: what the messages say of renames; answers the memories by which they were followed.

        The round must go by the same ones: what it writes then fails where a rename came in between.
        """
        now = self._clock.now()
        for item in items:
            if item.outcome is None and (error := ahead_of_time(item.version, now)) is not None:
                item.outcome = Park(error)
            if item.outcome is None and item.key is not None and is_aside(item.key):
                item.outcome = Done(applied=False)  # only the CMMS's API could tell whose memory it is
        moves = Moves(self._ledger, entity, self._clock)
        read = await moves.follow(items)
        said = tuple(items)
        if await moves.rename(items):
            read = await moves.follow(said)
            if unread := sorted({item.key for item in items[len(said) :] if item.key} - read.keys()):
                read = {**read, **await self._ledger.read(entity.name, unread)}
        return read

    async def _round(self, entity: EntityMapping, groups: dict[str, Group], read: Memories) -> int:
        stored = remembered(groups, read)
        now = self._clock.now()
        ready = {key: groups[key] for key, one in stored.items() if not _held(groups[key], one.entry, now)}
        if not ready:
            return 0
        sides, entries = await self._read(entity, ready, {key: stored[key].entry for key in ready})
        ready = {key: group for key, group in ready.items() if key in sides}
        us = await self._who_are_we(entries[key] for key in ready)
        for key in ready:
            entries[key] = self._settled(entity, entries[key], sides[key], us)
        strangers = await self._reader.strangers(entity, ready, sides, entries)
        if self._renames is not None:
            known = {key: stored[key].model_copy(update={"entry": entries[key]}) for key in ready}
            moved = await self._renames.follow(entity, ready, known, sides, strangers)
            ready = {key: group for key, group in ready.items() if key not in moved}
        releasing = wait_for_rows(ready, strangers, sides)
        jobs: list[Job] = []
        for key, group in ready.items():
            self._wait_for_sides(entity, group, sides[key], entries[key])
            if group.open_items and key in releasing:
                jobs.append(Job(group, stored[key], plan_release(entity, entries[key], releasing[key], now)))
            elif group.open_items and is_anothers(key, strangers.get(key), sides[key]):
                jobs.append(Job(group, stored[key], held_back(entries[key], strangers[key])))
            elif group.open_items and (plan := self._planned(entity, entries[key], sides[key], group)) is not None:
                jobs.append(Job(group, stored[key], plan))
        return await self._executor.run(entity, jobs)

    def _wait_for_sides(self, entity: EntityMapping, group: Group, sides: Sides, entry: Entry) -> None:
        """Rule 1: what a side announced and does not show yet is tried again, never concluded from."""
        missing = unseen(group.open_items, sides.cmms) if self._cmms is not None else []
        if not sides.rows and sides.bound is None and entry.dynamics_id is None:
            missing = [*missing, *unseen_rows(group.open_items, entity)]
        for item, error in missing:
            item.outcome = Again(error)

    def _planned(self, entity: EntityMapping, entry: Entry, sides: Sides, group: Group) -> Plan | None:
        try:
            return self._plan(entity, entry, sides, group)
        except Exception as error:
            log.exception("Planning %s %s failed in an unexpected way", entity.name, group.key)
            group.finish(Again(Unexpected(f"{type(error).__name__} while planning: see the log.")))
            return None

    async def _read(
        self, entity: EntityMapping, groups: dict[str, Group], entries: dict[str, Entry]
    ) -> tuple[dict[str, Sides], dict[str, Entry]]:
        return await self._reader.sides(entity, groups, entries)

    async def _who_are_we(self, entries: Iterable[Entry]) -> str | None:
        """Our user in Dynamics, where a write to Dynamics has an unknown outcome; None where nobody can tell."""
        if any(intent.side == "dynamics" for entry in entries for intent in entry.intents):
            with suppress(SyncError):
                return str(await self._dynamics.user_id())
        return None

    def _settled(self, entity: EntityMapping, entry: Entry, sides: Sides, us: str | None) -> Entry:
        row = sides.bound or next((row for row in sides.rows if row.key == entry.key), None)
        ours = row is not None and us is not None and row.modified_by == us
        if row is not None and row.id != entry.pending_row:
            ours = ours and entity.tells_creation and not made_again(entry, row)
        return settle_intents(entry, sides.cmms if self._cmms else None, row, self._clock.now(), ours=ours)

    def _plan(self, entity: EntityMapping, entry: Entry, sides: Sides, group: Group) -> Plan:
        return decide(
            entity,
            entry,
            sides,
            self._clock.now(),
            cmms_writable=self._cmms is not None,
            announced_deleted=group.announced_deleted,
            recreate=group.recreate,
            refused=group.refused,
        )


def _held(group: Group, entry: Entry, now: datetime) -> bool:
    """Whether another worker is writing the record; its messages then wait until that intent's end."""
    if intent := entry.live_intent(now):
        wait = intent.expires_at - now
        group.finish(Again(IntentHeld(f"Another worker is writing {group.key} right now.", retry_after=wait)))
    return intent is not None


def _routed(item: Item) -> Routed:
    if item.outcome is None:
        raise AssertionError("every message has an outcome by now")
    return Routed(item.body, item.event, item.key, item.outcome)
