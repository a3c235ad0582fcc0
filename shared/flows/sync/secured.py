"""Secured columns: one that our user may not read shows null in every row, and that is nobody's edit."""

from collections.abc import Sequence
from dataclasses import replace

from shared.domain.link import Identity
from shared.domain.model import CmmsRecord, DynamicsRecord, without
from shared.errors import NoEffect
from shared.flows.ports.engine import Dynamics
from shared.flows.sync.look import Look
from shared.flows.sync.reads import Reads


async def hide(looks: Sequence[Look], reads: Reads, dynamics: Dynamics) -> None:
    """Take out of what was read what our user is not allowed to read.

    Raises:
        TransientError: Dynamics could not be asked which columns these are.
    """
    # A value that was there and is not any more is worth a question of its own; else what was heard will do.
    lost = any(_lost_a_value(look, reads) or _takes_over(look, reads) for look in looks)
    if not lost and not any(_may_hide(look, reads) for look in looks):
        return
    hidden = reads.entity.read_from(await dynamics.unreadable(reads.entity, fresh=lost))
    if not hidden:
        return

    def readable(row: DynamicsRecord) -> DynamicsRecord:
        return replace(row, values=without(row.values, hidden))

    reads.rows = {name: readable(row) for name, row in reads.rows.items()}
    reads.rows_by_key = {key: list(map(readable, found)) for key, found in reads.rows_by_key.items()}


def _may_hide(look: Look, reads: Reads) -> bool:
    """Whether a row shows nothing where the CMMS holds a value, which would be written over what cannot be read."""
    said = _said(look, reads)
    return any(not said.isdisjoint(_empty(row)) for row in (reads.row(look.link), *look.near(reads)))


def _takes_over(look: Look, reads: Reads) -> bool:
    """Whether a deleted record's row has the record's key: all that it holds is the deleted one's."""
    holders = filter(None, (reads.holder(Identity("row", row.id)) for row in look.near(reads)))
    return any(holder.link.deleted_at is not None for holder in holders)


def _lost_a_value(look: Look, reads: Reads) -> bool:
    """Whether a row that was met shows nothing where it held a value, or took one without effect.

    What was never agreed, and would be written, may have been there as well.
    """
    link = look.link
    held = {name for name, base in link.bases.items() if base.dynamics is not None}
    idle = {name for name, parked in link.parked.items() if parked.reason == NoEffect.reason}
    unknown = _said(look, reads) - link.bases.keys() if link.bases else set()
    return not _empty(reads.row(link)).isdisjoint(held | idle | unknown)


def _empty(row: DynamicsRecord) -> set[str]:
    """The fields of which the row shows nothing."""
    return {name for name, value in row.values.items() if value is None}


def _said(look: Look, reads: Reads) -> set[str]:
    """The fields of which the CMMS shows a value."""
    record = look.record(reads)
    shown = record.values if isinstance(record, CmmsRecord) else {}
    return {name for name, value in shown.items() if value is not None}
