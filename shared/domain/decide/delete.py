"""A record that the CMMS no longer has: its row is deactivated, never deleted, and only on the CMMS's own word."""

from shared.domain.decide.plan import Plan
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.link import Write
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping


def delete(snapshot: Snapshot, context: Context) -> Plan:
    """Deactivate the row, if the policy says so, and mark the link, so that the record is not created again."""
    entity, link, cmms, row = context.entity, snapshot.link, snapshot.cmms, snapshot.row
    version = cmms.version if cmms is not None else None
    marked = link.model_copy(
        update={
            "cmms_id": (cmms.id if cmms is not None else "") or link.cmms_id,
            "deleted_at": link.deleted_at or (version.at if version is not None else context.now),
            "intents": tuple(intent for intent in link.intents if intent.side == "dynamics"),
        }
    )
    write = None
    if row is not None and entity.on_delete == "deactivate" and entity.inactive and not is_inactive(entity, row):
        state = (entity.inactive.state, entity.inactive.status)
        write = Write(side="dynamics", target=row.id, etag=row.etag, state=state, stamped=row.is_open)
    # An operator's word on a restored side counts until the row has been seen inactive: the write may still fail.
    waits = write is not None and link.restored is not None
    marked = marked if waits else marked.model_copy(update={"restored": None})
    # No field of a deleted record waits for anybody any more.
    known = link.identities or row is not None
    return Plan(snapshot.stored, marked if known else link, to_dynamics=write, unfinished=waits, decided=True)


def is_inactive(entity: EntityMapping, row: DynamicsRecord) -> bool:
    """Whether the row is in the state of deleted records."""
    return entity.inactive is not None and row.state == entity.inactive.state
