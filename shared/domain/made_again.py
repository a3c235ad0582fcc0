"""A row that came back: a create of ours, minutes late, made it anew after somebody had deleted it in Dynamics.

It has the id that we know, so that it looks like the row that both sides last agreed on. But it holds what the CMMS
said when the create was sent, and nothing that was agreed since.
"""

from datetime import datetime
from typing import Final

from shared.domain.ledger import Base, Entry
from shared.domain.merge import Merged, merge, record_replaced
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.schema.mapping import EntityMapping

# No field's normal form: against it every value of the CMMS is a change.
_OTHER: Final = "\0"


def made_again(entry: Entry, row: DynamicsRecord) -> bool:
    """Whether Dynamics made the row later than the one that the ledger knows by its id."""
    if entry.dynamics_id != row.id or entry.row_made is None or row.created is None:
        return False
    return row.created > entry.row_made


def merge_made_again(entity: EntityMapping, cmms: CmmsRecord, row: DynamicsRecord, now: datetime) -> Merged:
    """What the CMMS says now replaces what it said then; every value replaced is recorded: it may be a person's."""
    bases = {name: Base(cmms=_OTHER, dynamics=value) for name, value in row.values.items()}
    return record_replaced(merge(entity, cmms, row, bases, now), row, "made_again", now)
