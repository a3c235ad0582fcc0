"""Rule 8: a record that the CMMS renames keeps its row, however late, lost, doubled or reordered the messages are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from shared.domain.ledger import Entry, Intent, Stored
from shared.domain.messages.events import Event
from shared.domain.messages.queues import ASSETS, ORDERS, PARKED
from shared.domain.model import CmmsRecord, Value
from shared.domain.recovery import LATEST_CREATE
from shared.domain.renamed import ASIDE, moved_entries
from shared.errors import KeyNotUsable, RejectedByTarget
from shared.flows.sync import Summary
from tests.flows.sides import World


def born(world: World, key: str, identity: str, **values: Value) -> CmmsRecord:
    record = replace(world.cmms.put(key, **{"nombre": f"Activo {identity}", **values}), id=identity)
    world.cmms.records[key] = record
    return record


def rename(world: World, old: str, new: str) -> None:
    world.clock.advance(timedelta(seconds=1))
    record = world.cmms.records[old]
    tombstone = CmmsRecord(old, "", {}, version=record.version, deleted=True, renamed_to=new)
    world.cmms.records[old] = replace(tombstone, former_keys=record.former_keys)
    fresh = world.cmms.put(new, **dict(record.values))
    world.cmms.records[new] = replace(fresh, id=record.id, former_keys=(*record.former_keys, old))


def taken_over(world: World, key: str, identity: str) -> None:
    """Another record gets a key that was used before."""
    world.clock.advance(timedelta(seconds=1))
    successor = world.cmms.records[key].renamed_to
    born(world, key, identity)
    world.cmms.records[key] = replace(world.cmms.records[key], renamed_to=successor)


async def renamed(world: World, old: str, new: str) -> Summary:
    data = {"key": new, "old_key": old, "version": world.clock.now().isoformat(), "fields": {}}
    event = Event(id=str(uuid4()), source="/energy-cmms", type="energy.asset.renamed", data=data)
    return await world.sync.handle("asset", [event.to_json().encode()])


def keys(world: World) -> dict[str, str]:
    """The key of every row, by the row's id."""
    return {row.id: row.key for row in world.dynamics.rows.values()}


async def test_a_rename_keeps_the_row_and_its_bases(world: World) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    row = world.row("A")
    rename(world, "A", "B")
    await renamed(world, "A", "B")
    assert keys(world) == {row.id: "B"}
    entry = await world.entry("B")
    assert (entry.dynamics_id, entry.bases["nombre"].cmms, entry.conflicts) == (row.id, "Activo 1", ())
    assert (await world.entry("A")).moved_to == "B"


async def test_a_rename_told_by_no_message_is_found_by_either_key(world: World) -> None:
    for number, look in enumerate(("old", "new")):
        first, second = f"A{number}", f"B{number}"
        born(world, first, look)
        await world.dirty(first)
        row = world.row(first)
        rename(world, first, second)
        await world.dirty(first if look == "old" else second)
        assert world.dynamics.rows[row.id].key == second
    assert len(world.dynamics.rows) == 2


async def test_a_doubled_rename_changes_nothing_the_second_time(world: World) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    rename(world, "A", "B")
    await renamed(world, "A", "B")
    world.dynamics.writes.clear()
    summary = await renamed(world, "A", "B")
    assert (summary.already_true, world.dynamics.writes) == (1, [])


@pytest.mark.parametrize("order", list(permutations(["A", "B", "renamed"])))
async def test_every_order_of_messages_around_a_rename_and_a_key_used_again_ends_alike(
    world: World, order: tuple[str, ...]
) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    row = world.row("A")
    rename(world, "A", "B")
    taken_over(world, "A", "2")
    for what in order:
        if what == "renamed":
            await renamed(world, "A", "B")
        else:
            await world.dirty(what[0])
    for key in "BA":  # what was put off comes back
        await world.dirty(key)
    await world.dirty("A")
    assert world.dynamics.rows[row.id].key == "B"
    assert sorted(keys(world).values()) == ["A", "B"]
    assert world.row("A").values["nombre"] == "Activo 2"
    assert world.row("B").values["nombre"] == "Activo 1"


async def test_a_chain_of_renames_is_followed_to_its_end_although_every_key_was_used_again(world: World) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    row = world.row("A")
    rename(world, "A", "B")
    rename(world, "B", "C")
    taken_over(world, "A", "2")
    taken_over(world, "B", "3")
    for key in "CBA":
        await world.dirty(key)
    assert world.dynamics.rows[row.id].key == "C"
    assert sorted(keys(world).values()) == ["A", "B", "C"]


@pytest.mark.parametrize("again", [False, True])
async def test_a_row_follows_its_record_although_the_old_keys_next_holder_was_deleted_too(
    world: World, again: bool
) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    row = world.row("A")
    rename(world, "A", "B")
    taken_over(world, "A", "2")
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("A")  # its tombstone tells of the second record alone
    if again:
        taken_over(world, "A", "3")
    for key in "ABA":
        await world.dirty(key)
    assert (world.dynamics.rows[row.id].key, world.dynamics.rows[row.id].state) == ("B", 0)
    assert sorted(keys(world).values()) == (["A", "B"] if again else ["B"])


async def test_what_a_row_held_of_the_keys_former_record_is_on_record_when_another_record_takes_it_over(
    world: World,
) -> None:
    born(world, "A", "1", numero_de_serie="uno")
    await world.dirty("A")
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("A")
    taken_over(world, "A", "2")
    world.cmms.records["A"] = replace(
        world.cmms.records["A"], values={**world.cmms.records["A"].values, "numero_de_serie": None}
    )
    await world.dirty("A")
    assert world.row("A").values["nombre"] == "Activo 2"
    conflicts = [(one.field, one.lost, one.why) for one in (await world.entry("A")).conflicts]
    assert conflicts == [("nombre", "Activo 1", "taken_over"), ("numero_de_serie", "uno", "taken_over")]


async def test_conflicts_recorded_under_both_keys_survive_a_rename(world: World) -> None:
    born(world, "A", "1", valor_libros="1")
    await world.dirty("A")
    world.cmms.put("A", valor_libros="2")
    world.cmms.records["A"] = replace(world.cmms.records["A"], id="1")
    world.dynamics.put("A", valor_libros="3")
    await world.dirty("A")
    rename(world, "A", "B")
    await world.dirty("B")
    assert [conflict.lost for conflict in (await world.entry("B")).conflicts] == ["2"]


async def test_a_row_that_a_person_made_under_the_old_key_is_not_taken_for_the_renamed_record(world: World) -> None:
    born(world, "A", "1")
    await world.dirty("A")
    rename(world, "A", "B")
    await world.dirty("B")
    world.dynamics.put("A", row_id=str(uuid4()), nombre="De otra persona")
    await world.dirty("A")
    assert [one.properties["reason"] for one in world.bus.queues[PARKED.name]] == ["key_not_usable"]
    assert world.row("A").values["nombre"] == "De otra persona"


async def test_a_key_s_next_record_is_made_although_the_one_before_took_what_was_parked_there_along_just_now(
    world: World,
) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    world.dynamics.rows.clear()
    await settle(world, "A")
    assert (await world.entry("A")).parked["*"].reason == "gone_from_dynamics"
    rename(world, "A", "B")
    taken_over(world, "A", "2")
    renaming = {"key": "B", "old_key": "A", "version": world.clock.now().isoformat(), "fields": {}}
    dirty = {"key": "A"}
    events = [
        Event(id=str(uuid4()), source="/energy-cmms", type=f"{kind}", data=data)
        for kind, data in (("energy.asset.renamed", renaming), ("sync.asset.dirty", dirty))
    ]
    await world.sync.handle("asset", [event.to_json().encode() for event in events])
    assert world.row("A").values["nombre"] == "Activo 2"


async def settle(world: World, *names: str) -> None:
    """Look at these keys, and do again what asks for it, until nothing does."""
    for name in names:
        await world.dirty(name)
    while again := world.bus.queues.pop(ASSETS.name, []):
        world.clock.advance(timedelta(minutes=3))
        await world.sync.handle("asset", [str(one.body).encode() for one in again])


@pytest.mark.parametrize("order", list(permutations(("A", "B", "T"))))
async def test_records_that_exchange_their_keys_keep_their_rows(world: World, order: tuple[str, ...]) -> None:
    born(world, "A", "1")
    born(world, "B", "2")
    await settle(world, "A", "B")
    rows = {row.values["nombre"]: row.id for row in world.dynamics.rows.values()}
    rename(world, "A", "T")
    first = world.cmms.records["T"]
    rename(world, "B", "A")
    world.cmms.records["T"] = first
    rename(world, "T", "B")
    await settle(world, *order)
    assert {row.values["nombre"]: row.id for row in world.dynamics.rows.values()} == rows
    assert keys(world) == {rows["Activo 1"]: "B", rows["Activo 2"]: "A"}
    assert PARKED.name not in world.bus.queues


async def test_a_renamed_record_s_row_leaves_its_old_key_also_if_the_record_is_deleted_at_once(world: World) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    rename(world, "A", "B")
    tombstone = replace(world.cmms.records["B"], deleted=True, values={})
    world.cmms.records["B"] = tombstone
    entry = await world.entry("A")
    left, moved = moved_entries(entry, await world.entry("B"))
    stored = await world.ledger.read("asset", ["A", "B"])  # type: ignore[no-untyped-call]
    pair = [stored[key].model_copy(update={"entry": one}) for key, one in (("A", left), ("B", moved))]
    assert await world.ledger.move("asset", *pair)
    await settle(world, "B")
    (row,) = world.dynamics.rows.values()
    assert (row.key, row.state) == ("B", 1)


@pytest.mark.parametrize("told", ["tombstone", "rename"])
async def test_a_row_is_deactivated_whose_record_was_deleted_at_once_under_a_key_that_had_a_row_before(
    world: World, told: str
) -> None:
    born(world, "B", "0")
    await settle(world, "B")
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("B")
    await settle(world, "B")
    born(world, "A", "1")
    await settle(world, "A")
    rename(world, "A", "B")
    former = world.cmms.records["B"].former_keys
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("B")
    if told == "tombstone":
        world.cmms.records["B"] = replace(world.cmms.records["B"], former_keys=former)
        await settle(world, "B")
    else:
        await renamed(world, "A", "B")
        await settle(world)
    assert sorted((row.key, row.state) for row in world.dynamics.rows.values()) == [("A", 1), ("B", 1)]


@pytest.mark.parametrize("told", ["tombstone", "rename"])
async def test_a_row_is_deactivated_whose_record_was_deleted_before_its_memory_could_follow_its_rename(
    world: World, told: str
) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    rename(world, "A", "B")
    former = world.cmms.records["B"].former_keys
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("B")
    if told == "tombstone":
        world.cmms.records["B"] = replace(world.cmms.records["B"], former_keys=former)
        await settle(world, "B")
    else:
        await renamed(world, "A", "B")
        await settle(world)
    (row,) = world.dynamics.rows.values()
    assert (row.key, row.state) == ("A", 1)
    await world.dirty("B")
    assert ASSETS.name not in world.bus.queues, "what is settled is not asked about again"


async def test_a_record_keeps_its_row_where_the_one_before_it_was_deleted_while_its_own_was_being_made(
    world: World,
) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    (row,) = world.dynamics.rows.values()
    now = world.clock.now()
    made = Intent(
        id="made", side="dynamics", expected_etag=None, values={}, sources={}, row_id=str(uuid4()), expires_at=now
    )
    pending = Entry(key="B", dynamics_id=made.row_id, cmms_id="2", intents=(made,))
    aside = (await world.entry("A")).model_copy(update={"key": ASIDE + "1"})
    known = await world.ledger.read("asset", ["A"])  # type: ignore[no-untyped-call]
    empty = known["A"].model_copy(update={"entry": Entry(key="A")})
    await world.ledger.write("asset", [empty, Stored(entry=pending), Stored(entry=aside)])  # type: ignore[no-untyped-call]
    rename(world, "A", "B")
    await settle(world, "B")
    assert keys(world) == {row.id: "B"}
    assert world.clock.now() - now > LATEST_CREATE, "before, the other record's row may yet be made"


async def exchanged_with_one_that_was_being_made(world: World) -> Intent:
    """#1 came from A, where it has a row, to B, whose #2 went to A and was deleted while its row was being made."""
    born(world, "A", "1")
    await settle(world, "A")
    made = Intent(
        id="made",
        side="dynamics",
        expected_etag=None,
        values={},
        sources={},
        row_id=str(uuid4()),
        expires_at=world.clock.now(),
    )
    pending = Entry(key="B", dynamics_id=made.row_id, cmms_id="2", intents=(made,))
    await world.ledger.write("asset", [Stored(entry=pending)])  # type: ignore[no-untyped-call]
    rename(world, "A", "B")
    gone = CmmsRecord("A", "", {}, version=world.cmms.records["A"].version, deleted=True, former_keys=("B",))
    world.cmms.records["A"] = replace(gone, id="2")
    return made


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A"), ("A",)])
async def test_a_record_keeps_its_row_where_the_one_that_it_exchanged_keys_with_was_never_made(
    world: World, order: tuple[str, ...]
) -> None:
    await exchanged_with_one_that_was_being_made(world)
    (row,) = world.dynamics.rows.values()
    await settle(world, *order)
    assert {row.id: (row.key, row.state) for row in world.dynamics.rows.values()} == {row.id: ("B", 0)}
    assert PARKED.name not in world.bus.queues


async def test_a_record_takes_the_row_over_that_was_made_late_for_the_one_that_it_exchanged_keys_with(
    world: World,
) -> None:
    made = await exchanged_with_one_that_was_being_made(world)
    (row,) = world.dynamics.rows.values()
    await world.dirty("A")
    world.dynamics.rows[made.row_id or ""] = replace(row, id=made.row_id or "", key="B", etag='W/"late"')
    await settle(world, "A", "B")
    assert {row.id: (row.key, row.state) for row in world.dynamics.rows.values()} == {
        row.id: ("A", 1),
        made.row_id: ("B", 0),
    }
    assert PARKED.name not in world.bus.queues


async def test_a_record_that_was_parked_for_want_of_its_key_is_made_once_a_row_gives_the_key_up(world: World) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    (row,) = world.dynamics.rows.values()
    foreign = world.dynamics.put("B", nombre="De otro")
    rename(world, "A", "B")
    taken_over(world, "A", "2")
    await settle(world, "B", "A")
    assert [message.properties["reason"] for message in world.bus.queues[PARKED.name]] == ["key_not_usable"] * 2
    del world.dynamics.rows[foreign.id]
    await settle(world, "B")
    assert {found.values["nombre"]: found.key for found in world.dynamics.rows.values()} == {
        "Activo 1": "B",
        "Activo 2": "A",
    }
    assert keys(world)[row.id] == "B"


async def test_a_row_of_somebody_else_is_parked_once_for_the_key_that_it_has(world: World) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    world.dynamics.put("B", nombre="De otro")
    rename(world, "A", "B")
    await settle(world, "B")
    rename(world, "B", "C")
    await settle(world, "C", "B")
    assert [message.properties["key"] for message in world.bus.queues[PARKED.name]] == ["B"]
    assert "*" in (await world.entry("B")).parked
    (strange,) = (row for row in world.dynamics.rows.values() if row.key == "B")
    del world.dynamics.rows[strange.id]
    await settle(world, "B")
    assert not (await world.entry("B")).parked, "the key is free again"


@pytest.mark.parametrize("told", ["A", "B"])
async def test_what_was_parked_of_a_record_without_a_row_does_not_stay_under_a_key_that_it_left(
    world: World, told: str
) -> None:
    born(world, "A", "1")
    world.dynamics.refuse = [RejectedByTarget("No row without a name.") for _ in range(2)]
    await settle(world, "A")
    assert "*" in (await world.entry("A")).parked
    rename(world, "A", "B")
    await settle(world, told)
    assert not (await world.entry("A")).parked
    assert "*" in (await world.entry("B")).parked


async def test_a_key_that_a_person_gave_a_row_is_on_record_before_the_row_gives_it_up(world: World) -> None:
    born(world, "A", "1")
    born(world, "B", "2")
    await settle(world, "A", "B")
    (row,) = (row for row in world.dynamics.rows.values() if row.key == "A")
    rename(world, "A", "C")
    rename(world, "B", "A")
    rename(world, "C", "B")
    world.dynamics.rows[row.id] = replace(row, key="X", etag='W/"person"')
    world.dynamics.put("A", nombre="De otro")
    await settle(world, "A", "B")
    entry = await world.entry("B")
    assert [(one.why, one.lost) for one in entry.conflicts if one.field == "codigo_interno"] == [("key_changed", "X")]


async def test_a_memory_that_the_ledger_cannot_move_parks_its_own_record_only(world: World) -> None:
    born(world, "A", "1")
    await settle(world, "A")
    rename(world, "A", "B")
    born(world, "C", "3")

    async def refused(*_: object) -> bool:
        raise KeyNotUsable("The ledger cannot hold B.")

    world.ledger.move = refused  # type: ignore[method-assign,assignment]
    bodies = [Event(source="/t", type="sync.asset.dirty", data={"key": key}).to_json().encode() for key in "ABC"]
    summary = await world.sync.handle("asset", bodies)
    assert (summary.applied, summary.parked) == (1, 2)
    assert {message.properties["reason"] for message in world.bus.queues[PARKED.name]} == {"key_not_usable"}


async def test_a_record_whose_key_another_s_closed_row_keeps_is_parked_once_and_for_that_alone(world: World) -> None:
    world.cmms.put("O", estado="RECIBIDA", justificacion="x")
    world.cmms.records["O"] = replace(world.cmms.records["O"], id="1")
    await world.dirty("O", "order")
    world.close_row("O")
    rename(world, "O", "P")
    world.clock.advance(timedelta(seconds=1))
    world.cmms.records["O"] = replace(world.cmms.put("O", estado="BORRADOR", justificacion="y"), id="2", renamed_to="P")
    for _ in range(2):
        await world.dirty("O", "order")
        await world.dirty("P", "order")
        while again := world.bus.queues.pop(ORDERS.name, []):
            world.clock.advance(timedelta(minutes=3))
            await world.sync.handle("order", [str(one.body).encode() for one in again])
    parked = [message.properties for message in world.bus.queues[PARKED.name]]
    assert sorted((one["key"], one["reason"]) for one in parked) == [("O", "key_not_usable"), ("P", "record_closed")]
    assert "is the row of P" in str(next(one["message"] for one in parked if one["key"] == "O"))


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


async def say(world: World, kind: str, at: int, **data: object) -> Summary:
    body = {"version": (MOMENT + timedelta(minutes=at)).isoformat(), **data}
    event = Event(id=str(uuid4()), source="/energy-cmms", type=f"energy.asset.{kind}", data=body)
    return await world.sync.handle("asset", [event.to_json().encode()])


async def test_one_way_a_rename_moves_the_row_and_late_messages_of_the_old_key_follow(one_way: World) -> None:
    await say(one_way, "upserted", 1, key="A", fields={"nombre": "uno"})
    row = one_way.row("A")
    await say(one_way, "renamed", 3, key="B", old_key="A", fields={"nombre": "uno"})
    await say(one_way, "upserted", 2, key="A", fields={"numero_de_serie": "late, but still the newest of its field"})
    assert keys(one_way) == {row.id: "B"}
    assert one_way.row("B").values["numero_de_serie"] == "late, but still the newest of its field"


async def test_one_way_a_key_used_again_is_another_record(one_way: World) -> None:
    await say(one_way, "upserted", 1, key="A", fields={"nombre": "uno"})
    await say(one_way, "renamed", 2, key="B", old_key="A", fields={"nombre": "uno"})
    await say(one_way, "upserted", 3, key="A", fields={"nombre": "dos"})
    assert {row.key: row.values["nombre"] for row in one_way.dynamics.rows.values()} == {"A": "dos", "B": "uno"}


async def test_one_way_a_late_rename_of_a_key_used_again_moves_nothing(one_way: World) -> None:
    await say(one_way, "upserted", 3, key="A", fields={"nombre": "dos"})
    await say(one_way, "renamed", 2, key="B", old_key="A", fields={"nombre": "uno"})
    assert {row.key: row.values["nombre"] for row in one_way.dynamics.rows.values()} == {"A": "dos", "B": "uno"}


async def test_one_way_a_rename_that_comes_after_the_new_keys_row_deactivates_the_old_row(one_way: World) -> None:
    await say(one_way, "upserted", 1, key="A", fields={"nombre": "uno"})
    await say(one_way, "upserted", 3, key="B", fields={"nombre": "uno"})
    await say(one_way, "renamed", 2, key="B", old_key="A", fields={"nombre": "uno"})
    assert {row.key: row.state for row in one_way.dynamics.rows.values()} == {"A": 1, "B": 0}
