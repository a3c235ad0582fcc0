"""What only shows through the real SDK: sizes, types, refusals, management operations, faults, many receivers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from azure.servicebus import (
    AutoLockRenewer,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
    TransportType,
)
from azure.servicebus.aio import ServiceBusClient as AsyncClient
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageSizeExceededError,
    ServiceBusAuthenticationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from local.emulators.servicebus import Broker, Counts, QueueSettings, Tls
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.amqp.values import Described, ULong
from local.emulators.servicebus.nodes import token_status
from local.emulators.servicebus.tests.drivers import SdkDriver

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECOND = timedelta(seconds=1)
QUEUES = [
    *(QueueSettings(f"plain-{index}") for index in range(13)),
    *(QueueSettings(f"short-{index}", lock_duration=SECOND) for index in range(2)),
    QueueSettings("renewed", lock_duration=8 * SECOND),  # the SDK renews whatever ends in less than 10 s
    QueueSettings("several-frames"),
    QueueSettings("small", max_message_bytes=4096),
    QueueSettings("packed", max_message_bytes=4096),
    QueueSettings("full", max_queue_bytes=1000),
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


@pytest.fixture
def faultless(broker: Broker) -> Iterator[Broker]:
    """The broker, whose faults are taken back afterwards."""
    yield broker
    broker.faults.refuse_connections = False
    broker.faults.delay_settlements = broker.faults.delay_deliveries = timedelta()
    broker.faults.accept_sends()


async def test_every_part_of_a_message_arrives_as_it_was_sent(sdk: SdkDriver) -> None:
    queue = sdk.queue("plain")
    properties: dict[str | bytes, int | float | bytes | bool | str | UUID] = {
        "text": "ñandú",
        "whole": 7,
        "real": 0.5,
        "flag": True,
        "id": UUID(int=5),
    }
    await sdk.sender(queue).send_messages(
        ServiceBusMessage(
            b"\x00binary\xff",
            message_id="the-id",
            subject="A-17",
            content_type="application/cloudevents+json",
            correlation_id="c",
            to="somewhere",
            reply_to="r",
            partition_key="p",
            application_properties=properties,
            time_to_live=timedelta(hours=1),
        )
    )
    before = datetime.now(UTC)
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    assert b"".join(message.body) == b"\x00binary\xff"
    assert (message.message_id, message.subject, message.content_type) == (
        "the-id",
        "A-17",
        "application/cloudevents+json",
    )
    assert (message.correlation_id, message.to, message.reply_to) == ("c", "somewhere", "r")
    assert message.partition_key == "p"
    assert message.application_properties == {
        b"text": "ñandú".encode(),
        b"whole": 7,
        b"real": 0.5,
        b"flag": True,
        b"id": UUID(int=5),
    }
    assert message.time_to_live == timedelta(hours=1)
    assert message.enqueued_time_utc is not None
    assert message.locked_until_utc is not None
    assert message.expires_at_utc == message.enqueued_time_utc + timedelta(hours=1)
    assert abs(before - message.enqueued_time_utc) < timedelta(seconds=5)
    assert abs(message.locked_until_utc - message.enqueued_time_utc - 60 * SECOND) < timedelta(seconds=5)
    assert message.state == ServiceBusMessageState.ACTIVE


async def test_a_message_in_amqps_own_terms_arrives_with_every_section(sdk: SdkDriver) -> None:
    queue = sdk.queue("plain")
    sent = AmqpAnnotatedMessage(
        value_body={"a": 1},
        annotations={"noted": "by the sender"},
        # The SDK writes these behind the body, where the standard does not have them.
        delivery_annotations={"hop": 1},
        footer={"checksum": 7},
        application_properties={"k": "v"},
    )
    await sdk.sender(queue).send_messages(sent)
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    raw = message.raw_amqp_message
    assert raw.body == {b"a": 1}
    assert raw.annotations is not None
    assert raw.annotations[b"noted"] == b"by the sender"
    assert raw.footer == {b"checksum": 7}
    assert raw.delivery_annotations == {b"hop": 1, b"x-opt-lock-token": message.lock_token}
    (peeked,) = await sdk.receiver(queue).peek_messages(1, sequence_number=1)
    assert peeked.raw_amqp_message.delivery_annotations == {b"hop": 1}


async def test_the_dead_letters_of_forwarding_are_there_and_none(broker: Broker) -> None:
    async with (
        AsyncClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver("plain-0", sub_queue=ServiceBusSubQueue.TRANSFER_DEAD_LETTER) as receiver,
    ):
        assert await receiver.receive_messages(1, max_wait_time=0.2) == []
        assert await receiver.peek_messages(1) == []


@pytest.mark.parametrize("size", [65_000, 200_000])
async def test_a_message_of_several_frames_arrives_whole(sdk: SdkDriver, size: int) -> None:
    queue = "several-frames"
    body = bytes(range(256)) * (size // 256)
    await sdk.sender(queue).send_messages(ServiceBusMessage(body))
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    assert b"".join(message.body) == body
    await sdk.receiver(queue).complete_message(message)


async def test_a_batch_is_limited_to_the_queues_message_size(sdk: SdkDriver) -> None:
    batch = await sdk.sender("small").create_message_batch()
    assert batch.max_size_in_bytes == 4096
    with pytest.raises(MessageSizeExceededError):
        batch.add_message(ServiceBusMessage(b"x" * 5000))


async def test_a_batch_that_the_sdk_calls_full_is_taken_and_a_message_as_large_is_not(sdk: SdkDriver) -> None:
    sender = sdk.sender("packed")
    batch = await sender.create_message_batch()
    with suppress(MessageSizeExceededError):
        while True:
            batch.add_message(ServiceBusMessage(b"x" * 5))
    await sender.send_messages(batch)
    with pytest.raises(MessageSizeExceededError, match="larger than 4096 bytes"):
        await sender.send_messages(ServiceBusMessage(b"x" * 4096))
    assert sdk.counts("packed").active == len(batch)


async def test_an_oversize_message_is_refused_by_name_and_the_sender_works_on(sdk: SdkDriver) -> None:
    with pytest.raises(MessageSizeExceededError, match="larger than 4096 bytes"):
        await sdk.sender("small").send_messages(ServiceBusMessage(b"x" * 5000))
    await sdk.sender("small").send_messages(ServiceBusMessage(b"x" * 3000))
    assert sdk.counts("small").active == 1


async def test_a_full_queue_refuses_sends_as_a_quota(sdk: SdkDriver) -> None:
    await sdk.sender("full").send_messages(ServiceBusMessage(b"x" * 500))
    with pytest.raises(ServiceBusQuotaExceededError):
        await sdk.sender("full").send_messages(ServiceBusMessage(b"x" * 500))


async def test_a_token_for_a_missing_queue_is_refused_naming_it(broker: Broker) -> None:
    # As Azure does: the SDK raises the 404 as a failed authentication.
    async with AsyncClient.from_connection_string(broker.connection_string, retry_total=0) as client:
        with pytest.raises(ServiceBusAuthenticationError) as sending:
            await client.get_queue_sender("nowhere").send_messages(ServiceBusMessage(b"x"))
        with pytest.raises(ServiceBusAuthenticationError) as receiving:
            await client.get_queue_receiver("nowhere").receive_messages(max_wait_time=30)
    for caught in (sending, receiving):
        said = str(caught.value.inner_exception)
        assert "Status code: 404" in said
        assert "The messaging entity 'nowhere' could not be found" in said
        assert "plain-0" in said


@pytest.mark.parametrize(
    ("operation", "audience", "status"),
    [
        ("put-token", "sb://localhost/plain-0", 202),
        ("put-token", "amqps://localhost:5671/PLAIN-0/$DeadLetterQueue", 202),
        ("put-token", "sb://localhost/plain-0/$management", 202),
        ("put-token", "sb://localhost/", 202),
        ("put-token", None, 202),
        ("put-token", "sb://localhost/nowhere", 404),
        ("put-token", "sb://localhost/nowhere/$management", 404),
        ("put-token", "sb://[/nowhere", 404),
        ("delete-token", "sb://localhost/plain-0", 400),
    ],
)
async def test_a_token_is_taken_for_what_exists(
    broker: Broker, operation: str, audience: str | None, status: int
) -> None:
    properties = {"operation": operation} | ({"name": audience} if audience else {})
    request = Message.parse(
        encode(Described(ULong(0x73), [1, None, None, None, "r"])) + encode(Described(ULong(0x74), properties))
    )
    assert token_status(broker._namespace, request)[0] == status


async def test_sessions_are_refused_in_words(broker: Broker) -> None:
    async with AsyncClient.from_connection_string(broker.connection_string, retry_total=0) as client:
        with pytest.raises(ServiceBusError, match="no sessions"):
            await client.get_queue_receiver("plain-0", session_id="s").receive_messages(max_wait_time=30)


async def test_names_are_found_in_any_case(sdk: SdkDriver, broker: Broker) -> None:
    queue = sdk.queue("plain")
    async with (
        AsyncClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender(queue.upper()) as sender,
    ):
        await sender.send_messages(ServiceBusMessage(b"x"))
    assert sdk.counts(queue).active == 1


async def test_a_settlement_that_arrives_after_the_lock_has_ended_is_refused(sdk: SdkDriver, faultless: Broker) -> None:
    queue = sdk.queue("short")
    await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    faultless.faults.delay_settlements = timedelta(seconds=1.1)
    with pytest.raises(MessageLockLostError):
        await sdk.receiver(queue).complete_message(message)
    assert sdk.counts(queue).active == 1


async def test_a_delayed_delivery_is_locked_from_the_start(sdk: SdkDriver, faultless: Broker) -> None:
    queue = sdk.queue("plain")
    delay = faultless.faults.delay_deliveries = timedelta(seconds=0.5)
    await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    assert message.locked_until_utc is not None
    locked_at = message.locked_until_utc - 60 * SECOND
    assert datetime.now(UTC) - locked_at >= delay
    await sdk.receiver(queue).complete_message(message)
    assert sdk.counts(queue).locked == 0


async def test_a_waiting_receiver_gets_a_scheduled_message_when_it_is_due(sdk: SdkDriver) -> None:
    queue = sdk.queue("plain")
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    await sdk.sender(queue).send_messages(ServiceBusMessage(b"x", scheduled_enqueue_time_utc=due))
    (message,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    assert datetime.now(UTC) >= due - timedelta(milliseconds=1)
    assert message.state == ServiceBusMessageState.ACTIVE
    assert message.scheduled_enqueue_time_utc is not None


async def test_a_waiting_receiver_gets_a_message_again_when_its_lock_ends(sdk: SdkDriver) -> None:
    queue = sdk.queue("short")
    await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
    (first,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    (second,) = await sdk.receiver(queue).receive_messages(1, max_wait_time=30)
    assert (first.sequence_number, second.delivery_count) == (second.sequence_number, 1)


async def test_sends_can_be_refused_with_a_condition_for_a_number_of_times(sdk: SdkDriver, faultless: Broker) -> None:
    queue = sdk.queue("plain")
    faultless.faults.refuse_sends("com.microsoft:server-busy", times=1)
    with pytest.raises(ServiceBusServerBusyError):
        await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
    await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
    assert sdk.counts(queue).active == 1


async def test_a_deferred_message_is_settled_over_the_management_link(sdk: SdkDriver) -> None:
    queue = sdk.queue("plain")
    receiver = sdk.receiver(queue)
    for how in ("complete", "abandon", "defer", "dead-letter"):
        await sdk.sender(queue).send_messages(ServiceBusMessage(b"x"))
        (received,) = await sdk.receive(queue)
        await sdk.settle(queue, received, "defer")
        (deferred,) = await sdk.receive_deferred(queue, [received.sequence_number])
        assert deferred.raw.state == ServiceBusMessageState.DEFERRED
        await sdk.settle(queue, deferred, how, "a reason", "a description")
    counts = sdk.counts(queue)
    assert (counts.deferred, counts.dead_lettered, counts.locked, counts.active) == (2, 1, 0, 0)
    (dead,) = await sdk.receive(queue, dead_letters=True)
    assert (dead.reason, dead.description) == ("a reason", "a description")
    assert await receiver.peek_messages(5, sequence_number=1)


async def test_a_closed_receiver_gives_back_what_it_had_not_handed_out(sdk: SdkDriver, broker: Broker) -> None:
    queue = sdk.queue("plain")
    await sdk.sender(queue).send_messages([ServiceBusMessage(b"x") for _ in range(20)])
    async with (
        AsyncClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(queue, prefetch_count=20) as receiver,
    ):
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        await receiver.complete_message(message)
    counts = sdk.counts(queue)
    assert (counts.active, counts.locked) == (19, 0)
    assert [each.delivery_count for each in await sdk.peek(queue, 20)] == [0] * 19


async def test_the_sdks_lock_renewer_prolongs_a_lock(sdk: SdkDriver, broker: Broker) -> None:
    await sdk.sender("renewed").send_messages(ServiceBusMessage(b"x"))

    def work() -> timedelta:
        with (
            ServiceBusClient.from_connection_string(broker.connection_string) as client,
            AutoLockRenewer() as renewer,
            client.get_queue_receiver("renewed") as receiver,
        ):
            (message,) = receiver.receive_messages(1, max_wait_time=30)
            first_end = message.locked_until_utc
            renewer.register(receiver, message)
            for _ in range(300):
                threading.Event().wait(0.1)
                if message.locked_until_utc != first_end:
                    break
            assert first_end is not None
            assert message.locked_until_utc is not None
            prolonged_by = message.locked_until_utc - first_end
            receiver.complete_message(message)
            return prolonged_by

    assert await asyncio.to_thread(work) > timedelta()
    counts = sdk.counts("renewed")
    assert (counts.active, counts.locked) == (0, 0)


async def test_the_synchronous_sdk_sends_and_receives_in_both_modes(sdk: SdkDriver, broker: Broker) -> None:
    queue = sdk.queue("plain")

    def work() -> list[str]:
        with ServiceBusClient.from_connection_string(broker.connection_string) as client:
            with client.get_queue_sender(queue) as sender:
                sender.send_messages([ServiceBusMessage(str(index)) for index in range(3)])
                number = sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(hours=1))
                sender.cancel_scheduled_messages(number)
            with client.get_queue_receiver(queue) as receiver:
                (first,) = receiver.receive_messages(1, max_wait_time=30)
                receiver.dead_letter_message(first, reason="r", error_description="d")
            mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
            with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
                return [str(message) for message in receiver.receive_messages(5, max_wait_time=30)]

    assert await asyncio.to_thread(work) == ["1", "2"]
    counts = sdk.counts(queue)
    assert (counts.active, counts.locked, counts.dead_lettered) == (0, 0, 1)


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # the SDK's own way to ask aiohttp
async def test_the_sdk_works_through_a_websocket(sdk: SdkDriver, broker: Broker) -> None:
    queue = sdk.queue("plain")
    async with AsyncClient.from_connection_string(
        broker.connection_string,
        transport_type=TransportType.AmqpOverWebsocket,
        custom_endpoint_address=f"sb://{broker.host}:{broker.port}",
    ) as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages([ServiceBusMessage(b"x" * 100_000), ServiceBusMessage(b"y")])
        async with client.get_queue_receiver(queue) as receiver:
            messages = await receiver.receive_messages(2, max_wait_time=30)
            assert [len(b"".join(each.body)) for each in messages] == [100_000, 1]
            for message in messages:
                await receiver.complete_message(message)
    counts = sdk.counts(queue)
    assert (counts.active, counts.locked) == (0, 0)


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # the SDK's own way to ask aiohttp
@pytest.mark.parametrize("transport", list(TransportType))
async def test_the_sdk_works_with_tls_once_it_trusts_the_certificate(tmp_path: Path, transport: TransportType) -> None:
    certificate = tmp_path / "certificate.pem"
    async with Broker([QueueSettings("q")], tls=Tls(certificate)) as broker:
        trusting = AsyncClient.from_connection_string(
            broker.tls_connection_string,
            transport_type=transport,
            custom_endpoint_address=f"sb://localhost:{broker.tls_port}",
            connection_verify=str(certificate),
            retry_total=0,
        )
        async with trusting as client:
            async with client.get_queue_sender("q") as sender:
                await sender.send_messages([ServiceBusMessage(b"x" * 200_000), ServiceBusMessage(b"y")])
            async with client.get_queue_receiver("q") as receiver:
                messages = await receiver.receive_messages(2, max_wait_time=30)
                assert [len(b"".join(each.body)) for each in messages] == [200_000, 1]
                for message in messages:
                    await receiver.complete_message(message)
        assert broker.counts("q") == Counts(active=0, scheduled=0, deferred=0, dead_lettered=0, locked=0)
        assert certificate.stat().st_mode & 0o777 == 0o600
    made = certificate.read_bytes()
    async with Broker([QueueSettings("q")], tls=Tls(certificate)):
        assert certificate.read_bytes() == made


async def test_two_receivers_share_the_messages_and_none_is_received_twice(sdk: SdkDriver, broker: Broker) -> None:
    queue = sdk.queue("plain")
    await sdk.sender(queue).send_messages([ServiceBusMessage(str(index)) for index in range(200)])
    taken: list[list[str]] = [[], []]

    async def drain(into: list[str]) -> None:
        async with (
            AsyncClient.from_connection_string(broker.connection_string) as client,
            client.get_queue_receiver(queue) as receiver,
        ):
            while len(taken[0]) + len(taken[1]) < 200:
                for message in await receiver.receive_messages(10, max_wait_time=0.3):
                    into.append(str(message))
                    await receiver.complete_message(message)

    await asyncio.gather(*(drain(each) for each in taken))
    assert sorted(taken[0] + taken[1], key=int) == [str(index) for index in range(200)]
    assert min(map(len, taken)) > 0


async def test_a_broken_connection_keeps_the_locks_and_the_sdk_connects_again(
    sdk: SdkDriver, faultless: Broker
) -> None:
    queue = sdk.queue("plain")
    async with AsyncClient.from_connection_string(faultless.connection_string, retry_backoff_factor=0.05) as client:
        sender, receiver = client.get_queue_sender(queue), client.get_queue_receiver(queue)
        await sender.send_messages([ServiceBusMessage(b"x"), ServiceBusMessage(b"y")])
        assert len(await receiver.receive_messages(1, max_wait_time=30)) == 1
        assert faultless.faults.break_connections() >= 2
        assert sdk.counts(queue).locked == 1
        await sender.send_messages(ServiceBusMessage(b"z"))
        messages = await receiver.receive_messages(2, max_wait_time=30)
        assert [str(message) for message in messages] == ["y", "z"]


async def test_refused_connections_are_an_error_of_the_connection(faultless: Broker) -> None:
    faultless.faults.refuse_connections = True
    async with AsyncClient.from_connection_string(faultless.connection_string, retry_total=0) as client:
        with pytest.raises(ServiceBusConnectionError):
            await client.get_queue_sender("plain-0").send_messages(ServiceBusMessage(b"x"))
