"""The three lists: by keys, everything by key, and what changed since an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from integracion_dynamics.content import by_pk, records, usable_pks
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, instant, parse_instant, usable_text
from integracion_dynamics.models import Registro

from . import cursor as cursors
from .errors import invalid_parameter
from .records import Record, database, find, tombstone


def page(results: list[dict[str, Any]], following: str | None) -> dict[str, Any]:
    """The shape that every list answers."""
    return {"resultados": results, "siguiente": following}


def by_keys(entity: Entity, keys: Sequence[str]) -> dict[str, Any]:
    """The records and tombstones of these keys, in their order; a key never seen is absent."""
    found, remembered = find(entity, keys)
    return page(_shown(keys, found, remembered), None)


def by_ids(entity: Entity, ids: Sequence[str]) -> dict[str, Any]:
    """The records with these primary keys, whatever their keys are now; one that is gone is absent."""
    wanted = usable_pks(entity, [text for text in dict.fromkeys(ids) if usable_text(text)])
    keys = [content.key for content in by_pk(entity, wanted, database(entity)).values()]
    found, _ = find(entity, keys)
    return page([record.as_json() for record in found.values() if record.content.pk in ids], None)


def everything(entity: Entity, cursor: str, limit: int) -> dict[str, Any]:
    """A page of the host's table in the order of the key; inserts and deletes elsewhere do not move it."""
    attribute = entity.key_attribute
    rows = records(entity, database(entity)).order_by(attribute)
    if cursor:
        (last,) = cursors.decode(cursor, "clave", str)
        if not usable_text(last):
            raise invalid_parameter("cursor", "use 'siguiente' of the page before.")
        rows = rows.filter(**{f"{attribute}__gt": last})
    keys = [str(key) for key in rows.values_list(attribute, flat=True)[: limit + 1]]
    found, _ = find(entity, keys[:limit])
    following = cursors.encode("clave", keys[limit - 1]) if len(keys) > limit else None
    return page([record.as_json() for record in found.values()], following)


def changed_since(entity: Entity, since: datetime, cursor: str, limit: int) -> dict[str, Any]:
    """A page of what was announced at or after an instant, tombstones included, oldest first.

    Versions are given before the commit: ask again with an overlap as long as the host's longest transaction.
    """
    rows = Registro.objects.using(database(entity)).filter(entidad=entity.name, revision__gt=0, version__gte=since)
    if cursor:
        text, last = cursors.decode(cursor, "version", str, int)
        try:
            version = parse_instant(text)
        except UnusableValueError:
            version = None
        if version is None or not 0 <= last < 2**63:
            raise invalid_parameter("cursor", "use 'siguiente' of the page before.")
        rows = rows.filter(Q(version__gt=version) | Q(version=version, id__gt=last))
    changed = list(rows.order_by("version", "id")[: limit + 1])
    found, remembered = find(entity, [memory.clave for memory in changed[:limit]])
    results = _shown([memory.clave for memory in changed[:limit]], found, remembered)
    last_row = changed[limit - 1] if len(changed) > limit else None
    return page(results, cursors.encode("version", instant(last_row.version), last_row.pk) if last_row else None)


def _shown(keys: Sequence[str], found: dict[str, Record], remembered: dict[str, Registro]) -> list[dict[str, Any]]:
    """A memory without a tombstone whose record is missing shows nothing: how it went was never announced."""
    shown = []
    for key in dict.fromkeys(keys):
        if key in found:
            shown.append(found[key].as_json())
        elif key in remembered and remembered[key].borrado:
            shown.append(tombstone(remembered[key]))
    return shown
