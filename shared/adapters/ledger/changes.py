"""Changes to the ledger on their way into Azure Table transactions. Pure: no I/O.

A transaction takes 100 operations and 4 MiB, in one partition, each row once
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.adapters.ledger.refusals import too_large
from shared.adapters.ledger.rows import Packed, Row, Version, block_name, encode, pack
from shared.domain.link import Stored

type Operation = tuple[str, Row] | tuple[str, Row, Mapping[str, Any]]

_REPLACE: Final = {"mode": "replace"}
_OPERATIONS: Final = 100
# aiohttp likes no body over 1 MiB, and headers come on top.
_BYTES: Final = 900_000
_MOST_BYTES: Final = 3_500_000


@dataclass
class Change:
    """One link to store, and what became of that.

    `write` marks the link's row, so that a write whose answer was lost can be recognised. `stale` are the etags of
    pointers that lead to no link any more, by name: the change takes them over. `gone` are pointers of the link that
    are no longer there. Both are left behind only by a person who deleted rows.
    """

    entity: str
    stored: Stored
    packed: Packed
    write: str
    stale: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    done: bool = False
    outcome: Stored | None = None
    version: Version | None = field(init=False)

    def __post_init__(self) -> None:
        self.version = Version.parse(self.stored.etag) if self.stored.etag is not None else None

    @property
    def name(self) -> str:
        """The row that holds the link once the change is stored."""
        return self.packed.names[0]

    @property
    def former(self) -> tuple[str, ...]:
        """The rows of the stored link's identities, its own row first."""
        return self.version.names if self.version else ()

    @property
    def taken(self) -> list[str]:
        """The rows of identities that the stored link does not have."""
        return [name for name in self.packed.names if name not in self.former]

    @property
    def let_go(self) -> list[str]:
        """The pointers of identities that the link has no longer."""
        return [name for name in self.former[1:] if name not in self.packed.names]

    @property
    def rows(self) -> set[str]:
        """Every row that the change may touch."""
        return {*self.packed.names, *self.former, *map(block_name, self._new_blocks)}

    @property
    def size(self) -> int:
        """How many bytes its values take on the wire."""
        return sum(_wire(value) for row in (self.packed.row, *self._new_blocks.values()) for value in row.values())

    def operations(self) -> list[Operation]:
        """What to send. All of it is guarded by the etag of the link's row, or by the absence of a new link's rows."""
        found = [self._operation(name) for name in (*self.packed.names, *self.former[:1], *self.let_go)]
        blocks: list[Operation] = [
            ("upsert", self._keyed(block_name(digest), row), _REPLACE) for digest, row in self._new_blocks.items()
        ]
        unique = {one[1]["RowKey"]: one for one in found if one is not None}
        return [*unique.values(), *blocks]

    def landed(self, etag: str) -> None:
        """Conclude that it was stored."""
        version = Version(etag, self.packed.names, tuple(self.packed.blocks))
        self.done, self.outcome = True, Stored(link=self.stored.link, etag=str(version))

    def lost(self) -> None:
        """Conclude that another writer was faster, or has one of the identities."""
        self.done, self.outcome = True, None

    @property
    def _new_blocks(self) -> Mapping[str, Row]:
        known = self.version.blocks if self.version else ()
        return {digest: row for digest, row in self.packed.blocks.items() if digest not in known}

    def _operation(self, name: str) -> Operation | None:
        """What happens to an identity's row; None where nothing does."""
        row = self._keyed(name, self._wanted(name))
        if self.version and name == self.former[0]:
            guard = _if_match(self.version.etag)
            return ("update", row, {**guard, **_REPLACE}) if name in self.packed.names else ("delete", row, guard)
        if name in self.stale:
            return ("update", row, {**_if_match(self.stale[name]), **_REPLACE})
        if name not in self.former:
            return ("create", row)
        if name not in self.packed.names:
            return None if name in self.gone else ("delete", row)
        if self.name == self.former[0]:
            return None  # the pointer leads to the right row already
        return ("upsert", row, _REPLACE)

    def _wanted(self, name: str) -> Row:
        if name not in self.packed.names:
            return {}
        return {**self.packed.row, "write": self.write} if name == self.name else {"to": self.name}

    def _keyed(self, name: str, row: Row) -> Row:
        return {"PartitionKey": encode(self.entity), "RowKey": name, **row}


def prepare(entity: str, stored: Stored, write: str) -> Change:
    """A change, if the table can hold its link.

    Raises:
        LinkTooLarge: It cannot.
    """
    change = Change(entity, stored, pack(entity, stored.link), write)
    if change.size > _MOST_BYTES or len(change.rows) > _OPERATIONS:
        raise too_large(entity, stored.link, "its conflicts are more than one transaction takes")
    return change


def swapped(partition: str, name: str, body: str, etag: str | None) -> Operation:
    """What stores a row of one text in the place of the one with this etag, or where there is none."""
    row: Row = {"PartitionKey": partition, "RowKey": name, "body": body}
    return ("create", row) if etag is None else ("update", row, {**_if_match(etag), **_REPLACE})


def waves(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes that may be sent side by side: those that share a row follow each other, in the order given."""
    rest = list(changes)
    while rest:
        seen: set[str] = set()
        now: list[Change] = []
        later: list[Change] = []
        for change in rest:
            (later if change.rows & seen else now).append(change)
            seen |= change.rows
        yield now
        rest = later


def transactions(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes by transaction."""
    chunk: list[Change] = []
    operations = size = 0
    for change in changes:
        count, weight = len(change.operations()), change.size
        if chunk and (operations + count > _OPERATIONS or size + weight > _BYTES):
            yield chunk
            chunk, operations, size = [], 0, 0
        chunk.append(change)
        operations += count
        size += weight
    if chunk:
        yield chunk


def _wire(value: object) -> int:
    """Binary values travel as base64, text as JSON in ASCII, inside the JSON of the row."""
    return len(value) * 4 // 3 if isinstance(value, bytes) else len(json.dumps(value))


def _if_match(etag: str) -> Mapping[str, Any]:
    from azure.core import MatchConditions  # noqa: PLC0415  # not before the ledger is used

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}
