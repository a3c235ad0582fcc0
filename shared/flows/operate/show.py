"""One record's story: both sides, the ledger between them, what a sync would do now, and what was parked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.domain.ledger import Base, ConflictRecord, Entry, readable
from shared.domain.messages.queues import PARKED
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value
from shared.domain.plan import Plan, Sides, decide
from shared.domain.recovery import settle_intents
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.parked import Queues, Waiting
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.sync.oneway import listen

type State = Literal["agree", "to Dynamics", "to CMMS", "conflict", "blocked", "differ", "kept", "unknown"]
"""`kept`: the CMMS deleted the record, and its row keeps the value."""


@dataclass(frozen=True)
class FieldStory:
    """One field: what both sides hold, what they held when they last agreed, and what a sync would do."""

    name: str
    column: str
    rule: str
    cmms: Value
    dynamics: Value
    base: Base | None
    state: State
    problem: str = ""


@dataclass(frozen=True)
class Story:
    """Everything that is known of one record. `rows` are all rows that Dynamics takes for the key.

    In one-way mode `cmms` is what the messages said.
    """

    entity: str
    key: str
    cmms: CmmsRecord | None
    row: DynamicsRecord | None
    rows: int
    entry: Entry
    known: bool
    fields: tuple[FieldStory, ...]
    problems: tuple[str, ...]
    parked: tuple[Waiting, ...]
    in_flight: bool
    one_way: bool

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to do and nothing was parked."""
        return not self.problems and not self.parked and all(one.state in {"agree", "kept"} for one in self.fields)

    @property
    def conflicts(self) -> tuple[ConflictRecord, ...]:
        """Values that did not survive, the newest first."""
        return tuple(sorted(self.entry.conflicts, key=lambda one: one.at, reverse=True))


async def tell(
    entity: EntityMapping,
    key: str,
    *,
    ledger: Ledger,
    dynamics: Dynamics,
    cmms: Cmms | None,
    queues: Queues,
    clock: Clock,
) -> Story:
    """Read one record everywhere; nothing is written.

    Raises:
        TransientError: A side, the ledger or the queue could not be read.
        LedgerUnreadable: What the ledger holds of the record is not readable.
    """
    stored = readable((await ledger.read(entity.name, [key]))[key])
    entry = stored.entry
    rows = (await dynamics.by_key(entity, [key])).get(key, ())
    bound = next((row for row in rows if row.id == entry.dynamics_id), None)
    if bound is None and entry.dynamics_id is not None:
        bound = (await dynamics.by_id(entity, [entry.dynamics_id])).get(entry.dynamics_id)
    if cmms is not None:
        record = (await cmms.by_key(entity, [key])).get(key)
    else:
        entry, record = listen(entity, entry, ())
    parked: list[Waiting] = []
    async for page in queues.peek(PARKED.name):
        parked.extend(message for message in page if message.entity == entity.name and message.key == key)
    now = clock.now()
    row = bound or next(iter(rows), None)
    in_flight = entry.live_intent(now) is not None
    settled = entry if in_flight else settle_intents(entry, record, row, now)
    plan = decide(entity, settled, Sides(record, tuple(rows), bound), now, cmms_writable=cmms is not None)
    return Story(
        entity=entity.name,
        key=key,
        cmms=record,
        row=row,
        rows=len(rows),
        entry=entry,
        known=stored.etag is not None,
        fields=tuple(_fields(entity, entry, record, row, plan, now)),
        problems=tuple(block.error.message for block in plan.blocked if block.field not in entity.fields),
        parked=tuple(parked),
        in_flight=in_flight,
        one_way=cmms is None,
    )


def _fields(
    entity: EntityMapping,
    entry: Entry,
    cmms: CmmsRecord | None,
    row: DynamicsRecord | None,
    plan: Plan,
    _now: datetime,
) -> list[FieldStory]:
    blocked = {block.field: block.error.message for block in plan.blocked}
    conflicts = {conflict.field for conflict in plan.merged.conflicts}
    found: list[FieldStory] = []
    for rule in entity.fields.values():
        held_cmms = cmms.values.get(rule.name) if cmms else None
        held_row = row.values.get(rule.name) if row else None
        state: State = "agree"
        if rule.name in blocked:
            state = "blocked"
        elif rule.name in conflicts:
            state = "conflict"
        elif plan.to_dynamics is not None and rule.name in plan.to_dynamics.values:
            state = "to Dynamics"
        elif plan.to_cmms is not None and rule.name in plan.to_cmms.values:
            state = "to CMMS"
        elif cmms is None and row is None:
            state = "unknown"
        elif cmms is not None and cmms.deleted and not plan.writes:
            state = "agree" if held_row is None else "kept"
        elif not rule.agree(held_cmms, held_row) or ((cmms is None or row is None) and held_cmms != held_row):
            state = "differ"
        found.append(
            FieldStory(
                name=rule.name,
                column=rule.column,
                rule=_rule(rule.direction, rule.on_conflict, create_only=rule.create_only),
                cmms=_held(cmms, rule.name),
                dynamics=_held(row, rule.name),
                base=entry.bases.get(rule.name),
                state=state,
                problem=blocked.get(rule.name, ""),
            )
        )
    return found


def _held(record: Record | None, name: str) -> Value:
    """What a side holds of a field; a value that its rule refuses is shown as it was read."""
    if record is None:
        return None
    bad = record.errors.get(name)
    return bad.shown if bad is not None and name not in record.values else record.values.get(name)


def _rule(direction: str, on_conflict: Side, *, create_only: bool) -> str:
    if direction == "both":
        return f"both ways; conflicts: {'CMMS' if on_conflict == 'cmms' else 'Dynamics'}"
    once = ", on create only" if create_only else ""
    return ("CMMS to Dynamics" if direction == "to_dynamics" else "Dynamics to CMMS") + once
