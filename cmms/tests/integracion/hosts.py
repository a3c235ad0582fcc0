"""Hosts of the tests: their entities, and what they do around a save."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import DecimalField, ExpressionWrapper, F
from django.test import Client

from demo.inventario.models import Activo

TOTAL = ExpressionWrapper(F("neto") + F("isv"), output_field=DecimalField(max_digits=13, decimal_places=2))

EQUIPOS: dict[str, Any] = {
    "EVENT": "equipment",
    "QUEUE": "equipment",
    "MODEL": "anfitrion.Equipo",
    "KEY": "codigo",
    "FIELDS": {"codigo": "codigo", "nombre": "nombre", "revisado_en": "revisado_en", "total": TOTAL},
}

MEDIDORES: dict[str, Any] = {
    "EVENT": "meter",
    "QUEUE": "meters",
    "MODEL": "anfitrion.Medidor",
    "KEY": "codigo",
    "FIELDS": {"codigo": "codigo", "notas": "notas", "resumen": lambda meter: f"{meter.codigo}: {meter.responsable}"},
    "DEFAULTS": {"responsable": "Dynamics 365", "notas": lambda meter: f"made as {meter.codigo}"},
}


@contextmanager
def receiving(signal: Any, receiver: Callable[..., None], sender: Any = Activo) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def raising(error: BaseException) -> Callable[..., None]:
    def receiver(**_: Any) -> None:
        raise error

    return receiver


def post(api: Client, fields: Any, entity: str = "activos", **headers: str) -> Any:
    address = f"/integracion/{entity}/"
    return api.post(address, {"campos": fields}, content_type="application/json", headers=headers)


def patch(api: Client, address: str, fields: Any, **headers: str) -> Any:
    return api.patch(address, {"campos": fields}, content_type="application/json", headers={"If-Match": "*", **headers})
