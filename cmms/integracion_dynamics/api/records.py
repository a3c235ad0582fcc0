"""Records and tombstones as the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import router

from integracion_dynamics.content import Content, by_pk, canonical_id, chunks
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import instant
from integracion_dynamics.memory import locked
from integracion_dynamics.models import Registro


@dataclass(frozen=True)
class Record:
    """A record of the host with the app's memory of it, which is blank until its first announced change."""

    content: Content
    memory: Registro

    @property
    def etag(self) -> str:
        """A strong ETag over content and revision: also a change that no signal announced moves it."""
        tagged = f"{self.memory.revision}:{self.content.fingerprint}"
        return f'"{hashlib.sha256(tagged.encode()).hexdigest()[:32]}"'

    def as_json(self) -> dict[str, Any]:
        """The contract's form; a record never announced has the oldest version there is, 1970."""
        return {
            "id": self.content.pk,
            "clave": self.content.key,
            "etag": self.etag,
            "version": instant(self.memory.version),
            "revision": self.memory.revision,
            "modificado_en": instant(self.memory.modificado_en),
            "modificado_por": self.memory.modificado_por,
            "borrado": False,
            "operaciones": self.memory.operaciones,
            "campos": self.content.fields,
        }


def tombstone(memory: Registro) -> dict[str, Any]:
    """A record that is gone; `clave` is the last key that it had."""
    return {"id": memory.objeto, "clave": memory.clave, "borrado": True, "version": instant(memory.version)}


def database(entity: Entity) -> str:
    """The alias that the entity is read from and written to: a replica may lag behind an ETag."""
    return router.db_for_write(entity.model)


def memories(entity: Entity, ids: Collection[str]) -> dict[str, Registro]:
    """What the app remembers of these records, by id, tombstones included."""
    rows = Registro.objects.using(database(entity)).filter(entidad=entity.name)
    return {row.objeto: row for some in chunks(ids) for row in rows.filter(objeto__in=some)}


def existing(entity: Entity, ids: Collection[str], remembered: Mapping[str, Registro]) -> dict[str, Record]:
    """The records that exist among these ids, in their order.

    The memories were read before: should a record change in between, its version is too old, never too new.
    """
    contents = by_pk(entity, ids, database(entity))
    return {
        pk: Record(contents[pk], remembered.get(pk) or Registro(entidad=entity.name, objeto=pk))
        for pk in ids
        if pk in contents
    }


def find_one(entity: Entity, text: str, *, lock: bool = False) -> Record | None:
    """The record with this id, if it exists; `lock` keeps its memory as it is until the transaction ends."""
    pk = canonical_id(entity, text)
    if pk is None:
        return None
    remembered = locked(entity, [pk], database(entity)) if lock else memories(entity, [pk])
    return existing(entity, [pk], remembered).get(pk)
