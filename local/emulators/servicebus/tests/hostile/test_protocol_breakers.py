"""Peers that break the protocol: wrong frames, links that are none, mutilated conversations."""

import random
from collections.abc import Callable

import pytest

from local.emulators.servicebus import Broker
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import to_frame
from local.emulators.servicebus.amqp.outcomes import ACCEPTED
from local.emulators.servicebus.amqp.performatives import (
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    Transfer,
)
from local.emulators.servicebus.amqp.values import Symbol, UInt
from local.emulators.servicebus.tests.hostile.bystander import Bystander
from local.emulators.servicebus.tests.raw import BODY, attach, condition_of, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "frame",
    [
        b"\x7f\xff\xff\xff\x02\x00\x00\x00",  # two gigabytes
        b"\x00\x00\x00\x04\x02\x00\x00\x00",
        b"\x00\x00\x00\x0c\x02\x00\x00\x00\xff\xff\xff\xff",
        to_frame(Open("raw")) + to_frame(Open("raw")),
        to_frame(Begin(None, UInt(0), UInt(1), UInt(1)), 256),
        to_frame(Begin(None, UInt(0), UInt(1), UInt(1))) * 2,
        to_frame(SaslInit(Symbol("ANONYMOUS"))),
    ],
)
async def test_a_frame_that_breaks_the_protocol_closes_the_connection_with_a_reason(
    broker: Broker, bystander: Bystander, frame: bytes
) -> None:
    async with connected(broker) as client:
        client.writer.write(frame)
        assert await client.closing() in {"amqp:decode-error", "amqp:not-allowed"}
    await bystander.works()


async def test_frames_on_a_channel_without_a_session_are_passed_over(broker: Broker) -> None:
    async with connected(broker) as client:
        client.send(Detach(UInt(0)), End(), Flow(None, UInt(0), UInt(0), UInt(0)), channel=9)
        await client.begin()
        client.send(Close())
        await client.expect(Close)


async def test_a_transfer_on_no_link_ends_the_session_only(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.begin(0)
        client.transfer(0, handle=5)
        assert condition_of(await client.expect(End)) == "amqp:session:unattached-handle"
        await client.begin(1)


async def test_what_is_no_message_is_rejected_and_the_link_goes_on(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as client:
        await client.begin()
        await client.attach_sender("busy")
        for number in range(3000):
            client.transfer(number, payload=b"not a message")
        for number in range(3000):
            disposition = await client.expect(Disposition)
            assert disposition.first == number
            assert disposition.state is not None
            assert disposition.state.descriptor == 0x25
    await bystander.works()


async def test_a_settlement_of_everything_ever_is_no_work(broker: Broker, bystander: Bystander) -> None:
    async with connected(broker) as client:
        await client.begin()
        client.send(Disposition(role=True, first=UInt(0), last=UInt(0xFFFF_FFFF), state=ACCEPTED))
        answer = await client.expect(Disposition)
        assert answer.state is not None
        assert answer.state.descriptor == 0x25
    await bystander.works()


def mutations(seed: int) -> list[bytes]:
    """A plausible conversation in which bytes were changed, frames were cut, doubled and swapped."""
    draw = random.Random(seed)  # noqa: S311 - the same conversations in every run, nothing secret
    conversation: list[Callable[[], bytes]] = [
        lambda: to_frame(Begin(None, UInt(0), UInt(100), UInt(100))),
        lambda: to_frame(attach("busy", draw.randrange(3), role=False)),
        lambda: to_frame(attach("busy", draw.randrange(3), role=True)),
        lambda: to_frame(attach("busy/$management", draw.randrange(3), role=draw.random() < 0.5)),
        lambda: to_frame(Flow(UInt(0), UInt(100), UInt(0), UInt(1), UInt(draw.randrange(3)), UInt(0), UInt(9))),
        lambda: to_frame(Transfer(UInt(draw.randrange(3)), UInt(0), b"t", UInt(0)), 0, BODY),
        lambda: to_frame(Transfer(UInt(draw.randrange(3)), UInt(0), b"t", UInt(0x80013700)), 0, encode(BODY)),
        lambda: to_frame(Disposition(role=True, first=UInt(0), last=UInt(draw.randrange(5)), state=ACCEPTED)),
        lambda: to_frame(Detach(UInt(draw.randrange(3)), closed=True)),
        lambda: to_frame(End()),
    ]
    frames = []
    for _ in range(draw.randrange(5, 30)):
        frame = bytearray(draw.choice(conversation)())
        if draw.random() < 0.3:
            frame[draw.randrange(8, len(frame))] = draw.randrange(256)
        frames.append(bytes(frame))
    return [conversation[0](), *frames]


async def test_no_mutilated_conversation_breaks_the_broker(broker: Broker, bystander: Bystander) -> None:
    for seed in range(100):
        async with connected(broker) as client:
            client.writer.write(b"".join(mutations(seed)))
            client.send(Close())
            await client.until_hung_up()
    await bystander.works()
