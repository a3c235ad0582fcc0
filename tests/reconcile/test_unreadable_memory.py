"""A row of the ledger that cannot be read is reported by every run, and stops none."""

from datetime import timedelta

import pytest

from tests.reconcile.world import World


def spoil(world: World, key: str, body: str) -> None:
    world.ledger._db.execute("UPDATE link SET body = ? WHERE key = ?", (body, key))


@pytest.mark.parametrize("body", ["{", "null", '{"key":"A-002"},{"key":"A-003"}', '{"key":"A-003","bases":7}'])
async def test_a_sweep_reports_a_changed_record_whose_link_cannot_be_read_and_goes_on(world: World, body: str) -> None:
    spoil(world, "A-003", body)
    spoil(world, "A-005", body)
    world.edit("A-003", msdyn_name="Otra bomba")
    world.cmms.put("A-004", nombre="Otra bomba")
    report = await world.reconciler().run("full")
    assets = report.entities[0]
    assert assets.unreadable_rows == 1
    assert assets.ledger_rows == 40
    assert len(assets.notes) == 1, "a record on which both sides agree needs no link that can be read"
    assert f"asset cmms {world.cmms.id('A-003')}" in assets.notes[0]
    assert "delete it" in assets.notes[0]
    assert [message.subject for message in world.bus.queues["assets"]] == ["A-004"]


async def test_an_unreadable_row_is_reported_by_every_run_until_it_is_mended_and_then_met_anew(world: World) -> None:
    await world.reconciler().run("full")
    spoil(world, "A-003", "{")
    world.edit("A-003", msdyn_name="Otra bomba")
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        report = await world.reconciler().run()
        assert (report.kind, report.entities[0].unreadable_rows) == ("incremental", 1)
    assert world.bus.queues.get("assets", []) == []
    world.ledger._db.execute("DELETE FROM link WHERE key = 'A-003'")
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert report.entities[0].unreadable_rows == 0
    assert [message.subject for message in world.bus.queues["assets"]] == ["A-003"]


async def test_a_row_that_only_the_ledger_has_and_cannot_be_read_is_reported_too(world: World) -> None:
    world.cmms.forget("A-003")
    world.delete("A-003")
    spoil(world, "A-003", "{")
    report = await world.reconciler().run("full")
    assert report.entities[0].unreadable_rows == 1
    assert report.findings == []
