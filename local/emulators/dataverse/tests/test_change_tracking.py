"""Change tracking: delta links, deleted rows, expiry, and what may not be asked for together with it."""

from typing import Any

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset, body_of, code_of, order
from local.emulators.dataverse.tests.conftest import Clock, token

TRACK = {"Prefer": "odata.track-changes,odata.maxpagesize=2"}


async def read(client: httpx.AsyncClient, url: str) -> tuple[list[dict[str, Any]], str, int]:
    """Everything from here on: the rows, the delta link and the number of pages."""
    found: list[dict[str, Any]] = []
    for pages in range(1, 50):
        response = await client.get(url, headers=TRACK)
        assert response.status_code == 200, response.text
        page = body_of(response)
        assert len(page["value"]) <= 2
        found += page["value"]
        if "@odata.deltaLink" in page:
            assert "@odata.nextLink" not in page
            return found, page["@odata.deltaLink"], pages
        url = page["@odata.nextLink"]
    raise AssertionError("the pages do not end")


async def test_a_first_read_gives_every_row_and_ends_in_a_delta_link(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await asset(client, f"A-{number}")
    rows, link, pages = await read(client, f"{ASSETS}?$select=msdyn_assetnumber")
    assert sorted(row["msdyn_assetnumber"] for row in rows) == [f"A-{number}" for number in range(5)]
    assert pages == 3
    assert "$deltatoken=" in link
    assert (await read(client, link))[0] == []


async def test_a_delta_link_gives_what_changed_once_and_deleted_rows_last_by_id_only(client: httpx.AsyncClient) -> None:
    first, second, third = [await asset(client, f"A-{number}") for number in range(3)]
    _, link, _ = await read(client, f"{ASSETS}?$select=msdyn_assetnumber,msdyn_name")
    await client.delete(f"{ASSETS}({first['msdyn_customerassetid']})")
    for name in ("one", "two"):
        await client.patch(f"{ASSETS}({third['msdyn_customerassetid']})", json={"msdyn_name": name})
    await asset(client, "A-9")
    await order(client)
    rows, following, _ = await read(client, link)
    assert {row.get("msdyn_assetnumber") for row in rows[:2]} == {"A-2", "A-9"}
    assert next(row for row in rows if row.get("msdyn_assetnumber") == "A-2")["msdyn_name"] == "two"
    assert rows[2]["id"] == first["msdyn_customerassetid"]
    assert rows[2]["reason"] == "deleted"
    assert rows[2]["@odata.context"].endswith("/$deletedEntity")
    assert second["msdyn_customerassetid"] not in str(rows)
    assert (await read(client, following))[0] == []
    assert len((await read(client, link))[0]) == 3, "an old link still tells what changed since"


async def test_a_row_created_and_deleted_between_two_reads_shows_only_as_deleted(client: httpx.AsyncClient) -> None:
    _, link, _ = await read(client, ASSETS)
    row = await asset(client)
    await client.delete(f"{ASSETS}({row['msdyn_customerassetid']})")
    rows, _, _ = await read(client, link)
    assert [entry["reason"] for entry in rows] == ["deleted"]


async def test_a_change_between_two_pages_of_a_read_is_in_the_next_one(client: httpx.AsyncClient) -> None:
    made = [await asset(client, f"A-{number}") for number in range(3)]
    page = body_of(await client.get(ASSETS, headers=TRACK))
    shown = page["value"][0]["msdyn_customerassetid"]
    assert shown in {row["msdyn_customerassetid"] for row in made}
    await client.patch(f"{ASSETS}({shown})", json={"msdyn_name": "changed"})
    _, link, _ = await read(client, page["@odata.nextLink"])
    rows, _, _ = await read(client, link)
    assert [row["msdyn_name"] for row in rows] == ["changed"]


@pytest.mark.parametrize("option", ["$filter=statecode eq 0", "$orderby=msdyn_name", "$top=3", "$expand=msdyn_account"])
async def test_other_options_are_refused_together_with_tracking(client: httpx.AsyncClient, option: str) -> None:
    assert code_of(await client.get(f"{ASSETS}?{option}", headers=TRACK)) == (400, "0x80060888")


async def test_a_table_without_change_tracking_refuses(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.set_named(ASSETS).table.change_tracking = False
    assert code_of(await client.get(ASSETS, headers=TRACK)) == (400, "0x80072491")


async def test_a_token_expires_after_a_week(client: httpx.AsyncClient, clock: Clock) -> None:
    _, link, _ = await read(client, ASSETS)
    clock.advance(7 * 86400)
    client.headers["Authorization"] = f"Bearer {token('app-1', clock)}"
    assert (await client.get(link)).status_code == 200
    clock.advance(1)
    assert code_of(await client.get(link)) == (400, "0x80044352")


@pytest.mark.parametrize("query", ["$deltatoken=x", "$deltatoken=", "$skiptoken=x", "$skiptoken=bnVsbA=="])
async def test_a_token_that_was_never_given_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert code_of(await client.get(f"{ASSETS}?{query}", headers=TRACK))[0] == 400
