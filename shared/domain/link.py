"""What the ledger remembers of one pair: a CMMS record, its Dynamics row, and the state in which both last agreed.

A link is identified by the CMMS's record id and by the row's GUID, each unique in its entity; either may be unknown for
a while. The business key is a field like any other. Only in one-way mode, where a producer sends no ids, is a link
identified by its key, until a message brings the record's id.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Final, Literal, NamedTuple

from msgspec import field

from shared.domain.base import Base, Why
from shared.domain.kept import Kept
from shared.domain.model import Change, CmmsRecord, DynamicsRecord, Record, Side, Value, Version
from shared.domain.row_hash import row_hash
from shared.domain.write import Intent

type IdentityKind = Literal["cmms", "row", "key"]


class Identity(NamedTuple):
    """One name by which a link is found: `("cmms", "4711")`, `("row", "<guid>")` or `("key", "ACT-1")`."""

    kind: IdentityKind
    value: str

    def names(self, key: str | None) -> tuple["Identity", ...]:
        """The identities to ask the ledger for: a record's link may still be known by its key alone."""
        return known_identities(self.value, key=key) if self.kind == "cmms" else (self,)


def known_identities(
    cmms_id: str | None = None, row_id: str | None = None, key: str | None = None
) -> tuple[Identity, ...]:
    """The identities of a link of which these are known; the first is the one under which the link is stored.

    Args:
        cmms_id: The CMMS's id of the record.
        row_id: The row's GUID.
        key: The business key, where it identifies the link.
    """
    names: tuple[tuple[IdentityKind, str | None], ...] = (("cmms", cmms_id), ("key", key), ("row", row_id))
    return tuple([Identity(kind, value) for kind, value in names if value is not None])


type Restored = Literal["cmms", "dynamics", "ledger"]
"""What was restored from a backup: either side, or the ledger's own memory."""
_COUNTING: Final[Mapping[Restored | None, Side]] = {"cmms": "dynamics", "dynamics": "cmms"}


class ConflictRecord(Kept, frozen=True):
    """A value that did not survive, kept where a person can find it.

    `why`: `both_changed`; `first_contact` (no base yet); `one_way` (the target of a one-way field was edited);
    `create_only` (the field cannot be written any more); `late_write` (a write of unknown outcome was followed by
    another change); `taken_over` (another CMMS record took the row over); `key_released` (the row gave up a key that
    another record needs); `restored` (its side was restored from a backup, and an operator had the other side count);
    `revived` (the CMMS's record was deleted, and lives again: perhaps as a backup had it).
    """

    field: str
    winner: Side
    won: Value
    lost: Value
    why: Why
    at: datetime


class ParkedField(Kept, frozen=True):
    """A field that was parked, and the digest of the value that caused it: each value is parked once."""

    side: Side
    digest: str
    reason: str


NOT_PARKED: Final = ParkedField(side="cmms", digest="", reason="")
"""Stands for the park of a field that is not parked: no value has its digest."""


class Written(Kept, frozen=True):
    """A value that was written to a side, by its digest, and when that was confirmed: see `domain.loop_detection`."""

    side: Side
    digest: str
    at: datetime


class FieldVersion(Kept, frozen=True):
    """One-way mode: the newest value that a message gave for a field, and that message's version."""

    value: Value
    version: Version


class Seen(Kept, frozen=True):
    """The newest state of either side that the link knows: the conditions under which its bases count.

    `row_version` is the number in the row's etag, `row_modified` when the row was changed then, `row_state` the state
    that it had, `stamp` the operation that it showed and `first_stamp` the first one of the row, `row_made` when
    Dynamics made it; `cmms_version` and `cmms_revision` are the record's version and its number of changes, `operation`
    the last operation that it showed.
    `currency` is the row's currency under which its figures were agreed: it changes by a person's word alone.
    """

    row_version: int | None = None
    row_modified: datetime | None = None
    row_state: int | None = None
    stamp: str | None = None
    first_stamp: str | None = None
    row_made: datetime | None = None
    currency: str | None = None
    cmms_version: datetime | None = None
    cmms_revision: int | None = None
    operation: str | None = None

    @property
    def row(self) -> Change:
        """The row's last change that was seen."""
        return Change(self.row_version, self.row_modified)

    @property
    def record(self) -> Change:
        """The record's last change that was seen."""
        return Change(self.cmms_revision, self.cmms_version)

    def after(self, *shown: Record) -> "Seen":
        """The newest state once these records and rows have been read; what is absent or deleted changes nothing."""
        update: dict[str, object] = {}
        for one in filter(attrgetter("living"), shown):
            if isinstance(one, DynamicsRecord):
                update |= {"row_version": one.version, "row_modified": one.modified, "row_state": one.state}
                update |= {"stamp": one.last_operation, "row_made": one.created}
                update |= {"first_stamp": self.first_stamp or one.last_operation}
                update |= {"currency": self.currency or one.currency}
            elif isinstance(one, CmmsRecord):
                update |= {"cmms_version": one.changed_at, "cmms_revision": one.revision}
                update |= {"operation": one.last_operation}
        return self.model_copy(update=update)


class Link(Kept, frozen=True):
    """One pair. Without bases the two sides have never met.

    `key` is the business key as last known, for people and for `by_key`. `by_key` means that no message has brought
    the record's id yet. `deleted_at` is set while the CMMS's record is deleted. `takes_over` is the row of a deleted
    record that the link is about to have: it is stored before that record's link lets go of the row. In one-way mode
    `said` holds the newest value of each field, and `deleted` the version of the last deletion. `restored` is an
    operator's word that a side or the ledger was restored from a backup: the next decision about the record obeys.
    `chosen` are the sides that an operator chose for fields of which nothing is agreed yet: a write may still fail.
    """

    cmms_id: str | None = None
    row_id: str | None = None
    key: str = ""
    by_key: bool = False
    bases: dict[str, Base] = field(default_factory=dict)
    seen: Seen = Seen()
    said: dict[str, FieldVersion] = field(default_factory=dict)
    deleted: Version | None = None
    deleted_at: datetime | None = None
    takes_over: str | None = None
    intents: tuple[Intent, ...] = ()
    conflicts: tuple[ConflictRecord, ...] = ()
    parked: dict[str, ParkedField] = field(default_factory=dict)
    written: dict[str, tuple[Written, ...]] = field(default_factory=dict)
    last_sync: datetime | None = None
    restored: Restored | None = None
    chosen: dict[str, Side] = field(default_factory=dict)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Every name by which the ledger finds the link; the first is the one under which it is stored."""
        return known_identities(self.cmms_id, self.row_id, self.key if self.by_key else None)

    @property
    def hashes(self) -> Mapping[Side, str]:
        """One row hash per side, of what the bases say that the side holds: see `domain.row_hash`."""
        rules = {name: base.rule for name, base in self.bases.items()}
        return {
            "cmms": row_hash({name: base.cmms for name, base in self.bases.items()}, rules),
            "dynamics": row_hash({name: base.dynamics for name, base in self.bases.items()}, rules),
        }

    @property
    def counting(self) -> Side | None:
        """The side whose values count because the other one was restored from a backup; None where neither was."""
        return _COUNTING.get(self.restored)

    @property
    def revives(self) -> bool:
        """Whether the link's row may be inactive for a deleted record: its own, or the one that the row was of."""
        return self.deleted_at is not None or self.takes_over is not None

    @property
    def without_row(self) -> "Link":
        """The link of a record that gives up its row, and forgets all that was remembered of both together."""
        kept = self.intents_of("cmms")
        nothing: dict[str, object] = {"bases": {}, "seen": Seen(), "parked": {}, "restored": None, "chosen": {}}
        return self.model_copy(update={"row_id": None, "intents": kept, **nothing})

    def park_of(self, field: str) -> ParkedField:
        """The park of a field, or of the record (`blocked.RECORD`); `NOT_PARKED` where there is none."""
        return self.parked.get(field, NOT_PARKED)

    def unrecorded(self, conflicts: Iterable[ConflictRecord]) -> tuple[ConflictRecord, ...]:
        """The conflicts that the link does not hold already as the last ones of their fields."""
        latest = {conflict.field: conflict.model_copy(update={"at": None}) for conflict in self.conflicts}
        return tuple(one for one in conflicts if one.model_copy(update={"at": None}) != latest.get(one.field))

    def recording(self, conflicts: Iterable[ConflictRecord]) -> "Link":
        """The link with these conflicts on record."""
        return self.model_copy(update={"conflicts": (*self.conflicts, *self.unrecorded(conflicts))})

    def is_deleted(self, cmms: CmmsRecord, *, said: bool = False) -> bool:
        """Whether the CMMS deleted the record: by its tombstone, or if it is absent by the link or a message."""
        return cmms.deleted or (not cmms.exists and (said or self.deleted_at is not None))

    def identified_by(self, cmms: CmmsRecord) -> "Link":
        """The link with the record's id, where the record has one: in one-way mode a producer may send none."""
        known = cmms.id in {"", self.cmms_id}
        return self if known else self.model_copy(update={"cmms_id": cmms.id})

    def without(self, intent: Intent) -> "Link":
        """The link without one of its intents, which is settled."""
        return self.model_copy(update={"intents": tuple(one for one in self.intents if one.id != intent.id)})

    @property
    def announced(self) -> frozenset[str]:
        """The operation ids of the intents."""
        return frozenset(intent.id for intent in self.intents)

    def intents_of(self, side: Side) -> tuple[Intent, ...]:
        """The intents of the writes to one side."""
        return tuple(intent for intent in self.intents if intent.side == side)

    def create_of(self, side: Side) -> Intent | None:
        """The intent of the create on one side, if there is one: a create in doubt is repeated under its own name."""
        return next((intent for intent in self.intents_of(side) if intent.creates), None)

    def same_as(self, other: "Link") -> bool:
        """Whether two states of a link are equal, but for what can wait until the next write stores it."""
        # A currency is a condition that no later write needs to bring along.
        seen = other.seen.model_copy(update={"currency": self.seen.currency})
        return self.model_copy(update={"seen": seen, "last_sync": other.last_sync}) == other

    def live_intent(self, now: datetime) -> Intent | None:
        """The intent of a worker that may still be writing, if there is one."""
        return next((intent for intent in self.intents if intent.expires_at > now), None)


class Stored(Kept, frozen=True):
    """A link with the etag under which it was read; None means that the ledger does not hold it yet."""

    link: Link
    etag: str | None = None


class LinkHash(NamedTuple):
    """A link as the full pass needs it, read without parsing its body. The hashes are those of `Link.hashes`."""

    cmms_id: str | None
    row_id: str | None
    key: str
    cmms: str
    dynamics: str
    deleted: bool

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The names by which the ledger finds the link, in the order of `Link.identities`."""
        return known_identities(self.cmms_id, self.row_id) or (Identity("key", self.key),)
