from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from local.servicebus import Broker, QueueSettings
from tests.local.servicebus.drivers import Driver, MemoryDriver, SdkDriver

SECOND = timedelta(seconds=1)
# A queue is cheap, a link is not: each test takes a fresh queue whose links are open already.
QUEUES = [
    *(QueueSettings(f"plain-{index}") for index in range(16)),
    *(QueueSettings(f"short-{index}", lock_duration=2 * SECOND) for index in range(2)),
    *(QueueSettings(f"strict-{index}", max_delivery_count=2) for index in range(2)),
    *(QueueSettings(f"unique-{index}", duplicate_window=2 * SECOND) for index in range(3)),
    QueueSettings("brief", time_to_live=2 * SECOND),
    QueueSettings("forgetful", time_to_live=SECOND, dead_letter_on_expiration=False),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker() -> AsyncIterator[Broker]:
    async with Broker(QUEUES) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk(broker: Broker) -> AsyncIterator[SdkDriver]:
    driver = SdkDriver(broker, QUEUES)
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture(scope="module")
def memory() -> MemoryDriver:
    return MemoryDriver(QUEUES)


@pytest.fixture(params=["memory", "sdk"])
def bus(request: pytest.FixtureRequest) -> Driver:
    driver: Driver = request.getfixturevalue(request.param)
    return driver
