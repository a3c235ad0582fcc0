"""What the flows need of the world. The adapters provide it; tests provide it in memory."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.domain.ledger import Entry, Stored
from shared.domain.model import CmmsRecord, DynamicsRecord, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.sketch import Sketch
from shared.errors import KeyNotUsable, LedgerUnreadable, MappingError, SyncError


class Clock(Protocol):
    """Wall-clock time for people and other machines; monotonic time for deadlines."""

    def now(self) -> datetime:
        """The current instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""


@dataclass(frozen=True)
class DynamicsWrite:
    """A create (`id` None) or an update of one row, by id and etag.

    `values` are in the Dynamics normal form by field; `state` sets a state and status beside them;
    `restore_key` writes the key column of an existing row; `new_id` is the id that a created row gets; `operation` is
    the write's id for the operation stamp, empty for a write that leaves the stamp as it is.
    """

    key: str
    id: str | None
    etag: str | None
    values: Values
    state: tuple[int | None, int] | None = None
    restore_key: bool = False
    new_id: str | None = None
    operation: str = ""

    def __post_init__(self) -> None:
        if self.id is not None and not self.etag:
            raise ValueError("an update needs the etag of the row as it was read: it must never be unconditional")


@dataclass(frozen=True)
class CmmsWrite:
    """A create (`etag` None) or an update of one CMMS record; `values` are in the CMMS's normal form.

    `operation` names the write: the record shows it from then on.
    """

    key: str
    etag: str | None
    values: Values
    operation: str | None = None


@dataclass(frozen=True)
class Failed:
    """A write that was not confirmed. `unknown` means that it may nevertheless have happened, or still may.

    `row` is set where a refused row was written in parts to find the field at fault: the row as it is now, without
    the write's operation stamp. With `error.field`, what the row lacks is that field, and at most such others as are
    refused as well.
    """

    error: SyncError
    unknown: bool = False
    row: DynamicsRecord | None = None


@dataclass(frozen=True)
class DynamicsSketches:
    """A page of rows as (id, key, sketch, inactive); `link` follows the last page's changes."""

    rows: Sequence[tuple[str, str, Sketch, bool]]
    link: str | None = None


@dataclass(frozen=True)
class DynamicsChanges:
    """A page of changes: the keys of rows that changed by their ids, and the ids that are gone."""

    changed: Mapping[str, str]
    deleted: Sequence[str]
    link: str | None = None


class Dynamics(Protocol):
    """Reads raise TargetTransient for the whole call; writes answer for each row."""

    @property
    def requests(self) -> int:
        """The requests sent so far."""

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        """Every row that Dynamics takes for one of these keys, by the key asked for.

        Dynamics may compare without regard to case, so a row's own key may differ from the one asked for.
        """

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        """The rows that exist, by id: a list read, so that a missing id is known to be absent."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        """Do each write, or not after `deadline` (monotonic seconds). Answers in the same order."""

    def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[DynamicsRecord]]:
        """Every row, page by page."""

    def sketches(self, entity: EntityMapping) -> AsyncIterator[DynamicsSketches]:
        """Every row as a sketch, page by page; the last page has the delta link where changes are tracked."""

    def changes(self, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
        """What changed since a delta link was given; the last page has the next link.

        Raises:
            DeltaRefused: The link is no longer known.
        """

    async def unreadable(self, entity: EntityMapping, *, fresh: bool = False) -> frozenset[str]:
        """The columns, of those that the mapping reads, that are secured against our user: they read as null.

        A null there is "not said", not an edit; any other value proves that the column can be read after all. The
        answer is remembered for ten minutes; `fresh` asks again, for whoever sees a value turn into null meanwhile.

        Returns:
            Names as in `EntityMapping.select`, the operation stamp's among them.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """

    async def unresolved(self, entity: EntityMapping, values: Sequence[Values]) -> Mapping[tuple[str, str], SyncError]:
        """The codes of lookups that refer to no single row, by field and code: LookupNotFound, or LookupPending.

        `values` are those of CMMS records, or any with the fields of lookups. A write finds the same out by itself.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """

    async def organization_id(self) -> UUID:
        """The organization that we are signed in to (WhoAmI)."""

    async def user_id(self) -> UUID:
        """The user that we are signed in as (WhoAmI)."""


class Cmms(Protocol):
    """The CMMS's integration API. Tombstones of deleted records are among what is read."""

    @property
    def requests(self) -> int:
        """The requests sent so far."""

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord]:
        """The records and tombstones, by key: a list read, so that a missing key is known to be absent."""

    async def each_by_key(
        self, entity: EntityMapping, keys: Collection[str]
    ) -> Mapping[str, CmmsRecord | MappingError]:
        """The same, but a record that is not of the API's form is answered for its own key alone.

        `by_key` raises Unavailable for one of them. The error's `field` is the part of the record that is wrong.
        """

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord]:
        """The records that exist, by the identity that renames do not change; one that is missing was deleted."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[CmmsWrite], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        """Do each write, or not after `deadline` (monotonic seconds). Answers in the same order."""

    def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[CmmsRecord]]:
        """Every existing record, page by page."""

    def sketches(self, entity: EntityMapping) -> AsyncIterator[Sequence[tuple[str, Sketch]]]:
        """Every existing record as (key, sketch), page by page."""

    def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        """The keys of what the CMMS announced since an instant, tombstones included, page by page."""


class Ledger(Protocol):
    """The memory of both sides' last agreement. Every write is a compare-and-swap on the entry's etag."""

    async def read(self, entity: str, keys: Collection[str]) -> Mapping[str, Stored | LedgerUnreadable]:
        """An entry for every key asked for; a new one (etag None) where there is none yet.

        A row that cannot be read is answered for its own key alone: it must not cost the others.
        """

    async def keys_of(self, entity: str, ids: Collection[str]) -> Mapping[str, str]:
        """The keys that Dynamics ids are bound to; ids that are not bound are left out."""

    async def write(self, entity: str, entries: Sequence[Stored]) -> Sequence[Stored | KeyNotUsable | None]:
        """Store each entry if its etag is still current.

        Answers the stored entry with its new etag, None where another worker was faster, and KeyNotUsable
        where the Dynamics id is bound to another key.
        """

    async def move(self, entity: str, old: Stored, new: Stored) -> bool:
        """Store both entries at once, or neither if one's etag is no longer current."""

    def scan(self, entity: str) -> AsyncIterator[Sequence[Entry | LedgerUnreadable]]:
        """Every entry, page by page."""

    def bodies(self, entity: str) -> AsyncIterator[Sequence[tuple[str, str]]]:
        """Every key and its entry as JSON, page by page; old conflicts may be left out.

        The JSON is as it is stored: it may be none.
        """


class State(Protocol):
    """Small texts by name, beside the ledger: delta links, watermarks, what is pending. At most 30,000 characters."""

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """The texts that there are."""

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """Store texts in the order given; None removes one."""


@dataclass(frozen=True)
class Outgoing:
    """A message to send. Without `message_id` the bus makes a random one."""

    body: str | bytes
    message_id: str | None = None
    content_type: str = "application/cloudevents+json"
    subject: str | None = None
    properties: Mapping[str, str | int] = field(default_factory=dict)
    scheduled_at: datetime | None = None


class Bus(Protocol):
    """The queues."""

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send all of them, in as few requests as possible.

        Raises:
            Unavailable: At least one was not accepted; some may have been.
        """


@dataclass(frozen=True)
class DeadLetter:
    """A message that the broker gave up: its body, and the broker's reason and description.

    `has_bytes` is False where the body was an AMQP value or sequence, and is written as JSON here.
    """

    body: bytes
    message_id: str
    subject: str | None
    reason: str
    description: str
    deliveries: int
    enqueued_at: datetime | None
    has_bytes: bool = True


class Forward(Protocol):
    """Sends dead letters on; what it raises keeps all of them where they are."""

    async def __call__(self, letters: Sequence[DeadLetter], /) -> Collection[DeadLetter]:
        """Answers those that could not be sent and are to stay."""


class DeadLetters(Protocol):
    """The queues' dead-letter queues, and how long their messages wait."""

    async def tend(self, queue: str, forward: Forward, limit: int) -> tuple[int, datetime | None]:
        """Hand over up to `limit` dead letters, completing those that were forwarded.

        Answers how many, and when the queue's oldest waiting message was enqueued: None for an empty queue.

        Raises:
            TransientError: The queue cannot be read.
        """


class Reports(Protocol):
    """Where reports are kept."""

    async def save(self, name: str, content: bytes, content_type: str) -> str:
        """Store a report under a name, in place of an older one; answers where it lies, for people."""

    async def names(self) -> Sequence[str]:
        """The names of all reports."""

    async def load(self, name: str) -> bytes | None:
        """A report's content, or None where there is no such report."""

    async def delete(self, name: str) -> None:
        """Remove a report; one that is gone is no error."""
