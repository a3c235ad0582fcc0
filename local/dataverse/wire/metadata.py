"""A minimal `EntityDefinitions`: tables, columns and alternate keys, read only.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid5

from local.dataverse.errors import Refusal
from local.dataverse.organization import Dataverse
from local.dataverse.schema import AlternateKey, Column, ColumnType, Table, Write
from local.dataverse.wire.messages import ODataRequest, ODataResponse
from local.dataverse.wire.resource import Resource

_METADATA_IDS = UUID("7c2f6d53-9d35-46d3-9f63-1d6a20f6b8f1")
_TYPE_NAMES = {
    ColumnType.DATE: "DateTimeAttributeMetadata",
    ColumnType.UNIQUEIDENTIFIER: "AttributeMetadata",
}


def answer_metadata(dataverse: Dataverse, request: ODataRequest, resource: Resource) -> ODataResponse:
    """Answer a GET below `EntityDefinitions`."""
    if request.method != "GET":
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
    options = dict(parse_qsl(request.query))
    tables = [rows.table for rows in dataverse.tables.values()]
    if resource.key is None:
        return _collection(request, "EntityDefinitions", [_table(one) for one in tables], options)
    name = _name(resource.key, "LogicalName")
    found = next((one for one in tables if name in {one.name, str(_metadata_id(one.name))}), None)
    if found is None:
        raise Refusal.NOT_FOUND(table="EntityMetadata", id=name)
    match resource.tail:
        case ():
            payload = {"@odata.context": f"{request.root}/$metadata#EntityDefinitions/$entity"}
            return ODataResponse.json(payload | _selected(_table(found), options))
        case ("Keys",):
            return _collection(
                request, "EntityDefinitions/Keys", [_key(found, one) for one in found.keys.values()], options
            )
        case ("Attributes", *cast):
            shown = [_column(found, one) for one in found.columns.values()]
            wanted = [one for one in shown if str(one["@odata.type"]).endswith(cast[0] if cast else "")]
            return _collection(request, "EntityDefinitions/Attributes", wanted, options)
        case _:
            raise Refusal.UNKNOWN_SEGMENT(segment="/".join(resource.tail))


def who_am_i(dataverse: Dataverse, request: ODataRequest) -> ODataResponse:
    """Answer the function `WhoAmI`."""
    organization = dataverse.organization
    return ODataResponse.json(
        {
            "@odata.context": f"{request.root}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": str(organization.business_unit_id),
            "UserId": str(request.caller.user.id),
            "OrganizationId": str(organization.id),
        }
    )


def service_document(dataverse: Dataverse, request: ODataRequest) -> ODataResponse:
    """Answer the service root: the entity sets."""
    names = [rows.table.set_name for rows in dataverse.tables.values()]
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
    return ODataResponse.json({"@odata.context": f"{request.root}/$metadata", "value": sets})


def _table(table: Table) -> dict[str, Any]:
    return {
        "MetadataId": str(_metadata_id(table.name)),
        "LogicalName": table.name,
        "SchemaName": table.name,
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "ObjectTypeCode": table.type_code,
        "DisplayName": _label(table.label),
        "ChangeTrackingEnabled": table.change_tracking,
        "IsOptimisticConcurrencyEnabled": True,
        "IsPrivate": False,
    }


def _column(table: Table, column: Column) -> dict[str, Any]:
    kind = _TYPE_NAMES.get(column.type, f"{column.type}AttributeMetadata")
    shown: dict[str, Any] = {
        "@odata.type": f"#Microsoft.Dynamics.CRM.{kind}",
        "MetadataId": str(_metadata_id(f"{table.name}.{column.name}")),
        "LogicalName": column.name,
        "SchemaName": column.name,
        "AttributeType": "DateTime" if column.type is ColumnType.DATE else column.type.value,
        "DisplayName": _label(column.label),
        "IsValidForCreate": column.on_create is Write.ALLOWED,
        "IsValidForUpdate": column.on_update is Write.ALLOWED,
        "IsValidForRead": True,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "RequiredLevel": {"Value": column.required.value},
    }
    if column.type in {ColumnType.STRING, ColumnType.MEMO}:
        shown["MaxLength"] = column.max_length
    if column.type in {ColumnType.MONEY, ColumnType.DECIMAL}:
        shown["Precision"] = column.precision
    if column.type in {ColumnType.DATE, ColumnType.DATETIME}:
        date_only = column.type is ColumnType.DATE
        shown["Format"] = "DateOnly" if date_only else "DateAndTime"
        shown["DateTimeBehavior"] = {"Value": "DateOnly" if date_only else "UserLocal"}
    return shown


def _key(table: Table, key: AlternateKey) -> dict[str, Any]:
    return {
        "MetadataId": str(_metadata_id(f"{table.name}/{key.name}")),
        "LogicalName": key.name.lower(),
        "SchemaName": key.name,
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status.value,
        "DisplayName": _label(key.label),
    }


def _collection(
    request: ODataRequest, context: str, found: list[dict[str, Any]], options: dict[str, str]
) -> ODataResponse:
    condition = options.get("$filter")
    if condition is not None:
        for term in condition.split(" and "):
            name, _, value = term.strip("() ").partition(" eq ")
            wanted = value.strip("' ").lower()
            found = [one for one in found if str(one.get(name.strip())).lower() == wanted]
    payload = {
        "@odata.context": f"{request.root}/$metadata#{context}",
        "value": [_selected(one, options) for one in found],
    }
    return ODataResponse.json(payload)


def _selected(shown: dict[str, Any], options: dict[str, str]) -> dict[str, Any]:
    if "$select" not in options:
        return shown
    wanted = {name.strip() for name in options["$select"].split(",")} | {"MetadataId", "@odata.type"}
    return {name: value for name, value in shown.items() if name in wanted}


def _name(key: Any, expected: str) -> str:
    literal = key.get(expected, key.get("", ""))
    return str(literal).strip("'").lower()


def _label(text: str) -> dict[str, Any]:
    return {"UserLocalizedLabel": {"Label": text, "LanguageCode": 1033}, "LocalizedLabels": []}


def _metadata_id(name: str) -> UUID:
    return uuid5(_METADATA_IDS, name)
