"""A record names the writes that it took, by their Operation-Id."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.signals import post_save
from django.test import Client

from demo.inventario.models import Activo
from integracion_dynamics.recording import registrar_cambios

from .helpers import make_asset
from .writes import create, operations, patch


def test_a_record_names_the_writes_that_it_took_whatever_a_person_does_to_it_since(api: Client) -> None:
    assert create(api, {"codigo_interno": "0001", "nombre": "Bomba"}, operation="first").json()["operaciones"] == [
        "first"
    ]
    patch(api, {"nombre": "Motor"}, operation="second")
    asset = Activo.objects.get()
    asset.nombre, asset.codigo_interno = "Bomba", "0002"
    asset.save()
    assert operations(api, "0002") == ["first", "second"]
    patch(api, {"nombre": "Motor"}, if_match='"late"', key="0002", operation="refused")
    assert operations(api, "0002") == ["first", "second"]


def test_a_write_is_named_also_where_it_brings_back_what_was_announced_last(api: Client) -> None:
    make_asset(nombre="Bomba")
    Activo.objects.update(nombre="Motor")  # silently
    patch(api, {"nombre": "Bomba"}, operation="back")
    assert operations(api) == ["back"]


def test_another_record_under_the_same_key_names_no_write_of_the_one_before(api: Client) -> None:
    create(api, {"codigo_interno": "0001", "nombre": "Bomba"}, operation="first")
    Activo.objects.get().delete()
    make_asset("0001")
    assert operations(api) == []


def test_the_writes_of_a_record_stay_its_own_when_keys_move_silently(api: Client) -> None:
    create(api, {"codigo_interno": "0001", "nombre": "Bomba"}, operation="first")
    Activo.objects.update(codigo_interno="0002")
    Activo.objects.bulk_create([Activo(codigo_interno="0001", nombre="Otra")])
    assert (operations(api, "0001"), operations(api, "0002")) == ([], ["first"])


def test_the_last_writes_are_kept(api: Client) -> None:
    make_asset()
    for number in range(25):
        patch(api, {"nombre": f"n{number}"}, operation=str(number))
    assert operations(api) == [str(number) for number in range(5, 25)]


@pytest.mark.parametrize("name", ["a b", "x" * 101])
def test_a_name_of_a_write_that_cannot_be_kept_is_400(api: Client, name: str) -> None:
    make_asset()
    answer = patch(api, {"nombre": "Motor"}, operation=name)
    assert (answer.status_code, answer.json()["error"]["campo"]) == (400, "Operation-Id")
    assert Activo.objects.get().nombre == "Bomba"


def test_a_write_names_the_record_that_it_wrote_and_no_other(api: Client) -> None:
    make_asset("0001")
    make_asset("0002")

    def touch_other(instance: Activo, **_: Any) -> None:
        if instance.codigo_interno == "0001":
            other = Activo.objects.get(codigo_interno="0002")
            other.nombre = f"beside {instance.nombre}"
            other.save()

    post_save.connect(touch_other, sender=Activo)
    try:
        patch(api, {"nombre": "Motor"}, operation="one")
    finally:
        post_save.disconnect(touch_other, sender=Activo)
    assert (operations(api, "0001"), operations(api, "0002")) == (["one"], [])


def test_after_a_silent_exchange_of_keys_writes_stay_with_their_records(api: Client) -> None:
    create(api, {"codigo_interno": "0001", "nombre": "Bomba"}, operation="first")
    make_asset("0002")
    first, second = Activo.objects.order_by("pk")
    for record, key in ((first, "t"), (second, "0001"), (first, "0002")):
        Activo.objects.filter(pk=record.pk).update(codigo_interno=key)
    registrar_cambios([second])
    registrar_cambios([first])
    assert (operations(api, "0001"), operations(api, "0002")) == ([], ["first"])


def test_a_write_is_named_also_where_the_host_saves_without_a_signal(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_asset()
    monkeypatch.setattr(Activo, "save", lambda self, **_: Activo.objects.filter(pk=self.pk).update(nombre=self.nombre))
    patch(api, {"nombre": "Motor"}, operation="quiet")
    assert operations(api) == ["quiet"]
