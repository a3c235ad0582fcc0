"""Dispatch of one OData operation to its handler."""

from typing import Any

from local.emulators.dataverse.errors import DataverseError, Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.platform import USERS
from local.emulators.dataverse.rows import TableRows
from local.emulators.dataverse.wire.batch import BatchRunner
from local.emulators.dataverse.wire.bulk import BULK_KINDS, read_targets, write_targets
from local.emulators.dataverse.wire.csdl import csdl
from local.emulators.dataverse.wire.listing import count_rows, list_rows
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.metadata import answer_metadata, service_document, who_am_i
from local.emulators.dataverse.wire.provisioning import (
    change_metadata,
    column_permissions,
    platform_action,
    user_privileges,
)
from local.emulators.dataverse.wire.records import (
    change_property,
    change_reference,
    change_row,
    create_row,
    delete_row,
    retrieve_row,
)
from local.emulators.dataverse.wire.resource import Resource, parse_path
from local.emulators.dataverse.wire.statistics import Statistics

_ACTIONS = "Microsoft.Dynamics.CRM."
_OF_USERS = {
    f"{_ACTIONS}RetrieveUserPrivileges()": user_privileges,
    f"{_ACTIONS}RetrievePrincipalAttributePrivileges()": column_permissions,
}
_UNSERVED = {"BulkDelete", "CreateEntities", "GlobalOptionSetDefinitions", "RelationshipDefinitions"}
_ROW_KINDS = {"GET": "retrieve", "PATCH": "update", "DELETE": "delete", "PUT": "update"}


def kind_of(method: str, path: str) -> str:
    """Name the kind of an operation, for statistics, costs and faults: `list`, `create`, `batch`."""
    name, _, tail = path.strip("/").partition("/")
    set_name, keyed, _ = name.partition("(")
    if set_name == "$batch":
        return "batch"
    if set_name.removeprefix(_ACTIONS) == "WhoAmI":
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

    def __init__(self, dataverse: Dataverse, statistics: Statistics) -> None:
        self._dataverse = dataverse
        self._statistics = statistics
        self._batches = BatchRunner(dataverse, self)

    async def handle(self, request: ODataRequest) -> ODataResponse:
        """Carry out one operation atomically, after the time that its rows cost."""
        kind = kind_of(request.method, request.path)
        try:
            if kind == "batch":
                return await self._run_batch(request)
            await self.prepare(request)
        except DataverseError as error:
            refused = ODataResponse.refused(error)
            self.count(request, refused)
            return refused
        response = self.handle_now(request)
        await request.pace.let_pass(self._dataverse.costs.after(response.rows_read))
        self.count(request, response)
        return response

    async def prepare(self, request: ODataRequest) -> None:
        """Let the time pass that an operation takes before it is carried out.

        Raises:
            DataverseError: the operation's rows cannot be read.
        """
        kind = kind_of(request.method, request.path)
        targets = self._targets(request, kind)
        rows = 1 if targets is None else len(targets)
        await request.pace.let_pass(self._dataverse.costs.before(kind, rows, in_batch=request.in_batch))

    def handle_now(self, request: ODataRequest) -> ODataResponse:
        """Carry out one operation at once."""
        kind = kind_of(request.method, request.path)
        try:
            return self._answer(request, kind, self._targets(request, kind))
        except DataverseError as error:
            return ODataResponse.refused(error)

    def count(self, request: ODataRequest, response: ODataResponse, *, undone: bool = False) -> None:
        """Count an operation and the rows that it wrote, none if they were rolled back."""
        self._statistics.operation(kind_of(request.method, request.path), 0 if undone else response.rows)

    async def _run_batch(self, request: ODataRequest) -> ODataResponse:
        if request.in_batch:
            raise Refusal.PAYLOAD(set="$batch", detail="A batch must not hold another batch.")
        if request.method != "POST":
            raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
        await request.pace.let_pass(self._dataverse.costs.before("batch", 0, in_batch=False))
        return await self._batches.run(request)

    def _targets(self, request: ODataRequest, kind: str) -> list[dict[str, Any]] | None:
        if kind not in BULK_KINDS:
            return None
        resource = parse_path(request.path)
        return read_targets(request, self._dataverse.set_named(resource.set_name), resource)

    def _answer(self, request: ODataRequest, kind: str, targets: list[dict[str, Any]] | None) -> ODataResponse:
        resource = parse_path(request.path)
        if targets is None:
            return self._dispatch(request, resource)
        rows = self._dataverse.set_named(resource.set_name)
        return write_targets(self._dataverse, request, rows, kind, targets)

    def _dispatch(self, request: ODataRequest, resource: Resource) -> ODataResponse:
        match resource.set_name.removeprefix(_ACTIONS):
            case "WhoAmI":
                return who_am_i(self._dataverse, request)
            case "EntityDefinitions" if request.method == "GET":
                return answer_metadata(self._dataverse, request, resource)
            case "EntityDefinitions":
                return change_metadata(self._dataverse, request, resource)
            case "PublishXml" | "PublishAllXml" | "ReactivateEntityKey" as action:
                return platform_action(self._dataverse, request, action)
            case "$metadata":
                return ODataResponse(200, {"Content-Type": "application/xml"}, csdl(self._dataverse))
            case "":
                return service_document(self._dataverse, request)
            case name if name in _UNSERVED:
                raise Refusal.NOT_SUPPORTED(what=name)
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
        if rows.table.name == USERS and resource.tail and resource.tail[0] in _OF_USERS:
            return _OF_USERS[resource.tail[0]](self._dataverse, request, rows, resource)
        match request.method, len(resource.tail):
            case "GET", _:
                return retrieve_row(self._dataverse, request, rows, resource)
            case "PATCH", 0:
                return change_row(self._dataverse, request, rows, resource)
            case "DELETE", 0:
                return delete_row(self._dataverse, request, rows, resource)
            case (("PUT" | "DELETE"), 2) if resource.tail[1] == "$ref":
                return change_reference(self._dataverse, request, rows, resource)
            case (("PUT" | "DELETE"), 1):
                return change_property(self._dataverse, request, rows, resource)
        raise Refusal.METHOD_NOT_ALLOWED(method=request.method)
