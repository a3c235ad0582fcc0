"""The admin's pages of outbox, records and lease."""

from __future__ import annotations

from typing import Any

import pytest
from anfitrion.models import Equipo
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from integracion_dynamics.models import Mensaje, Registro
from integracion_dynamics.relay import Relay

from .helpers import make_asset
from .queues import Queues

pytestmark = pytest.mark.django_db


def test_the_admin_shows_the_outbox_the_records_and_the_lease_and_changes_nothing_by_hand(
    admin_client: Client, queues: Queues
) -> None:
    asset = make_asset("007", nombre="<script>")
    Relay(queues).partitions.take()
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
    ids = list(Registro.objects.filter(clave__in="ab").order_by("pk").values_list("pk", flat=True))
    assert "2 mensajes escritos" in act(admin_client, "registro", "anunciar", *ids)
    assert Mensaje.objects.count() == 5
    assert list(LogEntry.objects.order_by("pk").values_list("user__username", "object_repr", "change_message")) == [
        ("admin", "1 mensajes de salida", f"Reintentado: {skipped.pk}"),
        ("admin", "1 mensajes de salida", f"Descartado: {waiting.pk}"),
        ("admin", "2 registros integrados", "Anunciado de nuevo: {}, {}".format(*ids)),
    ]


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


def test_records_of_a_page_from_a_replica_are_announced_in_the_database_that_is_written(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_asset("a")
    written: list[str] = []

    def announce(_entity: Any, pks: Any, using: str, **_: Any) -> int:
        written.append(using)
        return len(pks)

    monkeypatch.setattr("integracion_dynamics.admin.announce", announce)
    connections["replica"] = connections["default"]
    monkeypatch.setattr("django.db.router.db_for_read", lambda *_, **__: "replica")
    try:
        assert "1 mensajes escritos" in act(admin_client, "registro", "anunciar", Registro.objects.get().pk)
    finally:
        del connections["replica"]
    assert written == ["default"]
