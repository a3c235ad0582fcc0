"""One-way mode: without the CMMS's API, the newest version that the messages said of each field is the CMMS's side."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from shared.domain.messages.events import Event
from shared.domain.messages.queues import ASSETS
from shared.domain.model import Value
from tests.kit.world import World

FIELDS = ("nombre", "numero_de_serie", "valor_adquisicion")


async def test_late_doubled_and_partial_messages_change_nothing_that_is_newer(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start + timedelta(days=2), nombre="Nueva", numero_de_serie="S2")
    await one_way.said(start + timedelta(days=1), nombre="Vieja", valor_adquisicion="5")
    await one_way.said(start + timedelta(days=2), nombre="Nueva", numero_de_serie="S2")
    values = one_way.row().values
    assert [values[name] for name in FIELDS] == ["Nueva", "S2", "5"]


async def test_what_was_said_before_a_deletion_stays_unsaid_after_a_rebirth(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start + timedelta(days=2), nombre="Bomba", numero_de_serie="newer")
    await one_way.said(start + timedelta(days=3), kind="deleted")
    assert one_way.row().state == 1
    await one_way.said(start + timedelta(days=4), nombre="De nuevo")
    await one_way.said(start + timedelta(days=1), numero_de_serie="OLDER")
    assert (one_way.row().state, one_way.row().values["nombre"]) == (0, "De nuevo")
    assert one_way.row().values["numero_de_serie"] != "OLDER"


async def test_what_a_row_held_of_a_deleted_record_gives_way_to_what_is_said_later_and_is_on_record(
    one_way: World,
) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba", numero_de_serie="S", valor_adquisicion="1")
    await one_way.said(start + timedelta(days=1), kind="deleted")
    await one_way.said(start + timedelta(days=2), cmms_id="2", nombre="Otra")
    await one_way.said(start + timedelta(days=2), cmms_id="2", numero_de_serie=None, valor_adquisicion="2")
    values = one_way.row().values
    assert [values[name] for name in ("nombre", "numero_de_serie", "valor_adquisicion")] == ["Otra", None, "2"]
    conflicts = (await one_way.link("2")).conflicts
    assert {(one.field, one.lost, one.why) for one in conflicts} == {
        ("nombre", "Bomba", "taken_over"),
        ("numero_de_serie", "S", "taken_over"),
        ("valor_adquisicion", "1", "taken_over"),
    }


async def test_what_nobody_has_said_yet_of_a_row_that_was_taken_over_is_not_the_cmmss_side(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba", valor_adquisicion="1")
    await one_way.said(start + timedelta(days=1), kind="deleted")
    await one_way.said(start + timedelta(days=2), cmms_id="2", nombre="Otra")
    one_way.dynamics.put("A", valor_adquisicion="7")
    await one_way.said(start + timedelta(days=3), cmms_id="2", nombre="Tercera")
    assert one_way.row().values["valor_adquisicion"] == "7"
    assert {(one.field, one.lost) for one in (await one_way.link("2")).conflicts} == {("nombre", "Bomba")}


@pytest.mark.parametrize(
    ("estado", "status", "state"), [("PENDIENTE", "2", 0), ("AUTORIZADO", "3", 1), ("CANCELADO", "4", 2)]
)
@pytest.mark.parametrize("answer", ["comes", "is lost"])
async def test_a_row_stays_inactive_until_its_records_state_is_said_and_then_gets_it(
    one_way: World, estado: str, status: str, state: int, answer: str
) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    one_way.dynamics.opens = True
    await one_way.said(start, justificacion="urgent", estado="PENDIENTE", entity="order")
    await one_way.said(start + timedelta(days=1), "deleted", entity="order")
    again = start + timedelta(days=2)
    for _ in range(2):
        await one_way.said(again, cmms_id="2", total="5", entity="order")
        await one_way.settle("order")
        assert (one_way.row("A").state, one_way.row("A").values["estado"]) == (2, "4")
    one_way.dynamics.faults.next = ["answer lost"] if answer == "is lost" else []
    await one_way.said(again, cmms_id="2", estado=estado, entity="order")
    await one_way.settle("order")
    held, link = one_way.row("A"), await one_way.link("2", entity="order")
    assert (held.state, held.values["estado"]) == (state, status)
    assert held.values["total"] == ("5" if state == 0 else None)
    assert [one for one in link.conflicts if one.field == "estado" and one.why != "taken_over"] == []
    assert (link.deleted_at, link.takes_over) == (None, None)


async def test_a_deletion_that_overtakes_the_create_leaves_nothing(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start + timedelta(days=2), kind="deleted")
    await one_way.said(start + timedelta(days=1), nombre="Bomba")
    assert (one_way.dynamics.rows, one_way.parked) == ({}, [])


@pytest.mark.parametrize("kind", ["upserted", "renamed"])
async def test_a_rename_is_a_newer_key_of_the_same_id(one_way: World, kind: str) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba")
    row = one_way.row()
    data: dict[str, object] = {"id": "1", "key": "B", "version": (start + timedelta(days=2)).isoformat(), "fields": {}}
    await one_way.send(kind, data | ({"old_key": "A"} if kind == "renamed" else {}))
    await one_way.said(start + timedelta(days=1), key="A", nombre="Otra")
    assert (one_way.row("B").id, one_way.row("B").values["nombre"], len(one_way.dynamics.rows)) == (row.id, "Otra", 1)


async def test_without_ids_the_key_is_the_identity_and_a_new_key_is_a_new_record(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, key="A", cmms_id=None, nombre="Bomba")
    await one_way.said(start + timedelta(days=1), key="B", cmms_id=None, nombre="Bomba")
    await one_way.said(start + timedelta(days=2), "deleted", key="A", cmms_id=None)
    assert {row.key: row.state for row in one_way.dynamics.rows.values()} == {"A": 1, "B": 0}


async def test_the_first_message_with_an_id_takes_the_link_of_its_key_over(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, cmms_id=None, nombre="Bomba", numero_de_serie="S")
    await one_way.said(start + timedelta(days=1), cmms_id="7", nombre="Nueva")
    link = await one_way.link("7")
    assert (link.row_id, link.by_key) == (one_way.row().id, False)
    assert [one_way.row().values[name] for name in FIELDS[:2]] == ["Nueva", "S"]


async def test_a_bad_value_leaves_the_newest_good_one(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba", valor_adquisicion="1")
    await one_way.said(start + timedelta(days=1), valor_adquisicion="a lot")
    assert (one_way.row().values["valor_adquisicion"], one_way.parked) == ("1", ["mapping_error/valor_adquisicion"])


async def test_an_edit_in_dynamics_is_overwritten_by_the_next_message_and_on_record(one_way: World) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba")
    one_way.dynamics.put("A", nombre="Editada")
    await one_way.said(start + timedelta(days=1), nombre="Nueva")
    assert one_way.row().values["nombre"] == "Nueva"
    assert [(one.field, one.lost) for one in (await one_way.link()).conflicts] == [("nombre", "Editada")]


async def test_what_was_agreed_with_the_cmmss_api_is_newer_than_what_was_said_before_there_was_one(
    one_way: World,
) -> None:
    start = one_way.clock.now() - timedelta(days=5)
    await one_way.said(start, nombre="Bomba", numero_de_serie="S")
    one_way.choose(one_way=False)
    one_way.cmms.put("A", nombre="Bomba", numero_de_serie="T")
    await one_way.dirty()
    one_way.choose(one_way=True)
    await one_way.said(start + timedelta(days=2), nombre="Nueva")
    assert [one_way.row().values[name] for name in FIELDS[:2]] == ["Nueva", "T"]


async def test_a_message_without_a_version_is_parked(one_way: World) -> None:
    await one_way.send("upserted", {"id": "1", "key": "A", "fields": {"nombre": "Bomba"}})
    assert one_way.parked == ["invalid_message"]


@pytest.mark.parametrize("kind", ["upserted", "deleted", "renamed"])
async def test_a_version_that_has_not_come_yet_is_parked_and_silences_nobody(one_way: World, kind: str) -> None:
    now = one_way.clock.now()
    data: dict[str, object] = {"id": "1", "key": "A", "version": (now + timedelta(minutes=11)).isoformat()}
    await one_way.send(kind, data | ({"old_key": "Z"} if kind == "renamed" else {}))
    await one_way.said(now, nombre="Bomba")
    assert (one_way.row().values["nombre"], one_way.parked) == ("Bomba", ["version_in_the_future"])


@dataclass
class Producer:
    """A CMMS that only sends messages. `partial` ones hold just what changed; `coarse` versions repeat."""

    rng: Random
    live: dict[str, tuple[str, dict[str, Value]]] = field(default_factory=dict)
    outbox: list[bytes] = field(default_factory=list)
    minute: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        self.partial, self.coarse = self.rng.random() < 0.5, self.rng.random() < 0.3

    def work(self, start: World, actions: int) -> None:
        for _ in range(actions):
            self.minute += not self.coarse or self.rng.random() < 0.5
            free = sorted({"A", "B", "C"} - {key for key, _ in self.live.values()})
            if not self.live or (free and self.rng.random() < 0.2):
                self.count += 1
                self.live[str(self.count)] = self.rng.choice(free), {}
                self._set(start, str(self.count), nombre=f"N{self.count}", numero_de_serie="S")
                continue
            chosen = self.rng.choice(sorted(self.live))
            if self.rng.random() < 0.15:
                self._say(start, "deleted", chosen, self.live.pop(chosen)[0])
            elif free and self.rng.random() < 0.2:
                self.live[chosen] = self.rng.choice(free), self.live[chosen][1]
                self._set(start, chosen)
            else:
                self.count += 1
                self._set(start, chosen, **{self.rng.choice(FIELDS): self.rng.choice((str(self.count), "1"))})

    def _set(self, world: World, number: str, **values: Value) -> None:
        key, fields = self.live[number]
        fields.update(values)
        self._say(world, "upserted", number, key, fields=dict(values if self.partial else fields))

    def _say(self, world: World, kind: str, number: str, key: str, **data: object) -> None:
        version = world.clock.now() - timedelta(days=1) + timedelta(minutes=self.minute)
        data |= {"id": number, "key": key, "version": version.isoformat(), "sequence": len(self.outbox) + 1}
        event = Event(source="/t", type=f"energy.asset.{kind}", data=data)
        self.outbox.append(event.to_json().encode())


@pytest.mark.parametrize("part", range(4))
async def test_every_order_doubling_and_batching_ends_in_what_the_producer_holds(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        with closing(World(one_way=True)) as world:
            rng = Random(seed)  # noqa: S311  # repeatable, not secret
            producer = Producer(rng)
            producer.work(world, rng.randint(2, 9))
            await _deliver(world, producer, rng)
            wanted = {key: {"nombre": None, **values} for key, values in producer.live.values()}
            active = {row.key: row.values for row in world.dynamics.rows.values() if row.state == 0}
            found = {key: {name: row.get(name) for name in wanted.get(key, row)} for key, row in active.items()}
        assert (found, world.parked) == (wanted, []), f"seed {seed}"


async def _deliver(world: World, producer: Producer, rng: Random) -> None:
    spread = rng.choice((0.0, 3.0, 100.0))
    sent = [*enumerate(producer.outbox), *((120 * rng.random(), one) for one in producer.outbox if rng.random() < 0.2)]
    sent.sort(key=lambda one: one[0] + rng.uniform(0.0, spread))
    while sent:
        batch, sent = sent[: (size := rng.randint(1, 5))], sent[size:]
        await world.sync.handle("asset", [body for _, body in batch])
        for again in world.bus.queues.pop(ASSETS.name, []):
            sent.insert(min(len(sent), rng.randint(3, 8)), (0.0, str(again.body).encode()))
        world.later(seconds=5)
