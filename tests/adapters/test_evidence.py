"""What a row says about who wrote it and when: its version, and the operation stamp."""

import json
from copy import replace

import pytest

from shared.adapters.dataverse.wire import to_record
from shared.domain.model import DynamicsRecord
from tests.adapters.worlds import ASSET, World, create, update

UNSTAMPED = ASSET.model_copy(update={"stamp": None})


@pytest.mark.parametrize("many", [1, 5])
async def test_a_write_leaves_its_operation_in_the_row_and_a_read_shows_it(world: World, many: int) -> None:
    writes = [replace(create(f"A-{number}"), operation=f"op-{number}") for number in range(many)]
    rows = await world.landed(ASSET, writes)
    assert [row.last_operation for row in rows] == [f"op-{number}" for number in range(many)]
    (changed,) = await world.landed(ASSET, [replace(update(rows[0], nombre="Other"), operation="op-x")])
    assert (changed.last_operation, changed.values["nombre"]) == ("op-x", "Other")
    assert (await world.gateway.by_id(ASSET, [changed.id]))[changed.id].last_operation == "op-x"


async def test_a_write_without_an_operation_leaves_the_stamp_as_it_is(world: World) -> None:
    (row,) = await world.landed(ASSET, [replace(create("A"), operation="op-1")])
    (changed,) = await world.landed(ASSET, [update(row, nombre="Other")])
    assert changed.last_operation == "op-1"
    (plain,) = await world.landed(ASSET, [create("B")])
    assert plain.last_operation is None


async def test_a_mapping_without_a_stamp_writes_and_reads_none(world: World) -> None:
    del world.dataverse.tables[ASSET.table].table.columns["cmms_operation"]
    (row,) = await world.landed(UNSTAMPED, [replace(create("A"), operation="op-1")])
    assert row.last_operation is None
    assert "operation" not in json.dumps([str(request.content) for request in world.wire.requests])


async def test_a_stamp_alone_makes_no_row_look_different_to_the_full_pass(world: World) -> None:
    async def hashed() -> list[object]:
        return [row async for page in world.gateway.hashes(ASSET) for row in page.rows]

    (row,) = await world.landed(ASSET, [replace(create("A"), operation="op-1")])
    before = await hashed()
    (stamped,) = await world.landed(ASSET, [replace(update(row), operation="op-2")])
    assert stamped.last_operation == "op-2"
    assert await hashed() == before


async def test_versions_only_rise(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    seen = [row.version]
    for name in "BCD":
        (row,) = await world.landed(ASSET, [update(row, nombre=name)])
        seen.append(row.version)
    assert None not in seen
    assert seen == sorted(set(seen), key=lambda version: version or 0)


@pytest.mark.parametrize(
    ("etag", "version"),
    [
        ('W/"12345"', 12345),
        ('"12345"', 12345),
        ('W/"9223372036854775807"', 9223372036854775807),
        ('W/"abc"', None),
        ('W/"1.5"', None),
        ('W/"-1"', None),
        ('W/""', None),
    ],
)
def test_a_version_is_the_number_in_the_etag(etag: str, version: int | None) -> None:
    row: DynamicsRecord = to_record(ASSET, {ASSET.id: "X", "@odata.etag": etag}, {})
    assert (row.version, row.etag) == (version, etag)


@pytest.mark.parametrize("stamp", [None, "", 5])
def test_a_column_that_holds_no_text_is_no_stamp(stamp: object) -> None:
    assert to_record(ASSET, {ASSET.id: "X", "@odata.etag": 'W/"1"', "cmms_operation": stamp}, {}).last_operation is None
