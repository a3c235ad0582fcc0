from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from integracion_dynamics.config import current

from .conftest import OLD_TOKEN, TOKEN
from .helpers import address_of, make_asset

ADDRESSES = [
    "/integracion/activos/",
    "/integracion/activos/1/",
    "/integracion/nada/",
    "/integracion/",
    "/integracion/x",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "Bearer", "Bearer ", "Basic " + TOKEN, TOKEN, "Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x"),
        *("Bearer \xf1\xff", "Bearer " + "x" * 10_000, f"Bearer {TOKEN}, Bearer {TOKEN}"),
    ],
)
def test_without_a_token_every_address_answers_the_same_401(db: None, address: str, header: str | None) -> None:
    answer = Client().get(address, headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="integracion"'
    assert answer.json()["error"]["codigo"] == "no_autorizado"
    assert TOKEN.encode() not in answer.content


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {OLD_TOKEN}", f"Bearer   {TOKEN}"])
def test_two_tokens_live_side_by_side_while_one_replaces_the_other(db: None, header: str) -> None:
    assert Client().get("/integracion/activos/", headers={"Authorization": header}).status_code == 200


def test_without_configured_tokens_nobody_enters(db: None, settings: Any, configuration: dict[str, Any]) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "TOKENS": []}
    assert current().tokens == ()
    assert Client().get("/integracion/activos/", headers={"Authorization": "Bearer "}).status_code == 401


@pytest.mark.parametrize(
    ("address", "method", "allowed"),
    [
        ("/integracion/activos/", "DELETE", "GET, POST, HEAD"),
        ("/integracion/activos/", "OPTIONS", "GET, POST, HEAD"),
        ("/integracion/activos/1/", "DELETE", "GET, PATCH, HEAD"),
        ("/integracion/activos/1/", "PUT", "GET, PATCH, HEAD"),
        ("/integracion/activos/consulta/", "DELETE", "GET, POST, PATCH, HEAD"),
    ],
)
def test_another_method_is_405_with_the_methods_there_are(api: Client, address: str, method: str, allowed: str) -> None:
    make_asset()
    answer = api.generic(method, address)
    assert answer.status_code == 405
    assert answer["Allow"] == allowed
    assert answer.json()["error"]["codigo"] == "metodo_no_permitido"


def test_a_head_request_is_served_like_a_get(api: Client) -> None:
    make_asset()
    assert api.head(address_of("0001")).status_code == 200


@pytest.mark.parametrize(
    "address", ["/integracion/", "/integracion/nada/", "/integracion/activos", "/integracion/activos/1"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_a_json_404_and_never_a_redirect(api: Client, address: str, method: str) -> None:
    answer = api.generic(method, address)
    assert answer.status_code == 404
    assert answer.json()["error"]["codigo"] == "no_encontrado"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b'"text"', b"[]", b"null", b'{"campos": []}', b'{"campos": {}, "more": 1}'),
        *(b'{"campos": {"costo": NaN}}', b'{"campos": {"a": 1e99999999999999999999}}', b"[" * 200_000),
        *(b'{"campos": {"a": 1, "a": 2}}', b'{"campos": {"a": ' + b"9" * 5000 + b"}}", b"\xef\xbb\xbf{}"),
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("address", ["/integracion/activos/", "/integracion/activos/consulta/"])
def test_a_body_that_is_not_the_expected_json_is_400(api: Client, address: str, body: bytes) -> None:
    answer = api.post(address, body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["codigo"] == "peticion_malformada"


@pytest.mark.parametrize("limit", [None, 1000], ids=["ours", "the host's lower one"])
def test_a_body_over_the_limit_is_413(api: Client, settings: Any, limit: int | None) -> None:
    if limit:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = limit
    answer = api.post("/integracion/activos/", b" " * (1024 * 1024 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert answer.json()["error"]["codigo"] == "demasiado_grande"
