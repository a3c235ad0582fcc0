"""The integration API over the model: the part of its contract that the product uses."""

import json
import re
from datetime import datetime
from decimal import InvalidOperation
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx

from tests.simulation.cmms_model import REQUIRED, CmmsModel, Fields, entity_of, instant, stored
from tests.simulation.tables import FIELDS, KEYS, TO_STATUS

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

    def __init__(self, model: CmmsModel, token: str) -> None:
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
        key = unquote(match[2]) if match[2] else None
        body = json.loads(request.content) if request.content else {}
        match request.method, key:
            case "GET", None:
                return 200, self._list(entity, parse_qs(request.url.query.decode()))
            case "POST", None:
                return 201, self._create(entity, body["campos"], request.headers.get("Operation-Id"))
            case "POST", "consulta":
                return 200, self._by_ids(entity, body["ids"]) if "ids" in body else self._by_keys(
                    entity, body["claves"]
                )
            case "GET", str():
                found = self._model.find(entity, key)
                if found is None:
                    raise _Refused(404, "no_encontrado")
                return 200, self._model.shown(entity, found[1])
            case "PATCH", str():
                return 200, self._update(entity, key, body["campos"], request.headers)
        raise _Refused(405, "metodo_no_permitido")

    def _by_keys(self, entity: str, keys: list[str]) -> dict[str, Any]:
        shown = []
        for key in dict.fromkeys(keys):
            found = self._model.find(entity, key)
            one = self._model.shown(entity, found[1]) if found else self._model.tombstone(entity, key)
            if one is not None:
                shown.append(one)
        return {"resultados": shown, "siguiente": None}

    def _by_ids(self, entity: str, ids: list[str]) -> dict[str, Any]:
        rows = self._model.tables[entity].records
        shown = [self._model.shown(entity, rows[pk]) for pk in rows if str(pk) in ids]
        return {"resultados": shown, "siguiente": None}

    def _list(self, entity: str, query: dict[str, list[str]]) -> dict[str, Any]:
        if "clave" in query:
            return self._by_keys(entity, query["clave"])
        name = KEYS[entity]
        limit = min(int(query.get("limite", [str(PAGE)])[0]), PAGE)
        if "modificado_desde" in query:
            return self._changed(entity, datetime.fromisoformat(query["modificado_desde"][0]), query, limit)
        after = query.get("cursor", [""])[0]
        rows = sorted(self._model.tables[entity].records.values(), key=lambda row: str(row[name]))
        rest = [row for row in rows if str(row[name]) > after]
        page = [self._model.shown(entity, row) for row in rest[:limit]]
        return {"resultados": page, "siguiente": page[-1]["clave"] if len(rest) > limit else None}

    def _changed(self, entity: str, since: datetime, query: dict[str, list[str]], limit: int) -> dict[str, Any]:
        memories = self._model.tables[entity].memories
        marks = [(instant(one.version), number, key) for number, (key, one) in enumerate(memories.items())]
        after = query.get("cursor", [""])[0]
        rest = [
            (f"{version} {number:06}", key)
            for version, number, key in sorted(marks)
            if memories[key].revision and memories[key].version >= since and f"{version} {number:06}" > after
        ]
        shown = self._by_keys(entity, [key for _, key in rest[:limit]])
        return {**shown, "siguiente": rest[limit - 1][0] if len(rest) > limit else None}

    def _create(self, entity: str, given: dict[str, Any], operation: str | None) -> dict[str, Any]:
        values = self._values(entity, given)
        key = values.pop(KEYS[entity], None)
        if not key:
            raise _Refused(422, "campo_invalido", field=KEYS[entity])
        if found := self._model.find(entity, key):
            raise _Refused(409, "ya_existe", record=self._model.shown(entity, found[1]))
        if self._model.tombstone(entity, key) is not None:
            raise _Refused(409, "fue_borrado")
        if entity == "asset" and not values.get("nombre"):
            raise _Refused(422, "campo_invalido", field="nombre")
        self._validate(values)
        self._model.create(entity, key, values, by_integration=True, operation=operation)
        return self._by_keys(entity, [key])["resultados"][0]  # type: ignore[no-any-return]

    def _update(self, entity: str, key: str, given: dict[str, Any], headers: httpx.Headers) -> dict[str, Any]:
        if_match = headers.get("If-Match", "")
        if not if_match.strip():
            raise _Refused(428, "falta_if_match")
        found = self._model.find(entity, key)
        if found is None:
            raise _Refused(404, "no_encontrado")
        row = found[1]
        if if_match not in {"*", self._model.etag(entity, row)}:
            raise _Refused(412, "version_distinta", record=self._model.shown(entity, row))
        values = self._values(entity, given)
        if values.pop(KEYS[entity], key) != key:
            raise _Refused(422, "campo_invalido", field=KEYS[entity])
        touched = {name: value for name, value in values.items() if value != row[name]}
        self._validate(touched)
        if touched:
            self._model.edit(entity, key, touched, by_integration=True, operation=headers.get("Operation-Id"))
        return self._model.shown(entity, row)

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

    @staticmethod
    def _validate(values: Fields) -> None:
        for name, value in values.items():
            too_long = value is not None and len(value) > _LENGTHS.get(name, 10_000)
            empty = name in REQUIRED and not value
            if too_long or empty or (name == "estado" and value not in TO_STATUS):
                raise _Refused(422, "campo_invalido", field=name)
