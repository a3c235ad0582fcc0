"""Tokens, users and privileges."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest

from local.emulators.dataverse import Dataverse, InProcessTransport
from local.emulators.dataverse.tests.asking import ASSETS, asset, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE, KEY, Clock, client_of, token
from local.emulators.identity import mint_token

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bearer", "reason"),
    [
        ("", "no bearer token"),
        ("not.a.token", "cannot be read"),
        (mint_token("x" * 32, resource=AUDIENCE, client_id="app-1", now=NOW), "signature"),
        (mint_token(KEY, resource="https://other.crm.dynamics.com", client_id="app-1", now=NOW), "audience"),
        (mint_token(KEY, resource=AUDIENCE, client_id="app-1", now=NOW - timedelta(hours=1)), "expired"),
        (jwt.encode({"aud": AUDIENCE, "exp": NOW.timestamp() + 60}, KEY, algorithm="HS256"), "cannot be read"),
        (jwt.encode({"aud": AUDIENCE, "appid": "app-1", "exp": 2**40}, "", algorithm="none"), "cannot be read"),
    ],
)
async def test_a_token_that_does_not_hold_gets_a_challenge(
    transport: InProcessTransport, bearer: str, reason: str
) -> None:
    async with client_of(transport, bearer) as client:
        response = await client.get("WhoAmI")
    assert response.status_code == 401
    challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer authorization_uri=")
    assert reason in challenge
    assert not bearer or bearer not in challenge


async def test_a_token_holds_until_it_expires_by_the_organisations_clock(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    clock.advance(3599)
    assert (await client.get("WhoAmI")).status_code == 200
    clock.advance(1)
    assert (await client.get("WhoAmI")).status_code == 401


async def test_a_user_that_is_no_member_is_refused(transport: InProcessTransport, clock: Clock) -> None:
    async with client_of(transport, token("stranger", clock)) as client:
        assert code_of(await client.get("WhoAmI")) == (403, "0x80072560")


async def test_a_disabled_user_is_refused(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.users["app-1"] = replace(dataverse.users["app-1"], disabled=True)
    assert code_of(await client.get("WhoAmI")) == (403, "0x80040225")


async def test_who_may_not_say_when_a_row_was_created_is_refused(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    denied = frozenset({"OverrideCreatedOnCreatedBy"})
    dataverse.users["app-1"] = replace(dataverse.users["app-1"], denied=denied)
    said = {"msdyn_name": "x", "overriddencreatedon": "2020-01-01T00:00:00Z"}
    refused = await client.post(ASSETS, json=said)
    assert code_of(refused) == (403, "0x80040220")
    assert "prvOverrideCreatedOnCreatedBy" in refused.text
    assert (await client.post(ASSETS, json={"msdyn_name": "x"})).status_code == 204


@pytest.mark.parametrize("privilege", ["Create", "Read", "Write", "Delete"])
async def test_a_missing_privilege_is_named(client: httpx.AsyncClient, dataverse: Dataverse, privilege: str) -> None:
    row = await asset(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    denied = frozenset({f"{privilege}:msdyn_customerasset"})
    dataverse.users["app-1"] = replace(dataverse.users["app-1"], denied=denied)
    response = {
        "Create": await client.post(ASSETS, json={"msdyn_name": "x"}),
        "Read": await client.get(ASSETS),
        "Write": await client.patch(address, json={"msdyn_name": "x"}),
        "Delete": await client.delete(address),
    }[privilege]
    assert code_of(response) == (403, "0x80040220")
    assert f"prv{privilege}msdyn_customerasset" in response.text
