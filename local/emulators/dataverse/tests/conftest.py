"""An emulated organisation per test, at a fixed time, with ids from a seed."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import httpx
import pytest
from hypothesis import settings

from local.emulators.dataverse import Dataverse, InProcessTransport, SystemUser, create_app
from local.emulators.identity import mint_token

# A machine that has other work may stall any example: a time limit per example tells nothing.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")

KEY = "a-signing-key-of-at-least-32-characters"
AUDIENCE = "https://org.crm.dynamics.com"
ROOT = f"{AUDIENCE}/api/data/v9.2"
ASSETS = "msdyn_customerassets"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def drawn_id(source: random.Random) -> UUID:
    return UUID(int=source.getrandbits(128), version=4)


def seeded_ids(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311  # repeatable, not secret


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dataverse(clock: Clock) -> Dataverse:
    return Dataverse(
        users=[SystemUser.of("Integration", "app-1"), SystemUser.of("Person", "person-1")],
        clock=clock,
        ids=partial(drawn_id, seeded_ids()),
    )


@pytest.fixture
async def transport(dataverse: Dataverse) -> AsyncIterator[InProcessTransport]:
    transport = InProcessTransport(create_app(dataverse, signing_key=KEY, audiences=[AUDIENCE]))
    yield transport
    await transport.aclose()


def token(client_id: str, clock: Clock) -> str:
    return mint_token(KEY, resource=AUDIENCE, client_id=client_id, now=clock())


def client_of(transport: httpx.AsyncBaseTransport, bearer: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport, base_url=f"{ROOT}/", headers={"Authorization": f"Bearer {bearer}"}, trust_env=False
    )


@pytest.fixture
async def client(transport: InProcessTransport, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """The integration's client."""
    async with client_of(transport, token("app-1", clock)) as client:
        yield client


@pytest.fixture
async def person(transport: InProcessTransport, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """A person's client."""
    async with client_of(transport, token("person-1", clock)) as client:
        yield client
