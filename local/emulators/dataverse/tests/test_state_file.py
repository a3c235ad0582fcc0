"""An organization in a file is after a kill what it was before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from local.emulators.dataverse import Dataverse, SystemUser, create_app
from local.emulators.dataverse.state_file import Keeping, StateFile
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE, KEY, ROOT
from local.emulators.identity import mint_token

TABLE = "EntityDefinitions(LogicalName='msdyn_customerasset')"
CONTROL = f"{AUDIENCE}/_emulator"


@asynccontextmanager
async def organization(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A new emulator on the file; leaving the context is the kill."""
    dataverse = Dataverse(users=[SystemUser.of("Integration", "app-1")], key_index_seconds=0)
    state = StateFile(path, dataverse)
    app = Keeping(create_app(dataverse, signing_key=KEY, audiences=[AUDIENCE]), state)
    token = mint_token(KEY, resource=AUDIENCE, client_id="app-1")
    headers = {"Authorization": f"Bearer {token}", "Prefer": "return=representation"}
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"{ROOT}/", headers=headers) as client:
            yield client
    finally:
        state.close()


async def rows(client: httpx.AsyncClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await client.get(ASSETS)).json()["value"]
    return found


async def test_rows_versions_keys_columns_and_delta_links_outlive_the_emulator(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with organization(path) as client:
        kept = await asset(client, "A-1", msdyn_serialid="S-1")
        gone = await asset(client, "A-2")
        tracking = await client.get(ASSETS, headers={"Prefer": "odata.track-changes"})
        link = tracking.json()["@odata.deltaLink"]
        await client.patch(f"{ASSETS}({kept['msdyn_customerassetid']})", json={"msdyn_serialid": "S-2"})
        await client.delete(f"{ASSETS}({gone['msdyn_customerassetid']})")
        key = {"SchemaName": "new_Serial", "KeyAttributes": ["msdyn_serialid"]}
        assert (await client.post(f"{TABLE}/Keys", json=key)).status_code == 204
        column = {
            "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
            "SchemaName": "new_C",
            "MaxLength": 5,
        }
        assert (await client.post(f"{TABLE}/Attributes", json=column)).status_code == 204
        before = await rows(client)

    async with organization(path) as client:
        assert await rows(client) == before
        doubled = {"msdyn_name": "x", "msdyn_assetnumber": "A-3", "msdyn_serialid": "S-2"}
        assert code_of(await client.post(ASSETS, json=doubled)) == (412, "0x80060892")
        changed = (await client.get(link)).json()["value"]
        assert [("@removed" in each or "reason" in each) for each in changed] == [False, True]
        later = await asset(client, "A-4", new_c="green")
        assert str(later["@odata.etag"]) > str(before[0]["@odata.etag"])

    async with organization(path) as client:
        assert await asset_numbers(client, "new_c eq 'green'") == ["A-4"]


async def test_a_backup_that_was_put_back_stays_put_back(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with organization(path) as client:
        await asset(client, "A-1")
        await client.put(f"{CONTROL}/snapshots/yesterday")
        await asset(client, "A-2")
        await client.post(f"{CONTROL}/snapshots/yesterday")
        before = await rows(client)

    async with organization(path) as client:
        assert await rows(client) == before
        assert await asset_numbers(client, "statecode eq 0") == ["A-1"]


async def test_what_was_being_written_at_the_kill_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with organization(path) as client:
        await asset(client, "A-1")
        whole = path.stat().st_size
        await asset(client, "A-2")
    with path.open("ab") as file:
        file.truncate((whole + path.stat().st_size) // 2)

    async with organization(path) as client:
        await asset(client, "A-3")
    async with organization(path) as client:
        assert await asset_numbers(client, "statecode eq 0") == ["A-1", "A-3"]


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("something else")
    with pytest.raises(ValueError, match=r"notes\.txt cannot be read"):
        StateFile(path, Dataverse())
    assert path.read_text() == "something else"
