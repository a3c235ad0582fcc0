"""Changing the definitions: columns, alternate keys, change tracking; publishing; a user's privileges.

Requests as in https://learn.microsoft.com/power-apps/developer/data-platform/webapi/
create-update-column-definitions-using-web-api, `.../create-update-entity-definitions-using-web-api` and
`.../define-alternate-keys-entity`.
"""

import asyncio
import re
from typing import Any

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row, TableRows, frozen
from local.emulators.dataverse.schema import AlternateKey, Column, ColumnType, KeyStatus, Table
from local.emulators.dataverse.users import OVERRIDE_CREATED
from local.emulators.dataverse.wire.definitions import PRIVILEGES, metadata_id, privilege_id, privilege_name
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.metadata import find_column, find_key, find_table, member_name
from local.emulators.dataverse.wire.resource import Resource, address

_ONE = re.compile(r"(?P<kind>Keys|Attributes)\((?P<key>[^)]*)\)")
_PERMISSIONS = {"CanRead": "read", "CanUpdate": "update", "CanCreate": "create", "CanReadUnMasked": "unmasked"}
_KEYS_PER_TABLE = 10
_COLUMNS_PER_KEY = 16
_KEY_TYPES = {
    ColumnType.DECIMAL,
    ColumnType.INTEGER,
    ColumnType.STRING,
    ColumnType.DATE,
    ColumnType.DATETIME,
    ColumnType.LOOKUP,
    ColumnType.PICKLIST,
}


def change_metadata(dataverse: Dataverse, request: ODataRequest, resource: Resource) -> ODataResponse:
    """Answer a request that changes a table's definition."""
    table = find_table(dataverse, resource)
    rows = dataverse.tables[table.name]
    if f"Customize:{table.name}" in request.caller.user.denied:
        raise Refusal.MISSING_PRIVILEGE(user=request.caller.user.id, privilege="prvCreateAttribute")
    match request.method, resource.tail:
        case "PUT", ():
            table.change_tracking = bool(request.json_object("EntityDefinitions").get("ChangeTrackingEnabled"))
            return ODataResponse.no_content()
        case "POST", ("Keys",):
            return _create_key(dataverse, request, rows)
        case "POST", ("Attributes",):
            return _create_column(request, rows)
        case "DELETE", (segment,) if match := _ONE.fullmatch(segment):
            name = member_name(match["key"])
            if match["kind"] == "Keys":
                table.keys.pop(find_key(table, name).name)
            else:
                _delete_column(table, find_column(table, name))
            return ODataResponse.no_content()
    raise Refusal.METHOD_NOT_ALLOWED(method=request.method)


def platform_action(dataverse: Dataverse, request: ODataRequest, action: str) -> ODataResponse:
    """Answer `PublishXml`, `PublishAllXml` and `ReactivateEntityKey`."""
    if request.method != "POST":
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
    if action == "ReactivateEntityKey":
        body = request.json_object(action)
        rows = dataverse.tables.get(str(body.get("EntityLogicalName")))
        if rows is None:
            raise Refusal.NOT_FOUND(table="EntityMetadata", id=body.get("EntityLogicalName"))
        _index(dataverse, rows, find_key(rows.table, str(body.get("EntityKeyLogicalName")).lower()))
    return ODataResponse.no_content()


def user_privileges(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `systemusers(id)/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()`."""
    row = address(resource, rows).require(rows)
    user = next(one for one in dataverse.users.values() if one.id == row.id)
    unit = str(dataverse.organization.business_unit_id)
    names = [
        privilege_name(kind, one.table)
        for one in dataverse.tables.values()
        for kind in PRIVILEGES
        if f"{kind}:{one.table.name}" not in user.denied
    ]
    if OVERRIDE_CREATED not in user.denied:
        names.append(f"prv{OVERRIDE_CREATED}")
    held = [
        {"Depth": "Global", "PrivilegeId": str(privilege_id(name)), "PrivilegeName": name, "BusinessUnitId": unit}
        for name in names
    ]
    context = f"{request.root}/$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse"
    return ODataResponse.json({"@odata.context": context, "RolePrivileges": held})


def column_permissions(
    dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource
) -> ODataResponse:
    """Answer `systemusers(id)/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()`.

    Only columns with some permission are listed, as they are in the user's profiles; 4 is allowed, 0 is not.
    """
    dataverse.may_read(rows, request.caller)
    row = address(resource, rows).require(rows)
    user = next(one for one in dataverse.users.values() if one.id == row.id)
    permissions = []
    for table in (one.table for one in dataverse.tables.values()):
        for column in table.columns.values():
            held = (column.permissions or {}).get(user.application_id, frozenset())
            if held:
                shown = {name: 4 * (use in held) for name, use in _PERMISSIONS.items()}
                permissions.append({"AttributeId": str(metadata_id(f"{table.name}.{column.name}")), **shown})
    context = f"{request.root}/$metadata#Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivilegesResponse"
    return ODataResponse.json({"@odata.context": context, "AttributePrivileges": permissions})


def _create_key(dataverse: Dataverse, request: ODataRequest, rows: TableRows) -> ODataResponse:
    table, body = rows.table, request.json_object("Keys")
    name, columns = str(body.get("SchemaName") or ""), tuple(body.get("KeyAttributes") or ())
    problem = None
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*_\w+", name):
        problem = "The schema name of a key needs a publisher's prefix, such as new_Key."
    elif name in table.keys or any(key.columns == columns for key in table.keys.values()):
        problem = f"Table {table.name} already has a key {name} or one with the same columns."
    elif len(table.keys) >= _KEYS_PER_TABLE or not 0 < len(columns) <= _COLUMNS_PER_KEY:
        problem = f"A table has at most {_KEYS_PER_TABLE} keys of 1 to {_COLUMNS_PER_KEY} columns."
    elif any(one not in table.columns or table.columns[one].type not in _KEY_TYPES for one in columns):
        problem = f"The columns {', '.join(columns)} cannot be a key of {table.name}."
    if problem:
        raise Refusal.DEFINITION(detail=problem)
    key = table.keys[name] = AlternateKey(name, columns, KeyStatus.PENDING, _text(body.get("DisplayName")))
    _index(dataverse, rows, key)
    return _created(
        request, f"EntityDefinitions({metadata_id(table.name)})/Keys({metadata_id(f'{table.name}/{name}')})"
    )


def _index(dataverse: Dataverse, rows: TableRows, key: AlternateKey) -> None:
    """The service builds the index in a job of its own."""
    key.status = KeyStatus.PENDING
    loop = asyncio.get_running_loop()
    loop.call_later(dataverse.key_index_seconds, rows.activate, key)


def _create_column(request: ODataRequest, rows: TableRows) -> ODataResponse:
    table, body = rows.table, request.json_object("Attributes")
    kind = str(body.get("@odata.type", "")).removeprefix("#").removeprefix("Microsoft.Dynamics.CRM.")
    name = str(body.get("SchemaName") or "").lower()
    if not re.fullmatch(r"[a-z][a-z0-9]*_\w+", name) or name in table.columns:
        raise Refusal.DEFINITION(
            detail=f"{name or 'A column without SchemaName'} exists, or has no publisher's prefix."
        )
    column_type = {
        "StringAttributeMetadata": ColumnType.STRING,
        "MemoAttributeMetadata": ColumnType.MEMO,
        "MoneyAttributeMetadata": ColumnType.MONEY,
        "DecimalAttributeMetadata": ColumnType.DECIMAL,
        "IntegerAttributeMetadata": ColumnType.INTEGER,
        "BooleanAttributeMetadata": ColumnType.BOOLEAN,
        "DateTimeAttributeMetadata": _date_type(body),
    }.get(kind)
    if column_type is None:
        raise Refusal.DEFINITION(detail=f"This emulator makes no column of the type {kind}.")
    limit = body.get("MaxLength")
    if column_type in {ColumnType.STRING, ColumnType.MEMO} and not isinstance(limit, int):
        raise Refusal.DEFINITION(detail=f"{name} needs a MaxLength.")
    if column_type is ColumnType.BOOLEAN and not {"TrueOption", "FalseOption"} <= set(body.get("OptionSet") or ()):
        raise Refusal.DEFINITION(detail=f"{name} needs an OptionSet with a TrueOption and a FalseOption.")
    table.columns[name] = Column(
        name,
        column_type,
        _text(body.get("DisplayName")),
        max_length=limit if isinstance(limit, int) else 100,
        precision=int(body.get("Precision", 2)),
        description=_text(body.get("Description")),
    )
    for row in list(rows):
        rows.put(Row(row.id, row.version, frozen({**row.values, name: None})))
    return _created(
        request, f"EntityDefinitions({metadata_id(table.name)})/Attributes({metadata_id(f'{table.name}.{name}')})"
    )


def _delete_column(table: Table, column: Column) -> None:
    holder = next((key.name for key in table.keys.values() if column.name in key.columns), None)
    if holder is not None or "_" not in column.name:
        what = f"the key {holder}" if holder else "the platform"
        raise Refusal.DEFINITION(detail=f"{column.name} cannot be deleted: {what} depends on it.")
    del table.columns[column.name]


def _date_type(body: dict[str, Any]) -> ColumnType:
    behavior = body.get("DateTimeBehavior")
    date_only = isinstance(behavior, dict) and behavior.get("Value") == "DateOnly"
    return ColumnType.DATE if date_only else ColumnType.DATETIME


def _text(label: Any) -> str:
    labels = label.get("LocalizedLabels") if isinstance(label, dict) else None
    return str(labels[0].get("Label", "")) if labels else ""


def _created(request: ODataRequest, path: str) -> ODataResponse:
    return ODataResponse.no_content({"OData-EntityId": f"{request.root}/{path}"})
