"""A record that got another key in the CMMS keeps its row: its memory moves to the new key, at once or not at all."""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.events import RenamedData
from shared.domain.ledger import Entry
from shared.domain.mapping import EntityMapping
from shared.errors import Conflict, IntentHeld
from shared.flows.outcomes import Again
from shared.flows.ports import Ledger
from shared.flows.sync.items import Item


async def follow_moves(ledger: Ledger, entity: EntityMapping, items: Sequence[Item]) -> None:
    """Turn messages of an old key into messages of the key that the record has now."""
    open_items = [item for item in items if item.outcome is None and item.key is not None]
    seen: set[str] = set()
    while keys := {item.key for item in open_items if item.key is not None} - seen:
        seen |= keys
        stored = await ledger.read(entity.name, sorted(keys))
        for item in open_items:
            found = stored.get(item.key or "")
            if found is not None and found.entry.moved_to is not None:
                item.key = found.entry.moved_to


async def move_renamed(ledger: Ledger, entity: EntityMapping, items: Sequence[Item], now: datetime) -> None:
    """Move the ledger's memory for every rename in the batch, in the batch's order."""
    for item in items:
        if item.outcome is not None or not isinstance(item.payload, RenamedData) or item.key is None:
            continue
        old_key = item.payload.old_key
        stored = await ledger.read(entity.name, [old_key, item.key])
        old, new = stored[old_key], stored[item.key]
        if item.key in {old_key, old.entry.moved_to} or old.entry.dynamics_id is None:
            continue  # moved already, or never synced: nothing to keep
        if new.entry.dynamics_id is not None:
            continue  # the new key has a row of its own: the merge decides, and reports the old one as deleted
        if intent := old.entry.live_intent(now):
            item.outcome = Again(
                IntentHeld(f"Another worker is writing {old_key} right now.", retry_after=intent.expires_at - now)
            )
            continue
        moved = old.entry.model_copy(update={"key": item.key, "renamed_from": old_key, "parked": {}})
        left = Entry(key=old_key, moved_to=item.key, last_sync=now)
        if not await ledger.move(
            entity.name,
            old.model_copy(update={"entry": left}),
            new.model_copy(update={"entry": moved}),
        ):
            item.outcome = Again(Conflict(f"{old_key} changed while it was being renamed to {item.key}."))
