"""Computed fields, defaults, and stored values that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django
import pytest
from anfitrion.models import Equipo
from django.db import connection
from django.test import Client

from integracion_dynamics.recording import registrar_cambios

from .helpers import messages
from .hosts import EQUIPOS, MEDIDORES, patch, post

pytestmark = pytest.mark.django_db


def test_a_create_is_answered_as_the_host_stored_it_and_takes_the_defaults(
    api: Client, host: Callable[..., None]
) -> None:
    host(medidores=MEDIDORES)
    created = post(api, {"codigo": "abc"}, "medidores")
    assert created.status_code == 201
    assert created.json()["campos"] == {"codigo": "ABC", "notas": "made as abc", "resumen": "ABC: Dynamics 365"}
    assert post(api, {"codigo": "def", "notas": "given"}, "medidores").json()["campos"]["notas"] == "given"


def test_a_computed_field_is_read_and_announced_and_cannot_be_written(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", neto=Decimal(100), isv=Decimal(15))
    assert messages()[-1]["data"]["fields"]["total"] == "115.00"
    address = f"/integracion/equipos/{equipment.pk}/"
    assert api.get(address).json()["campos"]["total"] == "115.00"
    equipment.isv = Decimal(16)
    equipment.save()
    assert messages()[-1]["data"]["fields"]["total"] == "116.00"
    assert patch(api, address, {"total": "116.00", "nombre": "n"}).status_code == 200
    for answer in (patch(api, address, {"total": "1.00"}), post(api, {"codigo": "2", "total": "1.00"}, "equipos")):
        assert (answer.status_code, answer.json()["error"]["campo"]) == (422, "total")


@pytest.mark.parametrize("compute", [lambda _: 1 / 0, lambda row: row.absent, lambda _: 1.5, lambda _: object()])
def test_a_computed_field_that_fails_is_not_said_and_harms_nothing_else(
    api: Client, host: Callable[..., None], compute: Callable[[Any], Any]
) -> None:
    host(equipos={**EQUIPOS, "FIELDS": {"codigo": "codigo", "nombre": "nombre", "suma": compute}})
    equipment = Equipo.objects.create(codigo="1", nombre="n")
    assert messages()[-1]["data"]["fields"] == {"codigo": "1", "nombre": "n"}
    assert patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "m"}).status_code == 200


UNREADABLE = {"sqlite": "2026-13-45 00:00:00", "postgresql": "infinity", "mysql": "0000-00-00 00:00:00"}


def test_a_stored_value_that_cannot_be_read_costs_that_value_alone(
    api: Client, host: Callable[..., None], django_assert_max_num_queries: Any
) -> None:
    host(equipos=EQUIPOS)
    Equipo.objects.bulk_create([Equipo(codigo=f"{n:03}", nombre="n") for n in range(100)])
    with connection.cursor() as cursor:
        update = "UPDATE anfitrion_equipo SET revisado_en = %s WHERE codigo = '042'"
        cursor.execute(update, [UNREADABLE[connection.vendor]])
    with django_assert_max_num_queries(40):
        page = api.get("/integracion/equipos/").json()["resultados"]
    assert [record["clave"] for record in page] == [f"{n:03}" for n in range(100)]
    fields = {record["clave"]: record["campos"].keys() for record in page}
    assert fields["042"] == {"codigo", "nombre", "total"}
    assert fields["041"] == {"codigo", "nombre", "revisado_en", "total"}
    assert registrar_cambios(Equipo.objects.all()) == 100


@pytest.mark.skipif(django.VERSION < (5, 0), reason="GeneratedField came with Django 5.0")
def test_a_column_that_the_database_computes_is_read_and_announced_and_cannot_be_written(
    api: Client, host: Callable[..., None]
) -> None:
    fields = {"codigo": "codigo", "neto": "neto", "doble": "doble"}
    host(pedidos={**EQUIPOS, "MODEL": "anfitrion.Pedido", "FIELDS": fields})
    created = post(api, {"codigo": "1", "neto": "1.25"}, "pedidos")
    assert created.json()["campos"] == {"codigo": "1", "neto": "1.25", "doble": "2.50"}
    address = f"/integracion/pedidos/{created.json()['id']}/"
    assert patch(api, address, {"neto": "2"}).json()["campos"]["doble"] == "4.00"
    assert messages()[-1]["data"]["fields"]["doble"] == "4.00"
    assert patch(api, address, {"doble": "1.00"}).json()["error"]["campo"] == "doble"
