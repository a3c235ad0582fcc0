"""Lookups: bound to rows that exist, cleared, read by their value name, and described by the definitions."""

from uuid import UUID

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, ORDERS, asset, body_of, code_of, created, order

NOBODY = "11111111-2222-4333-8444-555555555555"
PARENT = "msdyn_parentasset_msdyn_customerasset@odata.bind"


async def account(client: httpx.AsyncClient, number: str = "ACC-1") -> str:
    return str((await created(client, "accounts", {"name": "Contoso", "accountnumber": number}))["accountid"])


async def currency(client: httpx.AsyncClient, code: str) -> str:
    values = {"currencyname": code, "isocurrencycode": code}
    return str((await created(client, "transactioncurrencies", values))["transactioncurrencyid"])


async def test_a_lookup_refers_to_a_row_that_exists(client: httpx.AsyncClient) -> None:
    owner = await account(client)
    row = await asset(client, **{"msdyn_account@odata.bind": f"/accounts({owner})"})
    assert row["_msdyn_account_value"] == owner
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    missing = await client.patch(address, json={"msdyn_account@odata.bind": f"/accounts({NOBODY})"})
    assert code_of(missing) == (404, "0x80040217")
    assert NOBODY in missing.text
    other = await client.patch(address, json={"msdyn_account@odata.bind": f"/contacts({owner})"})
    assert code_of(other) == (400, "0x80048d19")
    assert (await client.get(address)).json()["_msdyn_account_value"] == owner


async def test_a_new_row_gets_a_default_where_nobody_gives_a_value(
    dataverse: Dataverse, client: httpx.AsyncClient
) -> None:
    euros, dollars = [await currency(client, code) for code in ("EUR", "USD")]
    dataverse.defaults["transactioncurrencyid"] = UUID(euros)
    row = await order(client)
    given = await order(
        client, name="REQ-2", **{"transactioncurrencyid@odata.bind": f"/transactioncurrencies({dollars})"}
    )
    assert row["_transactioncurrencyid_value"] == euros
    assert given["_transactioncurrencyid_value"] == dollars
    assert (await asset(client)).get("_transactioncurrencyid_value") is None


async def test_a_lookup_is_cleared_by_binding_it_to_null(client: httpx.AsyncClient) -> None:
    row = await order(client, **{"customerid_account@odata.bind": f"/accounts({await account(client)})"})
    address = f"{ORDERS}({row['salesorderid']})"
    # Either navigation property of a lookup of several tables clears it.
    assert (await client.patch(address, json={"customerid_contact@odata.bind": None})).status_code == 204
    assert (await client.get(address)).json()["_customerid_value"] is None


async def test_a_row_may_refer_to_one_of_its_own_table_and_loses_it_when_that_is_deleted(
    client: httpx.AsyncClient,
) -> None:
    parent = await asset(client, "A-1")
    child = await asset(client, "A-2", **{PARENT: f"/{ASSETS}({parent['msdyn_customerassetid']})"})
    address = f"{ASSETS}({child['msdyn_customerassetid']})"
    assert (await client.delete(f"{ASSETS}({parent['msdyn_customerassetid']})")).status_code == 204
    after = (await client.get(address)).json()
    assert after["_msdyn_parentasset_value"] is None
    assert after["@odata.etag"] != child["@odata.etag"]


async def test_a_lookup_is_filtered_by_its_value(client: httpx.AsyncClient) -> None:
    owner = await account(client)
    await asset(client, "A-1", **{"msdyn_account@odata.bind": f"/accounts({owner})"})
    await asset(client, "A-2")
    for condition, found in ((f"_msdyn_account_value eq {owner}", ["A-1"]), ("_msdyn_account_value eq null", ["A-2"])):
        answer = await client.get(ASSETS, params={"$filter": condition})
        assert [row["msdyn_assetnumber"] for row in body_of(answer)["value"]] == found


@pytest.mark.parametrize(
    ("table", "column", "kind", "navigation"),
    [
        ("msdyn_customerasset", "msdyn_functionallocation", "Lookup", {"msdyn_FunctionalLocation"}),
        ("salesorder", "customerid", "Customer", {"customerid_account", "customerid_contact"}),
        ("msdyn_purchaseorder", "msdyn_vendor", "Lookup", {"msdyn_vendor"}),
    ],
)
async def test_definitions_tell_a_lookups_navigation_properties(
    client: httpx.AsyncClient, table: str, column: str, kind: str, navigation: set[str]
) -> None:
    address = f"EntityDefinitions(LogicalName='{table}')"
    shown = (await client.get(f"{address}/Attributes(LogicalName='{column}')")).json()
    assert shown["AttributeType"] == kind
    answer = await client.get(f"{address}/ManyToOneRelationships?$filter=ReferencingAttribute eq '{column}'")
    found = body_of(answer)["value"]
    assert {one["ReferencingEntityNavigationPropertyName"] for one in found} == navigation
    assert {one["ReferencedEntity"] for one in found} == set(shown["Targets"])


@pytest.mark.parametrize(
    ("kind", "referencing"),
    [("OneToManyRelationships", {"msdyn_customerasset", "msdyn_purchaseorder", "salesorder"}), ("ManyToMany", set())],
)
async def test_definitions_tell_who_refers_to_a_table(
    client: httpx.AsyncClient, kind: str, referencing: set[str]
) -> None:
    path = f"EntityDefinitions(LogicalName='account')/{kind.removesuffix('Relationships')}Relationships"
    found = body_of(await client.get(path))["value"]
    assert {one["ReferencedEntity"] for one in found} <= {"account"}
    assert referencing <= {one["ReferencingEntity"] for one in found}
    assert bool(referencing) == bool(found)


@pytest.mark.parametrize("name", ["RelationshipDefinitions", "GlobalOptionSetDefinitions", "CreateEntities"])
async def test_definitions_that_are_not_served_are_refused_by_name(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.request("POST" if name == "CreateEntities" else "GET", name, json={})
    assert (answer.status_code, f"{name} is not supported by this emulator" in answer.text) == (400, True)


async def test_totals_in_the_base_currency_are_the_services_own(client: httpx.AsyncClient) -> None:
    values = {"msdyn_name": "PO-1", "msdyn_totalamount": 5, "msdyn_totalamount_base": 7}
    row = await created(client, "msdyn_purchaseorders", values)
    assert (row["msdyn_totalamount"], row["msdyn_totalamount_base"]) == (5, None)


async def test_a_yes_no_column_can_be_made_and_written(client: httpx.AsyncClient) -> None:
    definition = "EntityDefinitions(LogicalName='msdyn_customerasset')/Attributes"
    body = {"@odata.type": "Microsoft.Dynamics.CRM.BooleanAttributeMetadata", "SchemaName": "new_Critical"}
    assert (await client.post(definition, json=body)).status_code == 400
    options = {"TrueOption": {"Value": 1}, "FalseOption": {"Value": 0}}
    assert (await client.post(definition, json=body | {"OptionSet": options})).status_code == 204
    row = await asset(client, new_critical=True)
    assert row["new_critical"] is True


async def test_a_reference_is_set_and_removed_by_its_own_address(client: httpx.AsyncClient) -> None:
    owner = await account(client)
    row = await asset(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    reference = f"{address}/msdyn_account/$ref"
    assert (await client.put(reference, json={"@odata.id": f"{client.base_url}accounts({owner})"})).status_code == 204
    assert (await client.get(address)).json()["_msdyn_account_value"] == owner
    assert (await client.delete(reference)).status_code == 204
    assert (await client.get(address)).json()["_msdyn_account_value"] is None


async def test_annotations_name_the_row_and_the_table_that_a_lookup_refers_to(client: httpx.AsyncClient) -> None:
    person = (await created(client, "contacts", {"fullname": "Ana"}))["contactid"]
    row = await order(client, **{"customerid_contact@odata.bind": f"/contacts({person})"})
    answer = await client.get(f"{ORDERS}({row['salesorderid']})", headers={"Prefer": 'odata.include-annotations="*"'})
    shown = answer.json()
    assert shown["_customerid_value@OData.Community.Display.V1.FormattedValue"] == "Ana"
    assert shown["_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
