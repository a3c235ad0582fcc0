"""A run hands over what the plan says, survives being killed anywhere, and is known to the reconciliation."""

from datetime import timedelta

import pytest

from shared.domain.link import Identity
from shared.domain.messages.queues import PARKED
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.run import AHEAD, Part
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.reconcile.first_sync import (
    ABANDONED,
    EntityProgress,
    Progress,
    progress_of,
    store_progress,
    under_way,
)
from tests.first_sync.world import QUEUE, Peeked, World


def fill(world: World) -> None:
    """Thirty pairs, of which ten differ; ten on either side alone; two for a person."""
    for number in range(20):
        world.both(f"EQ-{number}")
    for number in range(10):
        world.both(f"DIF-{number}", nombre=(f"Bomba {number}", f"Pump {number}"))
        world.record(f"C-{number}")
        world.asset(f"D-{number}")
    world.record("near-1")
    world.asset("NEAR-1")


async def test_after_a_run_both_sides_agree_and_only_what_needs_a_person_is_left(world: World) -> None:
    fill(world)
    progress = await world.run()
    assert (progress.total, progress.done, progress.ended is not None) == (50, 50, True)
    after = await world.plan()
    assert (after.messages, after.linked_records, after.kinds) == (0, 50, {Kind.KEY_NEARLY_EQUAL: 2})
    assert {f"C-{n}" for n in range(10)} <= set(world.keys_in_dynamics())
    assert {f"D-{n}" for n in range(10)} <= set(world.keys_in_cmms())


@pytest.mark.parametrize(
    ("prefer", "winner", "held"), [("cmms", "cmms", "Bomba 3"), ("dynamics", "dynamics", "Pump 3")]
)
async def test_the_chosen_side_wins_and_the_loser_is_on_record(
    world: World, prefer: str, winner: str, held: str
) -> None:
    fill(world)
    await world.run(world.choices(prefer))
    assert (world.row("DIF-3").values["msdyn_name"], world.cmms.values("DIF-3")["nombre"]) == (held, held)
    links = [link async for page in world.ledger.scan("asset") for link in page]
    conflicts = [one for link in links if getattr(link, "key", "") == "DIF-3" for one in link.conflicts]  # type: ignore[union-attr]
    assert [(one.field, one.winner, one.why) for one in conflicts] == [("nombre", winner, "first_contact")]


async def test_a_run_that_is_killed_anywhere_goes_on_without_a_doubled_or_a_lost_record(world: World) -> None:
    fill(world)
    kills = 0
    for budget in (1, 2, 4, 8, 16):
        left = budget

        async def killed_after(*arguments: object, **more: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            await world.router.__class__.resync(world.router, *arguments, **more)  # type: ignore[arg-type]

        choices = world.choices("dynamics")
        with Staging() as staging:
            plan = await world.plan(staging, choices)
            runner = world.runner_over(Peeked(world, works=False), 3.0)
            world.router.resync = killed_after  # type: ignore[method-assign]
            part = Part(world.entity, choices.entities["asset"], plan.messages, staging)
            try:
                await runner.go([part], timedelta(), lambda _progress: None)
            except KeyboardInterrupt:
                kills += 1
            del world.router.resync
    assert kills == 5
    assert (found := await progress_of(world.ledger)) is not None
    assert found.is_open(world.clock.now())
    await world.run(world.choices("dynamics"))
    await world.settle()
    after = await world.plan()
    assert (after.messages, after.linked_records) == (0, 50)
    assert len(world.keys_in_dynamics()) == len(set(world.keys_in_dynamics())) == 51
    assert len(world.keys_in_cmms()) == len(set(world.keys_in_cmms())) == 51
    assert world.bus.queues.get(PARKED.name, []) == []


async def test_no_more_messages_lie_ahead_than_the_bound_allows(world: World) -> None:
    identity_count = AHEAD + 500
    with Staging() as staging:
        for number in range(identity_count):
            staging.add_todo(Identity("cmms", str(number)), f"K-{number}")
        most = 0

        class Slow(Peeked):
            async def peek(self, queue: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
                nonlocal most
                waiting = world.bus.queues.get(QUEUE, [])
                most = max(most, len(waiting))
                async for page in super().peek(queue):
                    yield page
                del waiting[:300]

        runner = world.runner_over(Slow(world, works=False), 1e6)
        part = Part(world.entity, world.choices().entities["asset"], identity_count, staging)
        progress = await runner.go([part], timedelta(minutes=30), lambda _progress: None)
    assert progress.entities["asset"].sent == identity_count
    assert AHEAD <= most <= AHEAD + 100


async def test_progress_tells_what_waits_what_is_tried_again_and_what_is_parked(world: World) -> None:
    world.record("OK")
    world.record("LONG", numero_de_serie="S" * 300)
    seen: list[Progress] = []
    choices = world.choices()
    with Staging() as staging:
        plan = await world.plan(staging, choices)
        part = Part(world.entity, choices.entities["asset"], plan.messages, staging)
        await world.runner().go([part], timedelta(minutes=5), seen.append)
    last = seen[-1].entities["asset"]
    assert (last.total, last.done, last.parked, seen[-1].remaining) == (2, 2, 1, timedelta())


class TestReconciliation:
    """While a first sync is open, records that have not met yet are its business."""

    async def open_one(self, world: World, **age: float) -> None:
        now = world.clock.now()
        at = now - timedelta(**age)
        await store_progress(
            world.ledger, Progress(run="r", started=at, at=at, entities={"asset": EntityProgress(total=200)})
        )

    async def test_records_that_have_not_met_are_neither_repaired_nor_held_by_the_brake(self, world: World) -> None:
        await world.agree(60)
        for number in range(200):
            world.record(f"NEW-{number}")
        world.cmms.put("A-001", nombre="Edited", announced=False)
        await self.open_one(world)
        report = await world.reconciler().run("full")
        assert (report.brake, report.repairs, report.drifted) == (None, 1, 1)
        assert "first sync" in report.entities[0].notes[-1]

    async def test_without_a_first_sync_the_brake_holds_two_full_systems(self, world: World) -> None:
        for number in range(200):
            world.record(f"NEW-{number}")
        report = await world.reconciler().run("full")
        assert report.brake is not None
        assert (report.repairs, report.brake.held) == (0, 200)

    async def test_an_incremental_pass_leaves_them_out_as_well(self, world: World) -> None:
        await world.agree(3)
        await world.reconciler().run("full")
        world.clock.advance(timedelta(minutes=5))
        world.record("NEW")
        await self.open_one(world)
        assert (await world.reconciler().run("incremental")).drifted == 0

    @pytest.mark.parametrize(
        ("age", "ended", "open_"), [(60, False, True), (60, True, False), (ABANDONED.total_seconds() + 1, False, False)]
    )
    async def test_a_run_that_ended_or_was_abandoned_is_nobody_s_business_any_more(
        self, world: World, age: float, ended: bool, open_: bool
    ) -> None:
        at = world.clock.now() - timedelta(seconds=age)
        progress = Progress(
            run="r", started=at, at=at, entities={"asset": EntityProgress(total=200)}, ended=at if ended else None
        )
        await store_progress(world.ledger, progress)
        assert (await under_way(world.ledger, world.clock.now()) == {"asset"}) is open_
