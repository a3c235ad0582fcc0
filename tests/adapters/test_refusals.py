"""What a refused write means: whether its row is closed, and which field is at fault."""

from datetime import UTC, datetime

import httpx
import pytest

from shared.adapters.dataverse.answers import refusal
from shared.errors import PermanentError, RecordClosed, RejectedByTarget, SyncError
from shared.flows.ports import DynamicsWrite
from tests.adapters.worlds import ASSET, ORDER, ROOT, create

ROW_ID = "11111111-1111-1111-1111-111111111111"
OTHER_ID = "22222222-2222-2222-2222-222222222222"
ENTITIES = {"asset": ASSET, "order": ORDER}


def refused(
    text: str, *, entity: str = "order", status: int = 400, code: str = "0x80048d19", write: DynamicsWrite | None = None
) -> SyncError:
    """What the answer means for an update, or for the write given."""
    body = {"error": {"code": code, "message": text}}
    answer = httpx.Response(status, json=body, request=httpx.Request("PATCH", f"{ROOT}/rows"))
    write = write or DynamicsWrite(key="K", id=ROW_ID, etag='W/"1"', values={})
    return refusal(ENTITIES[entity], write, answer, datetime.now(UTC))


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
