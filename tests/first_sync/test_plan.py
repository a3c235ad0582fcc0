"""Two systems filled by others, with every kind of mismatch: docs/first-sync.md, "The plan"."""

from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from shared.domain.link import Link, ParkedField, Stored
from shared.errors import TransientError
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.plan import EntityPlan
from tests.first_sync.world import World


def troubles(plan: EntityPlan) -> list[tuple[str, str, str, int]]:
    return sorted((one.kind.value, one.name, one.reason, one.count) for one in plan.troubles.values())


def differences(plan: EntityPlan) -> dict[tuple[str, str], list[tuple[str, str | None, str | None]]]:
    return {(one.name, one.what): one.examples for one in plan.differences.values()}


async def test_every_record_stands_in_exactly_one_line(world: World) -> None:
    world.both("EQ-1")
    world.both("EQ-2", valor_libros=("10.50", Decimal("10.5")))
    world.both("DIF-1", nombre=("Bomba A", "Pump A"))
    world.record("CMMS-1")
    world.record("CMMS-2")
    world.asset("DYN-1")
    world.record(" BAD")
    world.record("TWICE")
    world.record("TWICE")
    world.asset("TWICE")
    world.record("Near-1")
    world.asset("NEAR-1")
    plan = await world.plan()
    assert plan.kinds == {
        Kind.EQUAL: 2,
        Kind.DIFFERENT: 1,
        Kind.ONLY_IN_CMMS: 2,
        Kind.ONLY_IN_DYNAMICS: 1,
        Kind.KEY_UNUSABLE: 1,
        Kind.KEY_DOUBLED: 3,
        Kind.KEY_NEARLY_EQUAL: 2,
    }
    assert (plan.records, plan.rows, plan.messages, plan.for_a_person) == (9, 6, 6, 6)
    assert (plan.creates["dynamics"], plan.creates["cmms"], plan.updates["dynamics"]) == (2, 1, 1)


async def test_a_difference_is_told_by_field_with_both_values_and_what_becomes_of_it(world: World) -> None:
    world.both("A", nombre=("Bomba", "Pump"), valor_libros=("1", 2), numero_de_serie=("SN", None))
    world.both("B", numero_de_serie=(None, "SN-B"))
    plan = await world.plan()
    assert differences(plan) == {
        ("nombre", "the CMMS's value wins"): [("A", "Bomba", "Pump")],
        ("valor_libros", "Dynamics' value wins"): [("A", "1", "2")],
        ("numero_de_serie", "filled in Dynamics"): [("A", "SN", None)],
        ("numero_de_serie", "filled in the CMMS"): [("B", None, "SN-B")],
    }
    assert plan.replaced == 2


@pytest.mark.parametrize(
    ("prefer", "nombre", "valor_libros"),
    [
        ((), "the CMMS's value wins", "Dynamics' value wins"),
        (("cmms",), "the CMMS's value wins", "the CMMS's value wins"),
        (("dynamics",), "Dynamics' value wins", "Dynamics' value wins"),
        (("dynamics", "nombre=cmms"), "the CMMS's value wins", "Dynamics' value wins"),
        (("dynamics", "asset.nombre=mapping"), "the CMMS's value wins", "Dynamics' value wins"),
    ],
)
async def test_the_operator_chooses_who_wins_overall_and_by_field(
    world: World, prefer: tuple[str, ...], nombre: str, valor_libros: str
) -> None:
    world.both("A", nombre=("Bomba", "Pump"), valor_libros=("1", 2))
    plan = await world.plan(choices=world.choices(*prefer))
    assert differences(plan).keys() == {("nombre", nombre), ("valor_libros", valor_libros)}


@pytest.mark.parametrize(
    ("key", "other"),
    [("ACT-1", "act-1"), ("ÁCT 1", "ACT 1"), ("A 1", "A1"), ("A-1", "A\u20111"), ("Straße", "STRASSE")],
    ids=["case", "accents", "spaces", "dashes", "sharp s"],
)
async def test_nearly_equal_keys_are_left_to_a_person_and_named_with_each_other(
    world: World, key: str, other: str
) -> None:
    world.record(key)
    world.asset(other)
    plan = await world.plan()
    assert (plan.kinds, plan.messages) == ({Kind.KEY_NEARLY_EQUAL: 2}, 0)
    (trouble,) = plan.troubles.values()
    assert {(example, other in message or key in message) for example, message in trouble.examples} == {
        (key, True),
        (other, True),
    }


async def test_a_pair_byte_for_byte_is_a_pair_whatever_resembles_it(world: World) -> None:
    world.both("ACT-1")
    world.record("act-1")
    plan = await world.plan()
    assert plan.kinds == {Kind.EQUAL: 1, Kind.KEY_NEARLY_EQUAL: 1}


async def test_values_that_dynamics_would_refuse_are_named_and_cost_the_record_nothing_else(world: World) -> None:
    world.record("LONG", numero_de_serie="S" * 300)
    world.record("BIG", valor_libros="999999999999999999")
    world.both("PAIR", numero_de_serie=("S" * 301, "SN"))
    plan = await world.plan()
    assert troubles(plan) == [
        ("different", "numero_de_serie", "mapping_error", 1),
        ("only_in_cmms", "numero_de_serie", "mapping_error", 1),
        ("only_in_cmms", "valor_libros", "mapping_error", 1),
    ]
    assert (plan.messages, plan.for_a_person, plan.parked) == (3, 0, 3)


async def test_a_closed_row_is_counted_and_what_it_would_refuse_named(world: World) -> None:
    world.both("A", nombre=("Bomba", "Pump"))
    world.both("B")
    closed = world.mapping.entities["asset"].model_copy(update={"open_states": frozenset({0})})
    world.entity = closed
    for key in ("A", "B"):
        world.edit(key, statecode=1, statuscode=2)
    plan = await world.plan()
    assert (plan.closed, troubles(plan)) == (2, [("different", "nombre", "record_closed", 1)])


async def test_pairs_that_the_ledger_knows_are_left_to_the_daily_sync(world: World) -> None:
    await world.agree(5)
    world.edit("A-001", msdyn_name="changed since")
    world.both("NEW")
    plan = await world.plan()
    assert (plan.linked_records, plan.linked_rows, plan.kinds) == (5, 5, {Kind.EQUAL: 1})


async def test_what_the_ledger_knows_of_one_side_only_is_judged_by_its_link(world: World) -> None:
    world.both("A")
    half = Link(
        cmms_id=world.cmms.id("A"), key="A", parked={"nombre": ParkedField(side="cmms", digest="d", reason="x")}
    )
    await world.ledger.write("asset", [Stored(link=half)])
    plan = await world.plan()
    assert (plan.kinds, plan.linked_records) == ({Kind.EQUAL: 1}, 0)
    await world.settle()


async def test_a_new_record_takes_over_the_row_of_a_deleted_one(world: World) -> None:
    await world.agree(1)
    world.cmms.delete("A-000")
    world.record("A-000")
    plan = await world.plan()
    assert (plan.kinds.total(), plan.messages) == (1, 1)


@pytest.mark.parametrize(
    ("create_in", "messages", "stays"), [("both", 2, 0), ("dynamics", 1, 1), ("cmms", 1, 1), ("none", 0, 2)]
)
async def test_missing_records_are_created_where_the_operator_says(
    world: World, create_in: str, messages: int, stays: int
) -> None:
    world.record("C")
    world.asset("D")
    plan = await world.plan(choices=world.choices(create_in=create_in))
    assert (plan.messages, sum(one.count for one in plan.alone.values() if one.stays)) == (messages, stays)


async def test_planning_writes_nothing_on_either_side_nor_to_the_ledger(world: World) -> None:
    world.both("A", nombre=("Bomba", "Pump"))
    world.record("C")
    world.asset("D")
    before = world.keys_in_dynamics(), world.keys_in_cmms(), world.linked(), world.row("A").values["msdyn_name"]
    await world.plan()
    assert before == (world.keys_in_dynamics(), world.keys_in_cmms(), world.linked(), "Pump")
    assert world.bus.sent == 0


async def test_a_side_that_cannot_be_read_to_its_end_ends_the_plan_with_its_own_error(world: World) -> None:
    world.both("A")
    world.cmms_wire.before = lambda request: httpx.Response(401, request=request)
    with pytest.raises(TransientError):
        await world.plan()


async def test_a_connection_that_breaks_costs_a_page_and_not_the_plan(world: World) -> None:
    world.both("A")
    failures = iter([True])

    def break_once(request: httpx.Request) -> httpx.Response | None:
        if next(failures, False):
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        return None

    world.cmms_wire.before = break_once
    assert (await world.plan()).kinds == {Kind.EQUAL: 1}
    failures = iter([True])
    world.cmms_wire.before, world.wire.before = None, break_once
    assert (await world.plan()).kinds == {Kind.EQUAL: 1}


async def test_a_record_that_is_not_of_the_api_s_form_costs_the_others_nothing(world: World) -> None:
    world.both("A")
    world.both("BROKEN")
    world.cmms.spoilt["BROKEN"] = {"version": "yesterday"}
    plan = await world.plan()
    assert (plan.kinds, plan.messages) == ({Kind.EQUAL: 1, Kind.UNREADABLE: 1}, 1)
    ((example, message),) = next(iter(plan.troubles.values())).examples
    assert ("BROKEN" in message, "version" in message, bool(example)) == (True, True, True)


async def test_records_that_changed_since_an_earlier_plan_are_counted(world: World) -> None:
    world.both("OLD")
    since = world.clock.now()
    world.clock.advance(timedelta(minutes=5))
    world.both("NEW")
    assert (await world.plan(since=since)).changed == 2
