"""A client that speaks AMQP frame by frame, so that it can also speak it badly."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from local.emulators.servicebus import Broker
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import AMQP_HEADER, SASL_HEADER, SASL_TYPE, FrameReader, to_frame
from local.emulators.servicebus.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Flow,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from local.emulators.servicebus.amqp.values import Described, Symbol, UByte, UInt, ULong

BODY = encode(Described(ULong(0x75), b"x" * 500))


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._frames = FrameReader(1 << 20)

    def send(self, *performatives: Performative, channel: int = 0, payload: bytes = b"") -> None:
        for performative in performatives:
            self.writer.write(to_frame(performative, channel, payload))

    async def header(self) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(8), 30)

    async def rest(self) -> bytes:
        """Everything until the broker hangs up."""
        return await asyncio.wait_for(self._reader.read(), 30)

    async def until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(end), 30)

    async def frame(self) -> Performative:
        """The next performative; EOFError if the broker has hung up."""
        while (frame := self._frames.frame()) is None:
            data = await asyncio.wait_for(self._reader.read(65_536), 30)
            if not data:
                raise EOFError
            self._frames.feed(data)
        assert frame.performative is not None
        return frame.performative

    async def expect[P: Performative](self, kind: type[P]) -> P:
        """The next performative of the kind; others are passed over."""
        while not isinstance(performative := await self.frame(), kind):
            pass
        return performative

    async def closing(self) -> str:
        """The condition with which the broker closes the connection; then it must hang up."""
        condition = condition_of(await self.expect(Close))
        assert await asyncio.wait_for(self._reader.read(), 30) == b""
        return condition

    async def until_hung_up(self) -> None:
        """Read whatever the broker says until it ends the connection."""
        try:
            while True:
                await self.frame()
        except (EOFError, ConnectionError):
            return

    async def handshake(self) -> None:
        self.writer.write(SASL_HEADER)
        assert await self.header() == SASL_HEADER
        await self.expect(SaslMechanisms)
        self.writer.write(to_frame(SaslInit(Symbol("ANONYMOUS")), kind=SASL_TYPE))
        assert (await self.expect(SaslOutcome)).code == 0
        self.writer.write(AMQP_HEADER)
        assert await self.header() == AMQP_HEADER
        self.send(Open("raw", max_frame_size=UInt(65_536)))
        await self.expect(Open)

    async def begin(self, channel: int = 0, window: int = 1_000_000) -> None:
        self.send(Begin(None, UInt(0), UInt(window), UInt(window)), channel=channel)
        await self.expect(Begin)

    async def attach_sender(self, queue: str, handle: int = 0, channel: int = 0) -> Attach:
        self.send(attach(queue, handle, role=False), channel=channel)
        attached = await self.expect(Attach)
        if attached.target is not None:
            await self.expect(Flow)
        return attached

    async def attach_receiver(self, queue: str, handle: int = 0, credit: int = 0) -> Attach:
        self.send(attach(queue, handle, role=True))
        attached = await self.expect(Attach)
        self.send(Flow(UInt(0), UInt(1_000_000), UInt(0), UInt(1), UInt(handle), UInt(0), UInt(credit)))
        return attached

    def transfer(self, number: int, payload: bytes = BODY, handle: int = 0, *, more: bool = False) -> None:
        frame = Transfer(UInt(handle), UInt(number), number.to_bytes(4), UInt(0), settled=False, more=more)
        self.send(frame, payload=payload)

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def attach(queue: str, handle: int, *, role: bool) -> Attach:
    return Attach(
        name=f"link-{handle}",
        handle=UInt(handle),
        role=role,
        snd_settle_mode=UByte(0),
        source=Described(ULong(0x28), [queue if role else None]),
        target=Described(ULong(0x29), [None if role else queue]),
        initial_delivery_count=None if role else UInt(0),
    )


def condition_of(performative: Any) -> str:
    return str(performative.error.value[0])


@asynccontextmanager
async def connected(broker: Broker, *, handshake: bool = True) -> AsyncIterator[RawClient]:
    client = RawClient(*await asyncio.open_connection(broker.host, broker.port))
    try:
        if handshake:
            await client.handshake()
        yield client
    finally:
        client.writer.transport.abort()
        await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)
