"""The broker as a process: what it prints, what its admin endpoint says, how it ends."""

import asyncio
import json
import signal
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue, parse_connection_string
from azure.servicebus.aio import ServiceBusClient

from local.emulators.servicebus import Broker, QueueSettings, Tls
from local.emulators.servicebus.__main__ import read_queues
from local.emulators.servicebus.admin import admin_app


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "local.emulators.servicebus", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process: Process) -> list[str]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    return line.decode().split()


async def test_the_process_serves_tells_its_counts_and_ends_with_its_parents_pipe(tmp_path: Path) -> None:
    config = tmp_path / "queues.json"
    config.write_text(json.dumps([{"name": "orders", "duplicate_window": 600}]))
    certificate = tmp_path / "made.pem"
    arguments = ("--port", "0", "--queue", "assets", "--config", str(config), "--admin-port", "0", "--exit-with-stdin")
    async with started(*arguments, "--tls-port", "0", "--certificate", str(certificate)) as process:
        word, connection_string, admin, with_tls = await ready(process)
        assert word == "ready"
        address = urlsplit(parse_connection_string(with_tls).endpoint)
        trusting = ssl.create_default_context(cafile=certificate)
        _, writer = await asyncio.open_connection(address.hostname, address.port, ssl=trusting)
        writer.close()
        async with (
            ServiceBusClient.from_connection_string(connection_string) as client,
            client.get_queue_sender("orders") as sender,
            httpx.AsyncClient(base_url=admin) as http,
        ):
            await sender.send_messages([ServiceBusMessage("x", message_id="same") for _ in range(2)])
            response = await http.get("/counts")
            nothing = {"active": 0, "scheduled": 0, "deferred": 0, "dead_lettered": 0, "locked": 0}
            assert response.json() == {"orders": nothing | {"active": 1}, "assets": nothing}
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_a_killed_broker_that_is_started_again_has_every_message_where_it_was(tmp_path: Path) -> None:
    config = tmp_path / "queues.json"
    config.write_text(json.dumps([{"name": "Orders", "duplicate_window": 600, "lock_duration": 300}]))
    arguments = ("--port", "0", "--config", str(config), "--state", str(tmp_path / "state"), "--admin-port", "0")
    later = datetime.now(UTC) + timedelta(hours=1)
    async with started(*arguments) as process:
        _, connection_string, _ = await ready(process)
        async with (
            ServiceBusClient.from_connection_string(connection_string) as client,
            client.get_queue_sender("orders") as sender,
            client.get_queue_receiver("orders") as receiver,
        ):
            names = ("completed", "deferred", "dead", "abandoned", "locked", "active")
            await sender.send_messages([ServiceBusMessage(name, message_id=name) for name in names])
            number = await sender.schedule_messages(ServiceBusMessage("scheduled"), later)
            messages = await receiver.receive_messages(5, max_wait_time=30)
            await receiver.complete_message(messages[0])
            await receiver.defer_message(messages[1])
            await receiver.dead_letter_message(messages[2], reason="why", error_description="because")
            await receiver.abandon_message(messages[3])
            process.kill()
            await process.wait()
    async with started(*arguments) as process:
        _, connection_string, admin = await ready(process)
        async with httpx.AsyncClient(base_url=admin) as http:
            counts = (await http.get("/counts")).json()
            # The lock is over with the broker that gave it.
            expected = {"active": 3, "scheduled": 1, "deferred": 1, "dead_lettered": 1, "locked": 0}
            assert counts == {"Orders": expected}
        async with (
            ServiceBusClient.from_connection_string(connection_string) as client,
            client.get_queue_sender("orders") as sender,
            client.get_queue_receiver("orders") as receiver,
            client.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as graves,
        ):
            await sender.send_messages(ServiceBusMessage("again", message_id="active"))
            await sender.cancel_scheduled_messages(number)
            active = await receiver.receive_messages(5, max_wait_time=30)
            assert [(str(each), each.delivery_count) for each in active] == [
                ("abandoned", 1),
                ("locked", 0),
                ("active", 0),
            ]
            (deferred,) = await receiver.receive_deferred_messages(messages[1].sequence_number or 0)
            assert str(deferred) == "deferred"
            (dead,) = await graves.receive_messages(1, max_wait_time=30)
            assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == (
                "dead",
                "why",
                "because",
            )
            await sender.send_messages(ServiceBusMessage("new"))
            (new,) = await receiver.receive_messages(1, max_wait_time=30)
            assert new.sequence_number == 8


async def test_a_state_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but something of somebody's" * 50)
    with pytest.raises(ValueError, match=r"notes\.txt cannot be used"):
        Broker([QueueSettings("q")], state=file)
    assert file.read_text().startswith("not a database")


async def test_faults_are_switched_over_http() -> None:
    async with Broker([QueueSettings("q")]) as broker:
        transport = httpx.ASGITransport(app=admin_app(broker))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as http:
            switches = {"delay_deliveries": 0.5, "refuse_sends": {"condition": "amqp:internal-error", "times": 1}}
            assert (await http.put("/faults", json=switches)).status_code == 200
            assert broker.faults.delay_deliveries == timedelta(seconds=0.5)
            refusal = broker.faults.next_refusal()
            assert refusal is not None
            assert refusal.condition == "amqp:internal-error"
            assert broker.faults.next_refusal() is None

            assert (await http.put("/faults", json={"delay_delivery": 1})).status_code == 400
            await http.put("/faults", json={"refuse_connections": True, "refuse_sends": {}})
            assert (await http.delete("/faults")).json() == {}
            assert broker.faults.delay_deliveries == timedelta()
            assert not broker.faults.refuse_connections
            assert broker.faults.next_refusal() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_process_with_success(number: signal.Signals) -> None:
    async with started("--port", "0", "--queue", "assets") as process:
        await ready(process)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_a_taken_port_is_named_and_ends_the_process_with_2() -> None:
    async with Broker([QueueSettings("q")]) as broker, started("--port", str(broker.port), "--queue", "q") as process:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2
        assert f"{broker.port}" in errors.decode()
        assert "Traceback" not in errors.decode()


def test_settings_are_read_in_seconds(tmp_path: Path) -> None:
    config = tmp_path / "queues.json"
    config.write_text('[{"name": "a", "lock_duration": 30, "max_delivery_count": 3, "time_to_live": 3600.5}]')
    assert read_queues(config, ["b"]) == [
        QueueSettings("a", timedelta(seconds=30), 3, time_to_live=timedelta(seconds=3600.5)),
        QueueSettings("b"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a list of queues"),
        ('[{"lock_duration": 5}]', "name"),
        ('[{"name": "a", "lock_duration": "soon"}]', "lock_duration"),
        ('[{"name": "a", "lock_duration": 0}]', "longer than zero"),
        ('[{"name": "a", "lock_duraton": 5}]', "lock_duraton"),
        ('[{"name": "a", "lock_duration": 600}]', "at most 5 minutes"),
        ("[]", "no queue to serve"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong_and_where(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "queues.json"
    config.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_queues(config, [])


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.json cannot be read"):
        read_queues(tmp_path / "absent.json", [])


def test_a_certificate_without_its_key_is_refused_with_what_to_name_instead(tmp_path: Path) -> None:
    certificate = tmp_path / "broken.pem"
    certificate.write_text("no PEM")
    with pytest.raises(ValueError, match=r"broken\.pem cannot be used .* Name a PEM file"):
        Broker([QueueSettings("assets")], tls=Tls(certificate))


def test_a_queue_configured_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'Assets' is configured twice"):
        Broker([QueueSettings("assets"), QueueSettings("Assets")])


async def test_counts_of_an_unknown_queue_name_the_known_ones() -> None:
    async with Broker([QueueSettings("assets")]) as broker:
        with pytest.raises(LookupError, match="assets"):
            broker.counts("asset")
