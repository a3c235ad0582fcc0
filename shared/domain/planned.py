"""What the engine means to do about one record, and what it decides from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.ledger import Entry
from shared.domain.merge import Blocked, Merged, digest
from shared.domain.model import CmmsRecord, DynamicsRecord, Value
from shared.errors import KeyNotUsable

RECORD = "*"
"""The pseudo-field under which a whole record is parked."""


@dataclass(frozen=True)
class SideWrite:
    """A write for one side: `create`, or an update of the row as read.

    `sources` are the other side's values that this write makes agreed once it is confirmed, and `before` what the
    target holds. A state that a row cannot be born in has a source of None, so that the next merge sees it as changed;
    `unfinished` asks for that merge at once. `release_key` gives up another record's key: the row's own id stands in.
    """

    create: bool
    values: Mapping[str, Value]
    sources: Mapping[str, Value]
    before: Mapping[str, Value] = field(default_factory=dict)
    state: tuple[int | None, int] | None = None
    restore_key: bool = False
    release_key: bool = False
    unfinished: bool = False

    @property
    def digest(self) -> str:
        """Recognise the same write again."""
        return digest((self.create, self.restore_key, self.release_key, self.state, sorted(self.values.items())))


def unusable(error: KeyNotUsable) -> Blocked:
    """A record held back by its key: once for each row that has it, whatever else is true of the two."""
    return Blocked(RECORD, "dynamics", digest(error.row_id or error.message), error)


@dataclass(frozen=True)
class Plan:
    """What to do: the entry to store first, then the writes; `blocked` is to be parked, once per value."""

    entry: Entry
    row: DynamicsRecord | None = None
    cmms: CmmsRecord | None = None
    to_dynamics: SideWrite | None = None
    to_cmms: SideWrite | None = None
    blocked: tuple[Blocked, ...] = ()
    merged: Merged = field(default_factory=Merged)

    @property
    def writes(self) -> bool:
        """Whether anything is to be written to either side."""
        return self.to_dynamics is not None or self.to_cmms is not None


@dataclass(frozen=True)
class Sides:
    """Both sides of one record as read after the ledger.

    `rows` are the rows that Dynamics takes for the key; `bound` is the row of the ledger's id, wherever its key went.
    """

    cmms: CmmsRecord | None
    rows: Sequence[DynamicsRecord] = ()
    bound: DynamicsRecord | None = None
