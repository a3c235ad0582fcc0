"""Plug-ins that refuse, rewrite or silently ignore what is written."""

from typing import Any

import httpx
import pytest

from local.emulators.dataverse.tests.asking import ASSETS, asset, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE

CONTROL = f"{AUDIENCE}/_emulator/plug-ins"


async def install(client: httpx.AsyncClient, **rule: Any) -> None:
    assert (await client.post(CONTROL, json=rule)).status_code == 200


async def test_a_plug_in_chooses_status_code_and_words_of_its_refusal(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    await install(
        client, behaviour="refuse", column="msdyn_serialid", status=503, code="0x80040224", message="Not now."
    )
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    refused = await client.patch(address, json={"msdyn_serialid": "S", "msdyn_name": "Other"})
    assert code_of(refused) == (503, "0x80040224")
    assert refused.json()["error"]["message"] == "Not now."
    assert (await client.get(address)).json()["msdyn_name"] == "Pump"
    assert (await client.patch(address, json={"msdyn_name": "Other"})).status_code == 204
    await client.delete(CONTROL)
    assert (await client.patch(address, json={"msdyn_serialid": "S"})).status_code == 204


@pytest.mark.parametrize(
    ("rule", "stored"), [({"behaviour": "rewrite", "becomes": "S-0"}, "S-0"), ({"behaviour": "ignore"}, "S-1")]
)
async def test_a_plug_in_may_store_something_else_or_nothing_and_the_answer_is_a_success(
    client: httpx.AsyncClient, rule: dict[str, Any], stored: str
) -> None:
    row = await asset(client, msdyn_serialid="S-1")
    await install(client, table=ASSETS, column="msdyn_serialid", **rule)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    assert (await client.patch(address, json={"msdyn_serialid": "S-2", "msdyn_name": "Other"})).status_code == 204
    after = (await client.get(address)).json()
    assert (after["msdyn_serialid"], after["msdyn_name"]) == (stored, "Other")


async def test_a_rule_may_be_of_one_value_one_message_and_some_times(client: httpx.AsyncClient) -> None:
    await install(
        client, behaviour="refuse", column="msdyn_acquisitioncost", value="5.00", messages=["Update"], times=1
    )
    row = await asset(client, msdyn_acquisitioncost=5)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    statuses = [(await client.patch(address, json={"msdyn_acquisitioncost": cost})).status_code for cost in (4, 5, 5)]
    assert statuses == [204, 400, 204]
    assert (await client.get(CONTROL)).json()["plug_ins"][0]["acted"] == 1


@pytest.mark.parametrize("rule", [{}, {"behaviour": "explode"}, {"behaviour": "ignore"}, 5])
async def test_a_malformed_plug_in_is_refused_with_the_reason(client: httpx.AsyncClient, rule: object) -> None:
    response = await client.post(CONTROL, json=rule)
    assert response.status_code == 400
    assert "The plug-in is not usable" in response.json()["error"]
