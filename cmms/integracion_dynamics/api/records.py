"""Records and tombstones as the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import router

from integracion_dynamics.content import Content, by_key, chunks
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import EPOCH, instant, usable_text
from integracion_dynamics.models import Registro


@dataclass(frozen=True)
class Record:
    """A record of the host with the app's memory of it, which is None until its first announced change."""

    content: Content
    memory: Registro | None

    @property
    def etag(self) -> str:
        """A strong ETag over content and revision: also a change that no signal announced moves it."""
        revision = self.memory.revision if self.memory else 0
        return f'"{hashlib.sha256(f"{revision}:{self.content.fingerprint}".encode()).hexdigest()[:32]}"'

    def as_json(self) -> dict[str, Any]:
        """The contract's form; a record never announced has the oldest version there is, 1970."""
        memory = self.memory
        return {
            "clave": self.content.key,
            "etag": self.etag,
            "version": instant(memory.version if memory else EPOCH),
            "modificado_en": instant(memory.modificado_en if memory else EPOCH),
            "modificado_por": memory.modificado_por if memory else Registro.Autor.PERSONA.value,
            "borrado": False,
            "id": self.content.pk,
            **_names(memory),
            **self._operations(),
            "campos": self.content.fields,
        }

    def _operations(self) -> dict[str, Any]:
        """Left out where the app may have lost sight of the record: then nothing can be concluded from a gap."""
        memory = self.memory
        if memory is None or memory.objeto != self.content.pk or memory.operaciones is None:
            return {}
        return {"operaciones": memory.operaciones}


def tombstone(memory: Registro) -> dict[str, Any]:
    """A record that is gone, or has another key now."""
    return {"clave": memory.clave, "borrado": True, "version": instant(memory.version), **_names(memory)}


def _names(memory: Registro | None) -> dict[str, Any]:
    """`renombrado_a`: the key that this key's previous holder went to; `claves_anteriores`: what its last one had."""
    if memory is None:
        return {}
    names = {"renombrado_a": memory.renombrado_a, "claves_anteriores": memory.claves_anteriores}
    return {name: known for name, known in names.items() if known}


def database(entity: Entity) -> str:
    """The alias that the entity is read from and written to: a replica may lag behind an ETag."""
    return router.db_for_write(entity.model)


def memories(entity: Entity, keys: Collection[str], *, lock: bool = False) -> dict[str, Registro]:
    """What the app remembers of these keys, tombstones included."""
    rows = Registro.objects.using(database(entity))
    if lock:
        rows = rows.select_for_update()
    found = {row.clave: row for some in chunks(keys) for row in rows.filter(entidad=entity.name, clave__in=some)}
    return {key: found[key] for key in keys if key in found and found[key].revision}


def find(entity: Entity, keys: Collection[str], *, lock: bool = False) -> tuple[dict[str, Record], dict[str, Registro]]:
    """The records that exist among these keys, and the memories of all.

    The memory is read first: should the record change in between, its version is too old, never too new.
    """
    usable = [key for key in dict.fromkeys(keys) if usable_text(key)]
    remembered = memories(entity, usable, lock=lock)
    contents = by_key(entity, usable, database(entity))
    live = {key: memory for key, memory in remembered.items() if not memory.borrado}
    return {key: Record(content, live.get(key)) for key, content in contents.items()}, remembered


def find_one(entity: Entity, key: str, *, lock: bool = False) -> Record | None:
    """The record with this key, if it exists."""
    return find(entity, [key], lock=lock)[0].get(key)
