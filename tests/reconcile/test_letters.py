"""Dead letters and waiting times, by the real SDK on the embedded broker."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient

from local.servicebus import Broker, QueueSettings
from shared.adapters.bus import ServiceBus
from shared.adapters.clock import SystemClock
from shared.adapters.deadletters import ServiceBusDeadLetters
from shared.errors import Unavailable
from shared.flows.ports import DeadLetter, Outgoing
from shared.flows.reconcile.letters import Letters
from tests.fakes import make_settings

QUEUES = ("assets", "orders", "parked")


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker([QueueSettings(name) for name in QUEUES]) as broker:
        yield broker


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[ServiceBus]:
    bus = ServiceBus(make_settings(service_bus_connection=broker.connection_string), None)
    yield bus
    await bus.aclose()


@pytest.fixture
def letters(broker: Broker) -> ServiceBusDeadLetters:
    return ServiceBusDeadLetters(make_settings(service_bus_connection=broker.connection_string), None)


async def give_up(broker: Broker, queue: str, count: int) -> None:
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(queue) as receiver,
    ):
        for message in await receiver.receive_messages(count, max_wait_time=5):
            await receiver.dead_letter_message(message, reason="MaxDeliveryCountExceeded", error_description="10 times")


async def parked(broker: Broker) -> list[ServiceBusReceivedMessage]:
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver("parked") as receiver,
    ):
        return list(await receiver.peek_messages(100))


async def test_dead_letters_are_parked_with_their_reason_and_ages_are_told(
    broker: Broker, bus: ServiceBus, letters: ServiceBusDeadLetters
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    await bus.send("orders", [Outgoing('{"n": 1}', subject="O-1"), Outgoing('{"n": 2}', subject="O-2")])
    await give_up(broker, "orders", 2)
    await bus.send("assets", [Outgoing("later", scheduled_at=later), Outgoing("waits")])
    states = {state.name: state for state in await Letters(letters, bus, SystemClock()).sweep()}
    assert (states["orders"].moved, states["orders"].oldest_seconds) == (2, 0.0)
    assert states["assets"].oldest_seconds is not None
    assert 0 <= states["assets"].oldest_seconds < 60
    found = await parked(broker)
    assert [str(message) for message in found] == ['{"n": 1}', '{"n": 2}']
    properties = found[0].application_properties or {}
    assert properties[b"reason"] == b"dead_lettered"
    assert properties[b"source_queue"] == b"orders"
    assert properties[b"key"] == b"O-1"
    assert b"MaxDeliveryCountExceeded: 10 times" in properties[b"message"]  # type: ignore[operator]  # it is text
    assert broker.counts("orders").dead_lettered == 0


async def test_a_dead_letter_that_cannot_be_parked_stays_where_it_is(
    broker: Broker, bus: ServiceBus, letters: ServiceBusDeadLetters
) -> None:
    await bus.send("assets", [Outgoing("x")])
    await give_up(broker, "assets", 1)

    async def refuse(found: Sequence[DeadLetter]) -> None:
        assert [letter.body for letter in found] == [b"x"]
        raise Unavailable("The queue is away.")

    with pytest.raises(Unavailable):
        await letters.tend("assets", refuse, 100)
    assert broker.counts("assets").dead_lettered == 1


async def test_a_broker_that_is_away_is_told_and_stops_nothing(broker: Broker, bus: ServiceBus) -> None:
    away = make_settings(
        service_bus_connection="Endpoint=sb://localhost:1;SharedAccessKeyName=x;SharedAccessKey=x;"
        "UseDevelopmentEmulator=true;"
    )
    states = await Letters(ServiceBusDeadLetters(away, None), bus, SystemClock()).sweep()
    assert [state.oldest_seconds for state in states] == [None, None, None]
