"""A first sync in words and figures, for the terminal, for `--json` and for the page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from ops.output import age, stamp
from shared.domain.model import Side
from shared.domain.words import plural
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.estimate import Estimate
from shared.flows.operate.first_sync.memory import Counts
from shared.flows.operate.first_sync.plan import EntityPlan, Trouble
from shared.flows.reconcile.first_sync import SILENT, Progress

NAMES: Final = {
    Kind.EQUAL: "equal on both sides",
    Kind.DIFFERENT: "different",
    Kind.ONLY_IN_CMMS: "only in the CMMS",
    Kind.ONLY_IN_DYNAMICS: "only in Dynamics",
    Kind.KEY_UNUSABLE: "no usable key",
    Kind.KEY_DOUBLED: "the key is there twice",
    Kind.KEY_NEARLY_EQUAL: "the key is nearly another's",
    Kind.HELD: "held back as a whole",
    Kind.UNREADABLE: "cannot be read",
}
_FAST: Final = 10
_LEFT_OUT: Final = "left out: a person decides"
_CREATED: Final = {Kind.ONLY_IN_CMMS: "created in Dynamics", Kind.ONLY_IN_DYNAMICS: "created in the CMMS"}


def standing(plan: EntityPlan) -> Iterator[tuple[str, int, str]]:
    """How an entity's records stand: what, how many, and what the run does with them."""
    if plan.linked_records or plan.linked_rows:
        yield "known as pairs already", max(plan.linked_records, plan.linked_rows), "left to the daily sync"
    yield NAMES[Kind.EQUAL], plan.kinds[Kind.EQUAL], "linked; nothing is written"
    different = "linked; the fields below are written" if plan.kinds[Kind.DIFFERENT] else ""
    yield NAMES[Kind.DIFFERENT], plan.kinds[Kind.DIFFERENT], different
    for kind, created in _CREATED.items():
        alone = [one for one in plan.alone.values() if one.kind is kind]
        if not alone:
            yield NAMES[kind], 0, ""
        for one in sorted(alone, key=lambda one: one.stays):
            yield NAMES[kind], one.count, "stay as they are" if one.stays else created
    for kind in Kind:
        if kind.for_a_person and plan.kinds[kind]:
            yield NAMES[kind], plan.kinds[kind], _LEFT_OUT


def fate(trouble: Trouble) -> str:
    """What becomes of what cannot be synchronized."""
    return _LEFT_OUT if trouble.kind.for_a_person else "the field is parked, the rest of the record goes on"


def chosen(choices: Choices) -> Iterator[str]:
    """The choices, one sentence for each entity."""
    for name, one in choices.entities.items():
        prefer = ", ".join(f"{field}: {_SIDE[side]}" for field, side in one.prefer.items())
        created = " and ".join(_SIDE[side] for side in sorted(one.create_in)) or "neither side"
        wins = f"in place of the mapping's rule {prefer} wins" if prefer else "the mapping's rules decide who wins"
        yield f"{name}: {wins}; missing records are created in {created}."


_SIDE: Final[dict[Side, str]] = {"cmms": "the CMMS", "dynamics": "Dynamics"}


def duration(seconds: float) -> str:
    """A span of time as a person says it: `40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:  # noqa: PLR2004  # a minute and a half still reads well in seconds
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"  # noqa: PLR2004  # two hours


def expected(found: Estimate) -> str:
    """An estimate in a sentence."""
    return (
        f"About {plural(found.dynamics_requests, 'request')} to Dynamics and {found.cmms_requests:,} to the CMMS; it"
        f" takes at least {duration(found.seconds)}, bound by {found.bound_by}."
    )


def plan_document(plans: Sequence[EntityPlan], choices: Choices, found: Estimate) -> dict[str, object]:
    """A plan for machines."""
    return {
        "choices": choices.model_dump(mode="json"),
        "entities": [_entity(one) for one in plans],
        "messages": sum(one.messages for one in plans),
        "estimate": asdict(found),
    }


def _entity(plan: EntityPlan) -> dict[str, object]:
    return {
        "entity": plan.entity,
        "records": plan.records,
        "rows": plan.rows,
        "linked": plan.linked_records,
        "kinds": {kind.value: plan.kinds[kind] for kind in Kind},
        "messages": plan.messages,
        "creates": {side: plan.creates[side] for side in ("cmms", "dynamics")},
        "updates": {side: plan.updates[side] for side in ("cmms", "dynamics")},
        "closed_rows": plan.closed,
        "values_replaced": plan.replaced,
        "fields_parked": plan.parked,
        "for_a_person": plan.for_a_person,
        "differences": [
            {
                "field": one.name,
                "what": one.what,
                "count": one.count,
                "examples": [dict(zip(("key", "cmms", "dynamics"), example, strict=True)) for example in one.examples],
            }
            for one in plan.differences.values()
        ],
        "troubles": [
            {
                "kind": one.kind.value,
                "field": one.name,
                "reason": one.reason,
                "count": one.count,
                "left_out": one.kind.for_a_person,
                "examples": [{"key": key, "message": message} for key, message in one.examples],
            }
            for one in plan.troubles.values()
        ],
        "alone": [
            {"kind": one.kind.value, "stays": one.stays, "count": one.count, "examples": one.examples}
            for one in plan.alone.values()
        ],
        "cannot": [asdict(one) for one in plan.cannot],
        "notes": plan.notes,
    }


def progress_document(progress: Progress) -> dict[str, object]:
    """A run's progress for machines."""
    remaining = progress.remaining
    return progress.model_dump(mode="json") | {
        "total": progress.total,
        "done": progress.done,
        "rate": round(progress.rate, 1),
        "remaining_seconds": None if remaining is None else round(remaining.total_seconds()),
    }


@dataclass(frozen=True)
class Change:
    """One line of an end report, in records: what was planned, what of it is done, and what is left."""

    what: str
    planned: int
    done: int
    left: int


def changes(planned: Counts, now: EntityPlan) -> Iterator[Change]:
    """What became of a plan, by what both sides and the ledger show afterwards."""
    linked = now.linked_records - planned.linked_records
    yield Change("linked as pairs", planned.messages, linked, now.messages)
    made: dict[Side, int] = {"cmms": now.records - planned.records, "dynamics": now.rows - planned.rows}
    for side, name in _SIDE.items():
        wanted = planned.creates.get(side, 0)
        yield Change(f"created in {name}", wanted, min(max(made[side], 0), wanted), now.creates[side])
    for side, name in _SIDE.items():
        yield _line(f"updated in {name}", planned.updates.get(side, 0), now.updates[side])
    people = sum(count for kind, count in planned.kinds.items() if kind.for_a_person)
    yield _line("left out for a person", people, now.for_a_person)


def _line(what: str, planned: int, left: int) -> Change:
    return Change(what, planned, max(planned - left, 0), left)


def in_words(progress: Progress) -> str:
    """What a bar cannot show of a run: its rate, the time left, and what does not go smoothly."""
    entities = progress.entities.values()
    parts = [f"{progress.rate:,.{0 if progress.rate >= _FAST else 1}f} a second"]
    if progress.remaining is not None and progress.ended is None:
        parts.append(f"{duration(progress.remaining.total_seconds())} left")
    for name, count in (
        ("tried again", sum(one.retried for one in entities)),
        ("throttled or put off", sum(one.throttled for one in entities)),
        ("parked", sum(one.parked for one in entities)),
    ):
        parts += [f"{count:,} {name}"] if count else []
    return ", ".join(parts)


def told(run: Progress, now: datetime) -> str:
    """A run in a sentence."""
    count = f"{run.done:,} of {plural(run.total, 'record')}"
    if run.ended is not None:
        return f"The run of {stamp(run.started)} ended at {stamp(run.ended)}: {count}, {in_words(run)}."
    since = now - run.at
    if since > SILENT:
        return (
            f"The run of {stamp(run.started)} was interrupted {age(since.total_seconds())} ago, at {count}:"
            " 'first-sync run' goes on."
        )
    return f"The run of {stamp(run.started)} is under way: {count}, {in_words(run)}."
