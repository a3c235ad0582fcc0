"""Rule 7: a base counts only under the conditions in which it was taken."""

import sqlite3
from dataclasses import replace

import pytest

from shared.domain.decide.trust import OPERATIONS
from shared.domain.messages.events import Event, parse_event
from shared.domain.model import BadValue
from shared.domain.schema.mapping import Mapping
from shared.errors import MappingError, Unavailable
from shared.flows.sync.mass_clear import MANY, PER_FILL
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.faults import Fault
from tests.kit.world import World


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S", valor_libros="10")
    await world.dirty()


async def unanswered(world: World, fault: Fault) -> None:
    """Leave a write to Dynamics in doubt: its answer is lost, and Dynamics cannot be asked."""
    world.dynamics.faults.next = [fault]
    world.dynamics.faults.meanwhile = lambda: setattr(world.dynamics.faults, "away", Unavailable("away"))
    await world.dirty()
    world.dynamics.faults.away = None


def without(name: str) -> Mapping:
    """The customer's mapping without one of the asset's fields, and with the stamp."""
    found = stamped(stamp=True)
    asset = found.entities["asset"]
    fields = {field: rule for field, rule in asset.fields.items() if field != name}
    return found.model_copy(
        update={"entities": {**found.entities, "asset": asset.model_copy(update={"fields": fields})}}
    )


def remapped(**columns: str) -> Mapping:
    """The customer's mapping with other columns for some of the asset's fields."""
    found = stamped(stamp=True)
    asset = found.entities["asset"]
    fields = {
        name: rule.model_copy(update={"column": columns[name]}) if name in columns else rule
        for name, rule in asset.fields.items()
    }
    return found.model_copy(
        update={"entities": {**found.entities, "asset": asset.model_copy(update={"fields": fields})}}
    )


def restarted(make_world: MakeWorld, world: World, mapping: Mapping) -> World:
    """The same sides and ledger under another mapping."""
    other = make_world(mapping=mapping)
    for name in ("dynamics", "cmms"):
        getattr(other, name).__dict__.update(getattr(world, name).__dict__)
    other.ledger.close()
    other.ledger._db = world.ledger._db
    return other


async def test_a_field_under_another_column_meets_for_the_first_time(make_world: MakeWorld, world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.change(row, values={**row.values, "numero_de_serie": None})
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_other"))
    again.cmms.put("A", nombre="Nueva")
    await again.dirty()
    assert again.cmms.records["1"].values["numero_de_serie"] == again.row().values["numero_de_serie"] == "S"


async def test_values_of_two_swapped_columns_are_conflicts_on_record(make_world: MakeWorld, world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.change(row, values={**row.values, "numero_de_serie": "Bomba", "nombre": "S"})
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_name", nombre="msdyn_serialid"))
    await again.dirty()
    record = again.cmms.records["1"].values
    assert (record["nombre"], record["numero_de_serie"]) == ("Bomba", "S")
    assert {one.field: one.lost for one in (await again.link()).conflicts} == {
        "nombre": "S",
        "numero_de_serie": "Bomba",
    }


async def test_a_stale_read_is_no_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.faults.stale = dict(world.dynamics.rows)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.stale = None
    await world.dirty()
    older = {row.id: row for row in world.dynamics.rows.values()}
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.faults.stale = older
    await world.dirty()
    assert world.cmms.records["1"].values["nombre"] == "Editada"
    world.dynamics.faults.stale = None
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", [])


async def test_a_side_that_went_back_is_parked_and_overwrites_nothing(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.rows = yesterday
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", ["went_back"])


@pytest.mark.parametrize("version", ["older", "the same"])
async def test_a_restored_row_is_parked_although_somebody_edited_it_since(world: World, version: str) -> None:
    await agreed(world)
    yesterday = world.row()
    world.dynamics.put("A", nombre="Editada")
    await world.webhook(world.row())
    seen = world.row().version or 0
    world.later(hours=1)
    values = {**yesterday.values, "numero_de_serie": "T"}
    number = seen if version == "the same" else seen - 1
    world.dynamics.change(yesterday, values=values, version=number, modified=world.clock.now())
    await world.webhook(world.row())
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", ["went_back"])


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_restored_record_that_people_alone_had_changed_is_parked_although_edited(
    world: World, lost: int
) -> None:
    await agreed(world)
    yesterday = dict(world.cmms.records)
    for number in range(lost):
        world.later(hours=1)
        world.cmms.put("A", nombre=f"Editada {number}")
        await world.dirty()
    world.cmms.records = yesterday
    world.later(hours=1)
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == (f"Editada {lost - 1}", ["went_back"])


@pytest.mark.parametrize("side", ["dynamics", "cmms"])
async def test_edits_of_a_record_that_went_back_do_not_make_it_believed(world: World, side: str) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows), dict(world.cmms.records)
    edited = world.dynamics if side == "dynamics" else world.cmms
    edited.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.rows, world.cmms.records = (
        (yesterday[0], world.cmms.records) if side == "dynamics" else (world.dynamics.rows, yesterday[1])
    )
    await world.dirty()
    await world.settle()
    for _ in range(3):
        world.later(hours=1)
        edited.put("A", numero_de_serie="T")
        await world.dirty()
        await world.settle()
    held = world.cmms.records["1"] if side == "dynamics" else world.row()
    assert (held.values["nombre"], world.parked) == ("Editada", ["went_back"])


async def test_a_side_that_only_lagged_for_long_heals_by_itself(world: World) -> None:
    await agreed(world)
    older = dict(world.dynamics.rows)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.faults.stale = older
    await world.dirty()
    await world.settle()
    world.dynamics.faults.stale = None
    await world.dirty()
    assert (await world.link()).parked == {}


async def test_a_ledger_that_went_back_makes_differences_conflicts_on_record(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    await agreed(world)
    rows = list(world.ledger._db.iterdump())
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    world.dynamics.put("A", nombre="Bomba")
    restored = restarted(make_world, world, world.mapping)
    restored.ledger._db = sqlite3.connect(":memory:", isolation_level=None)
    restored.ledger._db.executescript("\n".join(rows))
    await restored.dirty()
    assert [(one.field, one.lost) for one in (await restored.link()).conflicts] == [("nombre", "Bomba")]
    assert restored.cmms.records["1"].values["nombre"] == "Nueva"


async def test_a_column_that_our_user_may_not_read_is_not_said_and_erases_nothing(world: World) -> None:
    await agreed(world)
    world.dynamics.secured = {"numero_de_serie"}
    world.dynamics.put("A", nombre="Editada")
    await world.webhook(world.row())
    values = world.cmms.records["1"].values
    assert (values["numero_de_serie"], values["nombre"], world.parked) == ("S", "Editada", [])


async def test_a_column_that_can_be_read_and_was_emptied_is_an_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.put("A", numero_de_serie=None)
    await world.webhook(world.row())
    assert world.cmms.records["1"].values["numero_de_serie"] is None


def every(count: int) -> list[bytes]:
    """One message for each of so many records."""
    events = [Event(source="/t", type="sync.asset.dirty", data={"cmms_id": str(number)}) for number in range(count)]
    return [event.to_json().encode() for event in events]


async def many(world: World, count: int) -> None:
    for number in range(count):
        world.cmms.put(f"K{number}", str(number), nombre=f"N{number}", numero_de_serie=f"S{number}")
    await world.sync.handle("asset", every(count))
    for row in list(world.dynamics.rows.values()):
        world.dynamics.change(row, values={**row.values, "numero_de_serie": None})


def serials(world: World) -> set[str | None]:
    return {record.values["numero_de_serie"] for record in world.cmms.records.values()}


@pytest.mark.parametrize("size", [MANY, 7], ids=["one batch", "small batches"])
async def test_a_mass_of_clears_is_parked_and_the_rest_goes_on(world: World, size: int) -> None:
    await many(world, 2 * MANY)
    for row in list(world.dynamics.rows.values()):
        world.dynamics.change(row, values={**row.values, "nombre": "Edited"})
    bodies = every(2 * MANY)
    for start in range(0, len(bodies), size):
        await world.sync.handle("asset", bodies[start : start + size])
    await world.settle()
    kept = [record for record in world.cmms.records.values() if record.values["numero_de_serie"] is not None]
    assert len(kept) == len(world.parked) >= MANY
    assert set(world.parked) == {"mass_clear/numero_de_serie"}
    assert {record.values["nombre"] for record in world.cmms.records.values()} == {"Edited"}


async def test_a_mass_of_clears_stays_held_one_by_one_until_a_person_replays_it(world: World) -> None:
    await many(world, MANY)
    await world.sync.handle("asset", every(MANY))
    world.later(hours=1)
    for number in range(MANY):
        await world.dirty(str(number))
    assert None not in serials(world)
    for message in world.bus.queues.pop("parked"):
        event = parse_event(message.body).model_copy(update={"history": str(message.properties["history"])})
        await world.sync.handle("asset", [event.to_json().encode()])
    assert serials(world) == {None}
    assert (await world.link("0")).parked == {}


async def test_a_column_that_can_be_read_again_ends_a_mass_of_clears(world: World) -> None:
    await many(world, MANY)
    await world.sync.handle("asset", every(MANY))
    for number in range(MANY):
        world.dynamics.put(f"K{number}", numero_de_serie=f"S{number}")
    world.later(hours=1)
    await world.sync.handle("asset", every(MANY))
    assert serials(world) == {f"S{number}" for number in range(MANY)}
    assert [(await world.link(str(number))).parked for number in range(MANY)] == [{}] * MANY


@pytest.mark.parametrize(
    ("edits", "held"),
    [
        pytest.param(MANY // PER_FILL, 0, id="an edit for each ten clears: people's work"),
        pytest.param(MANY // PER_FILL - 1, MANY, id="fewer edits: held"),
    ],
)
async def test_clears_are_people_s_work_beside_enough_edits_of_the_same_field(
    world: World, edits: int, held: int
) -> None:
    await many(world, MANY + edits)
    for number in range(edits):
        world.dynamics.put(f"K{number}", numero_de_serie="edited")
    await world.sync.handle("asset", every(MANY + edits))
    await world.settle()
    assert world.parked == ["mass_clear/numero_de_serie"] * held


async def test_a_few_clears_are_people_s_work(world: World) -> None:
    await many(world, MANY - 1)
    assert (await world.sync.handle("asset", every(MANY - 1))).applied == MANY - 1


async def test_a_restored_record_is_parked_although_an_edit_made_its_version_new_again(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.cmms.records)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.cmms.records = yesterday
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == ("Editada", ["went_back"])


async def test_a_record_with_twenty_newer_operations_has_not_gone_back(world: World) -> None:
    await agreed(world)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    record = world.cmms.records["1"]
    newer = tuple(f"operation {number}" for number in range(OPERATIONS))
    world.cmms.records["1"] = replace(record, operations=newer)
    await world.dirty()
    await world.settle()
    assert world.parked == []


@pytest.mark.parametrize("late", [pytest.param(False, id="answer lost"), pytest.param(True, id="late")])
@pytest.mark.parametrize("edited", [pytest.param(False, id="unedited"), pytest.param(True, id="edited since")])
@pytest.mark.parametrize("creates", [pytest.param(False, id="update"), pytest.param(True, id="create")])
async def test_a_write_in_doubt_under_an_earlier_mapping_erases_nothing(
    make_world: MakeWorld, *, late: bool, edited: bool, creates: bool
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    if not creates:
        await agreed(world)
    world.cmms.put("A", nombre="Bomba", numero_de_serie="nueva")
    await unanswered(world, "late" if late else "answer lost")
    world.dynamics.faults.land()
    # The other column holds nothing yet.
    row = world.dynamics.change(world.row(), values={**world.row().values, "numero_de_serie": None})
    if edited:
        world.dynamics.put("A", nombre="Editada")
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_other"))
    await again.webhook(row)
    await again.settle()
    values = again.cmms.records["1"].values
    assert (values["numero_de_serie"], again.row().values["numero_de_serie"]) == ("nueva", "nueva")
    assert (await again.link()).conflicts == ()


async def test_a_write_in_doubt_of_a_field_that_is_no_longer_mapped_is_settled(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    await agreed(world)
    world.cmms.put("A", numero_de_serie="nueva")
    await unanswered(world, "answer lost")
    again = restarted(make_world, world, without("numero_de_serie"))
    await again.dirty()
    await again.settle()
    link = await again.link()
    assert (link.intents, "numero_de_serie" in link.bases, again.parked) == ((), False, [])


async def test_a_column_that_was_never_read_is_not_written_over(world: World) -> None:
    world.dynamics.secured = {"numero_de_serie"}
    world.cmms.put("A", nombre="Bomba")
    row = world.dynamics.put("A", nombre="Bomba", numero_de_serie="entered by hand")
    await world.dirty()
    world.cmms.put("A", numero_de_serie="S")
    await world.dirty()
    await world.settle()
    assert (world.dynamics.rows[row.id].values["numero_de_serie"], world.parked) == ("entered by hand", [])


async def test_a_column_that_shows_nothing_of_a_write_is_asked_about_before_the_next_one(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.dynamics.secured = world.dynamics.unheard = {"numero_de_serie"}
    world.cmms.put("A", numero_de_serie="S")
    await world.dirty()
    await world.settle()
    world.dynamics.put("A", numero_de_serie="entered by hand")
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.row().values["numero_de_serie"], world.parked) == ("entered by hand", ["no_effect/numero_de_serie"])


async def test_rounding_beside_a_refused_field_is_no_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.becomes["valor_libros"] = "10.1"
    world.dynamics.refused = "numero_de_serie"
    world.cmms.put("A", valor_libros="10.11", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["valor_libros"], world.parked) == (
        "10.11",
        ["rejected_by_target/numero_de_serie"],
    )
    assert (await world.link()).conflicts == ()


async def test_a_row_that_went_back_gives_no_key_up_and_reverts_nothing(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows)
    world.cmms.put("B", nombre="Nueva")  # the record is renamed and edited, then the other side is restored
    await world.dirty()
    world.dynamics.rows = yesterday
    world.cmms.put("A", "2", nombre="Otra")
    await world.dirty("2")
    await world.settle()
    assert world.cmms.records["1"].values["nombre"] == "Nueva"
    assert world.row().values["nombre"] == "Bomba"
    await world.dirty()
    await world.settle()
    assert world.parked == ["key_not_usable/codigo_interno", "went_back"]


async def test_a_field_whose_value_no_side_has_in_a_usable_form_is_parked_once(world: World) -> None:
    await agreed(world)
    bad = {"valor_libros": BadValue(MappingError("valor_libros: 10.5 is no whole number."), "digest")}
    others = {"nombre": "Bomba", "numero_de_serie": "S"}
    world.dynamics.change(world.row(), values=others, errors=bad)
    world.cmms.records["1"] = replace(world.cmms.records["1"], values=others, errors=bad)
    for _ in range(3):
        await world.dirty()
    assert world.parked == ["mapping_error"]


async def test_a_message_of_an_entity_that_is_not_mapped_is_parked_with_its_key(
    make_world: MakeWorld, world: World
) -> None:
    found = world.mapping
    only_orders = found.model_copy(update={"entities": {"order": found.entities["order"]}})
    await agreed(world)
    bare = restarted(make_world, world, only_orders)
    await bare.said(bare.clock.now(), nombre="Nueva")
    (message,) = bare.bus.queues["parked"]
    event = parse_event(message.body)
    assert (message.properties["key"], message.properties["correlation_id"], bare.parked) == (
        "A",
        event.id,
        ["invalid_message"],
    )


async def test_a_message_that_cannot_be_read_is_parked_whatever_is_mapped(make_world: MakeWorld, world: World) -> None:
    found = world.mapping
    only_orders = found.model_copy(update={"entities": {"order": found.entities["order"]}})
    bare = restarted(make_world, world, only_orders)
    await bare.sync.handle("asset", [b"\xff"])
    assert [message.body for message in bare.bus.queues["parked"]] == [b"\xff"]
