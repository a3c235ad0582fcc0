"""The emulator's own interface under `/_emulator/`: what happened, for tests and for curious people."""

from dataclasses import asdict, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.emulators.dataverse import jsontext
from local.emulators.dataverse.faults import Fault
from local.emulators.dataverse.organization import Dataverse, Snapshot
from local.emulators.dataverse.plugins import PlugIn
from local.emulators.dataverse.staleness import StaleReads
from local.emulators.dataverse.values import to_json
from local.emulators.dataverse.webhooks import WebhookSender
from local.emulators.dataverse.wire.statistics import Statistics

_FAULT = TypeAdapter(Fault)
_PERMISSIONS = TypeAdapter(dict[str, list[Literal["read", "update", "create"]]])
_PLUG_IN = TypeAdapter(PlugIn)
_PLUG_IN_LIST = TypeAdapter(list[PlugIn])
_STALE_READS = TypeAdapter(StaleReads)
_FAULT_LIST = TypeAdapter(list[Fault])
_LOOPBACK = {"127.0.0.1", "::1", "testclient"}


class ControlApi:
    """Handlers of the control routes; they answer the machine itself only, and need no token."""

    def __init__(self, dataverse: Dataverse, webhooks: WebhookSender, statistics: Statistics) -> None:
        self._dataverse = dataverse
        self._webhooks = webhooks
        self._statistics = statistics
        self._snapshots: dict[str, Snapshot] = {}

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/stats", self.stats, methods=["GET"]),
            Route("/reset-stats", self.reset, methods=["POST"]),
            Route("/tables/{table}", self.table, methods=["GET"]),
            Route("/webhooks", self.webhooks, methods=["GET"]),
            Route("/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            Route("/users/{application_id}", self.user, methods=["PATCH", "DELETE"]),
            Route("/security/{table}/{column}", self.security, methods=["PUT", "DELETE"]),
            Route("/plug-ins", self.plug_ins, methods=["GET", "POST", "DELETE"]),
            Route("/stale-reads", self.stale_reads, methods=["PUT", "DELETE"]),
            Route("/snapshots/{name}", self.snapshot, methods=["PUT", "POST"]),
        ]

    async def stats(self, request: Request) -> Response:
        """Show the counters."""
        posts = {
            "sent": self._webhooks.sent,
            "failed": self._webhooks.failed,
            "pending": self._webhooks.pending,
        }
        return self._show(request, self._statistics.as_json() | {"webhooks": posts})

    async def reset(self, request: Request) -> Response:
        """Set the counters back to zero."""
        self._statistics.reset()
        self._webhooks.sent = self._webhooks.failed = 0
        return self._show(request, {"reset": True})

    async def table(self, request: Request) -> Response:
        """Show every row of a table, named logically or by its set."""
        name = request.path_params["table"]
        for rows in self._dataverse.tables.values():
            if name in {rows.table.name, rows.table.set_name}:
                shown = [{column: to_json(value) for column, value in row.values.items()} for row in rows]
                return self._show(request, {"table": rows.table.name, "count": len(rows), "rows": shown})
        return self._show(request, {"error": f"There is no table '{name}'."}, status=404)

    async def webhooks(self, request: Request) -> Response:
        """Show the last deliveries, newest last, without secrets."""
        shown = [
            asdict(one) | {"row_id": str(one.row_id), "operation_id": str(one.operation_id)}
            for one in self._webhooks.deliveries
        ]
        registered = [{"name": one.name, "url": one.url, "table": one.table} for one in self._webhooks.webhooks]
        return self._show(request, {"registered": registered, "deliveries": shown})

    async def faults(self, request: Request) -> Response:
        """Show the fault rules, add one, or lift them all."""
        if request.method == "DELETE":
            self._dataverse.faults.clear()
        if request.method == "POST":
            try:
                self._dataverse.faults.add(_FAULT.validate_json(await request.body()))
            except ValidationError as error:
                return self._unusable(request, "fault", error)
        rules = jsontext.loads(_FAULT_LIST.dump_json(self._dataverse.faults.rules))
        return self._show(request, {"faults": rules})

    async def user(self, request: Request) -> Response:
        """Take privileges from a user (`{"denied": ["Create:salesorder"]}`), disable it, or remove it."""
        application_id = request.path_params["application_id"].lower()
        user = self._dataverse.users.get(application_id)
        if user is None:
            return self._show(request, {"error": f"There is no user '{application_id}'."}, status=404)
        if request.method == "DELETE":
            self._dataverse.remove_user(application_id)
            return self._show(request, {"removed": user.name})
        body = jsontext.loads(await request.body())
        denied = frozenset(body.get("denied", user.denied))
        self._dataverse.put_user(replace(user, denied=denied, disabled=bool(body.get("disabled", user.disabled))))
        return self._show(request, {"name": user.name, "denied": sorted(denied)})

    async def security(self, request: Request) -> Response:
        """Secure a column, or open it again; the body says who may do what: `{"app-1": ["read", "update"]}`."""
        name = request.path_params["table"]
        tables = (rows.table for rows in self._dataverse.tables.values())
        table = next((one for one in tables if name in {one.name, one.set_name}), None)
        column = table.columns.get(request.path_params["column"]) if table is not None else None
        if column is None:
            return self._show(request, {"error": "There is no such column."}, status=404)
        if request.method == "DELETE":
            column.permissions = None
        else:
            try:
                permissions = _PERMISSIONS.validate_json(await request.body() or b"{}")
            except ValidationError as error:
                return self._unusable(request, "permission", error)
            column.permissions = {user.lower(): frozenset(uses) for user, uses in permissions.items()}
        return self._show(request, {"column": column.name, "secured": column.permissions is not None})

    async def plug_ins(self, request: Request) -> Response:
        """Show the installed plug-ins, install one, or remove them all."""
        if request.method == "DELETE":
            self._dataverse.plug_ins.clear()
        if request.method == "POST":
            try:
                self._dataverse.plug_ins.append(_PLUG_IN.validate_json(await request.body()))
            except ValidationError as error:
                return self._unusable(request, "plug-in", error)
        return self._show(request, {"plug_ins": jsontext.loads(_PLUG_IN_LIST.dump_json(self._dataverse.plug_ins))})

    async def stale_reads(self, request: Request) -> Response:
        """Let list reads lag (`{"seconds": 20, "every": 3}`), or no more."""
        self._dataverse.stale_reads = None
        if request.method == "PUT":
            try:
                self._dataverse.stale_reads = _STALE_READS.validate_json(await request.body())
            except ValidationError as error:
                return self._unusable(request, "lag", error)
        return self._show(request, {"stale_reads": self._dataverse.stale_reads is not None})

    async def snapshot(self, request: Request) -> Response:
        """Take a backup of the organization under a name (PUT), or restore it (POST)."""
        name = request.path_params["name"]
        if request.method == "PUT":
            self._snapshots[name] = self._dataverse.snapshot()
            return self._show(request, {"snapshot": name})
        if name not in self._snapshots:
            return self._show(request, {"error": f"There is no snapshot '{name}'."}, status=404)
        self._dataverse.restore(self._snapshots[name])
        return self._show(request, {"restored": name})

    def _unusable(self, request: Request, what: str, error: ValidationError) -> Response:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return self._show(request, {"error": f"The {what} is not usable: {'; '.join(problems)}"}, status=400)

    @staticmethod
    def _show(request: Request, payload: Any, *, status: int = 200) -> Response:
        if request.client is None or request.client.host not in _LOOPBACK:
            payload, status = {"error": "The control interface answers on this machine only."}, 403
        return Response(jsontext.dumps(payload), status, media_type="application/json")
