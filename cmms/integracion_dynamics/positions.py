"""When each change was first seen committed: the order of the list of changes.

A version is given before its transaction commits, so an order by versions has gaps that fill later. The position is
given afterwards, to rows that are visible to others: each is later than all that were given before, so a reader that
goes on from any position misses nothing, however long a transaction was open.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models, transaction

from .config import current
from .content import chunks
from .database import after_deadlocks, bounded, database_now
from .entities import Entity
from .fields import EPOCH
from .models import Registro, Relevo

_LOCK = "posiciones"
_STEP = timedelta(microseconds=1)


def assign_positions(entity: Entity, using: str, limit: int) -> bool:
    """Give the committed changes that have no position one, at most `limit`, and say whether more may remain.

    Rows that an open transaction has locked wait for the next call.
    """
    unseen = Registro.objects.using(using).filter(entidad=entity.name, visto_en__isnull=True, revision__gt=0)
    if not unseen.exists():
        return False
    return after_deadlocks(lambda: _assign(entity, unseen, using, limit))


def _assign(entity: Entity, unseen: models.QuerySet[Registro], using: str, limit: int) -> bool:
    skip = transaction.get_connection(using).features.has_select_for_update_skip_locked
    # Others hold the lock for milliseconds: waiting for it is part of the work.
    patience = current().statement_timeout
    with bounded(using, lock=patience, statement=patience):
        # One at a time: positions then become visible in their order.
        leases = Relevo.objects.using(using)
        leases.bulk_create([Relevo(nombre=_LOCK)], ignore_conflicts=True)
        leases.select_for_update().get(nombre=_LOCK)
        # By all columns of the index, or PostgreSQL reads and sorts every change that has no position.
        chosen = unseen.select_for_update(skip_locked=skip).order_by("visto_en", "version", "id")
        pks = list(chosen.values_list("pk", flat=True)[:limit])
        moment = max(database_now(using), _newest(entity, using) + _STEP)
        # A position for each chunk, so that a page never has more than a chunk of equal ones to step over.
        for number, some in enumerate(chunks(pks)):
            Registro.objects.using(using).filter(pk__in=some).update(visto_en=moment + number * _STEP)
    return len(pks) == limit


def _newest(entity: Entity, using: str) -> datetime:
    rows = Registro.objects.using(using).filter(entidad=entity.name, visto_en__isnull=False)
    newest = rows.order_by("-visto_en").values_list("visto_en", flat=True).first()
    return newest or EPOCH
