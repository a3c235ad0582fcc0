"""What a side refuses is parked once and not sent again, until its value changes or a person replays it."""

from collections.abc import Sequence
from contextlib import closing

import pytest

from shared.domain.link import Stored
from shared.domain.messages.events import Event
from shared.domain.messages.queues import PARKED
from shared.errors import Conflict, LinkTooLarge, LookupPending, MappingError, RejectedByTarget
from shared.flows.routing.route import ATTEMPTS
from tests.fakes import document_mapping
from tests.flows.test_rules import agreed
from tests.kit.world import World


async def test_a_bad_field_blocks_only_itself_and_is_parked_once_per_value(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150, valor_adquisicion="7.5")
    for _ in range(2):
        await world.dirty()
    assert world.row().values["valor_adquisicion"] == "7.5"
    assert world.parked == ["mapping_error/nombre"]


async def test_a_value_that_a_side_refuses_blocks_only_itself_and_is_not_sent_again(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva", valor_adquisicion="7.5")
    world.dynamics.faults.next = [RejectedByTarget("out of range", field="valor_adquisicion")]
    await world.dirty()
    assert world.row().values["nombre"] == "Nueva"
    assert world.parked == ["rejected_by_target/valor_adquisicion"]
    world.dynamics.writes.clear()
    await world.dirty()
    assert (world.parked, world.dynamics.writes) == (["rejected_by_target/valor_adquisicion"], [])


async def test_a_refused_row_is_parked_once_and_not_sent_again(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = [RejectedByTarget("a plug-in said no")]
    for _ in range(2):
        await world.dirty()
    assert (world.parked, len(world.dynamics.writes), world.dynamics.rows) == (["rejected_by_target"], 1, {})


async def test_a_field_whose_lookup_is_pending_is_tried_again_until_its_target_is_there(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = [LookupPending("no row has the code yet", field="nombre")]
    waiting = await world.dirty()
    assert (waiting.already_true, waiting.retried, world.parked) == (0, 1, [])
    assert (await world.dirty()).applied == 1
    assert world.row().values["nombre"] == "Nueva"


@pytest.mark.parametrize(
    ("silent", "becomes", "parked"),
    [({"nombre"}, {}, ["no_effect/nombre"]), (set(), {"nombre": "NUEVA"}, [])],
    ids=["no effect", "a rule of Dynamics makes something else of it"],
)
async def test_what_became_of_the_other_fields_is_known_while_a_lookup_waits(
    world: World, silent: set[str], becomes: dict[str, str | None], parked: list[str]
) -> None:
    await agreed(world, numero_de_serie=None)
    world.dynamics.pending, world.dynamics.silent, world.dynamics.becomes = {"numero_de_serie"}, silent, becomes
    world.cmms.put("A", nombre="Nueva", numero_de_serie="S")
    assert ((await world.dirty()).retried, world.parked) == (1, parked)
    written = world.row()
    for _ in range(2):
        # Each write would be a webhook more, and that a message more.
        await world.webhook(world.row())
        await world.dirty()
    assert (world.row(), world.parked) == (written, parked)
    world.dynamics.pending = set()
    await world.dirty()
    assert world.row().values["numero_de_serie"] == "S"


async def test_a_field_whose_lookup_waited_in_vain_is_parked_once_and_tried_by_later_messages(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    missing = LookupPending("no row has the code yet", field="nombre")
    world.dynamics.faults.next = [missing] * ATTEMPTS
    await world.webhook(world.row())
    await world.settle()
    assert world.parked == ["lookup_pending/nombre"]
    assert [message.properties["key"] for message in world.bus.queues[PARKED.name]] == ["A"]
    world.dynamics.faults.next = [missing]
    later = await world.dirty()
    assert (later.retried, world.parked) == (0, ["lookup_pending/nombre"])
    await world.dirty()
    assert (world.row().values["nombre"], (await world.link()).parked) == ("Nueva", {})


async def test_a_good_field_arrives_in_one_attempt_however_many_fields_a_side_refuses() -> None:
    with closing(World()) as world:
        await agreed(world)
        names = [name for name in document_mapping().entities["asset"].fields if name != "valor_libros"]
        values = dict.fromkeys(names, "2026-01-02") | {"valor_adquisicion": "1"}
        world.cmms.put("A", valor_libros="11", **values)
        world.dynamics.faults.next = [RejectedByTarget("no", field=name) for name in names]
        await world.dirty()
        assert world.row().values["valor_libros"] == "11"
        assert len(world.parked) == len(names)


@pytest.mark.parametrize("side", ["dynamics", "cmms"])
async def test_a_write_without_effect_is_parked_naming_the_field(world: World, side: str) -> None:
    await agreed(world, numero_de_serie=None)
    if side == "dynamics":
        world.cmms.put("A", nombre="Nueva", numero_de_serie="S")
        world.dynamics.silent = {"nombre"}
    else:
        world.dynamics.put("A", nombre="Nueva", numero_de_serie="S")
        world.cmms.silent = {"nombre"}
    for _ in range(2):
        await world.dirty()
    assert world.parked == ["no_effect/nombre"]
    assert world.row().values["numero_de_serie"] == world.cmms.records["1"].values["numero_de_serie"] == "S"


async def test_a_create_without_effect_on_a_field_is_parked_naming_the_field(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    world.dynamics.silent = {"numero_de_serie"}
    await world.dirty()
    assert (world.parked, world.row().values["nombre"]) == (["no_effect/numero_de_serie"], "Bomba")


async def test_a_record_in_no_usable_form_is_parked_and_holds_no_other_back(world: World) -> None:
    for number, key in enumerate("ABC", start=1):
        world.cmms.put(key, str(number), nombre="Bomba")
    world.cmms.unusable["2"] = MappingError("its etag is not of the API's form", field="etag")
    bodies = [
        Event(source="/t", type="sync.asset.dirty", data={"cmms_id": number}).to_json().encode() for number in "123"
    ]
    summary = await world.sync.handle("asset", bodies)
    assert (summary.applied, summary.parked, world.parked) == (2, 1, ["mapping_error/etag"])


async def test_a_race_that_is_lost_for_good_is_parked_with_the_words_of_who_refused(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = [Conflict("the row changed meanwhile") for _ in range(100)]
    await world.dirty()
    await world.settle()
    (parked,) = world.bus.queues[PARKED.name]
    assert "the row changed meanwhile" in str(parked.properties)


@pytest.mark.parametrize("field", ["valor_adquisicion", None])
async def test_a_refusal_counts_no_more_once_the_value_was_replaced(world: World, field: str | None) -> None:
    await agreed(world)
    world.cmms.put("A", valor_adquisicion="7.5")
    world.dynamics.faults.next = [RejectedByTarget("out of range", field=field)]
    world.dynamics.faults.meanwhile = lambda: world.cmms.put("A", valor_adquisicion="8")
    await world.dirty()
    assert (world.row().values["valor_adquisicion"], (await world.link()).parked, world.parked) == ("8", {}, [])


async def test_a_refused_create_counts_no_more_once_the_row_is_there(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = [RejectedByTarget("a name is required")]
    world.dynamics.faults.meanwhile = lambda: world.dynamics.put("A", nombre="Bomba")
    await world.dirty()
    assert ((await world.link()).parked, world.parked) == ({}, [])


async def test_what_the_ledger_cannot_hold_is_parked_for_what_it_is(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")

    async def small(_: str, links: Sequence[Stored]) -> object:
        return [LinkTooLarge("The ledger cannot hold A.") for _ in links]

    world.ledger.write = small  # type: ignore[method-assign]
    summary = await world.dirty()
    assert (summary.parked, summary.retried, world.parked) == (1, 0, ["link_too_large"])


async def test_what_waits_for_a_row_to_open_is_parked_where_opening_it_is_refused(world: World) -> None:
    world.cmms.put("O", estado="RECIBIDA", justificacion="x")
    await world.dirty(entity="order")
    world.dynamics.change(world.row("O"), is_open=False, state=3)
    world.cmms.put("O", estado="BORRADOR", justificacion="y")
    world.dynamics.faults.next = [RejectedByTarget("no reopening", field="estado")]
    await world.dirty(entity="order")
    assert sorted(world.parked) == ["record_closed/justificacion", "rejected_by_target/estado"]


REFUSALS = [
    RejectedByTarget("out of range", field="valor_adquisicion"),
    RejectedByTarget("no", field="numero_de_serie"),
]
REFUSED = ["numero_de_serie", "valor_adquisicion"]


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("mapping_error", []),
        ("rejected_by_target", ["numero_de_serie", "valor_adquisicion"]),
    ],
)
async def test_a_replay_sends_again_what_was_parked_for_its_reason_and_nothing_else(
    world: World, reason: str, sent: list[str]
) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150, valor_adquisicion="7.5", numero_de_serie="S")
    world.dynamics.faults.next = [*REFUSALS]
    await world.dirty()
    first = sorted(world.parked)
    await world.replay(reason)
    assert first == ["mapping_error/nombre", *(f"rejected_by_target/{name}" for name in REFUSED)]
    assert [name for name in REFUSED if world.row().values.get(name) is not None] == sent


async def test_a_refused_value_that_is_not_sent_again_puts_no_loser_on_record(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", numero_de_serie="S")
    world.dynamics.put("A", numero_de_serie="T")
    world.dynamics.faults.next = [RejectedByTarget("no", field="numero_de_serie")]
    await world.dirty()
    world.dynamics.put("A", numero_de_serie="U")
    await world.dirty()
    world.cmms.put("A", numero_de_serie="V")
    await world.dirty()
    assert [(one.lost, one.won) for one in (await world.link()).conflicts] == [("T", "S"), ("U", "V")]
    assert world.row().values["numero_de_serie"] == "V"


async def test_a_replayed_message_parks_what_still_blocks_it_once(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150, valor_adquisicion="7.5", numero_de_serie="S")
    for replay in (world.dirty, lambda: world.replay("rejected_by_target"), lambda: world.replay("mapping_error")):
        world.dynamics.faults.next = [*REFUSALS]
        await replay()
        world.dynamics.faults.next = []
        assert sorted(set(world.parked)) == [
            "mapping_error/nombre",
            *(f"rejected_by_target/{name}" for name in REFUSED),
        ]
