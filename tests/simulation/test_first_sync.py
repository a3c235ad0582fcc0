"""Of which pairs the checker expects that the side won which an operator chose for a first sync."""

from collections.abc import Callable

import pytest

from tests.simulation.first_sync import FIRST_SYNC
from tests.simulation.loop import run
from tests.simulation.worker import Parts
from tests.simulation.world import World

type Act = Callable[[World, str, str], None]


def _save_row(world: World, _: str, row: str) -> None:
    world.people.change("asset", row, {})


def _save_record(world: World, record: str, _: str) -> None:
    world.cmms.edit("asset", int(record), {"nombre": "Bomba"})


def _meet(world: World, record: str, row: str) -> None:
    world.history.pair("asset", record, row, 0.0)


def _saved(*acts: Act) -> set[str]:
    """The sides of a pair that count as saved before both met, when people and the product have done this."""

    async def main() -> set[str]:
        world = World(0, Parts(), upheavals=[FIRST_SYNC])
        try:
            record, row = map(str, world.people.bring("asset", "B", {"nombre": "Bomba"}, {"nombre": "Pump"}))
            world.observer.saved.clear()
            for act in acts:
                act(world, record, row)
            return {side for side, _, name in world.observer.saved if name in {record, row}}
        finally:
            world.ledger.close()

    return run(main())


@pytest.mark.parametrize(
    ("act", "side"), [(_save_row, "dynamics"), (_save_record, "cmms")], ids=["in Dynamics", "in the CMMS"]
)
def test_a_save_before_both_sides_meet_excuses_a_pair_also_where_no_field_changes(act: Act, side: str) -> None:
    assert _saved(act) == {side}


@pytest.mark.parametrize("act", [_save_row, _save_record], ids=["in Dynamics", "in the CMMS"])
def test_a_save_after_both_sides_have_met_excuses_nothing(act: Act) -> None:
    assert not _saved(_meet, act)
