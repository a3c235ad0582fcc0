"""Measure the app on a PostgreSQL of its own: `python cmms/tests/figures.py [--records N] [--announced M]`.

M records are announced by `anunciar`, sent onto lists by 1, 4 and 16 relays beside each other, and purged; then there
are N records, of which the list of changes and the full list are read at several depths. A line is printed for each
figure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from servers import postgresql

TESTS = Path(__file__).resolve().parent
DEPTHS = (0.0, 0.1, 0.6, 0.99)
REPEATS = 5
RELAYS = (1, 4, 16)
FILL = """
INSERT INTO inventario_activo (codigo_interno, nombre, serie, costo, fecha_compra, estado, actualizado_en)
SELECT lpad(n::text, 8, '0'), 'Bomba de agua ' || n, 'SN-' || n, (n %% 100000) / 100.0,
       date '2020-01-01' + (n %% 2000), 'OPERATIVO', now()
FROM generate_series(%s::int, %s::int) n
"""
REMEMBER = """
INSERT INTO integracion_dynamics_registro
    (entidad, objeto, clave, revision, version, modificado_en, modificado_por, borrado, huella, operaciones)
SELECT 'activos', id::text, codigo_interno, 1, now(), now(), 'persona', false, repeat('0', 64), '[]'
FROM inventario_activo ON CONFLICT DO NOTHING
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--announced", type=int, default=100_000)
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    with postgresql() as port:
        os.environ |= {"CMMS_TESTS_POSTGRESQL": str(port), "DJANGO_SETTINGS_MODULE": "anfitrion.settings"}
        _measure(port, options.records, options.announced)


def _measure(port: int, records: int, announced: int) -> None:
    import django  # noqa: PLC0415 - the settings are known only now
    import psycopg  # noqa: PLC0415

    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", autocommit=True) as administrator:
        administrator.execute("CREATE DATABASE cmms")
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    _execute(FILL, 1, announced)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _rate("anunciar", announced, lambda: call_command("anunciar", "activos", verbosity=0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _say("peak memory before and after anunciar", f"{before / 1024:.0f} and {peak / 1024:.0f} MB")
    for relays in RELAYS:
        _execute("UPDATE integracion_dynamics_mensaje SET enviado_en = NULL")
        _execute("VACUUM ANALYZE integracion_dynamics_mensaje")
        _rate(f"relays onto lists: {relays}", announced, partial(_relay, relays))
    _rate("purgar_outbox", announced, _purge)
    _execute(FILL, announced + 1, records)
    _execute(REMEMBER)
    _execute("ANALYZE")
    _rate("positions of the list of changes", records, _give_positions)
    _depths(records)
    connections.close_all()


def _relay(relays: int) -> None:
    """Send everything by so many processes, each with a list for a broker that takes 500 messages a transfer."""
    from django.db import connections  # noqa: PLC0415

    connections.close_all()  # a process of its own needs a connection of its own
    fork = multiprocessing.get_context("fork")
    working = [fork.Process(target=_send_all) for _ in range(relays)]
    for one in working:
        one.start()
    for one in working:
        one.join()
        if one.exitcode:
            raise SystemExit(f"A relay ended with {one.exitcode}.")


def _send_all() -> None:
    from integracion.queues import Queues  # noqa: PLC0415

    from integracion_dynamics.relay import Relay  # noqa: PLC0415

    relay = Relay(Queues(batch=500))
    while relay.unsent().exists():
        if not relay.drain().sent:
            time.sleep(0.05)
    relay.partitions.release()


def _purge() -> None:
    from django.core.management import call_command  # noqa: PLC0415
    from django.db.models import F  # noqa: PLC0415

    from integracion_dynamics.models import Mensaje  # noqa: PLC0415

    Mensaje.objects.update(enviado_en=F("enviado_en") - timedelta(days=31))
    call_command("purgar_outbox", verbosity=0)


def _give_positions() -> None:
    from integracion_dynamics.config import entities  # noqa: PLC0415
    from integracion_dynamics.positions import assign_positions  # noqa: PLC0415

    while assign_positions(entities()["activos"], "default", 5000):
        pass


def _depths(records: int) -> None:
    """How long a page of 500 takes, at several depths of both lists."""
    from integracion_dynamics.api import cursor, listing  # noqa: PLC0415
    from integracion_dynamics.config import entities  # noqa: PLC0415
    from integracion_dynamics.fields import EPOCH, instant  # noqa: PLC0415
    from integracion_dynamics.models import Registro  # noqa: PLC0415

    activos = entities()["activos"]
    for depth in DEPTHS:
        skipped = int(records * depth)
        row = Registro.objects.order_by("visto_en", "version", "id")[skipped]
        place = cursor.encode("cambios", instant(row.visto_en or EPOCH), instant(row.version), row.pk)
        _median(f"changed since, after {skipped}", partial(listing.changed_since, activos, EPOCH, place, 500))
        by_id = cursor.encode("id", str(skipped))
        _median(f"full list, after {skipped}", partial(listing.everything, activos, by_id, 500))


def _execute(statement: str, *parameters: Any) -> None:
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def _rate(what: str, count: int, work: Callable[[], Any]) -> None:
    begin, cpu = time.monotonic(), time.process_time()
    work()
    seconds = time.monotonic() - begin
    _say(what, f"{count} in {seconds:.1f} s ({count / seconds:.0f}/s; {time.process_time() - cpu:.1f} s of CPU)")


def _median(what: str, work: Callable[[], Any]) -> None:
    taken, cpu = [], []
    for _ in range(REPEATS):
        begin, before = time.monotonic(), time.process_time()
        work()
        taken.append(time.monotonic() - begin)
        cpu.append(time.process_time() - before)
    _say(what, f"{statistics.median(taken) * 1000:.0f} ms ({statistics.median(cpu) * 1000:.0f} ms of CPU)")


def _say(what: str, figure: str) -> None:
    print(f"{what}: {figure}", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
