"""What people use who run the CMMS: admin, health, announcing again, purging, imports, Celery, metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import celery  # type: ignore[import-untyped]
import pytest
import tablib  # type: ignore[import-untyped]
from anfitrion.models import Equipo
from django.core.management import CommandError, call_command
from django.dispatch import Signal
from django.test import Client
from django.utils import timezone
from import_export import resources  # type: ignore[import-untyped]

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics import observed, service_bus, tasks
from integracion_dynamics.importing import AnnouncedResource
from integracion_dynamics.models import Mensaje, Registro, Relevo
from integracion_dynamics.relay import Relay

from .helpers import address_of, forget, make_asset, messages
from .queues import Queues

pytestmark = pytest.mark.django_db


def silently(**values: Any) -> None:
    Activo.objects.bulk_create([Activo(nombre="x", **values)])


# anunciar


def test_what_nobody_announced_is_announced_whatever_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    make_asset("same")
    make_asset("changed")
    gone = make_asset("gone")
    make_asset("was deleted").delete()
    silently(codigo_interno="new")
    Activo.objects.filter(codigo_interno="changed").update(nombre="silent")
    rows = Activo.objects.filter(pk=gone.pk)
    rows._raw_delete("default")
    forget()
    call_command("anunciar", "activos", dry_run=True)
    printed = capsys.readouterr().out
    assert "activos: 1 never announced, 1 changed since, 1 gone since, 1 as announced; 0 messages written." in printed
    assert f"gone since: {gone.pk}" in printed
    assert messages() == []
    call_command("anunciar", chunk=2)
    assert "3 messages written" in capsys.readouterr().out
    told = {event["subject"]: event["type"].rpartition(".")[2] for event in messages()}
    assert told == {"new": "upserted", "changed": "upserted", "gone": "deleted"}
    call_command("anunciar")
    assert "0 messages written" in capsys.readouterr().out


def test_a_resync_announces_again_what_was_announced_as_it_is_under_a_later_version() -> None:
    make_asset("a")
    asset = make_asset("b")
    make_asset("c")
    call_command("anunciar", "activos", "--todo", "--clave", "a", "--id", str(asset.pk))
    told = messages()
    assert [event["subject"] for event in told] == ["a", "b", "c", "a", "b"]
    assert told[3]["data"]["version"] > told[0]["data"]["version"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nada"], "No such entity: nada"),
        (["--clave", "a"], "need one entity"),
        (["activos", "--clave", "absent"], "has the key 'absent'"),
        (["activos", "--chunk", "0"], "number from 1 to 500"),
    ],
)
def test_announcing_what_there_is_not_is_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("anunciar", *arguments)


def test_announcing_goes_through_more_records_than_a_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:04}", nombre="x") for n in range(603)])
    call_command("anunciar", "activos")
    assert "603 never announced, 0 changed since, 0 gone since, 0 as announced; 603 messages" in capsys.readouterr().out
    rows = Activo.objects.all()
    rows._raw_delete("default")
    call_command("anunciar", "activos")
    assert "603 gone since" in capsys.readouterr().out


# import-export


class ActivoResource(AnnouncedResource, resources.ModelResource):  # type: ignore[misc]
    class Meta:
        model = Activo
        use_bulk = True
        import_id_fields = ("codigo_interno",)
        fields = ("codigo_interno", "nombre")
        batch_size = 2


def table(*rows: tuple[str, str]) -> tablib.Dataset:
    return tablib.Dataset(*rows, headers=["codigo_interno", "nombre"])


def test_a_bulk_import_announces_what_it_creates_and_changes_and_nothing_else() -> None:
    make_asset("same", nombre="same")
    make_asset("changed", nombre="old")
    forget()
    rows = table(("same", "same"), ("changed", "new"), ("n1", "x"), ("n2", "x"), ("n3", "x"))
    result = ActivoResource().import_data(rows, dry_run=True)
    assert not result.has_errors()
    assert messages() == []
    assert not ActivoResource().import_data(rows).has_errors()
    assert sorted(event["subject"] for event in messages()) == ["changed", "n1", "n2", "n3"]


def test_a_bulk_import_that_fails_announces_nothing_of_the_failed_step() -> None:
    result = ActivoResource().import_data(table(("1", "x"), ("1", "x")), use_transactions=False)
    assert result.has_errors()
    assert messages() == []
    assert not Activo.objects.exists()


# purging


def test_skipped_messages_and_tombstones_are_purged_on_request(capsys: pytest.CaptureFixture[str], api: Client) -> None:
    make_asset("old").delete()
    make_asset("young").delete()
    make_asset("alive")
    api.get("/integracion/activos/", {"modificado_desde": "2000-01-01T00:00:00Z"})  # all have a position
    make_asset("unseen").delete()
    long_ago = timezone.now() - timedelta(days=400)
    Registro.objects.exclude(clave="young").update(modificado_en=long_ago)
    Mensaje.objects.filter(clave="old").update(creado=long_ago, motivo_fallo="too large")
    call_command("purgar_outbox", omitidos=365, lapidas=365)
    assert capsys.readouterr().out == "Deleted: 0 sent messages, 2 skipped ones, 1 tombstones.\n"
    assert set(Registro.objects.values_list("clave", flat=True)) == {"young", "alive", "unseen"}


# health


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Queues:
    found = Queues()
    for module in ("integracion_dynamics.tasks", "integracion_dynamics.management.commands.relay_outbox"):
        monkeypatch.setattr(f"{module}.AzureServiceBus", lambda _: found)
    return found


def test_the_health_tells_what_waits_what_was_skipped_and_who_works(api: Client, queues: Queues) -> None:
    def health(**query: Any) -> tuple[int, Any]:
        answer = api.get("/integracion/salud/", query)
        return answer.status_code, answer.json()

    well = {"sano": True, "sin_enviar": 0, "mas_antiguo_segundos": None, "omitidos": 0, "relevo": None}
    assert health() == (200, well)
    make_asset("a")
    relay = Relay(queues)
    relay.acquire_lease()
    status, told = health()
    assert (status, told["sano"], told["sin_enviar"], told["relevo"]["titular"]) == (200, True, 1, relay.holder)
    Mensaje.objects.update(creado=timezone.now() - timedelta(seconds=90))
    assert health()[1]["mas_antiguo_segundos"] >= 90
    assert health(atraso=60)[0] == 503
    assert health(atraso=600)[0] == 200
    Mensaje.objects.update(motivo_fallo="too large")
    status, told = health()
    assert (status, told["sano"], told["omitidos"]) == (503, False, 1)
    assert health(atraso="x")[0] == 400
    assert Client().get("/integracion/salud/").status_code == 401


def test_the_status_of_the_command_has_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("relay_outbox", status=True)
    assert capsys.readouterr().out == "0 waiting; 0 skipped with a reason; no relay at work.\n"
    make_asset("a")
    Mensaje.objects.update(creado=timezone.now() - timedelta(seconds=301))
    with pytest.raises(CommandError, match="wait longer than 300 s"):
        call_command("relay_outbox", status=True)
    call_command("relay_outbox", status=True, late=400)


# Celery


@pytest.fixture
def eager() -> Iterator[None]:
    app = celery.Celery("host", set_as_current=True)
    app.conf.task_always_eager = True
    yield
    app.close()


def test_the_celery_task_sends_and_purges_and_lets_another_relay_work(eager: None, queues: Queues) -> None:
    for number in range(7):
        make_asset(str(number))
    assert tasks.enviar_salida.delay().get() == {"enviados": 7, "omitidos": 0, "turno": True}
    assert not Relevo.objects.exists()
    make_asset("more")
    Relay(queues).acquire_lease()
    assert tasks.enviar_salida.delay().get() == {"enviados": 0, "omitidos": 0, "turno": False}
    Mensaje.objects.update(enviado_en=timezone.now() - timedelta(days=2))
    assert tasks.purgar_salida.delay(dias=1).get()["enviados"] == 8


def test_the_celery_task_is_the_broker_of_the_setting() -> None:
    assert vars(tasks)["AzureServiceBus"] is service_bus.AzureServiceBus
    assert tasks.enviar_salida.name == "integracion_dynamics.enviar_salida"


# metrics


def test_what_happens_is_told_by_signals_and_a_receiver_that_fails_changes_nothing(api: Client, queues: Queues) -> None:
    heard: list[tuple[Any, ...]] = []
    names = {"announced", "sent", "skipped", "shortened", "queue_away", "queue_back", "answered"}
    receivers = {}
    for name in names:

        def hear(*, name: str = name, **told: Any) -> None:
            values = [told[key] for key in ("entity", "queue", "count", "sequence", "status") if key in told]
            heard.append((name, *values))
            raise ZeroDivisionError

        receivers[name] = hear
        signal: Signal = getattr(observed, name)
        signal.connect(hear)
    try:
        make_asset("a")
        api.get(address_of("a"))
        clock = [0.0]
        relay = Relay(queues, clock=lambda: clock[0])
        queues.away = {"assets"}
        relay.run_once()
        queues.away, clock[0] = set(), 100.0
        relay.run_once()
        queues.limit = 500
        Requisicion.objects.create(numero_requisicion="r", justificacion="x" * 600)
        sequence = Mensaje.objects.latest("pk").pk
        queues.hints = True
        relay.run_once()
        queues.limit, queues.hints = 10, False
        Requisicion.objects.create(numero_requisicion="s")
        relay.run_once()
    finally:
        for name, receiver in receivers.items():
            getattr(observed, name).disconnect(receiver)
    assert heard == [
        ("announced", "activos", 1),
        ("answered", "activos", 200),
        ("queue_away", "assets"),
        ("sent", "assets", 1),
        ("queue_back", "assets"),
        ("announced", "requisiciones", 1),
        ("shortened", "orders", sequence),
        ("sent", "orders", 1),
        ("announced", "requisiciones", 1),
        ("skipped", "orders", sequence + 1),
    ]


def test_a_message_that_is_too_large_is_sent_as_a_hint_without_its_values(queues: Queues) -> None:
    order = Requisicion.objects.create(numero_requisicion="r", justificacion="x" * 20_000)
    queues.hints = True
    Relay(queues).run_once()
    (event,) = [json.loads(message.body) for message in queues.received["orders"]]
    assert "fields" not in event["data"]
    assert (event["data"]["id"], event["data"]["key"]) == (str(order.pk), "r")
    row = Mensaje.objects.get()
    assert row.sin_valores
    assert row.enviado_en is not None


# the admin


def test_the_admin_shows_the_outbox_the_records_and_the_lease_and_changes_nothing_by_hand(
    admin_client: Client, queues: Queues
) -> None:
    asset = make_asset("007", nombre="<script>")
    Relay(queues).acquire_lease()
    for model, shown in (("mensaje", "energy.asset.upserted"), ("registro", "007"), ("relevo", "outbox")):
        page = admin_client.get(f"/admin/integracion_dynamics/{model}/")
        assert shown in page.content.decode()
        assert admin_client.get(f"/admin/integracion_dynamics/{model}/add/").status_code == 403
    row = Mensaje.objects.get()
    assert admin_client.get(f"/admin/integracion_dynamics/mensaje/{row.pk}/change/").status_code == 200
    assert admin_client.post(f"/admin/integracion_dynamics/mensaje/{row.pk}/change/", {}).status_code == 403
    assert admin_client.get("/admin/integracion_dynamics/mensaje/?q=007").content.decode().count("007") > 1
    assert asset.pk is not None


def act(client: Client, model: str, action: str, *pks: Any) -> str:
    body = {"action": action, "_selected_action": [str(pk) for pk in pks]}
    page = client.post(f"/admin/integracion_dynamics/{model}/", body, follow=True)
    assert page.status_code == 200
    return page.content.decode()


def test_the_admin_retries_and_discards_messages_and_announces_records_again(admin_client: Client) -> None:
    for key in "abc":
        make_asset(key)
    skipped, waiting, sent = Mensaje.objects.order_by("pk")
    Mensaje.objects.filter(pk=skipped.pk).update(motivo_fallo="too large")
    Mensaje.objects.filter(pk=sent.pk).update(enviado_en=timezone.now())
    for state, count in (("por_enviar", 1), ("omitido", 1), ("enviado", 1), ("corto", 0)):
        page = admin_client.get(f"/admin/integracion_dynamics/mensaje/?estado={state}")
        assert page.context["cl"].result_count == count
    assert "1 mensajes se enviarán de nuevo" in act(
        admin_client, "mensaje", "reintentar", skipped.pk, waiting.pk, sent.pk
    )
    assert Mensaje.objects.filter(motivo_fallo="", enviado_en=None).count() == 2
    assert "1 mensajes descartados" in act(admin_client, "mensaje", "descartar", waiting.pk, sent.pk)
    waiting.refresh_from_db()
    assert waiting.motivo_fallo == "Descartado por admin"
    assert waiting.enviado_en is not None
    assert "2 mensajes escritos" in act(
        admin_client, "registro", "anunciar", *Registro.objects.filter(clave__in="ab").values_list("pk", flat=True)
    )
    assert Mensaje.objects.count() == 5


def test_the_admin_leads_to_the_hosts_own_page_of_a_record(
    admin_client: Client, configuration: dict[str, Any], settings: Any
) -> None:
    equipment = {
        "EVENT": "e",
        "QUEUE": "e",
        "MODEL": "anfitrion.Equipo",
        "KEY": "codigo",
        "FIELDS": {"codigo": "codigo"},
    }
    settings.INTEGRACION_DYNAMICS = {**configuration, "ENTITIES": {"equipos": equipment}}
    row = Equipo.objects.create(codigo="<7>")
    call_command("anunciar", verbosity=0)
    page = admin_client.get("/admin/integracion_dynamics/registro/").content.decode()
    assert f'<a href="/admin/anfitrion/equipo/{row.pk}/change/">&lt;7&gt;</a>' in page
