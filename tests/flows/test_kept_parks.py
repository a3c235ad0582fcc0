"""Rule 7: what was parked stays so, and is parked once, where a round decides nothing about it."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from shared.domain.messages.queues import ORDERS, PARKED
from shared.domain.model import BadValue
from shared.errors import MappingError, RejectedByTarget, Unavailable
from shared.flows.ports.engine import Failed
from tests.flows.sides import World
from tests.flows.test_renames import born, rename, settle


def parked(world: World) -> list[tuple[object, object]]:
    """The key and the reason of each parked message."""
    return [(one.properties["key"], one.properties["reason"]) for one in world.bus.queues.get(PARKED.name, [])]


async def look(world: World, key: str) -> None:
    """Look at an order, and do again what asks for it."""
    await world.dirty(key, "order")
    while again := world.bus.queues.pop(ORDERS.name, []):
        world.clock.advance(timedelta(minutes=3))
        await world.sync.handle("order", [str(one.body).encode() for one in again])


async def test_a_closed_row_s_field_is_parked_once_however_often_opening_it_is_refused(world: World) -> None:
    world.cmms.put("O", estado="RECIBIDA", justificacion="x")
    await look(world, "O")
    world.close_row("O")
    await look(world, "O")
    world.cmms.put("O", justificacion="y")
    await look(world, "O")
    assert parked(world) == [("O", "record_closed")]
    world.cmms.put("O", estado="BORRADOR")
    for _ in range(3):
        world.dynamics.refuse = [RejectedByTarget("It may not be opened.", field="estado")]
        await look(world, "O")
    assert parked(world) == [("O", "record_closed"), ("O", "rejected_by_target")]


async def test_a_field_is_parked_once_although_the_row_gives_its_key_up_meanwhile(world: World) -> None:
    born(world, "A", "1", valor_libros="1")
    born(world, "B", "2")
    await settle(world, "A", "B")
    for old, new in (("A", "C"), ("B", "A"), ("C", "B")):
        rename(world, old, new)
    record = world.cmms.records["B"]
    values = {name: value for name, value in record.values.items() if name != "valor_libros"}
    bad = {"valor_libros": BadValue(MappingError("It is no number.", field="valor_libros"), "digest")}
    world.cmms.records["B"] = replace(record, values=values, errors=bad)
    await settle(world, "B", "A")
    for _ in range(2):
        # A person gives each of the two rows the other one's key.
        turned = {"A": "B", "B": "A"}
        for row in list(world.dynamics.rows.values()):
            world.dynamics.rows[row.id] = replace(row, key=turned[row.key], etag=f'W/"{uuid4()}"')
        await settle(world, "A", "B")
    assert parked(world) == [("B", "mapping_error")]


async def test_without_identities_another_record_s_park_stays_under_a_key_that_this_one_had(world: World) -> None:
    world.cmms.put("A", nombre="Otro")
    world.cmms.records["B"] = replace(world.cmms.put("B", nombre="Uno"), former_keys=("A",))
    for _ in range(3):
        for key in "AB":
            world.dynamics.refuse = [RejectedByTarget("No row without a number.")]
            await settle(world, key)
    assert parked(world) == [("A", "rejected_by_target"), ("B", "rejected_by_target")]


async def test_a_key_that_arrived_is_parked_no_more_although_the_other_side_failed(world: World) -> None:
    world.cmms.put("O", estado="RECIBIDA", justificacion="x")
    world.cmms.records["O"] = replace(world.cmms.records["O"], id="1")
    await look(world, "O")
    world.close_row("O")
    rename(world, "O", "P")
    await look(world, "P")
    assert "numero_requisicion" in (await world.entry("P", "order")).parked
    # A person opens the row again, which is news for the CMMS; and the CMMS gives no answer.
    world.dynamics.put("O", estado="1")

    async def away(*_: object) -> list[Failed]:
        return [Failed(Unavailable("no answer"), unknown=True)]

    world.cmms.write = away  # type: ignore[method-assign,assignment]
    await world.dirty("P", "order")
    assert [row.key for row in world.dynamics.rows.values()] == ["P"]
    assert not (await world.entry("P", "order")).parked
