"""Announcing changes: one row of the outbox per change, in the transaction that makes the change.

A record's row in `Registro` is locked before its content is read, so that for one key the order of messages,
of versions and of commits is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from . import context
from .config import current
from .content import CHUNK, Content, by_pk, chunks
from .entities import Entity
from .fields import EPOCH, instant
from .models import Mensaje, Registro

# Former keys that are kept of a record: it takes so many renames before the integration learns of one to lose it.
FORMER_KEYS = 20
# Writes of the integration that are kept by name: it asks about one only as long as it has not settled that.
OPERATIONS = 20
_STATE = [
    "objeto",
    "revision",
    "version",
    "modificado_en",
    "modificado_por",
    "borrado",
    "renombrado_a",
    "claves_anteriores",
    "operaciones",
    "huella",
]


def registrar_cambios(changed: models.QuerySet[Any] | Iterable[models.Model], *, using: str | None = None) -> int:
    """Announce what a bulk operation changed, and return how many messages were written.

    Call it in the transaction of the bulk operation, after it. Records whose content was already announced
    write nothing; instances that are no longer in the database are announced as deleted.

    Raises:
        ValueError: an object's model belongs to no entity of INTEGRACION_DYNAMICS.
    """
    if isinstance(changed, models.QuerySet):
        using = using or changed.db
        pks: dict[type[models.Model], list[Any]] = {changed.model: list(changed.values_list("pk", flat=True))}
    else:
        pks = defaultdict(list)
        for one in changed:
            pks[type(one)].append(one.pk)
    written = 0
    for model, of_model in pks.items():
        entities = current().entities_of(model)
        if not entities:
            raise ValueError(f"{model.__name__} belongs to no entity of INTEGRACION_DYNAMICS: add it to ENTITIES.")
        database = using or router.db_for_write(model)
        with transaction.atomic(using=database):
            written += sum(announce(entity, some, database) for entity in entities for some in chunks(of_model))
    return written


def announce(entity: Entity, pks: Collection[Any], using: str, former_keys: Mapping[str, str] | None = None) -> int:
    """Bring the memory of these records up to date and write a message for each one that changed.

    Args:
        entity: the entity of the records.
        pks: primary keys of the host's rows, at most `CHUNK`; a row that is gone counts as deleted.
        using: the database alias.
        former_keys: by primary key as text, the business key that a record without memory had before.
    """
    with transaction.atomic(using=using):
        texts = [pk_text(entity.model, pk) for pk in pks]
        announcement = _Announcement(entity, texts, using, former_keys or {})
        return announcement.write()


def note_operation(entity: Entity, key: str, pk: str, operation: str, using: str) -> None:
    """Keep the integration's name of a write with the record that took it, in the write's own transaction."""
    rows = Registro.objects.using(using).select_for_update()
    row = rows.filter(entidad=entity.name, clave=key, objeto=pk, borrado=False).first()
    if row is not None:
        row.operaciones = [*(row.operaciones or ()), operation][-OPERATIONS:]
        row.save(using=using, update_fields=["operaciones"])


class _Former:
    """What a record takes along to its new key."""

    def __init__(self, row: Registro, pk: str) -> None:
        self.keys = [*row.claves_anteriores, row.clave][-FORMER_KEYS:]
        self.operations = row.operaciones if row.objeto == pk else None


class _Announcement:
    def __init__(self, entity: Entity, pks: list[str], using: str, former_keys: Mapping[str, str]) -> None:
        self.entity = entity
        self.using = using
        self.now = timezone.now()
        self.author = Registro.Autor.INTEGRACION if context.by_integration() else Registro.Autor.PERSONA
        self.changed: dict[str, Registro] = {}
        self.messages: list[Mensaje] = []
        remembered = list(self._locked(objeto__in=pks))
        self.rows = {row.clave: row for row in remembered}
        self.keys_before = {**former_keys, **{row.objeto: row.clave for row in remembered}}
        found = by_pk(entity, pks, using)
        self.contents = {pk: found[pk] for pk in pks if pk in found}
        self._remember({content.key for content in self.contents.values()} | set(self.keys_before.values()))
        self.gone = [pk for pk in pks if pk not in self.contents and pk in self.keys_before]

    def write(self) -> int:
        renamed = {
            pk: self.keys_before[pk]
            for pk, content in self.contents.items()
            if self.keys_before.get(pk, content.key) != content.key
        }
        former = {pk: _Former(self.rows[old_key], pk) for pk, old_key in renamed.items()}
        for pk in self.gone:
            row = self.rows[self.keys_before[pk]]
            if row.objeto in ("", pk) and not (row.borrado and row.revision):
                self._retire(row, next_version(self.now, row.version))
                self._message(row, "deleted", {})
        # A rename is later than all that was said of either key: else a record could seem to come to a key before
        # the one that had it left, where two web servers' clocks differ.
        involved = {*renamed.values(), *(self.contents[pk].key for pk in renamed)}
        moment = next_version(self.now, max((self.rows[key].version for key in involved), default=EPOCH))
        # All old keys are let go before any new key is taken: two records may have exchanged theirs.
        for pk, old_key in renamed.items():
            row = self.rows[old_key]
            if row.objeto in ("", pk):
                self._retire(row, moment, successor=self.contents[pk].key)
        for pk, content in self.contents.items():
            row = self.rows[content.key]
            if pk in renamed:
                self._take(row, content, moment, former[pk])
                self._message(row, "renamed", {"old_key": renamed[pk], "fields": content.fields})
            elif row.borrado or not row.revision or row.huella != content.fingerprint:
                self._take(row, content, next_version(self.now, row.version))
                self._message(row, "upserted", {"fields": content.fields})
            elif row.objeto != pk:
                row.objeto, row.operaciones = pk, None
                self.changed[row.clave] = row
        self._store()
        Mensaje.objects.using(self.using).bulk_create(self.messages, batch_size=CHUNK)
        return len(self.messages)

    def _locked(self, **criteria: object) -> models.QuerySet[Registro]:
        rows = Registro.objects.using(self.using).select_for_update()
        return rows.filter(entidad=self.entity.name, **criteria).order_by("pk")

    def _remember(self, keys: set[str]) -> None:
        """Lock the rows of these keys, and create the missing ones."""
        wanted = keys - self.rows.keys()
        if wanted:
            self.rows.update({row.clave: row for row in self._locked(clave__in=wanted)})
        missing = sorted(wanted - self.rows.keys())
        if missing:
            # Another transaction may create the same rows now: whoever is second takes the first's.
            blank = [
                Registro(entidad=self.entity.name, clave=key, version=EPOCH, modificado_en=self.now) for key in missing
            ]
            Registro.objects.using(self.using).bulk_create(blank, ignore_conflicts=True)
            self.rows.update({row.clave: row for row in self._locked(clave__in=missing)})

    def _store(self) -> None:
        rows = list(self.changed.values())
        if len(rows) == 1:
            rows[0].save(using=self.using, update_fields=_STATE)
            return
        # An upsert of rows that exist and are locked: one statement, where `bulk_update` builds a CASE per value.
        for row in rows:
            row.pk = None
        target = transaction.get_connection(self.using).features.supports_update_conflicts_with_target
        Registro.objects.using(self.using).bulk_create(
            rows,
            batch_size=CHUNK,
            update_conflicts=True,
            update_fields=_STATE,
            unique_fields=["entidad", "clave"] if target else None,
        )

    def _retire(self, row: Registro, version: datetime, successor: str = "") -> None:
        row.objeto, row.huella, row.borrado, row.renombrado_a = "", "", True, successor
        row.operaciones = None
        self._advance(row, version)

    def _take(self, row: Registro, content: Content, version: datetime, former: _Former | None = None) -> None:
        if row.objeto != content.pk:
            row.claves_anteriores = former.keys if former else []
            # A record that comes from nowhere to a key that was used before may be one that was lost sight of.
            row.operaciones = former.operations if former else None if row.revision else []
        row.objeto, row.huella, row.borrado = content.pk, content.fingerprint, False
        self._advance(row, version)

    def _advance(self, row: Registro, version: datetime) -> None:
        row.revision += 1
        row.version = version
        row.modificado_en = self.now
        row.modificado_por = self.author
        self.changed[row.clave] = row

    def _message(self, row: Registro, what: str, data: dict[str, Any]) -> None:
        origin = "integration" if row.modificado_por == Registro.Autor.INTEGRACION else "person"
        self.messages.append(
            Mensaje(
                entidad=self.entity.name,
                cola=self.entity.queue,
                clave=row.clave,
                tipo=f"energy.{self.entity.event}.{what}",
                cuerpo={"key": row.clave, "version": instant(row.version), "origin": origin, **data},
                traceparent=context.traceparent(),
                creado=self.now,
            )
        )


def pk_text(model: type[models.Model], pk: Any) -> str:
    """The primary key as its column reads it back: "7" and 7 are one row."""
    return str(model._meta.pk.to_python(pk))  # noqa: SLF001 - Django's documented model API


def next_version(now: datetime, previous: datetime) -> datetime:
    """Per record strictly rising, also when the clock stands still or goes back."""
    return max(now, previous + timedelta(microseconds=1))
