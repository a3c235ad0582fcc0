"""Backups, lagging reads, and which texts count as the same."""

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.rows import Collation
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE, Clock

CONTROL = f"{AUDIENCE}/_emulator"


def version(row: dict[str, str]) -> int:
    return int(row["@odata.etag"].removeprefix('W/"').removesuffix('"'))


async def test_a_restored_organization_holds_what_it_held_and_its_versions_go_on_from_there(
    client: httpx.AsyncClient,
) -> None:
    row = await asset(client, "A-1", msdyn_serialid="S-1")
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    await client.put(f"{CONTROL}/snapshots/yesterday")
    await client.patch(address, json={"msdyn_serialid": "S-2", "msdyn_assetnumber": "A-9"})
    changed = (await client.get(address)).json()
    await asset(client, "A-2")
    assert version(changed) > version(row)
    assert (await client.post(f"{CONTROL}/snapshots/yesterday")).json() == {"restored": "yesterday"}
    back = (await client.get(address)).json()
    assert (back["msdyn_serialid"], version(back)) == ("S-1", version(row))
    assert await asset_numbers(client, "statecode eq 0") == ["A-1"]
    again = await asset(client, "A-9")
    assert version(again) == version(changed)  # the same number for another change
    assert (await client.post(f"{CONTROL}/snapshots/never")).status_code == 404


async def test_a_lagging_list_shows_rows_as_they_were(client: httpx.AsyncClient, clock: Clock) -> None:
    row = await asset(client, "A-1", msdyn_serialid="old")
    gone = await asset(client, "A-2")
    clock.advance(60)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    await client.patch(address, json={"msdyn_serialid": "new"})
    await client.delete(f"{ASSETS}({gone['msdyn_customerassetid']})")
    await asset(client, "A-3")
    await client.put(f"{CONTROL}/stale-reads", json={"seconds": 20, "every": 2})
    listed = [await asset_numbers(client, "statecode eq 0") for _ in range(2)]
    assert listed == [["A-1", "A-3"], ["A-1", "A-2"]]
    await client.put(f"{CONTROL}/stale-reads", json={"seconds": 20})
    assert await asset_numbers(client, "msdyn_serialid eq 'old'") == ["A-1"]
    assert (await client.get(address)).json()["msdyn_serialid"] == "new"
    clock.advance(20)
    assert await asset_numbers(client, "msdyn_serialid eq 'new'") == ["A-1"]
    await client.delete(f"{CONTROL}/stale-reads")
    assert (await client.put(f"{CONTROL}/stale-reads", json={"seconds": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("collation", "alike"),
    [
        (Collation.EXACT, set[str]()),
        (Collation.CASE_BLIND, {"VÁLVULA", "Válvula "}),
        (Collation.ACCENT_BLIND, {"VÁLVULA", "Válvula ", "valvula"}),
    ],
)
async def test_a_collation_decides_in_filters_and_in_keys(
    client: httpx.AsyncClient, dataverse: Dataverse, collation: Collation, alike: set[str]
) -> None:
    for rows in dataverse.tables.values():
        rows.collation = collation
    await asset(client, "Válvula")
    for text in ("VÁLVULA", "Válvula ", "valvula"):
        assert (await asset_numbers(client, f"msdyn_assetnumber eq '{text}'") == ["Válvula"]) is (text in alike)
        if text in alike:
            doubled = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_assetnumber": text})
            assert code_of(doubled) == (412, "0x80060892")


@pytest.mark.parametrize(("part", "found"), [("LVU", True), ("álv", True), ("alv", True), ("lvula ", False)])
async def test_a_part_of_a_text_is_compared_alike_and_its_blanks_count(
    client: httpx.AsyncClient, part: str, found: bool
) -> None:
    await asset(client, "Válvula")
    assert (await asset_numbers(client, f"contains(msdyn_assetnumber,'{part}')") == ["Válvula"]) is found


async def test_a_date_before_the_databases_first_is_refused_without_naming_the_column(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_acquisitiondate": "1752-12-31"})
    assert code_of(refused) == (400, "0x80040239")
    assert "msdyn" not in refused.text
    assert (await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_acquisitiondate": "1753-01-01"})).is_success
