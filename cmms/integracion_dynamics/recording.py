"""Announcing changes: one row of the outbox per change, in the transaction that makes the change.

A record's row in `Registro` is locked before its content is read, so that for one record the order of messages,
of versions and of commits is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from . import context, observed
from .config import entities
from .content import CHUNK, Content, by_pk, chunks, pks_by_key
from .entities import Entity, announced_by
from .fields import instant
from .memory import begin, locked, pk_text
from .models import Mensaje, Registro
from .partitions import partition_of

_STATE = ["clave", "revision", "version", "modificado_en", "modificado_por", "borrado", "visto_en", "huella"]


def registrar_cambios(changed: models.QuerySet[Any] | Iterable[models.Model], *, using: str | None = None) -> int:
    """Announce what a bulk operation changed.

    Call it in the transaction of the bulk operation, after it. Records whose content was already announced
    write nothing; instances that are no longer in the database are announced as deleted. An instance without a
    primary key, as `bulk_create` leaves it on some databases, is found by its business key.

    Returns:
        The number of messages written.

    Raises:
        ValueError: an object's model belongs to no entity of INTEGRACION_DYNAMICS.
    """
    if isinstance(changed, models.QuerySet):
        # Where the queryset names no database it is read from the one that is written: a replica may lag.
        database = using or getattr(changed, "_db", None) or router.db_for_write(changed.model)
        with transaction.atomic(using=database):
            return sum(
                _announce_all(entity, ids_of_rows(entity, changed.using(database)), database)
                for entity in _concerned(changed.model)
            )
    of_models: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for one in changed:
        of_models[type(one)].append(one)
    written = 0
    for model, some in of_models.items():
        database = using or router.db_for_write(model)
        with transaction.atomic(using=database):
            for entity in _concerned(model):
                written += _announce_all(entity, ids_of_instances(entity, some, database), database)
    return written


def _concerned(model: type[models.Model]) -> list[Entity]:
    concerned = [entity for entity in entities().values() if announced_by(entity, model)]
    if not concerned:
        raise ValueError(f"{model.__name__} belongs to no entity of INTEGRACION_DYNAMICS: add it to ENTITIES.")
    return concerned


def _announce_all(entity: Entity, pks: Collection[Any], database: str) -> int:
    return sum(announce(entity, some, database) for some in chunks(pks))


def ids_of_rows(entity: Entity, rows: models.QuerySet[Any]) -> list[Any]:
    """The primary keys of the entity's records that these rows, of a related model too, belong to."""
    if issubclass(rows.model, entity.table):
        return list(rows.values_list(entity.pk_attribute, flat=True))
    # A concrete parent holds some of the entity's columns; its primary key is one of them.
    parents = {f"{rows.model._meta.pk.name}__in": rows.values("pk")}  # noqa: SLF001 - Django's documented model API
    return list(models.QuerySet(entity.model, using=rows.db).filter(**parents).values_list("pk", flat=True))


def ids_of_instances(entity: Entity, instances: Collection[models.Model], using: str) -> list[Any]:
    """The primary keys of the entity's records that these instances, of a related model too, belong to."""
    pks, keys, parents = [], [], []
    for one in instances:
        if not isinstance(one, entity.table):
            parents.append(one.pk)
        elif (pk := getattr(one, entity.pk_attribute)) is not None:
            pks.append(pk)
        else:
            keys.append(getattr(one, entity.key_attribute))
    if keys:
        pks += pks_by_key(entity, keys, using).values()
    if parents:
        of = type(next(one for one in instances if not isinstance(one, entity.table)))
        for some in chunks(parents):
            pks += ids_of_rows(entity, models.QuerySet(of, using=using).filter(pk__in=some))
    return pks


def announce(
    entity: Entity,
    pks: Collection[Any],
    using: str,
    last_keys: Mapping[str, str] | None = None,
    *,
    repeat: bool = False,
) -> int:
    """Bring the memory of these records up to date and write a message for each one that changed.

    Args:
        entity: the entity of the records.
        pks: primary keys of the host's rows, at most `CHUNK`; a row that is gone counts as deleted.
        using: the database alias.
        last_keys: by primary key as text, the business key of a deleted record that was never announced.
        repeat: announce also the records whose content was already announced.

    Returns:
        The number of messages written.
    """
    with transaction.atomic(using=using, savepoint=False):
        texts = [pk_text(entity.model, pk) for pk in pks]
        return _Announcement(entity, texts, using, last_keys or {}).write(repeat=repeat)


class _Announcement:
    def __init__(self, entity: Entity, pks: list[str], using: str, last_keys: Mapping[str, str]) -> None:
        self.entity = entity
        self.using = using
        self.author = Registro.Autor.INTEGRACION if context.by_integration() else Registro.Autor.PERSONA
        self.changed: list[Registro] = []
        self.messages: list[Mensaje] = []
        self.last_keys = last_keys
        self.rows = locked(entity, pks, using)
        unknown = [pk for pk in pks if pk not in self.rows]
        # A row that is hidden, or that has no key, gets no memory.
        if there := {*by_pk(entity, unknown, using), *(last_keys.keys() & set(unknown))}:
            self.rows |= begin(entity, there, using)
        # After the locks: a change that waited for another is later than the other.
        self.now = timezone.now()
        # Read after the locks: what another transaction announced meanwhile is then seen here as well.
        self.contents = by_pk(entity, list(self.rows), using)

    def write(self, *, repeat: bool) -> int:
        for pk, row in self.rows.items():
            content = self.contents.get(pk)
            if content is None:
                self._retire(row)
            elif repeat or row.borrado or not row.revision or row.huella != content.fingerprint:
                self._take(row, content)
        self._store()
        Mensaje.objects.using(self.using).bulk_create(self.messages, batch_size=CHUNK)
        if self.messages:
            observed.announced.send_robust(Entity, entity=self.entity.name, count=len(self.messages))
        return len(self.messages)

    def _retire(self, row: Registro) -> None:
        if row.borrado or not (row.revision or row.objeto in self.last_keys):
            return
        row.clave = row.clave or self.last_keys.get(row.objeto, "")
        row.huella, row.borrado = "", True
        self._advance(row, "deleted", {})

    def _take(self, row: Registro, content: Content) -> None:
        row.clave, row.huella, row.borrado = content.key, content.fingerprint, False
        self._advance(row, "upserted", {"fields": content.fields})

    def _advance(self, row: Registro, what: str, data: dict[str, Any]) -> None:
        row.revision += 1
        row.visto_en = None
        row.version = next_version(self.now, row.version)
        row.modificado_en = self.now
        row.modificado_por = self.author
        self.changed.append(row)
        said = {
            "id": row.objeto,
            "key": row.clave,
            "version": instant(row.version),
            "origin": "integration" if self.author == Registro.Autor.INTEGRACION else "person",
        }
        self.messages.append(
            Mensaje(
                entidad=self.entity.name,
                cola=self.entity.queue,
                particion=partition_of(self.entity.name, row.objeto),
                clave=row.clave,
                tipo=f"energy.{self.entity.event}.{what}",
                cuerpo={**said, **data},
                traceparent=context.traceparent(),
                creado=self.now,
            )
        )

    def _store(self) -> None:
        if len(self.changed) == 1:
            self.changed[0].save(using=self.using, update_fields=_STATE)
            return
        # An upsert of rows that exist and are locked: one statement, where `bulk_update` builds a CASE per value.
        for row in self.changed:
            row.pk = row.creado_por = None  # the stored row keeps its own, and only one unique column is in conflict
        target = transaction.get_connection(self.using).features.supports_update_conflicts_with_target
        Registro.objects.using(self.using).bulk_create(
            self.changed,
            batch_size=CHUNK,
            update_conflicts=True,
            update_fields=_STATE,
            unique_fields=["entidad", "objeto"] if target else None,
        )


def next_version(now: datetime, previous: datetime) -> datetime:
    """Per record strictly rising, also when the clock stands still or goes back."""
    return max(now, previous + timedelta(microseconds=1))
