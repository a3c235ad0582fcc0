"""Creating and reading single rows."""

from decimal import Decimal
from xml.etree import ElementTree as ET

import httpx
import pytest

from local.emulators.dataverse.tests.asking import (
    ASSETS,
    ORDERS,
    WITH_ROW,
    asset,
    asset_numbers,
    body_of,
    code_of,
    created,
    order,
)
from local.emulators.dataverse.tests.conftest import ROOT, Clock


async def test_a_create_answers_204_with_the_address_of_the_row(client: httpx.AsyncClient) -> None:
    response = await client.post(ASSETS, json={"msdyn_name": "Pump"})
    assert (response.status_code, response.content) == (204, b"")
    address = response.headers["OData-EntityId"]
    assert response.headers["Location"] == address
    assert address.startswith(f"{ROOT}/{ASSETS}(")
    assert (await client.get(address)).json()["msdyn_name"] == "Pump"


async def test_a_create_with_representation_answers_201_with_the_row_and_its_etag(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{ASSETS}?$select=msdyn_name", json={"msdyn_name": "Pump"}, headers=WITH_ROW)
    body = body_of(response)
    assert response.status_code == 201
    assert response.headers["Preference-Applied"] == "return=representation"
    assert body["@odata.etag"] == response.headers["ETag"]
    assert body["@odata.etag"].startswith('W/"')
    assert set(body) == {"@odata.context", "@odata.etag", "msdyn_name", "msdyn_customerassetid"}


async def test_money_goes_in_and_out_without_floating_point_artefacts(client: httpx.AsyncClient) -> None:
    row = await asset(client, msdyn_acquisitioncost=Decimal("123456789012.34"))
    answer = await client.get(f"{ASSETS}({row['msdyn_customerassetid']})")
    assert '"msdyn_acquisitioncost":123456789012.34,' in answer.text


async def test_decimals_travel_as_text_where_the_client_asks_for_it(client: httpx.AsyncClient) -> None:
    kind = "application/json;IEEE754Compatible=true"
    response = await client.post(
        ASSETS,
        content='{"msdyn_name": "Pump", "msdyn_acquisitioncost": "10.50"}',
        headers={"Content-Type": kind, "Accept": kind, **WITH_ROW},
    )
    assert response.json()["msdyn_acquisitioncost"] == "10.50"


async def test_system_columns_are_set_by_the_service(client: httpx.AsyncClient, clock: Clock) -> None:
    row = await asset(client)
    assert row["createdon"] == row["modifiedon"] == "2026-03-01T12:00:00Z"
    assert row["_createdby_value"] == row["_ownerid_value"]
    assert row["@odata.etag"] == f'W/"{row["versionnumber"]}"'


async def test_createdon_is_ignored_and_overriddencreatedon_sets_it(client: httpx.AsyncClient) -> None:
    plain = await order(client, "R-1", createdon="2020-01-01T00:00:00Z")
    moved = await order(client, "R-2", overriddencreatedon="2020-01-02T03:04:05+02:00")
    assert plain["createdon"] == "2026-03-01T12:00:00Z"
    assert (moved["createdon"], moved["overriddencreatedon"]) == ("2020-01-02T01:04:05Z", "2020-01-02T01:04:05Z")


async def test_a_chosen_id_is_taken_once(client: httpx.AsyncClient) -> None:
    chosen = "11111111-2222-4333-8444-555555555555"
    row = await asset(client, "A-1", msdyn_customerassetid=chosen)
    again = await client.post(ASSETS, json={"msdyn_name": "Pump", "msdyn_customerassetid": chosen})
    assert row["msdyn_customerassetid"] == chosen
    assert code_of(again) == (412, "0x80040237")


async def test_a_lookup_is_bound_by_navigation_property_and_read_by_value_name(client: httpx.AsyncClient) -> None:
    account = (await created(client, "accounts", {"name": "Contoso"}))["accountid"]
    row = await created(client, ORDERS, {"name": "R-1", "customerid_account@odata.bind": f"/accounts({account})"})
    assert row["_customerid_value"] == account
    refused = await client.post(ORDERS, json={"name": "R-2", "customerid": account})
    assert code_of(refused) == (400, "0x80048d19")


async def test_a_current_version_is_not_sent_again(client: httpx.AsyncClient) -> None:
    row = await asset(client)
    answer = await client.get(
        f"{ASSETS}({row['msdyn_customerassetid']})", headers={"If-None-Match": row["@odata.etag"]}
    )
    assert (answer.status_code, answer.content) == (304, b"")


async def test_a_single_column_can_be_read_written_and_cleared(client: httpx.AsyncClient) -> None:
    row = await asset(client, msdyn_serialid="S-1")
    address = f"{ASSETS}({row['msdyn_customerassetid']})/msdyn_serialid"
    assert (await client.get(address)).json()["value"] == "S-1"
    assert (await client.put(address, json={"value": "S-2"})).status_code == 204
    assert (await client.get(f"{address}/$value")).text == "S-2"
    assert (await client.delete(address)).status_code == 204
    assert (await client.get(address)).status_code == 204


async def test_labels_come_with_the_annotations_that_ask_for_them(client: httpx.AsyncClient) -> None:
    row = await order(client)
    answer = await client.get(f"{ORDERS}({row['salesorderid']})", headers={"Prefer": 'odata.include-annotations="*"'})
    assert answer.json()["statuscode@OData.Community.Display.V1.FormattedValue"] == "New"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{ASSETS}(11111111-2222-4333-8444-555555555555)", (404, "0x80040217")),
        ("DELETE", f"{ASSETS}(11111111-2222-4333-8444-555555555555)", (404, "0x80040217")),
        ("GET", f"{ASSETS}(msdyn_assetnumber='none')", (404, "0x80060891")),
        ("GET", "opportunities", (404, "0x8006088a")),
        ("GET", f"{ASSETS}(not-a-guid)", (400, "0x80060888")),
        ("GET", f"{ASSETS}(msdyn_serialid='S-1')", (400, "0x80060888")),
        ("GET", f"{ASSETS}(msdyn_assetnumber=5)", (400, "0x80060888")),
        ("GET", f"{ASSETS}/nonsense", (404, "0x8006088a")),
        ("PUT", ASSETS, (405, "0x80060888")),
        ("GET", f"{ASSETS}?$expand=msdyn_account", (400, "0x80060888")),
        ("GET", f"{ASSETS}?$select=nonsense", (400, "0x80060888")),
        ("GET", f"{ASSETS}?fetchXml=<fetch/>", (400, "0x80060888")),
        ("GET", "EntityDefinitions?$filter=LogicalName ne 'salesorder'", (400, "0x80060888")),
        ("GET", "EntityDefinitions?$filter=nonsense eq 'salesorder'", (400, "0x80060888")),
        (
            "GET",
            "EntityDefinitions?$filter=IsPrivate eq false and (IsPrivate eq true or IsPrivate eq false)",
            (400, "0x80060888"),
        ),
        ("GET", "EntityDefinitions?$expand=Keys", (400, "0x80060888")),
        ("GET", f"{ASSETS}(%ff)", (400, "0x80060888")),
    ],
)
async def test_what_does_not_exist_is_refused_with_the_services_code(
    client: httpx.AsyncClient, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert code_of(await client.request(method, path)) == expected


async def test_an_address_that_cannot_be_answered_changes_nothing(client: httpx.AsyncClient) -> None:
    representation = {"Prefer": "return=representation"}
    body = {"msdyn_name": "Pump", "msdyn_assetnumber": "A-9"}
    answer = await client.post(f"{ASSETS}?$select=nonsense", json=body, headers=representation)
    assert code_of(answer) == (400, "0x80060888")
    assert await asset_numbers(client, "msdyn_assetnumber eq 'A-9'") == []


async def test_who_am_i_names_the_organisation_and_the_caller(
    client: httpx.AsyncClient, person: httpx.AsyncClient
) -> None:
    mine, theirs = (await client.get("WhoAmI")).json(), (await person.get("WhoAmI")).json()
    assert mine["OrganizationId"] == theirs["OrganizationId"]
    assert mine["UserId"] != theirs["UserId"]
    assert mine["BusinessUnitId"]


@pytest.mark.parametrize("form", ["WhoAmI", "WhoAmI()", "Microsoft.Dynamics.CRM.WhoAmI()"])
async def test_a_function_is_called_with_or_without_parentheses(client: httpx.AsyncClient, form: str) -> None:
    assert (await client.get(form)).json()["OrganizationId"]


async def test_the_metadata_document_describes_the_sets_and_their_types(client: httpx.AsyncClient) -> None:
    response = await client.get("$metadata")
    assert response.headers["Content-Type"] == "application/xml"
    names = {"e": "http://docs.oasis-open.org/odata/ns/edm"}
    root = ET.fromstring(response.content)  # noqa: S314  # our own emulator's answer
    sets = {one.get("Name"): one.get("EntityType") for one in root.iterfind(".//e:EntitySet", names)}
    cost = root.find(".//e:Property[@Name='msdyn_acquisitioncost']", names)
    assert sets[ORDERS] == "Microsoft.Dynamics.CRM.salesorder"
    assert cost is not None
    assert cost.get("Type") == "Edm.Decimal"


async def test_the_metadata_document_describes_navigation_properties(
    client: httpx.AsyncClient,
) -> None:
    names = {"e": "http://docs.oasis-open.org/odata/ns/edm"}
    root = ET.fromstring((await client.get("$metadata")).content)  # noqa: S314  # our own emulator's answer
    found = root.find(".//e:NavigationProperty[@Name='msdyn_FunctionalLocation']", names)
    assert found is not None
    assert found.get("Type") == "Microsoft.Dynamics.CRM.msdyn_functionallocation"


@pytest.mark.parametrize("header", ["CallerObjectId", "MSCRMCallerID"])
async def test_impersonation_is_refused_by_name_and_not_ignored(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("WhoAmI", headers={header: "11111111-2222-4333-8444-555555555555"})
    assert code_of(answer) == (400, "0x80060888")
    assert header in answer.text


async def test_every_answer_carries_the_services_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("WhoAmI")
    assert response.headers["OData-Version"] == "4.0"
    assert response.headers["REQ_ID"] == response.headers["x-ms-service-request-id"]
    assert response.headers["x-ms-dop-hint"] == "8"
    assert response.headers["Set-Cookie"].startswith("ARRAffinity=")


async def test_an_address_over_32_kilobytes_is_refused_with_a_page(client: httpx.AsyncClient) -> None:
    response = await client.get(ASSETS, params={"$filter": f"msdyn_assetnumber eq '{'x' * 33_000}'"})
    assert response.status_code == 414
    assert response.headers["Content-Type"] == "text/html"
