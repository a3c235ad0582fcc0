"""Two-way mode, in which the product asks the CMMS for each record, beside one-way mode."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.conditions import USUAL
from benchmarks.load import QUEUE, TABLE
from benchmarks.programs import python
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import START_SECONDS, Bench
from local.ports import Ports
from local.processes import Process
from local.run import ROOT

_FILL: Final = """
import django; django.setup()
from django.core.management import call_command
from demo.inventario.models import Activo
Activo.objects.bulk_create(
    Activo(codigo_interno=f"AC-{number:06}", nombre=f"Bomba {number}", serie=f"SN-{number:08}",
           costo=1000 + number, valor_libros=900 + number, fecha_compra="2020-02-03")
    for number in range(RECORDS))
call_command("anunciar", "activos")
call_command("relay_outbox", "--once")
"""
_LABELS: Final = {"one-way": "one-way: the message's own values", "two-way": "two-way: with the CMMS's API"}


def _variants(_size: Size) -> Sequence[str]:
    return list(_LABELS)


def measure(size: Size, variant: str) -> Figures:
    """Make assets in the demo CMMS, let its relay announce them, and let a host work the queue off."""
    port = Ports.free().cmms
    with Bench(USUAL) as bench:
        environment = _cmms_environment(bench)
        cmms = Process(
            "cmms",
            ["local.cmms", "--port", str(port), "--exit-with-stdin"],
            environment=environment,
            log=bench.folder / "cmms.log",
            ready=r"\bready\b",
        )
        try:
            cmms.wait_ready(START_SECONDS)
            program = _FILL.replace("RECORDS", str(size.records))
            python("-c", program, environment=environment)
            api = {"CMMS_BASE_URL": f"http://127.0.0.1:{port}", "CMMS_TOKEN": bench.keys.cmms}
            return _work_off(bench, api if variant == "two-way" else {})
        finally:
            cmms.stop()


def _work_off(bench: Bench, settings: Mapping[str, str]) -> Figures:
    with bench.worker(settings=settings) as worker:
        started = time.monotonic()
        bench.wait_drained(QUEUE, worker)
        seconds, cpu = time.monotonic() - started, worker.usage().worker_seconds
    return {"landed": len(bench.rows(TABLE)), "seconds": seconds, "cpu": cpu, "requests": bench.stats()["requests"]}


def _cmms_environment(bench: Bench) -> dict[str, str]:
    return {
        **os.environ,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cmms")]),
        "DJANGO_SETTINGS_MODULE": "demo.settings",
        "CMMS_DEMO_DB": str(bench.folder / "cmms.sqlite3"),
        "CMMS_TOKEN": bench.keys.cmms,
        "ServiceBusConnection": bench.servicebus_connection,
    }


TWO_WAY: Final = Scenario(
    "two-way",
    "Two-way mode beside one-way mode",
    "Assets are made in the demo CMMS (Django on SQLite) and announced by its relay. In two-way mode the product reads"
    " each from the CMMS's API, and tells the CMMS what came of it; in one-way mode the message's values are all it"
    " knows.",
    _variants,
    measure,
    (
        Column("landed", "rows"),
        Column("seconds", "time", Unit.SECONDS),
        Column("cpu", "CPU", Unit.SECONDS),
        Column("requests", "requests to Dataverse"),
    ),
    plots=(Plot("seconds", "Seconds until new assets of the CMMS are in Dynamics, by mode"),),
    slow=True,
    labels=_LABELS,
)
