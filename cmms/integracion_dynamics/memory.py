"""The rows of `Registro`: what is remembered of each record, locked while it may change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models

from .entities import Entity
from .models import Registro

# Writes of the integration that are kept by name: it asks about one only as long as that one is in doubt.
OPERATIONS = 20


def note_operation(entity: Entity, pk: str, operation: str, using: str, *, created: bool = False) -> None:
    """Keep the integration's name of a write with the record that took it, in the write's own transaction.

    `created` says that the write made the record: that name is kept for good.
    """
    row = next(iter(remember(entity, [pk], using).values()))
    row.operaciones = [*row.operaciones, operation][-OPERATIONS:]
    if created:
        row.creado_por = operation
    row.save(using=using, update_fields=["operaciones", "creado_por"])


def remember(entity: Entity, pks: Collection[str], using: str) -> dict[str, Registro]:
    """Lock the memories of these records, by primary key, and begin the missing ones."""
    rows = locked(entity, pks, using)
    missing = [pk for pk in pks if pk not in rows]
    return rows | begin(entity, missing, using) if missing else rows


def begin(entity: Entity, pks: Collection[str], using: str) -> dict[str, Registro]:
    """Begin the memories of these records, which had none a moment ago, and lock them."""
    # Another transaction may begin the same rows now: whoever is second takes the first's.
    blank = [Registro(entidad=entity.name, objeto=pk) for pk in sorted(pks)]
    Registro.objects.using(using).bulk_create(blank, ignore_conflicts=True)
    return locked(entity, pks, using)


def locked(entity: Entity, pks: Collection[str], using: str) -> dict[str, Registro]:
    """The memories that there are of these records, locked, by primary key."""
    rows = Registro.objects.using(using).select_for_update()
    return {row.objeto: row for row in rows.filter(entidad=entity.name, objeto__in=pks).order_by("pk")}


def pk_text(model: type[models.Model], pk: Any) -> str:
    """The primary key as its column reads it back: "7" and 7 are one row."""
    return str(model._meta.pk.to_python(pk))  # noqa: SLF001 - Django's documented model API
