"""Secured columns: null for whoever may not read them, refused for whoever may not write them."""

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, body_of, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE

TABLE = "EntityDefinitions(LogicalName='msdyn_customerasset')"
CONTROL = f"{AUDIENCE}/_emulator/security/{ASSETS}/msdyn_serialid"
FUNCTION = "Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"


async def test_a_secured_column_reads_as_null_for_those_without_a_permission(
    client: httpx.AsyncClient, person: httpx.AsyncClient
) -> None:
    row = await asset(person, msdyn_serialid="S-1")
    assert (await client.put(CONTROL, json={"person-1": ["read", "update", "create"]})).status_code == 200
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    assert [(await one.get(address)).json()["msdyn_serialid"] for one in (client, person)] == [None, "S-1"]
    assert [(await one.get(f"{address}/msdyn_serialid")).status_code for one in (client, person)] == [204, 200]
    for one, found in ((client, []), (person, ["A-1"])):
        assert await asset_numbers(one, "msdyn_serialid eq 'S-1'") == found
    assert (await client.delete(CONTROL)).json() == {"column": "msdyn_serialid", "secured": False}
    assert (await client.get(address)).json()["msdyn_serialid"] == "S-1"


@pytest.mark.parametrize("uses", [[], ["read"]])
async def test_a_secured_column_refuses_writes_with_a_sentence_that_names_no_column(
    client: httpx.AsyncClient, uses: list[str]
) -> None:
    row = await asset(client)
    await client.put(CONTROL, json={"app-1": uses})
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    update = await client.patch(address, json={"msdyn_serialid": "S-2"})
    assert code_of(update) == (403, "0x8004f507")
    assert "msdyn_serialid" not in update.text
    create = await client.post(ASSETS, json={"msdyn_name": "Pump", "msdyn_serialid": "S-3"})
    assert code_of(create) == (403, "0x8004f502")
    assert (await client.patch(address, json={"msdyn_name": "Other"})).status_code == 204


async def test_definitions_tell_which_columns_are_secured_and_a_function_what_a_user_may(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    await client.put(CONTROL, json={"app-1": ["read"]})
    await client.put(CONTROL.replace("serialid", "assettag"), json={})
    answer = await client.get(f"{TABLE}/Attributes?$select=LogicalName,MetadataId&$filter=IsSecured eq true")
    secured = {one["LogicalName"]: one["MetadataId"] for one in body_of(answer)["value"]}
    assert set(secured) == {"msdyn_serialid", "msdyn_assettag"}
    user = (await client.get("WhoAmI")).json()["UserId"]
    held = (await client.get(f"systemusers({user})/{FUNCTION}")).json()["AttributePrivileges"]
    assert held == [
        {
            "AttributeId": secured["msdyn_serialid"],
            "CanRead": 4,
            "CanUpdate": 0,
            "CanCreate": 0,
            "CanReadUnMasked": 0,
        }
    ]


@pytest.mark.parametrize("body", [{"app-1": ["delete"]}, ["read"], {"app-1": "read"}])
async def test_permissions_that_mean_nothing_are_refused(client: httpx.AsyncClient, body: object) -> None:
    assert (await client.put(CONTROL, json=body)).status_code == 400
    assert (await client.put(CONTROL.replace("serialid", "nothing"), json={})).status_code == 404
