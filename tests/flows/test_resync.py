"""An operator's resync: what its messages ask for, and what steers the engine."""

from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest

from shared.domain.link import Identity, Link, Stored
from shared.domain.messages.events import Event, parse_event
from shared.domain.messages.queues import ASSETS, PARKED
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.resync import Resync
from tests.fakes import document_mapping
from tests.kit.world import World

ASSET = document_mapping().entities["asset"]


async def order(world: World, *, recreate: bool, prefer: Side | None = None) -> list[bytes]:
    """What an operator's command puts on the queue for the asset A."""
    unused = cast("Any", None)
    resync = Resync(
        ledger=world.ledger, dynamics=unused, cmms=None, router=world.router, queues=unused, clock=world.clock,
        changed=unused,
    )  # fmt: skip
    await resync.enqueue(
        ASSET, {Identity("cmms", "1"): "A"}, rate=1000, recreate=recreate, prefer=prefer, progress=lambda _: None
    )
    return [str(one.body).encode() for one in world.bus.queues.pop(ASSETS.name)]


async def gone(world: World) -> None:
    """An asset whose row was deleted in Dynamics."""
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.dynamics.rows.clear()


async def test_an_order_to_recreate_creates_a_row_that_is_gone(world: World) -> None:
    await gone(world)
    (body,) = await order(world, recreate=True)
    assert parse_event(body).data["operation"] == "recreate"
    assert (await world.sync.handle("asset", [body])).applied == 1
    assert world.row("A").values["nombre"] == "Bomba"


@pytest.mark.parametrize("side", ["cmms", "dynamics", None])
async def test_an_order_says_whose_values_count_where_one_is_chosen(world: World, side: Side | None) -> None:
    (body,) = await order(world, recreate=False, prefer=side)
    assert parse_event(body).data.get("prefer") == side


async def test_a_plain_resync_creates_no_row_that_is_gone(world: World) -> None:
    await gone(world)
    (body,) = await order(world, recreate=False)
    assert parse_event(body).data["operation"] == "resync"
    await world.sync.handle("asset", [body])
    await world.settle()
    assert world.dynamics.rows == {}
    assert [one.properties["reason"] for one in world.bus.queues[PARKED.name]] == ["gone_from_dynamics"]


class Everything:
    """A side that can be read whole."""

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    async def pages(self, _: EntityMapping) -> AsyncIterator[list[Any]]:
        yield self._records


async def test_everything_is_every_link_record_and_row_once_by_identity_with_its_key(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("1")
    world.cmms.put("B", "2", nombre="New")
    alone = world.dynamics.put("C", nombre="Alone")
    gone = Link(cmms_id="9", row_id="r", key="D")
    await world.ledger.write("asset", [Stored(link=gone)])  # type: ignore[no-untyped-call]
    unused = cast("Any", None)
    records = (await world.cmms.by_id(ASSET, ["1", "2"])).values()
    resync = Resync(
        ledger=world.ledger, dynamics=cast("Any", Everything(list(world.dynamics.rows.values()))),
        cmms=cast("Any", Everything(list(records))), router=world.router, queues=unused, clock=world.clock,
        changed=unused,
    )  # fmt: skip
    assert await resync.everything(ASSET) == {
        Identity("cmms", "1"): "A",
        Identity("cmms", "2"): "B",
        Identity("cmms", "9"): "D",
        Identity("row", alone.id): "C",
    }


@pytest.mark.parametrize("operation", ["create", "update", "delete", "resync"])
async def test_what_a_reason_says_steers_nothing(world: World, operation: str) -> None:
    await gone(world)
    data = {"key": "A", "operation": operation, "reason": "recreate"}
    event = Event(id=str(uuid4()), source="/test", type="sync.asset.dirty", data=data)
    await world.sync.handle("asset", [event.to_json().encode()])
    assert world.dynamics.rows == {}
