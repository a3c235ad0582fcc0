"""The business key is a field; it matches rows once, at first contact, and is unique on both sides."""

import itertools
from collections.abc import Collection, Mapping

import pytest

from shared.domain.link import Identity, Link, Stored
from shared.domain.model import CmmsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError, RejectedByTarget
from tests.kit.world import World

ANOTHER = "3117f054-c46e-4b3f-9ec0-feb9b4b6239f"


async def born(world: World, *keys: str) -> None:
    """Records 1, 2, ... with these keys, and their rows."""
    for number, key in enumerate(keys, start=1):
        world.cmms.put(key, str(number), nombre=f"N{number}")
        await world.dirty(str(number))


def names(world: World) -> dict[str, str | None]:
    """What each row is called, by its key."""
    return {row.key: row.values["nombre"] for row in world.dynamics.rows.values()}


async def test_a_rename_changes_the_key_of_the_row_and_nothing_else(world: World) -> None:
    await born(world, "A")
    before = world.row()
    world.cmms.put("B", nombre="N1")
    await world.dirty()
    after = world.row("B")
    assert (after.id, dict(after.values), world.dynamics.writes[-1].values) == (
        before.id,
        dict(before.values),
        {"codigo_interno": "B"},
    )


async def test_a_chain_of_renames_between_two_messages_is_one_change(world: World) -> None:
    await born(world, "A")
    for key in "BCD":
        world.cmms.put(key, nombre="N1")
    await world.dirty()
    assert names(world) == {"D": "N1"}


async def test_a_key_that_is_used_again_makes_a_row_of_its_own(world: World) -> None:
    await born(world, "A")
    world.cmms.put("B", "1", nombre="N1")
    world.cmms.put("A", "2", nombre="N2")
    await world.dirty("2")
    await world.dirty("1")
    await world.settle()
    assert names(world) == {"A": "N2", "B": "N1"}


@pytest.mark.parametrize("order", list(itertools.permutations("12")))
async def test_records_that_exchange_their_keys_keep_their_rows(world: World, order: tuple[str, ...]) -> None:
    await born(world, "A", "B")
    rows = {row.values["nombre"]: row.id for row in world.dynamics.rows.values()}
    world.cmms.put("B", "1", nombre="N1")
    world.cmms.put("A", "2", nombre="N2")
    for cmms_id in order:
        await world.dirty(cmms_id)
    await world.settle()
    assert names(world) == {"A": "N2", "B": "N1"}
    assert {row.values["nombre"]: row.id for row in world.dynamics.rows.values()} == rows
    assert world.parked == []


@pytest.mark.parametrize("order", list(itertools.permutations("123")))
async def test_records_that_pass_their_keys_around_keep_their_rows(world: World, order: tuple[str, ...]) -> None:
    await born(world, "A", "B", "C")
    for number, key in (("1", "B"), ("2", "C"), ("3", "A")):
        world.cmms.put(key, number, nombre=f"N{number}")
    for cmms_id in order:
        await world.dirty(cmms_id)
    await world.settle()
    assert names(world) == {"B": "N1", "C": "N2", "A": "N3"}
    assert world.parked == []


async def half_exchanged(world: World) -> None:
    """Two records have exchanged keys, and the first one's message alone has come: the other row gives its key up."""
    await born(world, "A", "B")
    world.cmms.put("B", "1", nombre="N1")
    world.cmms.put("A", "2", nombre="N2")
    await world.dirty("1")
    await world.settle()


async def test_a_key_that_a_row_gave_up_for_another_record_is_on_record(world: World) -> None:
    await half_exchanged(world)
    assert [(one.why, one.lost) for one in (await world.link("2")).conflicts] == [("key_released", "B")]


async def test_a_record_that_gets_the_key_back_that_its_row_gave_up_gives_it_to_its_row(world: World) -> None:
    await half_exchanged(world)
    assert world.row("B").values["nombre"] == "N1"
    world.cmms.put("C", "1", nombre="N1")
    world.cmms.put("B", "2", nombre="N2")
    for cmms_id in "12":
        await world.dirty(cmms_id)
    await world.settle()
    assert names(world) == {"C": "N1", "B": "N2"}
    assert world.parked == []


async def test_a_key_changed_in_dynamics_is_restored_and_recorded(world: World) -> None:
    await born(world, "A")
    world.dynamics.change(world.row(), key="OTHER")
    await world.dirty()
    assert list(names(world)) == ["A"]
    assert [(one.field, one.lost, one.why) for one in (await world.link()).conflicts] == [
        ("codigo_interno", "OTHER", "one_way")
    ]


async def test_a_key_that_a_person_gave_another_row_is_parked_and_the_rest_arrives(world: World) -> None:
    await born(world, "A")
    world.dynamics.put("B", nombre="a person's")
    world.cmms.put("B", nombre="N9")
    await world.dirty()
    await world.settle()
    assert names(world) == {"A": "N9", "B": "a person's"}
    assert world.parked == ["key_not_usable/codigo_interno"]


async def test_a_key_that_another_row_has_given_up_is_written_at_the_next_look(world: World) -> None:
    await born(world, "A")
    other = world.dynamics.put("B", nombre="a person's")
    world.cmms.put("B", nombre="N9")
    for _ in range(2):
        await world.dirty()
        await world.settle()
    world.dynamics.change(other, key="C")
    await world.dirty()
    assert (names(world), (await world.link()).parked) == ({"B": "N9", "C": "a person's"}, {})
    assert world.parked == ["key_not_usable/codigo_interno"]


async def test_a_row_whose_key_differs_by_case_is_never_taken(world: World) -> None:
    world.dynamics.put("a", nombre="Other")
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    assert (world.dynamics.writes, world.parked) == ([], ["key_not_usable/codigo_interno"])


async def test_a_rename_that_only_changes_the_case_is_a_rename(world: World) -> None:
    await born(world, "a-1")
    world.cmms.put("A-1", nombre="N1")
    await world.dirty()
    assert (names(world), world.parked) == ({"A-1": "N1"}, [])


async def test_a_row_of_a_key_that_a_record_has_is_linked_to_it(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie=None)
    row = world.dynamics.put("A", nombre="Bomba", numero_de_serie="S")
    await world.webhook(row, "create")
    assert world.cmms.records["1"].values["numero_de_serie"] == "S"
    assert (await world.link()).row_id == row.id


async def test_a_row_with_the_key_of_a_record_that_has_another_row_is_parked(world: World) -> None:
    await born(world, "A")
    world.dynamics.change(world.row(), key="Z")
    await world.webhook(world.dynamics.put("A", ANOTHER, nombre="N2"), "create")
    await world.settle()
    assert set(world.parked) == {"key_not_usable/codigo_interno"}
    assert len(world.cmms.records) == 1


async def test_a_row_that_stood_in_the_way_of_a_deleted_record_gets_its_own_by_a_replay(world: World) -> None:
    await born(world, "A")
    world.cmms.put("B", nombre="N1")
    await world.webhook(world.dynamics.put("B", nombre="a person's"), "create")
    await world.settle()
    world.cmms.delete("1")
    await world.dirty()
    assert (set(world.cmms.records), world.parked) == ({"1"}, ["key_not_usable/codigo_interno"])
    await world.replay()
    (made,) = [record for record in world.cmms.records.values() if record.living]
    assert (made.key, made.values["nombre"], world.parked) == ("B", "a person's", [])


async def test_what_a_row_without_a_record_was_held_for_goes_with_the_row(world: World) -> None:
    row = world.dynamics.put("A", nombre="a person's")
    world.cmms.faults.next = [RejectedByTarget("no record may be made now")]
    await world.webhook(row, "create")
    assert (await world.link(row.id, "row")).parked.keys() == {"*"}
    del world.dynamics.rows[row.id]
    await world.webhook(row, "delete")
    assert (await world.link(row.id, "row")).parked == {}


async def test_a_row_without_a_key_is_parked(world: World) -> None:
    row = world.dynamics.put("", nombre="Bomba")
    await world.webhook(row, "create")
    assert world.parked == ["key_not_usable/codigo_interno"]


async def test_two_workers_that_meet_a_record_make_one_link(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    row = world.dynamics.put("A", nombre="Bomba")
    world.dynamics.faults.meanwhile = None
    await world.sync.handle(
        "asset",
        [
            b'{"specversion":"1.0","id":"1","source":"/t","type":"sync.asset.dirty","data":{"record_id":"%s"}}'
            % row.id.encode(),
            b'{"specversion":"1.0","id":"2","source":"/t","type":"energy.asset.upserted","data":{"id":"1","key":"A"}}',
        ],
    )
    assert ((await world.link()).row_id, len(world.dynamics.rows), world.parked) == (row.id, 1, [])


async def test_a_message_that_names_a_record_that_nobody_has_is_parked(world: World) -> None:
    await world.send("dirty", {"key": "NOBODY"})
    assert world.parked == ["invalid_message"]


async def test_a_message_that_only_has_a_key_finds_the_record(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.send("dirty", {"key": "A"})
    assert names(world) == {"A": "Bomba"}


async def test_a_renamed_message_without_an_id_is_parked(world: World) -> None:
    await world.send("renamed", {"key": "B", "old_key": "A"})
    assert world.parked == ["invalid_message"]


@pytest.mark.parametrize("key", [" A", "A\n", "x" * 51])
async def test_a_record_whose_key_cannot_be_used_is_parked(world: World, key: str) -> None:
    world.cmms.put(key, nombre="Bomba")
    await world.dirty()
    assert (world.parked, world.dynamics.rows) == (["key_not_usable/codigo_interno"], {})


async def test_a_key_that_cannot_be_used_blocks_only_itself(world: World) -> None:
    await born(world, "A")
    world.cmms.put("A ", nombre="Nueva")
    for _ in range(2):
        await world.dirty()
    assert (names(world), world.parked) == ({"A": "Nueva"}, ["key_not_usable/codigo_interno"])


async def test_a_record_that_another_worker_links_meanwhile_is_no_rival_of_its_own_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = world.dynamics.put("A", nombre="Bomba")
    await world.ledger.write("asset", [Stored(link=Link(row_id=row.id, key="A"))])  # type: ignore[no-untyped-call]
    found = (await world.ledger.find("asset", [Identity("row", row.id)]))[Identity("row", row.id)]  # type: ignore[no-untyped-call]
    world.cmms.put("A", nombre="Bomba")
    read = world.cmms.by_key

    async def linked(entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        link = found.link.model_copy(update={"cmms_id": "1"})
        await world.ledger.write("asset", [found.model_copy(update={"link": link})])  # type: ignore[no-untyped-call]
        return await read(entity, keys)

    monkeypatch.setattr(world.cmms, "by_key", linked)
    await world.webhook(row)
    await world.settle()
    assert (world.parked, list(world.cmms.records)) == ([], ["1"])
