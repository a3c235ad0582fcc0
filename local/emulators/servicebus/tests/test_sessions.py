"""Sessions, through the real SDK: accepting, order, states, locks, and who is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient as AsyncClient
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageNotFoundError,
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from local.emulators.servicebus import Broker, QueueSettings
from local.emulators.servicebus.amqp.performatives import Attach, Detach, Flow, Transfer
from local.emulators.servicebus.amqp.values import Described, Symbol, UInt, ULong
from local.emulators.servicebus.tests.raw import attach, condition_of, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDERS: dict[str, ServiceBusSender] = {}
QUEUES = [f"queue-{index}" for index in range(10)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker() -> AsyncIterator[Broker]:
    queues = [
        *(QueueSettings(name, requires_session=True) for name in QUEUES),
        QueueSettings("brief", requires_session=True, lock_duration=timedelta(seconds=1)),
    ]
    async with Broker(queues) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(broker: Broker) -> AsyncIterator[AsyncClient]:
    async with AsyncClient.from_connection_string(broker.connection_string, retry_total=0) as opened:
        # Opening and closing a link takes a second: all senders are opened together.
        senders = {name: opened.get_queue_sender(name) for name in broker.queue_names}
        await asyncio.gather(*(each.__aenter__() for each in senders.values()))
        SENDERS.update(senders)
        yield opened
        await asyncio.gather(*(each.close() for each in senders.values()))


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return iter(QUEUES)


@pytest.fixture
def queue(names: Iterator[str]) -> str:
    """A queue with sessions that no other test uses."""
    return next(names)


async def send(queue: str, *texts: str) -> None:
    """Send messages; the first letter of each names its session."""
    await SENDERS[queue].send_messages([ServiceBusMessage(text, session_id=text[0]) for text in texts])


@asynccontextmanager
async def accepted(
    client: AsyncClient, queue: str, session: str | None = None, wait: float = 30
) -> AsyncIterator[ServiceBusReceiver]:
    wanted = NEXT_AVAILABLE_SESSION if session is None else session
    async with client.get_queue_receiver(queue, session_id=wanted, max_wait_time=wait) as receiver:
        yield receiver


async def texts_of(receiver: ServiceBusReceiver, count: int = 10) -> list[str]:
    return [str(each) for each in await receiver.receive_messages(count, max_wait_time=0.5)]


async def test_a_receiver_gets_the_messages_of_its_session_in_order_and_no_others(
    client: AsyncClient, queue: str
) -> None:
    await send(queue, "a1", "b1", "a2", "b2", "a3")
    async with accepted(client, queue, "a") as first, accepted(client, queue, "b") as second:
        assert (await texts_of(first), await texts_of(second)) == (["a1", "a2", "a3"], ["b1", "b2"])
        assert first.session.session_id == "a"


async def test_the_next_available_session_is_the_free_one_with_the_oldest_message(
    client: AsyncClient, queue: str
) -> None:
    await send(queue, "b1", "a1", "b2")
    async with accepted(client, queue) as first, accepted(client, queue) as second:
        assert [first.session.session_id, second.session.session_id] == ["b", "a"]
        assert first.session.locked_until_utc is not None
        left = first.session.locked_until_utc - datetime.now(UTC)
        assert timedelta(seconds=50) < left <= timedelta(seconds=60)


async def test_a_receiver_waits_for_the_next_session_and_is_told_when_none_comes(
    client: AsyncClient, queue: str
) -> None:
    with pytest.raises(OperationTimeoutError):
        async with accepted(client, queue, wait=1):
            pass

    async def late() -> None:
        await asyncio.sleep(0.3)
        await send(queue, "a1")

    sending = asyncio.create_task(late())
    async with accepted(client, queue) as receiver:
        assert await texts_of(receiver, 1) == ["a1"]
    await sending


async def test_a_session_that_another_receiver_holds_cannot_be_locked_until_it_is_closed(
    client: AsyncClient, queue: str
) -> None:
    await send(queue, "a1")
    async with accepted(client, queue, "a") as holder:
        assert await texts_of(holder) == ["a1"]
        with pytest.raises(SessionCannotBeLockedError):
            async with accepted(client, queue, "a"):
                pass
    async with accepted(client, queue, "a") as next_holder:
        (message,) = await next_holder.receive_messages(1, max_wait_time=30)
        # Whoever closes a session has not failed at its messages.
        assert (str(message), message.delivery_count) == ("a1", 0)


async def test_a_lost_session_lock_ends_the_receiver_and_counts_as_a_failed_delivery(
    client: AsyncClient, broker: Broker
) -> None:
    await send("brief", "a1")
    async with accepted(client, "brief", "a") as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        assert broker.counts("brief").locked == 1
        await asyncio.sleep(1.1)
        with pytest.raises(SessionLockLostError):
            await receiver.complete_message(message)
    async with accepted(client, "brief", "a") as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        assert message.delivery_count == 1
        await receiver.complete_message(message)


async def test_a_renewed_session_lock_holds_its_messages_too(client: AsyncClient, broker: Broker) -> None:
    await send("brief", "b1")
    async with accepted(client, "brief", "b") as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        before = receiver.session.locked_until_utc
        for _ in range(3):
            await asyncio.sleep(0.5)
            assert await receiver.session.renew_lock() != before
        await receiver.complete_message(message)
    counts = broker.counts("brief")
    assert (counts.active, counts.locked) == (0, 0)


async def test_a_session_keeps_its_state_without_messages_and_is_listed_for_it(client: AsyncClient, queue: str) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=1)
    assert [each async for each in client.list_queue_sessions(queue)] == []
    await send(queue, "m1")
    async with accepted(client, queue, "s") as receiver:
        assert await receiver.session.get_state() is None
        await receiver.session.set_state("step 2")
    async with accepted(client, queue, "s") as receiver:
        assert await receiver.session.get_state() == b"step 2"
        assert [each async for each in client.list_queue_sessions(queue)] == ["m", "s"]
        assert [each async for each in client.list_queue_sessions(queue, state_updated_after=begun)] == ["s"]
        await receiver.session.set_state(None)
        assert await receiver.session.get_state() is None
    assert [each async for each in client.list_queue_sessions(queue)] == ["m"]


async def test_deferred_and_peeked_messages_are_those_of_the_session(client: AsyncClient, queue: str) -> None:
    await send(queue, "a1", "b1")
    async with accepted(client, queue, "a") as receiver, accepted(client, queue, "b") as other:
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        number = message.sequence_number
        assert number is not None
        await receiver.defer_message(message)
        assert [str(each) for each in await receiver.peek_messages(10, sequence_number=1)] == ["a1"]
        with pytest.raises(MessageNotFoundError):
            await other.receive_deferred_messages(number)
        (deferred,) = await receiver.receive_deferred_messages(number)
        await receiver.complete_message(deferred)
        assert await receiver.peek_messages(10, sequence_number=1) == []


async def test_what_does_not_fit_a_queue_with_sessions_is_refused(
    client: AsyncClient, broker: Broker, queue: str
) -> None:
    with pytest.raises(ServiceBusError, match="SessionId was not set"):
        await SENDERS[queue].send_messages(ServiceBusMessage("x"))
    with pytest.raises(ServiceBusError, match="requires sessions"):
        await client.get_queue_receiver(queue).receive_messages(max_wait_time=30)
    # The dead letters have no sessions.
    await send(queue, "a1")
    async with accepted(client, queue, "a") as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=30)
        await receiver.dead_letter_message(message, reason="why")
    async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = await receiver.receive_messages(1, max_wait_time=30)
        assert (dead.session_id, dead.dead_letter_reason) == ("a", "why")


async def test_the_synchronous_sdk_accepts_sessions_too(broker: Broker, queue: str) -> None:
    def work() -> tuple[list[str], bytes]:
        with ServiceBusClient.from_connection_string(broker.connection_string) as client:
            with client.get_queue_sender(queue) as sender:
                sender.send_messages([ServiceBusMessage(text, session_id="") for text in ("1", "2")])
            with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30) as receiver:
                assert receiver.session.session_id == ""
                receiver.session.set_state(b"s")
                messages = receiver.receive_messages(2, max_wait_time=30)
                for message in messages:
                    receiver.complete_message(message)
                return [str(message) for message in messages], receiver.session.get_state()

    assert await asyncio.to_thread(work) == (["1", "2"], b"s")
    assert broker.counts(queue).active == broker.counts(queue).locked == 0


def wanting(session: object, timeout: int | None = None) -> Attach:
    frame = attach("brief", 0, role=True)
    filters = {Symbol("com.microsoft:session-filter"): session}
    properties = None if timeout is None else {Symbol("com.microsoft:timeout"): timeout}
    source = Described(ULong(0x28), ["brief", None, None, None, None, None, None, filters])
    return frame._replace(source=source, properties=properties)


async def test_a_session_id_that_is_no_text_is_refused_by_name(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.begin()
        client.send(wanting(1))
        assert (await client.expect(Attach)).source is None
        assert condition_of(await client.expect(Detach)) == "amqp:invalid-field"


@pytest.mark.parametrize("patience", [60_000, (1 << 63) - 1, ULong((1 << 64) - 1)])
async def test_a_client_may_give_up_waiting_for_a_session(broker: Broker, patience: int) -> None:
    async with connected(broker) as client:
        await client.begin()
        client.send(wanting(None, timeout=patience), Detach(UInt(0), closed=True))
        assert (await client.expect(Attach)).source is None
        assert (await client.expect(Detach)).closed
        # The handle is free again, and a session that comes now goes to whoever still waits.
        client.send(wanting("c"))
        assert (await client.expect(Attach)).source is not None


async def test_a_broken_connection_gives_its_sessions_back(broker: Broker, client: AsyncClient) -> None:
    await send("brief", "d1")
    async with connected(broker) as raw:
        await raw.begin()
        raw.send(wanting("d"))
        await raw.expect(Attach)
        raw.reset()
    async with accepted(client, "brief", "d") as receiver:
        assert await texts_of(receiver, 1) == ["d1"]


async def test_a_session_link_detached_for_its_lost_lock_delivers_nothing_more(broker: Broker) -> None:
    async with connected(broker) as raw:
        await raw.begin()
        raw.send(wanting("e"))
        await raw.expect(Attach)
        assert condition_of(await raw.expect(Detach)) == "com.microsoft:session-lock-lost"
        assert broker.counts("brief").locked == 0


async def test_a_session_is_kept_for_as_long_as_its_receiver_waits_for_messages(
    broker: Broker, client: AsyncClient
) -> None:
    async with connected(broker) as raw:
        await raw.begin()
        raw.send(wanting("f"))
        await raw.expect(Attach)
        raw.send(Flow(UInt(0), UInt(1_000_000), UInt(0), UInt(1), UInt(0), UInt(0), UInt(1)))
        await asyncio.sleep(1.2)
        await send("brief", "f1")
        assert (await raw.expect(Transfer)).delivery_id == 0
        # The credit is used up: now the lock runs out.
        assert condition_of(await raw.expect(Detach)) == "com.microsoft:session-lock-lost"
