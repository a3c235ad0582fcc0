"""How an entry is laid out in Azure Table rows. Pure: no I/O.

In the partition of its entity an entry has a row `k.<key>`, and the Dynamics id that it is bound to a row `i.<id>`.
A property holds 64 KiB and a row 1 MiB (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model),
so a long body is compressed and cut into binary properties, and a long history of conflicts is kept in rows of its own.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any, Final, Self

from pydantic import TypeAdapter

from shared.adapters.ledger.refusals import unreadable
from shared.domain.ledger import ConflictRecord, Entry, Stored
from shared.errors import KeyNotUsable, LedgerUnreadable

type Row = dict[str, Any]

_PLAIN: Final = frozenset(f"{ascii_letters}{digits}-._")
_LONGEST_KEY: Final = 400  # a row key holds 512 UTF-16 units
_TEXT_UNITS: Final = 32_000  # a string property holds 32 Ki UTF-16 units
_PIECE: Final = 60 * 1024
_PIECES: Final = 15
_BLOCK: Final = 128 * 1024
_CONFLICTS: Final = TypeAdapter(tuple[ConflictRecord, ...])
# What a row that was edited by hand may meet here: ValueError is also pydantic's, and that of text that is not UTF-8.
_UNREADABLE: Final = (ValueError, KeyError, TypeError, zlib.error)


def encode(text: str) -> str:
    """A partition or row key for any text, without the characters that Azure or a URL could take amiss.

    Different texts never share one. Ordinary keys stay readable; one that would become too long is a digest.
    """
    if _PLAIN.issuperset(text):
        safe = text
    else:
        raw = text.encode("utf-8", "surrogatepass")
        safe = "".join(chr(byte) if chr(byte) in _PLAIN else f"!{byte:02x}" for byte in raw)
    return safe if len(safe) <= _LONGEST_KEY else f"~{sha256(safe.encode()).hexdigest()}"


def key_row(key: str) -> str:
    """The row key of an entry."""
    return f"k.{encode(key)}"


def id_row(dynamics_id: str) -> str:
    """The row key of a Dynamics id's binding."""
    return f"i.{encode(dynamics_id)}"


def block_row(digest: str) -> str:
    """The row key of a block of old conflicts."""
    return f"c.{digest}"


@dataclass(frozen=True)
class Version:
    """What `Stored.etag` holds: the row's etag, and what the next write must know of the row that it replaces."""

    etag: str
    dynamics_id: str | None
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return json.dumps([self.etag, self.dynamics_id, self.blocks])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Stored.etag` back."""
        etag, dynamics_id, blocks = json.loads(text)
        return cls(etag, dynamics_id, tuple(blocks))


@dataclass(frozen=True)
class Packed:
    """An entry as properties: `row` for its own row, and every block of conflicts by its digest."""

    row: Row
    blocks: Mapping[str, Row] = field(default_factory=dict)


def pack(entry: Entry) -> Packed:
    """Lay an entry out.

    Raises:
        KeyNotUsable: The entry is larger than a row can hold.
    """
    body = entry.model_dump_json(exclude_defaults=True)
    blocks: dict[str, Row] = {}
    if len(body) > _BLOCK:
        kept = entry.conflicts
        for block in _full_blocks(entry.conflicts):
            text = _CONFLICTS.dump_json(block).decode()
            digest = sha256(f"{entry.key}\0{text}".encode()).hexdigest()
            blocks[digest] = {"key": entry.key, **_properties(entry.key, text)}
            kept = kept[len(block) :]
        body = entry.model_copy(update={"conflicts": kept}).model_dump_json(exclude_defaults=True)
    row: Row = {"key": entry.key, **_properties(entry.key, body)}
    if entry.dynamics_id is not None:
        row["dynamics_id"] = entry.dynamics_id
    if blocks:
        row["blocks"] = json.dumps(list(blocks))
    return Packed(row, blocks)


def key_of(row: Mapping[str, Any]) -> str:
    """An entry's key by its own row; by the row's name, which is nearly the same, where the row no longer says it."""
    return str(row.get("key") or str(row.get("RowKey", "")).removeprefix("k."))


def blocks_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The digests of the blocks that an entry's row goes on in, the oldest first; none where that is not readable."""
    try:
        names = json.loads(row.get("blocks", "[]"))
    except (ValueError, TypeError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def body_of(row: Mapping[str, Any]) -> str:
    """An entry's JSON from its own row alone, without the conflicts that went on into blocks; "" if unreadable."""
    try:
        return _text(row)
    except _UNREADABLE:
        return ""


def unpack(
    entity: str, key: str, row: Mapping[str, Any], blocks: Mapping[str, Mapping[str, Any]], etag: str
) -> Stored | LedgerUnreadable:
    """An entry from its row and its blocks by digest."""
    names = blocks_of(row)
    try:
        entry = Entry.model_validate_json(_text(row))
        older = tuple(conflict for name in names for conflict in _CONFLICTS.validate_json(_text(blocks[name])))
        if "blocks" in row and not names:
            raise ValueError("the list of blocks is not one")
    except _UNREADABLE as error:
        return unreadable(entity, key, error)
    if entry.key != key:
        return unreadable(entity, key)
    if older:
        entry = entry.model_copy(update={"conflicts": older + entry.conflicts})
    return Stored(entry=entry, etag=str(Version(etag, entry.dynamics_id, names)))


def _full_blocks(conflicts: tuple[ConflictRecord, ...]) -> Iterator[tuple[ConflictRecord, ...]]:
    """Cut from the oldest on, so that a history that only grows keeps the blocks that it has."""
    start = size = 0
    for end, conflict in enumerate(conflicts, 1):
        size += len(conflict.model_dump_json())
        if size >= _BLOCK:
            yield conflicts[start:end]
            start, size = end, 0


def _properties(key: str, text: str) -> Row:
    if len(text) <= _TEXT_UNITS // 2:  # however many characters take two units
        return {"body": text}
    packed = zlib.compress(text.encode("utf-8"))
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    if len(pieces) > _PIECES:
        raise KeyNotUsable(
            f"The ledger cannot hold {key}: what it remembers of the record takes {len(packed) // 1024} KiB and a row"
            f" holds {_PIECE * _PIECES // 1024} KiB. Shorten the record's longest values."
        )
    return {f"z{number:02}": piece for number, piece in enumerate(pieces)}


def _text(row: Mapping[str, Any]) -> str:
    if "body" in row:
        return str(row["body"])
    packed = b"".join(row[name] for name in sorted(row) if name[0] == "z" and name[1:].isdigit())
    return zlib.decompress(packed).decode()
