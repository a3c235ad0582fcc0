"""One row over HTTP: create, retrieve, update, upsert, delete.

Rules of If-Match and If-None-Match:
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api
"""

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row, TableRows
from local.emulators.dataverse.values import to_json
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.options import QueryOptions
from local.emulators.dataverse.wire.render import RowRenderer, context_url
from local.emulators.dataverse.wire.resource import Resource, address

CREATED = 201
_APPLIED = {"Preference-Applied": "return=representation"}


def create_row(dataverse: Dataverse, request: ODataRequest, rows: TableRows) -> ODataResponse:
    """Answer `POST set`: 204, or 201 with the row."""
    QueryOptions.parse(request.query, rows.table)  # an address that cannot be answered changes nothing
    row = dataverse.create(rows, request.json_object(rows.table.set_name), request.caller)
    return _written(dataverse, request, rows, row, status=CREATED, entity_id=_entity_id(request, rows, row))


def retrieve_row(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `GET set(key)`: 200, or 304 if the caller's version is current."""
    dataverse.may_read(rows, request.caller)
    row = address(resource, rows).require(rows)
    if request.headers.get("if-none-match") == row.etag:
        return ODataResponse(304, {"OData-Version": "4.0", "ETag": row.etag})
    if resource.tail:
        return _property(request, rows, row, resource.tail)
    return _represented(dataverse, request, rows, row, status=200, headers={"ETag": row.etag})


def change_row(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `PATCH set(key)`: update, or create what does not exist unless If-Match forbids it."""
    QueryOptions.parse(request.query, rows.table)
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    where = address(resource, rows)
    existing = where.find(rows)
    body = request.json_object(rows.table.set_name)
    if existing is not None:
        if if_none_match == "*":
            raise Refusal.DUPLICATE(table=rows.table.name)
        _check_version(existing, if_match)
        # A row that was addressed by a key keeps that key.
        body = {name: value for name, value in body.items() if name not in where.key_values}
        row = dataverse.update(rows, existing.id, body, request.caller)
    else:
        if if_match is not None:
            raise where.missing(rows)
        body |= {name: to_json(value) for name, value in where.key_values.items()}
        row = dataverse.create(rows, body, request.caller, row_id=where.row_id)
    entity_id = f"{request.root}/{resource.text}"
    return _written(dataverse, request, rows, row, status=200 if existing else CREATED, entity_id=entity_id)


def change_property(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `PUT set(key)/column` with `{"value": ...}`, and `DELETE set(key)/column`."""
    existing = address(resource, rows).require(rows)
    _check_version(existing, request.headers.get("if-match"))
    body = request.json_object(rows.table.set_name) if request.method == "PUT" else {}
    dataverse.update(rows, existing.id, {resource.tail[0]: body.get("value")}, request.caller)
    response = ODataResponse.no_content()
    response.rows = 1
    return response


def change_reference(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `PUT set(key)/navigation/$ref` with `{"@odata.id": ...}`, and `DELETE set(key)/navigation/$ref`."""
    existing = address(resource, rows).require(rows)
    _check_version(existing, request.headers.get("if-match"))
    body = request.json_object(rows.table.set_name) if request.method == "PUT" else {}
    dataverse.update(rows, existing.id, {f"{resource.tail[0]}@odata.bind": body.get("@odata.id")}, request.caller)
    response = ODataResponse.no_content()
    response.rows = 1
    return response


def delete_row(dataverse: Dataverse, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
    """Answer `DELETE set(key)`."""
    existing = address(resource, rows).require(rows)
    _check_version(existing, request.headers.get("if-match"))
    dataverse.delete(rows, existing.id, request.caller)
    response = ODataResponse.no_content()
    response.rows = 1
    return response


def _check_version(existing: Row, if_match: str | None) -> None:
    if if_match not in {None, "*", existing.etag}:
        raise Refusal.VERSION_MISMATCH(id=existing.id)


def _written(
    dataverse: Dataverse, request: ODataRequest, rows: TableRows, row: Row, *, status: int, entity_id: str
) -> ODataResponse:
    where = {"OData-EntityId": entity_id} | ({"Location": entity_id} if status == CREATED else {})
    if request.wants_row:
        headers = where | {"ETag": row.etag} | _APPLIED
        response = _represented(dataverse, request, rows, row, status=status, headers=headers)
    else:
        response = ODataResponse.no_content(where)
    response.rows = 1
    return response


def _represented(
    dataverse: Dataverse, request: ODataRequest, rows: TableRows, row: Row, *, status: int, headers: dict[str, str]
) -> ODataResponse:
    select = QueryOptions.parse(request.query, rows.table).select
    payload = {"@odata.context": context_url(request, rows.table, select, single=True)}
    payload |= RowRenderer(dataverse, rows.table, select, request).render(row)
    return ODataResponse.json(payload, status=status, headers=headers, numbers_as_text=request.numbers_as_text)


def _property(request: ODataRequest, rows: TableRows, row: Row, tail: tuple[str, ...]) -> ODataResponse:
    column = rows.table.by_wire_name(tail[0])
    if column is None or tail[1:] not in {(), ("$value",)}:
        raise Refusal.UNKNOWN_SEGMENT(segment="/".join(tail))
    visible = column.allows(request.caller.user.application_id, "read")
    value = to_json(row.values[column.name]) if visible else None
    if value is None:
        return ODataResponse.no_content()
    if tail[1:]:
        return ODataResponse(200, {"Content-Type": "text/plain", "OData-Version": "4.0"}, str(value).encode())
    context = f"{request.root}/$metadata#{rows.table.set_name}({row.id})/{column.wire_name}"
    return ODataResponse.json({"@odata.context": context, "value": value}, numbers_as_text=request.numbers_as_text)


def _entity_id(request: ODataRequest, rows: TableRows, row: Row) -> str:
    return f"{request.root}/{rows.table.set_name}({row.id})"
