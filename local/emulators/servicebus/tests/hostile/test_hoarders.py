"""Peers that take more than their share: of memory, of links, of the others' turns."""

import asyncio

import pytest

from local.emulators.servicebus import Broker
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import to_frame
from local.emulators.servicebus.amqp.performatives import (
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
)
from local.emulators.servicebus.amqp.values import Described, Int, UInt, ULong
from local.emulators.servicebus.tests.hostile.bystander import Bystander
from local.emulators.servicebus.tests.raw import attach, condition_of, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = encode(Described(ULong(0x75), b"x" * 50_000))


async def test_too_many_links_end_the_session(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.begin()
        for handle in range(257):
            client.send(attach("busy", handle, role=True))
        assert condition_of(await client.expect(End)) == "amqp:not-allowed"


async def test_unfinished_messages_on_many_links_close_the_connection(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as client:
        await client.begin()
        for handle in range(60):
            client.send(attach("busy", handle, role=False))
        for handle in range(60):
            for _ in range(4):
                client.transfer(handle, b"x" * 60_000, handle, more=True)
        assert await client.closing() == "amqp:resource-limit-exceeded"
    await bystander.works()


async def test_a_message_that_never_ends_ends_its_link(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as client:
        await client.begin()
        await client.attach_sender("other")
        for _ in range(20):
            client.transfer(0, b"x" * 10_000, more=True)
        assert condition_of(await client.expect(Detach)) == "amqp:link:message-size-exceeded"
        client.transfer(1)  # what was under way when the link ended
        client.send(Detach(UInt(0), closed=True))
        await client.attach_sender("other", 1)
    await bystander.works()


async def test_a_receiver_that_does_not_read_is_not_fed_without_bound(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as sender:
        await sender.begin()
        await sender.attach_sender("busy")
        for number in range(300):
            sender.transfer(number, LARGE)
        for _ in range(300):
            await sender.expect(Disposition)
        assert broker.counts("busy").active == 300
        async with connected(broker) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(Begin(None, UInt(0), UInt(1_000_000), UInt(1)))
            client.send(attach("busy", 0, role=True))
            client.send(Flow(UInt(0), UInt(1_000_000), UInt(0), UInt(1), UInt(0), UInt(0), UInt(1_000_000)))
            await bystander.works()
            await asyncio.sleep(0.2)
            assert 0 < broker.counts("busy").locked < 300
            await bystander.works()


async def test_a_client_that_asks_and_does_not_read_is_not_answered_without_bound(
    broker: Broker, bystander: Bystander
) -> None:
    request = (
        encode(Described(ULong(0x73), [1, None, None, None, "r"]))
        + encode(Described(ULong(0x74), {"operation": "com.microsoft:peek-message"}))
        + encode(Described(ULong(0x77), {"from-sequence-number": 0, "message-count": Int(10)}))
    )
    async with connected(broker) as client:
        await client.begin()
        await client.attach_sender("heavy", 0)
        for number in range(5):
            client.transfer(number, LARGE)
            await client.expect(Disposition)
        await client.attach_receiver("heavy/$management", 1, credit=1000)
        await client.attach_sender("heavy/$management", 2)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(500):  # for 125 MB of replies
            client.transfer(number, request, 2)
        async with asyncio.timeout(30):
            while not any(each._output.paused for each in broker._connections):
                await bystander.works()
        await bystander.works()
        transports = [(each, each._transport) for each in broker._connections]
        waiting = [
            transport.get_write_buffer_size() + len(each._output)
            for each, transport in transports
            if isinstance(transport, asyncio.Transport)
        ]
        assert 1_000_000 < max(waiting) < 2_500_000


async def test_a_flood_of_frames_leaves_the_others_their_turn(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as client:
        await client.begin()
        client.writer.write(to_frame(Flow(UInt(0), UInt(1), UInt(0), UInt(1))) * 20_000)
        client.send(Close())
        await bystander.works()
        assert any(each._turn_soon for each in broker._connections), "the flood was over before the others' turn"
        await client.expect(Close)


async def test_requests_whose_replies_nobody_takes_close_the_connection(broker: Broker) -> None:
    request = encode(Described(ULong(0x73), [1, None, None, None, "r"])) + encode(
        Described(ULong(0x74), {"operation": "put-token"})
    )
    async with connected(broker) as client:
        await client.begin()
        client.send(attach("$cbs", 0, role=True))
        await client.attach_sender("$cbs", 1)
        for number in range(100):
            client.transfer(number, request, 1)
        assert await client.closing() == "amqp:resource-limit-exceeded"
