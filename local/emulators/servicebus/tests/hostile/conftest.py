"""A broker with a client that misbehaves loses no other: what every one of these tests has."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from local.emulators.servicebus import Broker, QueueSettings
from local.emulators.servicebus.tests.hostile.bystander import Bystander
from local.emulators.servicebus.tests.raw import connected


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker() -> AsyncIterator[Broker]:
    names = ("calm", "busy", "heavy")
    async with Broker([*map(QueueSettings, names), QueueSettings("other", max_message_bytes=10_000)]) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bystander(broker: Broker) -> AsyncIterator[Bystander]:
    async with connected(broker) as client:
        await client.begin()
        await client.attach_sender("calm", 0)
        await client.attach_receiver("calm", 1, credit=1000)
        yield Bystander(client)


@pytest.fixture(autouse=True)
def nothing_broke_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.records if record.name.startswith("local.")] == []
