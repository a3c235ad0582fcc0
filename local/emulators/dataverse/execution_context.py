r"""The body of a native webhook: a RemoteExecutionContext in the service's JSON.

Dates are written `\/Date(ms)\/`. Shape: https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from local.emulators.dataverse import jsontext
from local.emulators.dataverse.changes import Change, Message
from local.emulators.dataverse.environment import Organization
from local.emulators.dataverse.rows import Row
from local.emulators.dataverse.schema import Column, ColumnType, Table

SIZE_LIMIT = 256 * 1024
_CUT = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")
_CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"
_EMPTY_ID = UUID(int=0)
_ON_WRITE = ("modifiedon", "modifiedby", "versionnumber")


def render_context(
    organization: Organization,
    table: Table,
    change: Change,
    *,
    pre_image: Iterable[str] | None = None,
    post_image: Iterable[str] | None = None,
    image_alias: str = "image",
    synchronous: bool = False,
) -> tuple[bytes, bool]:
    """Render the body of an asynchronous post-operation step, and tell whether it had to be cut to 256 KB.

    `pre_image` and `post_image` name the columns of the registered images, None registers none.
    A synchronous step runs without a system job, whose id the operation id would be.
    """
    operation_id = _EMPTY_ID if synchronous else change.operation_id
    context: dict[str, Any] = {
        "BusinessUnitId": str(organization.business_unit_id),
        "CorrelationId": str(change.caller.correlation_id),
        "Depth": 1,
        "InitiatingUserAzureActiveDirectoryObjectId": str(_EMPTY_ID),
        "InitiatingUserId": str(change.caller.user.id),
        "InputParameters": [{"key": "Target", "value": _target(table, change)}],
        "IsExecutingOffline": False,
        "IsInTransaction": False,
        "IsOfflinePlayback": False,
        "IsolationMode": 1,
        "MessageName": change.message.value,
        "Mode": 0 if synchronous else 1,
        "OperationCreatedOn": _date(change.at),
        "OperationId": str(operation_id),
        "OrganizationId": str(organization.id),
        "OrganizationName": organization.name,
        "OutputParameters": [{"key": "id", "value": str(change.row_id)}] if change.message is Message.CREATE else [],
        "OwningExtension": {
            "Id": str(change.operation_id),
            "LogicalName": "sdkmessageprocessingstep",
            "Name": None,
        },
        "ParentContext": None,
        "PostEntityImages": _images(table, change.after, post_image, image_alias),
        "PreEntityImages": _images(table, change.before, pre_image, image_alias),
        "PrimaryEntityId": str(change.row_id),
        "PrimaryEntityName": table.name,
        "RequestId": None,
        "SecondaryEntityName": "none",
        "SharedVariables": [{"key": "tag", "value": change.caller.tag}] if change.caller.tag else [],
        "Stage": 40,
        "UserId": str(change.caller.user.id),
    }
    body = _encode(context)
    if len(body) <= SIZE_LIMIT:
        return body, False
    return _encode({name: value for name, value in context.items() if name not in _CUT}), True


def _target(table: Table, change: Change) -> dict[str, Any]:
    if change.after is None:
        return _reference(table.name, change.row_id)
    if change.message is Message.CREATE:
        names = [name for name, value in change.after.values.items() if value is not None]
    else:
        names = [*(name for name in table.columns if name in change.columns), *_ON_WRITE, table.primary_id]
    return _entity(table, change.after, names)


def _images(table: Table, row: Row | None, columns: Iterable[str] | None, alias: str) -> list[dict[str, Any]]:
    if row is None or columns is None:
        return []
    wanted = set(columns) or set(table.columns)
    names = [name for name in table.columns if name in wanted and row.values.get(name) is not None]
    return [{"key": alias, "value": _entity(table, row, names)}]


def _entity(table: Table, row: Row, names: Iterable[str]) -> dict[str, Any]:
    attributes = [{"key": name, "value": _attribute(table.columns[name], row.values.get(name))} for name in names]
    return {
        "__type": f"Entity:{_CONTRACTS}",
        "Attributes": attributes,
        "EntityState": None,
        "FormattedValues": [],
        "Id": str(row.id),
        "KeyAttributes": [],
        "LogicalName": table.name,
        "RelatedEntities": [],
        "RowVersion": str(row.version),
    }


def _attribute(column: Column, value: Any) -> Any:
    if value is None:
        return None
    match column.type:
        case ColumnType.PICKLIST | ColumnType.STATE | ColumnType.STATUS:
            return {"__type": f"OptionSetValue:{_CONTRACTS}", "Value": value}
        case ColumnType.MONEY:
            return {"__type": f"Money:{_CONTRACTS}", "Value": value}
        case ColumnType.LOOKUP:
            return _reference(next(iter(column.targets), ""), value)
        case ColumnType.DATE | ColumnType.DATETIME:
            return _date(value)
        case _:
            return value if isinstance(value, str | int | bool | Decimal) else str(value)


def _reference(table: str, row_id: UUID) -> dict[str, Any]:
    return {
        "__type": f"EntityReference:{_CONTRACTS}",
        "Id": str(row_id),
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": None,
        "RowVersion": None,
    }


def _date(value: date | datetime) -> str:
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    return f"/Date({round(moment.timestamp() * 1000)})/"


def _encode(context: dict[str, Any]) -> bytes:
    # The service escapes slashes; a reader that does not unescape JSON properly shows itself here.
    return jsontext.dumps(context).replace("/", "\\/").encode()
