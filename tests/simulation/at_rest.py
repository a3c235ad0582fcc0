"""What is looked at once people are done and everything has come to rest, and the judgement of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.emulators.dataverse import Dataverse
from shared.domain.link import Link
from shared.domain.messages.events import DirtyData, Event
from shared.domain.messages.queues import OF_ENTITY
from shared.errors import KeyNotUsable
from shared.flows.ports.engine import Outgoing
from tests.simulation import one_way
from tests.simulation.checker import check, describe
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.conditions import Conditions
from tests.simulation.evidence import Evidence, Untold
from tests.simulation.first_sync import FirstSync
from tests.simulation.history import History
from tests.simulation.observe import Observer
from tests.simulation.people import People
from tests.simulation.queues import Queues
from tests.simulation.tables import TABLES
from tests.simulation.timer import Timer
from tests.simulation.watched_ledger import WatchedLedger
from tests.simulation.webhooks import Webhooks
from tests.simulation.wire import Outage
from tests.simulation.worker import Worker

LONGEST_RUN = 60 * 3600.0
CHECKPOINT = "reconcile/checkpoint"
SOON = 60.0


@dataclass(frozen=True)
class Quiet:
    """Waits until nothing is under way."""

    outages: Mapping[str, Outage]
    webhooks: Webhooks
    stragglers: set[asyncio.Task[None]]
    queues: Queues
    cmms: CmmsModel

    async def __call__(self) -> None:
        """Wait until nothing is under way."""
        loop = asyncio.get_running_loop()
        away = max((end for outage in self.outages.values() for _, end in outage.spans), default=0.0)
        await asyncio.sleep(max(0.0, away - loop.time()))
        while self.webhooks.busy or self.stragglers or self.queues.busy or not all(m.sent for m in self.cmms.outbox):
            if loop.time() > LONGEST_RUN:
                raise TimeoutError(f"{self.queues.busy} messages are still under way after {LONGEST_RUN / 3600:.0f} h")
            await asyncio.sleep(20.0)


@dataclass
class LastLook:
    """Looks and judges, round by round; `links` is what the ledger held at the last judgement, for people."""

    quiet: Quiet
    timer: Timer
    webhooks: Webhooks
    people: People
    first_sync: FirstSync
    queues: Queues
    cmms: CmmsModel
    dataverse: Dataverse
    ledger: WatchedLedger
    history: History
    observer: Observer
    conditions: Conditions
    workers: Sequence[Worker]
    one_way: bool = field(kw_only=True)
    links: list[str] = field(default_factory=list)

    async def verdict(self) -> list[str]:
        """What is wrong, found as early as possible: as it stands, then after each kind of pass, then after all."""
        untold = self.people.untold | self.webhooks.lost | self.first_sync.untold | await self._in_the_way()
        found = [f"before the sweep: {one}" for one in await self._judge(untold)]
        if not found and not self.one_way and await self.ledger.get_state([CHECKPOINT]):
            found = await self.timer.sweep_until_quiet(None) or await self._missed_by_incremental_passes()
        if not found and not self.one_way:
            found = await self.timer.sweep_until_quiet("full")
        if not found:
            found = [*await self._look_once_more(), *await self._judge(set(), everything_seen=True)]
        return found

    async def _missed_by_incremental_passes(self) -> list[str]:
        """What a full pass finds to repair now, but for what nothing tells of: silent imports, rows nobody knew."""
        untold = self.people.untold | self.first_sync.untold | await self._in_the_way()
        missed = await self._judge(untold | self.timer.reported)
        self.timer.repairable.clear()
        await self.timer.sweep("full")
        left = sorted(self.timer.repairable - untold)
        await self.quiet()
        return [f"after the incremental pass: {one}" for one in (*missed, *(" ".join(one) for one in left))]

    async def _in_the_way(self) -> set[Untold]:
        """Rows without a record that stood in the way of a record with their key, as a parked message says.

        Nothing tells of such a row once the record has left the key or was deleted: a replay or a full pass does.
        """
        texts = [
            str(delivery.message.application_properties.get("message"))
            for delivery in await self.queues.parked()
            if delivery.message.application_properties.get("reason") == KeyNotUsable.reason
        ]
        lonely = [
            (entity, str(row.id))
            for entity, table in TABLES.items()
            for row in self.dataverse.tables[table]
            if self.ledger.link_of_row(entity, str(row.id)) is None
        ]
        return {("dynamics", entity, row) for entity, row in lonely if any(row in text for text in texts)}

    async def _look_at_everything(self) -> None:
        """Have every record looked at that either side knows."""
        for entity, table in TABLES.items():
            names = [{"cmms_id": str(pk)} for pk in self.cmms.tables[entity].memories]
            names += [{"record_id": str(row.id)} for row in self.dataverse.tables[table]]
            events = [
                Event(source="/ops", type=f"sync.{entity}.dirty", data=DirtyData(**name).model_dump(mode="json"))
                for name in names
            ]
            await self.queues.send(OF_ENTITY[entity].name, [Outgoing(event.to_json()) for event in events])

    async def _look_once_more(self) -> list[str]:
        """Look at everything: two-way, reconciliation must have left nothing to write; one-way, it does the same."""
        # What a frozen worker read long ago it may yet park, soon after it thaws: only then the ledger tells it that it
        # is late, and its message is another worker's by then.
        thaws = max((worker.process.thaws_at for worker in self.workers), default=0.0) + SOON
        await asyncio.sleep(max(0.0, thaws - asyncio.get_running_loop().time()))
        await self.quiet()
        for _ in range(2 if self.one_way else 1):
            before, held, parked = self.observer.writes, self._held(), len(await self.queues.parked())
            await self._look_at_everything()
            await self.quiet()
        # A row of a key by which nobody has looked yet may be parked now, once.
        # Two workers that look at the same time may both park the message of it.
        anew = {
            tuple(delivery.message.application_properties.get(name) for name in ("key", "reason", "field"))
            for delivery in (await self.queues.parked())[parked:]
        }
        if len(anew) > len(self._held() - held):
            return ["looking at a record at rest parks what is parked already"]
        return [] if self.observer.writes == before else ["looking at a record at rest finds something to write"]

    def _held(self) -> set[tuple[str, str, str, str]]:
        """What the ledger holds back: entity, record or row, field, and the digest of what was parked."""
        return {
            (entity, str(link.cmms_id or link.row_id), name, parked.digest)
            for entity, link in self.ledger.all_links()
            for name, parked in link.parked.items()
        }

    async def _judge(self, untold: set[Untold], *, everything_seen: bool = False) -> list[str]:
        links: list[tuple[str, Link]] = self.ledger.all_links()
        self.links = [f"{entity} {describe(link)}" for entity, link in links]
        judge = one_way.check if self.one_way else check
        return judge(
            Evidence(
                history=self.history,
                observer=self.observer,
                cmms=self.cmms,
                dataverse=self.dataverse,
                links=links,
                parked=await self.queues.parked(),
                dead_letters=self.queues.dead,
                untold=untold,
                conditions=self.conditions,
            ),
            everything_seen=everything_seen,
        )
