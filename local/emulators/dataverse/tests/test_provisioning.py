"""Changing definitions and registrations over the Web API: what is made, what is refused, what cannot be read."""

import asyncio
from typing import Any

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset, body_of, code_of

TABLE = "EntityDefinitions(LogicalName='msdyn_customerasset')"


async def state_of(client: httpx.AsyncClient, name: str) -> str:
    return str((await client.get(f"{TABLE}/Keys(LogicalName='{name}')")).json()["EntityKeyIndexStatus"])


async def test_a_new_key_is_pending_and_does_not_protect_until_it_is_active(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    dataverse.key_index_seconds = 0.05
    body = {"SchemaName": "new_Serial", "KeyAttributes": ["msdyn_serialid"]}
    assert (await client.post(f"{TABLE}/Keys", json=body)).status_code == 204
    assert await state_of(client, "new_serial") == "Pending"
    await asset(client, "A-1", msdyn_serialid="S-1")
    await asyncio.sleep(0.1)
    assert await state_of(client, "new_serial") == "Active"
    doubled = {"msdyn_name": "x", "msdyn_assetnumber": "A-2", "msdyn_serialid": "S-1"}
    assert code_of(await client.post(ASSETS, json=doubled)) == (412, "0x80060892")
    assert (await client.delete(f"{TABLE}/Keys(LogicalName='new_serial')")).status_code == 204
    assert (await client.post(ASSETS, json=doubled)).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {"SchemaName": "NoPrefix", "KeyAttributes": ["msdyn_serialid"]},
        {"SchemaName": "new_Key", "KeyAttributes": []},
        {"SchemaName": "new_Key", "KeyAttributes": ["nothing"]},
        {"SchemaName": "new_Key", "KeyAttributes": ["msdyn_acquisitioncost"]},
        {"SchemaName": "new_Key", "KeyAttributes": ["msdyn_assetnumber"]},
    ],
)
async def test_a_key_that_cannot_be_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post(f"{TABLE}/Keys", json=body)).status_code == 400


async def test_a_created_column_takes_values_and_old_rows_have_none(client: httpx.AsyncClient) -> None:
    row = await asset(client, "A-1")
    body = {
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "SchemaName": "new_Colour",
        "MaxLength": 5,
    }
    assert (await client.post(f"{TABLE}/Attributes", json=body)).status_code == 204
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    assert (await client.get(address)).json()["new_colour"] is None
    assert (await client.patch(address, json={"new_colour": "green"})).status_code == 204
    assert code_of(await client.patch(address, json={"new_colour": "purple"}))[0] == 400
    assert (await client.delete(f"{TABLE}/Attributes(LogicalName='new_colour')")).status_code == 204
    assert "new_colour" not in (await client.get(address)).json()


async def test_a_column_of_a_key_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    response = await client.delete(f"{TABLE}/Attributes(LogicalName='msdyn_assetnumber')")
    assert response.status_code == 400


async def test_the_secret_of_an_endpoint_cannot_be_read_back(client: httpx.AsyncClient) -> None:
    body = {"name": "hook", "url": "https://x.example", "contract": 8, "authtype": 4, "authvalue": "not-to-be-read"}
    created = await client.post("serviceendpoints", json=body)
    for query in ("", "?$select=name,authvalue"):
        answer = await client.get(created.headers["OData-EntityId"] + query)
        assert answer.status_code == 200
        assert "not-to-be-read" not in answer.text
        assert body_of(answer)["name"] == "hook"


async def test_privileges_are_those_of_the_user(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    user = (await client.get("WhoAmI")).json()["UserId"]
    answer = await client.get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()")
    names = {one["PrivilegeName"] for one in answer.json()["RolePrivileges"]}
    shown = (await client.get(f"{TABLE}?$select=Privileges")).json()["Privileges"]
    assert {one["Name"] for one in shown} <= names
