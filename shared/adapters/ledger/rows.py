"""How a link is laid out in Azure Table rows. Pure: no I/O.

In the partition of its entity each identity of a link has one row. The first identity's row holds the link, the others
point to it:

| row                                      | properties                                                      |
|------------------------------------------|-----------------------------------------------------------------|
| `c.<cmms id>`, `k.<key>` or `r.<row id>` | `cmms_id`, `row_id`, `key`, `by_key`, `deleted`, `hash_cmms`, `hash_dynamics`: read without parsing; `body`: the link as JSON; `blocks`: old conflicts; `write`: the write that stored it |
| the same, for the other identities       | `to`: the name of the link's row                                |
| `b.<digest>`                             | a block of old conflicts                                        |

A property holds 64 KiB and a row 1 MiB (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model),
so a long body is compressed and cut into binary properties `z00`, `z01`, ..., and a long history of conflicts is kept
in rows of its own.
"""  # noqa: E501  # a table's line

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any, Final, Self

import msgspec

from shared.adapters.ledger.refusals import too_large, unreadable
from shared.domain.link import ConflictRecord, Identity, Link, LinkHash, Stored, known_identities
from shared.errors import LedgerUnreadable

type Row = dict[str, Any]

HASHED: Final = ("key", "cmms_id", "row_id", "deleted", "hash_cmms", "hash_dynamics")
_PLAIN: Final = frozenset(f"{ascii_letters}{digits}-._")
_LONGEST_KEY: Final = 400  # a row key holds 512 UTF-16 units
_LONGEST_BODY: Final = 16_000  # a string property holds 32 Ki UTF-16 units, of which a character takes one or two
_LONGEST_NAME: Final = 8_000  # so that the names beside a body fit into its row
_PIECE: Final = 60 * 1024
_PIECES: Final = 15
_BLOCK: Final = 128 * 1024
_CONFLICTS: Final = msgspec.json.Decoder(tuple[ConflictRecord, ...])
# What a row that was edited by hand may meet here: ValueError is also that of text that is not UTF-8.
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, KeyError, TypeError, zlib.error)


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


def name_of(identity: Identity) -> str:
    """The row key of an identity, such as `c.4711`."""
    return f"{identity.kind[0]}.{encode(identity.value)}"


def block_name(digest: str) -> str:
    """The row key of a block of old conflicts."""
    return f"b.{digest}"


@dataclass(frozen=True)
class Version:
    """What `Stored.etag` holds: the row's etag, and what the next write must know of the rows that it replaces.

    `names` are the rows of the link's identities, the link's own row first; `blocks` the digests of its blocks.
    """

    etag: str
    names: tuple[str, ...]
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return json.dumps([self.etag, self.names, self.blocks])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Stored.etag` back."""
        etag, names, blocks = json.loads(text)
        return cls(etag, tuple(names), tuple(blocks))


@dataclass(frozen=True)
class Packed:
    """A link as properties: its identities' rows, what its own row (the first) holds, and its blocks by digest."""

    names: tuple[str, ...]
    row: Row
    blocks: Mapping[str, Row] = field(default_factory=dict)


def pack(entity: str, link: Link) -> Packed:
    """Lay a link out.

    Raises:
        LinkTooLarge: The link is larger than a row can hold.
    """
    body = link.to_json()
    blocks: dict[str, Row] = {}
    if len(body) > _BLOCK:
        kept = link.conflicts
        for block in _full_blocks(link.conflicts):
            text = msgspec.json.encode(block).decode()
            # Named by its contents: a block never changes, so any number of writers may store it at once.
            blocks[sha256(text.encode()).hexdigest()] = _properties(entity, link, text)
            kept = kept[len(block) :]
        body = link.model_copy(update={"conflicts": kept}).to_json()
    row: Row = {"key": link.key, "deleted": link.deleted_at is not None, **_properties(entity, link, body)}
    hashes = link.hashes
    optional = {
        "cmms_id": link.cmms_id, "row_id": link.row_id, "by_key": link.by_key or None,
        "hash_cmms": hashes["cmms"] or None, "hash_dynamics": hashes["dynamics"] or None,
        "blocks": json.dumps(list(blocks)) if blocks else None,
    }  # fmt: skip
    row |= {name: value for name, value in optional.items() if value is not None}
    for name, value in row.items():
        if name != "body" and isinstance(value, str) and len(value) > _LONGEST_NAME:
            what = "history of conflicts" if name == "blocks" else name
            raise too_large(entity, link, f"its {what} is too long")
    return Packed(tuple(map(name_of, link.identities)), row, blocks)


def is_pointer(row: Mapping[str, Any]) -> bool:
    """Whether a row points to a link's row."""
    return "to" in row


def claims(row: Mapping[str, Any], name: str) -> bool:
    """Whether a link's row says that the link has the identity of that name.

    A row that was emptied by hand may have had it: reading the row then tells what is wrong.
    """
    return "key" not in row or name in map(name_of, _identities(row))


def blocks_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The digests of the blocks that a link goes on in, the oldest first; none where that is not readable."""
    try:
        names = json.loads(row.get("blocks", "[]"))
    except (ValueError, TypeError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def hash_of(row: Mapping[str, Any]) -> LinkHash | None:
    """What the full pass needs of a link's row, from the properties `HASHED`; None for a row emptied by hand.

    The service gives a property that was asked for and is not there as null.
    """
    text = {name: None if row.get(name) is None else str(row[name]) for name in HASHED}
    if text["key"] is None:
        return None
    return LinkHash(
        cmms_id=text["cmms_id"], row_id=text["row_id"], key=text["key"], cmms=text["hash_cmms"] or "",
        dynamics=text["hash_dynamics"] or "", deleted=row.get("deleted") is True,
    )  # fmt: skip


def unpack(
    entity: str, row: Mapping[str, Any], blocks: Mapping[str, Mapping[str, Any]], etag: str
) -> Stored | LedgerUnreadable:
    """A link from its row and its blocks by digest."""
    digests = blocks_of(row)
    identities = _identities(row)
    label = identities[0] if identities else str(row["RowKey"])
    try:
        link = Link.parse(_text(row))
        older = tuple(conflict for digest in digests for conflict in _CONFLICTS.decode(_text(blocks[digest])))
        if "blocks" in row and not digests:
            raise ValueError("the list of blocks is not one")
    except _UNREADABLE as error:
        return unreadable(entity, label, error)
    names = tuple(map(name_of, link.identities))
    if link.identities != identities or names[:1] != (row["RowKey"],):
        return unreadable(entity, label)
    if older:
        link = link.model_copy(update={"conflicts": older + link.conflicts})
    return Stored(link=link, etag=str(Version(etag, names, digests)))


def _identities(row: Mapping[str, Any]) -> Sequence[Identity]:
    """The identities that a link's row names beside its body."""
    text = {name: str(row[name]) for name in ("cmms_id", "row_id", "key") if name in row}
    key = text.get("key", "") if "by_key" in row else None
    return known_identities(text.get("cmms_id"), text.get("row_id"), key)


def _full_blocks(conflicts: tuple[ConflictRecord, ...]) -> Iterator[tuple[ConflictRecord, ...]]:
    """Cut from the oldest on, so that a history that only grows keeps the blocks that it has."""
    start = size = 0
    for end, conflict in enumerate(conflicts, 1):
        size += len(conflict.to_json())
        if size >= _BLOCK:
            yield conflicts[start:end]
            start, size = end, 0


def _properties(entity: str, link: Link, text: str) -> Row:
    if len(text) <= _LONGEST_BODY:
        return {"body": text}
    packed = zlib.compress(text.encode("utf-8"))
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    if len(pieces) > _PIECES:
        raise too_large(
            entity, link, f"it takes {len(packed) // 1024} KiB, and a row holds {_PIECE * _PIECES // 1024} KiB"
        )
    return {f"z{number:02}": piece for number, piece in enumerate(pieces)}


def _text(row: Mapping[str, Any]) -> str:
    if "body" in row:
        return str(row["body"])
    packed = b"".join(row[name] for name in sorted(row) if name[0] == "z" and name[1:].isdigit())
    return zlib.decompress(packed).decode()
