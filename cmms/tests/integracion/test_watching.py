"""Health, metrics, Celery tasks and purging: what people use who run the CMMS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import celery  # type: ignore[import-untyped]
import pytest
from django.core.management import CommandError, call_command
from django.dispatch import Signal
from django.test import Client
from django.utils import timezone

from demo.inventario.models import Requisicion
from integracion_dynamics import observed, service_bus, tasks
from integracion_dynamics.models import Mensaje, Registro, Relevo
from integracion_dynamics.relay import Relay

from .helpers import address_of, make_asset
from .queues import Queues

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_english")]


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


def test_the_health_tells_what_waits_what_was_skipped_and_who_works(api: Client, queues: Queues) -> None:
    def health(**query: Any) -> tuple[int, Any]:
        answer = api.get("/integracion/salud/", query)
        return answer.status_code, answer.json()

    well: dict[str, Any] = {"sano": True, "sin_enviar": 0, "mas_antiguo_segundos": None, "omitidos": 0, "relevos": []}
    assert health() == (200, well)
    make_asset("a")
    relay = Relay(queues)
    relay.partitions.take()
    status, told = health()
    assert (status, told["sano"], told["sin_enviar"], [one["titular"] for one in told["relevos"]]) == (
        200,
        True,
        1,
        [relay.holder],
    )
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
    Relay(queues).partitions.take()
    assert tasks.enviar_salida.delay().get() == {"enviados": 0, "omitidos": 0, "turno": False}
    Mensaje.objects.update(enviado_en=timezone.now() - timedelta(days=2))
    assert tasks.purgar_salida.delay(dias=1).get()["enviados"] == 8


def test_the_celery_task_is_the_broker_of_the_setting() -> None:
    assert vars(tasks)["AzureServiceBus"] is service_bus.AzureServiceBus
    assert tasks.enviar_salida.name == "integracion_dynamics.enviar_salida"


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
