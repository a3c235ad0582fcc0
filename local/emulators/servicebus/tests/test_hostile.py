"""A client that misbehaves loses its link, its session or its connection, and nobody else notices."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from local.emulators.servicebus import Broker, QueueSettings, Tls
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import AMQP_HEADER, SASL_HEADER, SASL_TYPE, to_frame
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
    SaslOutcome,
    Transfer,
)
from local.emulators.servicebus.amqp.values import Described, Int, Symbol, UByte, UInt, ULong, UShort
from local.emulators.servicebus.tests.raw import BODY, RawClient, attach, condition_of, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = encode(Described(ULong(0x75), b"x" * 50_000))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker() -> AsyncIterator[Broker]:
    names = ("calm", "busy", "heavy")
    async with Broker([*map(QueueSettings, names), QueueSettings("other", max_message_bytes=10_000)]) as running:
        yield running


class Bystander:
    """A client that only wants to work."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._sent = 0

    async def works(self) -> None:
        """Send, receive and complete one message."""
        self._client.transfer(self._sent)
        self._sent += 1
        received = await self._client.expect(Transfer)
        assert received.delivery_id is not None
        self._client.send(Disposition(role=True, first=received.delivery_id, state=ACCEPTED))
        async with asyncio.timeout(30):
            while True:
                disposition = await self._client.expect(Disposition)
                if not disposition.role:
                    assert disposition.state == ACCEPTED
                    return


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bystander(broker: Broker) -> AsyncIterator[Bystander]:
    async with connected(broker) as client:
        await client.begin()
        await client.attach_sender("calm", 0)
        await client.attach_receiver("calm", 1, credit=1000)
        yield Bystander(client)


@pytest.fixture(autouse=True)
def nothing_broke_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.records if record.name.startswith("local.")] == []


@pytest.mark.parametrize(
    "garbage", [b"PUT / HTTP/1.1\r\n\r\n", b"AMQP\x02\x01\x00\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\x00" * 4096]
)
async def test_garbage_is_answered_with_the_supported_version_and_hung_up_on(
    broker: Broker, bystander: Bystander, garbage: bytes
) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(garbage)
        assert await client.header() == AMQP_HEADER
        with pytest.raises((EOFError, ConnectionError)):
            await client.frame()
    await bystander.works()


UPGRADE = (
    b"GET /$servicebus/websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", id="a browser"),
        pytest.param(UPGRADE + b"\r\n", id="a WebSocket of something else"),
    ],
)
async def test_http_that_asks_for_no_amqp_is_answered_in_http(
    broker: Broker, bystander: Bystander, request_bytes: bytes
) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(request_bytes)
        assert (await client.rest()).startswith(b"HTTP/1.1 400")
    await bystander.works()


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        pytest.param(b"\x81\x80AAAA", b"\x88", id="text instead of AMQP"),
        pytest.param(b"\x88\x80AAAA", b"\x88", id="a goodbye"),
        pytest.param(b"\x82\x08" + AMQP_HEADER, b"", id="a frame without a mask"),
    ],
)
async def test_a_websocket_client_that_misbehaves_is_hung_up_on(
    broker: Broker, bystander: Bystander, frame: bytes, answer: bytes
) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(UPGRADE + b"Sec-WebSocket-Protocol: AMQPWSB10\r\n\r\n")
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        client.writer.write(frame)
        assert (await client.rest()).startswith(answer)
    await bystander.works()


async def test_a_websocket_may_open_byte_by_byte(broker: Broker) -> None:
    async with connected(broker, handshake=False) as client:
        for byte in UPGRADE + b"Sec-WebSocket-Protocol: AMQPWSB10\r\n\r\n":
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")


async def test_a_client_that_never_ends_its_tls_handshake_does_not_hold_the_stop(tmp_path: Path) -> None:
    broker = await Broker([QueueSettings("q")], tls=Tls(tmp_path / "certificate.pem")).__aenter__()
    _, writer = await asyncio.open_connection(broker.host, broker.tls_port)
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(5):
        await broker.__aexit__(None, None, None)
    writer.close()


async def test_a_client_may_begin_without_sasl(broker: Broker) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(AMQP_HEADER)
        assert await client.header() == AMQP_HEADER
        client.send(Open("raw"))
        await client.expect(Open)


@pytest.mark.parametrize(
    ("mechanism", "response", "welcome"),
    [
        ("ANONYMOUS", None, True),
        ("PLAIN", b"\x00RootManageSharedAccessKey\x00key", True),
        ("PLAIN", b"someone\x00policy\x00key", True),
        ("PLAIN", b"\x00policy\x00", False),
        ("PLAIN", b"policy", False),
        ("PLAIN", None, False),
        ("GSSAPI", None, False),
    ],
)
async def test_clients_log_in_anonymously_or_with_a_policy_and_its_key(
    broker: Broker, mechanism: str, response: bytes | None, welcome: bool
) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(SASL_HEADER + to_frame(SaslInit(Symbol(mechanism), response), kind=SASL_TYPE))
        assert await client.header() == SASL_HEADER
        assert (await client.expect(SaslOutcome)).code == (0 if welcome else 1)
        if not welcome:
            with pytest.raises(EOFError):
                await client.frame()


@pytest.mark.parametrize("part", [b"AMQP", SASL_HEADER, SASL_HEADER + b"\x00\x00\x00\x20\x02\x01"])
async def test_a_client_that_stops_halfway_or_resets_stops_nobody(
    broker: Broker, bystander: Bystander, part: bytes
) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(part)
        await bystander.works()
        client.reset()
    await bystander.works()


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


async def test_a_client_that_announces_a_time_out_hears_a_heartbeat(broker: Broker) -> None:
    async with connected(broker, handshake=False) as client:
        client.writer.write(AMQP_HEADER)
        assert await client.header() == AMQP_HEADER
        client.send(Open("raw", channel_max=UShort(1), idle_time_out=UInt(1)))
        await client.expect(Open)
        assert await client.header() == b"\x00\x00\x00\x08\x02\x00\x00\x00"


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


async def test_a_connection_that_never_says_anything_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.emulators.servicebus.connection._HANDSHAKE_SECONDS", 0.1)
    async with Broker([QueueSettings("q")]) as broker, connected(broker, handshake=False) as client:
        with pytest.raises((EOFError, ConnectionError)):
            await client.frame()


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
