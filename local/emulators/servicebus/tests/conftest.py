from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from hypothesis import settings

from local.emulators.servicebus import Broker, QueueSettings
from local.emulators.servicebus.tests.drivers import Driver, MemoryDriver, SdkDriver, ShiftedClock

# A machine that has other work may stall any example: a time limit per example tells nothing.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")

MINUTE = timedelta(minutes=1)
# A queue is cheap, a link is not: each test takes a fresh queue whose links are open already.
QUEUES = [
    *(QueueSettings(f"plain-{index}", lock_duration=MINUTE) for index in range(18)),
    *(QueueSettings(f"strict-{index}", max_delivery_count=2) for index in range(2)),
    *(QueueSettings(f"unique-{index}", duplicate_window=10 * MINUTE) for index in range(3)),
    QueueSettings("brief", time_to_live=10 * MINUTE),
    QueueSettings("forgetful", time_to_live=10 * MINUTE, dead_letter_on_expiration=False),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def contract_sdk() -> AsyncIterator[SdkDriver]:
    clock = ShiftedClock()
    async with Broker(QUEUES, clock=clock) as broker:
        driver = SdkDriver(broker, QUEUES, clock)
        await driver.open()
        yield driver
        await driver.close()


@pytest.fixture(scope="module")
def contract_memory() -> MemoryDriver:
    return MemoryDriver(QUEUES)


@pytest.fixture(params=["memory", "sdk"])
def bus(request: pytest.FixtureRequest) -> Driver:
    driver: Driver = request.getfixturevalue(f"contract_{request.param}")
    return driver
