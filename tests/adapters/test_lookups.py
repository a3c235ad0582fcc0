"""Lookups: codes on our side, GUIDs on Dynamics', resolved in bulk; what finds no row blocks its field alone."""

import asyncio
from collections.abc import AsyncIterator
from copy import replace
from typing import Any, cast
from uuid import UUID

import pytest

from local.emulators.dataverse import Effect
from local.emulators.dataverse.rows import Row, frozen
from shared.adapters.dataverse.lookups import REMEMBERED
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.model import CmmsRecord, DynamicsRecord, Value
from shared.domain.row_hash import row_hash
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, LookupNotFound, LookupPending, RejectedByTarget, Unavailable
from shared.flows.operate.check import Level
from shared.flows.operate.check.data import preflight
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping
from tests.adapters.worlds import World, only_failure, update

MAPPING = load_mapping(DOCUMENT_MAPPING.with_name("field_service.toml"))
_FIELDS = {"nombre", "cliente", "activo_padre", "ubicacion"}
FULL = MAPPING.entities["asset"]
ASSET = FULL.model_copy(
    update={"alternate_key": "tags", "fields": {name: FULL.fields[name] for name in FULL.fields if name in _FIELDS}}
)
ORDER = MAPPING.entities["order"]
CUSTOMER = ORDER.model_copy(
    update={"constants": {}, "fields": {name: ORDER.fields[name] for name in ("justificacion", "cliente")}}
)


def put(world: World, table: str, **values: Any) -> str:
    """Store a row of a reference table."""
    rows = world.dataverse.tables[table]
    row_id = world.dataverse.new_id()
    complete = dict.fromkeys(rows.table.columns) | values | {rows.table.primary_id: row_id}
    rows.put(Row(row_id, 1, frozen(complete)))
    return str(row_id)


def create(key: str, **values: str | None) -> DynamicsWrite:
    return DynamicsWrite(key=key, id=None, etag=None, values={"nombre": "Bomba"} | values)


@pytest.fixture(autouse=True)
def tags_are_unique(world: World) -> None:
    keys = world.dataverse.tables[ASSET.table].table.keys
    key = keys.pop("cmms_AssetKey")
    keys[ASSET.alternate_key] = replace(key, name=ASSET.alternate_key, columns=("msdyn_assettag",))


def reads(world: World) -> list[str]:
    """The sets that were listed, in order."""
    paths = [request.url.path.rpartition("/")[2] for request in world.wire.requests if request.method == "GET"]
    return [path for path in paths if path != "Keys"]


@pytest.mark.parametrize("many", [1, 6])
async def test_a_code_becomes_a_reference_and_is_read_back_as_a_code(world: World, many: int) -> None:
    account = put(world, "account", accountnumber="ACC-1")
    rows = await world.landed(ASSET, [create(f"A-{number}", cliente="ACC-1") for number in range(many)])
    assert [row.values["cliente"] for row in rows] == ["ACC-1"] * many
    stored = {str(values["msdyn_account"]) for values in world.rows(ASSET).values() if values["msdyn_account"]}
    assert stored == {account}
    found = await world.gateway.by_id(ASSET, [rows[0].id])
    assert found[rows[0].id].values["cliente"] == "ACC-1"
    assert reads(world).count("accounts") == 1


async def test_a_lookup_is_changed_and_cleared(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    put(world, "account", accountnumber="ACC-2")
    (row,) = await world.landed(ASSET, [create("A", cliente="ACC-1")])
    for code in ("ACC-2", None):
        (row,) = await world.landed(ASSET, [update(row, cliente=code)])
        assert row.values["cliente"] == code


async def test_five_hundred_codes_are_one_request_and_remembered(world: World) -> None:
    for number in range(500):
        put(world, "account", accountnumber=f"ACC-{number}")
    writes = [create(f"A-{number}", cliente=f"ACC-{number}") for number in range(500)]
    rows = await world.landed(ASSET, writes)
    assert reads(world).count("accounts") == 1
    assert [row.values["cliente"] for row in rows] == [f"ACC-{number}" for number in range(500)]
    pages = [page async for page in world.gateway.pages(ASSET)]
    assert sum(map(len, pages)) == 500
    assert reads(world).count("accounts") == 1


async def test_what_is_remembered_is_asked_again_after_a_while(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    (row,) = await world.landed(ASSET, [create("A", cliente="ACC-1")])
    rows = world.dataverse.tables["account"]
    (stored,) = rows
    rows.become([replace(stored, values=frozen({**stored.values, "accountnumber": "ACC-9"}))])
    seen = []
    for _ in range(2):
        seen.append((await world.gateway.by_id(ASSET, [row.id]))[row.id].values["cliente"])
        await asyncio.sleep(REMEMBERED.total_seconds() + 1)
    assert seen == ["ACC-1", "ACC-9"]


async def test_an_unknown_code_blocks_its_field_alone_and_everything_else_arrives(world: World) -> None:
    put(world, "account", accountnumber="acc-1")  # other letters are another code
    write = replace(create("A", cliente="ACC-1"), operation="op-1")
    good, bad = await world.write(ASSET, [create("B"), write])
    assert isinstance(good, DynamicsRecord)
    failed = only_failure(bad)
    assert (type(failed.error), failed.error.field) == (LookupNotFound, "cliente")
    assert "'ACC-1' in account.accountnumber" in failed.error.message
    assert failed.row is not None
    assert failed.left_out == {"cliente"}
    assert (failed.row.values["nombre"], failed.row.values["cliente"], failed.row.last_operation) == (
        "Bomba",
        None,
        "op-1~",
    )
    (only,) = await world.write(ASSET, [update(failed.row, cliente="ACC-1")])
    assert isinstance(only_failure(only).error, LookupNotFound)
    assert (only_failure(only).row, only_failure(only).left_out) == (None, frozenset())


async def test_a_code_that_two_rows_have_is_refused_with_their_number(world: World) -> None:
    for _ in range(2):
        put(world, "account", accountnumber="ACC-1")
    (result,) = await world.write(ASSET, [create("A", cliente="ACC-1")])
    error = only_failure(result).error
    assert isinstance(error, LookupNotFound)
    assert "2 rows have the code 'ACC-1'" in error.message


async def test_a_row_of_the_mapping_is_waited_for_and_two_that_refer_to_each_other_both_arrive(world: World) -> None:
    writes = [create("A", activo_padre="B"), create("B", activo_padre="A")]
    first = [only_failure(result) for result in await world.write(ASSET, writes)]
    assert {type(failed.error) for failed in first} == {LookupPending}
    assert {failed.error.field for failed in first} == {"activo_padre"}
    rows = [failed.row for failed in first if failed.row is not None]
    second = await world.landed(
        ASSET, [update(row, activo_padre=parent) for row, parent in zip(rows, "BA", strict=True)]
    )
    assert [row.values["activo_padre"] for row in second] == ["B", "A"]


async def test_a_customer_is_found_in_either_of_two_tables_and_not_in_both(world: World) -> None:
    put(world, "account", accountnumber="C-1")
    put(world, "contact", employeeid="P-1")
    put(world, "account", accountnumber="X-1")
    put(world, "contact", employeeid="X-1")
    writes = [DynamicsWrite(f"R-{code}", None, None, {"cliente": code}) for code in ("C-1", "P-1", "X-1")]
    account, contact, both = await world.write(CUSTOMER, writes)
    assert isinstance(account, DynamicsRecord)
    assert isinstance(contact, DynamicsRecord)
    assert (account.values["cliente"], contact.values["cliente"]) == ("C-1", "P-1")
    assert isinstance(only_failure(both).error, LookupNotFound)
    (cleared,) = await world.landed(CUSTOMER, [update(contact, cliente=None)])
    assert cleared.values["cliente"] is None


async def test_a_reference_to_a_row_without_a_code_is_an_error_of_its_field(world: World) -> None:
    account = put(world, "account", accountnumber=None)
    (row,) = await world.landed(ASSET, [create("A")])
    rows = world.dataverse.tables[ASSET.table]
    (stored,) = rows
    rows.become([replace(stored, values=frozen({**stored.values, "msdyn_account": UUID(account)}))])
    record = (await world.gateway.by_id(ASSET, [row.id]))[row.id]
    assert "cliente" not in record.values
    assert "account without accountnumber" in record.errors["cliente"].error.message
    assert record.values["nombre"] == "Bomba"


async def test_a_target_that_went_meanwhile_is_a_lost_race_and_then_not_found(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    (row,) = await world.landed(ASSET, [create("A", cliente="ACC-1")])
    world.dataverse.tables["account"].become([])
    (result,) = await world.write(ASSET, [update(row, nombre="x", cliente="ACC-1")])
    assert isinstance(only_failure(result).error, Conflict)
    (result,) = await world.write(ASSET, [update(row, nombre="x", cliente="ACC-1")])
    assert isinstance(only_failure(result).error, LookupNotFound)


@pytest.mark.parametrize("effect", [Effect.STATUS, Effect.HTML, Effect.DROPPED])
async def test_while_targets_cannot_be_asked_nothing_is_written(world: World, effect: Effect) -> None:
    put(world, "account", accountnumber="ACC-1")
    world.fault(effect, kind="list", path="^accounts")
    (result,) = await world.write(ASSET, [create("A", cliente="ACC-1")])
    failed = only_failure(result)
    assert isinstance(failed.error, Unavailable)
    assert not failed.unknown
    assert world.count(ASSET) == 0
    assert len(await world.landed(ASSET, [create("A", cliente="ACC-1")])) == 1


def known(row: DynamicsRecord, **values: str) -> dict[str, Value]:
    """What a row holds, its key among it."""
    return {ASSET.key.name: row.key, **row.values, **values}


async def test_the_full_pass_sees_codes(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    put(world, "account", accountnumber="ACC-2")

    async def hashed() -> dict[str, object]:
        return {row[0]: row[2] async for page in world.gateway.hashes(ASSET) for row in page.rows}

    rows = await world.landed(ASSET, [create("A", cliente="ACC-1"), create("B", cliente="ACC-2")])
    before = await hashed()
    await world.landed(ASSET, [update(rows[1], cliente="ACC-1")])
    after = await hashed()
    prints = {name: rule.fingerprint for name, rule in ASSET.rules.items()}
    assert after[rows[0].id] == before[rows[0].id] == row_hash(known(rows[0], cliente="ACC-1"), prints)
    assert after[rows[1].id] == row_hash(known(rows[1], cliente="ACC-1"), prints) != before[rows[1].id]


async def test_a_refused_reference_is_named_among_many_fields(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    (row,) = await world.landed(ASSET, [create("A")])
    world.plug_in("refuse", column="msdyn_account", message="Not this customer.")
    (result,) = await world.write(ASSET, [update(row, nombre="x", cliente="ACC-1")])
    failed = only_failure(result)
    assert (type(failed.error), failed.error.field) == (RejectedByTarget, "cliente")


async def test_two_lookups_of_one_table_may_know_its_rows_by_different_codes(world: World) -> None:
    put(world, "account", accountnumber="ACC-1", name="Contoso")
    target = ASSET.fields["cliente"].targets[0].model_dump() | {"key": "name", "bind": "msdyn_product"}
    by_name = {"column": "msdyn_product", "type": "lookup", "target": target}
    world.dataverse.tables[ASSET.table].table.columns["msdyn_product"].targets = {"account": "msdyn_product"}
    whole = ASSET.model_dump()
    entity = EntityMapping.model_validate({**whole, "fields": {**whole["fields"], "por_nombre": by_name}})
    (row,) = await world.landed(entity, [create("A", cliente="ACC-1", por_nombre="Contoso")])
    assert (row.values["cliente"], row.values["por_nombre"]) == ("ACC-1", "Contoso")


async def test_codes_that_refer_to_nothing_can_be_told_beforehand(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")
    values = [{"cliente": "ACC-1"}, {"cliente": "ACC-2", "activo_padre": "A-9"}, {"nombre": "x"}]
    problems = await world.gateway.unresolved(ASSET, values)
    assert {place: type(error) for place, error in problems.items()} == {
        ("cliente", "ACC-2"): LookupNotFound,
        ("activo_padre", "A-9"): LookupPending,
    }


async def test_the_preflight_counts_the_codes_that_no_row_has(world: World) -> None:
    put(world, "account", accountnumber="ACC-1")

    class Cmms:
        async def pages(self, _: object) -> AsyncIterator[list[CmmsRecord]]:
            codes = ["ACC-1", "ACC-2", "ACC-2", "ACC-3", None]
            yield [CmmsRecord(f"A-{n}", "e", {"cliente": code, "activo_padre": "A-0"}) for n, code in enumerate(codes)]

    found = [one async for one in preflight(ASSET, world.gateway, cast("Any", Cmms()))]
    (lookup,) = [one for one in found if one.level is Level.ERROR]
    assert lookup.subject == "cliente"
    assert "2 codes of 3 records are in no single row of account.accountnumber: ACC-2, ACC-3" in lookup.message
