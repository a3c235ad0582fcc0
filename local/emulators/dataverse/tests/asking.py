"""What tests ask again and again."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx

from local.emulators.dataverse import jsontext

ASSETS = "msdyn_customerassets"
ORDERS = "salesorders"
WITH_ROW = {"Prefer": "return=representation"}


def body_of(response: httpx.Response) -> Any:
    """Parse an answer with exact decimals."""
    return jsontext.loads(response.content)


def code_of(response: httpx.Response) -> tuple[int, str]:
    """Give the status and the service's error code."""
    return response.status_code, body_of(response)["error"]["code"]


async def created(client: httpx.AsyncClient, set_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Create a row and give it back as stored; numbers go out exactly."""
    response = await client.post(
        set_name,
        content=jsontext.dumps(dict(values)),
        headers={"Content-Type": "application/json", **WITH_ROW},
    )
    assert response.status_code == 201, response.text
    found: dict[str, Any] = body_of(response)
    return found


async def asset(client: httpx.AsyncClient, number: str | None = "A-1", **values: Any) -> dict[str, Any]:
    """Create an asset."""
    return await created(client, ASSETS, {"msdyn_name": "Pump", "msdyn_assetnumber": number, **values})


async def order(client: httpx.AsyncClient, name: str = "REQ-1", **values: Any) -> dict[str, Any]:
    """Create an order."""
    return await created(client, ORDERS, {"name": name, **values})


async def asset_numbers(client: httpx.AsyncClient, condition: str) -> list[str]:
    """List the asset numbers that a filter finds, sorted."""
    response = await client.get(ASSETS, params={"$filter": condition, "$select": "msdyn_assetnumber"})
    assert response.status_code == 200, response.text
    return sorted(str(row["msdyn_assetnumber"]) for row in body_of(response)["value"])


def money(text: str) -> Decimal:
    """Make an exact amount."""
    return Decimal(text)
