"""Both sides, the ledger and the engine in one process: what drifts, is found and is repaired."""

import json
import random
from collections.abc import Callable
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
from shared.flows.reconcile import Policy, Reconciler
from shared.flows.reconcile.dead_letters import Letters
from shared.flows.routing.route import Router
from shared.flows.sync import Sync
from tests.adapters.worlds import StaticToken
from tests.fakes import FakeBus, FakeClock, document_mapping

KEY = "a-signing-key-of-at-least-32-characters"
RESOURCE = "https://org.crm.dynamics.com"
TABLE = "msdyn_customerasset"


class Cmms:
    """The integration API over a list of records; a key may be there twice."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.records: list[dict[str, Any]] = []
        self.tombstones: dict[str, datetime] = {}
        self.spoilt: dict[str, dict[str, Any]] = {}
        """By key, what a record shows in place of its members; a member that is None is not shown."""
        self.page = 3

    def put(self, key: str, *, announced: bool = True, **values: str | None) -> None:
        """Create or edit an asset."""
        found = next((one for one in self.records if one["clave"] == key), None)
        if found is None:
            found = {"clave": key, "campos": {}, "revision": 0, "at": datetime.fromisoformat("1970-01-01T00:00:00Z")}
            found["campos"] = {
                "codigo_interno": key, "nombre": "Bomba", "numero_de_serie": None, "valor_adquisicion": "10.00",
                "valor_libros": "5.50", "fecha_adquisicion": "2024-02-29",
            }  # fmt: skip
            self.records.append(found)
        found["campos"].update(values)
        found["revision"] += 1
        if announced:
            found["at"] = self._clock.now()

    def delete(self, key: str) -> None:
        """Delete with a tombstone."""
        self.records = [one for one in self.records if one["clave"] != key]
        self.tombstones[key] = self._clock.now()

    def values(self, key: str) -> dict[str, Any]:
        """A record's fields."""
        found: dict[str, Any] = next(one["campos"] for one in self.records if one["clave"] == key)
        return found

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if "requisiciones" in request.url.path:
            return httpx.Response(200, json={"resultados": [], "siguiente": None}, request=request)
        query = request.url.params
        body = json.loads(request.content) if request.content else {}
        if "claves" in body:
            records = [self._shown(one) for one in self.records if one["clave"] in body["claves"]]
            gone = [self._tombstone(key) for key in self.tombstones if key in body["claves"]]
            return httpx.Response(200, json={"resultados": records + gone, "siguiente": None}, request=request)
        if request.method == "PATCH":
            key = request.url.path.rstrip("/").rpartition("/")[2]
            record = next(one for one in self.records if one["clave"] == key)
            if request.headers["If-Match"] != self._shown(record)["etag"]:
                return httpx.Response(412, json={"error": {}}, request=request)
            self.put(key, **body["campos"])
            return httpx.Response(200, json=self._shown(record), request=request)
        if request.method == "POST":
            values = body["campos"]
            nothing = dict.fromkeys(("numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion"))
            self.put(values.pop("codigo_interno"), **{**nothing, **values})
            return httpx.Response(201, json=self._shown(self.records[-1]), request=request)
        return httpx.Response(200, json=self._list(query), request=request)

    def _list(self, query: httpx.QueryParams) -> dict[str, Any]:
        if "modificado_desde" in query:
            since = datetime.fromisoformat(query["modificado_desde"])
            shown = [self._shown(one) for one in self.records if one["at"] >= since]
            shown += [self._tombstone(key) for key, at in self.tombstones.items() if at >= since]
            return {"resultados": shown, "siguiente": None}
        ordered = sorted(self.records, key=lambda one: str(one["clave"]))
        start = int(query.get("cursor", "0"))
        end = start + self.page
        following = str(end) if end < len(ordered) else None
        return {"resultados": [self._shown(one) for one in ordered[start:end]], "siguiente": following}

    def _shown(self, one: dict[str, Any]) -> dict[str, Any]:
        etag = f'"{one["clave"]}-{one["revision"]}"'
        shown = {"clave": one["clave"], "etag": etag, "version": one["at"].isoformat(), "campos": dict(one["campos"])}
        shown |= self.spoilt.get(one["clave"], {})
        return {name: value for name, value in shown.items() if value is not None}

    def _tombstone(self, key: str) -> dict[str, Any]:
        return {"clave": key, "borrado": True, "version": self.tombstones[key].isoformat()}


class Wire(httpx.AsyncBaseTransport):
    """Passes requests on, counts them, and lets a test look in before each, or answer it."""

    def __init__(self, inner: Callable[[httpx.Request], Any]) -> None:
        self._inner = inner
        self.requests = 0
        self.before: Callable[[httpx.Request], httpx.Response | None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.before is not None and (instead := self.before(request)) is not None:
            return instead
        answer: httpx.Response = await self._inner(request)
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
        self.dynamics = DataverseGateway(client, self.clock)
        self.gateway = CmmsGateway("https://cmms.example", "token", self.clock, self.cmms_wire)
        self.ledger = SqliteLedger(ledger)
        self.bus = FakeBus()
        self.reports = FolderReports(folder)
        self.folder = folder
        self.letters: Letters | None = None
        self.router = Router(self.bus, self.clock, random.Random(2))  # noqa: S311  # jitter
        self.mapping = document_mapping()
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

    async def agree(self, count: int) -> None:
        """Start with `count` assets on both sides that the ledger knows."""
        for number in range(count):
            self.cmms.put(f"A-{number:03}")
        keys = [f"A-{number:03}" for number in range(count)]
        await self.router.resync("asset", keys, reason="start", source="/test")
        await self.settle()
        self.clock.advance(timedelta(hours=1))


def _body(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()
