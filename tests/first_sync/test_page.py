"""The page of a plan: what an administrator reads, whatever the records hold."""

from ops.first_sync.page import Page
from ops.first_sync.words import changes
from shared.flows.operate.first_sync.estimate import estimate
from shared.flows.operate.first_sync.memory import Counts
from tests.first_sync.world import World

HOSTILE = "</script><script>window.broken=1</script>\"'><img src=x onerror='window.broken=1'>"


async def test_a_plan_s_page_shows_values_and_never_runs_them(world: World) -> None:
    world.both("A", nombre=(HOSTILE[:90], "Pump"))
    world.record("LONG", numero_de_serie="S" * 300)
    world.record(f"near{HOSTILE[:10]}")
    world.asset(f"NEAR{HOSTILE[:10]}")
    plan, choices = await world.plan(), world.choices("dynamics")
    page = Page(world.clock.now(), choices, [plan], estimate([plan], 100.0)).html()
    assert "<script>window" not in page
    assert "&lt;/script&gt;&lt;script&gt;window" in page
    for expected in (
        "First sync: the plan",
        "nombre: Dynamics",
        "mapping_error",
        "requests to Dynamics",
        "records take part",
    ):
        assert expected in page


async def test_an_end_report_s_page_holds_what_was_planned_against_what_is_left(world: World) -> None:
    world.both("A", nombre=("Bomba", "Pump"))
    world.record("C")
    before = Counts.of(world.entity, await world.plan())
    await world.run()
    after = await world.plan()
    lines = {one.what: (one.planned, one.done, one.left) for one in changes(before, after)}
    assert lines["linked as pairs"] == (2, 2, 0)
    assert (lines["created in Dynamics"], lines["updated in Dynamics"]) == ((1, 1, 0), (1, 1, 0))
    outcome = "The first sync is done: 2 records in 3 s."
    page = Page(world.clock.now(), world.choices(), [after], None, {"asset": list(changes(before, after))}, outcome)
    assert "Before and after" in page.html()
    assert outcome in page.html()
