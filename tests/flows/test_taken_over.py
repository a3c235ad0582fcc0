"""The row of a deleted record that a new record with its key takes over, whatever comes between."""

from collections.abc import Collection, Mapping, Sequence

import pytest

from shared.adapters.ledger.sqlite import SqliteLedger
from shared.domain.link import Stored
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LinkTooLarge, Unavailable
from tests.flows.test_deletes import agreed
from tests.kit.world import World


async def test_a_new_record_takes_over_the_row_of_a_deleted_one(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S1")
    await world.dirty()
    row = world.row()
    world.cmms.delete()
    await world.dirty()
    world.cmms.put("A", "2", nombre="Otra bomba", numero_de_serie=None)
    await world.dirty("2")
    after = world.row()
    assert (after.id, after.state, after.values["nombre"], after.values["numero_de_serie"]) == (
        row.id,
        0,
        "Otra bomba",
        None,
    )
    link = await world.link("2")
    assert (link.row_id, (await world.link("1")).row_id) == (row.id, None)
    assert {one.field: one.lost for one in link.conflicts} == {"nombre": "Bomba", "numero_de_serie": "S1"}
    assert {one.why for one in link.conflicts} == {"taken_over"}


async def test_what_cannot_be_read_of_a_row_that_is_taken_over_is_the_deleted_record_s(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S1")
    await world.dirty()
    world.cmms.delete()
    await world.dirty()
    world.dynamics.secured = {"numero_de_serie"}
    world.cmms.put("A", "2", nombre="Otra bomba", numero_de_serie=None)
    await world.dirty("2")
    world.dynamics.secured = set()
    await world.dirty("2")
    link = await world.link("2")
    assert (world.cmms.records["2"].values["numero_de_serie"], world.row().values["numero_de_serie"]) == (None, None)
    assert [(one.why, one.lost) for one in link.conflicts if one.field == "numero_de_serie"] == [("both_changed", "S1")]


async def test_a_null_that_could_not_be_read_of_a_row_that_is_taken_over_empties_nothing(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", valor_libros=None)
    await world.dirty()
    world.cmms.delete()
    await world.dirty()
    world.dynamics.secured = {"valor_libros"}
    world.cmms.put("A", "2", nombre="Otra bomba", valor_libros="10")
    await world.dirty("2")
    world.dynamics.secured = set()
    await world.dirty("2")
    link = await world.link("2")
    assert (world.cmms.records["2"].values["valor_libros"], world.row().values["valor_libros"]) == ("10", "10")
    assert {one.why for one in link.conflicts if one.field == "valor_libros"} <= {"taken_over"}


@pytest.fixture
async def broken_off(world: World, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    """The worker dies as a second record takes over a deleted one's row, before or after that record lets it go."""
    await agreed(world)
    world.cmms.delete()
    await world.dirty()
    world.cmms.put("A", "2", nombre="Otra bomba")

    async def dies(entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        taking = [(one.link.cmms_id, one.link.row_id) == ("2", world.row().id) for one in links]
        if not any(taking):
            return await SqliteLedger.write(world.ledger, entity, links)
        if request.param == "let go":
            # Azure Table takes one call as several transactions, in their order.
            await SqliteLedger.write(world.ledger, entity, links[: taking.index(True)])
        raise Unavailable("the worker died")

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "write", dies)
        await world.dirty("2")
    return world


@pytest.mark.parametrize("broken_off", ["let go"], indirect=True)
async def test_a_take_over_that_breaks_off_is_finished_whoever_edits_the_row_meanwhile(broken_off: World) -> None:
    world = broken_off
    assert (await world.link("1")).row_id is None
    world.dynamics.put("A", nombre="Bomba vieja")
    await world.settle()
    assert (world.row().state, world.row().values["nombre"], world.parked) == (0, "Otra bomba", [])
    link = await world.link("2")
    assert [(one.why, one.lost) for one in link.conflicts if one.field == "nombre"] == [("taken_over", "Bomba vieja")]
    assert (link.takes_over, link.row_id) == (None, world.row().id)


@pytest.mark.parametrize("broken_off", ["still held"], indirect=True)
async def test_a_row_whose_next_record_is_deleted_before_it_takes_it_stays_the_deleted_one_s(broken_off: World) -> None:
    world = broken_off
    world.cmms.delete("2")
    world.dynamics.put("A", nombre="Bomba vieja")
    world.cmms.put("A", "3", nombre="Tercera", numero_de_serie=None)
    await world.dirty("3")
    await world.settle()
    link = await world.link("3")
    assert {one.why for one in link.conflicts} == {"taken_over"}
    assert (world.row().values["nombre"], world.row().values["numero_de_serie"]) == ("Tercera", None)
    assert (world.row().state, link.row_id, world.parked) == (0, world.row().id, [])


async def test_a_row_that_a_record_deleted_meanwhile_does_not_take_is_the_next_one_s(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(world)
    world.cmms.delete()
    await world.dirty()
    world.cmms.put("A", "2", nombre="Otra bomba")

    async def after_a_stall(entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        if any((one.link.cmms_id, one.link.row_id) == ("2", world.row().id) for one in links):
            monkeypatch.undo()
            world.cmms.delete("2")
            await world.send("deleted", {"id": "2", "key": "A", "version": world.clock.now().isoformat()})
        return await SqliteLedger.write(world.ledger, entity, links)

    monkeypatch.setattr(world.ledger, "write", after_a_stall)
    await world.dirty("2")
    assert (await world.link("1")).row_id == world.row().id
    world.dynamics.put("A", nombre="Bomba vieja")
    world.cmms.put("A", "3", nombre="Tercera", numero_de_serie=None)
    await world.dirty("3")
    link = await world.link("3")
    assert (world.row().state, world.row().values["numero_de_serie"], link.row_id) == (0, None, world.row().id)
    assert ({one.why for one in link.conflicts}, world.parked) == ({"taken_over"}, [])


async def test_a_row_that_is_made_inactive_while_it_is_taken_over_becomes_active(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(world)
    world.cmms.delete()
    world.cmms.put("A", "2", nombre="Otra bomba")
    by_key = world.dynamics.by_key

    async def before_the_deletion_is_heard_of(
        entity: EntityMapping, keys: Collection[str]
    ) -> Mapping[str, Sequence[DynamicsRecord]]:
        rows = await by_key(entity, keys)
        if (await world.link("2")).takes_over is not None:
            monkeypatch.undo()
            await world.dirty()
        return rows

    monkeypatch.setattr(world.dynamics, "by_key", before_the_deletion_is_heard_of)
    await world.dirty("2")
    link = await world.link("2")
    assert (world.row().state, world.row().values["nombre"], world.parked) == (0, "Otra bomba", [])
    assert (link.row_id, link.takes_over) == (world.row().id, None)


async def test_a_row_that_changes_hands_without_any_write_is_let_go(world: World) -> None:
    world.cmms.put("R", justificacion="urgent", estado="RECHAZADO")
    await world.dirty(entity="order")
    world.cmms.delete()
    await world.dirty(entity="order")
    writes = len(world.dynamics.writes)
    world.cmms.put("R", "2", justificacion="urgent", estado="RECHAZADO")
    await world.dirty("2", entity="order")
    old, new = await world.link("1", entity="order"), await world.link("2", entity="order")
    assert (old.row_id, new.row_id) == (None, world.row("R").id)
    assert (len(world.dynamics.writes), world.parked) == (writes, [])
