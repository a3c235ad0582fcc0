"""What the ledger's tests share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from shared.domain.base import Base
from shared.domain.link import (
    ConflictRecord,
    FieldVersion,
    Identity,
    Link,
    LinkHash,
    ParkedField,
    Seen,
    Stored,
    Written,
)
from shared.domain.model import Version
from shared.domain.write import Intent
from shared.errors import LinkTooLarge
from shared.flows.ports.engine import Ledger, State

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)


class Both(Ledger, State, Protocol):
    """What every store is."""


@dataclass(frozen=True)
class Store:
    """A store that any number of workers may open; `spoil` edits an asset's row by hand: its identity, its new body."""

    open: Callable[[], Both]
    spoil: Callable[[Identity, str], Awaitable[None]]


def cmms(value: str) -> Identity:
    """A CMMS record's id."""
    return Identity("cmms", value)


def row(value: str) -> Identity:
    """A row's GUID."""
    return Identity("row", value)


def by_key(value: str) -> Identity:
    """The key of a record whose id is not known."""
    return Identity("key", value)


def fresh(*identities: Identity, key: str = "") -> Stored:
    """A link with these identities that the ledger does not hold yet; `key` tells links apart."""
    return with_identities(Stored(link=Link(key=key)), *identities)


def with_identities(stored: Stored, *identities: Identity) -> Stored:
    """The same link under the same etag, with other identities."""
    named = {identity.kind: identity.value for identity in identities}
    update = {"cmms_id": named.get("cmms"), "row_id": named.get("row"), "by_key": "key" in named}
    return changed(stored, **update, **({"key": named["key"]} if "key" in named else {}))


def changed(stored: Stored, **update: object) -> Stored:
    """The same link under the same etag, with other contents."""
    return stored.model_copy(update={"link": stored.link.model_copy(update=update)})


async def write_one(ledger: Ledger, stored: Stored, entity: str = "asset") -> Stored | LinkTooLarge | None:
    """Write one link."""
    return (await ledger.write(entity, [stored]))[0]


async def stored_one(ledger: Ledger, stored: Stored) -> Stored:
    """Write an asset's link, which must be possible."""
    result = await write_one(ledger, stored)
    assert isinstance(result, Stored)
    return result


async def find(ledger: Ledger, *identities: Identity, entity: str = "asset") -> dict[Identity, Stored]:
    """The links that are found, all of which must be readable."""
    found = await ledger.find(entity, identities)
    links = {identity: one for identity, one in found.items() if isinstance(one, Stored)}
    assert links == found
    return links


async def keys(ledger: Ledger, *identities: Identity, entity: str = "asset") -> dict[Identity, str]:
    """The keys of the links that are found, by which the tests tell links apart."""
    found = await find(ledger, *identities, entity=entity)
    return {identity: stored.link.key for identity, stored in found.items()}


async def scanned(ledger: Ledger, entity: str = "asset") -> list[Link]:
    """Every link, all of which must be readable."""
    links = [one async for page in ledger.scan(entity) for one in page]
    assert all(isinstance(one, Link) for one in links), links
    return [one for one in links if isinstance(one, Link)]


async def hashed(ledger: Ledger, entity: str = "asset") -> list[LinkHash]:
    """Every link's hashes."""
    return [one async for page in ledger.hashes(entity) for one in page]


def hash_of(link: Link) -> LinkHash:
    """What `hashes` must tell of a link."""
    hashes = link.hashes
    deleted = link.deleted_at is not None
    return LinkHash(link.cmms_id, link.row_id, link.key, hashes["cmms"], hashes["dynamics"], deleted)


def full_link() -> Link:
    """A link in which everything is said."""
    return Link(
        cmms_id="4711",
        row_id="1d6c1d5b-0000-4000-8000-00000000000f",
        key="A-1",
        by_key=True,
        bases={
            "estado": Base(cmms="BORRADOR", dynamics="1", rule="c0ffee"),
            "total": Base(cmms=None, dynamics="0.10"),
        },
        seen=Seen(row_version=12, stamp="op-1", row_made=NOW, cmms_version=NOW, operation="op-2"),
        said={"total": FieldVersion(value="1.5", version=Version(NOW, 7))},
        deleted=Version(NOW, 8),
        deleted_at=NOW,
        takes_over="1d6c1d5b-0000-4000-8000-00000000000e",
        intents=(
            Intent(
                id="op-3", side="cmms", target=None, etag=None, values={"a": None}, sources={"a": "é"},
                before={"a": "x"}, state=(None, 3), expires_at=NOW + timedelta(seconds=150),
            ),
        ),
        conflicts=(conflict(1), conflict(2)),
        parked={"serie": ParkedField(side="dynamics", digest="00ff", reason="mapping_error")},
        written={"serie": (Written(side="cmms", digest="ff00", at=NOW),)},
        last_sync=NOW,
    )  # fmt: skip


def conflict(number: int, size: int = 0) -> ConflictRecord:
    """A record of a lost value, of about `size` characters."""
    return ConflictRecord(
        field="nombre", winner="cmms", won=f"won {number}", lost=f"lost {number} " + "x" * size, why="both_changed",
        at=NOW + timedelta(seconds=number),
    )  # fmt: skip


def filled(text: str, *identities: Identity) -> Stored:
    """A link that remembers a long value."""
    return changed(fresh(*identities), bases={"nombre": Base(cmms=text, dynamics=text[:1])})
