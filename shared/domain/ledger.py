"""What the ledger remembers of one record: the state in which both sides last agreed, and what is under way."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.model import Side, Value, Version
from shared.errors import LedgerUnreadable


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Base(_Frozen):
    """What each side held of one field when they last agreed. A side has changed only against its own."""

    cmms: Value
    dynamics: Value


class Intent(_Frozen):
    """A write announced before it is sent, so that another worker can tell what happened to it.

    `values` are in the target's normal form; `before` is what the target held, `sources` what the other side held at
    the time. `expected_etag` None announces a create; one in Dynamics gives the row the id `row_id`, by which it is
    known again under any key, and which keeps a repeated create from making a second row. `row_made` is set on the
    first write to a row that was made again: that it landed means that the row is the one that both sides agreed on.
    """

    id: str
    side: Side
    expected_etag: str | None
    values: dict[str, Value]
    sources: dict[str, Value]
    before: dict[str, Value] = Field(default_factory=dict)
    row_id: str | None = None
    row_made: datetime | None = None
    expires_at: datetime


type Why = Literal[
    "both_changed", "first_contact", "one_way", "create_only", "key_changed", "late_write", "made_again", "taken_over"
]


class ConflictRecord(_Frozen):
    """A value that did not survive, kept where a person can find it.

    `why`: `both_changed`; `first_contact` (no base yet); `one_way` (the target of a one-way field was edited);
    `create_only` (the field cannot be written any more); `key_changed`; `late_write` (a write of unknown outcome
    was followed by another change); `made_again` (the row was deleted, and a late create of ours made it anew);
    `taken_over` (another CMMS record has the key now, and with it the row).
    """

    field: str
    winner: Side
    won: Value
    lost: Value
    why: Why
    at: datetime


class ParkedField(_Frozen):
    """A field that was parked, and the digest of the value that caused it: each value is parked once."""

    side: Side
    digest: str
    reason: str


class Written(_Frozen):
    """A value that we wrote to a side, by its digest, and when that was confirmed: see `domain.convergence`."""

    side: Side
    digest: str
    at: datetime


class Mark(_Frozen):
    """One-way mode: a CMMS version, as messages say it."""

    at: datetime
    sequence: int = 0

    @property
    def version(self) -> Version:
        """The same, to compare with."""
        return Version(self.at, self.sequence)


class Said(Mark):
    """One-way mode: the newest value that a message said of a field, and that message's version."""

    value: Value


class Moved(Mark):
    """One-way mode: at this version the record that had the key until then went to the key `to`."""

    to: str


class Entry(_Frozen):
    """The ledger's memory of one record. Without bases the two sides have never met.

    `moved_to` is the key that the CMMS gave the record since, where no other record has this key yet.
    `renamed_from` is the key that the Dynamics row may still have; `row_made` is when Dynamics made it. `cmms_id` is
    the CMMS's own identity of the record, which tells a record that took the key over from the one that had it before.

    In one-way mode only versions tell whose a message of this key is: `moves` are the records that left the key, the
    earliest first; `since` is when the present one came to it, and `deleted_before` when the last one was deleted.
    """

    key: str
    dynamics_id: str | None = None
    row_made: datetime | None = None
    cmms_id: str | None = None
    moved_to: str | None = None
    moves: tuple[Moved, ...] = ()
    since: Mark | None = None
    renamed_from: str | None = None
    bases: dict[str, Base] = Field(default_factory=dict)
    said: dict[str, Said] = Field(default_factory=dict)
    intents: tuple[Intent, ...] = ()
    conflicts: tuple[ConflictRecord, ...] = ()
    parked: dict[str, ParkedField] = Field(default_factory=dict)
    written: dict[str, tuple[Written, ...]] = Field(default_factory=dict)
    deleted_at: datetime | None = None
    deleted_before: Mark | None = None
    last_sync: datetime | None = None

    @property
    def pending_row(self) -> str | None:
        """The id of the row that an announced create makes, which may or may not have happened."""
        return next((intent.row_id for intent in self.intents if intent.row_id is not None), None)

    def live_intent(self, now: datetime) -> Intent | None:
        """The intent of a worker that may still be writing, if there is one."""
        return next((intent for intent in self.intents if intent.expires_at > now), None)


class Stored(_Frozen):
    """An entry with the etag under which it was read; None means that the ledger does not hold it yet."""

    entry: Entry
    etag: str | None = None


def readable[T: (Stored, Entry)](found: T | LedgerUnreadable) -> T:
    """What was found, where nothing can be done without it.

    Raises:
        LedgerUnreadable: It could not be read.
    """
    if isinstance(found, LedgerUnreadable):
        raise found
    return found
