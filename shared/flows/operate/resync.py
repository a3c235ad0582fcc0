"""Asking for records to be looked at again, at a bounded rate, and following them to their outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

from shared.domain.ledger import Stored
from shared.domain.messages.events import Operation, parse_event
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, LedgerUnreadable
from shared.flows.operate.parked import Queues, Waiting
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

    async def all_keys(self, entity: EntityMapping) -> list[str]:
        """Every key that either side or the ledger knows.

        Raises:
            TransientError: A side could not be read.
        """
        keys: set[str] = set()
        async for entries in self._ledger.scan(entity.name):
            # The message of a record whose row cannot be read tells what to do with it.
            keys.update(one.key for one in entries if isinstance(one, LedgerUnreadable) or one.moved_to is None)
        async for rows in self._dynamics.pages(entity):
            keys.update(row.key for row in rows if row.key)
        if self._cmms is not None:
            async for records in self._cmms.pages(entity):
                keys.update(record.key for record in records)
        return sorted(keys)

    async def unknown(self, entity: EntityMapping, keys: Sequence[str]) -> list[str]:
        """Those of the keys that neither side nor the ledger knows: most likely they are misspelt.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        stored = await self._ledger.read(entity.name, keys)
        missing = [key for key in keys if isinstance(found := stored[key], Stored) and found.etag is None]
        if missing and self._cmms is not None:
            records = await self._cmms.each_by_key(entity, missing)
            missing = [key for key in missing if key not in records]
        if missing:
            rows = await self._dynamics.by_key(entity, missing)
            missing = [key for key in missing if not rows.get(key)]
        return missing

    async def keys_since(self, entity: EntityMapping, since: datetime) -> list[str]:
        """The keys of what changed on either side since an instant.

        Raises:
            TransientError: A side could not be read.
        """
        keys: set[str] = set()
        async for found in self._changed.changed_since(entity, since):
            keys.update(key for key in found if key)
        if self._cmms is not None:
            async for found in self._cmms.changed_since(entity, since):
                keys.update(found)
        return sorted(keys)

    async def enqueue(
        self,
        entity: EntityMapping,
        keys: Sequence[str],
        *,
        rate: float,
        recreate: bool,
        progress: Callable[[int], None],
    ) -> None:
        """Enqueue one message for each key, at most `rate` a second; `progress` hears how many more are done.

        Raises:
            RoutingFailed: The queue failed; what was counted is enqueued.
        """
        run = f"{SOURCE}/{uuid4()}"
        chunk = max(1, min(_CHUNK, int(rate)))
        started = self._clock.monotonic()
        for start in range(0, len(keys), chunk):
            due = started + start / rate
            await asyncio.sleep(max(0.0, due - self._clock.monotonic()))
            part = keys[start : start + chunk]
            order: Operation = "recreate" if recreate else "resync"
            await self._router.resync(entity.name, part, reason="an operator's order", source=run, operation=order)
            progress(len(part))

    async def follow(
        self,
        entity: EntityMapping,
        keys: Collection[str],
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
        followed = Followed(waiting=set(keys))
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
                await self._known_bad(entity, followed)
                # What settled a moment ago may have been parked in that moment.
                for message in await self._parked(entity, since - _SKEW):
                    if message.key in followed.settled:
                        followed.settled.discard(message.key)
                        followed.parked[message.key] = message.reason
                return followed
            await asyncio.sleep(_LOOK_AGAIN.total_seconds())

    async def _known_bad(self, entity: EntityMapping, followed: Followed) -> None:
        """A field that is parked already is not parked again for the same value: the ledger knows it."""
        stored = await self._ledger.read(entity.name, sorted(followed.settled))
        for key, one in stored.items():
            if isinstance(one, LedgerUnreadable):
                followed.settled.discard(key)
                followed.parked[key] = one.reason
            elif one.entry.parked:
                fields = ", ".join(f"{name} ({field.reason})" for name, field in sorted(one.entry.parked.items()))
                followed.settled.discard(key)
                followed.parked[key] = f"already, for {fields}"

    async def _busy(self, entity: EntityMapping) -> set[str]:
        """Keys whose messages are on the queue: active, locked or scheduled for a retry."""
        keys: set[str] = set()
        async for page in self._queues.peek(OF_ENTITY[entity.name].name):
            for message in page:
                try:
                    event = parse_event(message.body)
                except InvalidMessage:
                    continue
                keys.add(str(event.data.get("key") or event.subject or ""))
        return keys

    async def _parked(self, entity: EntityMapping, since: datetime) -> list[Waiting]:
        found: list[Waiting] = []
        async for page in self._queues.peek(PARKED.name):
            found.extend(one for one in page if one.entity == entity.name and one.enqueued_at >= since)
        return found
