"""What a refused write means: a lost race, another record's value, a closed row, and which field is at fault."""

from datetime import UTC, datetime

import httpx
import pytest

from local.emulators.dataverse import Effect
from local.emulators.dataverse.schema import AlternateKey, KeyStatus
from shared.adapters.dataverse.refusals import refusal
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import Conflict, KeyTaken, PermanentError, RecordClosed, RejectedByTarget, SyncError
from shared.flows.ports.engine import Failed
from tests.adapters.worlds import ASSET, ORDER, ROOT, World, create, creates, only_failure, update

ROW_ID = "11111111-1111-1111-1111-111111111111"
OTHER_ID = "22222222-2222-2222-2222-222222222222"
ENTITIES = {"asset": ASSET, "order": ORDER}


def unique_serials(world: World) -> None:
    """A second key of the customer's: no serial number twice."""
    key = AlternateKey("cust_SerialKey", ("msdyn_serialid",), label="serial")
    world.dataverse.tables[ASSET.table].table.keys[key.name] = key
    key.status = KeyStatus.ACTIVE


def with_id(write: DynamicsWrite, new_id: str) -> DynamicsWrite:
    return DynamicsWrite(key=write.key, id=None, etag=None, values=write.values, new_id=new_id)


def refused(
    text: str, *, entity: str = "order", status: int = 400, code: str = "0x80048d19", write: DynamicsWrite | None = None
) -> SyncError:
    """What the answer means for an update, or for the write given."""
    body = {"error": {"code": code, "message": text}}
    answer = httpx.Response(status, json=body, request=httpx.Request("PATCH", f"{ROOT}/rows"))
    write = write or DynamicsWrite(key="K", id=ROW_ID, etag='W/"1"', values={})
    return refusal(ENTITIES[entity], write, answer, datetime.now(UTC))


async def test_an_update_whose_value_another_row_holds_is_rejected_naming_the_field(world: World) -> None:
    unique_serials(world)
    _, row = await world.landed(ASSET, [create("A", numero_de_serie="S-1"), create("B", numero_de_serie="S-2")])
    world.wire.forget()
    (result,) = await world.write(ASSET, [update(row, numero_de_serie="S-1")])
    error = only_failure(result).error
    assert type(error) is RejectedByTarget
    assert (error.field, error.code, error.status) == ("numero_de_serie", "0x80060892", 412)
    assert "Entity Key serial violated" in error.message
    assert len(world.wire.requests) == 1


async def test_a_create_that_another_key_of_the_table_refuses_is_rejected_naming_the_field(world: World) -> None:
    unique_serials(world)
    await world.landed(ASSET, [create("A", numero_de_serie="S-1")])
    (result,) = await world.write(ASSET, [create("B", numero_de_serie="S-1")])
    error = only_failure(result).error
    assert type(error) is RejectedByTarget
    assert (error.field, error.code, error.status) == ("numero_de_serie", "0x80060892", 412)


async def test_one_request_asks_for_all_creates_that_another_key_may_have_refused(world: World) -> None:
    unique_serials(world)
    await world.landed(ASSET, creates(20, "A", numero_de_serie=None))
    await world.landed(ASSET, [create(f"B-{number}", numero_de_serie=f"S-{number}") for number in range(5)])
    world.wire.forget()
    writes = [
        *(create(f"C-{number}", numero_de_serie=f"S-{number}") for number in range(5)),
        *creates(5, "A"),
        *creates(10, "D"),
    ]
    results = await world.write(ASSET, writes)
    kinds = [type(result.error) if isinstance(result, Failed) else None for result in results]
    assert kinds == [RejectedByTarget] * 5 + [KeyTaken] * 5 + [None] * 10
    assert len(world.wire.requests) == 3  # all at once, row by row, and the question


async def test_a_create_whose_key_is_there_lost_a_race_whichever_key_is_blamed(world: World) -> None:
    unique_serials(world)
    keys = world.dataverse.tables[ASSET.table].table.keys
    keys[ASSET.alternate_key] = keys.pop(ASSET.alternate_key)  # checked last: the serial number is blamed
    await world.landed(ASSET, [create("A", numero_de_serie="S-1")])
    (result,) = await world.write(ASSET, [create("a", numero_de_serie="S-1")])
    error = only_failure(result).error
    assert isinstance(error, Conflict)
    assert "msdyn_serialid" in error.message


async def test_a_create_whose_row_is_there_under_another_key_lost_a_race(world: World) -> None:
    (row,) = await world.landed(ASSET, [with_id(create("A"), ROW_ID)])
    await world.landed(ASSET, [DynamicsWrite(key="renamed", id=row.id, etag=row.etag, values={}, writes_key=True)])
    (result,) = await world.write(ASSET, [with_id(create("A"), ROW_ID.upper())])
    error = only_failure(result).error
    assert isinstance(error, Conflict)
    assert error.code == "0x80040237"


@pytest.mark.parametrize("effect", [Effect.STATUS, Effect.HTML, Effect.DROPPED, Effect.TRUNCATED])
async def test_a_refused_create_counts_as_a_lost_race_while_dynamics_cannot_be_asked(
    world: World, effect: Effect
) -> None:
    unique_serials(world)
    await world.landed(ASSET, [create("A", numero_de_serie="S-1")])
    world.fault(effect, kind="batch", after=1)
    results = await world.write(ASSET, [create("B", numero_de_serie="S-1"), create("C")])
    assert isinstance(only_failure(results[0]).error, Conflict)
    assert not only_failure(results[0]).unknown
    assert not isinstance(results[1], Failed)


async def test_a_create_counts_as_a_lost_race_where_dynamics_shows_a_row_that_it_may_take_for_its_own(
    world: World,
) -> None:
    unique_serials(world)
    await world.landed(ASSET, [create("A", numero_de_serie="S-1"), create("straße")])

    def unlike(response: httpx.Response) -> httpx.Response:
        content = response.content.replace(b"value for msdyn_assetnumber", b"value for Asset Number")
        return httpx.Response(200, headers=response.headers, content=content.replace("straße".encode(), b"?"))

    world.wire.change = unlike
    results = await world.write(ASSET, [create("B", numero_de_serie="S-1"), create("straße")])
    assert {type(only_failure(result).error) for result in results} == {KeyTaken}


async def test_a_key_that_is_restored_while_another_row_has_it_is_a_lost_race(world: World) -> None:
    row, _ = await world.landed(ASSET, [create("A"), create("B")])
    write = DynamicsWrite(key="B", id=row.id, etag=row.etag, values={}, writes_key=True)
    (result,) = await world.write(ASSET, [write])
    assert isinstance(only_failure(result).error, Conflict)


@pytest.mark.parametrize("write", [create("K"), None])
@pytest.mark.parametrize("status", [409, 412])
def test_a_row_that_a_duplicate_detection_rule_refuses_is_rejected_with_the_rules_words(
    status: int, write: DynamicsWrite | None
) -> None:
    error = refused("A record was not created or updated: a duplicate.", code="0x80040333", status=status, write=write)
    assert type(error) is RejectedByTarget
    assert error.code == "0x80040333"
    assert "not created or updated" in error.message


def test_a_moved_row_is_a_lost_race() -> None:
    assert isinstance(refused("The version doesn't match.", status=412, code="0x80060882"), Conflict)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Invalid column name 'totalamount'.", "total"),
        ("Invalid property name 'totalamount' was found in entity", "total"),
        ("The field name is totalamount; its value is outside the range.", "total"),
        ("The attribute description of totalamount could not be read", "total"),
        ("Cannot convert the literal 'name' of property 'totalamount' to Edm.Decimal.", "total"),
        ("The length of the 'description' attribute of the 'salesorder' entity exceeded '2000'.", "justificacion"),
        ('The property "name" is required.', "numero_requisicion"),
        ("A validation error occurred for salesorder.name.", "numero_requisicion"),
        ("A validation error occurred for contact.name.", None),
        ("The name and the description must differ.", None),
        ("A field name is missing, see the attribute description.", None),
        ("'totalamount' must be empty while 'description' is.", None),
        ("totalamount may not be changed while statuscode is 2", None),
        ("The key statuscode, statecode is taken.", "estado"),
    ],
)
def test_a_field_is_named_by_its_columns_exact_name_and_never_by_a_word_of_the_sentence(
    text: str, field: str | None
) -> None:
    error = refused(text)
    assert isinstance(error, RejectedByTarget)
    assert error.field == field


@pytest.mark.parametrize(
    "text",
    [
        "The specified price list is not active.",
        "The owner of the account is not active. Choose another owner.",
        "The currency 'HNL' is not in a valid state for use.",
        f"The pricelevel with Id = {OTHER_ID} is not in a valid state.",
    ],
)
def test_what_is_said_of_another_rows_state_closes_no_record(text: str) -> None:
    assert type(refused(text)) is RejectedByTarget


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"The salesorder with Id = {ROW_ID.upper()} is not in a valid state for an update.", "0x80040203"),
        ("Cannot Update a Read-Only Entity", ""),
        ("Cannot perform the action because the record is read only", "0x80040265"),
        ("This record is not active.", "0x80040265"),
        ("No.", "0x8004022e"),
    ],
)
def test_a_row_whose_own_state_refuses_edits_is_closed(text: str, code: str) -> None:
    assert isinstance(refused(text, code=code), RecordClosed)
    made = refused(text, code=code, write=create("K"))
    assert isinstance(made, PermanentError)
    assert not isinstance(made, RecordClosed)  # there is no row yet that could be closed
