"""The bus on the real SDK, against the embedded broker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusReceivedMessage
from azure.servicebus._pyamqp.error import TokenAuthFailure
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusAuthorizationError

from local.emulators.servicebus import Broker, QueueSettings
from shared.adapters.service_bus.client import mapped
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.adapters.service_bus.sender import ServiceBus
from shared.errors import InvalidMessage, NotAuthorized, SyncError, TooLarge, Unavailable
from shared.flows.ports.engine import Outgoing
from tests.fakes import make_settings

pytestmark = pytest.mark.real_time

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


async def receive(broker: Broker, queue: str, count: int) -> list[ServiceBusReceivedMessage]:
    found: list[ServiceBusReceivedMessage] = []
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(queue) as receiver,
    ):
        while len(found) < count:
            some = await receiver.receive_messages(count - len(found), max_wait_time=10)
            assert some, f"{len(found)} of {count} arrived"
            found += some
    return found


@pytest.mark.parametrize("together", [True, False], ids=["together", "alone"])
async def test_what_is_sent_arrives_with_all_that_was_said_of_it(
    broker: Broker, bus: ServiceBus, *, together: bool
) -> None:
    message = Outgoing(
        '{"ñ": "資"}', message_id="id-1", subject="a/ñ", properties={"reason": "invalid_message", "attempts": 3}
    )
    messages = [message, Outgoing(b"\xff\x00raw", content_type="application/octet-stream")]
    for some in [messages] if together else [[one] for one in messages]:
        await bus.send("parked", some)
    first, second = await receive(broker, "parked", 2)
    assert str(first) == message.body
    assert (first.message_id, first.subject, first.content_type) == ("id-1", "a/ñ", "application/cloudevents+json")
    assert first.application_properties == {b"reason": b"invalid_message", b"attempts": 3}
    assert b"".join(second.body) == b"\xff\x00raw"
    assert second.message_id not in {None, "", "id-1"}


async def test_five_hundred_messages_go_in_order_and_those_beyond_the_size_in_further_batches(
    broker: Broker, bus: ServiceBus
) -> None:
    messages = [Outgoing(f"{number:04}" + "x" * 2000) for number in range(500)]
    await bus.send("assets", messages)
    assert broker.counts("assets").active == 500
    assert [str(one)[:4] for one in await receive(broker, "assets", 500)] == [f"{n:04}" for n in range(500)]
    await bus.send("assets", [])


async def test_a_scheduled_message_waits(broker: Broker, bus: ServiceBus) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    await bus.send("assets", [Outgoing("now"), Outgoing("later", scheduled_at=later)])
    await bus.send("assets", [Outgoing("later", scheduled_at=later)])
    counts = broker.counts("assets")
    assert (counts.active, counts.scheduled) == (1, 2)


async def test_a_message_too_large_is_named_and_all_others_are_sent(broker: Broker, bus: ServiceBus) -> None:
    messages = [Outgoing("a"), Outgoing("x" * 300_000, subject="K-7"), Outgoing("b")]
    for sent in (2, 4):
        with pytest.raises(InvalidMessage, match="K-7") as caught:
            await bus.send("assets", messages)
        assert "1 of 3" in caught.value.message
        assert "x" * 20 not in caught.value.message
        assert broker.counts("assets").active == sent


async def test_explanations_give_way_to_the_body_they_explain(broker: Broker, bus: ServiceBus) -> None:
    body = "x" * 259_000
    properties: dict[str, str | int] = {"reason": "mapping_error", "history": "h" * 5000, "attempts": 12}
    await bus.send("parked", [Outgoing(body, subject="K-1", properties=properties)])
    (message,) = await receive(broker, "parked", 1)
    assert str(message) == body
    kept = message.application_properties or {}
    assert (kept[b"reason"], kept[b"attempts"]) == (b"mapping_error", 12)


async def test_senders_at_once_on_one_queue_lose_and_double_nothing(broker: Broker, bus: ServiceBus) -> None:
    await asyncio.gather(
        *(bus.send("assets", [Outgoing(f"{sender}-{n}") for n in range(5)]) for sender in range(20)),
        bus.send("orders", [Outgoing("o")]),
    )
    arrived = [str(one) for one in await receive(broker, "assets", 100)]
    assert sorted(arrived) == sorted(f"{sender}-{n}" for sender in range(20) for n in range(5))
    assert broker.counts("assets").active + broker.counts("assets").locked == 100


@pytest.mark.parametrize("body", ["ñ" * (32 * 1024), "資" * 60_000, "x" * 200_000, b"x" * 260_000])
async def test_one_message_alone_of_any_size_that_the_queue_takes_arrives(
    broker: Broker, bus: ServiceBus, body: str | bytes
) -> None:
    await bus.send("assets", [Outgoing(body)])
    (message,) = await receive(broker, "assets", 1)
    assert b"".join(message.body) == (body.encode() if isinstance(body, str) else body)


async def test_one_message_alone_that_is_too_large_is_named(broker: Broker, bus: ServiceBus) -> None:
    with pytest.raises(TooLarge, match=r"1 of 1.*K-7"):
        await bus.send("assets", [Outgoing("x" * 300_000, subject="K-7")])
    await bus.send("assets", [Outgoing("next")])
    assert broker.counts("assets").active == 1


async def test_those_who_wait_for_the_sender_go_along_in_one_send(
    broker: Broker, bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends: list[int] = []
    send = ServiceBusSender.send_messages

    async def counted(sender: ServiceBusSender, sent: ServiceBusMessage | ServiceBusMessageBatch) -> None:
        sends.append(len(sent) if isinstance(sent, ServiceBusMessageBatch) else 1)
        await send(sender, sent)

    monkeypatch.setattr(ServiceBusSender, "send_messages", counted)
    large = Outgoing("x" * 300_000, subject="K-7")
    results = await asyncio.gather(
        *(bus.send("assets", [Outgoing(f"{n}")]) for n in range(20)),
        bus.send("assets", [Outgoing("beside"), large]),
        return_exceptions=True,
    )
    assert results[:20] == [None] * 20, "what is too large is its own sender's failure"
    assert isinstance(results[20], TooLarge)
    assert list(results[20].refused) == [large]
    assert len(sends) <= 3
    assert sum(sends) == broker.counts("assets").active == 21


async def test_a_sender_that_goes_away_takes_nobody_elses_messages_along(broker: Broker, bus: ServiceBus) -> None:
    await bus.send("assets", [Outgoing("first")])
    tasks = [asyncio.ensure_future(bus.send("assets", [Outgoing(f"{n}")])) for n in range(4)]
    await asyncio.sleep(0)  # the first one has the sender, the others wait
    for gone in (tasks[0], tasks[2]):
        gone.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, type(None)] * 2
    arrived = {str(one) for one in await receive(broker, "assets", broker.counts("assets").active)}
    assert {"first", "1", "3"} <= arrived


async def test_an_outage_is_unavailable_for_all_who_wait_and_a_fresh_sender_recovers(
    broker: Broker, bus: ServiceBus
) -> None:
    await bus.send("assets", [Outgoing("before")])
    broker.faults.refuse_connections = True
    broker.faults.break_connections()
    results = await asyncio.gather(*(bus.send("assets", [Outgoing("x")]) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    broker.faults.refuse_connections = False
    await bus.send("assets", [Outgoing("after")])
    assert [str(one) for one in await receive(broker, "assets", 2)] == ["before", "after"]


async def test_a_busy_broker_is_unavailable_and_takes_the_next(broker: Broker, bus: ServiceBus) -> None:
    broker.faults.refuse_sends(times=2)
    with pytest.raises(Unavailable):
        await bus.send("assets", [Outgoing("x")])
    await bus.send("assets", [Outgoing("y")])
    assert broker.counts("assets").active == 1


async def test_a_queue_that_does_not_exist_is_named(bus: ServiceBus) -> None:
    with pytest.raises(Unavailable, match="There is no queue nowhere: create it"):
        await bus.send("nowhere", [Outgoing("x")])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, Unavailable),
        (401, NotAuthorized),
        (403, NotAuthorized),
        (400, NotAuthorized),
        (500, Unavailable),
        (503, Unavailable),
        (0, Unavailable),
    ],
)
def test_a_missing_queue_a_missing_role_and_a_busy_service_are_told_apart(status: int, kind: type[SyncError]) -> None:
    # As the SDK raises what it gets for its token, whatever that is.
    failure = TokenAuthFailure(status, b"The messaging entity 'assets' could not be found.")  # type: ignore[no-untyped-call]
    with pytest.raises(kind) as caught, mapped("assets"):
        raise ServiceBusAuthenticationError(message=str(failure), error=failure)
    assert ("There is no queue assets" in caught.value.message) == (status == 404)
    assert ("role" in caught.value.message) == (kind is NotAuthorized)


@pytest.mark.parametrize(
    "error",
    [ServiceBusAuthenticationError(), ServiceBusAuthorizationError(), ClientAuthenticationError("No identity.")],
)
def test_a_refused_identity_is_a_missing_role(error: Exception) -> None:
    with pytest.raises(NotAuthorized, match="role Azure Service Bus Data Sender"), mapped("assets"):
        raise error


async def test_an_operator_learns_of_a_missing_queue_too(broker: Broker) -> None:
    queues = ServiceBusQueues(make_settings(service_bus_connection=broker.connection_string), None)
    with pytest.raises(Unavailable, match="There is no queue nowhere: create it"):
        await queues.probe("nowhere")
    with pytest.raises(Unavailable, match="There is no queue nowhere: create it"):
        _ = [page async for page in queues.peek("nowhere")]
