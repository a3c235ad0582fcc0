"""PATCH and DELETE under conditions, by id and by alternate key."""

import httpx
import pytest

from local.emulators.dataverse.tests.asking import ASSETS, WITH_ROW, asset, body_of, code_of
from local.emulators.dataverse.tests.conftest import ROOT, Clock

UNKNOWN = "11111111-2222-4333-8444-555555555555"


async def test_an_update_changes_only_what_it_names_and_moves_the_version(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    row = await asset(client, msdyn_serialid="S-1")
    clock.advance(60)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    response = await client.patch(address, json={"msdyn_name": "Valve"})
    after = body_of(await client.get(address))
    assert response.status_code == 204
    assert response.headers["OData-EntityId"] == f"{ROOT}/{address}"
    assert (after["msdyn_name"], after["msdyn_serialid"]) == ("Valve", "S-1")
    assert after["modifiedon"] == "2026-03-01T12:01:00Z"
    assert after["versionnumber"] > row["versionnumber"]


async def test_an_update_to_the_same_values_still_makes_a_new_version(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    response = await client.patch(
        f"{ASSETS}({row['msdyn_customerassetid']})", json={"msdyn_name": row["msdyn_name"]}, headers=WITH_ROW
    )
    assert response.status_code == 200
    assert body_of(response)["@odata.etag"] != row["@odata.etag"]


async def test_a_stale_version_is_refused_and_nothing_changes(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    condition = {"If-Match": row["@odata.etag"]}
    assert (await client.patch(address, json={"msdyn_name": "First"}, headers=condition)).status_code == 204
    second = await client.patch(address, json={"msdyn_name": "Second"}, headers=condition)
    assert code_of(second) == (412, "0x80060882")
    assert code_of(await client.delete(address, headers=condition)) == (412, "0x80060882")
    assert body_of(await client.get(address))["msdyn_name"] == "First"


async def test_if_match_star_updates_and_never_creates(client: httpx.AsyncClient) -> None:
    by_id = await client.patch(f"{ASSETS}({UNKNOWN})", json={"msdyn_name": "x"}, headers={"If-Match": "*"})
    by_key = await client.patch(
        f"{ASSETS}(msdyn_assetnumber='A-9')", json={"msdyn_name": "x"}, headers={"If-Match": "*"}
    )
    assert code_of(by_id) == (404, "0x80040217")
    assert code_of(by_key) == (404, "0x80060891")


async def test_if_none_match_star_creates_and_never_updates(client: httpx.AsyncClient) -> None:
    address, condition = f"{ASSETS}(msdyn_assetnumber='A-1')", {"If-None-Match": "*"}
    assert (await client.patch(address, json={"msdyn_name": "First"}, headers=condition)).status_code == 204
    assert code_of(await client.patch(address, json={"msdyn_name": "Second"}, headers=condition)) == (412, "0x80040237")
    assert body_of(await client.get(address))["msdyn_name"] == "First"


async def test_an_upsert_creates_under_the_given_id(client: httpx.AsyncClient) -> None:
    response = await client.patch(f"{ASSETS}({UNKNOWN})", json={"msdyn_name": "x"}, headers=WITH_ROW)
    assert (response.status_code, body_of(response)["msdyn_customerassetid"]) == (201, UNKNOWN)


async def test_an_upsert_by_key_stores_the_key_and_echoes_it_in_the_address(client: httpx.AsyncClient) -> None:
    address = f"{ASSETS}(msdyn_assetnumber='Bomba%20N%C2%BA%20''1''')"
    response = await client.patch(address, json={"msdyn_name": "x"})
    assert response.headers["OData-EntityId"] == f"{ROOT}/{address}"
    row = body_of(await client.get(address))
    assert row["msdyn_assetnumber"] == "Bomba Nº '1'"
    again = await client.patch(address, json={"msdyn_name": "y"}, headers=WITH_ROW)
    assert (again.status_code, body_of(again)["msdyn_customerassetid"]) == (200, row["msdyn_customerassetid"])


async def test_a_deleted_row_is_gone(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    assert (await client.delete(address)).status_code == 204
    assert code_of(await client.get(address)) == (404, "0x80040217")
    await asset(client)


async def test_the_person_who_changes_a_row_is_named_in_it(
    client: httpx.AsyncClient, person: httpx.AsyncClient
) -> None:
    row = await asset(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    await person.patch(address, json={"msdyn_name": "Theirs"})
    after = body_of(await client.get(address))
    assert after["_createdby_value"] == row["_createdby_value"]
    assert after["_modifiedby_value"] == (await person.get("WhoAmI")).json()["UserId"]


@pytest.mark.parametrize("path", [ASSETS, f"{ASSETS}({UNKNOWN})/msdyn_name"])
async def test_a_patch_needs_a_row(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.patch(path, json={"msdyn_name": "x"})).status_code == 405
