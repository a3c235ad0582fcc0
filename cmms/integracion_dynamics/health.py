"""How the outbox and its relay are, for `GET salud/`, `relay_outbox --status` and the admin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min

from .database import database_now
from .fields import instant
from .models import Mensaje, Relevo
from .relay import LEASE_NAME

LATE = 300.0
"""Seconds after which an unsent message means that something is wrong."""


@dataclass(frozen=True)
class Health:
    """The state of the outbox; `oldest` is the age of the oldest unsent message in seconds."""

    unsent: int
    oldest: float | None
    skipped: int
    holder: str
    held_until: str

    def well(self, late: float = LATE) -> bool:
        """Whether nothing waits longer than `late` seconds, and nothing waits for a person."""
        return not self.skipped and (self.oldest is None or self.oldest <= late)

    def as_json(self, late: float = LATE) -> dict[str, Any]:
        """The form of `GET salud/`."""
        relay = {"titular": self.holder, "vence": self.held_until} if self.holder else None
        return {
            "sano": self.well(late),
            "sin_enviar": self.unsent,
            "mas_antiguo_segundos": self.oldest,
            "omitidos": self.skipped,
            "relevo": relay,
        }


def examine(using: str) -> Health:
    """Look at the outbox in this database."""
    now = database_now(using)
    table = Mensaje.objects.using(using).filter(enviado_en__isnull=True)
    unsent = table.filter(motivo_fallo="")
    backlog = unsent.aggregate(count=Count("pk"), first=Min("creado"))
    first = backlog["first"]
    lease = Relevo.objects.using(using).filter(nombre=LEASE_NAME, vence__gt=now).first()
    return Health(
        unsent=backlog["count"],
        oldest=max(0.0, round((now - first).total_seconds(), 1)) if first else None,
        skipped=table.exclude(motivo_fallo="").count(),
        holder=lease.titular if lease else "",
        held_until=instant(lease.vence) if lease else "",
    )
