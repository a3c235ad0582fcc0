"""Nothing is created without an active alternate key, and updates go on without one."""

import asyncio

import httpx
import pytest

from local.emulators.dataverse import Effect
from local.emulators.dataverse.schema import KeyStatus
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import NotAuthorized, NotReady, Unavailable
from shared.flows.ports.engine import Failed
from tests.adapters.worlds import ASSET, ORDER, World, create, creates, intent_of, only_failure, update


@pytest.mark.parametrize("status", [KeyStatus.PENDING, KeyStatus.IN_PROGRESS, KeyStatus.FAILED])
async def test_creates_are_refused_while_the_key_is_not_active_and_updates_go_on(
    world: World, status: KeyStatus
) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    fresh = DataverseGateway(world.client, world.clock)
    world.set_key(ASSET, status)
    intents = [intent_of(ASSET, write) for write in (create("B"), update(row, nombre="new"))]
    refused, updated = await fresh.write(ASSET, intents, 100)
    failed = only_failure(refused)
    assert isinstance(failed.error, NotReady)
    assert not failed.unknown
    assert status.value in failed.error.message
    assert "cmms_AssetKey" in failed.error.message
    assert not isinstance(updated, Failed)
    assert sorted(world.rows(ASSET)) == ["A"]


async def test_a_missing_key_is_named_with_what_to_do(world: World) -> None:
    world.dataverse.tables[ASSET.table].table.keys.clear()
    (result,) = await world.write(ASSET, [create("A")])
    message = only_failure(result).error.message
    assert "cmms_AssetKey" in message
    assert "msdyn_customerasset.msdyn_assetnumber" in message
    assert "create it" in message


async def test_a_key_of_another_name_on_the_same_column_protects_as_well(world: World) -> None:
    keys = world.dataverse.tables[ASSET.table].table.keys
    keys["new_other"] = keys.pop("cmms_AssetKey")
    await world.landed(ASSET, [create("A")])


async def test_an_active_key_is_asked_for_once_even_by_many_at_once(world: World) -> None:
    world.dataverse.costs.request = 1
    await asyncio.gather(*(world.landed(ASSET, [create(f"A-{number}")]) for number in range(5)))
    await world.landed(ASSET, creates(5))
    assert world.statistics.requests["metadata"] == 1
    await world.landed(ORDER, [DynamicsWrite(key="R", id=None, etag=None, values={"estado": "1"})])
    assert world.statistics.requests["metadata"] == 2


async def test_a_key_that_was_deleted_is_missed_within_a_minute(world: World) -> None:
    await world.landed(ASSET, [create("A")])
    world.dataverse.tables[ASSET.table].table.keys.clear()
    await asyncio.sleep(61)
    (result,) = await world.write(ASSET, [create("B")])
    assert isinstance(only_failure(result).error, NotReady)
    assert sorted(world.rows(ASSET)) == ["A"]


async def test_a_key_that_is_not_active_is_asked_for_again_after_a_minute(world: World) -> None:
    world.set_key(ASSET, KeyStatus.PENDING)
    for _ in range(6):
        assert isinstance(only_failure((await world.write(ASSET, [create("A")]))[0]).error, NotReady)
        await asyncio.sleep(9)
    assert world.statistics.requests["metadata"] == 1
    world.set_key(ASSET, KeyStatus.ACTIVE)
    await asyncio.sleep(7)
    await world.landed(ASSET, [create("A")])
    assert world.statistics.requests["metadata"] == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(503, Unavailable), (403, NotAuthorized), (404, NotReady), (400, NotReady)]
)
async def test_a_question_without_an_answer_creates_nothing(world: World, status: int, kind: type[Exception]) -> None:
    world.fault(Effect.STATUS, kind="metadata", status=status)
    (result,) = await world.write(ASSET, [create("A")])
    assert isinstance(only_failure(result).error, kind)
    assert world.count(ASSET) == 0


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"value": null}', b'{"value": [1]}', b'{"value": [{}]}', b"<html>"])
async def test_an_answer_of_another_form_creates_nothing(world: World, body: bytes) -> None:
    world.wire.change = lambda _: httpx.Response(200, content=body)
    (result,) = await world.write(ASSET, [create("A")])
    assert isinstance(only_failure(result).error, (Unavailable, NotReady))
    assert world.count(ASSET) == 0
