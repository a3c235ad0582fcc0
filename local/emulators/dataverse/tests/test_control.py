"""The emulator's own interface."""

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset
from local.emulators.dataverse.tests.conftest import AUDIENCE

CONTROL = f"{AUDIENCE}/_emulator"


async def test_statistics_count_requests_operations_and_written_rows(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    row = await asset(client)
    await client.get(ASSETS)
    await client.post(ASSETS, json={"nonsense": 1})
    await client.patch(f"{ASSETS}({row['msdyn_customerassetid']})", json={"msdyn_name": "x"})
    batch = (
        "--b\r\nContent-Type: application/http\r\n\r\nGET WhoAmI HTTP/1.1\r\n\r\n\r\n"
        f"--b\r\nContent-Type: application/http\r\n\r\nDELETE {ASSETS}({row['msdyn_customerassetid']}) HTTP/1.1\r\n\r\n"
        "\r\n--b--\r\n"
    )
    await client.post("$batch", content=batch, headers={"Content-Type": "multipart/mixed; boundary=b"})
    stats = (await client.get(f"{CONTROL}/stats")).json()
    assert stats["requests"] == 5
    assert stats["requests_by_kind"] == {"batch": 1, "create": 2, "list": 1, "update": 1}
    assert stats["operations_by_kind"] == {"create": 2, "delete": 1, "list": 1, "update": 1, "who_am_i": 1}
    assert (stats["writes"], stats["rows_written"]) == (4, 3)
    assert stats["statuses"] == {"200": 2, "201": 1, "204": 1, "400": 1}
    assert stats["first_request_at"] == dataverse.clock().isoformat()
    await client.post(f"{CONTROL}/reset-stats")
    stats = (await client.get(f"{CONTROL}/stats")).json()
    assert (stats["requests"], stats["first_request_at"]) == (0, None)


async def test_a_client_that_keeps_the_affinity_cookie_is_noticed(client: httpx.AsyncClient) -> None:
    await client.get("WhoAmI")
    await client.get("WhoAmI")
    assert (await client.get(f"{CONTROL}/stats")).json()["kept_cookies"] == 1


@pytest.mark.parametrize("name", [ASSETS, "msdyn_customerasset"])
async def test_rows_can_be_looked_at(client: httpx.AsyncClient, name: str) -> None:
    await asset(client)
    body = (await client.get(f"{CONTROL}/tables/{name}")).json()
    assert (body["count"], body["rows"][0]["msdyn_assetnumber"]) == (1, "A-1")
    assert (await client.get(f"{CONTROL}/tables/nonsense")).status_code == 404


async def test_faults_are_added_shown_and_lifted(client: httpx.AsyncClient) -> None:
    rule = {"effect": "status", "kind": "who_am_i", "times": None, "status": 500}
    shown = (await client.post(f"{CONTROL}/faults", json=rule)).json()
    assert shown["faults"][0]["kind"] == "who_am_i"
    assert (await client.get("WhoAmI")).status_code == 500
    await client.delete(f"{CONTROL}/faults")
    assert (await client.get("WhoAmI")).status_code == 200


@pytest.mark.parametrize("rule", [{}, {"effect": "nonsense"}, {"effect": "slow", "seconds": "long"}, 5])
async def test_a_malformed_fault_is_refused_with_the_reason(client: httpx.AsyncClient, rule: object) -> None:
    response = await client.post(f"{CONTROL}/faults", json=rule)
    assert response.status_code == 400
    assert "The fault is not usable" in response.json()["error"]
