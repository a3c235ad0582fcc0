"""Which record a message is about, where it names only a row of Dynamics."""

from collections.abc import Sequence

from shared.domain.schema.mapping import EntityMapping
from shared.errors import SyncError
from shared.flows.ports.engine import Dynamics, Ledger
from shared.flows.routing.outcomes import Again, Done, Park
from shared.flows.sync.items import Item, unreadable_row, unusable_row_key


async def name_keys(ledger: Ledger, dynamics: Dynamics, entity: EntityMapping, items: Sequence[Item]) -> None:
    """Find the key of every message that names only a Dynamics id. What is read here is read again later."""
    nameless = {item.record_id: None for item in items if item.record_id and item.outcome is None}
    if not nameless:
        return
    bound = await ledger.keys_of(entity.name, list(nameless))
    rows = await dynamics.by_id(entity, [record_id for record_id in nameless if record_id not in bound])
    for item in items:
        if item.outcome is not None or item.record_id is None:
            continue
        if item.record_id in bound:
            item.key = bound[item.record_id]
        elif row := rows.get(item.record_id):
            try:
                item.key = entity.usable_key(row.key)
            except SyncError:
                item.outcome = Park(unusable_row_key(entity, item.record_id))
        elif item.payload is not None and getattr(item.payload, "operation", "") == "delete":
            item.outcome = Done(applied=False)  # created and deleted before we ever knew it
        elif item.key is None:
            item.outcome = Again(unreadable_row(entity, item.record_id))
