"""docs/cmms-openapi.json against the app that answers: its addresses, its methods, its bodies."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.apps import apps
from django.test import Client
from django.urls import get_resolver

from tests.infra.bicep import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "cmms-openapi.json").read_text(encoding="utf-8"))
TOKEN = "a-token-for-this-test"
ASSET = {"codigo_interno": "A/1", "nombre": "Bomba", "valor_adquisicion": "10.50"}
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def api(db: None, settings: Any) -> Client:
    changed = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed["TOKENS"] = [TOKEN]
    settings.INTEGRACION_DYNAMICS = changed
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def answered(path: str, method: str, response: Any) -> Any:
    """Hold an answer to what the document says of it; gives its body."""
    described = DOCUMENT["paths"][path][method]["responses"]
    assert str(response.status_code) in described, (
        f"{method} {path} answered {response.status_code}: {response.content!r}"
    )
    found = described[str(response.status_code)]
    schema = {**found["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    body = response.json()
    jsonschema.Draft202012Validator(schema).validate(body)
    for name in found.get("headers", {}):
        assert name in response.headers
    return body


def test_the_document_has_the_apps_addresses_and_methods() -> None:
    app: Any = next(p for p in get_resolver().url_patterns if getattr(p, "app_name", "") == "integracion_dynamics")
    served = {}
    for pattern in app.url_patterns:
        if pattern.name is None:
            continue  # whatever is no address
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        served[path] = {name for name in METHODS if hasattr(pattern.callback.view_class, name)}
    assert served == {path: METHODS & item.keys() for path, item in DOCUMENT["paths"].items()}


def test_every_answer_of_a_records_life_is_as_described(api: Client) -> None:
    created = answered(
        "/{entidad}/", "post", api.post("/integracion/activos/", {"campos": ASSET}, content_type="application/json")
    )
    assert created["campos"]["valor_adquisicion"] == "10.50"
    record = f"/integracion/activos/{created['id']}/"
    assert answered("/{entidad}/{id}/", "get", api.get(record)) == created
    changed = api.patch(
        record, {"campos": {"nombre": None}}, content_type="application/json", headers={"If-Match": created["etag"]}
    )
    if changed.status_code != 200:
        answered("/{entidad}/{id}/", "patch", changed)
    again = api.patch(
        record, {"campos": {"nombre": "Otra"}}, content_type="application/json", headers={"If-Match": created["etag"]}
    )
    answered("/{entidad}/{id}/", "patch", again)
    page = answered("/{entidad}/", "get", api.get("/integracion/activos/"))
    assert [entry["clave"] for entry in page["resultados"]] == ["A/1"]
    found = answered("/{entidad}/", "get", api.get("/integracion/activos/", {"clave": ["A/1", "none"]}))
    assert len(found["resultados"]) == 1
    answered("/{entidad}/", "get", api.get("/integracion/activos/", {"modificado_desde": "2020-01-01T00:00:00Z"}))
    for asked in ({"claves": ["A/1"]}, {"ids": [created["id"]]}):
        looked = api.post("/integracion/activos/consulta/", asked, content_type="application/json")
        assert len(answered("/{entidad}/consulta/", "post", looked)["resultados"]) == 1


def test_a_deleted_record_is_described_as_a_tombstone(api: Client) -> None:
    created = create(api, **ASSET).json()
    deleted = api.delete("/demo/activos/A%2F1/")
    assert deleted.status_code < 300
    page = answered("/{entidad}/", "get", api.get("/integracion/activos/", {"id": created["id"]}))
    assert page["resultados"][0]["borrado"] is True
    assert answered("/{entidad}/", "get", api.get("/integracion/activos/", {"clave": "A/1"}))["resultados"] == []


@pytest.mark.parametrize("since", ["it lives", "it was deleted"])
def test_a_repeated_create_is_as_described(api: Client, since: str) -> None:
    def create_once() -> Any:
        headers = {"Operation-Id": "1"}
        body = {"campos": ASSET}
        return api.post("/integracion/activos/", body, content_type="application/json", headers=headers)

    record = answered("/{entidad}/", "post", create_once())
    assert record["operaciones"] == ["1"]
    if since == "it was deleted":
        assert api.delete("/demo/activos/A%2F1/").status_code < 300
    refused = answered("/{entidad}/", "post", create_once())
    assert (refused["error"]["codigo"], refused["registro"]["id"]) == ("ya_aplicada", record["id"])


def test_the_health_is_as_described(api: Client) -> None:
    assert answered("/salud/", "get", api.get("/integracion/salud/"))["sano"] is True
    create(api, **ASSET)
    apps.get_model("integracion_dynamics.Mensaje")._default_manager.update(motivo_fallo="too large")
    assert answered("/salud/", "get", api.get("/integracion/salud/"))["omitidos"] == 1
    answered("/salud/", "get", api.get("/integracion/salud/", {"atraso": "x"}))


REFUSALS: list[tuple[str, str, Callable[[Client], Any], int]] = [
    ("/{entidad}/", "get", lambda api: api.get("/integracion/activos/", {"limite": "0"}), 400),
    ("/{entidad}/", "get", lambda api: api.get("/integracion/activos/", headers={"Authorization": "Bearer no"}), 401),
    ("/{entidad}/", "get", lambda api: api.get("/integracion/otros/"), 404),
    ("/{entidad}/", "post", lambda api: api.post("/integracion/activos/", "{", content_type="application/json"), 400),
    ("/{entidad}/", "post", lambda api: create(api, **ASSET), 409),
    ("/{entidad}/", "post", lambda api: create(api, codigo_interno="B", nombre="B", valor_adquisicion="much"), 422),
    ("/{entidad}/", "post", lambda api: create(api, codigo_interno="B", nombre="B" * 1_100_000), 413),
    ("/{entidad}/{id}/", "get", lambda api: api.get("/integracion/activos/none/"), 404),
    ("/{entidad}/{id}/", "patch", lambda api: patch(api, {}), 428),
    ("/{entidad}/{id}/", "patch", lambda api: patch(api, {"If-Match": "*", "Operation-Id": "a b"}), 400),
    ("/{entidad}/{id}/", "patch", lambda api: patch(api, {"If-Match": '"stale"'}), 412),
]


def create(api: Client, **fields: str) -> Any:
    return api.post("/integracion/activos/", {"campos": fields}, content_type="application/json")


def patch(api: Client, headers: dict[str, str]) -> Any:
    fields = {"campos": {"nombre": "Otra"}}
    (record,) = api.get("/integracion/activos/").json()["resultados"]
    return api.patch(f"/integracion/activos/{record['id']}/", fields, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    ("path", "method", "ask", "status"), REFUSALS, ids=lambda value: str(value) if isinstance(value, int) else ""
)
def test_every_refusal_is_as_described(
    api: Client, path: str, method: str, ask: Callable[[Client], Any], status: int
) -> None:
    assert create(api, **ASSET).status_code == 201
    response = ask(api)
    assert response.status_code == status
    answered(path, method, response)
