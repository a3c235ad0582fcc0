"""The lists: of given ids or keys, of everything, and of what changed since an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from integracion_dynamics.content import canonical_id, pks_by_key, records
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, instant, parse_instant, usable_text
from integracion_dynamics.memory import pk_text
from integracion_dynamics.models import Registro
from integracion_dynamics.positions import assign_positions

from . import cursor as cursors
from .errors import invalid_parameter
from .records import Record, database, existing, memories, tombstone

POSITIONS = 5000
"""How many changes a page gives positions, at least."""
_CHANGES = "cambios"


def page(results: list[dict[str, Any]], following: str | None) -> dict[str, Any]:
    """The shape that every list answers."""
    return {"resultados": results, "siguiente": following}


def by_ids(entity: Entity, ids: Sequence[str]) -> dict[str, Any]:
    """The records and tombstones with these ids, in their order; an id never seen is absent."""
    wanted = list(dict.fromkeys(pk for text in ids if (pk := canonical_id(entity, text)) is not None))
    remembered = memories(entity, wanted)
    return page(_shown(wanted, existing(entity, wanted, remembered), remembered), None)


def by_keys(entity: Entity, keys: Sequence[str]) -> dict[str, Any]:
    """The records that hold exactly these keys now, in their order; a key that no record holds is absent."""
    wanted = [key for key in dict.fromkeys(keys) if usable_text(key)]
    pks = pks_by_key(entity, wanted, database(entity))
    found = existing(entity, list(pks.values()), memories(entity, pks.values()))
    # A record that was given another key between the two reads no longer holds the key that was asked for.
    return page([found[pk].as_json() for key, pk in pks.items() if pk in found and found[pk].content.key == key], None)


def everything(entity: Entity, cursor: str, limit: int) -> dict[str, Any]:
    """A page of the host's table in the order of the primary key, which no change of a record moves."""
    rows = records(entity, database(entity)).order_by("pk")
    if cursor:
        (last,) = cursors.decode(cursor, "id", str)
        if canonical_id(entity, last) is None:
            raise invalid_parameter("cursor", _("use 'siguiente' of the page before."))
        rows = rows.filter(pk__gt=last)
    pks = [pk_text(entity.model, pk) for pk in rows.values_list("pk", flat=True)[: limit + 1]]
    found = existing(entity, pks[:limit], memories(entity, pks[:limit]))
    following = cursors.encode("id", pks[limit - 1]) if len(pks) > limit else None
    return page([record.as_json() for record in found.values()], following)


def changed_since(entity: Entity, since: datetime, cursor: str, limit: int) -> dict[str, Any]:
    """A page of what was first seen committed at or after an instant, tombstones included, oldest first.

    What commits later comes in a later list, whatever its version: a reader that asks with the instant at which it
    began to read the last list misses nothing.
    """
    using = database(entity)
    more = assign_positions(entity, using, max(limit, POSITIONS))
    changed = _changed(entity, using, since, cursor, limit + 1)
    remembered = {memory.objeto: memory for memory in changed[:limit]}
    results = _shown(list(remembered), existing(entity, list(remembered), remembered), remembered)
    if not changed or not (more or len(changed) > limit):
        return page(results, None)
    end = changed[:limit][-1]
    return page(results, cursors.encode(_CHANGES, instant(end.visto_en or since), instant(end.version), end.pk))


def _changed(entity: Entity, using: str, since: datetime, cursor: str, limit: int) -> list[Registro]:
    """The first changes from an instant or a cursor on: each query is one range of the index, however deep."""
    rows = Registro.objects.using(using).filter(entidad=entity.name).order_by("visto_en", "version", "id")
    seen, version, last = _position(cursor) if cursor else (None, None, None)
    if seen is None or seen < since:
        return list(rows.filter(visto_en__gte=since)[:limit])
    # What is left of the cursor's own position, which a chunk of changes shares, then what comes after.
    left = rows.filter(Q(version__gt=version) | Q(version=version, id__gt=last), visto_en=seen)
    changed = list(left[:limit])
    return changed + list(rows.filter(visto_en__gt=seen)[: limit - len(changed)])


def _position(cursor: str) -> tuple[datetime, datetime, int]:
    seen, version, last = cursors.decode(cursor, _CHANGES, str, str, int)
    try:
        position = parse_instant(seen), parse_instant(version), int(last)
    except UnusableValueError:
        position = None
    if position is None or not 0 <= last < 2**63:
        raise invalid_parameter("cursor", _("use 'siguiente' of the page before."))
    return position


def _shown(ids: Sequence[str], found: Mapping[str, Record], remembered: Mapping[str, Registro]) -> list[dict[str, Any]]:
    """A memory without a tombstone whose record is missing shows nothing: how it went was never announced."""
    shown = []
    for pk in ids:
        if pk in found:
            shown.append(found[pk].as_json())
        elif pk in remembered and remembered[pk].borrado:
            shown.append(tombstone(remembered[pk]))
    return shown
