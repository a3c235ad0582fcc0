"""State, status, and rows that are closed."""

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tables import sales_order
from local.emulators.dataverse.tests.asking import ASSETS, ORDERS, asset, body_of, code_of, order


def address(row: dict[str, object]) -> str:
    return f"{ORDERS}({row['salesorderid']})"


async def test_a_new_order_is_new_and_active(client: httpx.AsyncClient) -> None:
    row = await order(client)
    assert (row["statecode"], row["statuscode"]) == (0, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"statecode": 1, "statuscode": 3}, (1, 3)),
        ({"statecode": 3}, (3, 100001)),
        ({"statuscode": 2}, (0, 2)),
        ({"statecode": 2, "statuscode": 4}, (2, 4)),
    ],
)
async def test_state_and_status_move_together(
    client: httpx.AsyncClient, given: dict[str, int], expected: tuple[int, int]
) -> None:
    row = await order(client)
    assert (await client.patch(address(row), json=given)).status_code == 204
    after = body_of(await client.get(address(row)))
    assert (after["statecode"], after["statuscode"]) == expected


@pytest.mark.parametrize(
    "given", [{"statuscode": 3}, {"statecode": 1, "statuscode": 1}, {"statecode": 4, "statuscode": 4}]
)
async def test_a_status_of_another_state_is_refused(client: httpx.AsyncClient, given: dict[str, int]) -> None:
    row = await order(client)
    assert code_of(await client.patch(address(row), json=given)) == (400, "0x80048408")
    assert body_of(await client.get(address(row)))["@odata.etag"] == row["@odata.etag"]


async def test_a_closed_order_takes_a_state_but_no_edit(client: httpx.AsyncClient) -> None:
    row = await order(client)
    await client.patch(address(row), json={"statecode": 2})
    edit = await client.patch(address(row), json={"description": "late"})
    both = await client.patch(address(row), json={"statecode": 0, "description": "late"})
    assert (edit.status_code, both.status_code) == (400, 400)
    assert "'description'" in edit.text
    assert (await client.patch(address(row), json={"statecode": 0})).status_code == 204
    assert (await client.patch(address(row), json={"description": "open again"})).status_code == 204


async def test_an_inactive_asset_can_be_edited(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    path = f"{ASSETS}({row['msdyn_customerassetid']})"
    await client.patch(path, json={"statecode": 1})
    assert (await client.patch(path, json={"msdyn_name": "Old pump"})).status_code == 204


async def test_an_asset_is_born_active_whatever_state_was_sent(client: httpx.AsyncClient) -> None:
    row = await asset(client, statecode=1)
    refused = await client.post(ASSETS, json={"msdyn_name": "x", "statecode": 1, "statuscode": 2})
    assert (row["statecode"], row["statuscode"]) == (0, 1)
    assert code_of(refused) == (400, "0x80048408")


async def test_whether_an_order_can_be_born_closed_is_the_organisations_matter(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    assert (await order(client, "R-1", statecode=1, statuscode=3))["statecode"] == 1
    dataverse.add_table(sales_order(state_on_create=False))
    refused = await client.post(ORDERS, json={"name": "R-2", "statecode": 1, "statuscode": 3})
    assert code_of(refused) == (400, "0x80048408")
