"""Moving the outbox to Service Bus: unsent rows in order, marked as the broker takes them.

A crash between sending and marking sends again with the same MessageId, which the queue's duplicate detection
swallows. Several relays share the records by partitions; should two overlap in one, the same holds.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, QuerySet
from django.utils import timezone

from . import observed
from .models import Mensaje
from .partitions import PARTITIONS, Partitions
from .sender import Accepted, Outgoing, Sender, UnavailableError

logger = logging.getLogger("integracion_dynamics.relay")

PAGE = 500
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


@dataclass
class _Outage:
    """A queue that failed: no attempt before `until` by the monotonic clock, in seconds."""

    until: float
    pause: float


@dataclass(frozen=True)
class Progress:
    """What one pass did, in messages; `held` is False when other relays have all partitions."""

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
    partitions: Partitions = field(init=False)
    _outages: dict[str, _Outage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.partitions = Partitions(self.using, self.holder)

    def run_once(self) -> Progress:
        """One pass over the unsent rows, a page for each queue that is not being spared after a failure."""
        if not self.partitions.take():
            return Progress(held=False)
        sent = refused = 0
        for queue in self._queues():
            if queue in self._outages and self.clock() < self._outages[queue].until:
                continue
            rows = list(self._mine().filter(cola=queue).order_by("pk")[:PAGE])
            of_queue = self._send(queue, rows)
            sent, refused = sent + of_queue.sent, refused + of_queue.refused
            if not of_queue.held:
                return Progress(sent, refused, held=False)
        return Progress(sent, refused)

    def drain(self, stop: Callable[[], bool] = lambda: False) -> Progress:
        """Pass after pass until nothing more can be sent; `held` is False when other relays have all partitions."""
        sent = refused = 0
        while not stop():
            progress = self.run_once()
            sent, refused = sent + progress.sent, refused + progress.refused
            if not progress.held:
                return Progress(sent, refused, held=False)
            if not progress.sent + progress.refused:
                break
        return Progress(sent, refused)

    def _queues(self) -> Iterator[str]:
        """The queues of unsent rows: one step along the index for each, where DISTINCT would read the whole backlog."""
        last = ""
        while queue := self.unsent().filter(cola__gt=last).order_by("cola").values_list("cola", flat=True).first():
            yield queue
            last = queue

    def unsent(self) -> QuerySet[Mensaje]:
        """The rows still to be sent; never "everything after the last id", for ids commit out of order."""
        return Mensaje.objects.using(self.using).filter(enviado_en__isnull=True, motivo_fallo="")

    def _mine(self) -> QuerySet[Mensaje]:
        held = self.partitions.held
        # Without the condition where this relay works alone: the index of unsent rows knows no partitions.
        return self.unsent() if len(held) == PARTITIONS else self.unsent().filter(particion__in=held)

    def _send(self, queue: str, rows: Sequence[Mensaje]) -> Progress:
        sent = refused = 0
        held = True
        waiting = {row.pk for row in rows}
        written = {row.pk: row.creado for row in rows}

        def proceed() -> bool:
            # A lease may have expired while the queue answered slowly, or this process stood still.
            nonlocal held
            held = self.partitions.keep()
            return held

        table = Mensaje.objects.using(self.using)
        try:
            for outcome in self.sender.send(queue, [_outgoing(row) for row in rows], proceed):
                if isinstance(outcome, Accepted):
                    self._accepted(queue, outcome, written)
                    sent += len(outcome.sequences)
                    waiting.difference_update(outcome.sequences)
                else:
                    table.filter(pk=outcome.sequence).update(motivo_fallo=outcome.reason, intentos=F("intentos") + 1)
                    logger.error("Message %s cannot be sent and is skipped: %s.", outcome.sequence, outcome.reason)
                    observed.skipped.send_robust(Relay, queue=queue, sequence=outcome.sequence, reason=outcome.reason)
                    refused += 1
                    waiting.discard(outcome.sequence)
        except UnavailableError as error:
            table.filter(pk__in=waiting).update(intentos=F("intentos") + 1)
            self._failed(queue, error)
        else:
            if held and self._outages.pop(queue, None) is not None:
                logger.warning("Queue %s is reached again.", queue)
                observed.queue_back.send_robust(Relay, queue=queue)
        return Progress(sent, refused, held=held)

    def _accepted(self, queue: str, outcome: Accepted, written: Mapping[int, datetime]) -> None:
        now = timezone.now()
        table = Mensaje.objects.using(self.using)
        table.filter(pk__in=outcome.sequences).update(enviado_en=now, intentos=F("intentos") + 1)
        for sequence in outcome.shortened:
            table.filter(pk=sequence).update(sin_valores=True)
            logger.warning("Message %s is larger than queue %s takes: sent without its values.", sequence, queue)
            observed.shortened.send_robust(Relay, queue=queue, sequence=sequence)
        age = max((now - written[sequence]).total_seconds() for sequence in outcome.sequences)
        observed.sent.send_robust(Relay, queue=queue, count=len(outcome.sequences), age=age)

    def _failed(self, queue: str, error: UnavailableError) -> None:
        before = self._outages.get(queue)
        if before is None:
            logger.warning("Messages wait in the outbox and are tried again until they can be sent: %s", error)
            observed.queue_away.send_robust(Relay, queue=queue, reason=str(error))
        pause = min(before.pause * 2, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        self._outages[queue] = _Outage(self.clock() + pause, pause)


def _outgoing(row: Mensaje) -> Outgoing:
    event = row.as_event()
    values = event["data"].pop("fields", None)
    hint = _json(event)
    if values is not None:
        event["data"]["fields"] = values
    return Outgoing(row.pk, str(row.evento), _json(event), hint, row.traceparent)


def _json(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
