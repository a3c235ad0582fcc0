"""Parked messages: look at them, send them again, or discard them with a reason.

Replay is peek-lock, send, complete, in this order: a crash between any two of them leaves the parked message, so
nothing is lost; at worst a message is replayed twice, and the engine finds it already true.
"""

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from shared.domain.jsontext import JsonError, loads
from shared.domain.messages.events import parse_event
from shared.domain.messages.history import read_history
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.errors import InvalidMessage
from shared.flows.ports.engine import Bus, Outgoing
from shared.flows.routing.parking import CUT_FROM

log = logging.getLogger(__name__)

_QUEUES: Final = frozenset(queue.name for queue in OF_ENTITY.values())
_AGE: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Waiting:
    """A message on a queue: `sequence` is the broker's own number, which never changes."""

    sequence: int
    body: bytes
    properties: Mapping[str, str | int]
    enqueued_at: datetime
    message_id: str = ""

    @property
    def reason(self) -> str:
        """Why it was parked."""
        return str(self.properties.get("reason", "unknown"))

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return str(self.properties.get("source_queue", ""))

    @property
    def entity(self) -> str:
        """The entity of that queue."""
        return next((name for name, queue in OF_ENTITY.items() if queue.name == self.queue), "")

    @property
    def key(self) -> str:
        """The business key: as it was known when the message was parked, else as the body names it."""
        return str(self.properties.get("key") or "") or _key_in(self.body)

    @property
    def text(self) -> str:
        """The sentence that says what was wrong."""
        return str(self.properties.get("message", ""))

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every failure, the oldest first."""
        return read_history(str(self.properties.get("history", "[]")))


class Taken(Protocol):
    """A message that is locked for us."""

    message: Waiting

    async def complete(self) -> None:
        """Take it off the queue."""

    async def give_back(self) -> None:
        """Leave it on the queue."""


@dataclass(frozen=True)
class Probe:
    """A queue that works: when its oldest message came, and the seconds of one question to it."""

    oldest: datetime | None
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What lies on a queue, counted: times are those of the oldest message, None where there is none.

    `waiting` can be received now (messages that a worker has locked are among them), `scheduled` are retries that wait
    for their time, `dead` were given up by the broker. Where `more` is set the counting stopped at a limit.
    """

    waiting: int = 0
    scheduled: int = 0
    dead: int = 0
    oldest: datetime | None = None
    oldest_dead: datetime | None = None
    more: bool = False


class Queues(Protocol):
    """The receiving side of the bus."""

    async def survey(self, queue: str, at_most: int = 5000) -> Survey:
        """Count what lies on a queue and among its dead letters, without taking anything."""

    def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        """Everything on a queue, page by page, without taking it."""

    def take(self, queue: str, wanted: Collection[int]) -> AsyncGenerator[Taken]:
        """Lock the wanted messages, one after the other; those that are locked elsewhere are left out."""

    async def probe(self, queue: str) -> Probe:
        """Open the queue for receiving, and for sending where people may send to it; do neither."""


@dataclass(frozen=True)
class Filter:
    """Which parked messages are meant; what is None does not matter. `text` is looked for anywhere, in any case."""

    reason: str | None = None
    entity: str | None = None
    key: str | None = None
    field: str | None = None
    older_than: timedelta | None = None
    younger_than: timedelta | None = None
    text: str | None = None
    sequences: frozenset[int] = frozenset()

    def holds(self, message: Waiting, now: datetime) -> bool:
        """Whether a message is meant."""
        age = now - message.enqueued_at
        shown = " ".join([message.body.decode(errors="replace"), *map(str, message.properties.values())])
        return (
            (self.reason is None or message.reason == self.reason)
            and (self.entity is None or message.entity == self.entity)
            and (self.key is None or message.key == self.key)
            and (self.field is None or message.properties.get("field") == self.field)
            and (self.older_than is None or age >= self.older_than)
            and (self.younger_than is None or age <= self.younger_than)
            and (self.text is None or self.text.casefold() in shown.casefold())
            and (not self.sequences or message.sequence in self.sequences)
        )


@dataclass
class Settled:
    """What became of the chosen messages. `locked` are held by somebody else, such as a run that was killed."""

    done: list[Waiting] = field(default_factory=list)
    refused: list[tuple[Waiting, str]] = field(default_factory=list)
    locked: list[Waiting] = field(default_factory=list)


type Report = Callable[[Waiting, str], None]


class ParkedMessages:
    """The operator's side of the queue `parked`. `now` tells the time."""

    def __init__(self, queues: Queues, bus: Bus, now: Callable[[], datetime]) -> None:
        self._queues = queues
        self._bus = bus
        self._now = now

    async def find(self, wanted: Filter) -> list[Waiting]:
        """The parked messages that are meant, in the order of their parking.

        Raises:
            TransientError: The queue cannot be read.
        """
        now = self._now()
        found: list[Waiting] = []
        async for page in self._queues.peek(PARKED.name):
            found.extend(message for message in page if wanted.holds(message, now))
        return found

    @staticmethod
    def rehearse(chosen: Collection[Waiting]) -> Settled:
        """What a replay would do with the chosen messages, without doing it: those that would go, and those refused."""
        settled = Settled()
        for message in chosen:
            try:
                again(message)
            except InvalidMessage as error:
                settled.refused.append((message, error.message))
            else:
                settled.done.append(message)
        return settled

    async def replay(self, chosen: Collection[Waiting], report: Report) -> Settled:
        """Send the chosen messages to where they came from, each with the history of its failures.

        Raises:
            TransientError: A queue failed; what was not yet replayed is still parked.
        """
        rehearsed = self.rehearse(chosen)
        settled = Settled(refused=rehearsed.refused)
        for message, why in settled.refused:
            report(message, why)

        async def send(message: Waiting) -> None:
            await self._bus.send(message.queue, [again(message)])

        await self._settle(rehearsed.done, send, report, settled)
        return settled

    async def discard(
        self, chosen: Collection[Waiting], reason: str, keep: Callable[[Waiting], None], report: Report
    ) -> Settled:
        """Take the chosen messages off the queue for good; `keep` writes each down first, with the reason.

        Raises:
            TransientError: The queue failed; what was not yet discarded is still parked.
        """
        settled = Settled()

        async def note(message: Waiting) -> None:
            keep(message)
            log.warning(
                "Discarded the parked message %d (%s %s, %s): %s",
                message.sequence, message.entity, message.key, message.reason, reason,
            )  # fmt: skip

        await self._settle(chosen, note, report, settled)
        return settled

    async def _settle(
        self, chosen: Collection[Waiting], first: Callable[[Waiting], Awaitable[None]], report: Report, settled: Settled
    ) -> None:
        missing = {message.sequence: message for message in chosen}
        if not missing:
            return
        async with aclosing(self._queues.take(PARKED.name, list(missing))) as locked:
            async for taken in locked:
                try:
                    await first(taken.message)
                except BaseException:
                    await taken.give_back()
                    raise
                await taken.complete()
                missing.pop(taken.message.sequence)
                settled.done.append(taken.message)
                report(taken.message, "")
        settled.locked.extend(missing.values())


def _key_in(body: bytes) -> str:
    """The key that a message's body names, for one that nobody of us could read, such as a dead letter."""
    try:
        found = loads(body.decode())
    except (JsonError, UnicodeDecodeError):
        return ""
    if not isinstance(found, dict):
        return ""
    data = found.get("data")
    named = data.get("key") if isinstance(data, dict) else None
    key = named or found.get("subject")
    return key if isinstance(key, str) else ""


def again(message: Waiting) -> Outgoing:
    """The copy that is sent: fresh attempts, a fresh message id, the whole history of failures.

    What is no event, such as a body in another encoding, is sent byte for byte, and without a history: that would have
    to stand in the body.

    Raises:
        InvalidMessage: It came from nowhere that it could go back to, or only its beginning was kept.
    """
    if message.queue not in _QUEUES:
        raise InvalidMessage(
            f"It came from no queue of ours ({message.queue or 'unknown'}): discard it, or send it anew by hand."
        )
    if CUT_FROM in message.properties:
        raise InvalidMessage("Only its beginning was kept: resync the record, then discard this message.")
    try:
        event = parse_event(message.body)
    except InvalidMessage:
        return Outgoing(message.body, content_type="application/octet-stream", subject=message.key or None)
    copy = event.model_copy(
        update={
            "attempt": 0,
            "deferrals": 0,
            "firstenqueued": None,
            "history": str(message.properties.get("history", "[]")),
        }
    )
    return Outgoing(copy.to_json(), subject=message.key or event.subject)


def parse_age(text: str) -> timedelta:
    """Read `90s`, `30m`, `12h` or `7d`.

    Raises:
        ValueError: Another form.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no age: write a number and s, m, h or d, such as 30m or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
