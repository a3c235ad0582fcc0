"""One save or delete is one message, with what is stored."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.models import F
from django.db.models.signals import post_save
from django.utils import timezone as django_timezone
from django.utils import translation

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics import signals
from integracion_dynamics.context import acting_as_integration, traced
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Mensaje, Registro

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
