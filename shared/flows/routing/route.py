"""Where a message goes next: done, back onto its queue later, or set aside for a person.

A message's own failures are tried again after 5 s, doubling to 15 minutes, with jitter, and parked after 12
attempts. Failures of a whole side do not count as attempts, are never tried before the side asked for, and are
parked only after 24 hours; all messages that wait for a side that is down come back at the same time, and so do those
of a batch whose records another worker is writing: after 1 s, doubling. A parked message is the original body, byte
for byte, so that replaying it is sending it again; why it was parked stands in its application properties, which the
Azure portal shows beside it. Only a message that does not even fit there with nothing but its reason is parked as its
beginning: it must not hold back its batch.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import replace
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from shared import telemetry
from shared.domain.blocked import Blocked
from shared.domain.link import Identity
from shared.domain.messages.events import CONTENT_TYPE, DirtyData, Event, Operation
from shared.domain.messages.history import read_history
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.domain.words import plural
from shared.errors import (
    IntentHeld,
    KeyNotUsable,
    MessageTransient,
    RoutingFailed,
    SyncError,
    Throttled,
    TransientError,
    Unavailable,
)
from shared.flows.ports.engine import Bus, Clock, Outgoing
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.routing.parking import CUT_FROM, bounded, bounded_history, park, printable, send_what_fits
from shared.flows.routing.told import End, Told, named, trace_of

log = logging.getLogger(__name__)

FIRST_DELAY: Final = timedelta(seconds=5)
HELD_DELAY: Final = timedelta(seconds=1)
"""The first delay, then doubling, where another worker is writing the record: it usually takes a second or two."""
LONGEST_DELAY: Final = timedelta(minutes=15)
ATTEMPTS: Final = 12
LONGEST_OUTAGE: Final = timedelta(hours=24)
_MEMBERS: Final = {"cmms": "cmms_id", "row": "record_id", "key": "key"}
KEPT: Final = 128 * 1024
"""Bytes of a message that are parked where all of it is too large: they fit beside any properties."""


@dataclass(frozen=True)
class Routed:
    """A message with its outcome. `event` is None where the body is not a CloudEvent."""

    body: bytes
    event: Event | None
    key: str | None
    outcome: Outcome


@dataclass(frozen=True)
class _Retry:
    """A message's copy to try again: as the event that it becomes, as it is sent, and how long it waits."""

    message: Routed
    error: TransientError
    event: Event
    copy: Outgoing
    delay: timedelta


@dataclass(frozen=True)
class Counts:
    """How many messages were sent again and parked."""

    retried: int
    parked: int


class Router:
    """Writes outcomes to the bus. `rng` gives the jitter."""

    def __init__(self, bus: Bus, clock: Clock, rng: Random) -> None:
        self._bus = bus
        self._clock = clock
        self._rng = rng

    async def route(self, queue: str, messages: Sequence[Routed]) -> Counts:
        """Send the retry and parked copies of a batch.

        Raises:
            RoutingFailed: Not all could be sent; nothing of the batch may be acknowledged.
        """
        now = self._clock.now()
        retries: list[_Retry] = []
        parking: list[tuple[Routed, SyncError]] = []
        for message in messages:
            outcome = message.outcome
            if isinstance(outcome, Again):
                if (retry := self._retry(message, outcome.error, now)) is not None:
                    retries.append(retry)
                else:
                    parking.append((message, outcome.error))
            elif isinstance(outcome, Park):
                parking.append((message, outcome.error))
        await self._park_whole(queue, parking, now)
        sent, large = await self._send_again(queue, retries)
        too_large = [(retry.message, retry.error) for retry in large]
        await self._park_whole(queue, too_large, now)
        parking += too_large
        for (end, reason), amount in Counter(
            [("retried", retry.error.reason) for retry in sent] + [("parked", error.reason) for _, error in parking]
        ).items():
            telemetry.count(f"sync.messages.{end}", amount, queue=queue, reason=reason)
        for message in messages:
            if isinstance(message.outcome, Done):
                done: End = "applied" if message.outcome.fields else "already true"
                _tell(queue, message, done, named(message.outcome.fields), now)
        for retry in sent:
            _tell(queue, retry.message, "retried", retry.error.reason, now)
        for message, error in parking:
            _tell(queue, message, "parked", error.reason, now)
        return Counts(retried=len(sent), parked=len(parking))

    async def park_fields(
        self, entity: EntityMapping, key: str, body: bytes, event: Event | None, blocked: Sequence[Blocked]
    ) -> None:
        """Park one copy of a message for each blocked field, while the record proceeds without them.

        Raises:
            RoutingFailed: Not all could be sent.
        """
        now = self._clock.now()
        queue = OF_ENTITY[entity.name].name
        message = Routed(body, event, key, Park(blocked[0].error))
        await self._park([self._parked(queue, message, block.error, now, digest=block.digest) for block in blocked])
        for block in blocked:
            telemetry.count("sync.messages.parked", queue=queue, reason=block.error.reason)
            log.warning("Parked a field of %s %s: %s", entity.name, printable(key), printable(block.error.message))

    async def resync(
        self,
        entity: str,
        records: Mapping[Identity, str],
        *,
        reason: str,
        source: str,
        operation: Operation = "resync",
        prefer: Side | None = None,
        prefer_fields: Mapping[str, Side] | None = None,
    ) -> None:
        """Enqueue a dirty message for each record, under fresh ids.

        Args:
            entity: The entity's name.
            records: The records by identity, with their keys for people; "" where the key is not known.
            reason: Why, for people.
            source: The CloudEvents source.
            operation: What the engine is to do.
            prefer: The side whose values count where fields meet for the first time and differ.
            prefer_fields: The same by field, before `prefer`.

        Raises:
            RoutingFailed: Not all could be sent.
        """
        now, cause = self._clock.now(), telemetry.traceparent()
        messages = []
        for identity, key in records.items():
            named = {_MEMBERS[identity.kind]: identity.value} | ({"key": key} if key else {})
            orders = {"operation": operation, "prefer": prefer, "prefer_fields": prefer_fields or {}, "reason": reason}
            data = DirtyData.model_validate({**named, **orders})
            subject = key or identity.value
            event = Event(
                source=source,
                type=f"sync.{entity}.dirty",
                subject=subject,
                time=now,
                data={name: value for name, value in data.model_dump(mode="json").items() if value not in (None, {})},
                traceparent=cause,
            )
            messages.append(Outgoing(event.to_json(), message_id=event.id, subject=bounded(subject)))
        queue = OF_ENTITY[entity].name
        if messages:
            with _routing(queue, len(messages)):
                await self._bus.send(queue, messages)

    def _retry(self, message: Routed, error: TransientError, now: datetime) -> _Retry | None:
        """The copy to try again later, or None when it has been tried enough."""
        event = message.event
        if event is None:
            return None
        # Not the event's own time: a change may have waited in an outbox, or a replay in `parked`, for longer than any
        # outage may last here. Nor a moment that has not come yet, which another sender's clock may say.
        first = min(event.firstenqueued or now, now)
        attempt, deferrals = event.attempt, event.deferrals
        if isinstance(error, MessageTransient):
            count = attempt = attempt + 1
            if attempt >= ATTEMPTS:
                return None
        else:
            count = deferrals = deferrals + 1
            if now - first >= LONGEST_OUTAGE:
                return None
        delay = self._delay(error, count)
        copy = event.model_copy(
            update={
                "attempt": attempt,
                "deferrals": deferrals,
                "firstenqueued": first,
            }
        )
        subject = bounded(event.subject) if event.subject is not None else None
        return _Retry(message, error, copy, Outgoing(copy.to_json(), subject=subject, scheduled_at=now + delay), delay)

    def _delay(self, error: TransientError, count: int) -> timedelta:
        """How long a message waits that has failed `count` times in this way."""
        if isinstance(error, IntentHeld):
            # Only its worker's death makes the other write last until the intent's end. Without jitter, so that what a
            # batch found held comes back as one batch: as several small ones, its messages would meet each other.
            return min(_doubled(HELD_DELAY, count), error.ends_in)
        if isinstance(error, (Throttled, Unavailable)):
            # Everybody who waits for a side that is down comes back at once, as few large batches; the engine looks
            # after the side from there.
            return max(FIRST_DELAY, error.least_wait)
        return max(_doubled(FIRST_DELAY, count) * self._rng.uniform(0.8, 1.2), error.least_wait)

    def _parked(self, queue: str, message: Routed, error: SyncError, now: datetime, **of_field: str) -> Outgoing:
        event = message.event
        attempts = (event.attempt if event else 0) + 1
        cause = error.__cause__ or error.__context__
        history = read_history(event.history if event else None)
        history.append({"at": now.isoformat(), "reason": error.reason, "attempts": attempts, **of_field})
        key = message.key or _said_key(event, error)
        properties: dict[str, str | int] = {
            "reason": error.reason,
            "message": bounded(error.message[:2048]),
            "exception": type(cause or error).__name__,
            "attempts": attempts,
            "parked_at": now.isoformat(),
            "source_queue": queue,
            "history": bounded_history(history),
        }
        optional = {
            "field": error.field,
            "key": key,
            "status": error.status,
            "code": error.code,
            "request_id": error.request_id,
            "correlation_id": event.id if event else None,
            "first_enqueued": (event.firstenqueued or event.time or now).isoformat() if event else None,
        }
        properties |= {
            name: bounded(value) if isinstance(value, str) else value
            for name, value in optional.items()
            if value is not None
        }
        return Outgoing(
            message.body,
            content_type=CONTENT_TYPE if event else "application/octet-stream",
            subject=bounded(key) if key is not None else None,
            properties=properties,
        )

    async def _send_again(self, queue: str, retries: Sequence[_Retry]) -> tuple[list[_Retry], list[_Retry]]:
        """Send retry copies.

        Returns:
            What was sent, and the retries whose copy is larger than the queue takes.
        """
        with _routing(queue, len(retries)):
            places = set(await send_what_fits(self._bus, queue, [retry.copy for retry in retries]))
        sent = [retry for place, retry in enumerate(retries) if place not in places]
        for retry in sent:
            log.info(
                "%s of %s is tried again in %.0f s (attempt %d, waits %d): %s: %s",
                retry.event.type, printable(retry.message.key or retry.event.subject or "?"),
                retry.delay.total_seconds(), retry.event.attempt, retry.event.deferrals,
                retry.error.reason, printable(retry.error.message),
            )  # fmt: skip
        return sent, [retries[place] for place in sorted(places)]

    async def _park_whole(self, queue: str, parking: Sequence[tuple[Routed, SyncError]], now: datetime) -> None:
        """Park whole messages, and say so once all of them are."""
        copies = [self._parked(queue, message, error, now) for message, error in parking]
        await self._park(copies)
        for (_, error), copy in zip(parking, copies, strict=True):
            key = str(copy.properties.get("key", "a message"))
            log.warning("Parked %s from %s: %s: %s", printable(key), queue, error.reason, printable(error.message))

    async def _park(self, messages: Sequence[Outgoing]) -> None:
        """Send parked copies; one that is too large with nothing but its reason as its beginning."""
        with _routing(PARKED.name, len(messages)):
            for place in await park(self._bus, messages):
                stub = _stub(messages[place])
                await self._bus.send(PARKED.name, [stub])
                log.error("Parked only the beginning of a message: %s", printable(str(stub.properties["message"])))


def _doubled(first: timedelta, count: int) -> timedelta:
    """The delay before a try that follows so many others."""
    return min(first * 2.0 ** min(count - 1, 20), LONGEST_DELAY)


def _said_key(event: Event | None, error: SyncError) -> str | None:
    """The key by which a message names its record, though it cannot be used: a person finds the record by it."""
    said = (
        error.key if isinstance(error, KeyNotUsable) else None,
        event.data.get("key") if event else None,
        event.subject if event else None,
    )
    return next((key for key in said if isinstance(key, str) and key), None)


def _tell(queue: str, message: Routed, end: End, what: str, now: datetime) -> None:
    """Log how one message ended; `ops tail` reads it."""
    entity = next((name for name, one in OF_ENTITY.items() if one.name == queue), queue)
    event = message.event
    after = max((now - event.time).total_seconds(), 0.0) if event is not None and event.time is not None else None
    trace = trace_of(event.traceparent if event is not None else None)
    key = message.key or (message.outcome.key if isinstance(message.outcome, Done) else None)
    log.info("%s", Told(entity, key, end, what, trace, after).line())


@contextmanager
def _routing(queue: str, count: int) -> Iterator[None]:
    """Raise what keeps messages from being sent as RoutingFailed."""
    try:
        yield
    except SyncError as error:
        raise RoutingFailed(
            f"{plural(count, 'message')} could not be sent to the queue {queue}: {error.message}"
            " The batch is given back to the broker.",
            status=error.status,
        ) from error


def _stub(message: Outgoing) -> Outgoing:
    """What is parked of a message that is too large: its beginning, and all that is known of it in its properties."""
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    why = (
        f"Only the first {KEPT} of this message's {len(body)} bytes were kept, because all of it is larger than"
        f" {PARKED.name} takes: it cannot be replayed. Shorten the record at its source, resync it, and discard this."
        f" It was to be parked for: {message.properties['message']}"
    )
    return replace(
        message,
        body=body[:KEPT],
        content_type="application/octet-stream",
        properties={**message.properties, "message": bounded(why), CUT_FROM: len(body)},
    )
