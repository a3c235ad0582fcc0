"""Many writers at once, by the API and in the host: nothing is lost, and the loser is told rightly."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from integracion.helpers import address_of, make_asset, messages
from integracion.queues import Queues
from psycopg.errors import DeadlockDetected

from demo.inventario.models import Activo
from integracion_dynamics import positions
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Mensaje, Registro
from integracion_dynamics.recording import registrar_cambios
from integracion_dynamics.relay import Relay

from .conftest import TOKEN, Gate, Others

LONG_AGO = "2000-01-01T00:00:00Z"


def client() -> Client:
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def create(key: str, operation: str, name: str = "x") -> tuple[int, Any]:
    answer = client().post(
        "/integracion/activos/",
        {"campos": {"codigo_interno": key, "nombre": name}},
        content_type="application/json",
        headers={"Operation-Id": operation},
    )
    return answer.status_code, answer.json()


def patch(address: str, name: str, etag: str = "*") -> tuple[int, Any]:
    answer = client().patch(
        address, {"campos": {"nombre": name}}, content_type="application/json", headers={"If-Match": etag}
    )
    return answer.status_code, answer.json()


def changes(since: str, limit: int = 500) -> list[str]:
    """The ids in a list of changes, page by page."""
    ids: list[str] = []
    query: dict[str, Any] = {"modificado_desde": since, "limite": limit}
    while True:
        answer = client().get("/integracion/activos/", query).json()
        ids += [record["id"] for record in answer["resultados"]]
        if answer["siguiente"] is None:
            return ids
        query["cursor"] = answer["siguiente"]


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


def test_a_record_that_somebody_holds_is_503_in_time_and_holds_no_worker(
    others: Others, configuration: dict[str, Any], settings: Any
) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "LOCK_TIMEOUT": 0.3}
    asset = make_asset("1")
    make_asset("free")
    addresses = address_of("1"), address_of("free")
    locked, done = Gate(), Gate()

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
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",), "the bound ends with the transaction"


def test_a_change_that_commits_after_later_ones_were_listed_is_in_the_next_list(others: Others) -> None:
    early, late = make_asset("early"), make_asset("late")
    assert set(changes(LONG_AGO)) == {str(early.pk), str(late.pk)}
    written, listed = Gate(), Gate()

    def long_import() -> None:
        with transaction.atomic():
            row = Activo.objects.get(pk=late.pk)
            row.nombre = "imported"
            row.save()
            written.open()
            listed.wait()

    importing = others.begin(long_import)
    written.wait()
    early.nombre = "edited"
    early.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (began,) = cursor.fetchone()
    since = began.isoformat()
    assert changes(since) == [str(early.pk)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (began,) = cursor.fetchone()
    listed.open()
    importing.result(120)
    assert changes(began.isoformat()) == [str(late.pk)]


def test_lists_that_go_on_while_many_write_miss_no_change(others: Others) -> None:
    assets = [make_asset(f"{n:02}") for n in range(20)]
    ended = Gate()
    seen: set[tuple[str, int]] = set()

    def write(worker: int) -> None:
        chance = random.Random(worker)  # noqa: S311 - repeatable
        for step in range(15):
            with transaction.atomic():
                row = Activo.objects.get(pk=chance.choice(assets[worker * 5 : worker * 5 + 5]).pk)
                row.nombre = f"{worker}-{step}"
                row.save()
                if not step % 4:
                    Activo.objects.exclude(pk=row.pk).filter(codigo_interno__lt="00").count()

    def read() -> None:
        since = LONG_AGO
        for _ in range(200):
            final = ended.is_open()
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                (now,) = cursor.fetchone()
            for pk in changes(since, limit=3):
                seen.add((pk, Registro.objects.get(objeto=pk).revision))
            since = now.isoformat()
            if final:
                return

    reader = others.begin(read)
    others(*(lambda worker=worker: write(worker) for worker in range(4)))
    ended.open()
    reader.result(180)
    newest = set(Registro.objects.values_list("objeto", "revision"))
    assert newest <= seen, "the last change of a record was in no list"


def disturb(chance: random.Random, assets: list[Activo], name: str) -> None:
    """One transaction of a storm: an edit, a bulk update, a create, a delete, or any of them undone."""
    kind = chance.random()
    with transaction.atomic():
        pk = chance.choice(assets).pk
        if kind < 0.15:
            Activo.objects.filter(pk=pk).update(nombre=name)
            registrar_cambios(Activo.objects.filter(pk=pk))
        elif kind < 0.25:
            Activo.objects.create(codigo_interno=f"n{name}", nombre="new")
        elif kind < 0.3:
            Activo.objects.filter(codigo_interno__startswith=f"n{name[0]}").delete()
        else:
            row = Activo.objects.select_for_update().get(pk=pk)
            row.nombre = name
            row.save()
        if chance.random() < 0.15:
            transaction.set_rollback(True)


def relay_until(ended: Gate, queues: Queues) -> None:
    """Relay after relay, each of which dies in the middle of a transfer, until all is sent."""
    for life in range(1000):
        final = ended.is_open()
        queues.die_after_transfers = None if final else life % 3
        one = Relay(queues)
        with suppress(KeyboardInterrupt):
            one.drain()
        one.release_lease()  # as its expiry would
        if final:
            return


def test_a_storm_of_writers_with_relays_that_die_loses_and_misorders_nothing(others: Others) -> None:
    assets = [make_asset(f"{n:02}") for n in range(8)]
    queues = Queues(batch=4)
    ended = Gate()

    def write(worker: int) -> None:
        chance = random.Random(worker)  # noqa: S311 - repeatable
        for step in range(20):
            with suppress(OperationalError):  # a deadlock among the storm's own transactions
                disturb(chance, assets, f"{worker}-{step}")

    relaying = others.begin(lambda: relay_until(ended, queues))
    others(*(lambda worker=worker: write(worker) for worker in range(8)))
    ended.open()
    relaying.result(180)

    told = messages()
    assert {event["id"] for event in told} == set(queues.distinct())
    for record in Registro.objects.all():
        of_record = [event for event in told if event["data"]["id"] == record.objeto]
        versions = [event["data"]["version"] for event in of_record]
        assert versions == sorted(set(versions))
        assert versions[-1] == instant(record.version)
        living = Activo.objects.filter(pk=record.objeto).first()
        last = of_record[-1]
        assert (last["type"], last["data"].get("fields", {}).get("nombre")) == (
            ("energy.asset.upserted", living.nombre) if living else ("energy.asset.deleted", None)
        )


def test_a_message_whose_transaction_commits_late_is_sent_though_later_ones_were(others: Others) -> None:
    written, sent = Gate(), Gate()

    def long_transaction() -> None:
        with transaction.atomic():
            make_asset("late")
            written.open()
            sent.wait()

    open_ = others.begin(long_transaction)
    written.wait()
    make_asset("quick")
    queues = Queues()
    relay = Relay(queues)
    assert relay.run_once().sent == 1
    sent.open()
    open_.result(120)
    assert relay.run_once().sent == 1
    assert queues.keys() == ["quick", "late"]


@pytest.mark.parametrize("isolation", ["repeatable read", "read committed"])
def test_two_announcements_of_one_unknown_record_are_one_message(others: Others, isolation: str) -> None:
    assets = Activo.objects.bulk_create([Activo(codigo_interno="1", nombre="x")])

    def announce() -> int:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            return registrar_cambios(assets)

    def announce_until_serialised() -> int:
        while True:
            with suppress(OperationalError):  # repeatable read says that it cannot be serialised
                return announce()

    assert sorted(others(*(announce_until_serialised for _ in range(6)))) == [0] * 5 + [1]
    assert Mensaje.objects.count() == 1


def test_lists_while_others_write_are_never_an_error(others: Others) -> None:
    for number in range(30):
        make_asset(f"{number:02}")

    def edit() -> None:
        for row in Activo.objects.all():
            row.nombre = "edited"
            row.save()

    readers = (lambda: len(set(changes(LONG_AGO, limit=7))) for _ in range(4))
    assert others(edit, *readers)[1:] == [30] * 4


def test_a_database_in_read_only_mode_refuses_writes_with_503_and_is_read() -> None:
    make_asset("1")
    address = address_of("1")
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        assert patch(address, "x")[0] == 503
        assert client().get(address).status_code == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")


def test_a_deep_page_of_changes_reads_no_more_rows_than_the_first() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    gone = (
        Registro(entidad="activos", objeto=str(n), clave=str(n), revision=1, borrado=True, version=moment)
        for n in range(6000)
    )
    Registro.objects.bulk_create(gone)
    query: dict[str, Any] = {"modificado_desde": LONG_AGO, "limite": 500}
    read = []
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE integracion_dynamics_registro")
        while query.get("cursor", "first"):
            with CaptureQueriesContext(connection) as queries:
                query["cursor"] = client().get("/integracion/activos/", query).json()["siguiente"]
            (of_page,) = [one["sql"] for one in queries if "ORDER BY" in one["sql"] and "LIMIT 501" in one["sql"]]
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {of_page}")
            plan = cursor.fetchone()[0][0]["Plan"]
            while "Plans" in plan:
                (plan,) = plan["Plans"]
            assert plan["Index Name"] == "registro_visto"
            read.append(plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    assert len(read) == 12
    assert max(read) <= 1001 + 1


def test_a_list_begins_again_where_the_database_undid_its_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    make_asset("1")
    tried: list[int] = []

    def undone(*arguments: Any) -> bool:
        tried.append(1)
        if len(tried) < 3:
            raise OperationalError from DeadlockDetected()
        return assign(*arguments)

    assign = positions._assign
    monkeypatch.setattr(positions, "_assign", undone)
    assert len(changes(LONG_AGO)) == 1
    assert len(tried) == 3
