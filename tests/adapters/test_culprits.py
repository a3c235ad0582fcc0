"""A refusal that names no column: the field at fault is found, and everything else arrives."""

from copy import replace
from math import ceil, log2
from typing import Any

import pytest

from local.emulators.dataverse import Effect
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.model import DynamicsRecord
from shared.errors import Conflict, RecordClosed, RejectedByTarget, Unavailable
from shared.flows.ports.engine import Failed
from tests.adapters.worlds import ASSET, CLIENT_ID, ORDER, World, create, only_failure, update

SAYS = "Business process error."
VALUES = {
    "nombre": "New",
    "numero_de_serie": "S-9",
    "valor_adquisicion": "10.5",
    "valor_libros": "9.25",
    "fecha_adquisicion": "2026-02-03",
}
COLUMNS = {name: ASSET.fields[name].column for name in VALUES}


def refuse(world: World, *names: str) -> None:
    for name in names:
        world.plug_in("refuse", column=COLUMNS[name], message=SAYS, status=500)


def landed(result: object) -> dict[str, Any]:
    """What of VALUES is in the row."""
    row = only_failure(result).row
    assert row is not None
    return {name: value for name, value in row.values.items() if value == VALUES[name]}


# An asset needs its name: no row is created without it.
ONE_CULPRIT = [(kind, name) for kind in ("create", "update") for name in VALUES if (kind, name) != ("create", "nombre")]


@pytest.mark.parametrize(("kind", "culprit"), ONE_CULPRIT)
async def test_one_refused_field_is_named_and_everything_else_arrives(world: World, kind: str, culprit: str) -> None:
    write = replace(create("A", **VALUES), operation="op-1")
    if kind == "update":
        (row,) = await world.landed(ASSET, [create("A")])
        write = replace(update(row, **VALUES), operation="op-1")
    refuse(world, culprit)
    before = world.statistics.requests["batch"]
    (result,) = await world.write(ASSET, [write])
    error = only_failure(result).error
    assert (type(error), error.field, error.code) == (RejectedByTarget, culprit, "0x80040265")
    assert error.message.startswith(f"{culprit}: ")
    assert SAYS.rstrip(".") in error.message
    assert landed(result).keys() == VALUES.keys() - {culprit}
    # The half-written row must not look as if the operation had landed, nor as if a person had made it.
    assert only_failure(result).row.last_operation == "op-1~"  # type: ignore[union-attr]
    searched = world.statistics.requests["batch"] - before - 1
    assert searched <= 2 * ceil(log2(len(VALUES))) + 2


async def test_a_required_field_that_is_refused_is_named_and_no_row_is_made(world: World) -> None:
    refuse(world, "nombre")
    (result,) = await world.write(ASSET, [create("A", **VALUES)])
    failed = only_failure(result)
    assert (failed.error.field, failed.error.code, failed.row) == ("nombre", "0x80040265", None)
    assert SAYS.rstrip(".") in failed.error.message
    assert world.count(ASSET) == 0


@pytest.mark.parametrize("kind", ["create", "update"])
async def test_two_refused_fields_are_found_one_after_the_other(world: World, kind: str) -> None:
    write = create("A", **VALUES)
    if kind == "update":
        (row,) = await world.landed(ASSET, [create("A")])
        write = update(row, **VALUES)
    refuse(world, "nombre" if kind == "update" else "numero_de_serie", "valor_libros")
    named = set()
    for _ in range(2):
        (result,) = await world.write(ASSET, [write])
        failed = only_failure(result)
        assert failed.row is not None
        named.add(failed.error.field)
        rest = {name: value for name, value in VALUES.items() if name not in named}
        write = update(failed.row, **rest)
    (done,) = await world.landed(ASSET, [write])
    assert {name for name, value in VALUES.items() if done.values[name] != value} == named
    assert len(named) == 2


async def test_many_rows_are_searched_in_the_same_requests(world: World) -> None:
    refuse(world, "valor_libros")
    writes = [create(f"A-{number}", **VALUES) for number in range(40)]
    results = await world.write(ASSET, [*writes, create("good")])
    assert [only_failure(result).error.field for result in results[:-1]] == ["valor_libros"] * 40
    assert isinstance(results[-1], DynamicsRecord)
    assert world.statistics.requests["batch"] <= 2 + 2 * ceil(log2(len(VALUES))) + 2


async def test_a_row_that_a_plug_in_lets_nobody_edit_blames_no_field(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    world.plug_in("refuse", message=SAYS)
    for result in await world.write(ASSET, [update(row, **VALUES), create("B", **VALUES)]):
        failed = only_failure(result)
        assert (type(failed.error), failed.error.field, failed.row) == (RejectedByTarget, None, None)


@pytest.mark.parametrize("date", ["1752-12-31", "0001-01-01"])
async def test_a_date_that_dynamics_cannot_store_is_named(world: World, date: str) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    (result,) = await world.write(ASSET, [update(row, **VALUES | {"fecha_adquisicion": date})])
    error = only_failure(result).error
    assert (error.field, error.code) == ("fecha_adquisicion", "0x80040239")


@pytest.mark.parametrize("write", ["create", "update"])
async def test_a_secured_column_blocks_its_field_alone(world: World, write: str) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    column = world.dataverse.tables[ASSET.table].table.columns[COLUMNS["numero_de_serie"]]
    column.permissions = {CLIENT_ID: frozenset({"read"})}
    (result,) = await world.write(ASSET, [update(row, **VALUES) if write == "update" else create("B", **VALUES)])
    error = only_failure(result).error
    assert (type(error), error.field, error.status) == (RejectedByTarget, "numero_de_serie", 403)
    assert landed(result).keys() == VALUES.keys() - {"numero_de_serie"}


async def test_what_only_a_create_sets_is_in_the_create_or_is_named(world: World) -> None:
    values = {"justificacion": "x", "total": "5", "fecha_creacion": "2026-01-02T00:00:00Z", "estado": "1"}
    world.plug_in("refuse", table="salesorder", column="description", message=SAYS)
    (result,) = await world.write(ORDER, [DynamicsWrite("R-1", None, None, values)])
    failed = only_failure(result)
    assert failed.error.field == "justificacion"
    assert failed.row is not None
    assert failed.row.values == values | {"justificacion": None}
    world.dataverse.plug_ins.clear()
    world.plug_in("refuse", table="salesorder", column="overriddencreatedon", message=SAYS)
    (result,) = await world.write(ORDER, [DynamicsWrite("R-2", None, None, values)])
    assert only_failure(result).error.field == "fecha_creacion"
    assert only_failure(result).row is not None


async def test_a_key_that_is_refused_is_named(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    world.plug_in("refuse", column="msdyn_assetnumber", message=SAYS)
    (result,) = await world.write(ASSET, [replace(update(row, **VALUES), key="B", writes_key=True)])
    assert only_failure(result).error.field == "codigo_interno"
    assert landed(result) == VALUES


async def test_a_deactivation_that_is_refused_lets_the_values_arrive_and_blames_no_field(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    world.plug_in("refuse", column="statecode", message=SAYS)
    (result,) = await world.write(ASSET, [replace(update(row, **VALUES), state=(1, 2))])
    assert only_failure(result).error.field is None
    assert landed(result) == VALUES


async def test_somebody_elses_edit_during_the_search_is_a_lost_race(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    refuse(world, "valor_libros")
    plug_in = world.dataverse.plug_ins[0]
    world.wire.forget()
    plain = world.gateway._bulk._singly
    rounds = []

    async def singly(*arguments: Any) -> Any:
        rounds.append(1)
        if len(rounds) == 3:
            rows = world.dataverse.tables[ASSET.table]
            (stored,) = rows
            rows.become([replace(stored, version=stored.version + 100)])
        return await plain(*arguments)

    monkeypatch.setattr(world.gateway._bulk, "_singly", singly)
    (result,) = await world.write(ASSET, [update(row, **VALUES)])
    assert isinstance(only_failure(result).error, Conflict)
    assert only_failure(result).row is not None
    assert plug_in.acted


@pytest.mark.parametrize("effect", [Effect.DROPPED, Effect.LOST_ANSWER, Effect.STATUS])
async def test_an_outage_during_the_search_ends_it_as_an_outage(world: World, effect: Effect) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    refuse(world, "valor_libros")
    world.fault(effect, kind="batch", after=2)
    (result,) = await world.write(ASSET, [update(row, **VALUES)])
    failed = only_failure(result)
    assert isinstance(failed.error, Unavailable)
    assert failed.error.field is None
    # The next attempt finds the field.
    current = (await world.gateway.by_id(ASSET, [row.id]))[row.id]
    (result,) = await world.write(ASSET, [update(current, **VALUES)])
    assert only_failure(result).error.field == "valor_libros"


async def test_a_closed_row_and_a_named_field_need_no_search(world: World) -> None:
    world.plug_in("refuse", column="msdyn_serialid", message="The attribute 'msdyn_serialid' is not valid.")
    (row,) = await world.landed(ASSET, [create("A")])
    world.wire.forget()
    (result,) = await world.write(ASSET, [update(row, **VALUES)])
    assert only_failure(result).error.field == "numero_de_serie"
    assert len(world.wire.requests) == 1
    world.dataverse.plug_ins.clear()
    world.plug_in("refuse", message="Cannot Update a Read-Only Entity")
    (result,) = await world.write(ASSET, [update(row, **VALUES)])
    assert isinstance(only_failure(result).error, RecordClosed)
    assert len(world.wire.requests) == 2


async def test_a_write_of_one_field_is_refused_for_it(world: World) -> None:
    (row,) = await world.landed(ASSET, [create("A")])
    refuse(world, "valor_libros")
    world.wire.forget()
    (result,) = await world.write(ASSET, [update(row, valor_libros="5")])
    assert isinstance(result, Failed)
    assert (result.error.field, len(world.wire.requests)) == ("valor_libros", 1)
