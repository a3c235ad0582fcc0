"""How a message ends. Every message gets exactly one outcome; routing carries it out.

`name` is the outcome in metrics and traces, `reason` the code of the failure: "" where nothing failed.
"""

from dataclasses import dataclass
from typing import ClassVar

from shared.domain.model import Side
from shared.errors import SyncError, TransientError

type WrittenFields = frozenset[tuple[Side, str]]
"""The fields that were written to each side, such as `{("dynamics", "nombre"), ("cmms", "costo")}`."""


@dataclass(frozen=True)
class Done:
    """Nothing is left to do: a change was written, or found already true.

    `fields` names what was written, and `key` the record, for the log: a message may name it by its row alone.
    """

    fields: WrittenFields = frozenset()
    key: str | None = None
    reason: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The outcome's name."""
        return "applied" if self.fields else "already_true"


@dataclass(frozen=True)
class Again:
    """To be tried again later; parked where routing finds that this was the last attempt."""

    error: TransientError
    name: ClassVar[str] = "retried"

    @property
    def reason(self) -> str:
        """The failure's code."""
        return self.error.reason


@dataclass(frozen=True)
class Park:
    """Set aside for a person."""

    error: SyncError
    name: ClassVar[str] = "parked"

    @property
    def reason(self) -> str:
        """The failure's code."""
        return self.error.reason


type Outcome = Done | Again | Park
