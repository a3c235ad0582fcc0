"""A large batch in lanes beside each other: what stays together, and what may happen between two lanes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.messages.events import Event
from shared.errors import RoutingFailed, Unavailable
from shared.flows.sync.deliveries import Delivery, read_deliveries
from shared.flows.sync.lanes import LANE, lanes
from tests.fakes import document_mapping
from tests.flows.conftest import MakeWorld
from tests.flows.test_rules import agreed
from tests.kit.world import World

type Name = dict[str, str]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROW = "00000000-0000-4000-8000-000000000001"


def dirty(**named: str) -> bytes:
    return Event(source="/t", type="sync.asset.dirty", data=named).to_json().encode()


def read(*named: Name) -> list[Delivery]:
    deliveries, unread = read_deliveries(document_mapping().entities["asset"], [dirty(**one) for one in named], NOW)
    assert not unread
    return deliveries


def numbered(count: int) -> list[Name]:
    return [{"cmms_id": str(number)} for number in range(count)]


def slow(world: World) -> None:
    """Let every call of the ledger and of either side take a while, in which the other lane goes on."""

    async def yielding(call: Callable[..., Awaitable[object]], *arguments: Any) -> object:
        await asyncio.sleep(0)
        done = await call(*arguments)
        await asyncio.sleep(0)
        return done

    for part in (world.ledger, world.dynamics, world.cmms):
        names = ("find", "write") if part is world.ledger else ("by_id", "by_key", "write")
        for name in names:
            setattr(part, name, partial(yielding, getattr(part, name)))


@pytest.mark.parametrize(
    ("named", "most", "sizes"),
    [
        pytest.param([], 2, [], id="nothing"),
        pytest.param(numbered(500), 500, [500], id="one request's worth of records: one lane"),
        pytest.param(numbered(501), 500, [251, 250], id="one more: two, and neither is almost empty"),
        pytest.param(numbered(1000), 500, [500, 500], id="a full batch: two, each of one request's worth"),
        pytest.param(numbered(1001), 500, [334, 334, 333], id="one more than two hold: three"),
        pytest.param(numbered(1) * 3, 1, [3], id="one record's messages, however many"),
        pytest.param([*numbered(2), *numbered(2)], 1, [2, 2], id="two records, named twice each"),
        pytest.param([{"key": "A"}, {"key": "B"}, {"key": "A"}], 1, [2, 1], id="named by key"),
        pytest.param([{"cmms_id": "1", "key": "A"}, {"cmms_id": "1"}], 1, [2], id="the identity counts, not the key"),
        pytest.param([{"cmms_id": "1"}, {"key": "1"}, {"record_id": ROW}], 1, [1, 1, 1], id="named in three ways"),
    ],
)
def test_a_batch_is_split_into_few_even_lanes(named: list[Name], most: int, sizes: list[int]) -> None:
    assert [len(lane) for lane in lanes(read(*named), most)] == sizes


RECORDS = st.integers(0, 12).map(lambda number: {"cmms_id": str(number)})
KEYS = st.sampled_from("ABC").map(lambda key: {"key": key})


@given(st.lists(RECORDS | KEYS, max_size=40), st.integers(1, 8))
def test_each_message_is_in_one_lane_beside_its_record_s_others_in_order(named: list[Name], most: int) -> None:
    deliveries = read(*named)
    split = lanes(deliveries, most)
    assert sorted(one.place for lane in split for one in lane) == list(range(len(named)))
    assert all([one.place for one in lane] == sorted(one.place for one in lane) for lane in split)
    records = [{one.identity for one in lane} for lane in split]
    assert max(Counter(name for lane in records for name in lane).values(), default=1) == 1
    sizes = [len(lane) for lane in records]
    assert max(sizes, default=0) <= most
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert (len(split) - 1) * most < sum(sizes) or not split


async def test_a_full_batch_costs_two_reads_of_each_side_and_no_more(world: World) -> None:
    count = 2 * LANE
    for number in range(count):
        world.cmms.put(f"K{number}", str(number), nombre="Bomba")
        world.dynamics.put(f"K{number}", nombre="Bomba")
    asked: list[int] = []
    by_key = world.dynamics.by_key

    async def counted(entity: Any, keys: Any) -> Any:
        asked.append(len(keys))
        return await by_key(entity, keys)

    world.dynamics.by_key = counted  # type: ignore[method-assign]
    bodies = [dirty(cmms_id=str(number), key=f"K{number}") for number in range(count)]
    summary = await world.sync.handle("asset", bodies)
    assert (summary.retried, summary.parked) == (0, 0)
    assert asked == [LANE, LANE]
    assert world.calls.count("cmms by id") == 2


TOGETHER = [{"cmms_id": "1"}, {"key": "A"}, {"record_id": ROW}]


@pytest.mark.parametrize("second", TOGETHER, ids=str)
@pytest.mark.parametrize("first", TOGETHER, ids=str)
@pytest.mark.parametrize("known", [True, False], ids=["a known record", "first contact"])
async def test_two_lanes_that_name_one_record_differently_end_as_one(
    make_world: MakeWorld, first: Name, second: Name, known: bool
) -> None:
    world = make_world(lane=1)
    world.dynamics.put("A", ROW, nombre="Bomba", valor_libros="10", numero_de_serie=None)
    world.cmms.put("A", "1", nombre="Bomba", valor_libros="10")
    if known:
        await world.dirty()
        world.calls.clear()
        world.dynamics.writes.clear()
        world.cmms.put("A", nombre="Del CMMS")
        world.dynamics.put("A", valor_libros="99")
    else:
        world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    slow(world)

    await world.sync.handle("asset", [dirty(**first), dirty(**second)])
    await world.settle()

    assert len(world.dynamics.rows) == len(world.cmms.records) == 1
    row, record = world.row().values, world.cmms.records["1"].values
    told = {"nombre": "Del CMMS", "valor_libros": "99"} if known else {"nombre": "Bomba", "numero_de_serie": "S"}
    assert {name: row[name] for name in told} == {name: record[name] for name in told} == told
    assert len(world.dynamics.writes) == 1
    assert len(world.cmms.writes) == int(known)
    link = await world.link()
    assert (link.row_id, link.intents, link.conflicts, world.parked) == (ROW, (), (), [])
    before = world.calls[: world.calls.index("dynamics write")]
    assert before.count("cmms by id") == len({str(first), str(second)}), "the lanes were not beside each other"


@pytest.mark.parametrize(("first", "second"), [("1", None), (None, "1")], ids=["id first", "key first"])
async def test_two_lanes_make_one_row_of_a_new_record(
    make_world: MakeWorld, first: str | None, second: str | None
) -> None:
    world = make_world(lane=1)
    world.cmms.put("A", "1", nombre="Bomba")
    slow(world)
    named = [{"cmms_id": one} if one is not None else {"key": "A"} for one in (first, second)]
    await world.sync.handle("asset", [dirty(**one) for one in named])
    await world.settle()
    assert [row.values["nombre"] for row in world.dynamics.rows.values()] == ["Bomba"]
    assert ((await world.link()).row_id, world.parked) == (world.row().id, [])


async def test_lanes_share_the_requests_that_may_be_under_way(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(lane=1)
    cut: list[int] = []

    def share(records: int) -> int:
        cut.append(records)
        return records

    for number, key in enumerate("ABC", start=1):
        world.cmms.put(key, str(number), nombre="Bomba")
    monkeypatch.setattr(world.dynamics, "share", share)
    summary = await world.sync.handle("asset", [dirty(cmms_id=str(number)) for number in (1, 2, 3)])
    assert (summary.applied, cut) == (3, [3, 3, 3])


async def test_a_lane_that_fails_costs_the_other_nothing(make_world: MakeWorld) -> None:
    world = make_world(lane=1)
    for number, key in enumerate("AB", start=1):
        world.cmms.put(key, str(number), nombre="Bomba")
    find = world.ledger.find

    async def failing(entity: str, identities: Any) -> Any:
        if any(one.value == "1" for one in identities):
            raise ValueError("a fault of ours")
        return await find(entity, identities)  # type: ignore[no-untyped-call]

    world.ledger.find = failing  # type: ignore[method-assign]
    summary = await world.sync.handle("asset", [dirty(cmms_id="1"), dirty(cmms_id="2")])
    assert (summary.applied, summary.retried) == (1, 1)
    assert [row.key for row in world.dynamics.rows.values()] == ["B"]
    assert list(world.attempts) == [1]


async def test_what_cannot_be_routed_is_raised_once_every_lane_has_ended(make_world: MakeWorld) -> None:
    world = make_world(lane=1)
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150)  # too long, so that the field is parked
    world.cmms.put("B", "2", nombre="Bomba")
    world.bus.failure = Unavailable("the bus is away")
    slow(world)
    with pytest.raises(RoutingFailed):
        await world.sync.handle("asset", [dirty(cmms_id="1"), dirty(cmms_id="2")])
    link = await world.link("2")
    assert (link.row_id, link.intents) == (world.row("B").id, ())
