"""Secured columns: one that our user may not read shows null in every row, and that is nobody's edit."""

from collections.abc import Sequence

from shared.domain.model import Record
from shared.errors import NoEffect
from shared.flows.ports.engine import Dynamics
from shared.flows.sync.look import Look
from shared.flows.sync.reads import Reads


async def hide(looks: Sequence[Look], reads: Reads, dynamics: Dynamics) -> None:
    """Take out of what was read what our user is not allowed to read; asked anew whenever it matters.

    Raises:
        TransientError: Dynamics could not be asked which columns these are.
    """
    if any(_may_hide(look) or _takes_over(look) for look in looks):
        reads.hide(reads.entity.read_from(await dynamics.unreadable(reads.entity)))


def _may_hide(look: Look) -> bool:
    """Whether a row shows nothing where it held a value or took one without effect, or where the CMMS says news.

    A null is news as well where nothing was agreed: the row may hold a value that it does not show.
    """
    link = look.link
    agreed = {name for name, base in link.bases.items() if base.dynamics is None and base.is_agreed}
    held = link.bases.keys() - agreed
    idle = {name for name, parked in link.parked.items() if parked.reason == NoEffect.reason}
    said = look.living.values.keys() - (agreed & _empty(look.living))
    return any(not _empty(row).isdisjoint(held | idle | said) for row in (look.row, *look.near))


def _empty(shown: Record) -> set[str]:
    """The fields of which a row or record shows nothing."""
    return {name for name, value in shown.values.items() if value is None}


def _takes_over(look: Look) -> bool:
    """Whether a deleted record's row has the record's key: all that it holds is the deleted one's."""
    return any(one.holder.link.deleted_at is not None for one in look.candidates)
