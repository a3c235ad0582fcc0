"""A record that both sides have: merged field by field, the business key among them, and the row's state kept right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from shared.domain.blocked import Blocked, digest
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.key_conflict import key_conflict
from shared.domain.decide.plan import Decision, Plan, fresh
from shared.domain.decide.refused import known_refusals, loop_digest, value_digest
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.decide.trust import seen_now, trusted
from shared.domain.link import Base, ConflictRecord, Link, Write
from shared.domain.loop_detection import loops
from shared.domain.merge import FieldWrite, Merged, merge
from shared.domain.model import CmmsRecord, DynamicsRecord, Side, other
from shared.domain.schema.mapping import EntityMapping
from shared.errors import DoesNotConverge, PermanentError, RecordClosed

_NO_VALUE: Final = "\0"
"""No normal form of any type: whatever a side holds differs from it."""


def update(snapshot: Snapshot, context: Context, *, taken_over: bool = False) -> Decision:
    """The writes that make both sides agree again.

    Args:
        snapshot: Has a living record and its row.
        context: As for `decide`.
        taken_over: The row was another record's: every value that is replaced is on record.

    Returns:
        A plan; a wait, or a plan for another link, while another row holds the record's key.
    """
    entity, link, cmms, row = context.entity, snapshot.link, snapshot.cmms, snapshot.row
    if cmms is None or row is None:
        raise AssertionError("both sides are needed")
    # A key that cannot be written holds back itself alone: the rest of the record goes on.
    key_error: PermanentError | None = entity.key_error(cmms.key)
    if context.key_taken and (others := [one for one in snapshot.candidates if one.row.id != row.id]):
        decision = key_conflict(snapshot, others[0], context)
        if not isinstance(decision, Plan) or not decision.blocked:
            return decision
        key_error = decision.blocked[0].error
    name = entity.key.name
    key_block = [Blocked(name, "cmms", value_digest(entity, name, cmms.key), key_error)] if key_error else []
    reborn = link.deleted_at is not None and entity.active is not None and is_inactive(entity, row)
    bases = trusted(snapshot, context)
    if link.counting is not None:
        # Only the CMMS may change a key, whichever side was restored: keys that differ meet again, on record.
        bases.pop(name, None)
        context = replace(context, prefer=link.counting, restored=True)
    if taken_over:
        merged = _on_record(_merge(context, cmms, row, _said_anew(context, row), reborn=reborn), context)
    else:
        merged = _merge(context, cmms, row, bases, reborn=reborn)
    if context.one_way:
        # Nothing can be written to the CMMS: what Dynamics says stays undecided, the bases unmoved.
        merged = replace(merged, writes=merged.to("dynamics"))
    merged = merged.without([*_endless(link, merged, context), *_to_be_sent_again(merged, context), *key_block])
    known = known_refusals(
        link,
        context,
        [(write.field, one) for write in merged.writes for one in (_digest(write, context), loop_digest(write))],
    )
    merged = replace(merged, writes=tuple(write for write in merged.writes if write.field not in known))
    opens = not row.is_open and _opens(entity, merged, reborn=reborn)
    closed = [block for block in merged.blocked if isinstance(block.error, RecordClosed)]
    if opens:
        # The row is opened first; what the closed row refused is decided by another look.
        merged = replace(merged, blocked=tuple(block for block in merged.blocked if block not in closed))
    state = (entity.active.state, entity.active.status) if reborn and entity.active is not None else None
    bases = {**bases, **merged.bases}
    if context.restored and not merged.writes:
        bases |= _held_back(merged, known, context, cmms, row)
    after = _remember(snapshot, bases, merged, reborn=reborn)
    # An operator's word counts until both sides have been seen to agree: a write may still fail.
    waits = context.restored and bool(merged.writes)
    return Plan(
        snapshot.stored,
        after if waits else after.model_copy(update={"restored": None}),
        to_dynamics=_write(merged, "dynamics", row, state),
        to_cmms=_write(merged, "cmms", cmms),
        blocked=merged.blocked,
        merged=merged,
        unfinished=reborn or waits or (opens and bool(closed)),
        decided=True,
        still_parked=known,
    )


def _said_anew(context: Context, row: DynamicsRecord) -> dict[str, Base]:
    """Bases under which the CMMS has changed every field and Dynamics none: the row's values were another record's."""
    rules = context.entity.rules
    held = {context.entity.key.name: row.key or None, **row.values}
    return {name: Base(cmms=_NO_VALUE, dynamics=held[name], rule=rules[name].fingerprint) for name in held}


def _merge(
    context: Context, cmms: CmmsRecord, row: DynamicsRecord, bases: Mapping[str, Base], *, reborn: bool
) -> Merged:
    entity = context.entity
    key = entity.key.name
    record = replace(cmms, values={key: cmms.key, **cmms.values})
    held = {key: row.key or None, **row.values}
    if reborn:
        # The state was set by us when the record was deleted: nobody has said it, and nothing was agreed.
        stateful = {name for name, rule in entity.fields.items() if rule.state_column}
        held |= dict.fromkeys(stateful & held.keys())
        bases = {name: base for name, base in bases.items() if name not in stateful}
    return merge(
        entity.rules.values(),
        record,
        replace(row, values=held),
        bases,
        context.now,
        prefer=context.prefer,
        restored=context.restored,
    )


def _held_back(
    merged: Merged, known: frozenset[str], context: Context, cmms: CmmsRecord, row: DynamicsRecord
) -> dict[str, Base]:
    """Bases of fields that could not be written: the restored side's value stays no edit, and the other one news."""
    names = (known | {block.field for block in merged.blocked}) & cmms.values.keys() & row.values.keys()
    if context.one_way:
        return {}  # there a base is what the CMMS said
    return {
        name: Base(
            cmms=_NO_VALUE if context.prefer == "cmms" else cmms.values[name],
            dynamics=_NO_VALUE if context.prefer == "dynamics" else row.values[name],
            rule=context.entity.rules[name].fingerprint,
        )
        for name in names
    }


def _on_record(merged: Merged, context: Context) -> Merged:
    """The same, with every value on record that a write to the row replaces and no conflict names yet."""
    named = {conflict.field for conflict in merged.conflicts}
    replaced = tuple(
        ConflictRecord(
            field=write.field, winner="cmms", won=write.source, lost=write.before, why="taken_over", at=context.now
        )
        for write in merged.to("dynamics")
        if write.field not in named
    )
    return replace(merged, conflicts=(*merged.conflicts, *replaced))


def _endless(link: Link, merged: Merged, context: Context) -> Iterator[Blocked]:
    """The writes that a side would only undo again."""
    for write in merged.writes:
        if loops(link.written.get(write.field, ()), write.side, digest(write.value), context.now):
            target = "Dynamics" if write.side == "dynamics" else "the CMMS"
            error = DoesNotConverge(
                f"{write.field}: {target} turns what is written there into something else, again and again. Look for a"
                " rule, workflow or script there that sets this field, and change the value on either side afterwards.",
                field=write.field,
            )
            yield Blocked(write.field, other(write.side), loop_digest(write), error)


def _to_be_sent_again(merged: Merged, context: Context) -> Iterator[Blocked]:
    """The refusals of what would be written; either side may have moved on since."""
    wanted = {(write.field, other(write.side), _digest(write, context)) for write in merged.writes}
    return (block for block in context.refused if (block.field, block.side, block.digest) in wanted)


def _digest(write: FieldWrite, context: Context) -> str:
    return value_digest(context.entity, write.field, write.source)


def _opens(entity: EntityMapping, merged: Merged, *, reborn: bool) -> bool:
    """Whether this plan brings a closed row into a state that takes edits."""
    states = [
        rule.state_of(write.value)
        for write in merged.to("dynamics")
        if (rule := entity.rules[write.field]).state_column is not None
    ]
    if not states and reborn and entity.active is not None:
        states = [entity.active.state]
    return bool(states) and entity.open_states is not None and states[0] in entity.open_states


def _write(
    merged: Merged, side: Side, held: CmmsRecord | DynamicsRecord, state: tuple[int | None, int] | None = None
) -> Write | None:
    writes: Sequence[FieldWrite] = merged.to(side)
    if not writes and state is None:
        return None
    return Write(
        side=side,
        target=held.id,
        etag=held.etag,
        values={write.field: write.value for write in writes},
        sources={write.field: write.source for write in writes},
        before={write.field: write.before for write in writes},
        state=state,
        stamped=not isinstance(held, DynamicsRecord) or held.is_open,
    )


def _remember(snapshot: Snapshot, bases: Mapping[str, Base], merged: Merged, *, reborn: bool) -> Link:
    link = snapshot.link
    cmms, row = snapshot.cmms, snapshot.row
    # A row that a write in doubt may still make inactive stays marked, like one that is to be made active.
    in_doubt = any(intent.side == "dynamics" for intent in link.intents)
    return link.model_copy(
        update={
            "bases": dict(bases),
            "conflicts": (*link.conflicts, *fresh(link, merged.conflicts)),
            "cmms_id": (cmms.id if cmms is not None else "") or link.cmms_id,
            "row_id": row.id if row is not None else link.row_id,
            "key": cmms.key if cmms is not None else link.key,
            "seen": seen_now(link.seen, cmms, row),
            "deleted_at": link.deleted_at if reborn or in_doubt else None,
        }
    )
