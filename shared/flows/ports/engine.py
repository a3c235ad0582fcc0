"""What the flows need of the world. The adapters provide it; tests provide it in memory."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.domain.link import Identity, Link, LinkHash, Stored
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Values
from shared.domain.schema.fields import Target
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.errors import LedgerUnreadable, LinkTooLarge, MappingError, SyncError


class Clock(Protocol):
    """Wall-clock time for people and other machines; monotonic time for deadlines."""

    def now(self) -> datetime:
        """The current instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""


@dataclass(frozen=True)
class Failed:
    """A write that was not confirmed. `unknown` means that it may nevertheless have happened, or still may.

    `row` is set where a refused row was written in parts to find the field at fault: the row as it is now, without
    the write's operation stamp. With `error.field`, what the row lacks is that field, and at most such others as are
    refused as well. Or a record that a create of the same operation had made before.

    `left_out` names the fields whose lookups find no row, where all the others were written: `row` tells of these.
    """

    error: SyncError
    unknown: bool = False
    row: Record | None = None
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DynamicsHashes:
    """A page of rows as (id, key, row hash, inactive); `link` follows the last page's changes."""

    rows: Sequence[tuple[str, str, str, bool]]
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

    @property
    def is_down(self) -> bool:
        """Whether the side failed several times in a row, and has not answered since."""

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        """Every row that Dynamics takes for one of these keys, by the key asked for.

        Dynamics may compare without regard to case, so a row's own key may differ from the one asked for.
        """

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        """The rows that exist, by id: a list read, so that a missing id is known to be absent."""

    def share(self, records: int) -> int:
        """How many of so many records to announce and write together.

        Parts are written at the same time: many small ones while requests are plenty, else few and large ones.
        """

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        """Do each write under its condition, or not after `deadline` (monotonic seconds).

        A create makes the row with the id `target`. The operation id goes into the entity's stamp column.

        Returns:
            For each write, in order, the row as stored, or the failure: KeyTaken where another row has the key.
        """

    def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[DynamicsRecord]]:
        """Every row, page by page."""

    def hashes(self, entity: EntityMapping) -> AsyncIterator[DynamicsHashes]:
        """Every row as a hash, page by page; the last page has the delta link where changes are tracked."""

    def changes(self, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
        """What changed since a delta link was given; the last page has the next link.

        Raises:
            DeltaRefused: The link is no longer known.
        """

    async def unreadable(self, entity: EntityMapping) -> frozenset[str]:
        """The columns, of those that the mapping reads, that are secured against our user: they read as null.

        A null there is "not said", not an edit; any other value proves that the column can be read after all.

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


class RecordKeys(Protocol):
    """What the CMMS calls the rows of the mapping's own tables by now, whatever keys they still have in Dynamics.

    Rows and keys that it knows nothing of are left out; so is every row of another table.
    """

    async def of_rows(self, target: Target, rows: Collection[str], /) -> Mapping[str, str]:
        """The keys of the records that these rows are linked with, by row id.

        Raises:
            TransientError: The ledger or the CMMS could not be asked.
        """

    async def to_rows(self, target: Target, keys: Collection[str], /) -> Mapping[str, str]:
        """The ids of the rows that the records with these keys are linked with, by key.

        Raises:
            TransientError: The ledger or the CMMS could not be asked.
        """


class Cmms(Protocol):
    """The CMMS's integration API. Tombstones of deleted records are among what is read."""

    @property
    def requests(self) -> int:
        """The requests sent so far."""

    @property
    def is_down(self) -> bool:
        """Whether the side failed several times in a row, and has not answered since."""

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The records and tombstones, by id: a list read, so that a missing id is known to be absent.

        A record that is not of the API's form is answered for its own id alone; the error's `field` is the part of the
        record that is wrong.
        """

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The living records that have one of these keys, by key, byte for byte; otherwise as `by_id`."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        """Do each write under its condition and its operation id, or not after `deadline` (monotonic seconds).

        Returns:
            For each write, in order, the record as stored, or the failure.
        """

    def pages(
        self, entity: EntityMapping, unreadable: Callable[[str, str], None] | None = None
    ) -> AsyncIterator[Sequence[CmmsRecord]]:
        """Every existing record, page by page. A page that fails is asked for again for a while.

        `unreadable` hears of the id and key of a record that is not of the API's form; without it such a record ends
        the reading as Unavailable.
        """

    def hashes(self, entity: EntityMapping) -> AsyncIterator[Sequence[tuple[str, str, str]]]:
        """Every existing record as (id, key, row hash), page by page."""

    def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        """The ids of what the CMMS announced since an instant, tombstones included, page by page."""


class State(Protocol):
    """Small texts by name, beside the ledger: delta links, watermarks, what is pending. At most 30,000 characters."""

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """The texts that there are."""

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """Store texts in the order given; None removes one."""

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        """Store a text in the place of the one that was read, None for none: a compare-and-swap.

        Returns:
            Whether it is stored; not, where another worker has stored another text since.
        """


class Ledger(State, Protocol):
    """The memory of both sides' last agreement. Every write is a compare-and-swap on the link's etag.

    To find or to write nothing costs no request.
    """

    async def find(self, entity: str, identities: Collection[Identity]) -> Mapping[Identity, Stored | LedgerUnreadable]:
        """The links that have these identities; one that no link has is left out.

        A link that cannot be read is answered for its own identities alone: it must not cost the others.
        """

    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        """Store each link if its etag is still current; without an etag, if no link has one of its identities.

        One after the other in the order given: an identity that one link lets go may be taken by the next.

        Returns:
            For each link, in order: the stored link with its new etag; None where another worker was faster, or where
            one of its identities belongs to another link; LinkTooLarge where the ledger cannot hold it.
        """

    def scan(self, entity: str) -> AsyncIterator[Sequence[Link | LedgerUnreadable]]:
        """Every link, page by page.

        None is missed while others write, but one whose identities change meanwhile may be met twice.
        """

    def hashes(self, entity: str) -> AsyncIterator[Sequence[LinkHash]]:
        """Every link's identities and row hashes, page by page as `scan`, read without parsing a link."""


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
