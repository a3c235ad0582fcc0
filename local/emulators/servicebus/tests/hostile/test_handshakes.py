"""Peers that cannot say hello: garbage, HTTP, WebSockets, TLS and SASL."""

import asyncio
from pathlib import Path

import pytest

from local.emulators.servicebus import Broker, QueueSettings, Tls
from local.emulators.servicebus.amqp.frames import AMQP_HEADER, SASL_HEADER, SASL_TYPE, to_frame
from local.emulators.servicebus.amqp.performatives import (
    Open,
    SaslInit,
    SaslOutcome,
)
from local.emulators.servicebus.amqp.values import Symbol
from local.emulators.servicebus.tests.hostile.bystander import Bystander
from local.emulators.servicebus.tests.raw import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_a_connection_that_never_says_anything_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.emulators.servicebus.connection._HANDSHAKE_SECONDS", 0.1)
    async with Broker([QueueSettings("q")]) as broker, connected(broker, handshake=False) as client:
        with pytest.raises((EOFError, ConnectionError)):
            await client.frame()
