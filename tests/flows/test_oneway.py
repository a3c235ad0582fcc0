"""One-way mode: whatever the order, doubling and batching of the messages, each field ends at its newest version."""

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from shared.domain.ledger import Entry, ParkedField, Stored
from shared.domain.messages.queues import ASSETS, PARKED
from shared.domain.model import DynamicsRecord, Value
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LedgerUnreadable, RejectedByTarget
from tests.flows.sides import World

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = ("nombre", "numero_de_serie", "valor_libros", "valor_adquisicion")
KEYS = ("A", "B", "C")


@pytest.fixture
def world() -> Iterator[World]:
    with closing(World(one_way=True)) as world:
        yield world


def message(kind: str, at: int, key: str, sequence: int = 0, **data: Any) -> bytes:
    """A CMMS message of the minute `at`."""
    body = {"key": key, "version": (MOMENT + timedelta(minutes=at)).isoformat(), "sequence": sequence, **data}
    event = {"specversion": "1.0", "id": str(UUID(int=sequence)), "source": "/energy-cmms"}
    return json.dumps({**event, "type": f"energy.asset.{kind}", "data": body}).encode()


def upserted(at: int, key: str, sequence: int = 0, **fields: Value) -> bytes:
    return message("upserted", at, key, sequence, fields=fields)


def renamed(at: int, old: str, new: str, **fields: Value) -> bytes:
    return message("renamed", at, new, old_key=old, fields=fields)


def deleted(at: int, key: str, sequence: int = 0) -> bytes:
    return message("deleted", at, key, sequence)


async def deliver(world: World, *batches: list[bytes]) -> None:
    """Each list is a batch; what is to be tried again is, after all of them."""
    waiting = list(batches)
    while waiting:
        await world.sync.handle("asset", waiting.pop(0))
        world.clock.advance(timedelta(seconds=5))
        again = world.bus.queues.pop(ASSETS.name, [])
        waiting.extend([str(one.body).encode()] for one in again)


async def remember(world: World, key: str, **update: object) -> None:
    """Let the ledger remember something else of a record."""
    found = (await world.ledger.read("asset", [key]))[key]  # type: ignore[no-untyped-call]
    changed = found.model_copy(update={"entry": found.entry.model_copy(update=update)})
    await world.ledger.write("asset", [changed])  # type: ignore[no-untyped-call]


def after_reading(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str, when: Callable[[Entry], bool], body: bytes
) -> None:
    """Have another worker handle a message once the ledger was read, and showed the key's memory to be like that."""
    answer = world.ledger.read

    async def read(entity: str, keys: Collection[str]) -> Mapping[str, Stored | LedgerUnreadable]:
        found: Mapping[str, Stored | LedgerUnreadable] = await answer(entity, keys)  # type: ignore[no-untyped-call]
        memory = found.get(key)
        if isinstance(memory, Stored) and when(memory.entry):
            monkeypatch.undo()
            await world.sync.handle("asset", [body])
        return found

    monkeypatch.setattr(world.ledger, "read", read)


def active(world: World) -> dict[str, dict[str, Value]]:
    """What the active rows hold, by key."""
    rows = [row for row in world.dynamics.rows.values() if row.state == 0]
    assert len({row.key for row in rows}) == len(rows)
    return {row.key: {name: value for name, value in row.values.items() if value is not None} for row in rows}


async def test_a_create_and_its_rename_in_one_batch_make_one_row(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno"), renamed(2, "A", "B", nombre="uno")])
    assert active(world) == {"B": {"nombre": "uno"}}


async def test_a_message_that_comes_after_the_rename_of_its_key_makes_no_row_of_its_own(world: World) -> None:
    await deliver(world, [renamed(2, "A", "B", nombre="dos")], [upserted(1, "A", nombre="uno", numero_de_serie="S")])
    assert active(world) == {"B": {"nombre": "dos", "numero_de_serie": "S"}}


async def test_a_late_message_of_a_key_used_again_goes_to_the_record_that_had_it_then(world: World) -> None:
    await deliver(
        world,
        [upserted(1, "A", nombre="uno")],
        [renamed(3, "A", "B", nombre="uno")],
        [upserted(4, "A", nombre="otra")],
        [upserted(2, "A", numero_de_serie="late")],
    )
    assert active(world) == {"A": {"nombre": "otra"}, "B": {"nombre": "uno", "numero_de_serie": "late"}}


async def test_a_deletion_that_overtakes_the_rename_before_it_is_not_undone(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")], [deleted(3, "B")], [renamed(2, "A", "B", nombre="uno")])
    assert active(world) == {}


async def test_a_late_deletion_of_the_keys_record_before_deletes_nothing(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")], [renamed(3, "A", "B", nombre="uno")], [deleted(2, "B")])
    assert active(world) == {"B": {"nombre": "uno"}}


async def test_the_sequence_tells_a_deletion_from_a_rebirth_of_the_same_instant(world: World) -> None:
    await deliver(world, [upserted(1, "A", 1, nombre="uno")], [upserted(2, "A", 3, nombre="dos"), deleted(2, "A", 2)])
    assert active(world) == {"A": {"nombre": "dos"}}
    await deliver(world, [deleted(2, "A", 2)], [deleted(2, "A", 4)])
    assert active(world) == {}


async def test_a_bad_value_leaves_the_newest_good_one_however_they_are_batched() -> None:
    good, bad = upserted(2, "A", valor_libros="2"), upserted(3, "A", valor_libros="a lot")
    first = upserted(1, "A", nombre="uno", valor_libros="1")
    for batches in ([[bad, good]], [[good, bad]], [[bad], [good]], [[good], [bad]]):
        with closing(World(one_way=True)) as again:
            await deliver(again, [first], *batches)
            assert active(again) == {"A": {"nombre": "uno", "valor_libros": "2"}}
            assert [one.properties["field"] for one in again.bus.queues[PARKED.name]] == ["valor_libros"]


async def test_records_that_exchange_their_keys_keep_their_rows(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno"), upserted(1, "B", nombre="dos")])
    rows = {row.values["nombre"]: row.id for row in world.dynamics.rows.values()}
    swap = [renamed(2, "A", "T", nombre="uno"), renamed(3, "B", "A", nombre="dos"), renamed(4, "T", "B", nombre="uno")]
    await deliver(world, swap)
    assert active(world) == {"A": {"nombre": "dos"}, "B": {"nombre": "uno"}}
    assert {row.values["nombre"]: row.id for row in world.dynamics.rows.values()} == rows


async def test_a_race_lost_to_the_rename_of_the_key_makes_no_row_under_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = world.dynamics.by_key

    async def renamed_meanwhile(entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        monkeypatch.undo()
        await world.sync.handle("asset", [renamed(2, "A", "B", nombre="uno")])
        return await answer(entity, keys)

    monkeypatch.setattr(world.dynamics, "by_key", renamed_meanwhile)
    await deliver(world, [upserted(1, "A", nombre="uno", numero_de_serie="S"), upserted(1, "C", nombre="tres")])
    assert active(world) == {"B": {"nombre": "uno", "numero_de_serie": "S"}, "C": {"nombre": "tres"}}


async def test_a_rename_to_a_key_that_its_record_has_left_meanwhile_goes_on_to_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")])
    after_reading(world, monkeypatch, "B", lambda memory: memory == Entry(key="B"), renamed(3, "B", "C", nombre="uno"))
    await deliver(world, [renamed(2, "A", "B", nombre="uno")])
    assert active(world) == {"C": {"nombre": "uno"}}


async def test_the_row_that_a_record_left_is_put_away_though_the_worker_that_was_to_do_it_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")], [upserted(3, "B", nombre="dos")])
    left = renamed(2, "A", "B", nombre="uno")

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(world.dynamics, "write", die)
    with pytest.raises(asyncio.CancelledError):
        await world.sync.handle("asset", [left])
    monkeypatch.undo()
    world.clock.advance(timedelta(minutes=5))
    await deliver(world, [left])
    assert active(world) == {"B": {"nombre": "dos"}}


async def test_a_record_that_moves_on_once_its_rename_was_heard_of_leaves_no_row_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")])
    after_reading(world, monkeypatch, "B", lambda memory: bool(memory.dynamics_id), renamed(3, "B", "C", nombre="uno"))
    await deliver(world, [renamed(2, "A", "B", nombre="uno")])
    assert active(world) == {"C": {"nombre": "uno"}}
    assert len(world.dynamics.rows) == 1


async def test_a_park_under_a_key_that_was_left_is_looked_at_there(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")], [renamed(2, "A", "B", nombre="uno")])
    await remember(world, "A", parked={"*": ParkedField(side="dynamics", digest="", reason="key_not_usable")})
    await world.dirty("A")
    assert not (await world.entry("A")).parked


async def test_a_record_waits_for_the_one_before_it_to_leave_the_key_though_its_own_memory_is_yet_to_come(
    world: World,
) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno"), upserted(1, "B", nombre="dos")])
    rows = {row.values["nombre"]: row.id for row in world.dynamics.rows.values()}
    leaves, follows, comes = renamed(2, "A", "T"), renamed(3, "B", "A"), renamed(4, "T", "B", nombre="uno")
    await deliver(world, [comes], [follows], [leaves])
    assert active(world) == {"A": {"nombre": "dos"}, "B": {"nombre": "uno"}}
    assert {row.values["nombre"]: row.id for row in world.dynamics.rows.values()} == rows


async def test_a_record_that_came_back_takes_its_row_along_though_the_answer_to_that_was_lost(world: World) -> None:
    await deliver(world, [upserted(1, "A", nombre="uno")], [deleted(2, "A")], [upserted(3, "A", nombre="dos")])
    await remember(world, "A", deleted_at=MOMENT + timedelta(minutes=2))
    await deliver(world, [renamed(4, "A", "B", nombre="dos")])
    assert active(world) == {"B": {"nombre": "dos"}}
    assert len(world.dynamics.rows) == 1


async def test_what_makes_a_row_is_waited_for_where_a_message_that_does_not_say_it_comes_first(world: World) -> None:
    world.dynamics.refuse.append(RejectedByTarget("nombre: Dynamics makes no row without it.", field="nombre"))
    await deliver(world, [upserted(2, "A", valor_libros="2")], [upserted(1, "A", nombre="uno", valor_libros="1")])
    assert active(world) == {"A": {"nombre": "uno", "valor_libros": "2"}}
    assert PARKED.name not in world.bus.queues


async def test_what_makes_a_row_and_is_never_said_is_parked_in_the_end(world: World) -> None:
    nameless = RejectedByTarget("nombre: Dynamics makes no row without it.", field="nombre")
    world.dynamics.refuse.extend([nameless] * 20)
    await deliver(world, [upserted(2, "A", valor_libros="2")])
    assert [one.properties["reason"] for one in world.bus.queues[PARKED.name]] == ["rejected_by_target"]


async def test_no_park_stays_under_a_key_without_a_row_whose_record_has_another_one(world: World) -> None:
    world.dynamics.refuse.extend([RejectedByTarget("refused", field=None)] * 9)
    await deliver(world, [upserted(1, "A", nombre="uno")])
    world.dynamics.refuse.clear()
    assert (await world.entry("A")).parked
    await deliver(world, [upserted(3, "B", nombre="dos")], [renamed(2, "A", "B", nombre="uno")])
    assert not (await world.entry("A")).parked
    assert active(world) == {"B": {"nombre": "dos"}}


class _Cmms:
    """A CMMS at work, which tells everything, and partly no more than what changed."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.live: dict[int, tuple[str, dict[str, Value]]] = {}
        self.outbox: list[bytes] = []
        self.partial = rng.random() < 0.5
        self.coarse = rng.random() < 0.3
        self._count = self._minute = 0

    def work(self, actions: int) -> None:
        for _ in range(actions):
            self._minute += not self.coarse or self.rng.random() < 0.5
            free = [key for key in KEYS if key not in {key for key, _ in self.live.values()}]
            act = self.rng.choice((self._edit, self._edit, self._edit, self._clear, self._delete, self._rename))
            if not self.live or (free and self.rng.random() < 0.2):
                self._create(self.rng.choice(free))
            else:
                pk = self.rng.choice(sorted(self.live))
                act(pk, self.rng.choice(free) if free else None)

    def _say(self, kind: str, key: str, **data: Any) -> None:
        self.outbox.append(message(kind, self._minute, key, len(self.outbox) + 1, **data))

    def _value(self) -> str:
        self._count += 1
        return str(self._count)

    def _create(self, key: str) -> None:
        fields: dict[str, Value] = {
            name: self._value() for name in FIELDS if name == "nombre" or self.rng.random() < 0.5
        }
        self.live[self._count] = key, fields
        self._say("upserted", key, fields=dict(fields))

    def _set(self, pk: int, name: str, value: Value) -> None:
        key, fields = self.live[pk]
        fields[name] = value
        self._say("upserted", key, fields={name: value} if self.partial else dict(fields))

    def _edit(self, pk: int, free: str | None) -> None:
        self._set(pk, self.rng.choice(FIELDS), self._value())

    def _clear(self, pk: int, free: str | None) -> None:
        self._set(pk, self.rng.choice(FIELDS[1:]), None)

    def _delete(self, pk: int, free: str | None) -> None:
        self._say("deleted", self.live.pop(pk)[0])

    def _rename(self, pk: int, free: str | None) -> None:
        if free is not None:
            old, fields = self.live[pk]
            self.live[pk] = free, fields
            self._say("renamed", free, old_key=old, fields=dict(fields))


async def test_every_order_doubling_and_batching_ends_in_what_the_cmms_holds() -> None:
    for seed in range(200):
        with closing(World(one_way=True)) as world:
            wanted, found = await _play(world, seed)
        assert found == wanted, f"seed {seed}"


async def _play(world: World, seed: int) -> tuple[dict[str, dict[str, Value]], dict[str, dict[str, Value]]]:
    """What the CMMS said of its records, and what the rows hold of it."""
    rng = Random(seed)  # noqa: S311  # repeatable, not secret
    cmms = _Cmms(rng)
    cmms.work(rng.randint(2, 9))
    spread = rng.choice((0.0, 3.0, 100.0))
    sent = [*enumerate(cmms.outbox), *((120 * rng.random(), one) for one in cmms.outbox if rng.random() < 0.2)]
    sent.sort(key=lambda one: one[0] + rng.uniform(0.0, spread))
    while sent:
        batch, sent = sent[: (size := rng.randint(1, 5))], sent[size:]
        await world.sync.handle("asset", [body for _, body in batch])
        for again in world.bus.queues.pop(ASSETS.name, []):
            sent.insert(min(len(sent), rng.randint(3, 8)), (0.0, str(again.body).encode()))
        world.clock.advance(timedelta(seconds=5))
    assert PARKED.name not in world.bus.queues
    wanted = dict(cmms.live.values())
    found = active(world)
    return wanted, {key: {name: row.get(name) for name in wanted.get(key, row)} for key, row in found.items()}
