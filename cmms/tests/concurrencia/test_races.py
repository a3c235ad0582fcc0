"""Writes by the API that race: one wins, the loser is told rightly, and nobody waits for long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from integracion.helpers import address_of, make_asset

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje

from .conftest import Gate, Others
from .helpers import client, create, execute, patch

LOCK_BOUND = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout"}
READ_ONLY = {
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


def test_of_creates_that_race_for_a_key_one_wins_and_no_loser_is_told_422(others: Others) -> None:
    for round_ in range(8):
        answers = others(*(lambda n=n, r=round_: create(f"k{r}", f"{r}-{n}") for n in range(6)))
        assert sorted(status for status, _ in answers) == [201] + [409] * 5
        assert {body["error"]["codigo"] for status, body in answers if status == 409} == {"ya_existe"}
    assert Activo.objects.count() == Mensaje.objects.count() == 8


def test_of_repeated_creates_that_race_one_is_done_whatever_keys_they_name(others: Others) -> None:
    for round_ in range(8):
        answers = others(*(lambda n=n, r=round_: create(f"k{r}-{n % 2}", f"op{r}") for n in range(6)))
        assert sorted(status for status, _ in answers) == [201] + [409] * 5
        made = next(body["id"] for status, body in answers if status == 201)
        assert {(body["error"]["codigo"], body["registro"]["id"]) for status, body in answers if status == 409} == {
            ("ya_aplicada", made)
        }
    assert Activo.objects.count() == 8


def test_of_patches_under_one_etag_one_wins(others: Others) -> None:
    make_asset("1")
    address = address_of("1")
    for round_ in range(8):
        etag = client().get(address)["ETag"]
        answers = others(*(lambda n=n, r=round_, e=etag: patch(address, f"{r}-{n}", e) for n in range(6)))
        assert sorted(status for status, _ in answers) == [200] + [412] * 5


def test_a_person_of_the_demo_overwrites_nothing_that_was_written_since_the_read(
    others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_asset("1")
    read, clean = Gate(), Activo.full_clean

    def slowly(self: Activo, *arguments: Any, **named: Any) -> None:
        read.open()
        time.sleep(0.5)  # in which the integration's write arrives
        clean(self, *arguments, **named)

    monkeypatch.setattr(Activo, "full_clean", slowly)
    person = others.begin(lambda: Client().patch("/demo/activos/1/", {"serie": "S"}, content_type="application/json"))
    read.wait()
    assert patch(address_of("1"), "written")[0] == 200
    assert person.result(60).status_code == 200
    stored = Activo.objects.get()
    assert (stored.nombre, stored.serie) == ("written", "S")


def test_a_record_that_somebody_holds_is_503_in_time_and_holds_no_worker(
    others: Others, configuration: dict[str, Any], settings: Any
) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "LOCK_TIMEOUT": 0.3}
    asset = make_asset("1")
    make_asset("free")
    addresses = address_of("1"), address_of("free")
    locked, done = Gate(), Gate()
    before = execute(LOCK_BOUND[connection.vendor])

    def hold() -> None:
        with transaction.atomic():
            Activo.objects.select_for_update().get(pk=asset.pk)
            locked.open()
            done.wait()

    holder = others.begin(hold)
    locked.wait()
    blocked = others(*(lambda: patch(addresses[0], "x") for _ in range(4)))
    assert [(status, body["error"]["codigo"]) for status, body in blocked] == [(503, "base_no_disponible")] * 4
    settings.INTEGRACION_DYNAMICS = configuration
    assert patch(addresses[1], "x")[0] == 200
    done.open()
    holder.result(120)
    assert patch(addresses[0], "x")[0] == 200
    assert execute(LOCK_BOUND[connection.vendor]) == before, "the bound ends with the transaction"


def test_a_database_in_read_only_mode_refuses_writes_with_503_and_is_read() -> None:
    make_asset("1")
    address = address_of("1")
    on, off = READ_ONLY[connection.vendor]
    execute(on)
    try:
        assert patch(address, "x")[0] == 503
        assert client().get(address).status_code == 200
    finally:
        execute(off)
