"""The cap, the brake and its release, and what is pending between runs."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from shared.domain.schema.mapping import Mapping
from shared.errors import Unavailable
from shared.flows.reconcile import brake_of, release_brake
from shared.flows.reconcile.brake import hold
from tests.fakes import FakeClock
from tests.reconcile.world import World, remapped

ROOT: Final = Path(__file__).resolve().parents[2]
COUNT: Final = 120
SETTINGS: Final = {
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com",
    "DYNAMICS_365_WEBHOOK_SECRET": "a-secret-of-at-least-32-characters",
    "SERVICE_BUS_NAMESPACE": "contoso.servicebus.windows.net",
}


async def drifted(world: World, count: int) -> None:
    await world.agree(COUNT)
    for number in range(count):
        world.cmms.put(f"A-{number:03}", nombre=f"Nueva {number}", announced=False)


async def test_repairs_over_the_cap_are_pending_and_come_with_the_next_runs(world: World) -> None:
    world.policy["max_repairs"] = 4
    for number in range(10):
        world.cmms.put(f"A-{number:03}", nombre="Nueva", announced=False)
    sent = []
    for _ in range(3):
        report = await world.reconciler().run()
        sent.append((report.kind, report.repairs, report.pending))
        await world.settle()
        world.clock.advance(timedelta(minutes=15))
    assert sent == [("full", 4, 6), ("incremental", 4, 2), ("incremental", 2, 0)]
    assert all(world.row(f"A-{number:03}").values["msdyn_name"] == "Nueva" for number in range(10))


async def test_the_brake_holds_everything_until_it_is_released(world: World) -> None:
    await drifted(world, 60)
    world.policy["max_repairs"] = 25
    report = await world.reconciler().run()
    assert (report.repairs, report.pending, report.drifted) == (0, 60, 60)
    assert report.brake is not None
    assert (report.brake.held, report.brake.ledger_rows) == (60, COUNT)
    world.clock.advance(timedelta(minutes=15))
    assert (await world.reconciler().run()).repairs == 0, "it holds in the runs that follow as well"
    assert not world.bus.queues.get("assets")

    released = await release_brake(world.ledger, "operator")
    assert released is not None
    sent, notes = [], []
    for _ in range(4):
        world.clock.advance(timedelta(minutes=15))
        report = await world.reconciler().run()
        sent.append(report.repairs)
        notes.append(any("operator released the brake" in note for note in report.notes))
        await world.settle()
    assert sent == [25, 25, 10, 0]
    assert notes == [True, True, True, False], "each report of what was let go names who released it"
    assert await brake_of(world.ledger) is None


async def test_a_release_lets_go_no_further_flood(world: World) -> None:
    await drifted(world, 52)
    assert (await world.reconciler().run()).brake is not None
    await release_brake(world.ledger, "operator")
    for number in range(COUNT):
        world.cmms.put(f"A-{number:03}", nombre=f"Todo {number}")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert report.repairs == 0
    assert report.brake is not None
    assert report.brake.held == COUNT


async def test_a_tenth_is_of_the_rows_of_now_also_between_the_first_load_and_the_next_full_pass(tmp_path: Path) -> None:
    world = World(tmp_path / "reports")
    world.cmms.page = 500
    for number in range(1000):
        world.cmms.put(f"A-{number:03}")
    world.clock.advance(timedelta(hours=1))
    first = await world.reconciler().run()
    assert first.brake is not None
    assert (first.kind, first.brake.held, first.brake.ledger_rows) == ("full", 1000, 0)
    await release_brake(world.ledger, "operator")
    world.clock.advance(timedelta(minutes=15))
    assert (await world.reconciler().run()).repairs == 1000
    await world.settle()

    world.clock.advance(timedelta(minutes=15))
    for number in range(60):
        world.edit(f"A-{number:03}", msdyn_name="Otra")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.kind, report.repairs, report.brake) == ("incremental", 60, None), "60 of 1,000 are no flood"
    await world.settle()

    world.clock.advance(timedelta(minutes=15))
    for number in range(120):
        world.edit(f"A-{number:03}", msdyn_name="Y otra")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert report.brake is not None
    assert (report.kind, report.brake.held, report.brake.ledger_rows) == ("incremental", 120, 1000)
    await world.aclose()


async def test_a_ledger_that_cannot_be_counted_leaves_everything_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.agree(COUNT)
    await world.reconciler().run()
    for number in range(60):
        world.cmms.put(f"A-{number:03}", nombre=f"Nueva {number}")
    world.clock.advance(timedelta(minutes=15))

    def away(*_: object) -> None:
        raise Unavailable("The ledger cannot be used.")

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "hashes", away)
        with pytest.raises(Unavailable):
            await world.reconciler().run()
    report = await world.reconciler().run()
    assert report.brake is not None
    assert (report.brake.held, report.brake.ledger_rows) == (60, COUNT)


def _mistaken(right: Mapping) -> Mapping:
    """A mapping that takes two columns for each other."""
    columns = {name: field.column for name, field in right.entities["asset"].fields.items()}
    columns["nombre"], columns["numero_de_serie"] = columns["numero_de_serie"], columns["nombre"]
    return remapped(right, columns)


async def test_the_operators_command_releases_what_a_mapping_mistake_would_do(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite3"
    world = World(tmp_path / "reports", file)
    await world.agree(COUNT)
    for number in range(0, COUNT, 2):
        world.edit(f"A-{number:03}", msdyn_serialid=f"SN-{number}")
    await world.resync(f"A-{n:03}" for n in range(COUNT))
    await world.settle()
    world.clock.advance(timedelta(hours=1))
    world.mapping = _mistaken(world.mapping)
    report = await world.reconciler().run()
    assert report.brake is not None
    assert report.brake.held == report.drifted >= COUNT // 2
    assert {one.action for one in report.findings} == {"held by the brake"}
    assert "The brake is on." in (world.folder / "latest.html").read_text()
    assert not world.bus.queues.get("assets")

    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"Values": {**SETTINGS, "SYNC_LEDGER": f"sqlite:///{file}"}}))
    command = (sys.executable, "-m", "ops", "drift", "--release-brake", "Ana", "--settings", str(settings))
    done = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    said, complaint = await asyncio.wait_for(done.communicate(), 60)
    assert done.returncode == 0, complaint.decode()
    assert f"{report.brake.held} repairs are let go" in said.decode()
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.brake, report.repairs) == (None, report.drifted)
    assert any(note.startswith("Ana released the brake") for note in report.notes)
    await world.aclose()


async def test_the_brake_lets_go_by_itself_when_the_mistake_is_mended(world: World) -> None:
    await world.agree(COUNT)
    right = world.mapping
    world.mapping = _mistaken(right)
    assert (await world.reconciler().run()).brake is not None
    world.mapping = right
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.brake, report.repairs, report.drifted, report.pending) == (None, 0, 0, 0)


async def test_there_is_nothing_to_release_where_nothing_is_held(world: World) -> None:
    assert await release_brake(world.ledger, "operator") is None


async def test_in_report_mode_nothing_is_repaired_or_forgotten(world: World) -> None:
    world.policy["mode"] = "report"
    world.cmms.put("A-001", nombre="Nueva", announced=False)
    report = await world.reconciler().run()
    assert (report.drifted, report.repairs, report.pending) == (1, 0, 1)
    assert report.findings[0].action == "reported"
    world.policy["mode"] = "repair"
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.kind, report.repairs) == ("incremental", 1)


def test_the_brake_needs_more_than_a_tenth_and_more_than_fifty() -> None:
    now = FakeClock().now()
    assert hold(None, 50, 10, now) is None
    assert hold(None, 51, 10, now) is not None
    assert hold(None, 100, 1000, now) is None
    assert hold(None, 101, 1000, now) is not None
