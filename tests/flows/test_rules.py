"""The ten rules of the sync engine, each by the smallest play that shows it. The simulation plays them all together."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.domain.ledger import Stored
from shared.domain.messages.events import Event, parse_event
from shared.domain.messages.queues import ASSETS, PARKED
from shared.domain.model import Value
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, KeyNotUsable, MappingError, RejectedByTarget, Throttled, Unavailable
from shared.flows.ports.engine import DynamicsWrite, Failed
from shared.flows.routing.route import ATTEMPTS
from shared.flows.sync.execute import INTENT_LIFE
from tests.fakes import document_mapping
from tests.flows.sides import World


async def agreed(world: World, **values: str | None) -> None:
    """An asset A that both sides hold alike."""
    world.cmms.put("A", **{"nombre": "Bomba", "valor_libros": "10", **values})
    await world.dirty("A")
    world.dynamics.writes.clear()
    world.calls.clear()


async def test_ledger_first(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("A")
    assert world.calls[0] == "ledger read"
    assert {"dynamics read", "cmms read"} == set(world.calls[1:3])
    assert world.calls.index("ledger write") < world.calls.index("dynamics write")


@pytest.mark.parametrize("known", [False, True])
async def test_two_bases_rounding_by_a_side_is_no_edit_although_the_answer_was_lost(world: World, known: bool) -> None:
    if known:
        await agreed(world, valor_adquisicion="3")
    write, read = world.dynamics.write, world.dynamics.by_id

    async def rounded(*arguments: object) -> object:
        await write(*arguments)  # type: ignore[arg-type]
        row = world.row("A")
        world.dynamics.rows[row.id] = replace(row, values={**row.values, "valor_adquisicion": "11"})
        return [Failed(Unavailable("the answer was lost"), unknown=True)]

    async def away(*arguments: object) -> object:
        raise Unavailable("and no answer to the question either")

    world.dynamics.write = rounded  # type: ignore[method-assign,assignment]
    world.dynamics.by_id = away  # type: ignore[method-assign,assignment]
    world.cmms.put("A", nombre="Bomba", valor_adquisicion="10.55")
    await world.dirty("A")
    world.dynamics.write = write  # type: ignore[method-assign]
    world.dynamics.by_id = read  # type: ignore[method-assign]
    world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
    await world.dirty("A")
    assert (world.cmms.records["A"].values["valor_adquisicion"], world.row("A").values["valor_adquisicion"]) == (
        "10.55",
        "11",
    )
    assert (await world.entry("A")).conflicts == ()


async def test_two_bases_rounding_by_a_side_is_no_edit(world: World) -> None:
    await agreed(world, nombre="Bomba de agua")
    # Dynamics stored something else than it was sent, and the ledger knows both.
    world.dynamics.put("A", nombre="BOMBA DE AGUA")
    world.cmms.put("A", nombre="BOMBA DE AGUA")
    await world.dirty("A")
    world.dynamics.writes.clear()
    summary = await world.dirty("A")
    assert (summary.applied, summary.already_true) == (0, 1)
    assert world.dynamics.writes == []
    assert world.cmms.writes == []


async def test_merge_each_side_s_edit_reaches_the_other(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Del CMMS")
    world.dynamics.put("A", valor_libros="99")
    await world.dirty("A")
    assert (world.row("A").values["nombre"], world.row("A").values["valor_libros"]) == ("Del CMMS", "99")
    assert world.cmms.records["A"].values["valor_libros"] == "99"
    assert (await world.entry("A")).conflicts == ()


async def test_merge_a_conflict_follows_the_rule_and_keeps_the_loser(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Del CMMS", valor_libros="1")
    world.dynamics.put("A", nombre="From Dynamics", valor_libros="2")
    await world.dirty("A")
    assert (world.row("A").values["nombre"], world.cmms.records["A"].values["valor_libros"]) == ("Del CMMS", "2")
    lost = {conflict.field: conflict.lost for conflict in (await world.entry("A")).conflicts}
    assert lost == {"nombre": "From Dynamics", "valor_libros": "1"}


async def test_intent_before_write_a_live_one_keeps_others_away(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.refuse = [Unavailable("no answer")]
    results = world.dynamics.write

    async def unknown(*arguments: object) -> object:
        await results(*arguments)  # type: ignore[arg-type]
        return [Failed(Unavailable("no answer"), unknown=True)]

    world.dynamics.write = unknown  # type: ignore[method-assign,assignment]
    await world.dirty("A")
    assert [intent.side for intent in (await world.entry("A")).intents] == ["dynamics"]
    world.dynamics.write = results  # type: ignore[method-assign]
    world.dynamics.writes.clear()
    summary = await world.dirty("A")
    assert (summary.retried, world.dynamics.writes) == (1, [])


async def test_conditional_writes_an_update_carries_the_etag_as_read(world: World) -> None:
    await agreed(world)
    before = world.row("A").etag
    world.cmms.put("A", nombre="Nueva")
    await world.dirty("A")
    (write,) = world.dynamics.writes
    assert (write.etag, dict(write.values)) == (before, {"nombre": "Nueva"})


async def test_commit_and_recovery_of_old_intents(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    write = world.dynamics.write

    async def lost(*arguments: object) -> object:
        await write(*arguments)  # type: ignore[arg-type]  # it happens, and nobody hears of it
        return [Failed(Unavailable("the answer was lost"), unknown=True)]

    async def away(*arguments: object) -> object:
        raise Unavailable("and no answer to the question either")

    read = world.dynamics.by_id
    world.dynamics.write = lost  # type: ignore[method-assign,assignment]
    world.dynamics.by_id = away  # type: ignore[method-assign,assignment]
    assert (await world.dirty("A")).retried == 1
    world.dynamics.write = write  # type: ignore[method-assign]
    world.dynamics.by_id = read  # type: ignore[method-assign]
    world.dynamics.writes.clear()
    world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
    assert (await world.dirty("A")).already_true == 1
    entry = await world.entry("A")
    assert (entry.intents, entry.bases["nombre"].dynamics, world.dynamics.writes) == ((), "Nueva", [])


async def test_a_bad_field_blocks_only_itself_and_is_parked_once_per_value(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150, valor_adquisicion="7.5")
    for _ in range(2):
        await world.dirty("A")
    assert world.row("A").values["valor_adquisicion"] == "7.5"
    assert [message.properties["field"] for message in world.bus.queues[PARKED.name]] == ["nombre"]


async def test_a_value_that_a_side_refuses_blocks_only_itself(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva", valor_adquisicion="7.5")
    world.dynamics.refuse = [RejectedByTarget("out of range", field="valor_adquisicion")]
    summary = await world.dirty("A")
    assert (world.row("A").values["nombre"], summary.fields_parked) == ("Nueva", 1)


async def test_a_record_that_the_cmms_shows_in_no_usable_form_is_parked_and_holds_no_other_back(world: World) -> None:
    for key in ("A", "B", "C"):
        world.cmms.put(key, nombre="Bomba")
    world.cmms.unusable["B"] = MappingError("asset B: version has no offset", field="version")
    bodies = [Event(source="/t", type="sync.asset.dirty", data={"key": key}).to_json().encode() for key in "ABC"]
    summary = await world.sync.handle("asset", bodies)
    assert (summary.applied, summary.parked) == (2, 1)
    (parked,) = world.bus.queues[PARKED.name]
    assert (parked.properties["reason"], parked.properties["key"]) == ("mapping_error", "B")
    assert "version has no offset" in str(parked.properties["message"])


async def test_a_good_field_arrives_in_one_attempt_however_many_fields_a_side_refuses() -> None:
    refused = [f"campo_{number}" for number in range(12)]
    mapping = document_mapping()
    asset = mapping.entities["asset"]
    more = {name: {"column": f"new_{name}", "type": "string", "length": 10} for name in refused}
    known = {name: field.model_dump(exclude_unset=True) for name, field in asset.fields.items()}
    wide = EntityMapping.model_validate({**asset.model_dump(exclude_unset=True), "fields": {**known, **more}})
    with closing(World(mapping=mapping.model_copy(update={"entities": {"asset": wide}}))) as world:
        await agreed(world)
        world.cmms.put("A", nombre="Nueva", **dict.fromkeys(refused, "x"))
        world.dynamics.refuse = [RejectedByTarget("no", field=name) for name in refused]
        summary = await world.dirty("A")
        assert (world.row("A").values["nombre"], summary.fields_parked, summary.retried) == ("Nueva", len(refused), 0)


async def test_no_round_is_begun_that_could_outlive_the_lock_of_its_messages(world: World) -> None:
    await agreed(world)
    write = world.dynamics.write

    async def slow(*arguments: object) -> object:
        world.clock.advance(timedelta(seconds=140))
        world.dynamics.put("A", numero_de_serie=str(world.clock.now()))  # somebody is always first
        return await write(*arguments)  # type: ignore[arg-type]

    world.dynamics.write = slow  # type: ignore[method-assign,assignment]
    world.cmms.put("A", nombre="Nueva")
    before = world.clock.now()
    summary = await world.dirty("A")
    assert (summary.retried, world.clock.now() - before) == (1, timedelta(seconds=140))
    assert '"attempt":1' in str(world.bus.queues[ASSETS.name][0].body)


async def test_a_race_that_is_lost_for_good_is_parked_with_the_words_of_who_refused(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.refuse = [Conflict("the row changed meanwhile") for _ in range(100)]
    await world.dirty("A")
    while again := world.bus.queues.pop(ASSETS.name, []):
        world.clock.advance(timedelta(minutes=15))
        await world.sync.handle("asset", [str(again[0].body).encode()])
    (parked,) = world.bus.queues[PARKED.name]
    assert "the row changed meanwhile" in str(parked.properties)


@pytest.mark.parametrize("field", ["valor_adquisicion", None])
async def test_a_refusal_counts_no_more_once_a_person_has_replaced_what_was_refused(
    world: World, field: str | None
) -> None:
    await agreed(world)
    world.cmms.put("A", valor_adquisicion="7.5")
    write = world.dynamics.write

    async def slow(*arguments: object) -> object:
        results = await write(*arguments)  # type: ignore[arg-type]
        world.cmms.put("A", valor_adquisicion="8")
        world.dynamics.write = write  # type: ignore[method-assign]
        return results

    world.dynamics.write = slow  # type: ignore[method-assign,assignment]
    world.dynamics.refuse = [RejectedByTarget("out of range", field=field)]
    await world.dirty("A")
    assert world.row("A").values["valor_adquisicion"] == "8"
    assert (await world.entry("A")).parked == {}
    assert PARKED.name not in world.bus.queues


async def test_a_refused_create_counts_no_more_once_the_row_is_there(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    write = world.dynamics.write

    async def slow(*arguments: object) -> object:
        results = await write(*arguments)  # type: ignore[arg-type]
        world.dynamics.put("A", nombre="Bomba")
        world.dynamics.write = write  # type: ignore[method-assign]
        return results

    world.dynamics.write = slow  # type: ignore[method-assign,assignment]
    world.dynamics.refuse = [RejectedByTarget("a name is required")]
    summary = await world.dirty("A")
    assert ((await world.entry("A")).parked, summary.fields_parked) == ({}, 0)


async def test_what_the_ledger_cannot_keep_is_parked_for_what_it_is_and_not_tried_for_ever(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.put("A", nombre="Bomba")
    write, tries = world.ledger.write, []

    async def small(entity: str, entries: Sequence[Stored]) -> object:
        tries.append(entries)
        if any(stored.entry.bases for stored in entries):
            return [KeyNotUsable("The ledger cannot hold A.") for _ in entries]
        return await write(entity, entries)  # type: ignore[no-untyped-call]

    world.ledger.write = small  # type: ignore[method-assign]
    summary = await world.dirty("A")
    assert (summary.fields_parked, summary.retried, len(tries)) == (1, 0, 2)
    assert [message.properties["reason"] for message in world.bus.queues[PARKED.name]] == ["key_not_usable"]


async def test_what_waits_for_a_row_to_open_is_parked_where_opening_it_is_refused(world: World) -> None:
    world.cmms.put("O", estado="RECIBIDA", justificacion="x")
    await world.dirty("O", "order")
    row = world.row("O")
    world.dynamics.rows[row.id] = replace(row, is_open=False, state=3)
    world.cmms.put("O", estado="BORRADOR", justificacion="y")
    world.dynamics.refuse = [RejectedByTarget("no reopening", field="estado")]
    await world.dirty("O", "order")
    parked = {message.properties["field"]: message.properties["reason"] for message in world.bus.queues[PARKED.name]}
    assert parked == {"estado": "rejected_by_target", "justificacion": "record_closed"}


async def test_a_replayed_message_parks_what_still_blocks_it_once(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="N" * 150, valor_adquisicion="7.5", numero_de_serie="S")
    await world.dirty("A")
    world.dynamics.writes.clear()
    world.cmms.put("A", valor_adquisicion="8", numero_de_serie="T")
    world.dynamics.refuse = [
        RejectedByTarget("out of range", field="valor_adquisicion"),
        RejectedByTarget("taken", field="numero_de_serie"),
    ]
    (parked,) = world.bus.queues.pop(PARKED.name)
    event = parse_event(parked.body if isinstance(parked.body, bytes) else str(parked.body).encode())
    replayed = event.model_copy(update={"history": str(parked.properties["history"])})
    await world.sync.handle("asset", [replayed.to_json().encode()])
    fields = sorted(message.properties["field"] for message in world.bus.queues[PARKED.name])
    assert fields == ["nombre", "numero_de_serie", "valor_adquisicion"]


async def test_keys_a_row_whose_key_differs_by_case_is_never_taken(world: World) -> None:
    world.dynamics.put("a", nombre="Other")
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("A")
    assert world.dynamics.writes == []
    assert [message.properties["reason"] for message in world.bus.queues[PARKED.name]] == ["key_not_usable"]


async def test_keys_a_key_changed_in_dynamics_is_restored_and_recorded(world: World) -> None:
    await agreed(world)
    row = world.row("A")
    world.dynamics.rows[row.id] = type(row)("OTHER", 'W/"x"', row.values, id=row.id, state=0)
    await world.dirty("A")
    assert world.dynamics.rows[row.id].key == "A"
    assert [conflict.why for conflict in (await world.entry("A")).conflicts] == ["key_changed"]


async def test_deletes_deactivate_and_leave_a_tombstone_and_only_a_newer_change_recreates(world: World) -> None:
    await agreed(world)
    world.clock.advance(timedelta(minutes=1))
    world.cmms.delete("A")
    await world.dirty("A")
    assert world.row("A").state == 1
    assert (await world.entry("A")).deleted_at is not None
    await world.dirty("A")
    assert len(world.dynamics.rows) == 1
    world.clock.advance(timedelta(minutes=1))
    world.cmms.put("A", nombre="De nuevo")
    await world.dirty("A")
    assert (world.row("A").state, world.row("A").values["nombre"]) == (0, "De nuevo")


async def test_deletes_a_row_that_is_deactivated_late_is_made_active_for_the_record_that_came_back(
    world: World,
) -> None:
    await agreed(world)
    world.cmms.delete("A")
    write = world.dynamics.write

    async def late(_: EntityMapping, writes: Sequence[DynamicsWrite], __: float) -> list[Failed]:
        return [Failed(Unavailable("no answer"), unknown=True) for _ in writes]

    world.dynamics.write = late  # type: ignore[method-assign,assignment]
    await world.dirty("A")
    world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
    world.cmms.put("A", nombre="De nuevo", valor_libros="10")
    await world.dirty("A")
    row = world.row("A")
    world.dynamics.rows[row.id] = replace(row, state=1, etag='W/"late"')
    world.dynamics.write = write  # type: ignore[method-assign]
    world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
    await world.dirty("A")
    assert (world.row("A").state, world.row("A").values["nombre"]) == (0, "De nuevo")


async def test_deletes_a_row_gone_from_dynamics_is_parked_and_not_recreated(world: World) -> None:
    await agreed(world)
    world.dynamics.rows.clear()
    world.cmms.put("A", nombre="Nueva")
    await world.dirty("A")
    assert world.dynamics.rows == {}
    assert world.bus.queues[PARKED.name][0].properties["reason"] == "gone_from_dynamics"


async def test_merge_a_value_emptied_in_the_cmms_is_an_edit_also_against_a_row_that_a_person_made_anew(
    world: World,
) -> None:
    await agreed(world, numero_de_serie="1", valor_adquisicion=None)
    del world.dynamics.rows[world.row("A").id]
    world.cmms.put("A", numero_de_serie=None)
    world.dynamics.put("A", numero_de_serie="2", valor_adquisicion="3", nombre="Bomba", valor_libros="10")
    await world.dirty("A")
    assert (world.cmms.records["A"].values["numero_de_serie"], world.row("A").values["numero_de_serie"]) == (None, None)
    assert world.cmms.records["A"].values["valor_adquisicion"] == "3"  # never said in the CMMS: no edit is lost
    assert [(one.field, one.lost) for one in (await world.entry("A")).conflicts] == [("numero_de_serie", "2")]


async def made_again(world: World) -> DynamicsWrite:
    """A row deleted in Dynamics that a late create of ours, which it answers, brought back with what was said then."""
    world.cmms.put("A", nombre="old", valor_libros="1", numero_de_serie="old")
    await world.dirty("A")
    (created,) = world.dynamics.writes
    world.clock.advance(timedelta(minutes=1))
    world.cmms.put("A", nombre="new", valor_libros="2", numero_de_serie=None)
    await world.dirty("A")
    world.clock.advance(timedelta(minutes=1))
    del world.dynamics.rows[world.row("A").id]
    world.dynamics.put("A", created.new_id, **created.values)
    return created


async def test_deletes_a_row_that_a_late_create_of_ours_brings_back_brings_back_no_old_value(world: World) -> None:
    created = await made_again(world)
    await world.dirty("A")
    assert world.cmms.records["A"].values == {"nombre": "new", "valor_libros": "2", "numero_de_serie": None}
    assert {name: world.row("A").values[name] for name in created.values} == world.cmms.records["A"].values
    conflicts = {one.field: (one.lost, one.why) for one in (await world.entry("A")).conflicts}
    assert conflicts == {name: (value, "made_again") for name, value in created.values.items()}


async def test_deletes_an_edit_of_a_row_that_was_brought_back_counts_although_our_own_write_had_no_answer(
    world: World,
) -> None:
    await made_again(world)
    write, read = world.dynamics.write, world.dynamics.by_id

    async def lost(*arguments: object) -> object:
        await write(*arguments)  # type: ignore[arg-type]  # it happens, and nobody hears of it
        world.dynamics.put("A", nombre="a person's")
        return [Failed(Unavailable("the answer was lost"), unknown=True)]

    async def away(*arguments: object) -> object:
        raise Unavailable("and no answer to the question either")

    world.dynamics.write = lost  # type: ignore[method-assign,assignment]
    world.dynamics.by_id = away  # type: ignore[method-assign,assignment]
    await world.dirty("A")
    world.dynamics.write = write  # type: ignore[method-assign]
    world.dynamics.by_id = read  # type: ignore[method-assign]
    world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
    await world.dirty("A")
    assert world.cmms.records["A"].values["nombre"] == world.row("A").values["nombre"] == "a person's"


async def test_routing_a_whole_side_s_failure_is_no_attempt_and_waits_as_asked(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.refuse = [Throttled("slow down", retry_after=timedelta(minutes=7))]
    await world.dirty("A")
    (copy,) = world.bus.queues[ASSETS.name]
    assert copy.scheduled_at is not None
    assert copy.scheduled_at - world.clock.now() >= timedelta(minutes=7)
    assert '"attempt":0' in str(copy.body)


@pytest.mark.parametrize("said", [timedelta(days=-1), timedelta(), timedelta(days=9000)])
async def test_routing_a_side_that_fails_for_a_day_parks_whatever_clock_said_when_the_message_came(
    world: World, said: timedelta
) -> None:
    world.cmms.put("A", nombre="Bomba")
    first = world.clock.now() + said
    body = Event(source="/t", type="sync.asset.dirty", data={"key": "A"}, firstenqueued=first).to_json()
    for _ in range(3):
        world.dynamics.refuse = [Throttled("slow down")]
        await world.sync.handle("asset", [body.encode()])
        body = str(queue[-1].body) if (queue := world.bus.queues.get(ASSETS.name, [])) else body
        world.clock.advance(timedelta(hours=12))
    assert [one.properties["reason"] for one in world.bus.queues[PARKED.name]][:1] == ["throttled"]


async def test_routing_a_message_that_never_succeeds_is_parked_after_its_last_attempt(world: World) -> None:
    body = None
    for _ in range(ATTEMPTS):
        event = (
            '{"specversion":"1.0","id":"1","source":"/t","type":"energy.asset.upserted","data":{"key":"A","fields":{}}}'
        )
        await world.sync.handle("asset", [str(body or event).encode()])
        body = world.bus.queues[ASSETS.name][-1].body if ASSETS.name in world.bus.queues else None
    (parked,) = world.bus.queues[PARKED.name]
    assert (parked.properties["reason"], parked.properties["attempts"]) == ("not_yet_visible", ATTEMPTS)


async def test_routing_one_batch_gives_each_message_its_own_outcome(world: World) -> None:
    await agreed(world)
    world.cmms.put("B", nombre="Nueva")

    def dirty(key: str) -> bytes:
        data = f'{{"key": "{key}"}}'
        return f'{{"specversion":"1.0","id":"{key}","source":"/t","type":"sync.asset.dirty","data":{data}}}'.encode()

    summary = await world.sync.handle("asset", [dirty("A"), dirty("B"), dirty("B"), b"\xff", b"{}"])
    assert (summary.already_true, summary.applied, summary.parked) == (1, 2, 2)


async def test_one_way_late_doubled_and_partial_messages_change_nothing_that_is_newer(one_way: World) -> None:
    world, start = one_way, one_way.clock.now() - timedelta(days=5)
    await world.said(start + timedelta(days=2), nombre="Nueva", numero_de_serie="S2")
    await world.said(start + timedelta(days=1), nombre="Vieja", valor_adquisicion="5")
    await world.said(start + timedelta(days=2), nombre="Nueva", numero_de_serie="S2")
    values = world.row("A").values
    assert (values["nombre"], values["numero_de_serie"], values["valor_adquisicion"]) == ("Nueva", "S2", "5")


async def test_one_way_what_was_said_before_a_deletion_stays_unsaid_after_a_rebirth(one_way: World) -> None:
    world, start = one_way, one_way.clock.now() - timedelta(days=5)
    await world.said(start + timedelta(days=2), nombre="Bomba", numero_de_serie="newer")
    await world.said(start + timedelta(days=3), kind="deleted")
    await world.said(start + timedelta(days=4), nombre="De nuevo")
    await world.said(start + timedelta(days=1), numero_de_serie="OLDER")
    assert world.row("A").values["nombre"] == "De nuevo"
    assert world.row("A").values["numero_de_serie"] != "OLDER"


async def test_creation_the_state_that_a_row_is_born_with_is_nobodys_and_gives_way(one_way: World) -> None:
    """A partial message overtakes the one that tells the state, or the state was one that the mapping does not know."""
    world, start = one_way, one_way.clock.now()

    async def say(minute: int, **fields: Value) -> None:
        data = {"key": "O", "version": (start + timedelta(minutes=minute)).isoformat(), "fields": fields}
        event = Event(id=str(uuid4()), source="/energy-cmms", type="energy.order.upserted", data=data)
        await world.sync.handle("order", [event.to_json().encode()])

    await say(2, justificacion="late")
    assert world.row("O").values["estado"] == "1"
    await say(1, justificacion="early", estado="AUTORIZADO")
    assert (world.row("O").values["estado"], world.row("O").values["justificacion"]) == ("3", "late")
    assert [one.field for one in (await world.entry("O", "order")).conflicts if one.field == "estado"] == []
