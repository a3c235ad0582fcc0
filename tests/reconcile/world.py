"""Both sides, the ledger and the engine in one process: what drifts, is found and is repaired."""

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from local.emulators.dataverse import Dataverse, InProcessTransport, SystemUser, create_app
from local.emulators.dataverse.changes import Caller
from local.emulators.identity import mint_token
from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.ledger import SqliteLedger
from shared.adapters.reports import FolderReports
from shared.domain.link import Identity
from shared.domain.schema.mapping import Mapping as FieldTable
from shared.flows.reconcile import Policy, Reconciler
from shared.flows.reconcile.dead_letters import DeadLetterMover
from shared.flows.record_keys import LinkedKeys
from shared.flows.routing.route import Router
from shared.flows.sync import Sync
from tests.adapters.worlds import StaticToken
from tests.fakes import FakeBus, FakeClock, document_mapping

KEY = "a-signing-key-of-at-least-32-characters"
RESOURCE = "https://org.crm.dynamics.com"
TABLE = "msdyn_customerasset"


class Cmms:
    """The integration API over a list of records, by their ids; a key may be there twice."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.records: list[dict[str, Any]] = []
        self.tombstones: dict[str, tuple[str, datetime]] = {}
        """By id, the key and the instant of a deletion."""
        self.spoilt: dict[str, dict[str, Any]] = {}
        """By key, what a record shows in place of its members; a member that is None is not shown."""
        self.page = 3

    def put(self, key: str, *, announced: bool = True, **values: str | None) -> None:
        """Create or edit an asset."""
        found = next((one for one in self.records if one["campos"]["codigo_interno"] == key), None)
        if found is None:
            found = self._made(key)
        self._change(found, values, announced=announced)

    def rename(self, key: str, to: str, *, announced: bool = True) -> None:
        """Give a record another key."""
        self._change(self._record(key), {"codigo_interno": to}, announced=announced)

    def double(self, key: str, **values: str | None) -> None:
        """Make another record of the same key, as no CMMS should."""
        self._change(self._made(key), values, announced=False)

    def restore(self, key: str, **values: str | None) -> None:
        """Show an older state of a record, as after a backup was restored."""
        record = self._record(key)
        self._change(record, values, announced=False)
        record["at"] -= timedelta(days=1)

    def delete(self, key: str) -> None:
        """Delete with a tombstone."""
        gone = self._record(key)
        self.records.remove(gone)
        self.tombstones[gone["id"]] = (key, self._clock.now())

    def forget(self, key: str) -> None:
        """Let a record disappear without a word."""
        self.records.remove(self._record(key))

    def values(self, key: str) -> dict[str, Any]:
        """A record's fields."""
        found: dict[str, Any] = self._record(key)["campos"]
        return found

    def id(self, key: str) -> str:
        """A record's id."""
        return str(self._record(key)["id"])

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if "requisiciones" in request.url.path:
            return httpx.Response(200, json={"resultados": [], "siguiente": None}, request=request)
        body = json.loads(request.content) if request.content else {}
        status, answer = 200, self._list(request.url.params)
        if request.method == "POST" and request.url.path.endswith("/consulta/"):
            answer = {"resultados": self._asked(body), "siguiente": None}
        elif request.method == "POST":
            status, answer = self._create(request.headers["Operation-Id"], body["campos"])
        elif request.method == "PATCH":
            record_id = request.url.path.rstrip("/").rpartition("/")[2]
            status, answer = self._update(record_id, request.headers, body["campos"])
        return httpx.Response(status, json=answer, request=request)

    def _asked(self, body: dict[str, list[str]]) -> list[dict[str, Any]]:
        if "claves" in body:
            return [self._shown(one) for one in self.records if one["campos"]["codigo_interno"] in body["claves"]]
        found = [self._shown(one) for one in self.records if one["id"] in body["ids"]]
        return found + [self._tombstone(record_id) for record_id in self.tombstones if record_id in body["ids"]]

    def _create(self, operation: str, values: dict[str, str | None]) -> tuple[int, dict[str, Any]]:
        for one in self.records:
            if one["made_by"] == operation:
                return 409, {"error": {"codigo": "ya_aplicada", "mensaje": ""}, "registro": self._shown(one)}
            if one["campos"]["codigo_interno"] == values["codigo_interno"]:
                return 409, {"error": {"codigo": "ya_existe", "mensaje": ""}, "registro": self._shown(one)}
        made = self._made(str(values["codigo_interno"]))
        made["made_by"] = operation
        made["campos"] = dict.fromkeys(made["campos"])
        self._change(made, values, operation=operation)
        return 201, self._shown(made)

    def _update(
        self, record_id: str, headers: Mapping[str, str], values: dict[str, str | None]
    ) -> tuple[int, dict[str, Any]]:
        record = next((one for one in self.records if one["id"] == record_id), None)
        if record is None:
            return 404, {"error": {"codigo": "no_existe", "mensaje": ""}}
        if headers["If-Match"] != self._etag(record):
            return 412, {"error": {"codigo": "etag", "mensaje": ""}}
        self._change(record, values, operation=headers["Operation-Id"])
        return 200, self._shown(record)

    def _record(self, key: str) -> dict[str, Any]:
        return next(one for one in self.records if one["campos"]["codigo_interno"] == key)

    def _made(self, key: str) -> dict[str, Any]:
        campos = {
            "codigo_interno": key, "nombre": "Bomba", "numero_de_serie": None, "valor_adquisicion": "10.00",
            "valor_libros": "5.50", "fecha_adquisicion": "2024-02-29",
        }  # fmt: skip
        made = {
            "id": f"{next(self._numbers):04}", "campos": campos, "revision": 0, "operations": [], "made_by": None,
            "at": datetime.fromisoformat("1970-01-01T00:00:00Z"),
        }  # fmt: skip
        self.records.append(made)
        return made

    def _change(
        self, record: dict[str, Any], values: Mapping[str, str | None], *, announced: bool = True, operation: str = ""
    ) -> None:
        record["campos"].update(values)
        record["revision"] += 1
        if operation:
            record["operations"].append(operation)
        if announced:
            record["at"] = self._clock.now()

    def _list(self, query: httpx.QueryParams) -> dict[str, Any]:
        if "modificado_desde" in query:
            since = datetime.fromisoformat(query["modificado_desde"])
            shown = [self._shown(one) for one in self.records if one["at"] >= since]
            shown += [self._tombstone(gone) for gone, (_, at) in self.tombstones.items() if at >= since]
            return {"resultados": shown, "siguiente": None}
        ordered = sorted(self.records, key=lambda one: str(one["id"]))
        start = int(query.get("cursor", "0"))
        end = start + self.page
        following = str(end) if end < len(ordered) else None
        return {"resultados": [self._shown(one) for one in ordered[start:end]], "siguiente": following}

    def _etag(self, one: dict[str, Any]) -> str:
        return f'"{one["id"]}-{one["revision"]}"'

    def _shown(self, one: dict[str, Any]) -> dict[str, Any]:
        key = one["campos"]["codigo_interno"]
        shown = {
            "id": one["id"], "clave": key, "etag": self._etag(one), "version": one["at"].isoformat(),
            "revision": one["revision"],
            "operaciones": one["operations"][-20:], "campos": dict(one["campos"]),
        }  # fmt: skip
        shown |= self.spoilt.get(key, {})
        return {name: value for name, value in shown.items() if value is not None}

    def _tombstone(self, record_id: str) -> dict[str, Any]:
        key, at = self.tombstones[record_id]
        return {"id": record_id, "clave": key, "borrado": True, "version": at.isoformat()}


def remapped(mapping: FieldTable, columns: Mapping[str, str]) -> FieldTable:
    """A mapping that takes other columns for some of the asset's fields, and knows no others."""
    table = mapping.model_dump()
    fields = table["entities"]["asset"]["fields"]
    table["entities"]["asset"]["fields"] = {name: {**fields[name], "column": at} for name, at in columns.items()}
    return FieldTable.model_validate(table)


class Wire(httpx.AsyncBaseTransport):
    """Passes requests on, counts them, and lets a test look in before each, or answer it; or lose the answer."""

    def __init__(self, inner: Callable[[httpx.Request], Any]) -> None:
        self._inner = inner
        self.requests = 0
        self.before: Callable[[httpx.Request], httpx.Response | None] | None = None
        self.answering: Callable[[httpx.Request], None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.before is not None and (instead := self.before(request)) is not None:
            return instead
        answer: httpx.Response = await self._inner(request)
        if self.answering is not None:
            self.answering(request)
        return answer


class World:
    """One worker, one organization, one CMMS."""

    def __init__(self, folder: Path, ledger: Path | str = ":memory:", **policy: Any) -> None:
        self.clock = FakeClock()
        draw = random.Random(1)  # noqa: S311  # repeatable, not secret
        self.dataverse = Dataverse(
            users=[SystemUser.of("Integration", "app-1"), SystemUser.of("Person", "person-1")],
            clock=self.clock.now,
            ids=lambda: UUID(int=draw.getrandbits(128), version=4),
        )
        self.cmms = Cmms(self.clock)
        app = create_app(self.dataverse, signing_key=KEY, audiences=[RESOURCE])
        self._emulator = InProcessTransport(app)
        self.wire = Wire(self._emulator.handle_async_request)
        self.cmms_wire = Wire(self.cmms)
        token = mint_token(
            KEY, resource=RESOURCE, client_id="app-1", now=self.clock.now(), lifetime=timedelta(days=400)
        )
        client = DataverseClient(f"{RESOURCE}/api/data/v9.2", StaticToken(token), self.clock, self.wire)
        self.gateway = CmmsGateway("https://cmms.example", "token", self.clock, self.cmms_wire)
        self.ledger = SqliteLedger(ledger)
        self.mapping = document_mapping()
        self.dynamics = DataverseGateway(
            client, self.clock, LinkedKeys(self.mapping, self.ledger, self.gateway, self.clock)
        )
        self.bus = FakeBus()
        self.reports = FolderReports(folder)
        self.folder = folder
        self.letters: DeadLetterMover | None = None
        self.router = Router(self.bus, self.clock, random.Random(2))  # noqa: S311  # jitter
        self.sync = Sync(self.mapping, self.ledger, self.dynamics, self.gateway, self.router, clock=self.clock)
        self.policy = {"settle": timedelta(), "full_every": timedelta(hours=24), **policy}

    def reconciler(self) -> Reconciler:
        """A worker that has just started: it knows only what is stored."""
        return Reconciler(
            self.mapping, self.ledger, self.dynamics, self.gateway, self.router, clock=self.clock,
            policy=Policy(**self.policy), state=self.ledger, reports=self.reports, retention=timedelta(days=30),
            letters=self.letters,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close what is open."""
        await self.dynamics.aclose()
        await self.gateway.aclose()
        await self._emulator.aclose()
        self.ledger.close()

    # People in Dynamics

    @property
    def rows(self) -> Any:
        """The table of assets."""
        return self.dataverse.tables[TABLE]

    def caller(self) -> Caller:
        """A person."""
        return Caller(self.dataverse.users["person-1"], self.dataverse.new_id())

    def row(self, key: str) -> Any:
        """A row by its key."""
        return next(row for row in self.rows if row.values["msdyn_assetnumber"] == key)

    def edit(self, key: str, **columns: Any) -> None:
        """Change a row."""
        self.dataverse.update(self.rows, self.row(key).id, columns, self.caller())

    def create(self, key: str, **columns: Any) -> None:
        """Make a row."""
        body = {"msdyn_assetnumber": key, "msdyn_name": "Bomba", **columns}
        self.dataverse.create(self.rows, body, self.caller())

    def delete(self, key: str) -> None:
        """Delete a row."""
        self.dataverse.delete(self.rows, self.row(key).id, self.caller())

    # The engine

    async def settle(self) -> int:
        """Let the engine work off what is on the queues; answers how many messages that were."""
        done = 0
        while bodies := [_body(message.body) for message in self.bus.queues.pop("assets", [])]:
            await self.sync.handle("asset", bodies)
            done += len(bodies)
        return done

    async def resync(self, keys: Iterable[str]) -> None:
        """Enqueue a message for each record of the CMMS."""
        records = {Identity("cmms", self.cmms.id(key)): key for key in keys}
        await self.router.resync("asset", records, reason="test", source="/test")

    async def agree(self, count: int) -> None:
        """Start with `count` assets on both sides that the ledger knows."""
        for number in range(count):
            self.cmms.put(f"A-{number:03}")
        await self.resync(f"A-{number:03}" for number in range(count))
        await self.settle()
        self.clock.advance(timedelta(hours=1))


def _body(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()
