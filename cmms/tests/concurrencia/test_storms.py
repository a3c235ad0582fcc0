"""Storms of writers, with relays and connections that die: nothing is lost, and nothing leaves out of order."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from integracion.helpers import make_asset, messages
from integracion.queues import Queues

from demo.inventario.models import Activo
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Mensaje, Registro, Relevo
from integracion_dynamics.recording import registrar_cambios
from integracion_dynamics.relay import Relay

from .conftest import Gate, Others
from .helpers import execute

ISOLATION = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}",
    "mysql": "SET SESSION TRANSACTION ISOLATION LEVEL {}",
}
OTHER_SESSIONS = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname ="
    " current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) chosen",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    " ORDER BY RAND() LIMIT 1",
}


@contextmanager
def survived() -> Iterator[None]:
    """What a worker of a storm does about a deadlock, or about the end of its connection: it goes on with another."""
    try:
        yield
    except (OperationalError, InterfaceError):
        connection.close()


def end_a_session() -> None:
    """End the session of somebody else, whatever it does now."""
    found = execute(OTHER_SESSIONS[connection.vendor])
    if connection.vendor == "mysql" and found:
        with suppress(OperationalError):  # it has ended by itself
            execute(f"KILL {found[0]}")


def disturb(chance: random.Random, assets: list[Activo], name: str) -> set[str]:
    """One transaction of a storm: an edit, a bulk update, a create, a delete, or any of them undone.

    Returns:
        The name that was committed, if any.
    """
    kind, undone = chance.random(), chance.random() < 0.15
    with transaction.atomic():
        pk = chance.choice(assets).pk
        if kind < 0.15:
            Activo.objects.filter(pk=pk).update(nombre=name)
            registrar_cambios(Activo.objects.filter(pk=pk))
        elif kind < 0.25:
            Activo.objects.create(codigo_interno=f"n{name}", nombre=name)
        elif kind < 0.3:
            Activo.objects.filter(codigo_interno__startswith=f"n{name[0]}").delete()
        else:
            row = Activo.objects.select_for_update().get(pk=pk)
            row.nombre = name
            row.save()
        if undone:
            transaction.set_rollback(True)
    return set() if undone or 0.25 <= kind < 0.3 else {name}


def relay_until(ended: Gate, broker: Queues, worker: int) -> None:
    """Relay after relay onto the broker, each of which dies in the middle of a transfer, until all is sent."""
    life = worker
    while True:
        final = ended.is_open()
        queues = Queues(batch=4)
        queues.received = broker.received
        queues.die_after_transfers = None if final else life % 3
        life += 1
        one = Relay(queues)
        with survived(), suppress(KeyboardInterrupt):
            one.drain()
        with survived():
            Relevo.objects.filter(titular=one.holder).delete()  # as their expiry would
        with survived():
            if final and not one.unsent().exists():
                return


@pytest.mark.parametrize("relays", [1, 3])
@pytest.mark.parametrize("sessions", ["live", "are ended"])
def test_a_storm_of_writers_with_relays_that_die_loses_and_misorders_nothing(
    others: Others, sessions: str, relays: int
) -> None:
    assets = [make_asset(f"{n:02}") for n in range(8)]
    queues = Queues(batch=4)
    ended = Gate()
    taken: set[str] = set()

    def write(worker: int) -> None:
        chance = random.Random(worker)  # noqa: S311 - repeatable
        for step in range(20):
            with survived():
                taken.update(disturb(chance, assets, f"{worker}-{step}"))

    relaying = [others.begin(partial(relay_until, ended, queues, worker)) for worker in range(relays)]
    writing = [others.begin(partial(write, worker)) for worker in range(8)]
    if sessions == "are ended":
        while not all(one.done() for one in writing):
            end_a_session()
            time.sleep(0.02)
    for one in writing:
        one.result(180)
    ended.open()
    for relay in relaying:
        relay.result(180)

    told = messages()
    taken_in = queues.distinct()
    assert {event["id"] for event in told} == set(taken_in)
    said = {event["data"]["fields"]["nombre"] for event in told if "fields" in event["data"]}
    assert taken <= said, "a change that was committed has no message"
    for record in Registro.objects.all():
        of_record = [event for event in told if event["data"]["id"] == record.objeto]
        ids = [event["id"] for event in of_record]
        assert ids == sorted(ids, key=taken_in.index), "the broker took a record's messages out of order"
        versions = [event["data"]["version"] for event in of_record]
        assert versions == sorted(set(versions))
        assert versions[-1] == instant(record.version)
        living = Activo.objects.filter(pk=record.objeto).first()
        last = of_record[-1]
        assert (last["type"], last["data"].get("fields", {}).get("nombre")) == (
            ("energy.asset.upserted", living.nombre) if living else ("energy.asset.deleted", None)
        )


def test_relays_that_share_the_work_send_each_message_once(others: Others) -> None:
    assets = [make_asset(f"{n:02}") for n in range(60)]
    broker = Queues(batch=4)
    relays = [Relay(Queues(batch=4)) for _ in range(3)]
    for relay in relays:
        relay.sender.received = broker.received  # type: ignore[attr-defined]
    for step in range(3):
        for asset in assets:
            asset.nombre = f"step {step}"
            asset.save()
    for relay in relays * 2:
        relay.partitions.take()

    def work(relay: Relay) -> int:
        return relay.drain().sent

    sent = others(*(partial(work, relay) for relay in relays))
    assert all(sent)
    assert sum(sent) == len(broker.received["assets"]) == len(broker.distinct()) == 240


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
        execute(ISOLATION[connection.vendor].format(isolation))
        with transaction.atomic():
            return registrar_cambios(assets)

    def announce_until_serialised() -> int:
        while True:
            with suppress(OperationalError):  # repeatable read says that it cannot be serialised
                return announce()

    assert sorted(others(*(announce_until_serialised for _ in range(6)))) == [0] * 5 + [1]
    assert Mensaje.objects.count() == 1
