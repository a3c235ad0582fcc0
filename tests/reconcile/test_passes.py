"""What a full and an incremental pass find, and what of it they repair."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from random import Random

import httpx
import pytest

from shared.domain.link import Identity
from shared.errors import RoutingFailed, Unavailable
from shared.flows.reconcile import Report
from shared.flows.reconcile.drift import DriftClass
from shared.flows.reconcile.report import Kind
from tests.reconcile.world import TABLE, World, remapped

DRIFTED = {
    "A-001": DriftClass.CMMS_AHEAD,
    "A-002": DriftClass.DYNAMICS_AHEAD,
    "A-003": DriftClass.CONFLICT,
    "A-004": DriftClass.GONE_FROM_DYNAMICS,
    "B-001": DriftClass.MISSING_IN_DYNAMICS,
    "B-002": DriftClass.MISSING_IN_CMMS,
    "A-005": DriftClass.DUPLICATE_KEY,
    "A-006": DriftClass.ROW_REPLACED,
    "A-008": DriftClass.WENT_BACK,
    "A-011": DriftClass.LEDGER_BEHIND,
}
ELSEWHERE = {DriftClass.MAPPING_CHANGED, DriftClass.UNREADABLE_COLUMN, DriftClass.NO_EFFECT, DriftClass.NOT_CREATED}
"""Classes that need another mapping, security, plug-in or refusal: `test_conditions` has them."""
FOR_A_PERSON = {kind for kind in DriftClass if not kind.repairable} - ELSEWHERE


def drift(world: World, *, announced: bool = False) -> None:
    """One record of every class that needs no other mapping."""
    world.cmms.put("A-001", nombre="Otra bomba", announced=announced)
    world.edit("A-002", msdyn_serialid="SN-2")
    world.cmms.put("A-003", nombre="Nombre", announced=announced)
    world.edit("A-003", msdyn_name="Name")
    world.delete("A-004")
    world.cmms.put("B-001", announced=announced)
    world.create("B-002")
    key = world.rows.table.keys.pop("cmms_AssetKey")
    world.create("A-005")
    world.rows.table.keys["cmms_AssetKey"] = key
    made = world.row("A-006").id
    world.delete("A-006")
    world.create("A-006", msdyn_customerassetid=str(made))
    world.cmms.restore("A-008", nombre="Vieja")
    world.edit("A-008", msdyn_serialid="SN-8")
    world.edit("A-011", cmms_operation="an operation of a later ledger", msdyn_name="Later")
    world.clock.advance(timedelta(minutes=15))


def classes(report: Report) -> dict[str, DriftClass]:
    return {finding.key: finding.kind for finding in report.findings}


async def test_a_full_pass_finds_every_class_and_nothing_else(world: World) -> None:
    drift(world)
    report = await world.reconciler().run()
    assert report.kind == "full"
    assert classes(report) == DRIFTED
    assert report.totals() == {kind: 1 for kind in sorted(DriftClass) if kind not in ELSEWHERE}
    repaired = {message.subject for message in world.bus.queues["assets"]}
    assert repaired == {key for key, kind in DRIFTED.items() if kind.repairable}
    assert report.repairs == 6


async def test_what_was_repaired_is_no_drift_any_more(world: World) -> None:
    drift(world)
    await world.reconciler().run()
    await world.settle()
    world.clock.advance(timedelta(hours=25))
    again = await world.reconciler().run()
    assert again.kind == "full"
    assert set(classes(again).values()) == FOR_A_PERSON
    assert again.repairs == 0
    assert world.row("A-001").values["msdyn_name"] == "Otra bomba"
    assert world.cmms.values("A-002")["numero_de_serie"] == "SN-2"


async def test_an_incremental_pass_finds_what_changed_in_few_requests(world: World) -> None:
    assert (await world.reconciler().run()).kind == "full"
    drift(world, announced=True)
    world.wire.requests = 0
    report = await world.reconciler().run()
    assert report.kind == "incremental"
    assert classes(report) == DRIFTED
    assert world.wire.requests <= 10
    await world.settle()
    world.clock.advance(timedelta(minutes=15))
    assert (await world.reconciler().run()).repairs == 0


async def test_agreement_that_only_the_ledger_does_not_know_is_remembered_and_is_no_drift(world: World) -> None:
    world.cmms.put("C-1")
    world.create(
        "C-1", msdyn_acquisitioncost=10, msdyn_currentbookvalue=Decimal("5.5"), msdyn_acquisitiondate="2024-02-29"
    )
    report = await world.reconciler().run()
    assert classes(report) == {}
    assert report.entities[0].unremembered == 1
    assert report.repairs == 1
    await world.settle()
    world.clock.advance(timedelta(hours=25))
    assert (await world.reconciler().run()).repairs == 0


async def test_a_key_that_the_cmms_has_twice_is_reported_and_never_repaired(world: World) -> None:
    world.cmms.double("A-007", nombre="x")
    report = await world.reconciler().run()
    assert [(one.key, one.kind) for one in report.findings] == [("A-007", DriftClass.DUPLICATE_KEY)]
    assert (report.drifted, report.repairs) == (1, 0)


async def test_a_row_that_stood_in_the_way_of_a_deleted_record_gets_its_own_by_the_next_full_pass(
    world: World,
) -> None:
    world.create("R-1", msdyn_name="a person's")
    world.cmms.rename("A-001", "R-1")
    record = {Identity("cmms", world.cmms.id("R-1")): "R-1"}
    await world.router.resync("asset", record, reason="renamed", source="/test")
    await world.settle()
    world.cmms.delete("R-1")
    await world.router.resync("asset", record, reason="deleted", source="/test")
    await world.settle()
    report = await world.reconciler().run()
    assert classes(report) == {"R-1": DriftClass.MISSING_IN_CMMS}
    await world.settle()
    assert world.cmms.values("R-1")["nombre"] == "a person's"


async def test_a_record_touched_a_moment_ago_is_looked_at_by_the_next_run(world: World) -> None:
    world.policy["settle"] = timedelta(seconds=120)
    world.edit("A-002", msdyn_serialid="SN-2")
    world.clock.advance(timedelta(seconds=100))
    report = await world.reconciler().run()
    assert (classes(report), report.pending) == ({}, 1)
    world.clock.advance(timedelta(seconds=900))
    report = await world.reconciler().run()
    assert report.kind == "incremental"
    assert classes(report) == {"A-002": DriftClass.DYNAMICS_AHEAD}


async def test_an_expired_link_leads_to_a_full_pass(world: World) -> None:
    world.policy["full_every"] = timedelta(days=30)
    await world.reconciler().run()
    world.cmms.put("A-001", nombre="Importada", announced=False)
    world.clock.advance(timedelta(days=8))
    report = await world.reconciler().run()
    assert report.kind == "full"
    assert classes(report) == {"A-001": DriftClass.CMMS_AHEAD}
    assert any("no longer knew" in note for note in report.entities[0].notes)
    world.clock.advance(timedelta(minutes=15))
    assert (await world.reconciler().run()).kind == "incremental"


async def test_a_table_without_change_tracking_is_compared_all_the_same(world: World) -> None:
    world.dataverse.tables[TABLE].table.change_tracking = False
    drift(world)
    report = await world.reconciler().run()
    assert classes(report) == DRIFTED
    assert "change tracking" in report.entities[0].notes[0]
    world.cmms.put("A-009", nombre="Otra")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert report.kind == "incremental"
    assert classes(report)["A-009"] is DriftClass.CMMS_AHEAD


async def test_nothing_advances_before_the_repairs_are_enqueued(world: World) -> None:
    await world.reconciler().run()
    drift(world, announced=True)
    world.bus.failure = Unavailable("The queue is away.")
    with pytest.raises(RoutingFailed):
        await world.reconciler().run()
    world.bus.failure = None
    report = await world.reconciler().run()
    assert report.kind == "incremental"
    assert classes(report) == DRIFTED


@pytest.mark.parametrize("seed", range(6))
async def test_a_sweep_killed_at_any_request_starts_again_and_finds_everything(world: World, seed: int) -> None:
    drift(world)
    left = Random(seed).randrange(1, 20)  # noqa: S311  # repeatable, not secret

    def kill(request: httpx.Request) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise asyncio.CancelledError

    world.wire.before = world.cmms_wire.before = kill
    with pytest.raises(asyncio.CancelledError):
        await world.reconciler().run()
    world.wire.before = world.cmms_wire.before = None
    assert classes(await world.reconciler().run()) == DRIFTED


async def test_records_that_change_during_the_sweep_are_found_then_or_by_the_next_run(world: World) -> None:
    drift(world)
    pages = iter(range(100))

    def edit(request: httpx.Request) -> None:
        number = next(pages)
        if number < 10:
            world.edit(f"A-{number + 20:03}", msdyn_serialid=f"SN-{number}")

    world.cmms_wire.before = edit
    first = await world.reconciler().run()
    world.cmms_wire.before = None
    world.clock.advance(timedelta(minutes=15))
    second = await world.reconciler().run()
    assert second.kind == "incremental"
    changed = {f"A-{number + 20:03}": DriftClass.DYNAMICS_AHEAD for number in range(10)}
    found = classes(first) | classes(second)
    assert found == DRIFTED | changed
    assert DRIFTED.items() <= classes(first).items()


async def test_edits_made_during_the_sweep_whose_messages_are_on_their_way_are_never_drift(world: World) -> None:
    world.policy["settle"] = timedelta(seconds=120)
    numbers = iter(range(100))

    def edit(request: httpx.Request) -> None:
        number = next(numbers)
        if number < 10:
            world.edit(f"A-{number + 20:03}", msdyn_serialid=f"SN-{number}")
            world.cmms.put(f"A-{number:03}", nombre=f"Nueva {number}")

    world.cmms_wire.before = edit
    first = await world.reconciler().run()
    world.cmms_wire.before = None
    assert (classes(first), first.repairs) == ({}, 0)
    assert first.pending > 0, "some of it was seen"
    edited = [f"A-{number:03}" for number in (*range(10), *range(20, 30))]
    await world.resync(edited)
    await world.settle()
    world.clock.advance(timedelta(minutes=15))
    second = await world.reconciler().run()
    assert (second.kind, classes(second), second.pending) == ("incremental", {}, 0)


async def test_a_record_synchronised_during_the_sweep_is_no_drift(world: World) -> None:
    calls = iter(range(100))

    def both(request: httpx.Request) -> None:
        # The CMMS is read page by page: what it shows last is newer than what the ledger showed first.
        if next(calls) == 3:
            world.cmms.put("A-030", nombre="Nueva")
            world.edit("A-030", msdyn_name="Nueva")

    world.cmms_wire.before = both
    report = await world.reconciler().run()
    assert classes(report) == {}


async def test_a_deleted_record_and_its_inactive_row_agree(world: World) -> None:
    world.cmms.delete("A-010")
    report = await world.reconciler().run()
    assert classes(report) == {"A-010": DriftClass.MISSING_IN_CMMS} or classes(report) == {
        "A-010": DriftClass.CMMS_AHEAD
    }
    await world.settle()
    assert world.row("A-010").values["statecode"] == 1
    world.clock.advance(timedelta(hours=25))
    assert classes(await world.reconciler().run()) == {}


async def test_a_field_whose_mapping_changed_meets_again_and_is_told_apart_from_edits(world: World) -> None:
    world.mapping = remapped(world.mapping, {"numero_de_serie": "msdyn_name"})
    report = await world.reconciler().run()
    assert set(classes(report).values()) == {DriftClass.MAPPING_CHANGED}
    assert len(report.findings) == 40


async def test_a_renamed_record_drifts_in_its_key_and_is_repaired_in_its_row(world: World) -> None:
    row = world.row("A-012").id
    world.cmms.rename("A-012", "Z-012", announced=False)
    report = await world.reconciler().run()
    (finding,) = report.findings
    assert (finding.key, finding.kind) == ("Z-012", DriftClass.CMMS_AHEAD)
    assert [(one.field, one.cmms, one.dynamics) for one in finding.differences] == [
        ("codigo_interno", "Z-012", "A-012")
    ]
    await world.settle()
    assert world.row("Z-012").id == row
    world.clock.advance(timedelta(hours=25))
    assert classes(await world.reconciler().run()) == {}


async def test_records_that_exchange_their_keys_are_told_by_their_ids_and_repaired(world: World) -> None:
    rows = {key: world.row(key).id for key in ("A-013", "A-014")}
    world.cmms.rename("A-013", "X", announced=False)
    world.cmms.rename("A-014", "A-013", announced=False)
    world.cmms.rename("X", "A-014", announced=False)
    report = await world.reconciler().run()
    assert classes(report) == dict.fromkeys(("A-013", "A-014"), DriftClass.CMMS_AHEAD)
    for _ in range(6):
        await world.settle()
        world.clock.advance(timedelta(minutes=15))
        await world.reconciler().run("full")
    assert {key: world.row(key).id for key in rows} == {"A-013": rows["A-014"], "A-014": rows["A-013"]}
    world.clock.advance(timedelta(hours=25))
    assert classes(await world.reconciler().run()) == {}


@pytest.mark.parametrize("kind", ["incremental", "full"])
async def test_a_record_whose_key_another_record_s_row_still_has_gets_its_own_row(world: World, kind: Kind) -> None:
    await world.reconciler().run()
    world.create("R-1", msdyn_name="a person's")
    world.cmms.rename("A-001", "R-1")
    renamed = {Identity("cmms", world.cmms.id("R-1")): "R-1"}
    await world.router.resync("asset", renamed, reason="renamed", source="/test")
    await world.settle()
    world.cmms.put("A-001", nombre="Nueva", announced=kind == "incremental")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run(kind)
    assert (classes(report)["A-001"], report.repairs) == (DriftClass.MISSING_IN_DYNAMICS, 1)
    await world.settle()
    assert world.row("A-001").values["msdyn_name"] == "Nueva"
    world.clock.advance(timedelta(hours=25))
    again = await world.reconciler().run()
    assert (classes(again), again.repairs, again.pending) == ({"R-1": DriftClass.DUPLICATE_KEY}, 0, 0)
