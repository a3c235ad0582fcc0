"""Secured columns: one that our user may not read shows null in every row, and that is nobody's edit."""

from collections.abc import Sequence

from shared.domain.model import DynamicsRecord
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
    lost = any(_lost_a_value(look) or _takes_over(look) for look in looks)
    if lost or any(map(_may_hide, looks)):
        hidden = reads.entity.read_from(await dynamics.unreadable(reads.entity, fresh=lost))
        if hidden:
            reads.hide(hidden)


def _may_hide(look: Look) -> bool:
    """Whether a row shows nothing where the CMMS holds a value, which would be written over what cannot be read."""
    said = _said(look)
    return any(not said.isdisjoint(_empty(row)) for row in (look.row, *look.near))


def _takes_over(look: Look) -> bool:
    """Whether a deleted record's row has the record's key: all that it holds is the deleted one's."""
    return any(one.holder is not None and one.holder.link.deleted_at is not None for one in look.candidates)


def _lost_a_value(look: Look) -> bool:
    """Whether a row that was met shows nothing where it held a value, or took one without effect.

    What was never agreed, and would be written, may have been there as well.
    """
    link = look.link
    held = {name for name, base in link.bases.items() if base.dynamics is not None or not base.is_agreed}
    idle = {name for name, parked in link.parked.items() if parked.reason == NoEffect.reason}
    unknown = _said(look) - link.bases.keys() if link.bases else set()
    return not _empty(look.row).isdisjoint(held | idle | unknown)


def _empty(row: DynamicsRecord) -> set[str]:
    """The fields of which the row shows nothing."""
    return {name for name, value in row.values.items() if value is None}


def _said(look: Look) -> set[str]:
    """The fields of which the CMMS shows a value."""
    return {name for name, value in look.living.values.items() if value is not None}
