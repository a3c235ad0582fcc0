"""A write that never landed, and whose row nobody touched since, is over one day: it must not rewrite later history."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.messages.queues import ASSETS
from shared.domain.recovery import LATEST_CREATE
from shared.errors import Unavailable
from shared.flows.ports.engine import Failed
from shared.flows.sync.execute import INTENT_LIFE
from tests.flows.sides import World
from tests.flows.test_renames import born


async def lose(world: World, key: str = "A") -> None:
    """Look at the record: its write to Dynamics never arrives, and nobody hears of it."""
    write = world.dynamics.write

    async def lost(*arguments: Any) -> object:
        return [Failed(Unavailable("no answer"), unknown=True) for _ in arguments[1]]

    world.dynamics.write = lost  # type: ignore[method-assign,assignment]
    await world.dirty(key)
    world.dynamics.write = write  # type: ignore[method-assign]


async def play_on(world: World) -> None:
    """The engine's own retries, at the times that they ask for, and nothing else."""
    while again := world.bus.queues.pop(ASSETS.name, []):
        for one in again:
            if one.scheduled_at is not None and one.scheduled_at > world.clock.now():
                world.clock.advance(one.scheduled_at - world.clock.now())
            await world.sync.handle("asset", [str(one.body).encode()])


@pytest.mark.parametrize("looked", ["by a later message", "by nothing but its own retries"])
async def test_an_edit_long_after_a_write_that_never_landed_is_no_conflict(world: World, looked: str) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="old")
    await world.dirty("A")
    world.cmms.put("A", numero_de_serie="new")
    await lose(world)
    world.cmms.put("A", numero_de_serie="old")  # and is put back before the retry
    await play_on(world)
    if looked == "by a later message":
        world.clock.advance(INTENT_LIFE + LATEST_CREATE + timedelta(seconds=1))
        await world.dirty("A")
    world.clock.advance(timedelta(days=7))
    world.dynamics.put("A", numero_de_serie="a person's, a week later")
    await world.dirty("A")
    values = world.row("A").values["numero_de_serie"], world.cmms.records["A"].values["numero_de_serie"]
    assert values == ("a person's, a week later", "a person's, a week later")
    assert (await world.entry("A")).conflicts == ()


@pytest.mark.parametrize("looked", ["by a later message", "by nothing but its own retries"])
async def test_a_row_that_a_person_deactivates_long_after_a_deactivation_that_never_landed_stays_so(
    world: World, looked: str
) -> None:
    born(world, "A", "1", nombre="Bomba")
    await world.dirty("A")
    world.clock.advance(timedelta(seconds=1))
    world.cmms.delete("A")
    await lose(world)
    world.clock.advance(timedelta(seconds=1))
    born(world, "A", "2", nombre="Bomba")  # made again in the CMMS, just as it was
    await play_on(world)
    if looked == "by a later message":
        world.clock.advance(INTENT_LIFE + LATEST_CREATE + timedelta(seconds=1))
        await world.dirty("A")
    entry = await world.entry("A")
    assert (entry.deleted_at, entry.intents) == (None, ())
    world.clock.advance(timedelta(days=7))
    row = world.dynamics.put("A")
    world.dynamics.rows[row.id] = type(row)(
        row.key, row.etag, row.values, id=row.id, state=1, modified_by=row.modified_by, created=row.created
    )
    await world.dirty("A")
    assert world.row("A").state == 1
