"""Renames in one-way mode, where only messages tell of them."""

from collections.abc import Sequence

from shared.domain.events import DeletedData, Event, RenamedData
from shared.domain.ledger import Stored
from shared.domain.mapping import EntityMapping
from shared.domain.model import Version
from shared.errors import Conflict, IntentHeld, LedgerUnreadable
from shared.flows.outcomes import Again, Park
from shared.flows.ports import Clock, Ledger
from shared.flows.sync.items import Item, Memories
from shared.flows.sync.renames import moved_entries


async def follow_moves(ledger: Ledger, entity: EntityMapping, items: Sequence[Item]) -> Memories:
    """Turn messages of an old key into messages of the key that the record has now; answers what was read for it.

    A message that is newer than the rename is about another record, which took the old key over.
    """
    read: dict[str, Stored | LedgerUnreadable] = {}
    open_items = [item for item in items if item.outcome is None and item.key is not None]
    seen: set[str] = set()
    while keys := {item.key for item in open_items if item.key is not None} - seen:
        seen |= keys
        stored = await ledger.read(entity.name, sorted(keys))
        read |= stored
        for item in open_items:
            found = stored.get(item.key or "")
            if not isinstance(found, Stored):
                if found is not None:
                    item.outcome = Park(found)
                continue
            if found.entry.moved_to is None:
                continue
            version, moved_at = item.version, found.entry.moved_at
            if version is None or moved_at is None or version.at <= moved_at:
                item.key = found.entry.moved_to
    return read


async def move_renamed(ledger: Ledger, entity: EntityMapping, items: list[Item], clock: Clock) -> bool:
    """Move the ledger's memory for every rename in the batch, in the batch's order; answers whether there was one."""
    renamed = False
    for item in tuple(items):
        if item.outcome is None and isinstance(item.payload, RenamedData) and item.key is not None:
            version = item.version
            if item.key != item.payload.old_key and version is not None:
                renamed = True
                found = await _move(ledger, entity, item, version, old_key=item.payload.old_key, clock=clock)
                items.extend(found)
    return renamed


async def _move(
    ledger: Ledger, entity: EntityMapping, item: Item, version: Version, *, old_key: str, clock: Clock
) -> list[Item]:
    """Move one; answers messages of our own that follow from it."""
    new_key = item.key or ""
    stored = await ledger.read(entity.name, [old_key, new_key])
    old, new = stored[old_key], stored[new_key]
    if not (isinstance(old, Stored) and isinstance(new, Stored)):
        item.outcome = Park(next(one for one in (old, new) if not isinstance(one, Stored)))
        return []
    if old.entry.moved_to == new_key or not (old.entry.dynamics_id or old.entry.said or old.entry.intents):
        return []  # moved already, or never heard of: nothing to keep
    if any(value.at > version.at for value in old.entry.said.values()):
        return []  # a late message: another record has taken the old key over
    now = clock.now()
    intents = [intent for intent in (*old.entry.intents, *new.entry.intents) if intent.expires_at > now]
    if intents:
        wait = max(intent.expires_at for intent in intents) - now
        held = IntentHeld(f"Another worker is writing {old_key} or {new_key} right now.", retry_after=wait)
        item.outcome = Again(held)
    elif new.entry.dynamics_id is not None:
        # The new key's messages came first and made a row of their own: the old row is as good as deleted.
        if old.entry.dynamics_id is not None:
            return [_deleted(entity, item, old_key, version)]
    else:
        left, moved = moved_entries(old.entry, new.entry)
        left = left.model_copy(update={"moved_at": version.at})
        if not await ledger.move(
            entity.name, old.model_copy(update={"entry": left}), new.model_copy(update={"entry": moved})
        ):
            item.outcome = Again(Conflict(f"{old_key} changed while it was being renamed to {new_key}."))
    return []


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
