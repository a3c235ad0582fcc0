"""A record that the CMMS no longer has: its row is deactivated, never deleted, and only on the CMMS's own word."""

from shared.domain.decide.plan import Plan
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.model import DynamicsRecord, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Write


def delete(snapshot: Snapshot, context: Context) -> Plan:
    """Deactivate the row, if the policy says so, and mark the link, so that the record is not created again."""
    link, cmms, row = snapshot.link, snapshot.cmms, snapshot.row
    write = _deactivation(context.entity, row)
    marked = link.identified_by(cmms).model_copy(
        update={
            "deleted_at": link.deleted_at or cmms.changed_at or context.now,
            "intents": link.intents_of("dynamics"),
            # An operator's word on a restored side counts until the row has been seen inactive: the write may fail.
            "restored": None if write is None else link.restored,
        }
    )
    # `decided`: no field of a deleted record waits for anybody any more.
    return Plan(snapshot.stored, marked, to_dynamics=write, unfinished=marked.restored is not None, decided=True)


def _deactivation(entity: EntityMapping, row: DynamicsRecord) -> Write | None:
    if entity.on_delete != "deactivate" or not row.exists or is_inactive(entity, row):
        return None
    state = (entity.inactive.state, entity.inactive.status)
    return Write(side="dynamics", target=row.id, etag=row.etag, state=state, stamped=row.is_open)


def is_inactive(entity: EntityMapping, row: DynamicsRecord) -> bool:
    """Whether the row is in the state of deleted records."""
    return row.state == entity.inactive.state


def states_apart(entity: EntityMapping, said: Values, held: Values) -> set[str]:
    """The fields that tell the row's state, of which both sides say something, and not the same."""
    known = entity.state_fields.keys() & said.keys() & held.keys()
    return {name for name in known if not entity.fields[name].agree(said[name], held[name])}
