"""Comparing records with what was last announced, for the command `anunciar` and the admin."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from django.utils.translation import gettext_noop

from .content import by_pk
from .entities import Entity
from .models import Registro


class Difference(Enum):
    """Why a record is announced."""

    NEW = gettext_noop("never announced")
    CHANGED = gettext_noop("changed since")
    GONE = gettext_noop("gone since")
    SAME = gettext_noop("as announced")


def compare(entity: Entity, pks: Collection[str], using: str) -> dict[str, Difference]:
    """How each of these records compares, by id; tombstones and what never was are left out."""
    rows = Registro.objects.using(using).filter(entidad=entity.name, objeto__in=pks)
    remembered = {row.objeto: row for row in rows}
    contents = by_pk(entity, pks, using)
    found = {}
    for pk in pks:
        memory, content = remembered.get(pk), contents.get(pk)
        if content is None:
            if memory is not None and memory.revision and not memory.borrado:
                found[pk] = Difference.GONE
        elif memory is None or not memory.revision or memory.borrado:
            found[pk] = Difference.NEW
        else:
            found[pk] = Difference.SAME if memory.huella == content.fingerprint else Difference.CHANGED
    return found
