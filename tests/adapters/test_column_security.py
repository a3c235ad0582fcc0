"""Columns that our user may not read are known, so that their null is not taken for an edit."""

import asyncio

import pytest

from local.emulators.dataverse import Effect
from shared.errors import TargetTransient
from tests.adapters.worlds import ASSET, CLIENT_ID, ORDER, World, create

SERIAL = "msdyn_serialid"


def secure(world: World, column: str, *uses: str) -> None:
    columns = world.dataverse.tables[ASSET.table].table.columns
    columns[column].permissions = {CLIENT_ID: frozenset(uses)}


async def test_a_table_without_secured_columns_costs_one_request(world: World) -> None:
    assert await world.gateway.unreadable(ASSET) == frozenset()
    assert len(world.wire.requests) == 1


@pytest.mark.parametrize(
    ("uses", "unreadable"), [((), {SERIAL}), (("update", "create"), {SERIAL}), (("read",), set[str]())]
)
async def test_a_secured_column_is_unreadable_unless_a_permission_says_otherwise(
    world: World, uses: tuple[str, ...], unreadable: set[str]
) -> None:
    secure(world, SERIAL, *uses)
    secure(world, "msdyn_assettag")  # not mapped
    assert await world.gateway.unreadable(ASSET) == unreadable
    assert await world.gateway.unreadable(ORDER) == frozenset()


async def test_the_operation_stamp_may_be_unreadable_too(world: World) -> None:
    secure(world, "cmms_operation")
    assert await world.gateway.unreadable(ASSET) == {"cmms_operation"}


async def test_where_permissions_may_not_be_asked_a_secured_column_counts_as_unreadable(world: World) -> None:
    secure(world, SERIAL, "read")
    world.deny("Read:systemuser")
    assert await world.gateway.unreadable(ASSET) == {SERIAL}


async def test_the_answer_is_of_the_moment_in_which_it_is_asked_for(world: World) -> None:
    assert await world.gateway.unreadable(ASSET) == frozenset()
    secure(world, SERIAL)
    await asyncio.sleep(0.001)
    assert await world.gateway.unreadable(ASSET) == {SERIAL}
    world.dataverse.tables[ASSET.table].table.columns[SERIAL].permissions = None
    await asyncio.sleep(0.001)
    assert await world.gateway.unreadable(ASSET) == frozenset()


async def test_many_at_once_ask_once(world: World) -> None:
    await asyncio.gather(*(world.gateway.unreadable(ASSET) for _ in range(20)))
    assert len(world.wire.requests) == 1


@pytest.mark.parametrize("effect", [Effect.STATUS, Effect.HTML, Effect.DROPPED, Effect.TRUNCATED])
async def test_while_dynamics_cannot_be_asked_nothing_is_concluded(world: World, effect: Effect) -> None:
    world.fault(effect, kind="metadata")
    with pytest.raises(TargetTransient):
        await world.gateway.unreadable(ASSET)
    assert await world.gateway.unreadable(ASSET) == frozenset()


async def test_a_secured_column_reads_as_null(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A", numero_de_serie="S-1")])
    secure(world, SERIAL)
    assert (await world.gateway.by_id(ASSET, [row.id]))[row.id].values["numero_de_serie"] is None
