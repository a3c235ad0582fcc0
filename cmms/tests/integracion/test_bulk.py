"""Many records at once: bulk operations, fixtures, deletes of many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete
from django.utils import timezone as django_timezone

from demo.inventario.models import Activo
from integracion_dynamics.config import current
from integracion_dynamics.context import unannounced
from integracion_dynamics.memory import note_operation
from integracion_dynamics.models import Mensaje, Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import forget, make_asset, messages

pytestmark = pytest.mark.django_db


def test_a_dump_of_the_whole_database_can_be_loaded_again(tmp_path: Path) -> None:
    make_asset("F-1")
    dump = tmp_path / "dump.json"
    call_command("dumpdata", exclude=["contenttypes", "auth.permission"], output=str(dump), verbosity=0)

    def stored() -> tuple[list[Any], list[Any]]:
        # The JSON of a dump keeps instants to the millisecond.
        rows = Registro.objects.values_list("pk", "objeto", "clave", "revision", "huella", "borrado")
        return list(rows), list(Mensaje.objects.values_list("pk", "evento", "cuerpo"))

    before = stored()
    for model in (Activo, Registro, Mensaje):
        model.objects.all()._raw_delete("default")
    call_command("loaddata", str(dump), verbosity=0)
    assert stored() == before
    # What a fixture brings is announced on request.
    fixture = serializers.serialize("json", [Activo(pk=99, codigo_interno="F-2", actualizado_en=django_timezone.now())])
    for loaded in serializers.deserialize("json", fixture):
        loaded.save()
    assert Mensaje.objects.count() == len(before[1])
    assert registrar_cambios(Activo.objects.all()) == 1


def test_bulk_operations_are_announced_on_request_and_only_where_something_changed() -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:04}", nombre="x") for n in range(600)])
    assert registrar_cambios(Activo.objects.all()) == 600
    Activo.objects.filter(codigo_interno__lt="0003").update(nombre="y")
    forget()
    assert registrar_cambios(Activo.objects.all()) == 3
    assert [event["subject"] for event in messages()] == ["0000", "0001", "0002"]


def test_objects_deleted_behind_the_signals_are_announced_as_deleted() -> None:
    assets = [make_asset("a"), make_asset("b")]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM inventario_activo WHERE codigo_interno = 'a'")
    forget()
    assert registrar_cambios(assets) == 1
    assert messages()[0]["type"] == "energy.asset.deleted"


def test_exchanged_keys_are_two_changed_records() -> None:
    first, second = make_asset("a"), make_asset("b")
    forget()
    with transaction.atomic():
        Activo.objects.filter(pk=first.pk).update(codigo_interno="t")
        Activo.objects.filter(pk=second.pk).update(codigo_interno="a")
        Activo.objects.filter(pk=first.pk).update(codigo_interno="b")
        assert registrar_cambios([first, second]) == 2
    assert [(event["data"]["id"], event["data"]["key"]) for event in messages()] == [
        (str(first.pk), "b"),
        (str(second.pk), "a"),
    ]
    assert dict(Registro.objects.filter(borrado=False).values_list("clave", "objeto")) == {
        "a": str(second.pk),
        "b": str(first.pk),
    }


def test_bulk_announcements_keep_the_operations_and_the_creator_of_each_record() -> None:
    assets = [make_asset("a"), make_asset("b")]
    entity = current().entities["activos"]
    for asset in assets:
        note_operation(entity, str(asset.pk), f"made {asset.pk}", "default", created=True)
    Activo.objects.update(nombre="changed")
    assert registrar_cambios(Activo.objects.all()) == 2
    assert [(row.operaciones, row.creado_por) for row in Registro.objects.order_by("pk")] == [
        ([f"made {asset.pk}"], f"made {asset.pk}") for asset in assets
    ]


def test_a_model_outside_the_configuration_cannot_be_announced() -> None:
    with pytest.raises(ValueError, match="ENTITIES"):
        registrar_cambios([Registro(pk=1)])


def test_models_outside_the_configuration_keep_djangos_fast_delete() -> None:
    collector = Collector(using="default")
    assert collector.can_fast_delete(Mensaje.objects.all())
    assert not collector.can_fast_delete(Activo.objects.all())


def test_a_delete_of_many_records_costs_few_queries_and_announces_each(django_assert_max_num_queries: Any) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:04}", nombre="x") for n in range(600)])
    registrar_cambios(Activo.objects.filter(codigo_interno__gte="0100"))  # the first hundred were never announced
    forget()
    with django_assert_max_num_queries(40):
        Activo.objects.all().delete()
    told = messages()
    assert [event["type"] for event in told] == ["energy.asset.deleted"] * 600
    assert sorted(event["subject"] for event in told) == [f"{n:04}" for n in range(600)]


def test_a_delete_that_failed_and_is_repeated_announces_each_record_once() -> None:
    for key in "abc":
        make_asset(key)
    forget()
    rows = Activo.objects.all()

    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    post_delete.connect(fail, sender=Activo)
    try:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            rows.delete()
    finally:
        post_delete.disconnect(fail, sender=Activo)
    assert messages() == []
    Activo.objects.filter(codigo_interno="b").update(codigo_interno="d")
    rows.delete()
    assert sorted(event["subject"] for event in messages()) == ["a", "b", "c"]


def test_a_queryset_is_announced_in_the_database_that_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    make_asset("a")
    Activo.objects.update(nombre="silent")
    monkeypatch.setattr("django.db.router.db_for_read", lambda *_, **__: "replica")
    assert registrar_cambios(Activo.objects.all()) == 1


def test_a_loop_of_saves_may_be_announced_together_afterwards() -> None:
    gone = make_asset("gone")
    forget()
    with unannounced():
        assets = [make_asset(key) for key in "ab"]
        left = Activo(pk=gone.pk)
        gone.delete()
    assert messages() == []
    assert registrar_cambios([*assets, left]) == 3
    assert [event["type"].rpartition(".")[2] for event in messages()] == ["deleted", "upserted", "upserted"]
