"""Changes to the ledger on their way into Azure Table transactions. Pure: no I/O.

A transaction takes 100 operations and 4 MiB, in one partition, each row once
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.adapters.ledger.rows import Packed, Row, Version, block_row, encode, id_row, key_row
from shared.domain.ledger import Stored
from shared.errors import KeyNotUsable

type Operation = tuple[str, Row] | tuple[str, Row, Mapping[str, Any]]

_OPERATIONS: Final = 100
# Of values: base64 and headers come on top, and aiohttp likes no body over 1 MiB.
_BYTES: Final = 600_000


@dataclass
class Change:
    """One entry to store. `write` marks the row, so that a write whose answer was lost can be recognised.

    `takes_over` is the etag of an id's row that nobody claims any more; `released` tells that the former id's row
    is gone already.
    """

    entity: str
    stored: Stored
    packed: Packed
    write: str
    takes_over: str | None = None
    released: bool = False
    done: bool = False
    outcome: Stored | KeyNotUsable | None = None
    version: Version | None = field(init=False)

    def __post_init__(self) -> None:
        self.version = Version.parse(self.stored.etag) if self.stored.etag is not None else None

    @property
    def former_id(self) -> str | None:
        """The id that the stored row is bound to."""
        return self.version.dynamics_id if self.version else None

    @property
    def new_id(self) -> str | None:
        """The id that this change binds, if it changes that."""
        dynamics_id = self.stored.entry.dynamics_id
        return dynamics_id if dynamics_id != self.former_id else None

    @property
    def left_id(self) -> str | None:
        """The id that this change lets go, if it does."""
        return self.former_id if self.former_id != self.stored.entry.dynamics_id else None

    @property
    def new_blocks(self) -> Mapping[str, Row]:
        """The blocks of conflicts that are not stored yet."""
        known = self.version.blocks if self.version else ()
        return {digest: row for digest, row in self.packed.blocks.items() if digest not in known}

    @property
    def size(self) -> int:
        """About how many bytes its values take."""
        return sum(len(value) for row in (self.packed.row, *self.new_blocks.values()) for value in row.values())

    def conclude(self, outcome: Stored | KeyNotUsable | None) -> None:
        """Set what became of it."""
        self.done, self.outcome = True, outcome

    def landed(self, etag: str) -> None:
        """Conclude that it was stored."""
        version = Version(etag, self.stored.entry.dynamics_id, tuple(self.packed.blocks))
        self.conclude(Stored(entry=self.stored.entry, etag=str(version)))


@dataclass
class Unit:
    """The changes that must happen together or not at all: one, or a move's two."""

    changes: Sequence[Change]

    @property
    def touched(self) -> set[str]:
        """The rows that it writes."""
        return {operation[1]["RowKey"] for operation in self.operations()}

    @property
    def open(self) -> bool:
        """Whether nothing is known yet of what became of it."""
        return not any(change.done for change in self.changes)

    def operations(self) -> list[Operation]:
        """What to send: an entry's own row before the rows that depend on it."""
        left = {change.left_id for change in self.changes if change.left_id is not None}
        taken = {change.new_id for change in self.changes if change.new_id is not None}
        found: list[Operation] = []
        for change in self.changes:
            found.append(_main(change))
            found += [
                ("upsert", _keyed(change, block_row(digest), row), {"mode": "replace"})
                for digest, row in change.new_blocks.items()
            ]
            if change.left_id is not None and change.left_id not in taken and not change.released:
                found.append(("delete", _keyed(change, id_row(change.left_id))))
            if change.new_id is not None:
                row = _keyed(change, id_row(change.new_id), {"key": change.stored.entry.key})
                if change.new_id in left:
                    # The entry that lets it go guards it with its own etag.
                    found.append(("upsert", row, {"mode": "replace"}))
                elif change.takes_over is not None:
                    found.append(("update", row, _if_match(change.takes_over)))
                else:
                    found.append(("create", row))
        return found


def waves(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units that may be sent side by side: those that share a row follow each other, in the order given."""
    rest = list(units)
    while rest:
        seen: set[str] = set()
        now: list[Unit] = []
        later: list[Unit] = []
        for unit in rest:
            touched = unit.touched
            (later if touched & seen else now).append(unit)
            seen |= touched
        yield now
        rest = later


def transactions(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units by transaction."""
    chunk: list[Unit] = []
    operations = size = 0
    for unit in units:
        count = len(unit.operations())
        weight = sum(change.size for change in unit.changes)
        if chunk and (operations + count > _OPERATIONS or size + weight > _BYTES):
            yield chunk
            chunk, operations, size = [], 0, 0
        chunk.append(unit)
        operations += count
        size += weight
    if chunk:
        yield chunk


def _main(change: Change) -> Operation:
    row = _keyed(change, key_row(change.stored.entry.key), {**change.packed.row, "write": change.write})
    return ("update", row, _if_match(change.version.etag)) if change.version else ("create", row)


def _keyed(change: Change, row_key: str, row: Row | None = None) -> Row:
    return {"PartitionKey": encode(change.entity), "RowKey": row_key, **(row or {})}


def _if_match(etag: str) -> Mapping[str, Any]:
    from azure.core import MatchConditions  # noqa: PLC0415  # not before the ledger is used

    return {"mode": "replace", "etag": etag, "match_condition": MatchConditions.IfNotModified}
