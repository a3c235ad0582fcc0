"""One record's story: both sides, the ledger between them, what a sync would do now, and what was parked."""

from dataclasses import dataclass
from typing import Literal

from shared.domain.base import Base
from shared.domain.blocked import RECORD
from shared.domain.decide import Context, Decision, Plan, Snapshot, Wait, foresee
from shared.domain.decide.situation import PATIENCE
from shared.domain.link import ConflictRecord, Link
from shared.domain.messages.queues import PARKED
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Value
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.parked import Queues, Waiting
from shared.flows.operate.records import named_by_key
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.reconcile.drift import rule_of, whole
from shared.flows.sync.snapshot import Snapshots
from shared.flows.sync.work import Work

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
    """Everything that is known of one record. `others` are the ids of other rows that have the record's key.

    In one-way mode `cmms` is what the messages said. `due` is what a sync would do to the record as a whole.
    """

    entity: str
    key: str
    cmms: CmmsRecord | None
    row: DynamicsRecord | None
    others: tuple[str, ...]
    link: Link
    known: bool
    fields: tuple[FieldStory, ...]
    problems: tuple[str, ...]
    parked: tuple[Waiting, ...]
    in_flight: bool
    one_way: bool
    due: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to do and nothing was parked."""
        done = not (self.problems or self.due or self.parked)
        return done and all(one.state in {"agree", "kept"} for one in self.fields)

    @property
    def is_unknown(self) -> bool:
        """Whether neither side has the record, and the ledger knows nothing of it."""
        return not (self.known or self.cmms or self.row)

    @property
    def is_settled(self) -> bool:
        """Whether something is parked although both sides agree: a person may discard it."""
        fine = all(one.state in {"agree", "kept"} for one in self.fields)
        return bool(self.parked) and not self.problems and fine

    @property
    def held_apart(self) -> str:
        """Why a sync would leave fields as they are although the sides differ; empty where there are none."""
        names = [one.name for one in self.fields if one.state == "differ"]
        if not names:
            return ""
        fields = ", ".join(names)
        if self.parked and (self.row is None or self.cmms is None):
            lacking = "Dynamics has no row of it" if self.row is None else "the CMMS has no record of it"
            return f"Nothing will be synchronized of {fields}: {lacking}, and what would create it is parked."
        return (
            f"Nothing will be synchronized of {fields}, though the sides differ: one side does not say the field, or"
            " what it says is parked already. 'check' tells of fields that the CMMS does not know."
        )

    @property
    def conflicts(self) -> tuple[ConflictRecord, ...]:
        """Values that did not survive, the newest first."""
        return tuple(sorted(self.link.conflicts, key=lambda one: one.at, reverse=True))


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
        MappingError: The CMMS shows the record in no usable form.
    """
    identity = next(iter(await named_by_key(entity, [key], ledger, dynamics, cmms)))
    (snapshot,) = await Snapshots(ledger, dynamics, cmms).take(entity, [Work(identity)], clock.now())
    if not isinstance(snapshot, Snapshot):
        raise snapshot
    parked: list[Waiting] = []
    async for page in queues.peek(PARKED.name):
        parked.extend(message for message in page if message.entity == entity.name and message.key == key)
    now = clock.now()
    decision = foresee(snapshot, Context(entity, now, one_way=cmms is None, attempts=PATIENCE))
    return Story(
        entity=entity.name,
        key=key,
        cmms=snapshot.cmms if snapshot.cmms.exists else None,
        row=snapshot.row if snapshot.row.exists else None,
        others=tuple(one.row.id for one in snapshot.candidates),
        link=snapshot.stored.link,
        known=snapshot.stored.etag is not None,
        fields=tuple(_field(entity, rule, snapshot, decision) for rule in entity.rules.values()),
        problems=_problems(decision),
        due=tuple(whole(decision)) if isinstance(decision, Plan) else (),
        parked=tuple(parked),
        in_flight=snapshot.link.live_intent(now) is not None,
        one_way=cmms is None,
    )


def _problems(decision: Decision) -> tuple[str, ...]:
    if isinstance(decision, Wait):
        return (decision.error.message,)
    return tuple(block.error.message for block in decision.blocked if block.field == RECORD)


def _field(entity: EntityMapping, rule: FieldMapping, snapshot: Snapshot, decision: Decision) -> FieldStory:
    key, name = entity.key.name, rule.name
    held_cmms, held_row = _held(snapshot.cmms, key, name), _held(snapshot.row, key, name)
    blocks = decision.blocked if isinstance(decision, Plan) else ()
    problem = next((block.error.message for block in blocks if block.field == name), "")
    state: State = "blocked" if problem else _planned(name, decision) or _at_rest(rule, snapshot, held_cmms, held_row)
    base = snapshot.link.bases.get(name)
    agreed = base if base is not None and base.is_agreed else None
    return FieldStory(name, rule.column, rule_of(rule), held_cmms, held_row, agreed, state, problem)


def _held(record: Record, key: str, name: str) -> Value:
    """What a side holds of a field; a value that its rule refuses is shown as it was read."""
    bad = record.errors.get(name)
    return bad.shown if bad is not None and name not in record.values else record.held(key, name)


def _planned(name: str, decision: Decision) -> State | None:
    """What the decision does to a field; None where it does nothing."""
    if isinstance(decision, Wait):
        return None
    if name in {conflict.field for conflict in decision.merged.conflicts}:
        return "conflict"
    if decision.to_dynamics is not None and name in decision.to_dynamics.values:
        return "to Dynamics"
    return "to CMMS" if decision.to_cmms is not None and name in decision.to_cmms.values else None


def _at_rest(rule: FieldMapping, snapshot: Snapshot, cmms: Value, dynamics: Value) -> State:
    if not snapshot.cmms.exists and not snapshot.row.exists:
        return "unknown"
    if snapshot.cmms.deleted:
        return "agree" if dynamics is None else "kept"
    both = snapshot.cmms.exists and snapshot.row.exists
    return "agree" if (rule.agree(cmms, dynamics) if both else cmms == dynamics) else "differ"
