"""What a message's own size, and what foreign senders wrote into it, may do to its parking: nothing to the others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from local.emulators.servicebus import Broker, QueueSettings
from shared.adapters.service_bus.sender import ServiceBus
from shared.domain.messages.events import Event, parse_event
from shared.domain.messages.history import read_history
from shared.domain.messages.queues import ASSETS, PARKED
from shared.errors import InvalidMessage, NotYetVisible, RoutingFailed, SyncError, Unavailable
from shared.flows.ports.engine import Outgoing
from shared.flows.routing.outcomes import Again, Outcome, Park
from shared.flows.routing.parking import LONGEST_HISTORY, LONGEST_TEXT
from shared.flows.routing.route import KEPT, Routed
from tests.fakes import make_settings
from tests.kit.world import World

LIMIT = 262_144
ALL_PROPERTIES = 64 * 1024


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker([QueueSettings(name, max_message_bytes=LIMIT) for name in ("assets", "parked")]) as broker:
        yield broker


@pytest.fixture
async def real(world: World, broker: Broker) -> AsyncIterator[World]:
    """The engine on the real SDK."""
    bus = ServiceBus(make_settings(service_bus_connection=broker.connection_string), None)
    world.router._bus = bus
    yield world
    await bus.aclose()


async def parked(broker: Broker) -> tuple[bytes, dict[str, Any]]:
    """The one parked message's body and properties."""
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver("parked") as receiver,
    ):
        assert broker.counts("parked").active == 1
        (message,) = await receiver.receive_messages(1, max_wait_time=5)
        properties = {
            name.decode() if isinstance(name, bytes) else name: value.decode() if isinstance(value, bytes) else value
            for name, value in (message.application_properties or {}).items()
        }
        return b"".join(message.body), properties


def good(count: int) -> list[bytes]:
    return [
        Event(source="/t", type="sync.asset.dirty", data={"key": f"G-{n}"}).to_json().encode() for n in range(count)
    ]


@pytest.mark.parametrize("spare", [180, 300, 800])
async def test_a_bad_message_that_its_reason_makes_too_large_is_parked_whole_and_holds_back_no_other(
    real: World, broker: Broker, spare: int
) -> None:
    for number in range(3):
        real.cmms.put(f"G-{number}", str(number), nombre="Bomba")
    bad = b"x" * (LIMIT - spare)
    summary = await real.sync.handle("asset", [bad, *good(3)])
    assert (summary.applied, summary.parked) == (3, 1)
    body, properties = await parked(broker)
    assert body == bad
    assert (properties["reason"], properties["source_queue"]) == ("invalid_message", "assets")


async def test_a_message_that_is_too_large_even_with_a_bare_reason_is_parked_as_its_beginning(
    real: World, broker: Broker
) -> None:
    real.cmms.put("G-0", nombre="Bomba")
    bad = b"\xff" + b"x" * (LIMIT - 60)
    summary = await real.sync.handle("asset", [bad, *good(1)])
    assert (summary.applied, summary.parked) == (1, 1)
    body, properties = await parked(broker)
    assert body == bad[:KEPT]
    assert (properties["reason"], properties["source_queue"]) == ("invalid_message", "assets")
    assert f"Only the first {KEPT} of this message's {len(bad)} bytes" in properties["message"]
    assert "is not UTF-8" in properties["message"]


async def test_a_retry_that_no_longer_fits_its_queue_is_parked_and_holds_back_no_other(
    real: World, broker: Broker
) -> None:
    message = Event(source="/t", type="energy.asset.upserted", data={"key": "A", "fields": {}})
    room = LIMIT - 170 - len(message.to_json())
    large = message.model_copy(update={"data": {"key": "A", "fields": {"nota": "x" * room}}})
    real.cmms.put("G-0", nombre="Bomba")
    summary = await real.sync.handle("asset", [large.to_json().encode(), *good(1)])
    assert (summary.applied, summary.retried, summary.parked) == (1, 0, 1)
    body, properties = await parked(broker)
    assert (body, properties["reason"]) == (large.to_json().encode(), "not_yet_visible")


def routed(event: Event, outcome: Outcome, key: str | None = None) -> Routed:
    return Routed(event.to_json().encode(), event, key, outcome)


def size(text: str | int | None) -> int:
    return len(text.encode()) if isinstance(text, str) else 8


def foreign(**attributes: Any) -> Event:
    return Event(source="/foreign", type="energy.asset.upserted", data={"key": "A"}, **attributes)


async def test_what_others_wrote_into_a_message_never_outgrows_its_parked_copys_properties(world: World) -> None:
    old = [{"at": f"2026-01-{day:02}", "reason": "ñ" * 900} for day in range(1, 21)]
    event = foreign(subject="資" * 60_000, history=json.dumps(old, ensure_ascii=False))
    error = InvalidMessage("語" * 50_000, field="f" * 40_000, code="c" * 40_000, request_id="r" * 40_000)
    await world.router.route(ASSETS.name, [routed(event, Park(error), key="😀" * 40_000)])
    (copy,) = world.bus.queues[PARKED.name]
    assert max(size(value) for name, value in copy.properties.items() if name != "history") <= LONGEST_TEXT
    assert size(copy.properties["history"]) <= LONGEST_HISTORY
    assert size(copy.subject) <= LONGEST_TEXT
    assert (
        sum(size(name) + size(value) for name, value in copy.properties.items()) + size(copy.subject) < ALL_PROPERTIES
    )
    kept = read_history(str(copy.properties["history"]))
    assert kept[:-1] == old[-len(kept) + 1 :], "the newest ones are kept"
    assert len(kept) > 2
    assert kept[-1]["reason"] == "invalid_message"
    assert copy.body == event.to_json().encode()


async def test_one_history_entry_beyond_all_bounds_leaves_room_for_our_own(world: World) -> None:
    event = foreign(history=json.dumps([{"reason": "x" * 40_000}]))
    await world.router.route(ASSETS.name, [routed(event, Park(InvalidMessage("no")))])
    (copy,) = world.bus.queues[PARKED.name]
    assert [entry["reason"] for entry in read_history(str(copy.properties["history"]))] == ["invalid_message"]


async def test_a_retry_copys_own_subject_is_bounded_and_the_events_is_kept(world: World) -> None:
    event = foreign(subject="s" * 100_000)
    await world.router.route(ASSETS.name, [routed(event, Again(NotYetVisible("later")))])
    (copy,) = world.bus.queues[ASSETS.name]
    assert size(copy.subject) == LONGEST_TEXT
    assert parse_event(copy.body).subject == event.subject


@pytest.mark.parametrize("outcome", [Park(InvalidMessage("no")), Again(NotYetVisible("later"))])
async def test_a_queue_that_is_away_gives_the_batch_back(world: World, outcome: Outcome) -> None:
    class Away:
        async def send(self, queue: str, messages: list[Outgoing]) -> None:
            raise Unavailable("The queue is away.")

    world.router._bus = Away()  # type: ignore[assignment]  # as little of a bus as it takes
    with pytest.raises(SyncError) as caught:
        await world.router.route(ASSETS.name, [routed(foreign(), outcome)])
    assert isinstance(caught.value, RoutingFailed)
