"""Parked messages over the real broker and the real SDK: found, replayed, discarded, and never lost."""

import asyncio
import json
import os
import random
import sys
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from local.emulators.servicebus import Broker, QueueSettings
from ops.commands.parked import document
from shared.adapters.clock import SystemClock
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.adapters.service_bus.sender import ServiceBus
from shared.domain.messages.events import CONTENT_TYPE, Event, parse_event
from shared.errors import InvalidMessage, Unavailable
from shared.flows.operate.parked import Filter, ParkedMessages, Waiting, again, parse_age
from shared.flows.ports.engine import Outgoing
from tests.fakes import make_settings


def queues(lock: timedelta) -> list[QueueSettings]:
    return [
        QueueSettings("assets"),
        QueueSettings("orders"),
        QueueSettings("parked", lock_duration=lock, max_delivery_count=2000),
    ]


class Bench:
    """A broker with the product's queues, and the product's own adapters on it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        settings = make_settings(service_bus_connection=broker.connection_string)
        self.bus = ServiceBus(settings, None)
        self.queues = ServiceBusQueues(settings, None)
        self.parked = ParkedMessages(self.queues, self.bus, SystemClock().now)

    async def park(self, count: int = 1, *, queue: str = "assets", **properties: Any) -> None:
        entity = {"assets": "asset", "orders": "order"}.get(queue, "asset")
        messages = []
        for number in range(count):
            event = Event(
                source="/test", type=f"sync.{entity}.dirty", attempt=12, deferrals=3, data={"key": f"K-{number}"}
            )
            own: dict[str, str | int] = {
                "reason": "mapping_error",
                "source_queue": queue,
                "key": f"K-{number}",
                "history": json.dumps([{"reason": "mapping_error", "attempts": 12}]),
            }
            messages.append(Outgoing(event.to_json(), content_type=CONTENT_TYPE, properties=own | properties))
        await self.bus.send("parked", messages)

    async def bodies(self, queue: str) -> list[Event]:
        return [parse_event(one.body) async for page in self.queues.peek(queue) for one in page]

    def count(self, queue: str) -> int:
        counts = self.broker.counts(queue)
        return counts.active + counts.locked


async def open_bench(lock: timedelta) -> AsyncIterator[Bench]:
    async with Broker(queues(lock)) as broker:
        bench = Bench(broker)
        yield bench
        await bench.bus.aclose()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async for bench in open_bench(timedelta(minutes=5)):
        yield bench


@pytest.fixture
async def forgetful() -> AsyncIterator[Bench]:
    """A lock that a killed process leaves behind ends within the test."""
    async for bench in open_bench(timedelta(seconds=5)):
        yield bench


def heard() -> tuple[list[str], Any]:
    problems: list[str] = []
    return problems, lambda _message, problem: problems.append(problem)


async def test_a_replayed_message_is_fresh_but_carries_the_history_of_its_failures(bench: Bench) -> None:
    await bench.park()
    settled = await bench.parked.replay(await bench.parked.find(Filter()), heard()[1])
    assert len(settled.done) == 1
    (event,) = await bench.bodies("assets")
    assert (event.attempt, event.deferrals, event.firstenqueued) == (0, 0, None)
    assert json.loads(event.history or "") == [{"reason": "mapping_error", "attempts": 12}]
    assert bench.count("parked") == 0


async def test_only_the_chosen_messages_move_and_the_others_stay_in_their_order(bench: Bench) -> None:
    await bench.park(6)
    chosen = [one for one in await bench.parked.find(Filter()) if one.key in {"K-1", "K-4"}]
    await bench.parked.replay(chosen, heard()[1])
    assert sorted(event.data["key"] for event in await bench.bodies("assets")) == ["K-1", "K-4"]
    assert [one.key for one in await bench.parked.find(Filter())] == ["K-0", "K-2", "K-3", "K-5"]


async def test_filters_choose_by_reason_entity_key_age_and_text(bench: Bench) -> None:
    await bench.park(2)
    await bench.park(1, queue="orders", reason="record_closed", message="The Dynamics row is CLOSED", field="total")

    async def keys(**wanted: Any) -> int:
        return len(await bench.parked.find(Filter(**wanted)))

    assert await keys() == 3
    assert await keys(reason="mapping_error") == 2
    assert await keys(entity="order") == 1
    assert await keys(entity="asset", key="K-1") == 1
    assert await keys(field="total") == 1
    assert await keys(text="is closed") == 1
    assert await keys(text="nowhere") == 0
    assert await keys(older_than=timedelta(hours=1)) == 0
    assert await keys(younger_than=timedelta(hours=1)) == 3


async def test_a_message_that_can_go_nowhere_is_left_with_the_reason(bench: Bench) -> None:
    cut = Outgoing(b'{"specversion":', properties={"source_queue": "assets", "cut_from": 300_000})
    await bench.bus.send("parked", [cut])
    await bench.park(1, queue="elsewhere")
    problems, report = heard()
    settled = await bench.parked.replay(await bench.parked.find(Filter()), report)
    assert (len(settled.done), len(settled.refused), len(problems)) == (0, 2, 2)
    assert bench.count("parked") == 2


@pytest.mark.parametrize("body", [b"", b"\xff not an event", "Válvula".encode("utf-16"), b"[]", b"{}", b"text"])
async def test_what_is_no_event_is_sent_again_byte_for_byte(bench: Bench, body: bytes) -> None:
    await bench.bus.send("parked", [Outgoing(body, properties={"source_queue": "orders", "reason": "invalid_message"})])
    settled = await bench.parked.replay(await bench.parked.find(Filter()), heard()[1])
    assert (len(settled.done), bench.count("parked"), bench.count("orders")) == (1, 0, 1)
    async with (
        ServiceBusClient.from_connection_string(bench.broker.connection_string) as client,
        client.get_queue_receiver("orders") as receiver,
    ):
        (message,) = await receiver.receive_messages(1, max_wait_time=10)
        assert b"".join(message.body) == body


async def test_a_queue_that_takes_nothing_leaves_everything_parked(bench: Bench) -> None:
    await bench.park(3)
    chosen = await bench.parked.find(Filter())

    class Broken:
        async def send(self, queue: str, messages: Any) -> None:
            raise Unavailable("The queue took no message.")

    with pytest.raises(Unavailable):
        await ParkedMessages(bench.queues, Broken(), SystemClock().now).replay(chosen, heard()[1])
    assert len(await bench.parked.find(Filter())) == 3
    settled = await bench.parked.replay(await bench.parked.find(Filter()), heard()[1])
    assert len(settled.done) == 3


async def test_messages_that_another_operator_holds_are_named_and_not_lost(bench: Bench) -> None:
    await bench.park(2)
    chosen = await bench.parked.find(Filter())
    async with ServiceBusClient.from_connection_string(bench.broker.connection_string) as client:
        receiver = client.get_queue_receiver("parked")
        async with receiver:
            held = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            settled = await bench.parked.replay(chosen, heard()[1])
            await receiver.abandon_message(held[0])
    assert [len(settled.done), len(settled.locked)] == [1, 1]
    assert bench.count("parked") == 1


async def test_discarding_writes_each_message_down_before_it_is_gone(bench: Bench) -> None:
    await bench.park(2)
    kept: list[Waiting] = []

    def keep(message: Waiting) -> None:
        assert bench.count("parked") == 2 - len(kept)
        kept.append(message)

    settled = await bench.parked.discard(await bench.parked.find(Filter()), "test data", keep, heard()[1])
    assert [one.key for one in kept] == [one.key for one in settled.done] == ["K-0", "K-1"]
    assert bench.count("parked") == 0
    assert bench.count("assets") == 0


async def test_what_cannot_be_written_down_is_not_discarded(bench: Bench) -> None:
    await bench.park(1)

    def keep(_message: Waiting) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        await bench.parked.discard(await bench.parked.find(Filter()), "test data", keep, heard()[1])
    assert bench.count("parked") == 1


async def test_a_look_at_a_queue_tells_since_when_its_oldest_message_waits(bench: Bench) -> None:
    assert (await bench.queues.probe("parked")).oldest is None
    await bench.park()
    (first,) = await bench.parked.find(Filter())
    assert (await bench.queues.probe("parked")).oldest == first.enqueued_at
    await bench.park()
    assert (await bench.queues.probe("parked")).oldest == first.enqueued_at


async def test_a_look_at_parked_needs_no_right_to_send_to_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = ServiceBusClient.get_queue_sender

    def get_queue_sender(client: ServiceBusClient, queue_name: str, **options: Any) -> Any:
        opened.append(queue_name)
        return real(client, queue_name, **options)

    monkeypatch.setattr(ServiceBusClient, "get_queue_sender", get_queue_sender)
    for queue in ("assets", "orders", "parked"):
        await bench.queues.probe(queue)
    assert opened == ["assets", "orders"]


async def test_a_missing_queue_is_named(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="There is no queue nowhere"):
        await bench.queues.probe("nowhere")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), (" 1m ", 60)]
)
def test_an_age_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1w", "1.5h"])
def test_another_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no age"):
        parse_age(text)


async def test_a_foreign_message_without_a_queue_of_ours_is_never_sent(bench: Bench) -> None:
    await bench.bus.send("parked", [Outgoing(b"{}", properties={"source_queue": "../other"})])
    (message,) = await bench.parked.find(Filter())
    with pytest.raises(InvalidMessage, match="no queue of ours"):
        again(message)


async def test_killed_at_any_moment_a_replay_loses_nothing(forgetful: Bench) -> None:
    source = random.Random(11)  # noqa: S311  # repeatable, not secret
    total = 0
    for _ in range(2):
        await forgetful.park(40)
        total += 40
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", "parked", "replay", "--all", "--yes"),
            env={
                **os.environ,
                "DYNAMICS_365_RESOURCE_URL": "https://org.crm.dynamics.com",
                "DYNAMICS_365_WEBHOOK_SECRET": "a-secret-of-this-test",
                "SYNC_LEDGER": "sqlite:///never-opened.sqlite3",
                "ServiceBusConnection": forgetful.broker.connection_string,
            },
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        wanted = forgetful.count("assets") + source.randrange(1, 35)
        while forgetful.count("assets") < wanted and process.returncode is None:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.005)
        if process.returncode is None:
            process.kill()
        await process.wait()
        keys = {event.data["key"] for event in await forgetful.bodies("assets")}
        keys |= {one.key for one in await forgetful.parked.find(Filter())}
        assert keys == {f"K-{number}" for number in range(40)}
        assert forgetful.count("assets") + forgetful.count("parked") >= total
        # What was locked comes back; the next run finishes the work.
        for _ in range(100):
            if forgetful.broker.counts("parked").locked == 0:
                break
            await asyncio.sleep(0.1)
        await forgetful.parked.replay(await forgetful.parked.find(Filter()), heard()[1])
        assert forgetful.count("parked") == 0


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("Válvula".encode(), "Válvula"),
        (b"", ""),
        ("Válvula".encode("latin-1"), "V\\xe1lvula"),
        (b"\x1f\x8b\x08", "\x1f\\x8b\x08"),
    ],
)
def test_no_byte_of_a_body_is_lost_on_the_way_into_json(body: bytes, shown: str) -> None:
    found = document(Waiting(1, body, {}, datetime.now(UTC), "id"))
    assert found["body"] == shown
    assert (b64decode(found["body_base64"]) if "body_base64" in found else found["body"].encode()) == body
