"""Filters, order, counts and pages."""

import httpx
import pytest

from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, body_of, code_of, money

IN_SERIAL = "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_serialid',PropertyValues="


@pytest.fixture
async def assets(client: httpx.AsyncClient) -> None:
    await asset(client, "A-1", msdyn_name="Pump", msdyn_acquisitioncost=money("10.50"), msdyn_serialid="it's")
    await asset(
        client, "A-2", msdyn_name="pump two", msdyn_acquisitioncost=money("20"), msdyn_acquisitiondate="2024-02-29"
    )
    await asset(client, "a[3]", msdyn_name="Valve, (big)", msdyn_acquisitiondate="2025-01-01")
    await asset(client, "Ñ-4", msdyn_name="and or not", statecode=0, msdyn_serialid="]) or (1 eq 1")


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("msdyn_assetnumber eq 'a-1'", ["A-1"]),
        ("msdyn_serialid eq 'it''s'", ["A-1"]),
        ("msdyn_acquisitioncost gt 10.5", ["A-2"]),
        ("msdyn_acquisitioncost ge 10.5", ["A-1", "A-2"]),
        ("msdyn_acquisitioncost lt 20 and msdyn_acquisitioncost le 10.50", ["A-1"]),
        ("20 eq msdyn_acquisitioncost", ["A-2"]),
        ("15 lt msdyn_acquisitioncost", ["A-2"]),
        ("msdyn_acquisitioncost eq null", ["a[3]", "Ñ-4"]),
        ("msdyn_acquisitioncost ne null", ["A-1", "A-2"]),
        ("msdyn_acquisitioncost ne 20", ["A-1", "a[3]", "Ñ-4"]),
        ("not (msdyn_acquisitioncost eq 20)", ["A-1"]),
        ("msdyn_acquisitiondate eq 2024-02-29", ["A-2"]),
        ("msdyn_acquisitiondate gt 2024-02-29", ["a[3]"]),
        ("createdon ge 2026-03-01T12:00:00Z and statecode eq 0", ["A-1", "A-2", "a[3]", "Ñ-4"]),
        ("contains(msdyn_name,'PUMP')", ["A-1", "A-2"]),
        ("startswith(msdyn_name,'valve, (')", ["a[3]"]),
        ("endswith(msdyn_name,'two')", ["A-2"]),
        ("msdyn_name eq 'and or not'", ["Ñ-4"]),
        ("msdyn_assetnumber eq 'A-1' or msdyn_assetnumber eq 'A-2' and statecode eq 1", ["A-1"]),
        ("(msdyn_assetnumber eq 'A-1' or msdyn_assetnumber eq 'A-2') and statecode eq 0", ["A-1", "A-2"]),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_assetnumber',PropertyValues=['A-1','ñ-4','x'])",
            ["A-1", "Ñ-4"],
        ),
        ("Microsoft.Dynamics.CRM.In(PropertyName='msdyn_assetnumber',PropertyValues=['a[3]'])", ["a[3]"]),
        (f"{IN_SERIAL}['x', ']) or (1 eq 1'])", ["Ñ-4"]),
        (f'{IN_SERIAL}["it\'s","x"])', ["A-1"]),
        (f"{IN_SERIAL}['it\\'s'])", ["A-1"]),
        (f'{IN_SERIAL}["it\\u0027s"])', ["A-1"]),
        (f"{IN_SERIAL}['x']) or msdyn_serialid eq ']) or (1 eq 1'", ["Ñ-4"]),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName='statuscode',PropertyValues=['1','2'])",
            ["A-1", "A-2", "a[3]", "Ñ-4"],
        ),
        ("Microsoft.Dynamics.CRM.In(PropertyName='msdyn_acquisitioncost',PropertyValues=['20'])", ["A-2"]),
    ],
)
async def test_a_filter_finds(client: httpx.AsyncClient, condition: str, found: list[str]) -> None:
    assert await asset_numbers(client, condition) == found


@pytest.mark.usefixtures("assets")
async def test_parameter_aliases_stand_for_their_values(client: httpx.AsyncClient) -> None:
    condition = "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2) and msdyn_name ne '@p1'"
    parameters = {"$filter": condition, "@p1": "'msdyn_assetnumber'", "@p2": '["A-1","A-2"]'}
    assert len((await client.get(ASSETS, params=parameters)).json()["value"]) == 2


async def test_ids_are_found_by_filter(client: httpx.AsyncClient) -> None:
    row = await asset(client, "A-1")
    row_id = row["msdyn_customerassetid"]
    within = f"Microsoft.Dynamics.CRM.In(PropertyName='msdyn_customerassetid',PropertyValues=['{row_id}'])"
    assert await asset_numbers(client, f"msdyn_customerassetid eq {row_id}") == ["A-1"]
    assert await asset_numbers(client, within) == ["A-1"]


async def test_a_chain_of_a_thousand_conditions_is_answered(client: httpx.AsyncClient) -> None:
    await asset(client, "A-999")
    condition = " or ".join(f"msdyn_assetnumber eq 'A-{number}'" for number in range(1000))
    response = await client.get(ASSETS, params={"$filter": condition})
    assert response.status_code == 414
    shorter = " or ".join(f"msdyn_assetnumber eq 'A-{number}'" for number in range(400, 1000))
    assert await asset_numbers(client, shorter) == ["A-999"]


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "nonsense eq 1",
        "msdyn_name eq",
        "msdyn_name eq 'open",
        "msdyn_name eq 5",
        "msdyn_acquisitioncost eq '5'",
        "msdyn_acquisitioncost gt null",
        "msdyn_acquisitiondate eq '2024-01-01'",
        "1 eq 1",
        "msdyn_name",
        "tolower(msdyn_name) eq 'a'",
        "contains(msdyn_acquisitioncost,'1')",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_name',PropertyValues=[])",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_name',PropertyValues=['a'",
        "Microsoft.Dynamics.CRM.In(PropertyName='nonsense',PropertyValues=['a'])",
        "Microsoft.Dynamics.CRM.Under(PropertyName='msdyn_name',PropertyValue='a')",
        "(" * 2000,
    ],
)
async def test_a_filter_that_cannot_be_answered_is_refused(client: httpx.AsyncClient, condition: str) -> None:
    await asset(client)
    assert code_of(await client.get(ASSETS, params={"$filter": condition})) == (400, "0x80060888")


async def test_a_doubled_apostrophe_is_none_in_a_list(client: httpx.AsyncClient) -> None:
    answer = await client.get(ASSETS, params={"$filter": f"{IN_SERIAL}['it''s','x'])"})
    assert code_of(answer) == (400, "0x80060888")
    assert "Invalid JSON. A comma character ',' was expected in scope 'Array'." in answer.json()["error"]["message"]


async def test_rows_come_in_the_order_asked_for_with_empty_values_first(client: httpx.AsyncClient) -> None:
    for number, cost in (("A-1", "5"), ("A-2", None), ("A-3", "7"), ("A-4", "5")):
        await asset(client, number, msdyn_acquisitioncost=money(cost) if cost else None)
    answer = await client.get(ASSETS, params={"$orderby": "msdyn_acquisitioncost desc,msdyn_assetnumber desc"})
    assert [row["msdyn_assetnumber"] for row in answer.json()["value"]] == ["A-3", "A-4", "A-1", "A-2"]


async def test_top_limits_the_rows_and_ends_the_paging(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await asset(client, f"A-{number}")
    body = (await client.get(ASSETS, params={"$top": "2", "$orderby": "msdyn_assetnumber desc"})).json()
    assert [row["msdyn_assetnumber"] for row in body["value"]] == ["A-4", "A-3"]
    assert "@odata.nextLink" not in body


async def test_count_counts_all_matching_rows(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await asset(client, f"A-{number}")
    body = (await client.get(ASSETS, params={"$count": "true", "$top": "1"})).json()
    plain = await client.get(f"{ASSETS}/$count")
    assert (body["@odata.count"], len(body["value"]), plain.text) == (5, 1, "5")


async def pages(client: httpx.AsyncClient, order: str | None, between_pages: list[str]) -> list[str]:
    """Read by pages of two; after each page create one more asset."""
    parameters = {"$select": "msdyn_assetnumber", "$filter": "msdyn_name eq 'Pump'"} | (
        {"$orderby": order} if order else {}
    )
    link: str | None = str(httpx.URL(ASSETS, params=parameters))
    seen: list[str] = []
    while link:
        response = await client.get(link, headers={"Prefer": "odata.maxpagesize=2"})
        body = body_of(response)
        assert len(body["value"]) <= 2
        assert response.headers["Preference-Applied"] == "odata.maxpagesize=2"
        seen += [str(row["msdyn_assetnumber"]) for row in body["value"]]
        link = body.get("@odata.nextLink")
        if between_pages:
            await asset(client, between_pages.pop(0))
    return seen


@pytest.mark.parametrize("order", [None, "msdyn_assetnumber", "msdyn_assetnumber desc", "msdyn_name,createdon desc"])
async def test_pages_stay_whole_while_rows_are_inserted(client: httpx.AsyncClient, order: str | None) -> None:
    before = [f"A-{number}" for number in range(1, 8)]
    for number in before:
        await asset(client, number)
    seen = await pages(client, order, ["A-0", "A-9", "A-45"])
    assert set(before) <= set(seen)
    assert len(seen) == len(set(seen))


async def test_pages_follow_the_order_of_columns_with_empty_values(client: httpx.AsyncClient) -> None:
    for number, date in (("A-1", None), ("A-2", "2024-01-01"), ("A-3", None), ("A-4", "2023-01-01"), ("A-5", None)):
        await asset(client, number, msdyn_acquisitiondate=date)
    seen = await pages(client, "msdyn_acquisitiondate desc,msdyn_assetnumber", [])
    assert seen == ["A-2", "A-4", "A-1", "A-3", "A-5"]


@pytest.mark.parametrize(
    "query", ["$skiptoken=nonsense", "$filter=%ff", "$top=0", "$top=x", "$orderby=msdyn_name%20up", "$orderby=x"]
)
async def test_malformed_options_are_refused(client: httpx.AsyncClient, query: str) -> None:
    assert code_of(await client.get(f"{ASSETS}?{query}")) == (400, "0x80060888")
