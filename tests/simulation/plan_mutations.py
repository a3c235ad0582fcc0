"""Engines that decide wrongly about a record and do the rest well, so that whatever they leave looks orderly."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from shared.domain.deletion import is_inactive, plan_missing
from shared.domain.ledger import ConflictRecord, Entry
from shared.domain.merge import Blocked, digest
from shared.domain.plan import RECORD, Plan, Sides
from shared.domain.planned import SideWrite
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, PermanentError, RecordClosed
from shared.flows.sync import Sync
from shared.flows.sync.items import Group
from tests.simulation.worker import Parts

type Decide = Callable[[EntityMapping], Plan]
type Mutation = Callable[[EntityMapping, Entry, Sides, Decide], Plan]


def _parked(plan: Plan, error: PermanentError) -> Plan:
    return Plan(plan.entry, row=plan.row, cmms=plan.cmms, blocked=(Blocked(RECORD, "dynamics", digest("*"), error),))


def _wrong_winner(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """Each conflict goes to the side that the mapping lets lose."""
    turned = {"cmms": "dynamics", "dynamics": "cmms"}
    fields = {
        name: rule.model_copy(update={"on_conflict": turned[rule.on_conflict]}) for name, rule in entity.fields.items()
    }
    return decide(entity.model_copy(update={"fields": fields}))


def _strangers_parked(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """A row that the ledger does not know is held back, instead of met or made in the CMMS."""
    if entry.dynamics_id is None and sides.rows:
        return _parked(Plan(entry), KeyNotUsable("The row is not known.", field=entity.key.name))
    return decide(entity)


def _deletions_parked(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """A row whose record was deleted is not deactivated, but held back as missing."""
    plan = decide(entity)
    deleted = plan.cmms is not None and plan.cmms.deleted
    return plan_missing(entry, plan.row) if deleted and plan.to_dynamics is not None else plan


def _closed_parked(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """A row that is closed or retired holds its whole record back."""
    plan = decide(entity)
    closed = plan.row is not None and (not plan.row.is_open or is_inactive(entity, plan.row))
    if closed and plan.merged.writes:
        return _parked(replace(plan, entry=entry), RecordClosed("The row is closed."))
    return plan


def _every_change_a_conflict(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """Each value that is replaced counts as the loser of a conflict."""
    plan = decide(entity)
    row, cmms = plan.row, plan.cmms
    if row is None or cmms is None:
        return plan
    named = {conflict.field for conflict in plan.merged.conflicts}
    made = tuple(
        ConflictRecord(
            field=write.field,
            winner="cmms" if write.side == "dynamics" else "dynamics",
            won=write.source,
            lost=(row if write.side == "dynamics" else cmms).values[write.field],
            why="both_changed",
            at=row.modified,
        )
        for write in plan.merged.writes
        if write.field not in named and row.modified is not None
    )
    return replace(plan, entry=plan.entry.model_copy(update={"conflicts": plan.entry.conflicts + made}))


def _undated(entity: EntityMapping, entry: Entry, sides: Sides, decide: Decide) -> Plan:
    """Orders are made without the CMMS's date of creation."""
    plan = decide(entity)
    if plan.to_dynamics is None or not plan.to_dynamics.create:
        return plan

    def rest(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name != "fecha_creacion"}

    write: SideWrite = plan.to_dynamics
    return replace(plan, to_dynamics=replace(write, values=rest(write.values), sources=rest(write.sources)))


def _deciding(mutation: Mutation) -> Callable[[], Parts]:
    class Mutant(Sync):
        def _plan(self, entity: EntityMapping, entry: Entry, sides: Sides, group: Group) -> Plan:
            real = super()._plan
            return mutation(entity, entry, sides, lambda by: real(by, entry, sides, group))

    return lambda: Parts(sync=Mutant)


PLAN_MUTATIONS: Final[dict[str, Callable[[], Parts]]] = {
    "conflicts won by the wrong side": _deciding(_wrong_winner),
    "unknown rows held back": _deciding(_strangers_parked),
    "deletions held back": _deciding(_deletions_parked),
    "closed rows hold their record back": _deciding(_closed_parked),
    "every change recorded as a conflict": _deciding(_every_change_a_conflict),
    "orders made without their date": _deciding(_undated),
}
