"""Engines that decide wrongly about a record and do the rest well, so that whatever they leave looks orderly."""

from collections.abc import Callable, Mapping
from copy import replace
from datetime import datetime
from typing import Any, Final

from shared.domain.blocked import held_back
from shared.domain.decide import Decision, Plan, Snapshot, decide
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.plan import held
from shared.domain.link import ConflictRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, PermanentError, RecordClosed, RecordMissing
from shared.flows.sync import Sync
from shared.flows.sync.work import Work
from tests.simulation.worker import Parts

type Decide = Callable[[EntityMapping, Snapshot], Decision]
type Mutation = Callable[[EntityMapping, Snapshot, Plan, Decide], Decision]


def _parked(snapshot: Snapshot, error: PermanentError) -> Plan:
    return held(snapshot, held_back("dynamics", "*", error))


def _wrong_winner(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """Each conflict goes to the side that the mapping lets lose."""
    turned = {"cmms": "dynamics", "dynamics": "cmms"}
    fields = {
        name: rule.model_copy(update={"on_conflict": turned[rule.on_conflict]}) for name, rule in entity.fields.items()
    }
    other = entity.model_copy(update={"fields": fields})
    other.__dict__.pop("rules", None)  # a copy keeps what was derived from the fields before
    return by(other, snapshot)


def _strangers_parked(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """A row that the ledger does not know is held back, instead of met or made in the CMMS."""
    if snapshot.stored.etag is None and (snapshot.row.exists or snapshot.candidates):
        return _parked(snapshot, KeyNotUsable("The row is not known.", field=entity.key.name))
    return plan


def _deletions_parked(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """A row whose record was deleted is not deactivated, but held back as missing."""
    deleted = snapshot.cmms.deleted
    return _parked(snapshot, RecordMissing("It is gone.")) if deleted and plan.to_dynamics is not None else plan


def _closed_parked(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """A row that is closed or retired holds its whole record back."""
    row = snapshot.row
    closed = row.exists and (not row.is_open or is_inactive(entity, row))
    return _parked(snapshot, RecordClosed("The row is closed.")) if closed and plan.merged.writes else plan


def _every_change_a_conflict(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """Each value that is replaced counts as the loser of a conflict."""
    row = snapshot.row
    if row.modified is None or not snapshot.cmms.exists:
        return plan
    named = {conflict.field for conflict in plan.merged.conflicts}
    made = tuple(
        ConflictRecord(
            field=write.field,
            winner="cmms" if write.side == "dynamics" else "dynamics",
            won=write.source,
            lost=write.before,
            why="both_changed",
            at=row.modified,
        )
        for write in plan.merged.writes
        if write.field not in named
    )
    return replace(plan, link=plan.link.model_copy(update={"conflicts": plan.link.conflicts + made}))


def _undated(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """Orders are made without the CMMS's date of creation."""
    write = plan.to_dynamics
    if write is None or not write.creates:
        return plan

    def rest(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name != "fecha_creacion"}

    bare = write.model_copy(update={"values": rest(write.values), "sources": rest(write.sources)})
    return replace(plan, to_dynamics=bare)


def _taken_over_unrecorded(entity: EntityMapping, snapshot: Snapshot, plan: Plan, by: Decide) -> Decision:
    """What the row of a deleted record held is replaced without a record."""
    if plan.holder is None:
        return plan
    kept = tuple(one for one in plan.link.conflicts if one.why not in {"taken_over", "first_contact"})
    return replace(plan, link=plan.link.model_copy(update={"conflicts": kept}))


def _deciding(mutation: Mutation) -> Callable[[], Parts]:
    class Mutant(Sync):
        def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
            def by(other: EntityMapping, snapshot: Snapshot) -> Decision:
                return decide(snapshot, work.context(other, now, one_way=self._cmms is None))

            decision = super()._decide(entity, work, snapshot, now)
            return mutation(entity, snapshot, decision, by) if isinstance(decision, Plan) else decision

    return lambda: Parts(sync=Mutant)


PLAN_MUTATIONS: Final[dict[str, Callable[[], Parts]]] = {
    "conflicts won by the wrong side": _deciding(_wrong_winner),
    "unknown rows held back": _deciding(_strangers_parked),
    "deletions held back": _deciding(_deletions_parked),
    "closed rows hold their record back": _deciding(_closed_parked),
    "every change recorded as a conflict": _deciding(_every_change_a_conflict),
    "orders made without their date": _deciding(_undated),
    "rows taken over without a record": _deciding(_taken_over_unrecorded),
}
