"""Peers that only read, only wait, or go without a word."""

import asyncio
from datetime import timedelta

import pytest

from local.emulators.servicebus import Broker, QueueSettings
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import AMQP_HEADER
from local.emulators.servicebus.amqp.performatives import (
    Close,
    Disposition,
    Flow,
    Open,
    Transfer,
)
from local.emulators.servicebus.amqp.values import Described, UByte, UInt, ULong, UShort
from local.emulators.servicebus.tests.raw import RawClient, attach, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_client_that_announces_a_time_out_hears_a_heartbeat(broker: Broker) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(AMQP_HEADER)
        assert await client.header() == AMQP_HEADER
        client.send(Open("raw", channel_max=UShort(1), idle_time_out=UInt(1)))
        await client.expect(Open)
        assert await client.header() == b"\x00\x00\x00\x08\x02\x00\x00\x00"


async def test_deliveries_go_on_for_a_receiver_that_only_reads() -> None:
    # More than one turn's output, whose rest no frame of the client asks for.
    count = 200
    async with Broker([QueueSettings("q")]) as broker, connected(broker) as sender, connected(broker) as client:
        await sender.begin()
        await sender.attach_sender("q")
        for number in range(count):
            sender.transfer(number, encode(Described(ULong(0x75), b"x" * 20_000)))
            await sender.expect(Disposition)
        await client.begin()
        client.send(attach("q", 0, role=True)._replace(snd_settle_mode=UByte(1)))
        client.send(Flow(UInt(0), UInt(1_000_000), UInt(0), UInt(1), UInt(0), UInt(0), UInt(1000)))
        for _ in range(count):
            assert (await client.expect(Transfer)).settled
        assert broker.counts("q").active == 0


async def test_the_broker_stops_at_once_with_clients_connected() -> None:
    async with asyncio.timeout(30):
        async with Broker([QueueSettings("q", lock_duration=timedelta(minutes=5))]) as broker:
            client = RawClient(*await asyncio.open_connection(broker.host, broker.port))
            await client.handshake()
        with pytest.raises((EOFError, ConnectionError)):
            await client.frame()
        client.writer.transport.abort()


async def test_a_client_that_says_goodbye_and_resets_at_once_is_no_trouble(broker: Broker) -> None:
    for _ in range(20):
        async with connected(broker) as client:
            client.send(Close())
            await asyncio.sleep(0)
            client.reset()
        await asyncio.sleep(0)
