"""Asking for records to be looked at again, at a bounded rate, and following them to their outcome."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

from shared.domain.link import Identity
from shared.domain.messages.events import Operation, parse_event
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, LedgerUnreadable
from shared.flows.operate.parked import Queues, Waiting
from shared.flows.operate.records import named_by_key
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.routing.route import Router

SOURCE: Final = "/ops"
_CHUNK: Final = 50
_LOOK_AGAIN: Final = timedelta(seconds=0.5)
# A clock of another machine may be behind ours by this much.
_SKEW: Final = timedelta(seconds=5)


class Changed(Protocol):
    """The side of Dynamics that knows when a row was changed."""

    def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        """The keys of rows that were changed since an instant, page by page."""


@dataclass
class Followed:
    """What became of the records: `parked` with their reasons; `waiting` had no outcome yet."""

    settled: set[str] = field(default_factory=set)
    parked: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


def name_of(identity: Identity, key: str) -> str:
    """A record's name for people: its key, where that is known."""
    return key or identity.value


class Resync:
    """An operator's resync. Keys are counted as they are enqueued, so that progress can be shown."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        queues: Queues,
        clock: Clock,
        changed: Changed,
    ) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._queues = queues
        self._clock = clock
        self._changed = changed

    async def named(self, entity: EntityMapping, keys: Sequence[str]) -> Mapping[Identity, str]:
        """The records with these keys.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        return await named_by_key(entity, keys, self._ledger, self._dynamics, self._cmms)

    async def everything(self, entity: EntityMapping) -> Mapping[Identity, str]:
        """Every record that either side or the ledger knows, by identity, with its key.

        Raises:
            TransientError: A side could not be read.
        """
        found: dict[Identity, str] = {}
        linked: set[Identity] = set()
        async for page in self._ledger.hashes(entity.name):
            for one in page:
                names = one.identities
                found[names[0]] = one.key
                linked.update(names)
        async for rows in self._dynamics.pages(entity):
            new = {Identity("row", row.id): row.key for row in rows}
            found |= {identity: key for identity, key in new.items() if identity not in linked}
        if self._cmms is not None:
            async for records in self._cmms.pages(entity):
                found |= {Identity("cmms", record.id): record.key for record in records}
        return found

    async def changed(self, entity: EntityMapping, since: datetime) -> Mapping[Identity, str]:
        """The records that changed on either side since an instant; keys are left out where only ids are known.

        Raises:
            TransientError: A side could not be read.
        """
        keys: list[str] = []
        async for page in self._changed.changed_since(entity, since):
            keys += [key for key in page if key]
        found = dict(await self.named(entity, keys)) if keys else {}
        if self._cmms is not None:
            async for ids in self._cmms.changed_since(entity, since):
                found = {Identity("cmms", one): "" for one in ids} | found
        return found

    async def enqueue(
        self,
        entity: EntityMapping,
        records: Mapping[Identity, str],
        *,
        rate: float,
        recreate: bool,
        prefer: Side | None = None,
        progress: Callable[[int], None],
    ) -> None:
        """Enqueue one message for each record, at most `rate` a second; `progress` hears how many more are done.

        Raises:
            RoutingFailed: The queue failed; what was counted is enqueued.
        """
        run = f"{SOURCE}/{uuid4()}"
        chunk = max(1, min(_CHUNK, int(rate)))
        started = self._clock.monotonic()
        named = list(records.items())
        for start in range(0, len(named), chunk):
            due = started + start / rate
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            part = dict(named[start : start + chunk])
            order: Operation = "recreate" if recreate else "resync"
            await self._router.resync(
                entity.name, part, reason="an operator's order", source=run, operation=order, prefer=prefer
            )
            progress(len(part))

    async def follow(
        self,
        entity: EntityMapping,
        records: Mapping[Identity, str],
        since: datetime,
        patience: timedelta,
        progress: Callable[[Followed], None],
    ) -> Followed:
        """Wait until each record agrees on both sides or is parked.

        The outcome is read from what the messages caused: the queue is empty of the key's messages when nothing
        is waiting on it that arrived since, and a parked message names its key.

        Raises:
            TransientError: The queues could not be read.
        """
        followed = Followed(waiting={name_of(identity, key) for identity, key in records.items()})
        deadline = self._clock.monotonic() + patience.total_seconds()
        while True:
            busy = await self._busy(entity)
            for message in await self._parked(entity, since - _SKEW):
                if message.key in followed.waiting and message.key not in busy:
                    followed.parked[message.key] = message.reason
                    followed.waiting.discard(message.key)
            if self._clock.monotonic() >= deadline:
                return followed
            done = {key for key in followed.waiting if key not in busy}
            followed.settled |= done
            followed.waiting -= done
            progress(followed)
            if not followed.waiting:
                await self._known_bad(entity, records, followed)
                # What settled a moment ago may have been parked in that moment.
                for message in await self._parked(entity, since - _SKEW):
                    if message.key in followed.settled:
                        followed.settled.discard(message.key)
                        followed.parked[message.key] = message.reason
                return followed
            await self._clock.sleep(_LOOK_AGAIN.total_seconds())

    async def _known_bad(self, entity: EntityMapping, records: Mapping[Identity, str], followed: Followed) -> None:
        """A field that is parked already is not parked again for the same value: the ledger knows it."""
        for identity, one in (await self._ledger.find(entity.name, records)).items():
            name = name_of(identity, records[identity])
            if isinstance(one, LedgerUnreadable):
                followed.settled.discard(name)
                followed.parked[name] = one.reason
            elif one.link.parked:
                fields = ", ".join(f"{field} ({park.reason})" for field, park in sorted(one.link.parked.items()))
                followed.settled.discard(name)
                followed.parked[name] = f"already, for {fields}"

    async def _busy(self, entity: EntityMapping) -> set[str]:
        """Keys whose messages are on the queue: active, locked or scheduled for a retry."""
        keys: set[str] = set()
        async for page in self._queues.peek(OF_ENTITY[entity.name].name):
            for message in page:
                try:
                    event = parse_event(message.body)
                except InvalidMessage:
                    continue
                names = (event.data.get("key"), event.subject, event.data.get("cmms_id"), event.data.get("record_id"))
                keys.update(str(name) for name in names if name)
        return keys

    async def _parked(self, entity: EntityMapping, since: datetime) -> list[Waiting]:
        found: list[Waiting] = []
        async for page in self._queues.peek(PARKED.name):
            found.extend(one for one in page if one.entity == entity.name and one.enqueued_at >= since)
        return found
