"""Models as hosts have them: managers, primary keys, rules, inheritance."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from anfitrion.models import Equipo, EquipoRevisado, Grua, Lectura, Medidor, Taller, Tipo
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.db import connection, connections
from django.test import Client

from demo.inventario.models import Activo
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import forget, make_asset, messages
from .hosts import EQUIPOS, MEDIDORES, patch, post

pytestmark = pytest.mark.django_db


def test_a_patch_is_not_refused_for_a_fault_that_the_record_had_before(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", serie="bad")
    address = f"/integracion/equipos/{equipment.pk}/"
    assert patch(api, address, {"nombre": "y"}).status_code == 200
    assert Equipo.objects.get().nombre == "y"


def test_a_patch_is_refused_for_a_fault_that_it_makes_in_another_column(
    api: Client, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean(self: Equipo) -> None:
        if self.nombre == "y":
            raise ValidationError({"serie": "is required with this name"})

    monkeypatch.setattr(Equipo, "clean", clean)
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1")
    answer = patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "y"})
    assert (answer.status_code, answer.json()["error"]["campo"]) == (422, "serie")


def test_a_record_behind_a_manager_that_joins_and_aggregates_is_written(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", taller=Taller.objects.create(nombre="t"))
    Lectura.objects.create(equipo=equipment)
    answer = patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "y"}, **{"Operation-Id": "o"})
    assert (answer.status_code, answer.json()["operaciones"]) == (200, ["o"])


def test_a_uuid_names_its_record_in_any_spelling(api: Client, host: Callable[..., None]) -> None:
    host(medidores=MEDIDORES)
    meter = Medidor.objects.create(codigo="M", responsable="r")
    for spelling in (str(meter.pk), str(meter.pk).upper(), meter.pk.hex):
        assert api.get(f"/integracion/medidores/{spelling}/").json()["id"] == str(meter.pk)
    body = {"ids": [str(meter.pk).upper(), str(meter.pk), str(uuid.uuid4())]}
    found = api.post("/integracion/medidores/consulta/", body, content_type="application/json").json()["resultados"]
    assert [record["id"] for record in found] == [str(meter.pk)]
    assert patch(api, f"/integracion/medidores/{str(meter.pk).upper()}/", {"notas": "n"}).status_code == 200


@pytest.mark.parametrize("pk", ["a/b", "consulta", "salud", " a ", "ñ%2F?#", "a\nb", "007", "A", "a"])
def test_a_text_as_primary_key_may_hold_anything(api: Client, host: Callable[..., None], pk: str) -> None:
    host(
        tipos={
            "EVENT": "type",
            "QUEUE": "types",
            "MODEL": "anfitrion.Tipo",
            "KEY": "nombre",
            "FIELDS": {"nombre": "nombre"},
        }
    )
    Tipo.objects.create(codigo=pk, nombre="t")
    address = f"/integracion/tipos/{quote(pk, safe='')}/"
    record = api.get(address).json()
    assert record["id"] == pk
    assert patch(api, address, {"nombre": "t"}).status_code == 200
    assert api.get("/integracion/tipos/", {"id": pk}).json()["resultados"] == [record]
    assert api.get("/integracion/tipos/", {"limite": 1}).json()["resultados"] == [record]


def test_a_create_that_the_host_would_hide_leaves_nothing(
    api: Client, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(medidores=MEDIDORES)
    monkeypatch.setattr("integracion_dynamics.content.records", lambda entity, _: entity.model.objects.none())
    assert post(api, {"codigo": "abc"}, "medidores").status_code == 422
    assert not Medidor.objects.exists()
    assert messages() == []


def test_a_child_is_announced_also_when_it_is_saved_through_its_parent(host: Callable[..., None]) -> None:
    host(gruas={**EQUIPOS, "MODEL": "anfitrion.Grua", "FIELDS": {"codigo": "codigo", "carga": "carga"}})
    crane = Grua.objects.create(codigo="g", carga=5)
    parent = Equipo.objects.get()
    parent.codigo = "h"
    parent.save()
    assert [event["subject"] for event in messages()] == ["g", "h"]
    Equipo.objects.filter(pk=crane.pk).update(codigo="i")
    assert registrar_cambios(Equipo.objects.all()) == 1
    assert registrar_cambios([parent]) == 0
    parent.delete()
    assert [event["type"] for event in messages()][-1] == "energy.equipment.deleted"
    assert not Grua.objects.exists()


def test_a_parent_is_announced_when_its_child_is_saved_and_deleted(host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    crane = Grua.objects.create(codigo="g", carga=5)
    crane.codigo = "h"
    crane.save()
    assert registrar_cambios([crane]) == 0
    crane.delete()
    assert [(event["subject"], event["type"].rpartition(".")[2]) for event in messages()] == [
        ("g", "upserted"),
        ("h", "upserted"),
        ("h", "deleted"),
    ]


@pytest.mark.parametrize("configured", ["anfitrion.Equipo", "anfitrion.EquipoRevisado"])
@pytest.mark.parametrize("saved", [Equipo, EquipoRevisado])
def test_a_proxy_and_its_model_announce_each_others_changes(
    host: Callable[..., None], configured: str, saved: type[Equipo]
) -> None:
    host(equipos={**EQUIPOS, "MODEL": configured})
    saved.objects.create(codigo="p")
    saved.objects.get().delete()
    saved.objects.create(codigo="q")
    saved.objects.all().delete()
    assert [event["type"].rpartition(".")[2] for event in messages()] == ["upserted", "deleted"] * 2


def test_a_cascade_announces_each_record_that_it_deletes(host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    workshop = Taller.objects.create(nombre="t")
    for code in "abc":
        Equipo.objects.create(codigo=code, taller=workshop)
    forget()
    workshop.delete()
    assert sorted(event["subject"] for event in messages()) == ["a", "b", "c"]
    assert Registro.objects.filter(borrado=True).count() == 3


def test_the_tests_run_on_the_database_that_was_asked_for() -> None:
    assert connection.vendor == django_settings.DATABASES["default"]["ENGINE"].rpartition(".")[2].replace("3", "")


class Archive:
    """A router that keeps the app's tables out of a second database."""

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        return False if (db, app_label) == ("archive", "integracion_dynamics") else None


def test_a_save_to_a_database_without_the_apps_tables_is_not_announced_and_works(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [Archive()]
    connections["archive"] = connections["default"]
    try:
        archived = Activo(codigo_interno="old", nombre="x")
        archived.save(using="archive")
        archived.delete(using="archive")
    finally:
        del connections["archive"]
    assert messages() == []
    make_asset("new")
    assert [event["subject"] for event in messages()] == ["new"]
