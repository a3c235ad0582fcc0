"""Whether a plan that a person has read still says what a run would do. Pure, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.domain.schema.mapping import Mapping as FieldTable
from shared.domain.words import plural, word_for
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.memory import Counts, StoredPlan, mapping_fingerprint
from shared.flows.operate.first_sync.plan import EntityPlan

OLDEST: Final = timedelta(hours=24)
_FEW: Final = 20
_PORTION: Final = 0.01


def outdated(stored: StoredPlan, mapping: FieldTable, now: datetime, last: datetime | None) -> list[str]:
    """What can be told before anything is read.

    Args:
        stored: The plan.
        mapping: The field table of now.
        now: In UTC.
        last: The last sign of life of a run of this plan; None before the first.

    Returns:
        Why the plan no longer fits, as sentences; none where it may.
    """
    found = []
    if now - max(stored.at, last or stored.at) > OLDEST:
        found.append(
            f"The plan is of {stored.at:%Y-%m-%dT%H:%M:%SZ}, more than {OLDEST / timedelta(hours=1):.0f} hours ago."
        )
    for name, counts in stored.entities.items():
        entity = mapping.entities.get(name)
        if entity is None:
            found.append(f"The mapping no longer has {name}.")
        elif mapping_fingerprint(entity) != counts.mapping:
            found.append(f"The mapping of {name} is another one than the plan was made with.")
    return found


def drifted(stored: StoredPlan, plans: Sequence[EntityPlan]) -> list[str]:
    """What only a fresh comparison tells.

    A run that was interrupted has linked records since, which are fewer then everywhere else. Up to 1% of an entity's
    records, and up to 20, may differ: people go on working.

    Returns:
        Why the plan no longer fits, as sentences; none where it does.
    """
    return [text for plan in plans for text in _drifted(plan, stored.entities[plan.entity])]


def _drifted(plan: EntityPlan, planned: Counts) -> Iterator[str]:
    most = max(_FEW, int(_PORTION * max(plan.records, plan.rows)))
    linked = max(plan.linked_records - planned.linked_records, 0)
    for kind in Kind:
        before, now = planned.kinds.get(kind, 0), plan.kinds[kind]
        if now - before > most or (not kind.for_a_person and before - now > most + linked):
            records = f"{plural(now, 'record')} {word_for(now, 'is')}"
            yield f"{plan.entity}: {records} {WORDS[kind]}; the plan counted {before:,}."
    if plan.changed > most:
        yield f"{plan.entity}: changed since the plan: {plural(plan.changed, 'record')} that had not met yet."


WORDS: Final[Mapping[Kind, str]] = {
    Kind.EQUAL: "equal on both sides",
    Kind.DIFFERENT: "different",
    Kind.ONLY_IN_CMMS: "only in the CMMS",
    Kind.ONLY_IN_DYNAMICS: "only in Dynamics",
    Kind.KEY_UNUSABLE: "without a usable key",
    Kind.KEY_DOUBLED: "under a key that is there more than once",
    Kind.KEY_NEARLY_EQUAL: "under a key that is nearly another's",
    Kind.HELD: "held back as a whole",
    Kind.UNREADABLE: "not readable",
}
"""How a record stands, after "is" or "are"."""
