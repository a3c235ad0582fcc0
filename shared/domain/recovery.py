"""What became of writes whose outcome nobody knows: a worker died, stalled, or never got its answer.

While the side's etag is still the one that the write expects, the write may yet land, so its intent stays, for as long
as a service may hold a request; after that it did not happen. Once the etag has moved the write can no longer land. A
CMMS record names the writes that it took, which settles it. Of a Dynamics row, and where the CMMS does not tell, each
field tells by its value what happened:

- it holds what was intended: the write happened, and both bases follow;
- it holds what it held before: the write did not happen, unless its other fields rather show that it did;
- anything else: somebody wrote after us or instead of us. The bases take what was intended, so that the value counts
  as that person's edit, and the fact is recorded.

Of several writes that expected the same etag at most one has happened.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from shared.domain.ledger import Base, ConflictRecord, Entry, Intent
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value
from shared.domain.renamed import is_taken_over

LATEST_CREATE: Final = timedelta(minutes=15)
"""How long after its intent's expiry a write may still land: no service holds a request longer."""


def settle_intents(
    entry: Entry, cmms: CmmsRecord | None, dynamics: DynamicsRecord | None, now: datetime, *, ours: bool = False
) -> Entry:
    """Resolve the intents that can no longer land; the bases learn what did. Live intents must not be passed in.

    `ours`: the last to write the Dynamics row were we, and it was not made again since. As nobody's edit could have
    come before such a write either, what the row holds is what Dynamics made of it, where it is known which write it
    was.
    """
    if not entry.intents:
        return entry
    kept: list[Intent] = []
    bases = dict(entry.bases)
    conflicts = list(entry.conflicts)
    dynamics_id = entry.dynamics_id
    for rivals in _rivals(entry.intents):
        intent = rivals[0]
        record: Record | None = dynamics if intent.side == "dynamics" else cmms
        if isinstance(record, CmmsRecord) and (record.deleted or is_taken_over(entry, record)):
            record = None
        unknown = intent.side == "cmms" and record is None and intent.expected_etag is not None
        if unknown or (record.etag if record else None) == intent.expected_etag:
            # It may yet land, for a while; or the record went to another key, where the outcome shows.
            kept.extend(one for one in rivals if record is None or now < one.expires_at + LATEST_CREATE)
        elif isinstance(record, CmmsRecord) and record.operations is not None:
            if landed := [one for one in rivals if one.id in record.operations]:
                _settle(landed, record, bases, conflicts, now, surely=True)
        elif intent.row_id is not None and record is not None and not _is_target(intent, record):
            # Another row has the key now. Should it give it back, the create could still land for a while.
            waiting = [one for one in rivals if now < one.expires_at + LATEST_CREATE]
            kept.extend(waiting)
            if not waiting and dynamics_id == intent.row_id:
                dynamics_id = None
        elif record is not None and any(_is_target(one, record) for one in rivals):
            likely = _landed(rivals, record)
            told = all(one.values == likely[0].values for one in likely)
            _settle(likely, record, bases, conflicts, now, kept=ours and told and record is dynamics)
        # Else a create whose key another CMMS record took, or an update of a row that is gone: neither can happen now.
    return entry.model_copy(
        update={
            "intents": tuple(kept),
            "bases": bases,
            "conflicts": tuple(conflicts),
            "dynamics_id": dynamics_id,
            "row_made": _row_made(entry, kept, dynamics),
        }
    )


def only_announced(entry: Entry) -> bool:
    """Whether there is no row, but for one whose create has an unknown outcome."""
    return entry.pending_row is not None and entry.dynamics_id in {None, entry.pending_row}


def may_yet_land(entry: Entry, now: datetime) -> timedelta | None:
    """How long a write of unknown outcome may still land, if there is one."""
    return _longest(entry.intents, now)


def may_yet_be_made(entry: Entry, now: datetime) -> timedelta | None:
    """How long a create of unknown outcome may still land, if there is one."""
    return _longest((intent for intent in entry.intents if intent.row_id is not None), now)


def _longest(intents: Iterable[Intent], now: datetime) -> timedelta | None:
    longest = max((intent.expires_at + LATEST_CREATE - now for intent in intents), default=timedelta())
    return longest if longest > timedelta() else None


def _rivals(intents: Sequence[Intent]) -> Iterator[list[Intent]]:
    """The intents that expect the same etag on the same side, in the order of their announcement."""

    def condition(intent: Intent) -> tuple[str, str]:
        return intent.side, intent.expected_etag or ""

    for _, rivals in groupby(sorted(intents, key=condition), condition):
        yield list(rivals)


def _is_target(intent: Intent, record: Record) -> bool:
    """Whether the record is the one that the intent is about, and not another one that took a create's key.

    A row that we made has the id that we gave it. The CMMS gives its own ids: there a create must have left a trace.
    """
    if isinstance(record, DynamicsRecord):
        return intent.row_id in {None, record.id}
    given = {field: value for field, value in intent.values.items() if value is not None}
    left = any(record.values.get(field) == value for field, value in given.items())
    return intent.expected_etag is not None or not given or left


def _landed(rivals: Sequence[Intent], record: Record) -> Sequence[Intent]:
    """The rival of which the record shows the most; of equal ones those that it shows in full, or all of them."""
    shown = {one.id: _arrived(one, record) for one in rivals}
    most = max(arrived for arrived, _ in shown.values())
    likely = [one for one in rivals if shown[one.id][0] == most]
    full = [one for one in likely if shown[one.id][0] == shown[one.id][1]]
    return (full or likely) if most else rivals


def _arrived(intent: Intent, record: Record) -> tuple[int, int]:
    """How many of the values that were to change the record shows, and how many there are."""
    moving = {field: value for field, value in intent.values.items() if value != intent.before.get(field)}
    return sum(record.values.get(field) == value for field, value in moving.items()), len(moving)


def _settle(
    intents: Sequence[Intent],
    record: Record,
    bases: dict[str, Base],
    conflicts: list[ConflictRecord],
    now: datetime,
    *,
    surely: bool = False,
    kept: bool = False,
) -> None:
    """Let the bases follow what happened.

    `surely`: a write is known to have landed, whatever the record holds; `kept`: and nobody has edited that since.
    """
    for field in dict.fromkeys(name for intent in intents for name in intent.sources):
        told = [intent for intent in intents if field in intent.sources]
        held = record.values.get(field)
        match = next((intent for intent in told if held == _intended(intent, field)), None)
        if kept:
            intent = match or told[-1]
            bases[field] = _base(
                intent, held if field in record.values else _intended(intent, field), intent.sources[field]
            )
            continue
        unmoved = None if surely else next((intent for intent in told if _before(intent, field, held)), None)
        if match is None and unmoved is not None and field in record.values and not _partly(unmoved, record):
            # Or it did, and somebody put the old value back: what the next write replaces is on record.
            conflicts.append(_lost_to(unmoved, field, held, now))
            continue
        intent = match or told[-1]
        intended = _intended(intent, field)
        bases[field] = _base(intent, intended, intent.sources[field])
        if match is None and (intended is not None or intent.expected_etag is not None):
            lost = intent.sources[field]
            conflicts.append(
                ConflictRecord(field=field, winner=intent.side, won=held, lost=lost, why="late_write", at=now)
            )


def _intended(intent: Intent, field: str) -> Value:
    """What the field was to hold; a create leaves out what is null."""
    return intent.values.get(field)


def _partly(intent: Intent, record: Record) -> bool:
    """Whether more values of the same write have arrived than are still what they were: it happens as a whole.

    Else what arrived is rather a person's, who gave the same value, than what did not is a person's, who put the old
    one back. In doubt the write is repeated: an old value goes nowhere, and what is replaced is on record.
    """
    moving = [field for field, value in intent.values.items() if value != intent.before.get(field)]
    still = sum(record.values.get(field) == intent.before.get(field) for field in moving)
    return _arrived(intent, record)[0] > still


def _row_made(entry: Entry, kept: Sequence[Intent], row: DynamicsRecord | None) -> datetime | None:
    """When the known row was made; one that was made again is known once a write has brought it to where both were."""
    settled = (intent for intent in entry.intents if intent.row_made is not None and intent not in kept)
    if row is not None and any(one.row_made == row.created and _partly(one, row) for one in settled):
        return row.created
    return entry.row_made


def _lost_to(intent: Intent, field: str, held: Value, now: datetime) -> ConflictRecord:
    source: Side = "cmms" if intent.side == "dynamics" else "dynamics"
    return ConflictRecord(field=field, winner=source, won=intent.sources[field], lost=held, why="late_write", at=now)


def _before(intent: Intent, field: str, held: Value) -> bool:
    return field in intent.before and intent.before[field] == held


def _base(intent: Intent, target: Value, source: Value) -> Base:
    if intent.side == "cmms":
        return Base(cmms=target, dynamics=source)
    return Base(cmms=source, dynamics=target)
