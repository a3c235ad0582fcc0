"""Provision against the emulated organization: what it makes, keeps, changes, removes, and survives."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from local.emulators.dataverse.schema import Column, ColumnType, KeyStatus
from shared.errors import RejectedByTarget, Unavailable
from tests.ops.conftest import SECRET, URL, Organization, carry_out, verbs

ASSETS = "msdyn_customerassets"
EVERYTHING = 11
STAMPS = ["column msdyn_customerasset.cmms_operation", "column salesorder.cmms_operation"]


async def test_an_empty_organization_gets_all_that_the_mapping_needs_and_a_second_run_keeps_it(
    organization: Organization,
) -> None:
    first = verbs(await organization.provision())
    assert len(first["create"]) == 11
    assert [what for what in first["create"] if what.startswith("column")] == STAMPS
    assert len(first["change"]) == 2
    for rows in organization.dataverse.tables.values():
        if rows.table.name in {"msdyn_customerasset", "salesorder"}:
            assert [key.status for key in rows.table.keys.values()] == [KeyStatus.ACTIVE]
            assert rows.table.change_tracking
    again = await organization.provisioner().plan()
    assert verbs(again).keys() == {"keep"}
    assert len(again) == EVERYTHING


async def test_a_webhook_is_posted_only_once_it_is_registered_with_its_secret_and_images(
    organization: Organization,
) -> None:
    await organization.client.post(ASSETS, json={"msdyn_name": "Pump", "msdyn_assetnumber": "A-0"})
    await organization.sender.drain()
    assert organization.posted == []
    await organization.provision()
    created = await organization.client.post(ASSETS, json={"msdyn_name": "Pump", "msdyn_assetnumber": "A-1"})
    row = created.headers["OData-EntityId"]
    await organization.client.patch(row, json={"msdyn_name": "Pumps"})
    await organization.client.patch(row, json={"msdyn_assettag": "not mapped"})
    await organization.client.delete(row)
    await organization.sender.drain()
    bodies = [json.loads(request.content) for request in organization.posted]
    assert sorted(body["MessageName"] for body in bodies) == ["Create", "Delete", "Update"]
    assert {request.headers["x-webhook-key"] for request in organization.posted} == {SECRET}
    deleted = next(body for body in bodies if body["MessageName"] == "Delete")
    (image,) = deleted["PreEntityImages"]
    assert image["value"]["Attributes"] == [{"key": "msdyn_assetnumber", "value": "A-1"}]


async def test_a_rotated_secret_is_one_change_and_neither_secret_is_in_the_plan(organization: Organization) -> None:
    await organization.provision()
    plan = await organization.provisioner(url=None, secret="another-secret-entirely").plan()
    assert verbs(plan)["change"] == ["webhook endpoint 'Energy CMMS sync'"]
    shown = " ".join(change.detail for change in plan)
    assert SECRET not in shown
    assert "another-secret" not in shown
    await carry_out(plan)
    await organization.client.post(ASSETS, json={"msdyn_name": "Pump", "msdyn_assetnumber": "A-1"})
    await organization.sender.drain()
    assert organization.posted[0].headers["x-webhook-key"] == "another-secret-entirely"
    assert str(organization.posted[0].url) == URL


async def test_without_an_address_the_webhook_cannot_be_planned(organization: Organization) -> None:
    plan = await organization.provisioner(url=None).plan()
    assert verbs(plan)["cannot"] == ["webhook endpoint 'Energy CMMS sync'"]


@pytest.mark.parametrize(
    "body",
    [
        {"mode": 0},
        {"statecode": 1, "statuscode": 2},
        {"filteringattributes": "msdyn_name"},
        {"filteringattributes": None},
        {"stage": 20},
    ],
)
async def test_a_step_that_somebody_changed_is_put_right(organization: Organization, body: dict[str, Any]) -> None:
    await organization.provision()
    steps = (await organization.client.get("sdkmessageprocessingsteps?$filter=startswith(name,'Update')")).json()
    step = steps["value"][0]["sdkmessageprocessingstepid"]
    assert (await organization.client.patch(f"sdkmessageprocessingsteps({step})", json=body)).status_code == 204
    plan = await organization.provisioner().plan()
    assert len(verbs(plan)["change"]) == 1
    await carry_out(plan)
    assert verbs(await organization.provisioner().plan()).keys() == {"keep"}


async def test_removal_takes_only_what_provision_made(organization: Organization) -> None:
    table = "EntityDefinitions(LogicalName='salesorder')"
    by_hand = {"SchemaName": "new_ByHand", "KeyAttributes": ["ordernumber"]}
    assert (await organization.client.post(f"{table}/Keys", json=by_hand)).status_code == 204
    hook = {"name": "somebody else's", "url": "https://x.example", "contract": 8, "authtype": 4, "authvalue": "k"}
    assert (await organization.client.post("serviceendpoints", json=hook)).status_code == 204
    await organization.provision()
    await carry_out(await organization.provisioner().removal())
    assert list(organization.dataverse.tables["salesorder"].table.keys) == ["new_ByHand"]
    asset = organization.dataverse.tables["msdyn_customerasset"].table
    assert list(asset.keys) == []
    assert "cmms_operation" not in asset.columns
    left = (await organization.client.get("serviceendpoints")).json()["value"]
    assert [one["name"] for one in left] == ["somebody else's"]
    for registered in ("sdkmessageprocessingsteps", "sdkmessageprocessingstepimages"):
        assert (await organization.client.get(registered)).json()["value"] == []


async def test_an_endpoint_that_another_step_uses_is_left(organization: Organization) -> None:
    await organization.provision()
    (endpoint,) = (await organization.client.get("serviceendpoints")).json()["value"]
    foreign = {
        "name": "by hand",
        "mode": 1,
        "stage": 40,
        "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({endpoint['serviceendpointid']})",
    }
    assert (await organization.client.post("sdkmessageprocessingsteps", json=foreign)).status_code == 204
    plan = await organization.provisioner().removal()
    await carry_out(plan)
    assert len((await organization.client.get("serviceendpoints")).json()["value"]) == 1
    assert [one["name"] for one in (await organization.client.get("sdkmessageprocessingsteps")).json()["value"]] == [
        "by hand"
    ]


async def test_interrupted_before_any_of_its_writes_the_next_run_completes_it(organization: Organization) -> None:
    for broken_at in range(100):
        organization.recorder.writes.clear()
        organization.recorder.fail_at = broken_at
        try:
            await organization.provision()
        except Unavailable:
            pass
        else:
            break
        organization.recorder.fail_at = None
        await organization.provision()
        assert verbs(await organization.provisioner().plan()).keys() == {"keep"}, broken_at
        assert len((await organization.client.get("serviceendpoints")).json()["value"]) == 1
        assert len((await organization.client.get("sdkmessageprocessingsteps")).json()["value"]) == 6
        assert len((await organization.client.get("sdkmessageprocessingstepimages")).json()["value"]) == 4
        await carry_out(await organization.provisioner().removal())
        for name in ("msdyn_customerasset", "salesorder"):
            organization.dataverse.tables[name].table.change_tracking = False
    assert broken_at > 12


async def test_a_key_that_fails_says_why_and_is_built_again_after_the_correction(organization: Organization) -> None:
    rows = [
        (await organization.client.post(ASSETS, json={"msdyn_name": name, "msdyn_assetnumber": "SAME"}))
        for name in ("one", "two")
    ]
    with pytest.raises(RejectedByTarget, match="not unique"):
        await organization.provision()
    await organization.client.delete(rows[1].headers["OData-EntityId"])
    plan = await organization.provisioner().plan()
    assert any("Failed" in change.detail for change in plan)
    await carry_out(plan)
    assert verbs(await organization.provisioner().plan()).keys() == {"keep"}


async def test_missing_custom_columns_are_created_only_when_asked(organization: Organization) -> None:
    table = organization.dataverse.tables["msdyn_customerasset"].table
    for name in ("msdyn_assetnumber", "msdyn_currentbookvalue", "msdyn_acquisitiondate"):
        del table.columns[name]
    plan = verbs(await organization.provisioner().plan())
    assert len(plan["cannot"]) == 4  # the key as well
    assert plan["create"][:1] == STAMPS[:1]  # the stamp needs no leave
    await carry_out(await organization.provisioner().plan(columns=True))
    assert table.columns["msdyn_assetnumber"].max_length == 50
    assert table.columns["msdyn_currentbookvalue"].type is ColumnType.DECIMAL
    assert table.columns["msdyn_acquisitiondate"].type is ColumnType.DATE
    assert verbs(await organization.provisioner().plan()).keys() == {"keep"}
    kept = verbs(await organization.provisioner().removal())["keep"]
    assert [what for what in kept if what.startswith("column")] == [
        "column msdyn_customerasset.msdyn_acquisitiondate",
        "column msdyn_customerasset.msdyn_assetnumber",
        "column msdyn_customerasset.msdyn_currentbookvalue",
    ]
    await carry_out(await organization.provisioner().removal(columns=True))
    assert "msdyn_assetnumber" not in table.columns


async def test_a_missing_platform_column_cannot_be_created(organization: Organization) -> None:
    del organization.dataverse.tables["salesorder"].table.columns["totalamount"]
    plan = await organization.provisioner().plan(columns=True)
    assert verbs(plan)["cannot"] == ["column salesorder.totalamount"]


async def test_a_key_of_that_name_on_other_columns_is_not_touched(organization: Organization) -> None:
    table = organization.dataverse.tables["salesorder"].table
    table.columns["other"] = Column("other", ColumnType.STRING)
    body = {"SchemaName": "cmms_OrderKey", "KeyAttributes": ["other"]}
    await organization.client.post("EntityDefinitions(LogicalName='salesorder')/Keys", json=body)
    plan = await organization.provisioner().plan()
    assert any("rename it in the mapping" in change.detail for change in plan)
    await carry_out(plan)
    assert table.keys["cmms_OrderKey"].columns == ("other",)


async def test_what_is_sent_has_the_documented_form(organization: Organization) -> None:
    await organization.provision()
    writes = [(method, path, json.loads(body)) for method, path, body in organization.recorder.writes]
    keys = [body for method, path, body in writes if path.endswith("(LogicalName='salesorder')/Keys")]
    assert keys[0]["KeyAttributes"] == ["name"]
    assert keys[0]["SchemaName"] == "cmms_OrderKey"
    label = keys[0]["DisplayName"]["LocalizedLabels"][0]
    assert (label["@odata.type"], label["LanguageCode"]) == ("Microsoft.Dynamics.CRM.LocalizedLabel", 1033)
    (definition,) = [body for method, path, body in writes if method == "PUT" and "salesorder" in path]
    assert definition["ChangeTrackingEnabled"] is True
    assert definition["EntitySetName"] == "salesorders"
    published = [body["ParameterXml"] for _, path, body in writes if path == "PublishXml"]
    assert ET.fromstring(published[0]).findtext("entities/entity") == "msdyn_customerasset"  # noqa: S314  # our own
    (endpoint,) = [body for _, path, body in writes if path == "serviceendpoints"]
    assert (endpoint["contract"], endpoint["authtype"], endpoint["url"]) == (8, 5, URL)
    setting = ET.fromstring(endpoint["authvalue"]).find("setting")  # noqa: S314  # our own
    assert setting is not None
    assert (setting.get("name"), setting.get("value")) == ("x-webhook-key", SECRET)
    assert SECRET not in endpoint["description"]
    step = next(body for _, path, body in writes if path == "sdkmessageprocessingsteps" and "Update" in body["name"])
    assert (step["mode"], step["stage"], step["supporteddeployment"], step["asyncautodelete"]) == (1, 40, 0, True)
    for navigation, target in (
        ("sdkmessageid", "/sdkmessages("),
        ("sdkmessagefilterid", "/sdkmessagefilters("),
        ("eventhandler_serviceendpoint", "/serviceendpoints("),
    ):
        assert step[f"{navigation}@odata.bind"].startswith(target)
    image = next(body for _, path, body in writes if path == "sdkmessageprocessingstepimages")
    assert image["messagepropertyname"] == "Target"
