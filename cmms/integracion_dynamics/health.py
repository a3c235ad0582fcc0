"""How the outbox and its relay are, for `GET salud/`, `relay_outbox --status` and the admin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min

from .database import database_now
from .fields import instant
from .models import Mensaje
from .partitions import relays_at_work

LATE = 300.0
"""Seconds after which an unsent message means that something is wrong."""


@dataclass(frozen=True)
class Health:
    """The state of the outbox: the age of the oldest unsent message in seconds, and which relay works until when."""

    unsent: int
    oldest: float | None
    skipped: int
    relays: Mapping[str, str]

    def well(self, late: float = LATE) -> bool:
        """Whether nothing waits longer than `late` seconds, and nothing waits for a person."""
        return not self.skipped and (self.oldest is None or self.oldest <= late)

    def as_json(self, late: float = LATE) -> dict[str, Any]:
        """The form of `GET salud/`."""
        return {
            "sano": self.well(late),
            "sin_enviar": self.unsent,
            "mas_antiguo_segundos": self.oldest,
            "omitidos": self.skipped,
            "relevos": [{"titular": name, "vence": until} for name, until in self.relays.items()],
        }


def examine(using: str) -> Health:
    """Look at the outbox in this database."""
    now = database_now(using)
    table = Mensaje.objects.using(using).filter(enviado_en__isnull=True)
    unsent = table.filter(motivo_fallo="")
    backlog = unsent.aggregate(count=Count("pk"), first=Min("creado"))
    first = backlog["first"]
    return Health(
        unsent=backlog["count"],
        oldest=max(0.0, round((now - first).total_seconds(), 1)) if first else None,
        skipped=table.exclude(motivo_fallo="").count(),
        relays={one.titular: instant(one.vence) for one in relays_at_work(using)},
    )
