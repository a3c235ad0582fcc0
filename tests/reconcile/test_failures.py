"""What cannot be compared stops nothing else, and the report says what it was."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.errors import NotAuthorized, RoutingFailed, SyncError, Unavailable
from shared.flows.ports.engine import Forward
from shared.flows.reconcile import Policy, Reconciler
from shared.flows.reconcile.dead_letters import DeadLetterMover
from shared.flows.reconcile.drift import DriftClass
from tests.reconcile.world import World

SETS = {"asset": "msdyn_customerassets", "order": "salesorders"}


class Queues:
    """Dead-letter queues that notes who asks."""

    def __init__(self) -> None:
        self.tended: list[str] = []

    async def tend(self, queue: str, forward: Forward, limit: int) -> tuple[int, datetime | None]:
        self.tended.append(queue)
        return 0, None


def refuse(world: World, entity: str) -> None:
    """Take our right to read one table away."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if SETS[entity] in request.url.path:
            return httpx.Response(403, json={"error": {"code": "0x80040220", "message": "no"}}, request=request)
        return None

    world.wire.before = answer


def latest(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.folder / "latest.json").read_text())
    return found


def page(world: World) -> str:
    return (world.folder / "latest.html").read_text()


@pytest.mark.parametrize("broken", ["asset", "order"])
async def test_a_table_that_is_refused_stops_neither_the_other_nor_the_queues_nor_the_report(
    world: World, broken: str
) -> None:
    queues = Queues()
    world.letters = DeadLetterMover(queues, world.bus, world.clock)
    refuse(world, broken)
    world.cmms.put("A-001", nombre="Otra bomba", announced=False)
    with pytest.raises(NotAuthorized):
        await world.reconciler().run()
    assert sorted(queues.tended) == ["assets", "orders", "parked"]
    entities = {one["entity"]: one for one in latest(world)["entities"]}
    assert "refused our identity" in entities.pop(broken)["failed"]
    assert [one["failed"] for one in entities.values()] == [None]
    assert f"{broken} could not be compared: Dynamics refused our identity" in page(world)
    assert len(world.bus.queues.get("assets", [])) == (broken == "order"), "the other one's drift is repaired"


async def test_what_was_refused_begins_again_where_it_was_and_the_rest_goes_on(world: World) -> None:
    await world.reconciler().run()
    refuse(world, "asset")
    world.edit("A-002", msdyn_serialid="SN-2")
    world.cmms.put("A-003", nombre="Otra bomba")
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        with pytest.raises(NotAuthorized):
            await world.reconciler().run()
    assert [(one["entity"], one["kind"]) for one in latest(world)["entities"]] == [
        ("asset", "incremental"),
        ("order", "incremental"),
    ]
    world.wire.before = None
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert {one.key: one.kind for one in report.findings} == {
        "A-002": DriftClass.DYNAMICS_AHEAD,
        "A-003": DriftClass.CMMS_AHEAD,
    }
    assert report.kind == "incremental"


async def test_what_is_pending_survives_a_run_that_could_not_look_at_it(world: World) -> None:
    world.policy["max_repairs"] = 1
    for number in range(3):
        world.cmms.put(f"A-{number:03}", nombre="Nueva", announced=False)
    assert (await world.reconciler().run()).pending == 2
    refuse(world, "asset")
    with pytest.raises(NotAuthorized):
        await world.reconciler().run()
    assert latest(world)["pending"] == 2
    world.wire.before = None
    await world.settle()
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.repairs, report.pending) == (1, 1)


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_refused_delta_link_leads_to_a_full_pass_of_that_entity_alone(world: World, status: int) -> None:
    await world.reconciler().run()
    world.cmms.put("A-001", nombre="Importada", announced=False)
    world.clock.advance(timedelta(minutes=15))

    def answer(request: httpx.Request) -> httpx.Response | None:
        if SETS["asset"] in request.url.path and b"deltatoken" in request.url.query:
            return httpx.Response(status, json={"error": {"code": "0x80044352", "message": "stale"}}, request=request)
        return None

    world.wire.before = answer
    report = await world.reconciler().run()
    assert {one.entity: one.kind for one in report.entities} == {"asset": "full", "order": "incremental"}
    assert {one.key: one.kind for one in report.findings} == {"A-001": DriftClass.CMMS_AHEAD}
    assert any("no longer knew" in note for note in report.entities[0].notes)
    world.wire.before = None
    world.clock.advance(timedelta(minutes=15))
    assert (await world.reconciler().run()).kind == "incremental", "a new link was begun"


async def test_repairs_that_cannot_be_enqueued_leave_a_report_that_says_so(world: World) -> None:
    world.cmms.put("A-001", nombre="Nueva", announced=False)
    world.bus.failure = Unavailable("The queue is away.")
    with pytest.raises(RoutingFailed):
        await world.reconciler().run()
    found = latest(world)
    assert "The queue is away." in found["stopped"]
    assert [one["action"] for one in found["findings"]] == ["pending"]
    assert "The run did not come to its end" in page(world)


async def test_a_memory_that_cannot_be_read_leaves_a_report_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("The ledger cannot be used.")

    monkeypatch.setattr(world.ledger, "get_state", away)
    with pytest.raises(SyncError):
        await world.reconciler().run()
    assert latest(world)["stopped"] == "The ledger cannot be used."


@pytest.mark.parametrize("away", [(), ("assets",), ("parked",), ("assets", "orders", "parked")])
async def test_a_run_of_one_way_mode_is_counted_where_it_looked_after_every_queue(
    world: World, monkeypatch: pytest.MonkeyPatch, away: tuple[str, ...]
) -> None:
    counted: list[tuple[str, dict[str, str]]] = []

    def count(name: str, _amount: int = 1, **dimensions: str) -> None:
        counted.append((name, dimensions))

    monkeypatch.setattr("shared.telemetry.count", count)

    class Some(Queues):
        async def tend(self, queue: str, forward: Forward, limit: int) -> tuple[int, datetime | None]:
            if queue in away:
                raise Unavailable("away")
            return await super().tend(queue, forward, limit)

    letters = DeadLetterMover(Some(), world.bus, world.clock)
    one_way = Reconciler(
        world.mapping, world.ledger, world.dynamics, None, world.router, clock=world.clock,
        policy=Policy(**world.policy), letters=letters,
    )  # fmt: skip
    await one_way.run()
    assert counted == ([] if away else [("sync.reconcile.runs", {"outcome": "queues"})])
