"""How a message ends. Every message gets exactly one outcome; routing carries it out."""

from dataclasses import dataclass

from shared.domain.model import Side
from shared.errors import SyncError, TransientError

type WrittenFields = frozenset[tuple[Side, str]]
"""The fields that were written to each side, such as `{("dynamics", "nombre"), ("cmms", "costo")}`."""


@dataclass(frozen=True)
class Done:
    """Nothing is left to do. `applied` tells a change that was written from one found already true.

    `fields` names what was written, and `key` the record, for the log: a message may name it by its row alone.
    """

    applied: bool
    fields: WrittenFields = frozenset()
    key: str | None = None


@dataclass(frozen=True)
class Again:
    """To be tried again later."""

    error: TransientError


@dataclass(frozen=True)
class Park:
    """Set aside for a person."""

    error: SyncError


type Outcome = Done | Again | Park
