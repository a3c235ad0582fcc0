"""A record that both sides have: merged field by field, the business key among them, and the row's state kept right."""

from collections.abc import Mapping
from copy import replace
from itertools import chain

from shared.domain.base import NEWS, Base
from shared.domain.blocked import Blocked, digest
from shared.domain.decide.currency import currency_changed, held_figures
from shared.domain.decide.delete import is_inactive, states_apart
from shared.domain.decide.older import gone_back
from shared.domain.decide.plan import Plan
from shared.domain.decide.refused import known_refusals, loop_digest, marks_of, refused_now
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.decide.trust import trusted
from shared.domain.link import Link
from shared.domain.loop_detection import loops
from shared.domain.merge import FieldWrite, Merged, merge
from shared.domain.model import Record, Side, other, without
from shared.domain.schema.fields import Option
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Write
from shared.errors import DoesNotConverge, KeyNotUsable, RecordClosed


def update(snapshot: Snapshot, context: Context, *, taken_over: bool = False) -> Plan:
    """The writes that make both sides agree again.

    Args:
        snapshot: Has a living record and its row.
        context: As for `decide`.
        taken_over: The row was another record's until now: every value that is replaced is on record.

    Returns:
        A plan. A closed row that is opened takes its other changes in another round.
    """
    entity, link, cmms, row = context.entity, snapshot.link, snapshot.cmms, snapshot.row
    reborn = _is_reborn(snapshot, entity)
    bases = _said_anew(snapshot, context) if taken_over else trusted(snapshot, context)
    if link.counting is not None:
        # Only the CMMS may change a key, whichever side was restored: keys that differ meet again, on record.
        bases.pop(entity.key.name, None)
    merged = _merge(snapshot, context, bases, reborn=reborn)
    unsettled = merged.unsettled
    refused = refused_now(context.refused, marks_of(entity, merged.writes))
    merged = merged.parking([*_endless(link, merged, context), *refused, *held_figures(snapshot, context)])
    known = _known(snapshot, merged, context)
    # What is not sent replaces nothing: its record was made before it was sent first.
    merged = merged.without(known)
    state = _state(entity, merged, reborn=reborn)
    closed = _opened_by(state, merged, entity)
    merged = merged.without(closed)
    revived = state if reborn else None
    to_dynamics, to_cmms = _write(merged, "dynamics", row, revived), _write(merged, "cmms", cmms)
    # An operator's word counts until both sides have been seen to agree: a write may still fail.
    waits = link.restored is not None and (link.counting is not None or reborn) and bool(to_dynamics or to_cmms)
    bases = {**bases, **merged.bases, **_held_back(snapshot, merged, unsettled, context)}
    return Plan(
        snapshot.stored,
        _remember(snapshot, context, bases, merged, marked=reborn or taken_over, waits=waits),
        to_dynamics=to_dynamics,
        to_cmms=to_cmms,
        blocked=merged.blocked,
        merged=merged,
        unfinished=revived is not None or waits or taken_over or bool(closed),
        decided=True,
        still_parked=known,
    )


def _is_reborn(snapshot: Snapshot, entity: EntityMapping) -> bool:
    """Whether the row is inactive because a record was deleted, and has a living record in another state now.

    A restored backup may bring the row's inactive state back as well: where nobody edited the row since, and no field
    tells its state.
    """
    link = snapshot.link
    if not is_inactive(entity, snapshot.row):
        return False
    if link.restored in {"dynamics", "ledger"} and not entity.state_fields and "dynamics" in gone_back(snapshot):
        return link.seen.row_state == entity.active.state
    apart = states_apart(entity, snapshot.cmms.values, snapshot.row.values)
    return link.revives and apart == entity.state_fields.keys()


def _merge(snapshot: Snapshot, context: Context, bases: Mapping[str, Base], *, reborn: bool) -> Merged:
    entity, row = context.entity, snapshot.row
    if reborn:
        # The state was set by us when the record was deleted: nobody has said it, and nothing was agreed.
        unsaid = dict.fromkeys(entity.state_fields.keys() & row.values.keys())
        row = replace(row, values={**row.values, **unsaid})
        bases = without(bases, entity.state_fields)
    if snapshot.link.deleted_at is not None:
        # Nothing tells whether the record goes on from its deletion or from a backup: what it replaces is on record.
        bases = {name: base.model_copy(update={"why": "revived"}) for name, base in bases.items()}
    merged = merge(
        entity.rules.values(),
        snapshot.cmms,
        row,
        bases,
        context.now,
        key=entity.key.name,
        prefer=snapshot.link.counting or context.prefer,
        prefer_fields=_chosen(snapshot.link, context),
        restored=snapshot.link.counting is not None,
    )
    if context.one_way:
        # Nothing can be written to the CMMS: what Dynamics says stays undecided, the bases unmoved.
        merged = replace(merged, writes=merged.to("dynamics"))
    return merged


def _chosen(link: Link, context: Context) -> dict[str, Side]:
    """An operator's choices for where both meet: a message that does not say them may be the one that ends it."""
    return {**link.chosen, **context.prefer_fields}


def _said_anew(snapshot: Snapshot, context: Context) -> dict[str, Base]:
    """Bases as if the CMMS had just changed every field, and Dynamics none: the row's values were another record's.

    Such a base counts until its field is agreed: what the record says later, or cannot be written yet, is news as well.
    """
    held = snapshot.row.content(context.entity.key.name)
    # A value that cannot be read now is the other record's as well, once it can be; a null then is nobody's.
    rules = context.entity.fingerprints.items()
    return {name: Base(cmms=NEWS, dynamics=held.get(name), rule=rule, why="taken_over") for name, rule in rules}


def _held_back(snapshot: Snapshot, merged: Merged, unsettled: frozenset[str], context: Context) -> dict[str, Base]:
    """Bases of the fields that could not be written after a restore, where nothing else is left to write.

    Under them the value of the side that counts is still a change, and the restored side's value is none. What only
    waits for a person, and is the same on both sides, stays agreed.
    """
    counting = snapshot.link.counting
    if counting is None or merged.writes:
        return {}
    held = {"cmms": snapshot.cmms, "dynamics": snapshot.row}[other(counting)].values
    rules, names = context.entity.fingerprints, unsettled & held.keys()
    return {name: Base.of({counting: NEWS, other(counting): held[name]}, rules[name], why="restored") for name in names}


def _endless(link: Link, merged: Merged, context: Context) -> list[Blocked]:
    """Blocks for the writes that a side would only undo again."""
    written, now = link.written, context.now
    return [
        _does_not_converge(one)
        for one in merged.writes
        if loops(written.get(one.field, ()), one.side, digest(one.value), now)
    ]


def _known(snapshot: Snapshot, merged: Merged, context: Context) -> frozenset[str]:
    """The fields whose writes were refused before, and are still parked for just that value."""
    turns = ((one.field, loop_digest(one)) for one in merged.writes)
    marks = chain(marks_of(context.entity, merged.writes), turns)
    # As long as a key is parked, rows are looked for by it: without any, no other row has the key any more.
    over = frozenset() if snapshot.candidates else frozenset({KeyNotUsable.reason})
    return known_refusals(snapshot.link, context.insists_on | over, marks)


def _does_not_converge(write: FieldWrite) -> Blocked:
    target = {"dynamics": "Dynamics", "cmms": "the CMMS"}[write.side]
    error = DoesNotConverge(
        f"{write.field}: {target} turns what is written there into something else, again and again. Look for a rule,"
        " workflow or script there that sets this field, and change the value on either side afterwards.",
        field=write.field,
    )
    return Blocked(write.field, other(write.side), loop_digest(write), error)


def _state(entity: EntityMapping, merged: Merged, *, reborn: bool) -> Option | None:
    """The state that the row gets: what the record says of it; where no field says it, that of living records."""
    rules = entity.state_fields
    said = [rules[one.field].options[one.value] for one in merged.to("dynamics") if one.field in rules]
    return [*said, entity.active if reborn and not rules else None][0]


def _opened_by(state: Option | None, merged: Merged, entity: EntityMapping) -> frozenset[str]:
    """The fields whose writes the row's state refuses, and that the row takes in the state that it gets."""
    if state is None or not entity.takes_edits(state.state):
        return frozenset()
    return frozenset(block.field for block in merged.blocked if isinstance(block.error, RecordClosed))


def _write(merged: Merged, side: Side, held: Record, state: Option | None = None) -> Write | None:
    writes = merged.to(side)
    if not writes and state is None:
        return None
    return Write(
        side=side,
        target=held.id,
        etag=held.etag,
        values={write.field: write.value for write in writes},
        sources={write.field: write.source for write in writes},
        before={write.field: write.before for write in writes},
        state=None if state is None else (state.state, state.status),
        stamped=held.is_open,
    )


def _remember(
    snapshot: Snapshot, context: Context, bases: Mapping[str, Base], merged: Merged, *, marked: bool, waits: bool
) -> Link:
    link, cmms, row = snapshot.link, snapshot.cmms, snapshot.row
    # A row that a write in doubt may still make inactive stays marked, like one that is to be made active, now or once
    # the record's state is said. So does one that is taken over, until it has been looked at as this record's: it was
    # read before its holder, who may have made it inactive in between.
    unsaid = context.entity.state_fields.keys() - (cmms.values.keys() & row.values.keys())
    marked = marked or (is_inactive(context.entity, row) and bool(unsaid)) or bool(link.intents_of("dynamics"))
    settled: dict[str, object] = {} if marked else {"deleted_at": None, "takes_over": None}
    # What a restored side said, and may still reach the other one, is from now on a write that nobody announced.
    intents = link.intents if link.counting is None else link.intents_of(other(link.counting))
    # What the restored side showed before counts until both agree: it tells that a row has to be made active again.
    seen = link.seen if waits else link.seen.after(cmms, row)
    if row.currency not in {None, seen.currency} and not currency_changed(snapshot, context):
        seen = seen.model_copy(update={"currency": row.currency})  # a person has accepted it
    return link.identified_by(cmms).model_copy(
        update={
            "bases": dict(bases),
            "conflicts": (*link.conflicts, *link.unrecorded(merged.conflicts)),
            "row_id": row.id,
            "key": cmms.key,
            "intents": intents,
            "seen": seen,
            "restored": link.restored if waits else None,
            "chosen": without(_chosen(link, context), bases),
            **settled,
        }
    )
