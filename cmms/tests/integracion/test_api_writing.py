from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models.signals import post_save, pre_save
from django.test import Client

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics.api import writing
from integracion_dynamics.entities import Entity
from integracion_dynamics.models import Mensaje, Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import address_of, forget, make_asset, messages


def etag(api: Client, key: str = "0001") -> str:
    return str(api.get(address_of(key))["ETag"])


def patch(api: Client, fields: Any, *, if_match: str | None = None, key: str = "0001", operation: str = "") -> Any:
    headers = {"If-Match": etag(api, key) if if_match is None else if_match} | named(operation)
    return api.patch(address_of(key), {"campos": fields}, content_type="application/json", headers=headers)


def named(operation: str) -> dict[str, str]:
    return {"Operation-Id": operation} if operation else {}


def create(api: Client, fields: Any, entity: str = "activos", operation: str = "") -> Any:
    address, headers = f"/integracion/{entity}/", named(operation)
    return api.post(address, {"campos": fields}, content_type="application/json", headers=headers)


def operations(api: Client, key: str = "0001") -> Any:
    return api.get(address_of(key)).json()["operaciones"]


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
