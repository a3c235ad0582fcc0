"""What a column takes, and what it makes of it."""

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.emulators.dataverse import jsontext
from local.emulators.dataverse.schema import Column, ColumnType, Write
from local.emulators.dataverse.tables import customer_asset, sales_order
from local.emulators.dataverse.tests.asking import ASSETS, ORDERS, asset, body_of, code_of, money
from local.emulators.dataverse.values import to_stored

TABLE = customer_asset()
COST = TABLE.columns["msdyn_acquisitioncost"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("10.005", "10.01"), ("-10.005", "-10.01"), ("10.004", "10.00"), ("-0.001", "0.00"), ("7", "7.00")],
)
async def test_money_is_rounded_half_away_from_zero(client: httpx.AsyncClient, sent: str, stored: str) -> None:
    row = await asset(client, msdyn_acquisitioncost=money(sent))
    assert str(row["msdyn_acquisitioncost"]) == stored


@settings(deadline=None, max_examples=50)
@given(st.decimals(min_value=-(10**14), max_value=10**14, places=6))
def test_rounding_never_moves_money_by_more_than_half_a_cent(amount: Decimal) -> None:
    stored = to_stored(TABLE, COST, amount)
    assert isinstance(stored, Decimal)
    assert abs(stored - amount) <= Decimal("0.005")
    assert to_stored(TABLE, COST, stored) == stored


@settings(deadline=None, max_examples=50)
@given(st.decimals(min_value=-(10**30), max_value=10**30))
def test_json_gives_every_decimal_back_as_it_went_in(number: Decimal) -> None:
    assert jsontext.loads(jsontext.dumps([number]).encode()) == [number]


@settings(deadline=None, max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_gives_every_value_back_as_it_went_in(value: Any) -> None:
    assert jsontext.loads(jsontext.dumps(value).encode("utf-8", "surrogatepass")) == value


async def test_an_empty_text_is_stored_as_null(client: httpx.AsyncClient) -> None:
    assert (await asset(client, msdyn_serialid=""))["msdyn_serialid"] is None


async def test_a_text_may_be_as_long_as_its_column_in_utf_16_units(client: httpx.AsyncClient) -> None:
    assert (await asset(client, "A-1", msdyn_name="ñ" * 100))["msdyn_name"] == "ñ" * 100
    refused = await client.post(ASSETS, json={"msdyn_name": "😀" * 51})
    assert code_of(refused) == (400, "0x80044331")
    assert "'msdyn_name'" in refused.text


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("msdyn_name", 5, "0x80048d19"),
        ("msdyn_name", "bell\x07", "0x80040278"),
        ("msdyn_acquisitioncost", "12.5", "0x80048d19"),
        ("msdyn_acquisitioncost", True, "0x80048d19"),
        ("msdyn_acquisitioncost", 10**15, "0x80044330"),
        ("msdyn_acquisitiondate", "2024-02-30", "0x80048d19"),
        ("msdyn_acquisitiondate", "2024-02-29T00:00:00Z", "0x80048d19"),
        ("msdyn_acquisitiondate", 20240229, "0x80048d19"),
        ("statuscode", 3, "0x8004431a"),
        ("statuscode", "1", "0x80048d19"),
        ("statuscode", "\ud800", "0x80048d19"),
        ("no_such_column", 1, "0x80048d19"),
        ("Msdyn_Name", "x", "0x80048d19"),
        ("msdyn_customerassetid", "x", "0x80048d19"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_refused_naming_its_column(
    client: httpx.AsyncClient, column: str, value: Any, code: str
) -> None:
    # Escaped, so that half a surrogate pair can travel.
    body = json.dumps({"msdyn_name": "Pump", column: value})
    response = await client.post(ASSETS, content=body, headers={"Content-Type": "application/json"})
    assert code_of(response) == (400, code)
    assert column in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"msdyn_acquisitioncost": NaN}', '{"a":' * 3000, '"text"', '{"msdyn_name": "a"} x']
)
async def test_what_is_no_json_object_is_refused(client: httpx.AsyncClient, text: str) -> None:
    response = await client.post(ASSETS, content=text, headers={"Content-Type": "application/json"})
    assert code_of(response) == (400, "0x80048d19")


async def test_bytes_that_are_no_utf_8_and_other_media_types_are_refused(client: httpx.AsyncClient) -> None:
    latin = await client.post(ASSETS, content=b'{"msdyn_name":"\xf1"}', headers={"Content-Type": "application/json"})
    form = await client.post(ASSETS, data={"msdyn_name": "x"})
    assert code_of(latin) == (400, "0x80048d19")
    assert form.status_code == 415


async def test_a_required_column_must_have_a_value(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    missing = await client.post(ASSETS, json={"msdyn_assetnumber": "A-2"})
    cleared = await client.patch(f"{ASSETS}({row['msdyn_customerassetid']})", json={"msdyn_name": None})
    assert code_of(missing)[0] == code_of(cleared)[0] == 400
    assert "'msdyn_name'" in missing.text


async def test_a_huge_exponent_is_refused_without_effort(client: httpx.AsyncClient) -> None:
    response = await client.post(
        ASSETS,
        content='{"msdyn_name": "x", "msdyn_acquisitioncost": 1e999999999}',
        headers={"Content-Type": "application/json"},
    )
    assert code_of(response) == (400, "0x80044330")


async def test_the_order_number_is_written_once(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        ORDERS, json={"name": "R-1", "ordernumber": "ORD-1"}, headers={"Prefer": "return=representation"}
    )
    address = f"{ORDERS}({answer.json()['salesorderid']})"
    await client.patch(address, json={"ordernumber": "ORD-2"})
    assert body_of(await client.get(address))["ordernumber"] == "ORD-1"


def test_the_standard_tables_total_can_be_modelled() -> None:
    assert sales_order(total_on_create=Write.REFUSED).columns["totalamount"].on_create is Write.REFUSED


def test_whole_numbers_have_their_own_range_error() -> None:
    column = Column("count", ColumnType.INTEGER, low=Decimal(0), high=Decimal(10))
    with pytest.raises(Exception, match="0x8004432f"):
        to_stored(TABLE, column, 11)
    with pytest.raises(Exception, match="0x80048d19"):
        to_stored(TABLE, column, 2**31)
    assert to_stored(TABLE, column, 10) == 10
