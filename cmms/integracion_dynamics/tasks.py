"""The relay and the purge as Celery tasks, for hosts that run a beat rather than a service of their own.

Example::

    CELERY_BEAT_SCHEDULE = {
        "enviar-salida": {"task": "integracion_dynamics.enviar_salida", "schedule": 5.0},
        "purgar-salida": {"task": "integracion_dynamics.purgar_salida", "schedule": crontab(hour=3, minute=0)},
    }
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from celery import shared_task  # type: ignore[import-untyped]
from django.db import router

from .config import current
from .models import Mensaje
from .purging import KEPT_DAYS, purge
from .relay import Relay
from .service_bus import AzureServiceBus


@shared_task(name="integracion_dynamics.enviar_salida", ignore_result=True)  # type: ignore[untyped-decorator]
def enviar_salida(segundos: float = 50) -> dict[str, Any]:
    """Send what is unsent, for at most about `segundos`; while another relay has all partitions, do nothing.

    Returns:
        What was done, for example `{"enviados": 12, "omitidos": 0, "turno": True}`; `turno` is whether it was our turn.
    """
    end = time.monotonic() + segundos
    with contextlib.closing(AzureServiceBus(current().service_bus)) as sender:
        relay = Relay(sender, router.db_for_write(Mensaje))
        try:
            progress = relay.drain(lambda: time.monotonic() > end)
        finally:
            relay.partitions.release()
    return {"enviados": progress.sent, "omitidos": progress.refused, "turno": progress.held}


@shared_task(name="integracion_dynamics.purgar_salida", ignore_result=True)  # type: ignore[untyped-decorator]
def purgar_salida(dias: int = KEPT_DAYS, omitidos: int | None = None, lapidas: int | None = None) -> dict[str, int]:
    """Delete what is older than these days, as `manage.py purgar_outbox` does.

    Returns:
        The rows deleted, for example `{"enviados": 500, "omitidos": 0, "lapidas": 0}`.
    """
    return purge(router.db_for_write(Mensaje), sent=dias, skipped=omitidos, tombstones=lapidas)
