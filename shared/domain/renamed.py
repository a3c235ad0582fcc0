"""Whose memory an entry of the ledger is, and what becomes of it when its record gets another key."""

from collections.abc import Mapping
from typing import Final

from shared.domain.ledger import Entry, ParkedField, Said
from shared.domain.model import CmmsRecord
from shared.domain.planned import RECORD
from shared.errors import KeyNotUsable

ASIDE: Final = " "
"""Before a record's identity: a ledger key, which no record can have, for its memory while records exchange keys."""


def is_aside(key: str) -> bool:
    """Whether a ledger key is that of a memory that was put aside."""
    return key.startswith(ASIDE)


def identity(aside: str) -> str:
    """Whose memory is under such a ledger key: the id that the CMMS knows it by."""
    return aside.removeprefix(ASIDE)


def moved_entries(old: Entry, new: Entry) -> tuple[Entry, Entry]:
    """What is left under the old key, and the memory under the new one; no conflict record is lost on the way."""
    left = Entry(key=old.key, moved_to=new.key, moves=old.moves, parked=old.parked, last_sync=old.last_sync)
    moved = old.model_copy(
        update={
            "key": new.key,
            "renamed_from": old.renamed_from or old.key,
            "conflicts": (*new.conflicts, *old.conflicts),
            "said": newest(old.said, new.said),
            "moves": new.moves,
            "parked": {},
        }
    )
    return without_record(left), moved


def without_record(entry: Entry, *, key_is_free: bool = False) -> Entry:
    """The same once the record has another key: all that is parked is about it, and found again with it.

    But for what another row's having the key has parked: it may have it still, where the key is not known to be free.
    """
    kept = RECORD in entry.parked and _is_taken(entry.parked[RECORD]) and not key_is_free
    taken = {RECORD: entry.parked[RECORD]} if kept else {}
    return entry if taken == entry.parked else entry.model_copy(update={"parked": taken})


def _is_taken(parked: ParkedField) -> bool:
    return parked.reason == KeyNotUsable.reason


def newest(old: Mapping[str, Said], new: Mapping[str, Said]) -> dict[str, Said]:
    """What was said last of each field."""
    older = {name: said for name, said in old.items() if name not in new or new[name].version < said.version}
    return {**new, **older}


def is_known(entry: Entry) -> bool:
    """Whether the ledger remembers more than that there was something once."""
    return bool(entry.dynamics_id or entry.bases or entry.intents)


def is_left(entry: Entry, record: CmmsRecord) -> bool:
    """Whether the memory's record is not the one that the key shows."""
    return is_known(entry) and (record.deleted or is_taken_over(entry, record))


def is_taken_over(entry: Entry, record: CmmsRecord) -> bool:
    """Whether another record has the key now: it tells nothing of the one before."""
    return entry.cmms_id is not None and record.id is not None and entry.cmms_id != record.id


def is_of(entry: Entry, record: CmmsRecord, before: CmmsRecord | None) -> bool:
    """Whether the memory of the former key is this record's: by its identity, else by the former key's tombstone."""
    if entry.cmms_id is not None and record.id is not None:
        return entry.cmms_id == record.id
    return before is not None and before.deleted and before.renamed_to == record.key
