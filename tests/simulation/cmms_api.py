"""The integration API over the model: the part of its contract that the product uses."""

import json
import re
from datetime import datetime
from decimal import InvalidOperation
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx

from tests.simulation.cmms_model import REQUIRED, CmmsModel, Fields, entity_of, instant, stored
from tests.simulation.tables import FIELDS, KEYS, TO_STATUS, refused_by_cmms

PAGE = 500
_LENGTHS = {"nombre": 200, "numero_de_serie": 100, "codigo_interno": 50, "numero_requisicion": 100}


class _Refused(Exception):
    def __init__(self, status: int, code: str, *, field: str = "", record: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"error": {"codigo": code, "mensaje": code}}
        if field:
            self.body["error"]["campo"] = field
        if record is not None:
            self.body["registro"] = record


class CmmsApi:
    """Answers requests; each is carried out at one instant."""

    def __init__(self, model: CmmsModel, token: str, *, strict: bool = False) -> None:
        """`strict` refuses some serial numbers, which people may enter."""
        self._strict = strict
        self.idle: set[str] = set()
        """Fields whose writes are taken and have no effect."""
        self._model = model
        self._token = token

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        try:
            status, body = self._answer(request)
        except _Refused as refused:
            status, body = refused.status, refused.body
        headers = {"ETag": body["etag"]} if "etag" in body else {}
        return httpx.Response(status, json=body, headers=headers, request=request)

    def _answer(self, request: httpx.Request) -> tuple[int, dict[str, Any]]:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise _Refused(401, "no_autorizado")
        path = request.url.raw_path.decode().partition("?")[0]
        match = re.fullmatch(r"/integracion/([^/]+)/(?:(.+)/)?", path)
        entity = entity_of(unquote(match[1])) if match else None
        if match is None or entity is None:
            raise _Refused(404, "no_encontrado")
        named = unquote(match[2]) if match[2] else None
        body = json.loads(request.content) if request.content else {}
        match request.method, named:
            case "GET", None:
                return 200, self._list(entity, parse_qs(request.url.query.decode()))
            case "POST", None:
                return 201, self._create(entity, body["campos"], request.headers.get("Operation-Id"))
            case "POST", "consulta":
                return 200, self._by_ids(entity, body["ids"]) if "ids" in body else self._by_keys(
                    entity, body["claves"]
                )
            case "GET", str():
                return 200, self._one(entity, named)
            case "PATCH", str():
                return 200, self._update(entity, named, body["campos"], request.headers)
        raise _Refused(405, "metodo_no_permitido")

    def _one(self, entity: str, named: str) -> dict[str, Any]:
        shown = self._model.shown(entity, int(named)) if named.isdecimal() else None
        if shown is None or shown["borrado"]:
            raise _Refused(404, "no_encontrado")
        return shown

    def _by_keys(self, entity: str, keys: list[str]) -> dict[str, Any]:
        """The living records that hold these keys now."""
        found = [one for key in dict.fromkeys(keys) if (one := self._model.find(entity, key)) is not None]
        return {"resultados": [self._model.shown(entity, pk) for pk, _ in found], "siguiente": None}

    def _by_ids(self, entity: str, ids: list[str]) -> dict[str, Any]:
        shown = [self._model.shown(entity, int(one)) for one in dict.fromkeys(ids) if one.isdecimal()]
        return {"resultados": [one for one in shown if one is not None], "siguiente": None}

    def _list(self, entity: str, query: dict[str, list[str]]) -> dict[str, Any]:
        limit = min(int(query.get("limite", [str(PAGE)])[0]), PAGE)
        if "modificado_desde" in query:
            return self._changed(entity, datetime.fromisoformat(query["modificado_desde"][0]), query, limit)
        after = int(query.get("cursor", ["0"])[0])
        rest = [pk for pk in sorted(self._model.tables[entity].records) if pk > after]
        page = [self._model.shown(entity, pk) for pk in rest[:limit]]
        return {"resultados": page, "siguiente": str(rest[limit - 1]) if len(rest) > limit else None}

    def _changed(self, entity: str, since: datetime, query: dict[str, list[str]], limit: int) -> dict[str, Any]:
        memories = self._model.tables[entity].memories
        marks = sorted((f"{instant(one.version)} {pk:06}", pk) for pk, one in memories.items() if one.version >= since)
        after = query.get("cursor", [""])[0]
        rest = [(mark, pk) for mark, pk in marks if mark > after]
        shown = self._by_ids(entity, [str(pk) for _, pk in rest[:limit]])
        return {**shown, "siguiente": rest[limit - 1][0] if len(rest) > limit else None}

    def _create(self, entity: str, given: dict[str, Any], operation: str | None) -> dict[str, Any]:
        values = self._values(entity, given)
        key = values.pop(KEYS[entity], None)
        if not key:
            raise _Refused(422, "campo_invalido", field=KEYS[entity])
        if (made := self._model.made_by(entity, operation)) is not None:
            raise _Refused(409, "ya_aplicada", record=self._model.shown(entity, made))
        if found := self._model.find(entity, key):
            raise _Refused(409, "ya_existe", record=self._model.shown(entity, found[0]))
        if entity == "asset" and not values.get("nombre"):
            raise _Refused(422, "campo_invalido", field="nombre")
        self._validate(values)
        pk = self._model.create(entity, key, values, by_integration=True, operation=operation)
        return self._one(entity, str(pk))

    def _update(self, entity: str, named: str, given: dict[str, Any], headers: httpx.Headers) -> dict[str, Any]:
        if_match = headers.get("If-Match", "")
        if not if_match.strip():
            raise _Refused(428, "falta_if_match")
        shown = self._one(entity, named)
        if if_match not in {"*", shown["etag"]}:
            raise _Refused(412, "version_distinta", record=shown)
        values = self._values(entity, given)
        key = shown["campos"][KEYS[entity]]
        if values.pop(KEYS[entity], key) != key:
            raise _Refused(422, "campo_invalido", field=KEYS[entity])
        touched = {
            name: value for name, value in values.items() if value != shown["campos"][name] and name not in self.idle
        }
        self._validate(touched)
        if touched:
            operation = headers.get("Operation-Id")
            self._model.edit(entity, int(named), touched, by_integration=True, operation=operation)
        return self._one(entity, named)

    @staticmethod
    def _values(entity: str, given: dict[str, Any]) -> Fields:
        values: Fields = {}
        for name, raw in given.items():
            if name not in {*FIELDS[entity], KEYS[entity]}:
                raise _Refused(422, "campo_invalido", field=name)
            try:
                values[name] = stored(name, raw)
            except (ValueError, InvalidOperation):
                raise _Refused(422, "campo_invalido", field=name) from None
        return values

    def _validate(self, values: Fields) -> None:
        for name, value in values.items():
            too_long = value is not None and len(value) > _LENGTHS.get(name, 10_000)
            empty = name in REQUIRED and not value
            refused = self._strict and name == "numero_de_serie" and refused_by_cmms(value)
            if refused or too_long or empty or (name == "estado" and value not in TO_STATUS):
                raise _Refused(422, "campo_invalido", field=name)
