"""Moving the outbox to Service Bus: unsent rows in order, marked as the broker takes them.

A crash between sending and marking sends again with the same MessageId, which the queue's duplicate detection
swallows. One relay works at a time by a lease; should two overlap, the same holds.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from .models import Mensaje, Relevo
from .sender import Accepted, Outgoing, Sender, UnavailableError

logger = logging.getLogger("integracion_dynamics.relay")

PAGE = 500
LEASE = timedelta(seconds=15)
_LEASE_NAME = "outbox"
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


@dataclass
class _Outage:
    """A queue that failed: no attempt before `until` by the monotonic clock, in seconds."""

    until: float
    pause: float


@dataclass(frozen=True)
class Progress:
    """What one pass did, in messages; `held` is False when another relay has the lease."""

    sent: int = 0
    refused: int = 0
    held: bool = True


@dataclass
class Relay:
    """Sends what is unsent; `using` is the database alias of the outbox."""

    sender: Sender
    using: str = DEFAULT_DB_ALIAS
    clock: Callable[[], float] = time.monotonic
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4()}")
    _outages: dict[str, _Outage] = field(default_factory=dict)

    def run_once(self) -> Progress:
        """One pass over the unsent rows, a page for each queue that is not being spared after a failure."""
        if not self.acquire_lease():
            return Progress(held=False)
        sent = refused = 0
        for queue in list(self.unsent().order_by().values_list("cola", flat=True).distinct()):
            if queue in self._outages and self.clock() < self._outages[queue].until:
                continue
            if not self.acquire_lease():  # it may have expired while a queue answered slowly
                return Progress(sent, refused, held=False)
            of_queue = self._send(queue, list(self.unsent().filter(cola=queue).order_by("pk")[:PAGE]))
            sent, refused = sent + of_queue.sent, refused + of_queue.refused
        return Progress(sent, refused)

    def unsent(self) -> QuerySet[Mensaje]:
        """The rows still to be sent; never "everything after the last id", for ids commit out of order."""
        return Mensaje.objects.using(self.using).filter(enviado_en__isnull=True, motivo_fallo="")

    def acquire_lease(self) -> bool:
        """Take or renew the lease; False while another relay holds it."""
        now = timezone.now()
        leases = Relevo.objects.using(self.using)
        mine = {"titular": self.holder, "vence": now + LEASE}
        free = Q(titular=self.holder) | Q(vence__lt=now)
        if leases.filter(free, nombre=_LEASE_NAME).update(**mine):
            return True
        leases.bulk_create([Relevo(nombre=_LEASE_NAME, **mine)], ignore_conflicts=True)
        return leases.filter(nombre=_LEASE_NAME, titular=self.holder).exists()

    def release_lease(self) -> None:
        """Let another relay work at once."""
        Relevo.objects.using(self.using).filter(nombre=_LEASE_NAME, titular=self.holder).delete()

    def _send(self, queue: str, rows: Sequence[Mensaje]) -> Progress:
        sent = refused = 0
        waiting = {row.pk for row in rows}
        table = Mensaje.objects.using(self.using)
        try:
            for outcome in self.sender.send(queue, [_outgoing(row) for row in rows]):
                if isinstance(outcome, Accepted):
                    accepted = table.filter(pk__in=outcome.sequences)
                    accepted.update(enviado_en=timezone.now(), intentos=F("intentos") + 1)
                    sent += len(outcome.sequences)
                    waiting.difference_update(outcome.sequences)
                else:
                    table.filter(pk=outcome.sequence).update(motivo_fallo=outcome.reason, intentos=F("intentos") + 1)
                    logger.error("Message %s cannot be sent and is skipped: %s.", outcome.sequence, outcome.reason)
                    refused += 1
                    waiting.discard(outcome.sequence)
        except UnavailableError as error:
            table.filter(pk__in=waiting).update(intentos=F("intentos") + 1)
            self._failed(queue, error)
        else:
            if self._outages.pop(queue, None) is not None:
                logger.warning("Queue %s is reached again.", queue)
        return Progress(sent, refused)

    def _failed(self, queue: str, error: UnavailableError) -> None:
        before = self._outages.get(queue)
        if before is None:
            logger.warning("Messages wait in the outbox and are tried again until they can be sent: %s", error)
        pause = min(before.pause * 2, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        self._outages[queue] = _Outage(self.clock() + pause, pause)


def _outgoing(row: Mensaje) -> Outgoing:
    body = json.dumps(row.as_event(), ensure_ascii=False, separators=(",", ":")).encode()
    return Outgoing(row.pk, str(row.evento), body, row.traceparent)
