"""CreateMultiple, UpdateMultiple, UpsertMultiple: many rows in one transaction.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from collections.abc import Mapping
from typing import Any

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import TableRows
from local.emulators.dataverse.values import to_json
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.resource import Resource, RowAddress, address, parse_path

BULK_KINDS = {"create_multiple", "update_multiple", "upsert_multiple"}
_TYPE = "@odata.type"
_ID = "@odata.id"


def read_targets(request: ODataRequest, rows: TableRows, resource: Resource) -> list[dict[str, Any]]:
    """Read the `Targets`; each needs its `@odata.type`.

    Raises:
        DataverseError: PAYLOAD, METHOD_NOT_ALLOWED, MESSAGE_NOT_SUPPORTED.

    """
    table = rows.table
    if request.method != "POST":
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
    if not table.bulk_messages:
        message = resource.tail[0].rpartition(".")[2]
        raise Refusal.MESSAGE_NOT_SUPPORTED(message=message, table=table.name)
    targets = request.json_object(table.set_name).get("Targets")
    if not isinstance(targets, list) or not targets:
        raise Refusal.PAYLOAD(set=table.set_name, detail="The parameter 'Targets' must be a list of at least one row.")
    for target in targets:
        if not isinstance(target, dict):
            raise Refusal.PAYLOAD(set=table.set_name, detail="Each of the 'Targets' must be a JSON object.")
        named = str(target.get(_TYPE, "")).lstrip("#")
        if named != f"Microsoft.Dynamics.CRM.{table.name}":
            detail = f"Each of the 'Targets' needs '{_TYPE}': 'Microsoft.Dynamics.CRM.{table.name}'."
            raise Refusal.PAYLOAD(set=table.set_name, detail=detail)
    return targets


def write_targets(
    dataverse: Dataverse, request: ODataRequest, rows: TableRows, kind: str, targets: list[dict[str, Any]]
) -> ODataResponse:
    """Write all rows or none; the first bad row's error is the answer."""
    with dataverse.transaction():
        if kind == "create_multiple":
            ids = [str(dataverse.create(rows, target, request.caller).id) for target in targets]
            context = f"{request.root}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
            response = ODataResponse.json({"@odata.context": context, "Ids": ids})
        else:
            for target in targets:
                _update(dataverse, request, rows, target, upsert=kind == "upsert_multiple")
            response = ODataResponse.no_content()
    response.rows = len(targets)
    return response


def _update(
    dataverse: Dataverse, request: ODataRequest, rows: TableRows, target: Mapping[str, Any], *, upsert: bool
) -> None:
    where = _address(rows, target)
    existing = where.find(rows)
    body = {name: value for name, value in target.items() if name != rows.table.primary_id}
    if existing is not None:
        body = {name: value for name, value in body.items() if name not in where.key_values}
        dataverse.update(rows, existing.id, body, request.caller)
    elif upsert:
        body |= {name: to_json(value) for name, value in where.key_values.items()}
        dataverse.create(rows, body, request.caller, row_id=where.row_id)
    else:
        raise where.missing(rows)


def _address(rows: TableRows, target: Mapping[str, Any]) -> RowAddress:
    table = rows.table
    reference = target.get(_ID)
    if reference is None:
        reference = f"{table.set_name}({target.get(table.primary_id)})"
    resource = parse_path(str(reference).rpartition("/")[2] if "'" not in str(reference) else str(reference))
    if resource.key is None or resource.set_name != table.set_name:
        detail = f"Each of the 'Targets' needs '{table.primary_id}' or '{_ID}'."
        raise Refusal.PAYLOAD(set=table.set_name, detail=detail)
    return address(resource, rows)
