"""Partial updates by the API: only what is named, only while the record is as it was seen."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models.signals import pre_save
from django.test import Client

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje

from .helpers import address_of, forget, make_asset, messages
from .writes import create, etag, patch


def test_a_patch_writes_only_what_it_names_and_answers_the_record_as_stored(api: Client) -> None:
    asset = make_asset(serie="S", fecha_compra=date(2026, 1, 1))
    before = asset.actualizado_en
    Activo.objects.update(estado="HEREDADO")  # which validation of the whole record would refuse
    forget()
    answer = patch(api, {"valor_libros": "7.5", "numero_de_serie": None})
    assert answer.status_code == 200
    assert answer.json() == api.get(address_of("0001")).json()
    assert answer["ETag"] == answer.json()["etag"]
    assert answer.json()["modificado_por"] == "integracion"
    assert answer.json()["campos"]["valor_libros"] == "7.50"
    asset.refresh_from_db()
    assert (asset.valor_libros, asset.serie, asset.costo) == (Decimal("7.50"), None, Decimal("10.50"))
    assert asset.estado == "HEREDADO"
    assert asset.actualizado_en > before
    (event,) = messages()
    assert event["data"]["origin"] == "integration"


def test_a_patch_that_changes_nothing_writes_nothing(api: Client, django_assert_num_queries: Any) -> None:
    asset = make_asset()
    tag = etag(api)
    answer = patch(api, {"valor_adquisicion": "10.5", "codigo_interno": "0001"})
    assert (answer.status_code, answer["ETag"]) == (200, tag)
    assert Mensaje.objects.count() == 1
    assert Activo.objects.get().actualizado_en == asset.actualizado_en


def test_without_if_match_a_patch_is_428(api: Client) -> None:
    make_asset()
    assert patch(api, {"nombre": "x"}, if_match="").status_code == 428
    assert Activo.objects.get().nombre == "Bomba"


@pytest.mark.parametrize("tag", ['"other"', "W/{}", "unquoted", '"a", "b"'])
def test_another_etag_is_412_with_the_record_as_it_stands(api: Client, tag: str) -> None:
    make_asset()
    answer = patch(api, {"nombre": "x"}, if_match=tag.format(etag(api)))
    assert answer.status_code == 412
    assert answer.json()["error"]["codigo"] == "version_distinta"
    assert answer.json()["registro"] == api.get(address_of("0001")).json()
    assert answer["ETag"] == etag(api)
    assert Activo.objects.get().nombre == "Bomba"


@pytest.mark.parametrize("edit", ["announced", "unannounced"])
def test_a_persons_edit_in_between_is_not_overwritten(api: Client, edit: str) -> None:
    asset = make_asset()
    tag = etag(api)
    if edit == "announced":
        asset.nombre = "person"
        asset.save()
    else:
        Activo.objects.update(nombre="person")
    answer = patch(api, {"nombre": "integration"}, if_match=tag)
    assert answer.status_code == 412
    assert answer.json()["registro"]["campos"]["nombre"] == "person"


@pytest.mark.parametrize("tag", ['"x", {}', "*"])
def test_an_etag_in_a_list_and_the_star_match(api: Client, tag: str) -> None:
    make_asset()
    assert patch(api, {"nombre": "x"}, if_match=tag.format(etag(api))).status_code == 200


@pytest.mark.parametrize(
    ("fields", "campo"),
    [
        ({"nombre": "x" * 201}, "nombre"),
        ({"nombre": ""}, "nombre"),
        ({"nombre": None}, "nombre"),
        ({"nombre": 5}, "nombre"),
        ({"nombre": "a\0b"}, "nombre"),
        ({"nombre": "\ud800"}, "nombre"),
        ({"valor_adquisicion": "123456789.00"}, "valor_adquisicion"),
        ({"valor_adquisicion": "1.005"}, "valor_adquisicion"),
        ({"valor_adquisicion": "NaN"}, "valor_adquisicion"),
        ({"valor_adquisicion": 10**60}, "valor_adquisicion"),
        ({"fecha_adquisicion": "2026-13-01"}, "fecha_adquisicion"),
        ({"fecha_adquisicion": "01/02/2026"}, "fecha_adquisicion"),
        ({"serie": "the model's own name"}, "serie"),
        ({"no\ud800\nsuch": 1}, "no\\ud800\nsuch"),
        ({"unknown": None}, "unknown"),
        ({"": 1}, ""),
        ({"codigo_interno": "0002"}, "codigo_interno"),
        ({"codigo_interno": None}, "codigo_interno"),
    ],
)
def test_a_field_that_cannot_be_written_is_422_and_named_and_nothing_is_written(
    api: Client, fields: Any, campo: str
) -> None:
    make_asset()
    answer = patch(api, {"numero_de_serie": "good", **fields})
    assert answer.status_code == 422
    assert answer.json()["error"] | {"mensaje": ""} == {"codigo": "campo_invalido", "campo": campo, "mensaje": ""}
    assert Activo.objects.get().serie is None
    assert Mensaje.objects.count() == 1


def test_refusals_are_in_english_whatever_the_hosts_language(api: Client) -> None:
    make_asset()
    assert "at most 200 characters" in patch(api, {"nombre": "x" * 201}).json()["error"]["mensaje"]


@pytest.mark.parametrize("text", ["absent", "%00", "0", "gone"])
def test_a_patch_of_no_record_is_404(api: Client, text: str) -> None:
    asset = make_asset()
    address = f"/integracion/activos/{asset.pk if text == 'gone' else text}/"
    asset.delete()
    answer = api.patch(address, {"campos": {}}, content_type="application/json", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["error"]["codigo"]) == (404, "no_encontrado")


def test_the_hosts_own_rules_refuse_with_422(api: Client) -> None:
    def veto(instance: Activo, **_: Any) -> None:
        if instance.nombre == "forbidden":
            raise ValidationError({"serie": "not with this name"})

    make_asset()
    pre_save.connect(veto, sender=Activo)
    try:
        answer = patch(api, {"nombre": "forbidden"})
    finally:
        pre_save.disconnect(veto, sender=Activo)
    assert answer.status_code == 422
    assert answer.json()["error"]["campo"] == "numero_de_serie"
    assert Activo.objects.get().nombre == "Bomba"


def test_a_busy_database_is_503_with_retry_after(api: Client) -> None:
    def busy(**_: Any) -> None:
        raise OperationalError("database is locked")

    make_asset()
    pre_save.connect(busy, sender=Activo)
    try:
        answer = patch(api, {"nombre": "x"})
    finally:
        pre_save.disconnect(busy, sender=Activo)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(("deadlocks", "status"), [(2, 200), (3, 503)])
def test_a_write_that_the_database_undid_by_a_deadlock_is_done_again_a_few_times(
    api: Client, deadlocks: int, status: int
) -> None:
    undone: list[int] = []

    def deadlock(**_: Any) -> None:
        if len(undone) < deadlocks:
            undone.append(1)
            raise OperationalError(1213, "Deadlock found when trying to get lock")

    make_asset()
    pre_save.connect(deadlock, sender=Activo)
    try:
        assert patch(api, {"nombre": "x"}).status_code == status
        if status == 200:
            undone.clear()
            assert create(api, {"codigo_interno": "2", "nombre": "x"}).status_code == 201
    finally:
        pre_save.disconnect(deadlock, sender=Activo)
    assert len(undone) == deadlocks
