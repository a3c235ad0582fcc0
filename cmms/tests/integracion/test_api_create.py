"""Creates by the API: once for each operation and key."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.signals import pre_save
from django.test import Client

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics.api import writing
from integracion_dynamics.entities import Entity
from integracion_dynamics.models import Mensaje, Registro

from .helpers import address_of, make_asset, messages
from .writes import create, etag, patch


@pytest.mark.parametrize("key", ["0007", "a/b ñ", "consulta"])
def test_a_create_takes_the_models_defaults_and_answers_the_record_as_stored(api: Client, key: str) -> None:
    answer = create(api, {"codigo_interno": key, "nombre": "N", "valor_libros": "3"})
    assert answer.status_code == 201
    assert answer.json() == api.get(address_of(key)).json()
    assert answer["ETag"] == answer.json()["etag"]
    assert answer.json()["campos"]["valor_libros"] == "3.00"
    assert Activo.objects.get().estado == Activo.Estado.OPERATIVO
    assert Registro.objects.get().modificado_por == "integracion"
    assert messages()[0]["data"]["origin"] == "integration"


def test_an_order_is_created_with_its_status_and_instant(api: Client) -> None:
    fields = {"numero_requisicion": "R", "estado": "EN_ORDEN_COMPRA", "fecha_creacion": "2026-01-31T06:00:00-06:00"}
    answer = create(api, fields, "requisiciones")
    assert answer.json()["campos"]["fecha_creacion"] == "2026-01-31T12:00:00.000000Z"
    assert Requisicion.objects.get().estado == "EN_ORDEN_COMPRA"


def test_a_key_that_exists_is_409_with_the_record_as_it_stands(api: Client) -> None:
    make_asset()
    answer = create(api, {"codigo_interno": "0001", "nombre": "second"})
    assert answer.status_code == 409
    assert answer.json()["registro"] == api.get(address_of("0001")).json()
    assert answer["ETag"] == etag(api)


def test_a_key_whose_holder_was_deleted_or_renamed_may_be_used_by_a_new_record(api: Client) -> None:
    make_asset("a").delete()
    renamed = make_asset("b")
    renamed.codigo_interno = "c"
    renamed.save()
    for key in "ab":
        assert create(api, {"codigo_interno": key, "nombre": "new"}).status_code == 201
    assert Registro.objects.filter(clave="a").count() == 2


@pytest.mark.parametrize(
    "since", ["nothing", "an edit", "a new key", "a deletion", "its key is another's", "25 writes"]
)
def test_a_create_happens_once_for_its_operation_whatever_became_of_the_record(api: Client, since: str) -> None:
    fields = {"codigo_interno": "0001", "nombre": "Bomba"}
    made = create(api, fields, operation="once").json()
    record = Activo.objects.get()
    if since == "an edit":
        patch(api, {"nombre": "Motor"}, operation="other")
    elif since in {"a new key", "its key is another's"}:
        record.codigo_interno = "0002"
        record.save()
        if since == "its key is another's":
            make_asset("0001")
    elif since == "a deletion":
        record.delete()
    elif since == "25 writes":
        for number in range(25):
            patch(api, {"nombre": f"n{number}"}, operation=str(number))
    rows, sent = Activo.objects.count(), Mensaje.objects.count()
    again = create(api, fields, operation="once")
    assert (again.status_code, again.json()["error"]["codigo"]) == (409, "ya_aplicada")
    assert again.json()["registro"]["id"] == made["id"]
    assert again.json()["registro"]["borrado"] is (since == "a deletion")
    assert (Activo.objects.count(), Mensaje.objects.count()) == (rows, sent)


def test_a_create_by_another_operation_or_entity_is_another_create(api: Client) -> None:
    assert create(api, {"codigo_interno": "1", "nombre": "x"}, operation="a").status_code == 201
    assert create(api, {"codigo_interno": "2", "nombre": "x"}, operation="b").status_code == 201
    assert create(api, {"numero_requisicion": "1"}, "requisiciones", operation="a").status_code == 201


@pytest.mark.parametrize(
    ("winner", "operation", "codigo"),
    [
        ({"codigo_interno": "0001", "nombre": "w"}, "other", "ya_existe"),
        ({"codigo_interno": "0001", "nombre": "w"}, "once", "ya_aplicada"),
        ({"codigo_interno": "0002", "nombre": "w"}, "once", "ya_aplicada"),
    ],
)
def test_a_create_that_loses_a_race_is_409_with_the_winner(
    api: Client, monkeypatch: pytest.MonkeyPatch, winner: dict[str, str], operation: str, codigo: str
) -> None:
    assert create(api, winner, operation=operation).status_code == 201
    looks: list[int] = []

    def look(*arguments: Any) -> None:
        looks.append(1)
        if len(looks) > 1:  # the first look was before the winner's commit
            looked(*arguments)

    looked = writing._refuse_done
    monkeypatch.setattr(writing, "_refuse_done", look)
    answer = create(api, {"codigo_interno": "0001", "nombre": "loser"}, operation="once")
    assert (answer.status_code, answer.json()["error"]["codigo"]) == (409, codigo)
    assert answer.json()["registro"]["campos"]["nombre"] == "w"
    assert Activo.objects.count() == 1


def test_a_repetition_is_told_its_own_record_also_when_that_is_committed_while_it_looks(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"codigo_interno": "0001", "nombre": "first"}
    looked = vars(writing)["pks_by_key"]

    def look(entity: Entity, keys: list[str], using: str) -> Any:
        monkeypatch.setattr(writing, "pks_by_key", looked)
        writing.create(entity, fields, "once")  # the first request commits at this moment
        return looked(entity, keys, using)

    monkeypatch.setattr(writing, "pks_by_key", look)
    again = create(api, fields, operation="once")
    assert (again.status_code, again.json()["error"]["codigo"]) == (409, "ya_aplicada")


def test_what_only_the_database_refuses_is_422(api: Client) -> None:
    def overtake(instance: Activo, **_: Any) -> None:
        Activo.objects.bulk_create([Activo(codigo_interno=instance.codigo_interno, nombre="first")])

    pre_save.connect(overtake, sender=Activo)
    try:
        answer = create(api, {"codigo_interno": "1", "nombre": "second"})
    finally:
        pre_save.disconnect(overtake, sender=Activo)
    # In one connection the overtaking row is undone with the losing one, so no record remains to show.
    assert answer.status_code == 422
    assert answer.json()["error"]["codigo"] == "rechazado_por_la_base"


@pytest.mark.parametrize(
    ("fields", "campo"),
    [
        ({"nombre": "no key"}, "codigo_interno"),
        ({"codigo_interno": "", "nombre": "x"}, "codigo_interno"),
        ({"codigo_interno": "x" * 51, "nombre": "x"}, "codigo_interno"),
        ({"codigo_interno": "a\0", "nombre": "x"}, "codigo_interno"),
        ({"codigo_interno": "1"}, "nombre"),
        ({"codigo_interno": "1", "nombre": "x", "estado": "OPERATIVO"}, "estado"),
    ],
)
def test_a_create_without_what_the_cmms_requires_is_422_and_named(api: Client, fields: Any, campo: str) -> None:
    answer = create(api, fields)
    assert answer.status_code == 422
    assert answer.json()["error"]["campo"] == campo
    assert not Activo.objects.exists()


def test_an_unknown_status_is_422(api: Client) -> None:
    answer = create(api, {"numero_requisicion": "R", "estado": "APROBADO"}, "requisiciones")
    assert (answer.status_code, answer.json()["error"]["campo"]) == (422, "estado")
