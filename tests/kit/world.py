"""The engine between both systems, and one way to drain its queue."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import cast
from uuid import uuid4

from shared.adapters.ledger.sqlite import SqliteLedger
from shared.domain.link import Identity, Link, Stored
from shared.domain.messages.events import Event, Operation, parse_event
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.domain.model import DynamicsRecord, Value
from shared.domain.schema.mapping import Mapping as Table
from shared.flows.ports import engine as ports
from shared.flows.routing.route import Router
from shared.flows.sync import Summary, Sync
from shared.flows.sync.lanes import LANE
from tests.fakes import FakeBus, FakeClock, document_mapping
from tests.kit.sides import Cmms, Dynamics


class Ledger(SqliteLedger):
    """In memory; tells when it is asked."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__(":memory:")
        self._told = calls

    async def find(self, entity, identities):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # as its parent
        self._told += ["ledger read"] if identities else []
        return await super().find(entity, identities)

    async def write(self, entity, links):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # as its parent
        self._told += ["ledger write"] if links else []
        return await super().write(entity, links)


@dataclass
class World:
    """One engine, one ledger, both sides. The record with the CMMS's id "1" is asset A unless a test says otherwise."""

    one_way: bool = False
    mapping: Table = field(default_factory=document_mapping)
    lane: int = LANE

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.clock = FakeClock()
        self.bus = FakeBus()
        self.dynamics = Dynamics(self.calls, self.clock)
        self.cmms = Cmms(self.calls, self.clock)
        self.ledger = Ledger(self.calls)
        self.router = Router(self.bus, self.clock, Random(1))  # noqa: S311  # jitter
        self.sync = self._engine()

    def _engine(self) -> Sync:
        # The sides leave out what the engine never calls, such as reading everything.
        dynamics, cmms = cast("ports.Dynamics", self.dynamics), cast("ports.Cmms", self.cmms)
        side = None if self.one_way else cmms
        return Sync(self.mapping, self.ledger, dynamics, side, self.router, clock=self.clock, lane=self.lane)

    def choose(self, *, one_way: bool) -> None:
        """Change the mode: from now on the CMMS has no API, or has one."""
        self.one_way = one_way
        self.sync = self._engine()

    def close(self) -> None:
        self.ledger.close()

    async def dirty(self, cmms_id: str = "1", *, operation: Operation = "resync", entity: str = "asset") -> Summary:
        """One message that says: look at this record."""
        return await self.send("dirty", {"cmms_id": cmms_id, "operation": operation}, entity)

    async def webhook(self, row: DynamicsRecord | str, operation: Operation = "update") -> Summary:
        """One message of Dynamics about an asset's row."""
        row_id = row if isinstance(row, str) else row.id
        return await self.send("dirty", {"record_id": row_id, "operation": operation})

    async def said(
        self,
        version: datetime,
        kind: str = "upserted",
        *,
        key: str = "A",
        cmms_id: str | None = "1",
        entity: str = "asset",
        **fields: Value,
    ) -> Summary:
        """One message of the CMMS about a record; `cmms_id` None for a producer without ids."""
        data: dict[str, object] = {"key": key, "version": version.isoformat()}
        data |= {"id": cmms_id} if cmms_id is not None else {}
        data |= {"fields": fields} if kind != "deleted" else {}
        return await self.send(kind, data, entity)

    async def send(self, kind: str, data: dict[str, object], entity: str = "asset") -> Summary:
        """One message of any kind."""
        prefix = "sync" if kind == "dirty" else "energy"
        event = Event(id=str(uuid4()), source="/test", type=f"{prefix}.{entity}.{kind}", data=data)
        return await self.sync.handle(entity, [event.to_json().encode()])

    async def replay(self, reason: str | None = None) -> None:
        """Send the assets' parked messages once more, as an operator does: all, or those of one reason."""
        parked = self.bus.queues.pop(PARKED.name)
        chosen = [message for message in parked if reason in {None, message.properties["reason"]}]
        self.bus.queues[PARKED.name] = [message for message in parked if message not in chosen]
        for message in chosen:
            event = parse_event(message.body).model_copy(update={"history": str(message.properties["history"])})
            await self.sync.handle("asset", [event.to_json().encode()])

    async def settle(self, entity: str = "asset", *, rounds: int = 60) -> list[Summary]:
        """Deliver what was sent again to the entity's queue, each message when it is due, until nothing is left."""
        done: list[Summary] = []
        for _ in range(rounds):
            waiting = self.bus.queues.get(OF_ENTITY[entity].name, [])
            if not waiting:
                return done
            waiting.sort(key=lambda message: message.scheduled_at or self.clock.now())
            message = waiting.pop(0)
            if message.scheduled_at is not None and message.scheduled_at > self.clock.now():
                self.clock.advance(message.scheduled_at - self.clock.now())
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            done.append(await self.sync.handle(entity, [body]))
        raise AssertionError(f"messages are still tried again after {rounds} deliveries")

    async def link(self, value: str = "1", kind: str = "cmms", entity: str = "asset") -> Link:
        """The link of a record; a new one where the ledger holds none."""
        identity = Identity(kind, value)  # type: ignore[arg-type]
        found = (await self.ledger.find(entity, [identity])).get(identity)  # type: ignore[no-untyped-call]
        return found.link if isinstance(found, Stored) else Link()

    @property
    def parked(self) -> list[str]:
        """Why messages were parked, the first first: reason, and the field where there is one."""
        return [
            "/".join(str(message.properties[name]) for name in ("reason", "field") if name in message.properties)
            for message in self.bus.queues.get(PARKED.name, [])
        ]

    @property
    def attempts(self) -> Iterator[int]:
        """How often each message that waits on the asset queue has failed."""
        for message in self.bus.queues.get("assets", []):
            yield parse_event(message.body).attempt

    def row(self, key: str = "A") -> DynamicsRecord:
        return next(row for row in self.dynamics.rows.values() if row.key == key)

    def forget(self) -> None:
        """Restore the ledger to what it was before it knew anything."""
        self.ledger._db.execute("DELETE FROM link")

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**by))
