"""The bearer token: fetched once, renewed in time, and after a 401 exactly once."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from shared.adapters.credentials import BearerToken
from shared.errors import NotAuthorized, SyncError, Unavailable
from tests.adapters.virtual import START
from tests.adapters.worlds import ASSET, RESOURCE, World, creates, only_failure

SECRET = "the-client-secret-itself"


class Issuer:
    """A credential as azure-identity's: it keeps a token until asked for claims."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.issued: list[str] = []
        self.failure: Exception | None = None
        self.lifetime = timedelta(hours=1)
        self.valid = True
        self._kept: AccessToken | None = None

    async def get_token(self, scope: str, *, claims: str | None = None, **_: Any) -> AccessToken:
        assert scope == f"{RESOURCE}/.default"
        await asyncio.sleep(1)
        if self.failure is not None:
            raise self.failure
        now = self.world.clock.now()
        if self._kept is None or claims is not None or self._kept.expires_on <= now.timestamp() + 300:
            # A signature of another key is what a revoked token looks like to the service.
            text = self.world.token(now=now + timedelta(seconds=len(self.issued)), lifetime=self.lifetime)
            self.issued.append(text)
            self._kept = AccessToken(text if self.valid else text[:-4] + "AAAA", int((now + self.lifetime).timestamp()))
        return self._kept


@pytest.fixture
async def signed() -> AsyncIterator[tuple[World, Issuer]]:
    world = World()
    issuer = Issuer(world)
    auth = BearerToken(cast("AsyncTokenCredential", issuer), RESOURCE, lambda: world.clock.now().timestamp())
    world.client._http.auth = auth
    yield world, issuer
    await world.aclose()


async def ask(world: World) -> SyncError | None:
    try:
        await world.gateway.by_key(ASSET, ["A"])
    except SyncError as error:
        return error
    return None


async def test_one_token_serves_many_requests_at_once(signed: tuple[World, Issuer]) -> None:
    world, issuer = signed
    assert await asyncio.gather(*(ask(world) for _ in range(20))) == [None] * 20
    assert len(issuer.issued) == 1


async def test_a_token_is_renewed_before_it_dies_on_the_way(signed: tuple[World, Issuer]) -> None:
    world, issuer = signed
    for passed in (0, 3400, 3500, 3600):
        await asyncio.sleep(passed - (world.clock.now() - START).total_seconds())
        assert await ask(world) is None
    assert len(issuer.issued) == 2
    assert 401 not in world.statistics.statuses


async def test_a_refused_token_is_replaced_once_for_all_who_were_refused(signed: tuple[World, Issuer]) -> None:
    world, issuer = signed
    world.dataverse.dop_hint = 8
    for _ in range(8):
        assert await ask(world) is None
    world.wire.forget()
    issuer._kept = None
    auth = cast("BearerToken", world.client._http.auth)
    auth._token = AccessToken("not-the-token", int(START.timestamp()) + 3600)
    assert await asyncio.gather(*(ask(world) for _ in range(8))) == [None] * 8
    assert len(issuer.issued) == 2
    assert world.statistics.statuses[401] == 8
    assert len(world.wire.requests) == 16


async def test_a_second_refusal_is_final_and_says_what_to_check(signed: tuple[World, Issuer]) -> None:
    world, issuer = signed
    issuer.valid = False
    error = await ask(world)
    assert isinstance(error, NotAuthorized)
    assert "application user" in error.message
    assert len(world.wire.requests) == 2
    assert len(issuer.issued) == 2


async def test_a_write_refused_with_401_is_repeated_with_the_new_token(signed: tuple[World, Issuer]) -> None:
    world, _ = signed
    cast("BearerToken", world.client._http.auth)._token = AccessToken("old", int(START.timestamp()) + 3600)
    await world.landed(ASSET, creates(10))
    assert world.count(ASSET) == 10


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (
            ClientAuthenticationError(message="AADSTS7000215: Invalid client secret provided.\nTrace ID: x"),
            NotAuthorized,
        ),
        (ClientAuthenticationError(message=""), NotAuthorized),
        (CredentialUnavailableError(message="no managed identity"), NotAuthorized),
        (ServiceRequestError("no route"), Unavailable),
    ],
)
async def test_a_failed_sign_in_sends_nothing_and_is_known_not_to_have_written(
    signed: tuple[World, Issuer], failure: Exception, kind: type[SyncError]
) -> None:
    world, issuer = signed
    issuer.failure = failure
    error = await ask(world)
    assert type(error) is kind
    results = await world.write(ASSET, creates(5))
    assert {(type(only_failure(r).error), only_failure(r).unknown) for r in results} == {(kind, False)}
    assert world.wire.requests == []
    assert "Trace ID" not in error.message
    issuer.failure = None
    assert await ask(world) is None


async def test_neither_repr_nor_errors_hold_the_token(signed: tuple[World, Issuer]) -> None:
    world, issuer = signed
    await ask(world)
    shown = f"{world.client._http.auth!r} {world.client!r} {world.gateway!r} {vars(world.client._http.auth).keys()}"
    assert issuer.issued[0] not in shown


async def test_redirects_are_not_followed_and_the_token_stays_at_home(signed: tuple[World, Issuer]) -> None:
    world, _ = signed
    world.wire.change = lambda _: httpx.Response(307, headers={"Location": "https://elsewhere.example/"})
    error = await ask(world)
    assert isinstance(error, Unavailable)
    assert error.status == 307
    assert {request.url.host for request in world.wire.requests} == {"org.crm.dynamics.com"}


def test_the_clock_of_a_token_is_the_wall_clock_unless_told_otherwise() -> None:
    assert BearerToken(cast("AsyncTokenCredential", None), RESOURCE)._now is time.time
