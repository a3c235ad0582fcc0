"""Conflict records: each loser must have one, the winner must be the one that the field's policy names, and none may
stand for an edit that nobody was in conflict with.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from shared.domain.ledger import ConflictRecord
from tests.simulation.evidence import Evidence
from tests.simulation.history import Edit, History, Owed, Side, gives
from tests.simulation.tables import DYNAMICS_WINS, KEYS, ONE_WAY, same

UNFORESEEN: Final = frozenset({"late_write", "made_again", "taken_over"})
"""Kinds of what no policy decides: which of the two values is the later one was found out afterwards, or the row
changed hands. They may also name values that nobody gave."""


def losers(evidence: Evidence) -> Iterator[str]:
    """Each loser must be on record, with its own record: under one of the keys that this has had."""
    recorded: dict[tuple[str, str, str | None], dict[str, list[ConflictRecord]]] = defaultdict(dict)
    for (entity, key), entry in evidence.entries.items():
        for conflict in entry.conflicts:
            recorded[entity, conflict.field, conflict.lost].setdefault(key, []).append(conflict)
    for owed in evidence.history.owed:
        cell = owed.cell
        named = recorded[cell.entity, cell.field, owed.lost]
        found = [one for key in evidence.history.family(cell) for one in named.get(key, ())]
        if not found:
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, and no record names it"
        elif not any(_fits(one, owed) for one in found):
            said = ", ".join(f"{one.why}: {one.winner} {one.won!r}" for one in found)
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, but its record says {said}"
        elif not _rightly_lost(owed) and not any(one.why in UNFORESEEN for one in found):
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, although {cell.side} wins"


def taken_keys(evidence: Evidence) -> Iterator[str]:
    """A key that a person gave a row is a value as any other: that it was taken back must be on record."""
    recorded: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for (entity, key), entry in evidence.entries.items():
        for conflict in entry.conflicts:
            if conflict.why == "key_changed":
                recorded[entity, conflict.lost].add(key)
    for entity, row, key in evidence.observer.taken_keys:
        if not recorded[entity, key] & evidence.history.family_of("dynamics", entity, row):
            yield f"{entity}: the row {row} was called {key} by a person, and no record says that this was undone"


def _fits(conflict: ConflictRecord, owed: Owed) -> bool:
    """Whether the record names the other side as the winner, and its value, or what was given over that since."""
    if conflict.winner == owed.cell.side:
        return False
    name, source = owed.cell.field, conflict.winner
    sides = (conflict.won, owed.by) if source == "cmms" else (owed.by, conflict.won)
    given = {edit for origin in owed.origins for edit in (origin, *origin.ancestors())}
    return same(name, *sides) or any(gives(edit, source, name, conflict.won) for edit in given)


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
    for (entity, key), entry in evidence.entries.items():
        for one in entry.conflicts:
            if not _rightly(evidence.history, entity, key, one):
                lost = f"{one.lost!r} lost to {one.winner}'s {one.won!r}"
                yield f"{entity} {key} {one.field}: a record says that {lost} ({one.why}), which was not so"


def _rightly(history: History, entity: str, key: str, one: ConflictRecord) -> bool:
    if (one.field == KEYS[entity]) is not (one.why == "key_changed"):
        return False
    match one.why:
        case "both_changed":
            return one.winner == winner(one.field) and _is_conflict(history, entity, key, one)
        case "first_contact":
            # What the side that alone may say the field does not say is not replaced by nothing.
            kept = one.field in ONE_WAY and (one.winner, one.lost) == ("dynamics", None)
            return kept or one.winner == winner(one.field)
        case "one_way":
            people = (edit for edit in history.held("dynamics", entity, one.field, key) if edit.value == one.lost)
            return one.field in ONE_WAY and one.winner == "cmms" and any(e.cell.side == "dynamics" for e in people)
        case "create_only":
            return (one.field, one.winner) == ("fecha_creacion", "dynamics")
        case "key_changed" | "made_again" | "taken_over":
            return one.winner == "cmms"
    return True


def _is_conflict(history: History, entity: str, key: str, one: ConflictRecord) -> bool:
    """Whether there are two edits that gave these values, and neither was made on top of the other.

    The engine need not know that somebody had given one of the values on the other side as well.
    """
    loser: Side = "cmms" if one.winner == "dynamics" else "dynamics"
    sides: tuple[tuple[Side, str | None], ...] = ((one.winner, one.won), (loser, one.lost))
    won, lost = (_giving(history, side, entity, key, one.field, value) for side, value in sides)
    if ("cmms", None) in sides and history.is_taken_over("cmms", entity, one.field, key):
        return True  # nobody gave the new record's nothing, and it is news all the same
    return any(a is not b and a not in b.ancestors() and b not in a.ancestors() for a in won for b in lost)


def _giving(history: History, side: Side, entity: str, key: str, name: str, value: str | None) -> list[Edit]:
    """The edits by which a side came to show this value."""
    other: Side = "cmms" if side == "dynamics" else "dynamics"
    return [edit for edit in history.held(side, entity, name, key) if gives(edit, other, name, value)]
