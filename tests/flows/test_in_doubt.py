"""Rule 6: a write whose answer was lost is decided by what the side shows, and until then it is looked at again."""

from copy import replace
from datetime import timedelta

import pytest

from shared.domain.decide.in_doubt import LATEST
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import Mapping
from shared.errors import RejectedByTarget, Unavailable
from tests.fakes import document_mapping
from tests.flows.conftest import MakeWorld
from tests.kit.faults import Fault
from tests.kit.world import World

WITHOUT_STAMP = pytest.param(False, id="without a stamp")
WITH_STAMP = pytest.param(True, id="with a stamp")


def mapping(*, stamp: bool) -> Mapping:
    """The customer's mapping, with or without the operation stamp."""
    found = document_mapping()
    entities = {
        name: entity.model_copy(update={"stamp": "cmms_operation" if stamp else None})
        for name, entity in found.entities.items()
    }
    return found.model_copy(update={"entities": entities})


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", valor_libros="10", valor_adquisicion="1")
    await world.dirty()


@pytest.mark.parametrize("stamp", [WITH_STAMP, WITHOUT_STAMP])
@pytest.mark.parametrize("fault", ["answer lost", "never arrives", "late"])
async def test_an_update_without_answer_ends_as_it_should(make_world: MakeWorld, stamp: bool, fault: Fault) -> None:
    world = make_world(mapping=mapping(stamp=stamp))
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = [fault]
    await world.dirty()
    world.dynamics.faults.land()
    await world.settle()
    link = await world.link()
    assert (world.row().values["nombre"], link.intents, link.conflicts) == ("Nueva", (), ())
    assert (link.bases["nombre"].cmms, link.bases["nombre"].dynamics) == ("Nueva", "Nueva")


async def test_a_bulk_change_after_a_write_without_answer_is_a_change(world: World) -> None:
    await agreed(world)
    row = world.dynamics.put("A", valor_libros="11")
    world.cmms.faults.next = ["answer lost"]

    def change_without_a_version() -> None:
        record = world.cmms.records["1"]
        world.cmms.records["1"] = replace(record, etag='"changed"', values={**record.values, "valor_libros": "18"})

    world.cmms.faults.meanwhile = change_without_a_version
    await world.webhook(row)
    await world.settle()
    assert world.cmms.records["1"].values["valor_libros"] == world.row().values["valor_libros"] == "18"


@pytest.mark.parametrize("stamp", [WITH_STAMP, WITHOUT_STAMP])
@pytest.mark.parametrize("fault", ["answer lost", "never arrives", "late"])
async def test_a_create_without_answer_makes_one_row(make_world: MakeWorld, stamp: bool, fault: Fault) -> None:
    world = make_world(mapping=mapping(stamp=stamp))
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = [fault]
    await world.dirty()
    world.dynamics.faults.land()
    await world.settle()
    link = await world.link()
    assert [row.id for row in world.dynamics.rows.values()] == [link.row_id]
    assert (link.intents, link.conflicts, world.parked) == ((), (), [])


@pytest.mark.parametrize("fault", ["answer lost", "never arrives", "late"])
async def test_a_record_without_answer_is_created_once_in_the_cmms(world: World, fault: Fault) -> None:
    row = world.dynamics.put("A", nombre="Bomba")
    world.cmms.faults.next = [fault]
    await world.webhook(row, "create")
    world.cmms.faults.land()
    await world.settle()
    link = await world.link(row.id, "row")
    assert [record.id for record in world.cmms.records.values()] == [link.cmms_id]
    assert (link.intents, link.conflicts, world.parked) == ((), (), [])


async def test_a_record_that_the_cmms_announces_before_its_create_was_confirmed_is_the_row_s(world: World) -> None:
    row = world.dynamics.put("A", nombre="Bomba")
    world.cmms.faults.next = ["answer lost"]
    world.cmms.faults.away = None
    await world.webhook(row, "create")
    (record,) = world.cmms.records.values()
    await world.send("upserted", {"id": record.id, "key": "A", "fields": {}})
    await world.settle()
    assert (await world.link(record.id)).row_id == row.id
    assert (len(world.cmms.records), len(world.dynamics.rows), world.parked) == (1, 1, [])


async def test_a_row_that_a_late_create_made_becomes_no_record(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = ["late"]
    world.dynamics.faults.meanwhile = lambda: world.dynamics.put("A", nombre="Bomba")
    await world.dirty()
    await world.settle()
    world.cmms.put("B")
    await world.dirty()
    world.dynamics.faults.land()
    late = next(row for row in world.dynamics.rows.values() if row.key == "A")
    await world.webhook(late, "create")
    await world.settle()
    assert ([record.key for record in world.cmms.records.values()], world.parked) == (["B"], ["row_replaced"])


async def test_an_edit_after_a_write_without_answer_stays_an_edit(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = ["answer lost"]
    world.dynamics.faults.meanwhile = lambda: world.dynamics.put("A", valor_libros="99", nombre="Editada")
    await world.dirty()
    await world.settle()
    record = world.cmms.records["1"]
    assert (record.values["valor_libros"], record.values["nombre"]) == ("99", "Editada")
    assert (await world.link()).conflicts == ()


async def test_rounding_of_a_write_without_answer_is_no_edit(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    await agreed(world)
    world.dynamics.becomes["valor_adquisicion"] = "2.5"
    world.cmms.put("A", valor_adquisicion="2.49")
    world.dynamics.faults.next = ["answer lost"]
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["valor_adquisicion"], world.parked) == ("2.49", [])
    assert (await world.link()).conflicts == ()


@pytest.mark.parametrize("before", [pytest.param("S", id="update"), pytest.param(None, id="create")])
async def test_a_write_without_answer_and_without_effect_is_parked_naming_the_field(
    make_world: MakeWorld, before: str | None
) -> None:
    world = make_world(mapping=mapping(stamp=True))
    if before is not None:
        world.cmms.put("A", nombre="Bomba", numero_de_serie=before)
        await world.dirty()
    world.cmms.put("A", nombre="Nueva", numero_de_serie="T")
    world.dynamics.silent = {"numero_de_serie"}
    world.dynamics.faults.next = ["answer lost"]
    await world.dirty()
    await world.settle()
    assert (world.parked, world.row().values["nombre"]) == (["no_effect/numero_de_serie"], "Nueva")
    assert world.cmms.records["1"].values["numero_de_serie"] == "T"


async def doubtful(make_world: MakeWorld) -> World:
    """A world where a write took no effect, or was undone at once, and somebody has edited the row since."""
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    await world.dirty()
    world.cmms.put("A", numero_de_serie="T")
    world.dynamics.faults.next = ["answer lost"]
    world.dynamics.faults.meanwhile = lambda: world.dynamics.put("A", nombre="Editada", numero_de_serie="S")
    await world.dirty()
    await world.settle()
    return world


def serials(world: World) -> tuple[str | None, str | None]:
    return world.cmms.records["1"].values["numero_de_serie"], world.row().values["numero_de_serie"]


async def test_an_old_value_that_may_be_a_person_s_since_a_lost_answer_waits_for_a_person(
    make_world: MakeWorld,
) -> None:
    world = await doubtful(make_world)
    await world.dirty()
    await world.settle()
    assert (serials(world), world.parked) == (("T", "S"), ["no_effect/numero_de_serie"])
    assert world.cmms.records["1"].values["nombre"] == "Editada"


@pytest.mark.parametrize(
    ("edited", "held"),
    [
        pytest.param({"numero_de_serie": "U"}, ("U", "U"), id="a new value in the CMMS is written"),
        pytest.param({}, ("T", "T"), id="a replay writes the value again"),
    ],
)
async def test_a_value_that_waits_since_a_lost_answer_goes_on(
    make_world: MakeWorld, edited: dict[str, str], held: tuple[str, str]
) -> None:
    world = await doubtful(make_world)
    world.cmms.put("A", **edited)
    await (world.dirty() if edited else world.replay())
    await world.settle()
    assert (serials(world), (await world.link()).parked) == (held, {})


async def test_an_edit_that_came_before_the_write_refuses_it_for_good(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = ["late"]
    world.dynamics.faults.meanwhile = lambda: world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.faults.land()
    await world.settle()
    assert world.row().values["nombre"] == "Nueva"
    assert [(one.field, one.lost) for one in (await world.link()).conflicts] == [("nombre", "Editada")]


async def test_the_record_of_a_write_in_doubt_is_looked_at_until_it_cannot_land_any_more(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = ["late", "late"]
    await world.dirty()
    world.cmms.put("A", nombre="Bomba")
    await world.settle()
    assert world.clock.monotonic() >= LATEST.total_seconds()
    assert (await world.link()).intents == ()


async def test_a_side_that_is_away_leaves_the_write_in_doubt(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = ["answer lost"]
    world.dynamics.faults.meanwhile = lambda: setattr(world.dynamics.faults, "away", Unavailable("away"))
    assert (await world.dirty()).retried == 1
    assert [intent.side for intent in (await world.link()).intents] == ["dynamics"]
    world.dynamics.faults.away = None
    world.dynamics.writes.clear()
    await world.settle()
    assert (world.row().values["nombre"], (await world.link()).intents) == ("Nueva", ())


@pytest.mark.parametrize("serial", [None, "T"])
@pytest.mark.parametrize("repeat", ["never arrives", "late"])
async def test_what_changed_between_a_create_and_its_repeat_arrives_whichever_lands(
    make_world: MakeWorld, serial: str | None, repeat: Fault
) -> None:
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    world.dynamics.faults.next = ["late", repeat, "never arrives", "never arrives"]
    await world.dirty()
    world.cmms.put("A", numero_de_serie=serial)
    await world.dirty()
    world.dynamics.faults.next = []
    world.dynamics.faults.land()
    await world.settle()
    link = await world.link()
    assert (world.row().values["numero_de_serie"], world.cmms.records["1"].values["numero_de_serie"]) == (
        serial,
        serial,
    )
    assert (link.intents, link.conflicts, world.parked) == ((), (), [])


async def test_a_create_in_doubt_is_repeated_as_it_was_and_what_changed_since_follows_it(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    world.dynamics.faults.next = ["never arrives"]
    world.dynamics.faults.meanwhile = lambda: world.cmms.put("B", numero_de_serie="T") and None
    await world.dirty()
    first, repeat, later = world.dynamics.writes
    assert (repeat.id, repeat.target, repeat.values) == (first.id, first.target, first.values)
    assert later.values == {"codigo_interno": "B", "numero_de_serie": "T"}


async def test_a_create_in_doubt_whose_key_another_row_has_by_then_is_made_under_its_record_s_new_key(
    world: World,
) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = ["never arrives", "never arrives", "never arrives"]
    await world.dirty()
    world.cmms.put("B")
    world.cmms.put("A", record_id="2", nombre="Otra")
    world.dynamics.faults.next = []
    await world.dirty("2")
    await world.settle()
    link = await world.link()
    assert {key: world.row(key).values["nombre"] for key in ("A", "B")} == {"A": "Otra", "B": "Bomba"}
    assert (link.intents, world.row("B").id, world.parked) == ((), link.row_id, [])
    # One try for each attempt, as the first create may still land for a quarter of an hour.
    assert len(world.dynamics.writes) == 12


async def test_a_create_in_doubt_whose_repeat_is_refused_leaves_no_row_behind(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = ["never arrives", RejectedByTarget("no"), RejectedByTarget("no")]
    await world.dirty()
    await world.settle()
    link = await world.link()
    assert (link.row_id, link.intents, world.parked) == (None, (), ["rejected_by_target"])


async def _made_without_an_answer(world: World, fault: Fault) -> DynamicsRecord:
    """A new row, the create of whose record is left in doubt: its answer is lost, and the CMMS cannot be asked."""
    row = world.dynamics.put("A", nombre="Bomba", numero_de_serie="S1")
    world.cmms.faults.next = [fault]
    world.cmms.faults.meanwhile = lambda: setattr(world.cmms.faults, "away", Unavailable("away"))
    await world.webhook(row, "create")
    world.cmms.faults.away = None
    return row


async def test_a_record_that_is_deleted_while_its_create_is_in_doubt_leaves_its_row_to_a_person(world: World) -> None:
    row = await _made_without_an_answer(world, "answer lost")
    world.cmms.delete()
    await world.dirty()
    await world.settle()
    assert (world.parked, (await world.link(row.id, "row")).intents) == (["row_replaced"], ())
    assert [record.deleted for record in world.cmms.records.values()] == [True]


async def test_a_record_that_lives_again_waits_for_a_person_where_its_row_is_known_without_it(world: World) -> None:
    row = await _made_without_an_answer(world, "answer lost")
    before = world.cmms.records["1"]
    world.cmms.delete()
    await world.dirty()
    await world.settle()
    world.cmms.records["1"] = before
    world.later(minutes=1)
    world.cmms.put("A", nombre="Motor")
    world.dynamics.put("B", row_id=row.id)
    await world.dirty()
    await world.settle()
    assert (world.parked, list(world.dynamics.rows)) == (["row_replaced"] * 2, [row.id])
    del world.dynamics.rows[row.id]
    await world.dirty()
    assert [one.key for one in world.dynamics.rows.values()] == ["A"]


async def test_what_a_row_says_since_a_create_in_doubt_reaches_its_record_as_an_edit(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    row = await _made_without_an_answer(world, "answer lost")
    world.dynamics.put("A", numero_de_serie="S2")
    world.cmms.put("B")
    await world.settle()
    assert {world.cmms.records["1"].values["numero_de_serie"], world.row("B").values["numero_de_serie"]} == {"S2"}
    lost = {one.field for one in (await world.link(row.id, "row")).conflicts}
    assert ("numero_de_serie" in lost, world.parked) == (False, [])


@pytest.mark.parametrize(("serial", "held", "on_record"), [("S", "T", []), ("S2", "S2", ["T"])])
async def test_what_was_said_since_a_create_in_doubt_and_an_edit_of_its_row_have_both_changed(
    make_world: MakeWorld, serial: str, held: str, on_record: list[str]
) -> None:
    world = make_world(mapping=mapping(stamp=True), one_way=True)
    start = world.clock.now() - timedelta(days=1)
    world.dynamics.faults.next = ["late", "never arrives", "never arrives", "never arrives"]
    await world.said(start, nombre="Bomba", numero_de_serie="S")
    await world.said(start + timedelta(hours=1), nombre="Nueva", numero_de_serie=serial)
    world.dynamics.faults.next = []
    world.dynamics.faults.land()
    world.dynamics.put("A", numero_de_serie="T")
    await world.settle()
    lost = [one.lost for one in (await world.link()).conflicts if one.field == "numero_de_serie"]
    assert (world.row().values["nombre"], world.row().values["numero_de_serie"], lost) == ("Nueva", held, on_record)


@pytest.mark.parametrize("first", ["the row's message", "the other record's message"])
@pytest.mark.parametrize(("landed", "records"), [("answer lost", {"1", "2"}), ("never arrives", {"1"})])
async def test_a_create_in_the_cmms_finds_its_record_also_under_another_key(
    make_world: MakeWorld, landed: Fault, records: set[str], first: str
) -> None:
    world = make_world(mapping=mapping(stamp=True))
    row = await _made_without_an_answer(world, landed)
    if landed == "answer lost":
        world.cmms.put("B")
    other = str(len(world.cmms.records) + 1)
    world.cmms.put("A", record_id=other, nombre="Otra", numero_de_serie=None)
    world.dynamics.put("A", numero_de_serie="S2")
    if first == "the row's message":
        await world.settle()
    await world.dirty(other)
    await world.settle()
    link = await world.link(row.id, "row")
    assert (link.cmms_id, link.intents, set(world.cmms.records), world.parked) == ("1", (), records, [])
    record = world.cmms.records["1"]
    key = "B" if landed == "answer lost" else "A"
    assert (record.key, record.values["numero_de_serie"], world.row(key).id) == (key, "S2", row.id)
    assert {one.key for one in world.dynamics.rows.values()} == {one.key for one in world.cmms.records.values()}
