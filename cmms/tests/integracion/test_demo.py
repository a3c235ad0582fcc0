from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje

from .helpers import make_asset

pytestmark = pytest.mark.django_db


def send(method: str, address: str, body: Any = None) -> Any:
    client = Client()
    return getattr(client, method)(f"/demo/{address}", body, content_type="application/json")


def test_a_person_creates_reads_edits_renames_and_deletes() -> None:
    created = send("post", "activos/", {"codigo_interno": "1", "nombre": "Bomba", "valor_adquisicion": "1.5"})
    assert created.status_code == 201
    assert created.json()["costo"] == "1.50"
    assert send("patch", "activos/1/", {"serie": "S", "estado": "OBSOLETO"}).json()["serie"] == "S"
    assert send("patch", "activos/1/", {"codigo_interno": "a/b"}).json()["codigo_interno"] == "a/b"
    assert Client().get("/demo/activos/a%2Fb/").json()["nombre"] == "Bomba"
    assert len(Client().get("/demo/activos/").json()["resultados"]) == 1
    assert send("delete", "activos/a%2Fb/").status_code == 204
    kinds = [kind.rpartition(".")[2] for kind in Mensaje.objects.order_by("pk").values_list("tipo", flat=True)]
    assert kinds == ["upserted", "upserted", "upserted", "deleted"]
    assert {message.cuerpo["origin"] for message in Mensaje.objects.all()} == {"person"}


def test_silent_writes_are_stored_and_announced_by_nobody() -> None:
    assert send("post", "activos/?silencioso=1", {"codigo_interno": "1", "nombre": "a"}).status_code == 201
    assert send("patch", "activos/1/?silencioso=1", {"nombre": "b"}).json()["nombre"] == "b"
    assert Activo.objects.get().nombre == "b"
    assert send("delete", "activos/1/?silencioso=1").status_code == 204
    assert not Activo.objects.exists()
    assert not Mensaje.objects.exists()


@pytest.mark.parametrize(
    ("method", "address", "body", "status"),
    [
        ("get", "nada/", None, 404),
        ("get", "activos/absent/", None, 404),
        ("get", "activos/%00/", None, 404),
        ("post", "activos/", {"nombre": "no key"}, 422),
        ("post", "activos/", {"codigo_interno": "0001", "nombre": "twice"}, 422),
        ("post", "activos/", {"unknown": 1}, 400),
        ("post", "activos/", {"codigo_interno": "2", "nombre": "x", "costo": "much"}, 422),
        ("patch", "activos/0001/", {"estado": "ROTO"}, 422),
        ("put", "activos/0001/", {}, 405),
    ],
)
def test_mistakes_are_answered_with_their_status(method: str, address: str, body: Any, status: int) -> None:
    make_asset()
    assert send(method, address, body).status_code == status


def test_the_page_shows_both_tables_and_escapes_what_it_shows() -> None:
    make_asset("007", nombre="<script>")
    page = Client().get("/").content.decode()
    assert "007" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "Todavía no hay registros" in page
    assert "Mensajes por enviar: 1" in page
