"""A closer look at some records: ledger first, then both sides by key, as the engine itself would read them."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.drift import WHOLE, Difference, Drift, DriftClass, assess
from shared.domain.ledger import Entry, Stored
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.plan import Sides
from shared.domain.recovery import settle_intents
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, LedgerUnreadable, MappingError
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.rows import Rows, find_rows


@dataclass
class Comparison:
    """What became of the keys asked for; those that agree are in none of the lists.

    `unreadable` are rows of the ledger, `unreadable_records` records of the CMMS, that are not of a known form.
    """

    drift: dict[str, Drift] = field(default_factory=dict)
    unremembered: list[str] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    unreadable: dict[str, LedgerUnreadable] = field(default_factory=dict)
    unreadable_records: dict[str, MappingError] = field(default_factory=dict)
    newest_sync: datetime | None = None


class Comparer:
    """Reads and assesses. A record touched less than `settle` ago may be on its way, and is no drift yet."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, clock: Clock, settle: timedelta) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._clock = clock
        self._settle = settle

    async def compare(self, entity: EntityMapping, keys: Collection[str]) -> Comparison:
        """Compare records by key, as they are now.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        result = Comparison()
        entries = await self._entries(entity, keys, result)
        if not entries:
            return result
        rows, records = await asyncio.gather(
            find_rows(self._dynamics, entity, entries), self._cmms.each_by_key(entity, list(entries))
        )
        borrowed = await self._borrowed(entity, entries, rows)
        now = self._clock.now()
        for key, entry in entries.items():
            record = records.get(key)
            if isinstance(record, MappingError):
                result.unreadable_records[key] = record
                continue
            sides = Sides(record, rows.of(key), rows.bound(entry))
            row = sides.bound or next(iter(sides.rows), None)
            if entry.last_sync is not None and (result.newest_sync is None or entry.last_sync > result.newest_sync):
                result.newest_sync = entry.last_sync
            found = assess(entity, settle_intents(entry, sides.cmms, row, now), sides, now)
            if found is None:
                continue
            if key in borrowed and WHOLE in entry.parked:
                # The row is another record's, and was waited for in vain: a person knows of it.
                told = Difference(WHOLE, "present", "another record's row", "", f"bound to {borrowed[key]}")
                result.drift[key] = Drift(DriftClass.DUPLICATE_KEY, (told,))
            elif self._moves(entry, sides.cmms, row, now):
                result.in_flight.append(key)
            elif isinstance(found, Drift):
                result.drift[key] = found
            else:
                result.unremembered.append(key)
        return result

    async def _entries(self, entity: EntityMapping, keys: Collection[str], result: Comparison) -> dict[str, Entry]:
        """What the ledger remembers of the keys that can be compared; the others go into the result."""
        usable = []
        for key in dict.fromkeys(keys):
            try:
                usable.append(entity.usable_key(key))
            except KeyNotUsable:
                result.unusable.append(key)
        stored = await self._ledger.read(entity.name, usable) if usable else {}
        result.unreadable = {key: found for key, found in stored.items() if isinstance(found, LedgerUnreadable)}
        # Also keys that a record left: another one may have taken them over, unannounced.
        return {key: found.entry for key, found in stored.items() if isinstance(found, Stored)}

    async def _borrowed(self, entity: EntityMapping, entries: Mapping[str, Entry], rows: Rows) -> dict[str, str]:
        """The keys that rows of other records have, and whose rows these are."""
        strangers = {
            key: row.id
            for key, entry in entries.items()
            for row in rows.of(key)
            if row.key == key and row.id != entry.dynamics_id
        }
        if not strangers:
            return {}
        owners = await self._ledger.keys_of(entity.name, list(strangers.values()))
        return {key: owners[row_id] for key, row_id in strangers.items() if owners.get(row_id, key) != key}

    def _moves(self, entry: Entry, cmms: CmmsRecord | None, row: DynamicsRecord | None, now: datetime) -> bool:
        """Whether a sync writes it right now, or somebody touched it so lately that a message may be on its way."""
        if entry.live_intent(now):
            return True
        touched = (
            entry.last_sync,
            cmms.version.at if cmms is not None and cmms.version is not None else None,
            row.modified if row is not None else None,
        )
        return any(at is not None and timedelta() <= now - at < self._settle for at in touched)
