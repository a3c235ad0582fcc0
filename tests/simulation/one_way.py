"""What must hold in one-way mode: each row has what the CMMS said last, but for what people changed in Dynamics since.

The messages are all that tells of the CMMS: partial ones, late, doubled, in any order.
"""

from collections.abc import Collection, Iterator

from local.emulators.dataverse.rows import Row
from shared.domain.link import Link
from tests.simulation.checker import common
from tests.simulation.edits import Edit
from tests.simulation.evidence import Evidence
from tests.simulation.observe import normal
from tests.simulation.rules import Rules
from tests.simulation.tables import DEAD_STATE, DYNAMICS_WINS, FIELDS, ONE_WAY


def check(evidence: Evidence, *, everything_seen: bool = False) -> list[str]:
    """Every violation, as sentences."""
    found = list(common(evidence, _stays, everything_seen=everything_seen))
    if everything_seen:
        for entity in FIELDS:
            found.extend(_lonely_rows(evidence, entity))
    return found


def _stays(evidence: Evidence, entity: str, pk: str, name: str, row: Row, link: Link) -> bool:
    cell = evidence.history.cell("cmms", entity, pk, name)
    said, edit = cell.edit, evidence.history.cell("dynamics", entity, str(row.id), name).edit
    if (said is None or said.value is None) and evidence.history.meets_anew(cell):
        return True  # a value beats nothing, whoever gave it
    cmms = normal(name, evidence.cmms.tables[entity].records[int(pk)][name])
    lost = {one.why for one in link.conflicts if (one.field, one.lost) == (name, cmms)}
    return _may_stay(evidence.history.rules, name, said, edit, lost=lost)


def _may_stay(rules: Rules, name: str, said: Edit | None, edit: Edit | None, *, lost: Collection[str]) -> bool:
    """Whether a person's edit in Dynamics may stand against what the CMMS said: nothing is written to the CMMS."""
    if name == "fecha_creacion":
        return bool(lost)
    if name in DYNAMICS_WINS and lost:
        return True
    if edit is None or edit.cell.side != "dynamics":
        return False
    if said is None or said.value is None:
        return True  # a value beats nothing
    if name in ONE_WAY:
        return False
    # The row may have shown the same by itself; or the edit came between a write and its unknown outcome, on record.
    shown = edit.number > said.number and rules.same(name, said.value, edit.over)
    return rules.knows(edit, said) or shown or "late_write" in lost


def _lonely_rows(evidence: Evidence, entity: str) -> Iterator[str]:
    """Rows of records that are gone, as far as the integration ever knew them."""
    for key, row in evidence.rows(entity):
        link = evidence.link(entity, row=str(row.id))
        if link is None or "*" in link.parked or link.cmms_id is None:
            continue
        living = int(link.cmms_id) in evidence.cmms.tables[entity].records
        if not living and row.values["statecode"] != DEAD_STATE[entity]:
            yield f"{entity} {key}: the row {row.id} is not in the state of deleted records, as its record is"
