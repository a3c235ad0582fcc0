"""The API over a real socket, as an HTTP client and a web server treat addresses and bodies."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import django
import httpx
import pytest
from django.db import connection

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje

from .helpers import address_of, make_asset

needs_immediate = pytest.mark.skipif(
    connection.vendor == "sqlite" and django.VERSION < (5, 1),
    reason="before Django 5.1 SQLite locks in the middle of a transaction, and at once refuses the second writer",
)


def test_opaque_keys_survive_the_wire_and_a_patch(server: httpx.Client) -> None:
    for key in ["a/b", "a/", "/a", " a ", "ñandú", "a%2Fb", "a?b#c", "a\nb", "consulta"]:
        make_asset(key)
        (record,) = server.get("/integracion/activos/", params={"clave": key}).json()["resultados"]
        assert record["clave"] == key
        written = server.patch(address_of(key), json={"campos": {"nombre": "x"}}, headers={"If-Match": record["etag"]})
        assert written.status_code == 200, key


def test_a_chunked_body_over_the_limit_is_413_without_a_content_length(server: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 64 * 1024

    assert server.post("/integracion/activos/", content=endless()).status_code == 413


def test_a_chunked_body_within_the_limit_is_read(server: httpx.Client) -> None:
    body = iter([b'{"campos": {"codigo_interno": "1",', b' "nombre": "\xc3\xb1"}}'])
    assert server.post("/integracion/activos/", content=body).status_code == 201


@pytest.mark.parametrize("text", ["%00", "%FF", "%ED%A0%80", "%"])
def test_an_address_of_broken_bytes_is_404(server: httpx.Client, text: str) -> None:
    assert server.get(f"/integracion/activos/{text}/").status_code == 404


@needs_immediate
def test_of_two_writers_with_the_same_etag_exactly_one_wins_each_round(server: httpx.Client) -> None:
    make_asset()
    address = address_of("0001")
    with ThreadPoolExecutor(4) as pool:
        for round_ in range(5):
            tag = server.get(address).headers["ETag"]

            def write(writer: int, *, tag: str = tag, round_: int = round_) -> int:
                body = {"campos": {"nombre": f"{round_}-{writer}"}}
                return server.patch(address, json=body, headers={"If-Match": tag}).status_code

            assert sorted(pool.map(write, range(4))) == [200, 412, 412, 412]
    versions = [message.cuerpo["version"] for message in Mensaje.objects.order_by("pk")]
    assert versions == sorted(set(versions))
    assert len(versions) == 6


@needs_immediate
def test_of_two_creates_of_one_key_exactly_one_wins(server: httpx.Client) -> None:
    def create(writer: int) -> int:
        body = {"campos": {"codigo_interno": "1", "nombre": str(writer)}}
        return server.post("/integracion/activos/", json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [201, 409, 409, 409]
    assert Activo.objects.count() == 1
    assert Mensaje.objects.count() == 1


def test_a_trace_that_arrives_with_a_request_leaves_with_its_message(server: httpx.Client) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"campos": {"codigo_interno": "1", "nombre": "x"}}
    server.post("/integracion/activos/", json=body, headers={"traceparent": trace})
    assert Mensaje.objects.get().traceparent == trace
