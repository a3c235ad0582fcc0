"""A field that refers to another asset, whose row comes late, is renamed, or never comes."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.messages.queues import PARKED
from shared.domain.schema.fields import Target
from shared.flows.record_keys import REMEMBERED, LinkedKeys
from tests.reconcile.test_conditions import link, redeployed, settled
from tests.reconcile.test_passes import classes
from tests.reconcile.world import TABLE, World

PARENT = {
    "table": TABLE,
    "set": "msdyn_customerassets",
    "id": "msdyn_customerassetid",
    "key": "msdyn_assetnumber",
    "bind": "msdyn_parentasset_msdyn_customerasset",
    "mapped": True,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Assets whose serial number is the key of another one; C names A, and has no row yet."""
    world = World(tmp_path / "reports")
    lookup = {"column": "msdyn_parentasset", "type": "lookup", "length": None, "targets": (PARENT,)}
    redeployed(world, numero_de_serie=lookup)
    world.cmms.put("C", numero_de_serie="A")
    yield world
    await world.aclose()


def parent(world: World, key: str = "C") -> str | None:
    """The key of the asset that a row refers to."""
    wanted = world.row(key).values["msdyn_parentasset"]
    return next((str(row.values["msdyn_assetnumber"]) for row in world.rows if row.id == wanted), None)


def parked(world: World) -> list[tuple[object, ...]]:
    found = world.bus.queues.get(PARKED.name, [])
    return [tuple(message.properties[name] for name in ("key", "reason", "field")) for message in found]


async def delivered(world: World, *keys: str) -> None:
    """Messages about these records, and every retry when it is due."""
    await world.resync(keys)
    while waiting := world.bus.queues.get("assets"):
        waiting.sort(key=lambda message: message.scheduled_at or world.clock.now())
        due = waiting[0].scheduled_at or world.clock.now()
        world.clock.advance(max(due - world.clock.now(), timedelta()))
        body = waiting.pop(0).body
        await world.sync.handle("asset", [body if isinstance(body, bytes) else body.encode()])


async def test_a_record_arrives_without_what_it_refers_to_and_the_reference_follows(world: World) -> None:
    world.cmms.put("A", numero_de_serie="C")  # they refer to each other
    await delivered(world, "C", "A")
    assert (parent(world, "C"), parent(world, "A"), parked(world)) == ("A", "C", [])


async def test_what_never_comes_is_parked_once_and_is_no_drift(world: World) -> None:
    await delivered(world, "C")
    assert (world.row("C").values["msdyn_name"], parent(world), parked(world)) == (
        "Bomba",
        None,
        [("C", "lookup_pending", "numero_de_serie")],
    )
    for kind in ("full", None, None):
        report = await settled(world, kind)
        assert (classes(report), report.repairs) == ({}, 0)
    world.cmms.put("C", nombre="Otra")
    await delivered(world, "C")
    assert (world.row("C").values["msdyn_name"], len(parked(world))) == ("Otra", 1)


async def test_what_comes_after_all_attempts_is_found_by_the_next_full_pass(world: World) -> None:
    await delivered(world, "C")
    world.cmms.put("A")
    await delivered(world, "A")
    assert parent(world) is None
    await settled(world, "full")
    assert (parent(world), len(parked(world))) == ("A", 1)
    assert classes(await settled(world, "full")) == {}


async def test_a_part_that_landed_without_an_answer_is_nobodys_edit(world: World) -> None:
    redeployed(world, valor_libros={"on_conflict": "dynamics"})
    world.cmms.put("C", numero_de_serie=None, valor_libros="10.00")
    await delivered(world, "C")
    world.cmms.put("C", numero_de_serie="A", valor_libros="11.00")
    world.wire.answering = _lost_once(world)
    await delivered(world, "C")
    assert (world.cmms.values("C")["valor_libros"], world.row("C").values["msdyn_currentbookvalue"]) == (
        "12.00",
        Decimal("12.00"),
    )
    assert (await link(world, "C")).conflicts == ()


def _lost_once(world: World) -> Callable[[httpx.Request], None]:
    """Lose the answer to the next write, while somebody goes on in the CMMS."""
    left = [True]

    def lose(request: httpx.Request) -> None:
        if request.url.path.endswith("$batch") and left:
            left.clear()
            world.cmms.put("C", valor_libros="12.00")
            raise httpx.ReadTimeout("lost", request=request)

    return lose


@pytest.mark.parametrize("said", ["B", None, "D"])
async def test_a_key_that_another_asset_has_by_now_refers_to_that_asset(world: World, said: str | None) -> None:
    world.cmms.put("A")
    world.cmms.put("D")
    await delivered(world, "A", "D", "C")
    world.cmms.rename("A", "B")
    world.cmms.put("C", numero_de_serie=said)
    await delivered(world, "B", "C")
    world.cmms.put("A")  # another asset, within the minutes for which codes are remembered
    await delivered(world, "A")
    world.cmms.put("C", numero_de_serie="A")
    await delivered(world, "C")
    assert (parent(world), parked(world)) == ("A", [])
    await settled(world, "full")
    assert (parent(world), world.cmms.values("C")["numero_de_serie"]) == ("A", "A")


def _exchanged(world: World) -> None:
    """A and B exchange their keys."""
    for key, to in (("A", "X"), ("B", "A"), ("X", "B")):
        world.cmms.rename(key, to)


def _handed_on(world: World) -> None:
    """B gets another key, A that of B."""
    world.cmms.rename("B", "Z")
    world.cmms.rename("A", "B")


@pytest.mark.parametrize("renamed", [_exchanged, _handed_on])
@pytest.mark.parametrize("order", ["CAB", "ACB", "BCA", "ABC"])
@pytest.mark.parametrize("said", [{"numero_de_serie": "B"}, {}], ids=["a foreign key", "a text"])
async def test_a_reference_stays_with_its_record_while_keys_change_hands(
    world: World, renamed: Callable[[World], None], order: str, said: dict[str, Any]
) -> None:
    world.cmms.put("A")
    world.cmms.put("B")
    await delivered(world, "A", "B", "C")
    first = world.row("A").id
    keys = {"C": "C"}
    renamed(world)
    keys |= {"A": "B", "B": "A" if renamed is _exchanged else "Z"}
    # A foreign key follows its record by itself, a text does not.
    world.cmms.put("C", nombre="Otra", **said)
    for name in order:
        await delivered(world, keys[name])
    report = await settled(world, "full")
    assert world.row("B").id == first
    assert (parent(world), world.cmms.values("C")["numero_de_serie"], parked(world)) == ("B", "B", [])
    assert [one.field for one in (await link(world, "C")).conflicts] == []
    assert classes(report) == {}


async def test_a_row_that_another_record_has_taken_over_is_that_records_at_once(world: World) -> None:
    world.cmms.put("A")
    await delivered(world, "A", "C")
    first = world.row("A").id
    world.cmms.delete("A")
    world.cmms.put("A")
    await delivered(world, "A")
    world.cmms.put("C", nombre="Otra")
    await delivered(world, "C")
    assert (world.row("A").id, parent(world), parked(world)) == (first, "A", [])
    assert world.cmms.values("C")["numero_de_serie"] == "A"


async def test_a_new_record_is_waited_for_while_another_row_still_has_its_key(world: World) -> None:
    world.cmms.put("A")
    await delivered(world, "A")
    first = world.row("A").id
    world.cmms.rename("A", "B")
    world.cmms.put("A")
    await delivered(world, "C")
    assert parent(world) is None
    await delivered(world, "B", "A", "C")
    assert (parent(world), world.row("A").id == first) == ("A", False)


async def test_what_is_remembered_of_a_row_lasts_for_who_waits_for_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("A", "B"):
        world.cmms.put(key)
        await delivered(world, key)
    keys = LinkedKeys(world.mapping, world.ledger, world.gateway, world.clock)
    target, (first, second) = Target.model_validate(PARENT), (world.row("A").id, world.row("B").id)
    await keys.of_rows(target, [str(first)])
    find = world.ledger.find

    async def another_begins_anew(*asked: Any) -> Any:
        monkeypatch.undo()
        world.clock.advance(2 * REMEMBERED)
        await keys.of_rows(target, [str(second)])
        return await find(*asked)

    monkeypatch.setattr(world.ledger, "find", another_begins_anew)
    assert await keys.of_rows(target, [str(first), str(second)]) == {str(first): "A", str(second): "B"}
