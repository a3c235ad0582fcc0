"""Conflict records: each loser must have one, the winner must be the one that the field's policy names, and none may
stand for an edit that nobody was in conflict with.
"""

from collections.abc import Collection, Iterator
from typing import Final

from shared.domain.link import ConflictRecord
from tests.simulation.edits import Edit, Name, Owed, Side
from tests.simulation.evidence import Evidence
from tests.simulation.history import History
from tests.simulation.rules import Rules
from tests.simulation.tables import ACTIVE, CHOICES, DYNAMICS_WINS, KEYS, ONE_WAY

UNFORESEEN: Final = frozenset({"late_write", "taken_over", "key_released", "restored"})
"""Kinds of what no policy decides: a write of unknown outcome, a row or a key that changed hands, an operator's word.
They may also name values that nobody gave."""


def losers(evidence: Evidence) -> Iterator[str]:
    """Each loser must be on record, with its own record or row."""
    for owed in evidence.history.owed:
        cell = owed.cell
        kin = evidence.history.kin(cell.entity, [(cell.side, cell.record)])
        found = [
            conflict
            for entity, link in evidence.links
            if entity == cell.entity and {("cmms", link.cmms_id), ("dynamics", link.row_id)} & kin
            for conflict in link.conflicts
            if (conflict.field, conflict.lost) == (cell.field, owed.lost)
        ]
        if not found:
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, and no record names it"
        elif not any(_fits(evidence.history.rules, one, owed) for one in found):
            said = ", ".join(f"{one.why}: {one.winner} {one.won!r}" for one in found)
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, but its record says {said}"
        elif not _rightly_lost(owed) and not any(_unforeseen(evidence.history, cell.entity, kin, one) for one in found):
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, although {cell.side} wins"


def _unforeseen(history: History, entity: str, kin: Collection[Name], one: ConflictRecord) -> bool:
    """Whether no policy of the field decided, but an operator's word, or what no policy foresees."""
    return one.why in UNFORESEEN or (one.why == "first_contact" and _was_ordered(history, entity, kin, one))


def _was_ordered(history: History, entity: str, kin: Collection[Name], one: ConflictRecord) -> bool:
    """Whether an operator let this side win where both meet.

    After a restore for all fields; for a first sync for single ones, of which nobody had agreed on anything before.
    """
    if one.winner in history.counting:
        return True
    if one.winner not in history.chosen[entity, one.field]:
        return False
    loser: Side = "cmms" if one.winner == "dynamics" else "dynamics"
    won = _giving(history, one.winner, entity, kin, one.field, one.won)
    lost = _giving(history, loser, entity, kin, one.field, one.lost)
    cells = [history.cell(side, entity, name, one.field) for side, name in kin]
    return any(map(history.meets_anew, cells)) or any(
        {a, *a.ancestors()}.isdisjoint({b, *b.ancestors()}) for a in won for b in lost
    )


def _fits(rules: Rules, conflict: ConflictRecord, owed: Owed) -> bool:
    """Whether the record names the other side as the winner, and its value, or what was given over that since."""
    if conflict.winner == owed.cell.side:
        return False
    name, source = owed.cell.field, conflict.winner
    sides = (conflict.won, owed.by) if source == "cmms" else (owed.by, conflict.won)
    given = {edit for origin in owed.origins for edit in (origin, *origin.ancestors())}
    return rules.same(name, *sides) or any(rules.gives(edit, source, name, conflict.won) for edit in given)


def _rightly_lost(owed: Owed) -> bool:
    """Whether the policy lets the other side win; what one of the two knew of the other is no conflict."""
    ancestors = {owed.edit, *owed.edit.ancestors()}
    known = not owed.origins or any(origin in ancestors for origin in owed.origins)
    return known or owed.cell.side != winner(owed.cell.field)


def winner(name: str) -> Side:
    """Whose value stays where both changed."""
    return "dynamics" if name in DYNAMICS_WINS else "cmms"


def records(evidence: Evidence) -> Iterator[str]:
    """Each record must stand for what it says."""
    for entity, link in evidence.links:
        kin = evidence.kin(entity, link)
        for one in link.conflicts:
            if not _rightly(evidence.history, entity, kin, one) and not _may_be_a_conflict(evidence, entity, kin, one):
                lost = f"{one.lost!r} lost to {one.winner}'s {one.won!r}"
                yield f"{entity} {link.key} {one.field}: a record says that {lost} ({one.why}), which was not so"


def _rightly(history: History, entity: str, kin: Collection[Name], one: ConflictRecord) -> bool:
    match one.why:
        case "both_changed":
            return one.winner == winner(one.field) and _is_conflict(history, entity, kin, one)
        case "first_contact":
            # What the side that alone may say the field does not say is not replaced by nothing.
            kept = one.field in ONE_WAY and (one.winner, one.lost) == ("dynamics", None)
            return kept or one.winner == winner(one.field) or _was_ordered(history, entity, kin, one)
        case "one_way":
            people = (edit for edit in history.held("dynamics", entity, one.field, kin) if edit.value == one.lost)
            return one.field in ONE_WAY and one.winner == "cmms" and any(e.cell.side == "dynamics" for e in people)
        case "create_only":
            return (one.field, one.winner) == ("fecha_creacion", "dynamics")
        case "key_released":
            return (one.field, one.winner) == (KEYS[entity], "cmms")
        case "taken_over":
            return one.winner == "cmms"
        case "restored":
            return one.winner in history.counting
    return True


def _may_be_a_conflict(evidence: Evidence, entity: str, kin: Collection[Name], one: ConflictRecord) -> bool:
    """Whether both sides may have changed, as far as the engine can see.

    Where the answer to a write without effect was lost and the row has been edited since, a person may have put the old
    value back: it goes on record when a newer value is written over it. And a restored ledger may have forgotten that
    one side had the other one's value, before a backup took that back as well.
    """
    taken_back = any((entity, name) in evidence.conditions.rewound[side] for side, name in kin)
    forgotten = evidence.history.ledger_restored > 0 and taken_back
    loser: Side = "cmms" if one.winner == "dynamics" else "dynamics"
    idle = (loser, one.field) in evidence.conditions.idle
    return (idle or forgotten) and one.why == "both_changed" and one.winner == winner(one.field)


def _is_conflict(history: History, entity: str, kin: Collection[Name], one: ConflictRecord) -> bool:
    """Whether there are two edits that gave these values, and neither was made on top of the other.

    The engine need not know that somebody had given one of the values on the other side as well.
    """
    loser: Side = "cmms" if one.winner == "dynamics" else "dynamics"
    sides: tuple[tuple[Side, str | None], ...] = ((one.winner, one.won), (loser, one.lost))
    won, lost = (_giving(history, side, entity, kin, one.field, value) for side, value in sides)
    taken_over = sum(side == "cmms" for side, _ in kin) > 1
    if ("cmms", None) in sides and taken_over:
        return True  # nobody gave the new record's nothing, and it is news all the same
    return any(a is not b and not _knew(history, a, b) and not _knew(history, b, a) for a in won for b in lost)


def _knew(history: History, edit: Edit, replaced: Edit) -> bool:
    """Whether an edit was made on top of another one, which its author can have seen.

    A row is born in its first state, whether or not the CMMS says that one, or is given it only later; where messages
    alone tell of the CMMS, whether or not one has said it yet, or what the CMMS said before it.
    """
    untold = history.only_told or replaced not in edit.cell.held
    last = edit.previous
    across = last is not None and last.cell.side != edit.cell.side
    born = untold and edit.cell.field in CHOICES and edit.over == ACTIVE and (last is replaced or across)
    return replaced in edit.seen() and not born


def _giving(
    history: History, side: Side, entity: str, kin: Collection[Name], name: str, value: str | None
) -> list[Edit]:
    """The edits by which a side came to show this value."""
    other: Side = "cmms" if side == "dynamics" else "dynamics"
    return [edit for edit in history.held(side, entity, name, kin) if history.rules.gives(edit, other, name, value)]
