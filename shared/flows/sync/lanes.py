"""A batch in lanes, which are worked on beside each other: while one waits for a side's answer, another computes."""

from collections.abc import Sequence
from itertools import cycle
from math import ceil
from typing import Final

from shared.flows.sync.deliveries import Delivery

LANE: Final = 500
"""Records: as many as one request reads from either side, so that a second lane costs no request more."""


def lanes(deliveries: Sequence[Delivery], most: int) -> list[list[Delivery]]:
    """Split a batch into as few lanes of at most `most` records as hold it, equal to within one record.

    The messages that name a record alike are in one lane, in the batch's order. Messages that name one record by
    different identities may be in two: as with two hosts, the ledger's compare-and-swap and the live intents decide.

    Examples:
        1,000 messages of as many records by 500: two lanes of 500. 501 by 500: lanes of 251 and 250.
    """
    names = dict.fromkeys(one.identity for one in deliveries)
    split: list[list[Delivery]] = [[] for _ in range(ceil(len(names) / most))]
    lane_of = dict(zip(names, cycle(split), strict=False))
    for one in deliveries:
        lane_of[one.identity].append(one)
    return split
