"""Uniqueness by alternate key."""

from urllib.parse import quote

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.schema import KeyStatus
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, body_of, code_of


async def test_a_second_row_with_the_key_is_refused_on_create_and_on_update(client: httpx.AsyncClient) -> None:
    await asset(client, "A-1")
    other = await asset(client, "A-2")
    duplicate = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_assetnumber": "A-1"})
    renamed = await client.patch(f"{ASSETS}({other['msdyn_customerassetid']})", json={"msdyn_assetnumber": "A-1"})
    assert code_of(duplicate) == code_of(renamed) == (412, "0x80060892")
    assert await asset_numbers(client, "msdyn_assetnumber ne null") == ["A-1", "A-2"]


async def test_rows_without_a_key_value_do_not_collide(client: httpx.AsyncClient) -> None:
    assert (await asset(client, None))["msdyn_customerassetid"] != (await asset(client, None))["msdyn_customerassetid"]


async def test_keys_compare_without_case_and_trailing_blanks(client: httpx.AsyncClient) -> None:
    await asset(client, "Bomba-1")
    duplicate = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_assetnumber": "BOMBA-1 "})
    assert duplicate.status_code == 412
    assert body_of(await client.get(f"{ASSETS}(msdyn_assetnumber='bomba-1')"))["msdyn_assetnumber"] == "Bomba-1"


async def test_a_key_is_free_again_after_rename_and_after_delete(client: httpx.AsyncClient) -> None:
    first = await asset(client, "A-1")
    address = f"{ASSETS}({first['msdyn_customerassetid']})"
    await client.patch(address, json={"msdyn_assetnumber": "A-2"})
    second = await asset(client, "A-1")
    await client.delete(address)
    await asset(client, "A-2")
    found = body_of(await client.get(f"{ASSETS}(msdyn_assetnumber='A-1')"))
    assert found["msdyn_customerassetid"] == second["msdyn_customerassetid"]


@pytest.mark.parametrize("character", list("/<>*%&:\\?+#"))
async def test_a_key_in_a_path_cannot_carry_special_characters_but_a_filter_can(
    client: httpx.AsyncClient, character: str
) -> None:
    number = f"A{character}1"
    row = await asset(client, number)
    by_key = await client.get(f"{ASSETS}(msdyn_assetnumber='{quote(number, safe='')}')")
    assert code_of(by_key) == (400, "0x80060888")
    assert await asset_numbers(client, f"msdyn_assetnumber eq '{number}'") == [number]
    assert (await client.get(f"{ASSETS}({row['msdyn_customerassetid']})")).status_code == 200


async def test_a_pending_key_neither_finds_nor_protects(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    rows = dataverse.tables["msdyn_customerasset"]
    key = rows.table.keys["cmms_AssetKey"]
    key.status = KeyStatus.PENDING
    await asset(client, "A-1")
    await asset(client, "A-1")
    assert code_of(await client.get(f"{ASSETS}(msdyn_assetnumber='A-1')")) == (400, "0x80060888")
    rows.activate(key)
    assert key.status is KeyStatus.FAILED


async def test_an_activated_key_protects_the_rows_that_were_there_before(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    rows = dataverse.tables["msdyn_customerasset"]
    key = rows.table.keys["cmms_AssetKey"]
    key.status = KeyStatus.PENDING
    await asset(client, "A-1")
    rows.activate(key)
    assert key.status is KeyStatus.ACTIVE
    duplicate = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_assetnumber": "A-1"})
    assert code_of(duplicate) == (412, "0x80060892")


async def test_keys_and_columns_are_told_by_the_metadata(client: httpx.AsyncClient) -> None:
    base = "EntityDefinitions(LogicalName='msdyn_customerasset')"
    keys = (await client.get(f"{base}/Keys")).json()["value"]
    columns = (await client.get(f"{base}/Attributes?$select=LogicalName,IsValidForCreate")).json()["value"]
    sets = (await client.get("EntityDefinitions?$select=LogicalName,EntitySetName")).json()["value"]
    assert [(one["KeyAttributes"], one["EntityKeyIndexStatus"]) for one in keys] == [(["msdyn_assetnumber"], "Active")]
    assert {one["LogicalName"]: one["IsValidForCreate"] for one in columns}["createdon"] is False
    assert {one["LogicalName"]: one["EntitySetName"] for one in sets}["salesorder"] == "salesorders"
