"""A key that another row holds. Waiting resolves renames; releasing a key resolves exchanges and chains of renames."""

from typing import Final

from shared.domain.base import NEWS
from shared.domain.blocked import RECORD, held_by_key
from shared.domain.decide.plan import Decision, Plan, Wait, being_written, held
from shared.domain.decide.situation import PATIENCE, WAITING, Candidate, Context, Snapshot
from shared.domain.decide.trust import doubt, ledger_is_behind
from shared.domain.link import ConflictRecord
from shared.domain.write import Write
from shared.errors import Conflict, KeyNotUsable

RELEASE_AFTER: Final = 2
"""Attempts after which a row gives up a key that its own record no longer has."""


def key_conflict(snapshot: Snapshot, candidate: Candidate, context: Context) -> Decision:
    """Decide about a record whose key a row that is not its own holds.

    The row's holder is the record that the row belongs to. A holder that has another key by now, or was deleted, lets
    go by itself when its own message is processed; after `RELEASE_AFTER` attempts its row's key is replaced by the
    row's id, on record. Everything else needs a person.
    """
    entity, row, holder = context.entity, candidate.row, candidate.holder
    key = snapshot.cmms.key
    where = f"The row {row.id} in {entity.table}"
    if row.key != key:
        problem = f"{where} has the key {row.key}, which Dynamics takes for the same as {key}. Correct one of them."
    elif candidate.is_free:
        problem = f"{where} has the key {key} of another record. Correct the key of one of them."
    elif _has_left(candidate, key):
        if (wait := being_written(holder.link, context)) is not None:
            return wait
        if context.attempts >= RELEASE_AFTER and row.is_open and not _is_doubtful(candidate, context):
            return _release(candidate, context)
        problem = f"{where} still has the key {key}, which its own record has left."
        if context.attempts < WAITING:
            return Wait(Conflict(f"{problem} Retrying until the row gets its own key."))
    else:
        problem = f"{where} has the key {key} and belongs to another record with that key. Correct one of them."
        if context.attempts < WAITING:
            return Wait(Conflict(f"{problem} Retrying, as the CMMS may be renaming them."))
    error = KeyNotUsable(problem, field=entity.key.name, row_id=row.id)
    return held(snapshot, held_by_key(error))


def _has_left(candidate: Candidate, key: str) -> bool:
    """Whether the row's own record has another key by now, or was deleted."""
    return candidate.is_abandoned or (candidate.record.exists and candidate.record.key != key)


def _is_doubtful(candidate: Candidate, context: Context) -> bool:
    """Whether the holder's own pair waits for a person: a write would make what its row shows by now look agreed.

    So does a pair whose row was to give the key up, and did not.
    """
    link = candidate.holder.link
    pair = Snapshot(candidate.holder, link, candidate.record, candidate.row)
    # What was said and ordered is of the record that needs the key; the patience is with its message, too.
    asked = Context(context.entity, context.now, one_way=context.one_way, attempts=PATIENCE)
    unsettled = bool(link.intents) or link.restored is not None
    refused = {one.field for one in context.refused} & {RECORD, context.entity.key.name}
    return bool(refused) or unsettled or ledger_is_behind(pair) or doubt(pair, asked) is not None


def _release(candidate: Candidate, context: Context) -> Plan:
    """The holder's row gives the key up; the row's own id, which no other row can have, stands in."""
    row, link, name = candidate.row, candidate.holder.link, context.entity.key.name
    write = Write(
        side="dynamics",
        target=row.id,
        etag=row.etag,
        values={name: row.id},
        # Whatever key its record has next is news, be it the one that the row gives up.
        sources={name: NEWS},
        before={name: row.key},
    )
    record = ConflictRecord(field=name, winner="cmms", won=row.id, lost=row.key, why="key_released", at=context.now)
    released = link.recording([record]).model_copy(update={"last_sync": context.now})
    return Plan(candidate.holder, released, to_dynamics=write, unfinished=True)
