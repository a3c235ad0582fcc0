"""Renames in one-way mode, where only messages tell of them, in any order.

Versions tell whose a message is. A record that left a key took all messages with it that are older than its leaving,
and one that came to a key has none that are older than its coming.
"""

from collections.abc import Sequence
from typing import Final

from shared.domain.ledger import Entry, Mark, Moved, Said, Stored
from shared.domain.messages.events import DeletedData, Event, RenamedData
from shared.domain.model import Version
from shared.domain.planned import RECORD
from shared.domain.renamed import moved_entries, newest, without_record
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, IntentHeld, LedgerUnreadable
from shared.flows.ports.engine import Clock, Ledger
from shared.flows.routing.outcomes import Again, Park
from shared.flows.sync.items import Item, Memories
from shared.flows.sync.strangers import PATIENCE

LONGEST_CHAIN: Final = 50
"""Renames in a row that a message follows; no order of messages makes more than there were renames."""


class Moves:
    """The renames of one batch: `follow` before them, `rename`, and `follow` again for what they moved."""

    def __init__(self, ledger: Ledger, entity: EntityMapping, clock: Clock) -> None:
        self._ledger = ledger
        self._entity = entity
        self._clock = clock

    async def follow(self, items: Sequence[Item]) -> Memories:
        """Turn messages of an old key into messages of the key that their record has now; answers what was read.

        A message that is newer than the rename is about another record, which took the old key over.
        """
        read: dict[str, Stored | LedgerUnreadable] = {}
        moving = [item for item in items if item.outcome is None and item.key is not None]
        for _ in range(LONGEST_CHAIN):
            if unread := sorted({item.key for item in moving if item.key} - read.keys()):
                read |= await self._ledger.read(self._entity.name, unread)
            moving = [item for item in moving if self._step(item, read[item.key or ""])]
        return read

    @staticmethod
    def _step(item: Item, found: Stored | LedgerUnreadable) -> bool:
        """Let a message go to the next key; answers whether there was one."""
        if isinstance(found, LedgerUnreadable):
            item.outcome = Park(found)
            return False
        entry, version = found.entry, item.version
        if version is None:
            if entry.moved_to is None or RECORD in entry.parked:
                return False  # what is parked under this key is about whatever had it since
            item.key = entry.moved_to
            return True
        # A deletion under the version of a rename is ours: see `_deleted`.
        strictly = item.arrived is not None or isinstance(item.payload, DeletedData)
        at = item.arrived or version
        for move in entry.moves:
            if at < move.version or (at == move.version and not strictly):
                item.key, item.followed, item.arrived = move.to, True, move.version
                return True
        return False

    async def rename(self, items: list[Item]) -> bool:
        """Move the ledger's memory for every rename among the messages, the oldest first; answers if there was one."""
        renames = [
            (version, item)
            for item in items
            if item.outcome is None and isinstance(item.payload, RenamedData)
            if (version := item.version) is not None
        ]
        for version, item in sorted(renames, key=lambda rename: (rename[0].at, rename[0].sequence)):
            if isinstance(item.payload, RenamedData) and item.key != item.payload.old_key:
                items.extend(await self._move(item, item.payload.old_key, version))
        return bool(renames)

    async def _move(self, item: Item, old_key: str, version: Version) -> list[Item]:
        """Move one; answers messages of our own that follow from it."""
        new_key = item.key or ""
        stored = await self._ledger.read(self._entity.name, [old_key, new_key])
        old, new = stored[old_key], stored[new_key]
        if self._step(item, new):
            # The record has left that key as well since it was looked up.
            return await self._move(item, old_key, version) if item.key != old_key else []
        if not (isinstance(old, Stored) and isinstance(new, Stored)):
            item.outcome = Park(next(one for one in (old, new) if not isinstance(one, Stored)))
            return []
        told = any(move.version == version for move in old.entry.moves)
        attempts = item.event.attempt if item.event is not None else 0
        if not told and attempts < PATIENCE and _to_be_left(new.entry, version):
            item.outcome = Again(Conflict(f"The record that had the key {new_key} before is yet to leave it."))
            return []
        if not _was_there(old.entry, version):
            # Nothing but what another record has not said yet is kept under the old key; late messages may yet come.
            if not told:
                rest, arrived = _parted(old.entry, new.entry, version)
                await self._swap(item, old, _left(rest, new_key, version), new, _arrived(arrived, version))
            # Whoever was to put the old row into the state of deleted records may have died over it.
            unfinished = told and _is_gone(old.entry) and old.entry.intents
            return [_deleted(self._entity, item, old_key, version)] if unfinished else []
        now = self._clock.now()
        intents = [intent for intent in (*old.entry.intents, *new.entry.intents) if intent.expires_at > now]
        if intents:
            wait = max(intent.expires_at for intent in intents) - now
            held = IntentHeld(f"Another worker is writing {old_key} or {new_key} right now.", retry_after=wait)
            item.outcome = Again(held)
            return []
        if new.entry.dynamics_id is None and not _later(new.entry.since, version):
            left, moved = moved_entries(old.entry, new.entry)
            before = _deleted_before(old.entry, new.entry, version)
            arrived = _arrived(moved, version).model_copy(update={"deleted_before": before})
            await self._swap(item, old, _left(left, new_key, version), new, arrived)
            return []
        # The new key's messages came first and made a row of their own: the old row is as good as deleted.
        left = _left(old.entry, new_key, version).model_copy(update={"said": {}})
        left = left if left.dynamics_id else without_record(left)
        said = newest(old.entry.said, _since(new.entry, version))
        before = _deleted_before(old.entry, new.entry, version)
        arrived = _arrived(new.entry, version).model_copy(update={"said": said, "deleted_before": before})
        if not told and not await self._swap(item, old, left, new, arrived):
            return []
        return [] if old.entry.dynamics_id is None else [_deleted(self._entity, item, old_key, version)]

    async def _swap(self, item: Item, old: Stored, left: Entry, new: Stored, arrived: Entry) -> bool:
        """Store both at once or neither; else the message is put off."""
        moved = await self._ledger.move(
            self._entity.name, old.model_copy(update={"entry": left}), new.model_copy(update={"entry": arrived})
        )
        if not moved:
            item.outcome = Again(Conflict(f"{left.key} changed while it was being renamed to {arrived.key}."))
        return moved


def _was_there(entry: Entry, version: Version) -> bool:
    """Whether the memory is that of the record that left the key at this version, and not of one that came later."""
    if _is_gone(entry) or not (entry.dynamics_id or entry.said or entry.intents):
        return False
    return not any(_later(mark, version) for mark in (entry.since, entry.deleted_before, *entry.said.values()))


def _is_gone(entry: Entry) -> bool:
    """Whether the record was deleted, and nothing was said since: what came before its deletion is unsaid."""
    return entry.deleted_at is not None and not entry.said


def _to_be_left(entry: Entry, version: Version) -> bool:
    """Whether another record has the key, as far as is known by now, that must have left it before this version."""
    if _later(entry.since, version):
        return True  # or rather: ours left it again, and its next rename is yet to come
    return bool(entry.said) and all(said.version < version for said in entry.said.values())


def _later(mark: Mark | None, version: Version) -> bool:
    return mark is not None and version < mark.version


def _since(entry: Entry, version: Version) -> dict[str, Said]:
    return {name: said for name, said in entry.said.items() if version < said.version}


def _parted(old: Entry, new: Entry, version: Version) -> tuple[Entry, Entry]:
    """What was said under the old key until the rename goes with the record, where another one has the key now."""
    if _later(old.since, version) or _is_gone(old):
        return old, new
    rest = _since(old, version)
    gone = {name: said for name, said in old.said.items() if name not in rest}
    return old.model_copy(update={"said": rest}), new.model_copy(update={"said": newest(gone, new.said)})


def _deleted_before(old: Entry, new: Entry, version: Version) -> Mark | None:
    """What the new key's messages said of a deletion, if it came after the rename; else it was another record's."""
    return new.deleted_before if _later(new.deleted_before, version) else old.deleted_before


def _left(entry: Entry, new_key: str, version: Version) -> Entry:
    """The old key's entry, which knows from now on where the record went."""
    moves = (*entry.moves, Moved(to=new_key, at=version.at, sequence=version.sequence))
    unused = not (entry.dynamics_id or entry.said or entry.intents or entry.deleted_before)
    return entry.model_copy(
        update={
            "moves": tuple(sorted(moves, key=lambda move: (move.at, move.sequence))),
            "moved_to": new_key if unused else entry.moved_to,
        }
    )


def _arrived(entry: Entry, version: Version) -> Entry:
    """The new key's entry, which knows from now on since when the record has it."""
    if _later(entry.since, version):
        return entry
    return entry.model_copy(update={"since": Mark(at=version.at, sequence=version.sequence), "moved_to": None})


def _deleted(entity: EntityMapping, item: Item, key: str, version: Version) -> Item:
    """A message of our own, so that it is tried again, parked and counted like any other."""
    payload = DeletedData(key=key, version=version.at, sequence=version.sequence)
    event = Event(
        source=item.event.source if item.event else "/sync",
        type=f"energy.{entity.name}.deleted",
        subject=key,
        time=version.at,
        data=payload.model_dump(mode="json"),
    )
    return Item(event.to_json().encode(), event, payload, key)
