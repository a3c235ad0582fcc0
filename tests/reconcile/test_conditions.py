"""Rule 7 over both passes: what a side shows although nobody edited it erases, reverts and overwrites nothing."""

import copy
from contextlib import aclosing
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.emulators.dataverse.plugins import Behaviour, PlugIn
from shared.domain.link import Identity, Link, Restored, Stored
from shared.domain.messages.queues import PARKED
from shared.flows.operate.restored import Restore
from shared.flows.reconcile import Report
from shared.flows.reconcile.drift import DriftClass
from shared.flows.sync import Sync
from tests.reconcile.test_passes import classes
from tests.reconcile.world import TABLE, World

KEYS = tuple(f"A-{number:03}" for number in range(40))


def redeployed(world: World, **changes: dict[str, Any]) -> None:
    """Another mapping of the asset's fields, and functions that have started with it."""
    asset = world.mapping.entities["asset"]
    table = asset.model_dump()
    for name, change in changes.items():
        table["fields"][name] = {**table["fields"].get(name, {}), **change}
    entities = {**world.mapping.entities, "asset": type(asset).model_validate(table)}
    world.mapping = world.mapping.model_copy(update={"entities": entities})
    world.sync = Sync(world.mapping, world.ledger, world.dynamics, world.gateway, world.router, clock=world.clock)


async def settled(world: World, kind: str | None = None) -> Report:
    """One run of the timer, and the engine's work until nothing is tried again."""
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run(kind)  # type: ignore[arg-type]
    for _ in range(12):
        if not await world.settle():
            break
        world.clock.advance(timedelta(minutes=15))
    return report


def numbered(world: World) -> None:
    for key in KEYS:
        world.cmms.put(key, numero_de_serie=f"S-{key}")


def parked(world: World) -> set[str]:
    return {str(one.properties["reason"]) for one in world.bus.queues.get(PARKED.name, [])}


async def link(world: World, key: str) -> Link:
    """What the ledger holds of a record."""
    identity = Identity("cmms", world.cmms.id(key))
    found = (await world.ledger.find("asset", [identity]))[identity]
    assert isinstance(found, Stored)
    return found.link


async def said(world: World, side: Restored, at: datetime) -> set[str]:
    """What `ops restored` does, and then the engine: the keys of what was settled."""
    restore = Restore(
        ledger=world.ledger, dynamics=world.dynamics, cmms=world.gateway, router=world.router, clock=world.clock
    )
    taken = await restore.look(world.mapping.entities["asset"], side, at)
    await restore.settle(taken, side, rate=1e6)
    await world.settle()
    return taken.keys


@pytest.fixture
async def known(world: World) -> World:
    """Forty assets with serial numbers on which both sides agree, and a timer that has run."""
    numbered(world)
    await world.resync(KEYS)
    await world.settle()
    await settled(world)
    return world


async def test_a_field_on_another_column_is_filled_there_and_erased_nowhere(known: World) -> None:
    redeployed(known, numero_de_serie={"column": "msdyn_assettag"})
    known.edit("A-001", msdyn_name="Edited")
    report = await settled(known)
    assert report.kind == "full"
    assert report.totals()[DriftClass.MAPPING_CHANGED] == 40
    assert {known.cmms.values(key)["numero_de_serie"] for key in KEYS} == {f"S-{key}" for key in KEYS}
    assert known.row("A-002").values["msdyn_assettag"] == "S-A-002"
    assert known.cmms.values("A-001")["nombre"] == "Edited"
    assert classes(await settled(known, "full")) == {}


@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_two_swapped_columns_swap_no_values_without_a_record(known: World, kind: str) -> None:
    for key in KEYS:
        known.edit(key, msdyn_assettag=f"T-{key}")
    redeployed(known, numero_de_serie={"column": "msdyn_assettag"})
    known.edit("A-001", msdyn_name="Edited")
    await settled(known, kind)
    await settled(known, "full")
    assert {known.cmms.values(key)["numero_de_serie"] for key in KEYS} == {f"S-{key}" for key in KEYS}
    (conflict,) = (await link(known, "A-001")).conflicts
    assert (conflict.field, conflict.won, conflict.lost) == ("numero_de_serie", "S-A-001", "T-A-001")


async def test_a_field_that_is_mapped_again_meets_again_and_overwrites_nothing_unrecorded(known: World) -> None:
    known_fields = known.mapping
    asset = known.mapping.entities["asset"]
    fields = {name: rule for name, rule in asset.fields.items() if name != "numero_de_serie"}
    entities = {**known.mapping.entities, "asset": asset.model_copy(update={"fields": fields})}
    known.mapping = known.mapping.model_copy(update={"entities": entities})
    redeployed(known)
    await settled(known)
    known.cmms.put("A-001", numero_de_serie="of the CMMS")
    known.edit("A-001", msdyn_serialid="of Dynamics")
    known.edit("A-002", msdyn_serialid=None)
    await settled(known)
    known.mapping = known_fields
    redeployed(known)
    await settled(known)
    (conflict,) = (await link(known, "A-001")).conflicts
    assert (conflict.won, conflict.lost) == ("of the CMMS", "of Dynamics")
    assert known.row("A-002").values["msdyn_serialid"] == "S-A-002"


async def test_a_rule_under_which_all_agree_is_learnt_without_a_write_or_the_brake(tmp_path: Path) -> None:
    async with aclosing(World(tmp_path)) as world:
        await world.agree(120)
        await settled(world)
        redeployed(world, valor_libros={"scale": 4})
        writes = len(world.dataverse.log)
        report = await settled(world)
        assert (report.kind, report.brake, report.repairs, len(world.dataverse.log)) == ("full", None, 120, writes)
        world.edit("A-001", msdyn_currentbookvalue=Decimal("7.25"))
        world.cmms.put("A-002", valor_libros="8.25")
        await settled(world)
        assert world.cmms.values("A-001")["valor_libros"] == "7.25"
        assert (await link(world, "A-001")).conflicts == (await link(world, "A-002")).conflicts == ()
        assert (await settled(world, "full")).repairs == 0


@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_a_secured_column_erases_nothing_and_the_report_names_its_records(known: World, kind: str) -> None:
    known.rows.table.columns["msdyn_serialid"].permissions = {"app-1": frozenset()}
    known.edit("A-001", msdyn_name="Edited")
    report = await settled(known, kind)
    expected = set(KEYS) if kind == "full" else set()
    named = {key for key, of in classes(report).items() if of is DriftClass.UNREADABLE_COLUMN}
    assert named == expected - {"A-001"}
    assert {known.cmms.values(key)["numero_de_serie"] for key in KEYS} == {f"S-{key}" for key in KEYS}
    assert known.cmms.values("A-001")["nombre"] == "Edited"
    again = await settled(known, "full")
    assert classes(again) == dict.fromkeys(KEYS, DriftClass.UNREADABLE_COLUMN)
    assert again.repairs == 0


@pytest.mark.parametrize("cause", ["a required value", "the whole row"])
async def test_a_record_whose_creation_is_parked_is_no_agreement(known: World, cause: str) -> None:
    if cause == "the whole row":
        known.dataverse.plug_ins.append(PlugIn(Behaviour.REFUSE, table=TABLE))
    known.cmms.put("N-001", nombre="x" * 400 if cause == "a required value" else "Bomba")
    await settled(known)
    assert "N-001" not in {str(row.values.get("msdyn_assetnumber")) for row in known.rows}
    again = await settled(known, "full")
    assert (classes(again), again.repairs) == ({"N-001": DriftClass.NOT_CREATED}, 0)
    known.dataverse.plug_ins.clear()
    known.cmms.put("N-001", nombre="Bomba nueva")
    await settled(known)
    assert classes(await settled(known, "full")) == {}


@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_a_write_without_effect_is_told_by_each_full_report(known: World, kind: str) -> None:
    known.dataverse.plug_ins.append(PlugIn(Behaviour.IGNORE, table=TABLE, column="msdyn_serialid"))
    known.cmms.put("A-001", numero_de_serie="new")
    await settled(known, kind)
    assert (parked(known), known.cmms.values("A-001")["numero_de_serie"]) == ({"no_effect"}, "new")
    assert classes(await settled(known, "full")) == {"A-001": DriftClass.NO_EFFECT}
    known.dataverse.plug_ins.clear()
    known.cmms.put("A-001", numero_de_serie="newer")
    await settled(known)
    assert classes(await settled(known, "full")) == {}


@pytest.mark.parametrize("edited", [False, True], ids=["unedited", "edited since"])
@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_dynamics_restored_takes_nothing_back_until_an_operator_says_so(
    known: World, kind: str, *, edited: bool
) -> None:
    backup, at = known.dataverse.snapshot(), known.clock.now()
    for key in ("A-001", "A-002"):
        known.edit(key, msdyn_name="Of today", msdyn_serialid="T")
    await settled(known)
    known.dataverse.restore(backup)
    if edited:
        known.edit("A-001", msdyn_assettag="unrelated", msdyn_acquisitiondate="2025-01-01")
    await settled(known, kind)
    report = await settled(known, "full")
    assert classes(report) == dict.fromkeys(("A-001", "A-002"), DriftClass.WENT_BACK)
    assert {known.cmms.values(key)["nombre"] for key in ("A-001", "A-002")} == {"Of today"}
    assert await said(known, "dynamics", at) == {"A-001", "A-002"}
    assert {known.row(key).values["msdyn_name"] for key in ("A-001", "A-002")} == {"Of today"}
    assert classes(await settled(known, "full")) == {}
    lost = {(one.field, one.lost) for one in (await link(known, "A-001")).conflicts}
    assert {("nombre", "Bomba"), ("numero_de_serie", "S-A-001")} <= lost


@pytest.mark.parametrize("edited", [False, True], ids=["unedited", "edited since"])
@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_the_cmms_restored_takes_nothing_back_until_an_operator_says_so(
    known: World, kind: str, *, edited: bool
) -> None:
    backup, at = copy.deepcopy(known.cmms.records), known.clock.now()
    for key in ("A-001", "A-002"):
        known.cmms.put(key, nombre="Of today", numero_de_serie="T")
    await settled(known)
    known.cmms.records = backup
    known.clock.advance(timedelta(hours=1))
    if edited:
        known.cmms.put("A-001", fecha_adquisicion="2025-01-01")
        await known.resync(["A-001"])
    await settled(known, kind)
    report = await settled(known, "full")
    assert classes(report) == dict.fromkeys(("A-001", "A-002"), DriftClass.WENT_BACK)
    assert {known.row(key).values["msdyn_name"] for key in ("A-001", "A-002")} == {"Of today"}
    assert await said(known, "cmms", at) == {"A-001", "A-002"}
    assert {known.cmms.values(key)["nombre"] for key in ("A-001", "A-002")} == {"Of today"}
    assert classes(await settled(known, "full")) == {}


async def test_the_ledger_restored_makes_edits_that_were_put_back_conflicts_on_record(known: World) -> None:
    backup, at = known.ledger._db.serialize(), known.clock.now()
    known.cmms.put("A-001", nombre="Of today")
    known.edit("A-002", msdyn_name="Of today")
    await settled(known)
    known.ledger._db.deserialize(backup)
    # Of A-001 the operation stamp tells; of A-002 the CMMS's operations.
    known.edit("A-001", msdyn_name="Bomba")
    known.cmms.put("A-002", nombre="Bomba")
    report = await settled(known, "full")
    assert classes(report) == dict.fromkeys(("A-001", "A-002"), DriftClass.LEDGER_BEHIND)
    assert [(one.lost, one.why) for one in (await link(known, "A-001")).conflicts] == [("Bomba", "first_contact")]
    assert [(one.lost, one.why) for one in (await link(known, "A-002")).conflicts] == [("Of today", "first_contact")]
    assert await said(known, "ledger", at) == set()


async def test_a_restored_ledger_without_evidence_is_settled_by_the_operator_s_word(known: World) -> None:
    entity = known.mapping.entities["asset"].model_copy(update={"stamp": None})
    known.mapping = known.mapping.model_copy(update={"entities": {**known.mapping.entities, "asset": entity}})
    redeployed(known)
    backup, at = known.ledger._db.serialize(), known.clock.now()
    known.cmms.put("A-001", nombre="Of today")
    known.cmms.put("A-003", nombre="Of today")
    await settled(known)
    known.ledger._db.deserialize(backup)
    known.edit("A-001", msdyn_name="Bomba")
    known.clock.advance(timedelta(minutes=15))
    assert await said(known, "ledger", at) == {"A-001", "A-003"}
    assert known.row("A-001").values["msdyn_name"] == known.cmms.values("A-001")["nombre"] == "Of today"
    assert [(one.lost, one.why) for one in (await link(known, "A-001")).conflicts] == [("Bomba", "first_contact")]
    assert classes(await settled(known, "full")) == {}


@pytest.mark.parametrize("side", ["dynamics", "ledger"])
async def test_a_value_that_one_side_alone_keeps_is_not_settled_again(known: World, side: Restored) -> None:
    redeployed(known, numero_de_serie={"direction": "to_dynamics"})
    at = known.clock.now()
    known.create("A-100", msdyn_serialid="Kept")
    known.cmms.put("A-100", nombre="Bomba")
    await settled(known, "full")
    assert [(one.won, one.lost) for one in (await link(known, "A-100")).conflicts] == [("Kept", None)]
    assert "A-100" not in await said(known, side, at)


async def test_both_sides_restored_to_one_moment_are_settled_by_a_word_on_the_ledger(known: World) -> None:
    rows, records, at = known.dataverse.snapshot(), copy.deepcopy(known.cmms.records), known.clock.now()
    known.edit("A-001", msdyn_name="Of today")
    known.cmms.put("A-002", nombre="Of today")
    await settled(known)
    known.dataverse.restore(rows)
    known.cmms.records = records
    report = await settled(known, "full")
    assert classes(report) == dict.fromkeys(("A-001", "A-002"), DriftClass.WENT_BACK)
    assert await said(known, "ledger", at) == {"A-001", "A-002"}
    for key in ("A-001", "A-002"):
        assert known.row(key).values["msdyn_name"] == known.cmms.values(key)["nombre"] == "Bomba"
    assert classes(await settled(known, "full")) == {}
