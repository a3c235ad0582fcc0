"""CreateMultiple, UpdateMultiple, UpsertMultiple."""

from typing import Any

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, body_of, code_of

ACTIONS = f"{ASSETS}/Microsoft.Dynamics.CRM"
TYPE = "Microsoft.Dynamics.CRM.msdyn_customerasset"


def targets(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"Targets": [{"@odata.type": TYPE, **row} for row in rows]}


def new(number: str, name: str = "Pump") -> dict[str, Any]:
    return {"msdyn_name": name, "msdyn_assetnumber": number}


async def test_rows_are_created_and_their_ids_returned_in_order(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    response = await client.post(f"{ACTIONS}.CreateMultiple", json=targets(new("A-1"), new("A-2")))
    ids = response.json()["Ids"]
    numbers = [body_of(await client.get(f"{ASSETS}({one})"))["msdyn_assetnumber"] for one in ids]
    assert (response.status_code, numbers) == (200, ["A-1", "A-2"])
    assert [change.message for change in dataverse.log] == ["Create", "Create"]


@pytest.mark.parametrize(
    ("bad", "expected"), [(new("A-1"), (412, "0x80060892")), (new("A-3", "x" * 101), (400, "0x80044331"))]
)
async def test_one_bad_row_rolls_the_whole_request_back(
    client: httpx.AsyncClient, dataverse: Dataverse, bad: dict[str, Any], expected: tuple[int, str]
) -> None:
    response = await client.post(f"{ACTIONS}.CreateMultiple", json=targets(new("A-1"), new("A-2"), bad))
    assert code_of(response) == expected
    assert await asset_numbers(client, "msdyn_name ne null") == []
    assert dataverse.log == []
    assert (await client.post(f"{ACTIONS}.CreateMultiple", json=targets(new("A-1")))).status_code == 200


async def test_updates_are_one_transaction(client: httpx.AsyncClient) -> None:
    first, second = await asset(client, "A-1"), await asset(client, "A-2")
    ids = [row["msdyn_customerassetid"] for row in (first, second)]
    good = targets(*({"msdyn_customerassetid": one, "msdyn_name": "Valve"} for one in ids))
    missing = {"msdyn_customerassetid": "11111111-2222-4333-8444-555555555555", "msdyn_name": "None"}
    bad = targets({"msdyn_customerassetid": ids[0], "msdyn_name": "Lost"}, missing)
    assert (await client.post(f"{ACTIONS}.UpdateMultiple", json=good)).status_code == 204
    assert code_of(await client.post(f"{ACTIONS}.UpdateMultiple", json=bad)) == (404, "0x80040217")
    assert await asset_numbers(client, "msdyn_name eq 'Valve'") == ["A-1", "A-2"]


async def test_upserts_find_rows_by_alternate_key(client: httpx.AsyncClient) -> None:
    await asset(client, "A-1")
    body = targets(
        {"@odata.id": f"{ASSETS}(msdyn_assetnumber='A-1')", "msdyn_name": "Valve"},
        {"@odata.id": f"{ASSETS}(msdyn_assetnumber='A-2')", "msdyn_name": "Valve"},
    )
    assert (await client.post(f"{ACTIONS}.UpsertMultiple", json=body)).status_code == 204
    assert await asset_numbers(client, "msdyn_name eq 'Valve'") == ["A-1", "A-2"]


async def test_a_table_may_lack_the_bulk_messages(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.tables["msdyn_customerasset"].table.bulk_messages = False
    response = await client.post(f"{ACTIONS}.CreateMultiple", json=targets(new("A-1")))
    assert code_of(response) == (400, "0x80040800")
    assert "'CreateMultiple'" in response.text


@pytest.mark.parametrize(
    "body",
    [{}, {"Targets": []}, {"Targets": {}}, {"Targets": [5]}, {"Targets": [{"msdyn_name": "x"}]}],
)
async def test_malformed_targets_are_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert code_of(await client.post(f"{ACTIONS}.CreateMultiple", json=body)) == (400, "0x80048d19")


async def test_an_update_needs_an_id(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{ACTIONS}.UpdateMultiple", json=targets({"msdyn_name": "x"}))
    assert response.status_code == 400
