from __future__ import annotations

from decimal import Decimal
from typing import Any

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje


def make_asset(key: str = "0001", **values: Any) -> Activo:
    return Activo.objects.create(codigo_interno=key, **{"nombre": "Bomba", "costo": Decimal("10.5"), **values})


def id_of(key: str) -> str:
    """The id of the asset that holds a key."""
    return str(Activo.objects.get(codigo_interno=key).pk)


def address_of(key: str) -> str:
    """Where the API has the asset that holds a key."""
    return f"/integracion/activos/{id_of(key)}/"


def messages(**criteria: Any) -> list[dict[str, Any]]:
    """What was written to the outbox, as the broker will see it, in order."""
    return [message.as_event() for message in Mensaje.objects.filter(**criteria).order_by("pk")]


def forget() -> None:
    """Empty the outbox, so that a test sees only what comes after."""
    Mensaje.objects.all().delete()
