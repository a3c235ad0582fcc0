"""Dispatch of one OData operation to its handler."""

from local.dataverse.errors import DataverseError, Refusal
from local.dataverse.organization import Dataverse
from local.dataverse.rows import TableRows
from local.dataverse.wire.listing import count_rows, list_rows
from local.dataverse.wire.messages import ODataRequest, ODataResponse
from local.dataverse.wire.metadata import answer_metadata, service_document, who_am_i
from local.dataverse.wire.records import change_property, change_row, create_row, delete_row, retrieve_row
from local.dataverse.wire.resource import Resource, parse_path

_ACTIONS = "Microsoft.Dynamics.CRM."
_ROW_KINDS = {"GET": "retrieve", "PATCH": "update", "DELETE": "delete", "PUT": "update"}


def kind_of(method: str, path: str) -> str:
    """Name the kind of an operation, for statistics, costs and faults: `list`, `create`, `batch`."""
    name, _, tail = path.strip("/").partition("/")
    set_name, keyed, _ = name.partition("(")
    if set_name == "$batch":
        return "batch"
    if set_name == "WhoAmI":
        return "who_am_i"
    if set_name in {"EntityDefinitions", "$metadata", ""}:
        return "metadata"
    if tail.startswith(_ACTIONS) or set_name.startswith(_ACTIONS):
        action = tail.removeprefix(_ACTIONS)
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).strip("_")
    if keyed:
        return _ROW_KINDS.get(method, "other")
    return {"GET": "list", "POST": "create"}.get(method, "other")


class ODataService:
    """Answers single operations; every refusal becomes an answer."""

    def __init__(self, dataverse: Dataverse) -> None:
        self._dataverse = dataverse

    def handle(self, request: ODataRequest) -> ODataResponse:
        """Carry out one operation, atomically."""
        try:
            return self._dispatch(request, parse_path(request.path))
        except DataverseError as error:
            return ODataResponse.refused(error)

    def _dispatch(self, request: ODataRequest, resource: Resource) -> ODataResponse:
        match resource.set_name:
            case "WhoAmI":
                return who_am_i(self._dataverse, request)
            case "EntityDefinitions":
                return answer_metadata(self._dataverse, request, resource)
            case "":
                return service_document(self._dataverse, request)
        rows = self._dataverse.set_named(resource.set_name)
        if resource.key is None:
            return self._set(request, rows, resource)
        return self._row(request, rows, resource)

    def _set(self, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
        match request.method, resource.tail:
            case "GET", ():
                return list_rows(self._dataverse, request, rows)
            case "GET", ("$count",):
                return count_rows(self._dataverse, request, rows)
            case "POST", ():
                return create_row(self._dataverse, request, rows)
            case _, (segment, *_):
                raise Refusal.UNKNOWN_SEGMENT(segment=segment)
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)

    def _row(self, request: ODataRequest, rows: TableRows, resource: Resource) -> ODataResponse:
        match request.method, len(resource.tail):
            case "GET", _:
                return retrieve_row(self._dataverse, request, rows, resource)
            case "PATCH", 0:
                return change_row(self._dataverse, request, rows, resource)
            case "DELETE", 0:
                return delete_row(self._dataverse, request, rows, resource)
            case (("PUT" | "DELETE"), 1):
                return change_property(self._dataverse, request, rows, resource)
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
