from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, InterfaceError, InternalError, OperationalError, ProgrammingError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from demo.inventario.models import Requisicion
from integracion_dynamics import relay as relay_module
from integracion_dynamics.management.commands import relay_outbox
from integracion_dynamics.models import Mensaje, Relevo
from integracion_dynamics.partitions import PARTITIONS, partition_of
from integracion_dynamics.relay import Progress, Relay
from integracion_dynamics.sender import Accepted, Outgoing, Refused

from .helpers import make_asset
from .queues import Queues

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_english")]


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_messages_leave_in_order_marked_and_once() -> None:
    for number in range(7):
        make_asset(str(number))
    queues = Queues()
    relay = Relay(queues)
    assert relay.run_once() == Progress(sent=7)
    assert relay.run_once() == Progress()
    assert queues.keys() == list("0123456")
    assert set(Mensaje.objects.values_list("intentos", flat=True)) == {1}
    assert not Mensaje.objects.filter(enviado_en__isnull=True).exists()


def test_the_body_is_the_event_and_the_message_id_its_id() -> None:
    make_asset("ñ")
    queues = Queues()
    Relay(queues).run_once()
    (sent,) = queues.received["assets"]
    stored = Mensaje.objects.get()
    assert json.loads(sent.body) == stored.as_event()
    assert (sent.event_id, sent.sequence) == (str(stored.evento), stored.pk)
    assert "ñ".encode() in sent.body


def test_each_entity_goes_to_its_own_queue() -> None:
    make_asset("a")
    Requisicion.objects.create(numero_requisicion="r")
    queues = Queues()
    assert Relay(queues).run_once() == Progress(sent=2)
    assert (queues.keys("assets"), queues.keys("orders")) == (["a"], ["r"])


def test_a_row_that_commits_after_later_ones_were_sent_is_still_sent() -> None:
    for key in "abc":
        make_asset(key)
    late = Mensaje.objects.get(clave="b")
    Mensaje.objects.filter(pk=late.pk).delete()
    queues = Queues()
    relay = Relay(queues)
    relay.run_once()
    late.save(force_insert=True)
    relay.run_once()
    assert queues.keys() == ["a", "c", "b"]


def test_a_crash_between_sending_and_marking_sends_again_under_the_same_ids_and_loses_nothing() -> None:
    for number in range(8):
        make_asset(str(number))
    queues = Queues()
    queues.die_after_transfers = 1
    relay = Relay(queues)
    with pytest.raises(KeyboardInterrupt):
        relay.run_once()
    assert relay.unsent().count() == 5
    queues.die_after_transfers = None
    Relay(queues, holder=relay.holder).run_once()
    assert relay.unsent().count() == 0
    assert len(queues.keys()) == 11
    assert queues.distinct() == [
        str(event) for event in Mensaje.objects.order_by("pk").values_list("evento", flat=True)
    ]


def test_a_message_that_cannot_be_sent_is_skipped_with_its_reason_and_holds_nothing_back() -> None:
    make_asset("a")
    Requisicion.objects.create(numero_requisicion="r", justificacion="x" * 20_000)
    Requisicion.objects.create(numero_requisicion="s")
    queues = Queues()
    relay = Relay(queues)
    assert relay.run_once() == Progress(sent=2, refused=1)
    assert relay.run_once() == Progress()
    assert queues.keys("orders") == ["s"]
    refused = Mensaje.objects.get(clave="r")
    assert (refused.motivo_fallo, refused.intentos, refused.enviado_en) == ("too large", 1, None)


def test_an_outage_is_one_log_line_each_way_with_growing_pauses_and_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    make_asset("a")
    queues, clock = Queues(), Clock()
    queues.away = {"assets"}
    relay = Relay(queues, clock=clock)
    tried_at = []
    for second in range(200):
        clock.seconds = float(second)
        before = queues.attempts
        relay.run_once()
        if queues.attempts > before:
            tried_at.append(second)
    assert tried_at == [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181]
    assert Mensaje.objects.get().intentos == len(tried_at)
    queues.away = set()
    clock.seconds = 250
    relay.run_once()
    assert queues.keys() == ["a"]
    assert len(caplog.records) == 2
    assert "tried again" in caplog.messages[0]
    assert "reached again" in caplog.messages[1]


def test_one_queues_outage_does_not_hold_back_the_other() -> None:
    make_asset("a")
    Requisicion.objects.create(numero_requisicion="r")
    queues = Queues()
    queues.away = {"assets"}
    assert Relay(queues).run_once() == Progress(sent=1)
    assert queues.keys("orders") == ["r"]


def test_more_than_a_page_is_sent_pass_by_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "PAGE", 2)
    for number in range(5):
        make_asset(str(number))
    queues = Queues()
    relay = Relay(queues)
    assert [relay.run_once().sent for _ in range(4)] == [2, 2, 1, 0]
    assert queues.keys() == list("01234")


def test_relays_share_the_partitions_evenly_and_give_up_what_another_comes_for() -> None:
    relays = [Relay(Queues()) for _ in range(5)]

    def held() -> list[int]:
        for _ in range(2):  # in the first pass a relay gives up, in the second another takes
            for relay in relays:
                relay.run_once()
        shares = [relay.partitions.held for relay in relays]
        assert set().union(*shares) == set(range(PARTITIONS))
        return sorted(len(share) for share in shares)

    first = relays[0]
    assert first.run_once().held
    assert not relays[1].run_once().held
    assert held() == [3, 3, 3, 3, 4]
    relays.pop(0).partitions.release()
    assert held() == [4, 4, 4, 4]
    del relays[1:]  # these died: their leases expire
    Relevo.objects.exclude(titular=relays[0].holder).update(vence=timezone.now() - timedelta(seconds=1))
    assert held() == [16]
    assert set(Relevo.objects.values_list("titular", flat=True)) == {relays[0].holder}


def test_of_more_relays_than_partitions_the_last_stand_by() -> None:
    relays = [Relay(Queues()) for _ in range(PARTITIONS + 2)]
    for relay in relays * 2:
        relay.run_once()
    assert sorted(len(relay.partitions.held) for relay in relays) == [0, 0] + [1] * PARTITIONS


def test_a_relay_sends_the_records_of_its_partitions_only_and_each_in_order() -> None:
    assets = [make_asset(f"{number:02}") for number in range(40)]
    for asset in assets:
        asset.codigo_interno += "-renamed"
        asset.save()
    one, other = Relay(Queues()), Relay(Queues())
    for relay in (one, other) * 2:  # one has all, until it hears of the other
        relay.partitions.take()
    for relay in (one, other):
        while relay.run_once().sent:
            pass
    keys = [relay.sender.keys() for relay in (one, other)]  # type: ignore[attr-defined]
    numbers = [{key[:2] for key in of_one} for of_one in keys]
    assert all(numbers)
    assert numbers[0].isdisjoint(numbers[1])
    for of_one in keys:
        assert all(of_one.index(key) < of_one.index(f"{key}-renamed") for key in of_one if len(key) == 2)
    assert not Mensaje.objects.filter(enviado_en=None).exists()


def test_the_partition_is_of_the_record_and_stays_with_it() -> None:
    asset = make_asset("a")
    asset.codigo_interno = "b"
    asset.save()
    asset.delete()
    Requisicion.objects.create(numero_requisicion="r")
    assert len(set(Mensaje.objects.filter(cola="assets").values_list("particion", flat=True))) == 1
    spread = [partition_of("activos", str(number)) for number in range(1600)]
    assert {spread.count(number) > 50 for number in range(PARTITIONS)} == {True}
    # Stored in rows that wait: another version of the app, or of Python, has to come to the same.
    assert [partition_of("activos", "1"), partition_of("activos", "ñ"), partition_of("requisiciones", "1")] == [
        2,
        0,
        13,
    ]


def test_a_relay_that_stood_still_sends_nothing_after_another_took_over() -> None:
    for number in range(7):
        make_asset(str(number))
    other = Relay(Queues())
    passed: list[str] = []

    class Frozen(Queues):
        """Stands still before its second transfer, until the lease has expired and another relay works."""

        def send(
            self, queue: str, messages: Sequence[Outgoing], proceed: Callable[[], bool]
        ) -> Iterator[Accepted | Refused]:
            def thaw() -> bool:
                passed.append(queue)
                if len(passed) == 2:
                    Relevo.objects.update(vence=timezone.now() - timedelta(seconds=1))
                    assert other.partitions.take()
                return proceed()

            yield from super().send(queue, messages, thaw)

    queues = Frozen()
    assert Relay(queues).run_once() == Progress(sent=3, held=False)
    assert queues.keys() == list("012")
    assert Mensaje.objects.filter(enviado_en=None).count() == 4


def test_a_pass_steps_along_the_queues_and_reads_no_backlog() -> None:
    for number in range(4):
        make_asset(str(number))
        Requisicion.objects.create(numero_requisicion=str(number))
    relay = Relay(Queues())
    with CaptureQueriesContext(connection) as queries:
        assert list(relay._queues()) == ["assets", "orders"]
    assert len(queries) == 3
    assert all("LIMIT 1" in query["sql"] for query in queries)


def test_the_index_of_unsent_messages_works_on_every_database() -> None:
    assert [index.condition for index in Mensaje._meta.indexes] == [None]


def test_the_command_sends_once_and_counts(queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        make_asset(str(number))
    call_command("relay_outbox", once=True)
    assert capsys.readouterr().out == "4 sent, 0 skipped with a reason, 0 waiting.\n"
    assert not Relevo.objects.exists()


def test_the_command_fails_with_once_when_messages_remain(queues: Queues) -> None:
    make_asset()
    queues.away = {"assets"}
    with pytest.raises(CommandError, match="Not everything"):
        call_command("relay_outbox", once=True)


def test_the_command_fails_with_once_while_another_relay_works(queues: Queues) -> None:
    Relay(Queues()).run_once()
    with pytest.raises(CommandError, match="Another relay"):
        call_command("relay_outbox", once=True)


def test_skipped_messages_are_sent_on_request(queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    Requisicion.objects.create(numero_requisicion="r", justificacion="x" * 20_000)
    call_command("relay_outbox", once=True)
    queues.limit = 100_000
    call_command("relay_outbox", once=True, retry_failed=True)
    assert "1 skipped messages are tried again." in capsys.readouterr().out
    assert queues.keys("orders") == ["r"]


@pytest.mark.parametrize("interval", [0, -1, 1e9, float("nan")])
def test_an_interval_that_makes_no_sense_is_refused(queues: Queues, interval: float) -> None:
    with pytest.raises(CommandError, match="--interval"):
        call_command("relay_outbox", interval=interval)


def test_only_old_sent_messages_are_purged(capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("old", "new", "unsent", "failed"):
        make_asset(key)
    now = timezone.now()
    Mensaje.objects.filter(clave="old").update(enviado_en=now - timedelta(days=31))
    Mensaje.objects.filter(clave="new").update(enviado_en=now - timedelta(days=29))
    Mensaje.objects.filter(clave="failed").update(motivo_fallo="too large")
    call_command("purgar_outbox")
    assert capsys.readouterr().out == "Deleted: 1 sent messages, 0 skipped ones, 0 tombstones.\n"
    assert set(Mensaje.objects.values_list("clave", flat=True)) == {"new", "unsent", "failed"}


@pytest.mark.parametrize("days", [-1, 10**9])
def test_a_number_of_days_that_makes_no_sense_is_refused(days: int) -> None:
    with pytest.raises(CommandError, match="--dias"):
        call_command("purgar_outbox", dias=days)


@pytest.mark.parametrize("fault", [OperationalError, InterfaceError, InternalError, ProgrammingError, DataError])
def test_a_database_that_fails_is_waited_for_with_one_log_line_each_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: type[Exception]
) -> None:
    stop = threading.Event()
    passes: list[int] = []

    def run_once(self: Any) -> Progress:
        passes.append(1)
        if len(passes) < 3:
            raise fault("cannot execute INSERT in a read-only transaction")
        stop.set()
        return Progress()

    monkeypatch.setattr(Relay, "run_once", run_once)
    relay_outbox.run_until(stop, Relay(Queues()), 0.001, lambda: None)
    assert len(passes) == 3
    assert [record.message.partition(" and")[0] for record in caplog.records] == [
        "The database does not answer",
        "The database answers again.",
    ]


@pytest.mark.django_db(transaction=True)
def test_a_running_relay_deletes_old_messages_in_idle_moments_and_looks_again_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("integracion_dynamics.purging.CHUNK", 2)
    monkeypatch.setattr(relay_outbox, "CHUNK", 2)
    now, idle = 0.0, 0
    stop = threading.Event()
    prune = relay_outbox.Pruning("default", 30, clock=lambda: now)

    def in_an_idle_moment() -> None:
        nonlocal idle
        idle += 1
        if idle == 4:
            stop.set()
        prune()

    for number in range(6):
        make_asset(str(number))
    of_this_month = Mensaje.objects.latest("pk")
    Mensaje.objects.exclude(pk=of_this_month.pk).update(enviado_en=timezone.now() - timedelta(days=31))
    relay_outbox.run_until(stop, Relay(Queues()), 0.001, in_an_idle_moment)
    assert list(Mensaje.objects.all()) == [of_this_month]
    Mensaje.objects.update(enviado_en=timezone.now() - timedelta(days=31))
    now = 3599.0
    prune()
    assert Mensaje.objects.count() == 1
    now = 3600.0
    prune()
    assert Mensaje.objects.count() == 0


def test_a_number_of_days_to_keep_that_makes_no_sense_is_refused(queues: Queues) -> None:
    with pytest.raises(CommandError, match="--keep-days is from 0 to 36500"):
        call_command("relay_outbox", "--keep-days", "-1")
