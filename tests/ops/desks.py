"""A desk in memory: an installation as the console sees it, with as many parked messages as a test wants."""

import json
from collections import Counter
from collections.abc import Collection
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import Any, override

from ops.activity import Processed
from ops.console.desk import Desk, Fault
from shared.domain.base import Base
from shared.domain.link import ConflictRecord, Link
from shared.domain.model import CmmsRecord, DynamicsRecord, Version
from shared.errors import Unavailable
from shared.flows.operate.first_sync.memory import StoredPlan
from shared.flows.operate.overview import Health, Overview, QueueView
from shared.flows.operate.parked import ParkedMessages, Settled, Survey, Waiting
from shared.flows.operate.show import FieldStory, Story
from shared.flows.reconcile.checkpoint import BrakeState
from shared.flows.reconcile.first_sync import Progress
from shared.flows.reconcile.report import PastRun
from shared.flows.routing.told import End, Told

HOSTILE = "<script>window.broken=1</script>\"'><img src=x onerror='window.broken=1'>\u202e{{12345*54321}}"
NOW = datetime.now(UTC)
REPORT = "2026-01-31T12-00-00Z-full-1234abcd.html"


def waiting(number: int, reason: str = "mapping_error", **changes: Any) -> Waiting:
    """A parked message of the asset `A-<number>`."""
    key = str(changes.pop("key", f"A-{number:05}"))
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": f"e-{number}",
            "source": "/test",
            "type": "sync.asset.dirty",
            "data": {"key": key},
        }
    ).encode()
    properties: dict[str, str | int] = {
        "reason": reason,
        "message": "nombre: the value in Energy CMMS has 150 characters, and msdyn_name takes 100.",
        "source_queue": "assets",
        "key": key,
        "field": "nombre",
        "history": json.dumps([{"at": "2026-01-31T11:00:00+00:00", "reason": "conflict", "attempts": 12}]),
    }
    text = changes.pop("body", body)
    return Waiting(number, text, properties | changes, NOW - timedelta(minutes=number % 600), f"m-{number}")


class FakeDesk(Desk):
    """Everything that the console asks for, and what it did."""

    def __init__(self, parked: Collection[Waiting] = (), *, local: bool = True) -> None:
        self.title = "contoso.crm.dynamics.com"
        self.messages = {one.sequence: one for one in parked}
        self.local = local
        self.down = ""
        self.brake: BrakeState | None = None
        self.sent: list[int] = []
        self.discarded: list[tuple[int, str]] = []
        self.resynced: list[tuple[str, str, bool]] = []
        self.processed: list[Processed] | None = []
        self.story_of: dict[str, Story] = {}
        self.first_sync: Progress | None = None
        self.plan: StoredPlan | None = None
        self.injected: list[dict[str, object]] = []
        self.pages: dict[str, bytes] = {REPORT: b"<!doctype html><title>r</title><h1>The report</h1><script>1</script>"}

    @property
    @override
    def entities(self) -> list[str]:
        return ["asset", "order"]

    @property
    @override
    def is_local(self) -> bool:
        return self.local

    def _insist(self) -> None:
        if self.down:
            raise Unavailable(self.down)

    @override
    async def overview(self) -> Overview:
        parked = [] if self.down else list(self.messages.values())
        oldest = min((one.enqueued_at for one in parked), default=None)
        queues = {"assets": Survey(3, 1, 2, NOW - timedelta(minutes=40)), "orders": Survey()}
        queues["parked"] = Survey(len(parked), oldest=oldest)
        return Overview(
            at=datetime.now(UTC),
            health=(Health("Dynamics"), Health("CMMS", "The CMMS gave no answer.")),
            queues=tuple(
                QueueView(name, problem=self.down) if self.down else QueueView(name, survey)
                for name, survey in queues.items()
            ),
            parked=tuple(Counter(one.reason for one in parked).most_common()),
            brake=self.brake,
            runs=(PastRun(run="r", at=NOW - timedelta(minutes=10), kind="full", drift={}),),
            pending=0,
            messages=tuple(parked),
            first_sync=self.first_sync,
        )

    @override
    async def first_sync_plan(self) -> StoredPlan | None:
        self._insist()
        return self.plan

    @override
    async def activity(self) -> list[Processed] | None:
        return self.processed

    @override
    async def story(self, entity: str, key: str) -> Story:
        self._insist()
        return self.story_of.get(key) or story(entity, key)

    @override
    def row_address(self, entity: str, row_id: str) -> str:
        return f"https://{self.title}/{entity}/{row_id}"

    @override
    def rehearse(self, chosen: Collection[Waiting]) -> Settled:
        return ParkedMessages.rehearse(chosen)

    @override
    async def replay(self, chosen: Collection[Waiting]) -> Settled:
        self._insist()
        settled = self.rehearse(chosen)
        for one in settled.done:
            self.sent.append(one.sequence)
            del self.messages[one.sequence]
        return settled

    @override
    async def discard(self, chosen: Collection[Waiting], because: str) -> Settled:
        self._insist()
        for one in chosen:
            self.discarded.append((one.sequence, because))
            del self.messages[one.sequence]
        return Settled(done=list(chosen))

    @override
    async def resync(self, entity: str, key: str, *, recreate: bool) -> None:
        self._insist()
        self.resynced.append((entity, key, recreate))

    @override
    async def release_brake(self, who: str) -> BrakeState | None:
        if self.brake is not None:
            self.brake = self.brake.model_copy(update={"allowance": self.brake.held, "released_by": who})
        return self.brake

    @override
    async def reports(self) -> list[str] | None:
        self._insist()
        return sorted(self.pages)

    @override
    async def report(self, name: str) -> bytes | None:
        return self.pages.get(name)

    @override
    async def faults(self) -> list[Fault]:
        return [Fault(str(one["effect"]), "status 503", None, 4) for one in self.injected]

    @override
    async def add_fault(self, fault: dict[str, object]) -> None:
        self.injected.append(fault)

    @override
    async def lift_faults(self) -> None:
        self.injected.clear()


def story(entity: str, key: str, value: str = "Bomba", **changes: Any) -> Story:
    """A record whose name differs; `value` is what the CMMS says."""
    link = Link(
        key=key,
        bases={"nombre": Base(cmms="Bomba", dynamics="Bomba")},
        conflicts=(ConflictRecord(field="nombre", winner="cmms", won="a", lost=value, why="both_changed", at=NOW),),
        last_sync=NOW,
    )
    told = Story(
        entity=entity,
        key=key,
        cmms=CmmsRecord(key, "e", {"nombre": value}, version=Version(NOW)),
        row=DynamicsRecord(key, "e", {"nombre": "Bomba"}, id="5f0c", state=0),
        others=(),
        link=link,
        known=True,
        fields=(
            FieldStory(
                "nombre",
                "msdyn_name",
                "both ways; conflicts: CMMS",
                value,
                "Bomba",
                link.bases["nombre"],
                "to Dynamics",
            ),
        ),
        problems=(),
        parked=(),
        in_flight=False,
        one_way=False,
    )
    return replace(told, **changes)


def processed(count: int) -> list[Processed]:
    """Messages of the last hour, one every few seconds, with hostile keys among them."""
    ends: tuple[End, ...] = ("applied", "already true", "retried", "parked")
    return [
        Processed(
            NOW - timedelta(seconds=3500) + timedelta(seconds=3500 / count) * number,
            Told(
                "asset", HOSTILE if number % 50 == 0 else f"A-{number:05}", ends[number % 4], "nombre", "4b" * 16, 1.5
            ),
        )
        for number in range(count)
    ]
