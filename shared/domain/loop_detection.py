"""Loops that are ours: a side keeps turning what we write into something else, and we keep answering.

The rule, for one field: we are about to write a value to a side for the fourth time; after each of the three writes
before, that side itself turned the value into something else; and no two steps lie more than a minute apart. A step
is a confirmed write of ours, on either side. What a side does of itself shows in the pattern: between two writes of
the same value to it we wrote nothing else to it. So somebody who switches a value to and fro on one side is never
taken for a loop (we write each of the values to the other side), and two people who disagree are only if they undo
each other within a minute of each synchronisation, three times in a row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.domain.link import Written
from shared.domain.model import Side

REACTION: Final = timedelta(seconds=60)
RETURNS: Final = 3
_REMEMBERED: Final = 2 * RETURNS


def remember(history: Sequence[Written], side: Side, digest: str, at: datetime) -> tuple[Written, ...]:
    """Add a confirmed write to a field's history.

    Returns:
        The history, oldest first, without the writes that are too old to be a part of a loop.
    """
    recent = [one for one in history if abs(at - one.at) <= REACTION * _REMEMBERED]
    return (*recent, Written(side=side, digest=digest, at=at))[-_REMEMBERED:]


def loops(history: Sequence[Written], side: Side, digest: str, now: datetime) -> bool:
    """Whether writing this value to this side would be the next turn of a loop."""
    returns = 0
    later = now
    for one in reversed(history):
        # Clocks of two workers may disagree by some seconds in either direction.
        if abs(later - one.at) > REACTION or (one.side == side and one.digest != digest):
            return False
        returns += one.side == side
        if returns == RETURNS:
            return True
        later = one.at
    return False
