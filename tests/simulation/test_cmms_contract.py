"""The model of the CMMS must not lie: the same people and the same requests, on it and on the real Django app."""

import asyncio
import copy
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Protocol

import httpx
import pytest
from django.apps import apps
from django.conf import LazySettings
from django.test import Client

from tests.simulation.cmms_api import CmmsApi
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.tables import COLLECTIONS, DECIMALS, FIELDS, KEYS

TOKEN = "the-token-of-the-contract"
MOMENT = "2026-01-02T03:04:05.000000Z"
VALUES: dict[str, tuple[str | None, ...]] = {
    "nombre": ("Bomba", "Motor", "x" * 201, ""),
    "numero_de_serie": ("S-1", "S-2", None),
    "valor_adquisicion": ("10.50", "10.5", "7.00", None),
    "valor_libros": ("3.10", None),
    "fecha_adquisicion": ("2026-01-31", "2024-02-29", None),
    "justificacion": ("por qué", "", None),
    "total": ("99.99", None),
    "estado": ("BORRADOR", "PENDIENTE", "RARO"),
    "fecha_creacion": (MOMENT,),
}

type Answer = tuple[int, dict[str, Any]]


class Cmms(Protocol):
    """One of the two."""

    def person(self, act: str, entity: str, key: str, given: Any) -> bool: ...

    def ask(self, method: str, path: str, body: Any, if_match: str) -> Answer: ...

    def outbox(self) -> list[dict[str, Any]]: ...


class Model:
    """The model under its API."""

    def __init__(self) -> None:
        self._seconds = 0
        self._cmms = CmmsModel(self._now, Random(1))  # noqa: S311  # names messages only
        self._api = CmmsApi(self._cmms, TOKEN)

    def _now(self) -> datetime:
        self._seconds += 1
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def person(self, act: str, entity: str, key: str, given: Any) -> bool:
        try:
            match act:
                case "create" if self._cmms.find(entity, key) is not None:
                    return False
                case "create":
                    self._cmms.create(entity, key, given)
                case "rename" if self._cmms.find(entity, given) is not None:
                    return False
                case "rename":
                    self._cmms.edit(entity, self._pk(entity, key), {KEYS[entity]: given})
                case "edit" | "silent":
                    self._cmms.edit(entity, self._pk(entity, key), given, silent=act == "silent")
                case "delete":
                    self._cmms.delete(entity, self._pk(entity, key))
        except LookupError:
            return False
        return True

    def _pk(self, entity: str, key: str) -> int:
        found = self._cmms.find(entity, key)
        if found is None:
            raise LookupError(key)
        return found[0]

    def ask(self, method: str, path: str, body: Any, if_match: str) -> Answer:
        headers = _headers(body, if_match)
        content = b"" if body is None else json.dumps(body).encode()
        request = httpx.Request(method, f"http://cmms.example{path}", content=content, headers=headers)
        response = asyncio.run(self._api(request))
        return response.status_code, response.json()

    def outbox(self) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self._cmms.outbox]


class Django:
    """The real app in the demo project."""

    def __init__(self) -> None:
        self._client = Client()

    def person(self, act: str, entity: str, key: str, given: Any) -> bool:
        model = apps.get_model("inventario", {"asset": "Activo", "order": "Requisicion"}[entity])
        rows = model._default_manager.filter(**{KEYS[entity]: key})
        if (act == "create") == rows.exists():
            return False
        match act:
            case "create":
                model._default_manager.create(**{KEYS[entity]: key}, **_columns(given))
            case "silent":
                rows.update(**_columns(given))
            case "delete":
                rows.get().delete()
            case "rename" if model._default_manager.filter(**{KEYS[entity]: given}).exists():
                return False
            case _:
                row = rows.get()
                for name, value in ({KEYS[entity]: given} if act == "rename" else _columns(given)).items():
                    setattr(row, name, value)
                row.save()
        return True

    def ask(self, method: str, path: str, body: Any, if_match: str) -> Answer:
        headers = _headers(body, if_match)
        content = "" if body is None else json.dumps(body)
        answer = self._client.generic(method, path, content, content_type="application/json", headers=headers)
        return answer.status_code, json.loads(answer.content)

    def outbox(self) -> list[dict[str, Any]]:
        Mensaje = apps.get_model("integracion_dynamics", "Mensaje")  # a class
        return [message.as_event() for message in Mensaje.objects.order_by("pk")]


def _headers(body: Any, if_match: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"If-Match": if_match} if if_match else {})
    named = bool(body) and len(body.get("campos", ())) > 1
    return headers | ({"Operation-Id": f"write-{len(str(body))}"} if named else {})


def _columns(given: dict[str, str | None]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    names = {"numero_de_serie": "serie", "valor_adquisicion": "costo", "fecha_adquisicion": "fecha_compra"}
    for name, value in given.items():
        typed: Any = value
        if value is not None and name in DECIMALS:
            typed = Decimal(value)
        elif value is not None and name == "fecha_adquisicion":
            typed = date.fromisoformat(value)
        elif value is not None and name == "fecha_creacion":
            typed = datetime.fromisoformat(value)
        columns[names.get(name, name)] = typed
    return columns


class Witness:
    """Tells the answers of one side without what may differ: instants and etags count only by whether they moved."""

    def __init__(self, cmms: Cmms) -> None:
        self.cmms = cmms
        self.etags: dict[str, list[str]] = {}
        self._ids: dict[str, int] = {}
        self._held: dict[tuple[str, str], str] = {}

    def told(self, collection: str, answer: Answer) -> Any:
        status, body = answer
        if "error" in body:
            error = {name: body["error"].get(name) for name in ("codigo", "campo")}
            return status, error, self._record(collection, body["registro"]) if "registro" in body else None
        if "resultados" in body:
            return status, [self._record(collection, one) for one in body["resultados"]], body["siguiente"] is None
        return status, self._record(collection, body)

    def by_id(self, collection: str) -> list[Any]:
        """Every record, asked for by its id, and a record that there is not."""
        _, listed = self.cmms.ask("GET", collection, None, "")
        ids = ["x", "987654", *(record["id"] for record in listed["resultados"])]
        status, answer = self.cmms.ask("POST", f"{collection}consulta/", {"ids": ids}, "")
        assert (status, answer["resultados"]) == (200, listed["resultados"])
        return [self._record(collection, record) for record in answer["resultados"]]

    def id_of(self, collection: str, key: str) -> str:
        """The id of the record that has the key, or had it when it was last asked for."""
        _, answer = self.cmms.ask("POST", f"{collection}consulta/", {"claves": [key]}, "")
        for record in answer["resultados"]:
            self._held[collection, key] = record["id"]
        return self._held.get((collection, key), "987654")

    def etag_of(self, collection: str, key: str, place: int) -> str:
        """One of the etags that the record has shown."""
        return (self.etags.get(collection + self._held.get((collection, key), "")) or ["*"])[place]

    def _record(self, collection: str, record: dict[str, Any]) -> dict[str, Any]:
        shown = copy.deepcopy(record)
        shown["version"], shown["modificado_en"] = bool(shown["version"]), bool(shown.get("modificado_en"))
        if "etag" in shown:
            seen = self.etags.setdefault(collection + shown["id"], [])
            if shown["etag"] not in seen:
                seen.append(shown["etag"])
            shown["etag"] = seen.index(shown["etag"])
        shown["id"] = self._ids.setdefault(collection + shown["id"], len(self._ids))
        return shown


def _values(entity: str, rng: Random, *, valid: bool) -> dict[str, str | None]:
    names = [name for name in FIELDS[entity] if rng.random() < 0.5 or (valid and name in {"nombre", "fecha_creacion"})]
    given = {name: rng.choice(VALUES[name][:2] if valid else VALUES[name]) for name in names}
    if given.get("justificacion", "") is None:
        given["justificacion"] = ""
    return given


def _step(rng: Random, sides: list[Witness]) -> None:
    entity = rng.choice(tuple(FIELDS))
    key = rng.choice(("A-1", "B/2 ñ", "C"))
    collection = f"/integracion/{COLLECTIONS[entity]}/"
    act = rng.choice(
        ("create", "edit", "silent", "delete", "rename", "post", "patch", "list", "ids", "all", "since", "get")
    )
    if act in {"create", "edit", "silent", "delete", "rename"}:
        given = rng.choice(("A-1", "C", "D")) if act == "rename" else _values(entity, rng, valid=True)
        done = [side.cmms.person(act, entity, key, copy.deepcopy(given)) for side in sides]
        assert done[0] == done[1], (act, entity, key, given)
        return
    valid = rng.random() < 0.6
    fields = _values(entity, rng, valid=valid)
    stale = rng.choice((-1, -1, 0))
    told = []
    for side in sides:
        request: tuple[str, str, Any, str]
        match act:
            case "post":
                body: dict[str, Any] = {"campos": {KEYS[entity]: key, **fields, "fecha_creacion": MOMENT}}
                if entity == "asset":
                    del body["campos"]["fecha_creacion"]
                request = ("POST", collection, body, "")
            case "patch":
                address = f"{collection}{side.id_of(collection, key)}/"
                etag = side.etag_of(collection, key, stale) if valid else ""
                request = ("PATCH", address, {"campos": fields}, etag)
            case "list":
                request = ("POST", f"{collection}consulta/", {"claves": ["C", "A-1", key, "D", "never"]}, "")
            case "ids":
                ids = [side.id_of(collection, one) for one in ("C", "A-1", key)]
                request = ("POST", f"{collection}consulta/", {"ids": ids}, "")
            case "all":
                request = ("GET", f"{collection}?limite=2", None, "")
            case "since":
                request = ("GET", f"{collection}?limite=500&modificado_desde=2020-01-01T00:00:00Z", None, "")
            case _:
                request = ("GET", f"{collection}{side.id_of(collection, key)}/", None, "")
        told.append(side.told(collection, side.cmms.ask(*request)))
    assert told[0] == told[1], (act, entity, key, fields)
    assert sides[0].by_id(collection) == sides[1].by_id(collection)


def _plain(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    shown = []
    for event in events:
        data = event["data"]
        shown.append((event["type"], event["subject"], data["key"], data["origin"], data.get("fields")))
    return shown


@pytest.fixture
def sides(db: None, settings: LazySettings) -> list[Witness]:
    changed = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed["TOKENS"] = [TOKEN]
    settings.INTEGRACION_DYNAMICS = changed
    return [Witness(Model()), Witness(Django())]


@pytest.mark.parametrize("seed", range(6))
def test_the_model_and_the_app_answer_the_same_histories_alike(sides: list[Witness], seed: int) -> None:
    rng = Random(seed)  # noqa: S311  # repeatable, not secret
    for _ in range(60):
        _step(rng, sides)
        model, django = (_plain(side.cmms.outbox()) for side in sides)
        assert model == django
    assert len(sides[0].cmms.outbox()) > 5


def test_both_refuse_a_wrong_token(sides: list[Witness], settings: LazySettings) -> None:
    changed = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed["TOKENS"] = ["another"]
    settings.INTEGRACION_DYNAMICS = changed
    model = asyncio.run(
        CmmsApi(CmmsModel(lambda: datetime.now(UTC), Random(1)), "another")(  # noqa: S311  # names messages only
            httpx.Request(
                "GET", "http://cmms.example/integracion/activos/", headers={"Authorization": f"Bearer {TOKEN}"}
            )
        )
    )
    assert model.status_code == sides[1].cmms.ask("GET", "/integracion/activos/", None, "")[0] == 401
