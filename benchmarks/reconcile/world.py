"""A world of N assets on each side with 0.1% drift of every class, computed from a record's number alone."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from shared.flows.reconcile.drift import DriftClass

EVERY: Final = 1000
_OFFSET: Final = 7
# Ten in ten thousand: the classes in the proportion in which they happen.
_KINDS: Final = (
    DriftClass.CMMS_AHEAD,
    DriftClass.DYNAMICS_AHEAD,
    DriftClass.CMMS_AHEAD,
    DriftClass.DYNAMICS_AHEAD,
    DriftClass.CONFLICT,
    DriftClass.CMMS_AHEAD,
    DriftClass.MISSING_IN_DYNAMICS,
    DriftClass.MISSING_IN_CMMS,
    DriftClass.GONE_FROM_DYNAMICS,
    DriftClass.DUPLICATE_KEY,
)
# Ids are scattered like real ones by a multiplication that can be undone.
_ROOM: Final = 1 << 61
_SCATTER: Final = 0x9E3779B97F4A7C15
_GATHER: Final = pow(_SCATTER, -1, _ROOM)
DOUBLE: Final = 1 << 40
"""Added to a record's number: the second row with its key."""


def kind_of(number: int) -> DriftClass | None:
    """How record `number` drifted."""
    return _KINDS[number // EVERY % len(_KINDS)] if number % EVERY == _OFFSET else None


def drifted(count: int) -> Iterator[tuple[str, DriftClass]]:
    """Every drifted record of a world of `count`."""
    for number in range(_OFFSET, count, EVERY):
        kind = kind_of(number)
        if kind is not None:
            yield key_of(number), kind


def key_of(number: int) -> str:
    """The business key."""
    return f"A-{number:07d}"


def record_of(number: int) -> str:
    """The CMMS's id of the record."""
    return str(number + 1)


def number_of(record: str) -> int:
    """The number of a record's id."""
    return int(record) - 1


def number_of_key(key: str) -> int:
    """The record of a key."""
    return int(key[2:])


def id_of(number: int) -> str:
    """The Dynamics id: the order of the ids is not that of the keys."""
    scattered = number * _SCATTER % _ROOM
    return str(UUID(int=scattered << 67 | scattered, version=4))


def number_of_row(row_id: str) -> int:
    """The number of a Dynamics id."""
    return UUID(row_id).int % _ROOM * _GATHER % _ROOM


def values_of(number: int) -> tuple[str, str | None, str, str, str]:
    """The agreed values: name, serial number, cost, book value, date of purchase."""
    return (
        f"Bomba de agua numero {number}",
        None if number % 5 == 0 else f"SN-{number:09d}",
        f"{1000 + number % 90000}.{number % 100:02d}",
        f"{number % 7000}.5",
        f"20{number % 24 + 1:02d}-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
    )


def is_in_cmms(number: int) -> bool:
    """Whether the CMMS has the record."""
    return kind_of(number) is not DriftClass.MISSING_IN_CMMS


def is_in_dynamics(number: int) -> bool:
    """Whether Dynamics has the row."""
    return kind_of(number) not in {DriftClass.MISSING_IN_DYNAMICS, DriftClass.GONE_FROM_DYNAMICS}


def is_in_ledger(number: int) -> bool:
    """Whether the two sides ever met."""
    return kind_of(number) not in {DriftClass.MISSING_IN_DYNAMICS, DriftClass.MISSING_IN_CMMS}
