from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, post_save
from django.utils import timezone as django_timezone
from django.utils import translation

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics import signals
from integracion_dynamics.config import current
from integracion_dynamics.context import acting_as_integration, traced, unannounced
from integracion_dynamics.fields import instant
from integracion_dynamics.memory import note_operation
from integracion_dynamics.models import Mensaje, Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import forget, make_asset, messages

pytestmark = pytest.mark.django_db
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_save_writes_one_cloud_event_in_the_contracts_form() -> None:
    asset = make_asset("007", serie="S-1", fecha_compra=date(2026, 1, 1))
    stored = Mensaje.objects.get()
    memory = Registro.objects.get()
    version = instant(memory.version)
    assert stored.cola == "assets"
    assert messages() == [
        {
            "specversion": "1.0",
            "id": str(stored.evento),
            "source": "/energy-cmms",
            "type": "energy.asset.upserted",
            "subject": "007",
            "time": version,
            "datacontenttype": "application/json",
            "data": {
                "id": str(asset.pk),
                "key": "007",
                "version": version,
                "sequence": stored.pk,
                "origin": "person",
                "fields": {
                    "codigo_interno": "007",
                    "nombre": "Bomba",
                    "numero_de_serie": "S-1",
                    "valor_adquisicion": "10.50",
                    "valor_libros": None,
                    "fecha_adquisicion": "2026-01-01",
                },
            },
        }
    ]
    assert (memory.objeto, memory.revision, memory.modificado_por) == (str(asset.pk), 1, "persona")


def test_an_order_goes_to_its_own_queue_with_its_instant_in_utc() -> None:
    six_in_tegucigalpa = datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=-6)))
    Requisicion.objects.create(numero_requisicion="REQ-1", total=Decimal("99.9"), fecha_creacion=six_in_tegucigalpa)
    (event,) = messages(cola="orders")
    assert event["type"] == "energy.order.upserted"
    assert event["data"]["fields"]["fecha_creacion"] == "2026-01-31T12:00:00.000000Z"
    assert event["data"]["fields"]["total"] == "99.90"


def test_a_trace_that_is_present_travels_in_the_event() -> None:
    with traced(TRACE):
        make_asset()
    assert messages()[0]["traceparent"] == TRACE


@pytest.mark.parametrize(
    "malformed", ["", "00-zz", TRACE.upper(), TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)]
)
def test_a_malformed_trace_is_left_out(malformed: str) -> None:
    with traced(malformed):
        make_asset()
    assert "traceparent" not in messages()[0]


def test_a_save_that_changes_no_mapped_field_writes_nothing() -> None:
    asset = make_asset()
    asset.estado = Activo.Estado.OBSOLETO
    asset.save()
    assert len(messages()) == 1
    assert Registro.objects.get().revision == 1


@pytest.mark.parametrize("how", ["update_fields", "expression", "deferred", "stale"])
def test_a_changed_field_is_announced_as_stored_however_it_was_saved(how: str) -> None:
    asset = make_asset()
    forget()
    if how == "update_fields":
        asset.costo, asset.nombre = Decimal(11), "not saved"
        asset.save(update_fields=["costo"])
    elif how == "expression":
        asset.costo = F("costo") + Decimal("0.50")
        asset.save()
    elif how == "deferred":
        partial = Activo.objects.only("costo").get()
        partial.costo = Decimal(11)
        partial.save()
    else:
        Activo.objects.update(costo=11)
        asset.save(update_fields=["nombre"])
    (event,) = messages()
    assert event["data"]["fields"]["valor_adquisicion"] == "11.00"
    assert event["data"]["fields"]["nombre"] == "Bomba"


def test_a_delete_leaves_a_tombstone_and_a_record_that_comes_back_continues_its_version() -> None:
    asset = make_asset("7")
    pk = asset.pk
    asset.delete()
    deleted = messages()[-1]
    assert deleted["type"] == "energy.asset.deleted"
    assert deleted["data"] | {"version": "", "sequence": 0} == {
        "id": str(pk),
        "key": "7",
        "version": "",
        "sequence": 0,
        "origin": "person",
    }
    assert Registro.objects.get().borrado
    make_asset("8", pk=pk)
    versions = [event["data"]["version"] for event in messages()]
    assert versions == sorted(set(versions))
    assert len(versions) == 3
    memory = Registro.objects.get()
    assert (memory.borrado, memory.clave, memory.revision) == (False, "8", 3)


def test_a_new_record_under_the_key_of_a_deleted_one_is_another_record() -> None:
    make_asset("7").delete()
    make_asset("7")
    assert [(row.clave, row.borrado) for row in Registro.objects.order_by("pk")] == [("7", True), ("7", False)]
    assert len({event["data"]["id"] for event in messages()}) == 2


def test_a_queryset_delete_announces_each_record() -> None:
    for key in "ab":
        make_asset(key)
    forget()
    Activo.objects.all().delete()
    assert {(event["type"], event["subject"]) for event in messages()} == {
        ("energy.asset.deleted", "a"),
        ("energy.asset.deleted", "b"),
    }


def test_a_changed_key_is_a_changed_field() -> None:
    asset = make_asset("old")
    forget()
    asset.codigo_interno = "new"
    asset.save()
    (event,) = messages()
    assert (event["type"], event["subject"]) == ("energy.asset.upserted", "new")
    assert (event["data"]["id"], event["data"]["key"]) == (str(asset.pk), "new")
    assert event["data"]["fields"]["codigo_interno"] == "new"
    assert (Registro.objects.get().clave, Registro.objects.get().revision) == ("new", 2)


def test_a_record_older_than_the_app_is_renamed_and_deleted_under_its_id() -> None:
    Activo.objects.bulk_create([Activo(codigo_interno="old", nombre="x"), Activo(codigo_interno="gone", nombre="x")])
    renamed = Activo.objects.get(codigo_interno="old")
    renamed.codigo_interno = "new"
    renamed.save()
    deleted = Activo.objects.get(codigo_interno="gone")
    gone = str(deleted.pk)
    deleted.codigo_interno = "never saved"
    deleted.delete()
    first, second = messages()
    assert (first["type"], first["data"]["id"], first["subject"]) == ("energy.asset.upserted", str(renamed.pk), "new")
    assert (second["type"], second["data"]["id"], second["subject"]) == ("energy.asset.deleted", gone, "gone")


def test_versions_rise_per_record_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = make_asset()
    yesterday = django_timezone.now() - timedelta(days=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: yesterday)
    asset.nombre = "later"
    asset.save()
    first, second = [datetime.fromisoformat(event["data"]["version"].replace("Z", "+00:00")) for event in messages()]
    assert second - first == timedelta(microseconds=1)


def test_a_change_of_the_integration_is_marked_and_a_persons_next_one_is_not() -> None:
    with acting_as_integration():
        asset = make_asset()
    assert Registro.objects.get().modificado_por == "integracion"
    asset.nombre = "edited"
    asset.save()
    assert [event["data"]["origin"] for event in messages()] == ["integration", "person"]
    assert Registro.objects.get().modificado_por == "persona"


def test_a_rolled_back_change_leaves_no_message() -> None:
    with transaction.atomic():
        make_asset()
        transaction.set_rollback(True)
    assert not Mensaje.objects.exists()
    assert not Registro.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_a_callers_transaction_a_save_and_its_message_stand_or_fall_together() -> None:
    def crash(**_: Any) -> None:
        raise ZeroDivisionError

    post_save.connect(crash, sender=Activo)
    try:
        with pytest.raises(ZeroDivisionError):
            make_asset()
    finally:
        post_save.disconnect(crash, sender=Activo)
    assert not connection.in_atomic_block
    assert not Activo.objects.exists()
    assert not Mensaje.objects.exists()


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


def test_a_record_without_a_key_does_not_exist_for_the_integration() -> None:
    asset = make_asset("")
    assert messages() == []
    asset.codigo_interno = "K"
    asset.save()
    asset.codigo_interno = ""
    asset.save()
    assert [event["type"] for event in messages()] == ["energy.asset.upserted", "energy.asset.deleted"]


def test_a_primary_key_given_as_text_is_the_same_record() -> None:
    asset = make_asset("old")
    Activo(pk=str(asset.pk), codigo_interno="new", nombre="Bomba").save()
    assert [event["type"] for event in messages()] == ["energy.asset.upserted", "energy.asset.upserted"]


def test_models_outside_the_configuration_keep_djangos_fast_delete() -> None:
    collector = Collector(using="default")
    assert collector.can_fast_delete(Mensaje.objects.all())
    assert not collector.can_fast_delete(Activo.objects.all())


@pytest.mark.parametrize(
    ("setting", "said"),
    [(None, "INTEGRACION_DYNAMICS is missing"), ({}, "ENTITIES"), ({"ENTITIES": {"activos": {}}}, "EVENT")],
    ids=str,
)
def test_entities_that_cannot_be_read_stop_start_and_saves(settings: Any, setting: Any, said: str) -> None:
    settings.INTEGRACION_DYNAMICS = setting
    with translation.override("en"):
        with pytest.raises(ImproperlyConfigured, match=said):
            signals.connect()  # as at the start of a process
        with pytest.raises(ImproperlyConfigured, match=said):
            make_asset()


@pytest.mark.parametrize(
    "fault",
    [{"TOKENS": [""]}, {"TOKENS": "one"}, {"SERVICE_BUS": {"CONNECTION_STRING": "x"}}, {"PAGE_LIMIT": 0}, {"MORE": 1}],
    ids=str,
)
def test_a_fault_of_api_or_relay_neither_stops_the_cmms_nor_loses_a_message(
    configuration: dict[str, Any], settings: Any, fault: dict[str, Any]
) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, **fault}
    signals.connect()
    make_asset().delete()
    assert [event["type"] for event in messages()] == ["energy.asset.upserted", "energy.asset.deleted"]


def test_a_save_with_its_message_costs_few_statements(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8):
        asset = make_asset()
    asset.nombre = "edited"
    with django_assert_max_num_queries(5):
        asset.save()
    with django_assert_max_num_queries(3):
        asset.save()
    with django_assert_max_num_queries(6):
        asset.delete()


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
