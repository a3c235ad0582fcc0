"""Dead letters and waiting times, by the real SDK on the embedded broker."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.emulators.servicebus import Broker, QueueSettings
from shared.adapters.clock import SystemClock
from shared.adapters.service_bus.dead_letters import ServiceBusDeadLetters
from shared.adapters.service_bus.sender import ServiceBus
from shared.errors import Unavailable
from shared.flows.ports.engine import DeadLetter, Forward, Outgoing
from shared.flows.reconcile.dead_letters import DeadLetterMover
from shared.flows.routing.parking import LONGEST_TEXT
from tests.fakes import FakeBus, make_settings

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
        found: list[ServiceBusReceivedMessage] = []
        # A page is not larger than a message may be.
        while page := await receiver.peek_messages(
            100, sequence_number=(found[-1].sequence_number or 0) + 1 if found else 0
        ):
            found += page
        return found


async def test_dead_letters_are_parked_with_their_reason_and_ages_are_told(
    broker: Broker, bus: ServiceBus, letters: ServiceBusDeadLetters
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    await bus.send("orders", [Outgoing('{"n": 1}', subject="O-1"), Outgoing('{"n": 2}', subject="O-2")])
    await give_up(broker, "orders", 2)
    await bus.send("assets", [Outgoing("later", scheduled_at=later), Outgoing("waits")])
    states = {state.name: state for state in await DeadLetterMover(letters, bus, SystemClock()).drain()}
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

    async def refuse(found: Sequence[DeadLetter]) -> list[DeadLetter]:
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
    states = await DeadLetterMover(ServiceBusDeadLetters(away, None), bus, SystemClock()).drain()
    assert [state.oldest_seconds for state in states] == [None, None, None]


@pytest.fixture
async def narrow() -> AsyncIterator[Broker]:
    """A broker whose queue of parked messages takes less than the others."""
    sizes = {"parked": 20_000}
    async with Broker([QueueSettings(name, max_message_bytes=sizes.get(name, 262_144)) for name in QUEUES]) as broker:
        yield broker


async def test_a_dead_letter_that_is_too_large_blocks_no_other_and_none_is_parked_twice(
    narrow: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(service_bus_connection=narrow.connection_string)
    bus, letters = ServiceBus(settings, None), ServiceBusDeadLetters(settings, None)
    bodies = ["first", "t" * 19_650, "h" * 60_000, "last"]
    await bus.send("assets", [Outgoing(body, message_id=f"id-{body[0]}", subject="S" * 400) for body in bodies])
    await give_up(narrow, "assets", 4)
    runs = [(await DeadLetterMover(letters, bus, SystemClock()).drain())[0] for _ in range(2)]
    assert [(state.moved, state.oldest_seconds) for state in runs] == [(3, 0.0), (0, 0.0)]
    found = {str(message)[0]: message.application_properties or {} for message in await parked(narrow)}
    assert {name: properties[b"reason"] for name, properties in found.items()} == dict.fromkeys(
        ("f", "t", "l"), b"dead_lettered"
    )
    assert b"MaxDeliveryCountExceeded" in found["f"][b"message"]  # type: ignore[operator]  # it is text
    assert found["t"].keys() == {b"reason", b"source_queue"}
    assert narrow.counts("assets").dead_lettered == 1
    assert narrow.counts("parked").active == 3
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert ["id-h" in text and "60000 bytes" in text for text in told] == [True, True]
    await bus.aclose()


async def test_dead_letters_whose_body_is_no_bytes_are_parked_too_as_json(
    broker: Broker, bus: ServiceBus, letters: ServiceBusDeadLetters
) -> None:
    foreign: list[ServiceBusMessage | AmqpAnnotatedMessage] = [
        AmqpAnnotatedMessage(value_body={"n": 1, "raw": b"\xff", "many": [1, None, True]}),
        AmqpAnnotatedMessage(value_body="text"),
        AmqpAnnotatedMessage(value_body=7),
        AmqpAnnotatedMessage(sequence_body=[["a", 1], ["b"]]),
        ServiceBusMessage(None, application_properties={"n": 1}),
    ]
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender("assets") as sender,
    ):
        for message in foreign:
            await sender.send_messages(message)
    await bus.send("assets", [Outgoing("ours")])
    await give_up(broker, "assets", 6)
    states = await DeadLetterMover(letters, bus, SystemClock()).drain()
    assert (states[0].moved, broker.counts("assets").dead_lettered) == (6, 0)
    found = await parked(broker)
    assert [str(message) for message in found] == [
        '{"n": 1, "raw": "\ufffd", "many": [1, null, true]}'.replace("\ufffd", "\\ufffd"),
        "text",
        "7",
        '[["a", 1], ["b"]]',
        "",
        "ours",
    ]
    reasons = [str((message.application_properties or {})[b"message"]) for message in found]
    assert ["AMQP value" in reason for reason in reasons] == [True, True, True, True, False, False]


async def test_what_a_foreign_sender_wrote_beside_a_dead_letter_never_outgrows_its_copys_properties() -> None:
    bus = FakeBus()
    letter = DeadLetter(b"x", "id-1", "s" * 60_000, "R" * 4000, "d" * 40_000, 10, None)

    class Given:
        async def tend(self, queue: str, forward: Forward, limit: int) -> tuple[int, datetime | None]:
            return (1, None) if limit and not await forward([letter]) else (0, None)

    await DeadLetterMover(Given(), bus, SystemClock()).drain()
    copy = bus.queues["parked"][0]
    texts = [copy.subject or "", *(str(value) for value in copy.properties.values())]
    assert max(map(len, texts)) <= LONGEST_TEXT
    assert copy.body == b"x"
