"""What became of writes whose outcome nobody knows: a worker died, stalled, or never got its answer.

The rule: while the side's etag is still the one that the write expects, the write may yet land, so its intent
stays. Once the etag has moved the write can no longer land, and each field tells by its value what happened.
"""

from datetime import datetime

from shared.domain.ledger import Base, ConflictRecord, Entry, Intent
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Value


def settle_intents(entry: Entry, cmms: CmmsRecord | None, dynamics: DynamicsRecord | None, now: datetime) -> Entry:
    """Resolve the intents that can no longer land; the bases learn what did. Live intents must not be passed in."""
    kept: list[Intent] = []
    bases = dict(entry.bases)
    conflicts = list(entry.conflicts)
    for intent in entry.intents:
        record: Record | None = cmms if intent.side == "cmms" else dynamics
        if (record.etag if record else None) == intent.expected_etag:
            kept.append(intent)
            continue
        for field, intended in intent.values.items():
            held = record.values.get(field) if record else None
            base = bases.get(field)
            if held != intended and base is not None and held == _of(base, intent):
                continue  # it still holds what it held: the write did not happen
            bases[field] = _base(intent, intended, intent.sources.get(field))
            if held != intended:
                conflicts.append(
                    ConflictRecord(field=field, winner=intent.side, won=held, lost=intended, why="late_write", at=now)
                )
    return entry.model_copy(update={"intents": tuple(kept), "bases": bases, "conflicts": tuple(conflicts)})


def _of(base: Base, intent: Intent) -> Value:
    return base.cmms if intent.side == "cmms" else base.dynamics


def _base(intent: Intent, target: Value, source: Value) -> Base:
    if intent.side == "cmms":
        return Base(cmms=target, dynamics=source)
    return Base(cmms=source, dynamics=target)
