"""Deleting what nobody needs any more, in small transactions, so that nobody waits for a lock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _

from .content import CHUNK
from .models import Mensaje, Registro

KEPT_DAYS = 30
LONGEST_DAYS = 36500


def purge(using: str, *, sent: int, skipped: int | None = None, tombstones: int | None = None) -> dict[str, int]:
    """Delete messages that were sent, messages that were skipped, and tombstones, older than so many days.

    None keeps them all. A tombstone takes with it which `Operation-Id` created the record: keep tombstones for longer
    than any message may wait before it is replayed.

    Returns:
        The rows deleted, for example `{"enviados": 500, "omitidos": 0, "lapidas": 0}`.
    """
    messages = Mensaje.objects.using(using)
    unsendable = messages.filter(enviado_en__isnull=True).exclude(motivo_fallo="")
    gone = Registro.objects.using(using).filter(borrado=True, visto_en__isnull=False)
    return {
        "enviados": _delete(messages.filter(enviado_en__lt=_before(sent))),
        "omitidos": 0 if skipped is None else _delete(unsendable.filter(creado__lt=_before(skipped))),
        "lapidas": 0 if tombstones is None else _delete(gone.filter(modificado_en__lt=_before(tombstones))),
    }


def purge_chunk(using: str, sent: int) -> int:
    """Delete messages that were sent more than `sent` days ago, at most `CHUNK`; gives how many."""
    old = Mensaje.objects.using(using).filter(enviado_en__lt=_before(sent))
    # In the order of the index of unsent messages, so that nothing is read where nothing is old.
    some = list(old.order_by("enviado_en", "cola", "id").values_list("pk", flat=True)[:CHUNK])
    return old.filter(pk__in=some).delete()[0] if some else 0


def _before(days: int) -> datetime:
    if not 0 <= days <= LONGEST_DAYS:
        raise ValueError(_("use a number of days from 0 to %(most)d.") % {"most": LONGEST_DAYS})
    return timezone.now() - timedelta(days=days)


def _delete(rows: models.QuerySet[Any]) -> int:
    deleted, last = 0, 0
    while some := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        # The condition again: a tombstone may have come back to life in between.
        deleted += rows.filter(pk__in=some).delete()[0]
        last = some[-1]
    return deleted
