"""What the log and a parked message's properties tell a person: what happened, and only once it has."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shared.domain.messages.events import Event
from shared.domain.messages.queues import ASSETS, PARKED
from shared.errors import InvalidMessage, NotYetVisible, RejectedByTarget, RoutingFailed, TooLarge, Unavailable
from shared.flows.ports.engine import Outgoing
from shared.flows.routing.outcomes import Again, Outcome, Park
from shared.flows.routing.parking import printable
from shared.flows.routing.route import Routed
from shared.flows.routing.told import End, read_line
from tests.fakes import FakeBus
from tests.kit.faults import Fault
from tests.kit.world import World

OUTCOMES: dict[str, Outcome] = {
    "parked": Park(InvalidMessage("no")),
    "retried": Again(NotYetVisible("not yet")),
}


def routed(outcome: Outcome, **data: Any) -> Routed:
    event = Event(source="/t", type="energy.asset.upserted", data={"key": "A", **data})
    return Routed(event.to_json().encode(), event, "A", outcome)


@pytest.mark.parametrize("end", OUTCOMES)
async def test_nothing_is_told_to_be_done_that_could_not_be_done(
    world: World, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    caplog.set_level(logging.INFO)
    world.bus.failure = Unavailable("away")
    with pytest.raises(RoutingFailed):
        await world.router.route(ASSETS.name, [routed(OUTCOMES[end])])
    assert caplog.records == []
    world.bus.failure = None
    await world.router.route(ASSETS.name, [routed(OUTCOMES[end])])
    record, told = caplog.records
    assert ("Parked A" in record.getMessage()) == (end == "parked")
    assert ("is tried again" in record.getMessage()) == (end == "retried")
    assert 'asset "A": ' in told.getMessage()


async def test_a_retry_too_large_for_its_queue_is_told_as_parked_and_not_as_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Narrow(FakeBus):
        async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
            if queue == ASSETS.name:
                raise TooLarge("too large", refused=messages)
            await super().send(queue, messages)

    caplog.set_level(logging.INFO)
    world.router._bus = bus = Narrow()
    counts = await world.router.route(ASSETS.name, [routed(OUTCOMES["retried"])])
    assert (counts.retried, counts.parked, len(bus.queues[PARKED.name])) == (0, 1, 1)
    record, told = caplog.records
    assert "Parked A from assets: not_yet_visible" in record.getMessage()
    assert 'asset "A": parked' in told.getMessage()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("energy.asset.upserted", lambda key: {"key": key}),
        ("energy.asset.upserted", lambda key: {"fields": {"codigo_interno": key}}),
        ("energy.asset.upserted", lambda key: {"codigo_interno": key, "nombre": "Bomba"}),
        ("energy.asset.deleted", lambda key: {"key": key}),
        ("energy.asset.renamed", lambda key: {"key": key, "old_key": "B"}),
        ("sync.asset.dirty", lambda key: {"key": key, "operation": "update"}),
    ],
)
@pytest.mark.parametrize("key", [" A", "A ", "\tA", "A\u00a0", "A\x1b[31m", "x" * 51])
async def test_a_key_that_cannot_be_used_is_among_the_properties_of_its_parked_message(
    world: World, caplog: pytest.LogCaptureFixture, key: str, kind: str, said: Callable[[str], dict[str, Any]]
) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/t", "type": kind, "data": said(key)}
    body = json.dumps(event).encode()
    await world.sync.handle("asset", [body])
    (parked,) = world.bus.queues[PARKED.name]
    assert (parked.properties["reason"], parked.properties["key"]) == ("key_not_usable", key)
    assert parked.body == body
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize("key", ["a", "A "])
async def test_a_record_named_by_its_id_is_parked_under_its_key(world: World, key: str) -> None:
    world.dynamics.put("A", nombre="Other")
    world.cmms.put(key, nombre="Bomba")
    event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "sync.asset.dirty", "data": {"cmms_id": "1"}}
    await world.sync.handle("asset", [json.dumps(event).encode()])
    (parked,) = world.bus.queues[PARKED.name]
    assert (parked.properties["reason"], parked.properties["key"]) == ("key_not_usable", key)


async def test_a_parked_message_of_another_fault_names_the_key_that_it_says(world: World) -> None:
    body = {"specversion": "1.0", "id": "1", "source": "/t", "type": "energy.asset.upserted"}
    await world.sync.handle("asset", [json.dumps(body | {"data": {"key": "A", "sequence": -1}}).encode()])
    await world.sync.handle("asset", [json.dumps(body | {"subject": "S", "data": {"fields": {}}}).encode()])
    assert [one.properties["key"] for one in world.bus.queues[PARKED.name]] == ["A", "S"]


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[End, str]]:
    """The end of each message, and what its line of the log says of it."""
    found = [(one.end, one.what) for record in caplog.records if (one := read_line(record.getMessage())) is not None]
    caplog.clear()
    return found


@pytest.mark.parametrize("fault", [None, "answer lost"])
async def test_the_log_names_the_fields_that_were_written_to_each_side(
    world: World, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    caplog.set_level(logging.INFO)
    world.cmms.put("A", nombre="Bomba", valor_libros="10")
    await world.dirty()
    (created,) = told(caplog)
    assert created[0] == "applied"
    assert created[1].startswith("Dynamics: ")
    assert {"codigo_interno", "nombre", "valor_libros"} <= set(created[1].removeprefix("Dynamics: ").split(", "))
    world.cmms.put("A", nombre="Nueva", valor_libros="10")
    row = world.row()
    world.dynamics.change(row, values={**row.values, "valor_libros": "12"})
    world.dynamics.faults.next = [fault] if fault else []
    await world.dirty()
    await world.settle()
    assert told(caplog)[-1] == ("applied", "Dynamics: nombre; CMMS: valor_libros")
    await world.dirty()
    assert told(caplog) == [("already true", "")]


async def test_the_log_names_the_record_of_a_message_that_names_a_row(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    caplog.clear()
    await world.webhook(world.row())
    assert [one.key for record in caplog.records if (one := read_line(record.getMessage()))] == ["A"]


async def test_a_refused_field_is_not_among_the_written_ones(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.cmms.put("A", nombre="Bomba", valor_libros="10")
    await world.dirty()
    told(caplog)
    world.dynamics.faults.next = [RejectedByTarget("No.", field="nombre")]
    world.cmms.put("A", nombre="Nueva", valor_libros="12")
    await world.dirty()
    assert told(caplog) == [("applied", "Dynamics: valor_libros")]


async def test_a_deletion_says_that_it_wrote_the_state(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    told(caplog)
    world.cmms.delete()
    await world.dirty()
    assert told(caplog) == [("applied", "Dynamics: state")]


@pytest.mark.parametrize("names", [{"cmms_id": "7"}, {"cmms_id": "7", "key": "A"}, {"key": "A"}])
async def test_every_message_ends_somewhere_by_whichever_name_it_names_its_record(
    world: World, one_way: World, names: dict[str, str]
) -> None:
    body = {"specversion": "1.0", "id": "1", "source": "/t", "type": "sync.asset.dirty", "data": names}
    for one in (world, one_way):
        summary = await one.sync.handle("asset", [json.dumps(body).encode()])
        assert summary.applied + summary.already_true + summary.retried + summary.parked == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a [bold]b[/] c", "a [bold]b[/] c"),
        ("a\nERROR b", "a\\nERROR b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202e\u2028\ud800", "\\u202e\\u2028\\ud800"),
        ("Válvula 資", "Válvula 資"),
    ],
)
def test_a_foreign_text_is_one_printable_line(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


async def test_what_is_told_of_a_parked_message_is_printable(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.router.route(ASSETS.name, [Routed(b"\x1b[2J", None, None, Park(InvalidMessage("\x1b[2J\nno")))])
    assert caplog.records
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert world.bus.queues[PARKED.name][0].body == b"\x1b[2J"
