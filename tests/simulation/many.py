"""Many seeds on all processors."""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from tests.simulation.upheavals import combined
from tests.simulation.world import play


def play_one(
    seed: int, *, one_way: bool = False, upheavals: Sequence[str] | None = None, together: bool = False
) -> tuple[int, list[str]]:
    """The seed and its violations; an exception is one too."""
    logging.disable(logging.CRITICAL)
    upheavals = combined(seed, one_way=one_way) if together else upheavals
    try:
        return seed, play(seed, one_way=one_way, upheavals=upheavals).violations
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is the seed's result
        where = traceback.extract_tb(error.__traceback__)[-1]
        return seed, [f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"]


def play_many(
    seeds: Iterable[int], *, one_way: bool = False, upheavals: Sequence[str] | None = None, together: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Play the seeds, in any order; `together` with several upheavals each."""
    one = partial(play_one, one_way=one_way, upheavals=upheavals, together=together)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        yield from pool.imap_unordered(one, seeds, chunksize=10)
