"""The messages of a batch, read one by one and grouped by the record that they are about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.ledger import Stored
from shared.domain.merge import Blocked
from shared.domain.messages.events import (
    DeletedData,
    DirtyData,
    Event,
    RenamedData,
    UpsertedData,
    parse_event,
)
from shared.domain.model import CmmsRecord, Version
from shared.domain.renamed import is_aside
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, InvalidMessage, KeyNotUsable, LedgerUnreadable, NotYetVisible, PermanentError
from shared.flows.routing.outcomes import Outcome, Park

SOURCE: Final = "/sync"
"""The source of the messages by which the engine has records looked at."""

type Memories = Mapping[str, Stored | LedgerUnreadable]
"""What the ledger answered, by key."""

type Payload = UpsertedData | DeletedData | RenamedData | DirtyData


@dataclass
class Item:
    """One message. `key` and `record_id` name its record; `outcome` is set once it is known.

    `followed` means that its record got another key since: then it is only a hint that the record is dirty. In one-way
    mode, where it is more than that, `arrived` is the version at which its record came to this key.
    """

    body: bytes
    event: Event | None = None
    payload: Payload | None = None
    key: str | None = None
    record_id: str | None = None
    followed: bool = False
    arrived: Version | None = None
    outcome: Outcome | None = None

    @property
    def version(self) -> Version | None:
        """The CMMS version that the message announces."""
        if self.payload is None or isinstance(self.payload, DirtyData) or self.event is None:
            return None
        return self.payload.as_version(self.event.time)


@dataclass
class Group:
    """The messages of one record, and what earlier rounds of this batch learnt about it.

    `parked` names what they parked, by field and digest; `lost` is the last race that was lost for it. `gone` means
    that the CMMS has no record of this identity any more.
    """

    key: str
    items: list[Item]
    refused: list[Blocked] = field(default_factory=list)
    parked: set[tuple[str, str]] = field(default_factory=set)
    applied: bool = False
    lost: Conflict | None = None
    gone: bool = False

    def finish(self, outcome: Outcome) -> None:
        """Give the outcome to every message that has none yet."""
        for item in self.items:
            if item.outcome is None:
                item.outcome = outcome

    @property
    def open_items(self) -> list[Item]:
        """The messages without an outcome."""
        return [item for item in self.items if item.outcome is None]

    def follow(self, key: str) -> None:
        """The record has another key now: the messages go along."""
        self.key, self.gone = key, False
        self.refused.clear()
        self.parked.clear()
        for item in self.open_items:
            item.key, item.followed = key, True

    def join(self, other: "Group") -> None:
        """Take in the messages of a group that got the same key."""
        self.items.extend(other.items)
        self.applied |= other.applied

    @property
    def attempts(self) -> int:
        """How often the most tried of the open messages has failed before."""
        return max((item.event.attempt for item in self.open_items if item.event is not None), default=0)

    @property
    def is_told(self) -> bool:
        """Whether an open message is of this key itself, and was not tried before."""
        return any(not item.followed and item.event is not None and not item.event.attempt for item in self.open_items)

    @property
    def announced_deleted(self) -> bool:
        """Whether a message said that the CMMS deleted the record, or the CMMS by not knowing its identity."""
        return self.gone or any(isinstance(item.payload, DeletedData) and not item.followed for item in self.open_items)

    @property
    def recreate(self) -> bool:
        """Whether an operator asked for a row that is gone to be created again."""
        return any(isinstance(item.payload, DirtyData) and item.payload.operation == "recreate" for item in self.items)


def read_item(entity: EntityMapping, body: bytes) -> Item:
    """Parse one message; a bad one is parked, whatever is wrong with it."""
    item = Item(body)
    try:
        item.event = parse_event(body)
        item.payload = item.event.payload(entity)
        item.key = _key(entity, item.payload)
        if isinstance(item.payload, DirtyData) and item.payload.record_id is not None:
            item.record_id = str(item.payload.record_id)
    except PermanentError as error:
        item.outcome = Park(error)
    return item


def _key(entity: EntityMapping, payload: Payload) -> str | None:
    if isinstance(payload, DirtyData):
        if payload.operation in {"resync", "recreate"} and payload.key is not None and is_aside(payload.key):
            return payload.key  # which only the ledger has
        if payload.key is None and payload.record_id is None:
            raise InvalidMessage("The message names its record by cmms_id alone: say record_id or key as well.")
        return entity.usable_key(payload.key) if payload.key is not None else None
    if isinstance(payload, DeletedData):
        return entity.usable_key(payload.key)
    said = {
        raw
        for name, raw in payload.fields.items()
        if entity.names.get(name) == entity.key.name and raw is not None
        if isinstance(raw, str)
    }
    if payload.key is not None:
        said.add(payload.key)
    if not said:
        raise InvalidMessage(f"The message names no record: data.key or {entity.key.name} is needed.")
    if len(said) > 1:
        raise InvalidMessage(f"The message names two records: data.key and {entity.key.name} differ.")
    if isinstance(payload, RenamedData):
        entity.usable_key(payload.old_key)
    return entity.usable_key(said.pop())


def group_by_key(items: Iterable[Item]) -> dict[str, Group]:
    """Group the messages that still need work, in the order of their first message."""
    groups: dict[str, Group] = {}
    for item in items:
        if item.outcome is None and item.key is not None:
            groups.setdefault(item.key, Group(item.key, [])).items.append(item)
    return groups


def still_open(groups: Iterable[Group]) -> dict[str, Group]:
    """The groups that have open messages, by their keys; those that came to the same key are one."""
    found: dict[str, Group] = {}
    for group in groups:
        if not group.open_items:
            continue
        if group.key in found:
            found[group.key].join(group)
        else:
            found[group.key] = group
    return found


def regrouped(groups: Mapping[str, Group]) -> dict[str, Group]:
    """The same records, where some messages have followed theirs to another key."""
    followed = [item for group in groups.values() for item in group.open_items if item.key != group.key]
    for group in groups.values():
        group.items = [item for item in group.items if item.outcome is not None or item.key == group.key]
    return still_open([*groups.values(), *group_by_key(followed).values()])


def remembered(groups: Mapping[str, Group], found: Memories) -> dict[str, Stored]:
    """What the ledger remembers of each record; one whose row cannot be read is parked alone."""
    stored: dict[str, Stored] = {}
    for key, group in groups.items():
        one = found[key]
        if isinstance(one, Stored):
            stored[key] = one
        else:
            group.finish(Park(one))
    return stored


def unseen(items: Sequence[Item], record: CmmsRecord | None) -> list[tuple[Item, NotYetVisible]]:
    """The messages that announce more than the CMMS shows: they must be tried again, not concluded from."""
    found: list[tuple[Item, NotYetVisible]] = []
    for item in items:
        # Only what the CMMS itself versioned: an event's own time may be any sender's clock.
        announced = item.payload.as_version(None) if isinstance(item.payload, (UpsertedData, DeletedData)) else None
        if item.followed or not isinstance(item.payload, (UpsertedData, DeletedData)):
            continue
        if isinstance(item.payload, DeletedData):
            behind = (
                record is not None
                and not record.deleted
                and (announced is None or record.version is None or record.version < announced)
            )
        elif record is None:
            behind = True
        else:
            behind = announced is not None and record.version is not None and record.version.at < announced.at
        if behind:
            error = NotYetVisible(
                f"The CMMS does not yet show what this message announced of {item.key}: if this goes on, look"
                " whether its integration API reads from the same database as its outbox writes to."
            )
            found.append((item, error))
    return found


def unseen_rows(items: Sequence[Item], entity: EntityMapping) -> list[tuple[Item, NotYetVisible]]:
    """The messages by which Dynamics announced a row, of a record whose row it does not show and we never knew."""
    return [
        (item, unreadable_row(entity, item.record_id or item.key or ""))
        for item in items
        if isinstance(item.payload, DirtyData) and item.payload.operation in {"create", "update"}
    ]


def unreadable_row(entity: EntityMapping, name: str) -> NotYetVisible:
    """Say that Dynamics announced a row that cannot be read."""
    return NotYetVisible(
        f"The row {name} is not in {entity.set}: it may not be readable yet, or our application user may not be"
        " allowed to read it."
    )


def unusable_row_key(entity: EntityMapping, record_id: str) -> KeyNotUsable:
    """Say that a Dynamics row has no key by which the CMMS could know it."""
    return KeyNotUsable(
        f"The row {record_id} in {entity.table} has no usable {entity.key.column}: fill it in there and replay this"
        " message.",
        field=entity.key.name,
    )
