"""A write to one side: from the decision, through its announcement, to the adapter."""

from datetime import datetime

from msgspec import field

from shared.domain.kept import Kept
from shared.domain.model import Side, Value


class Write(Kept, frozen=True):
    """A write to one side, described once: from the decision through the intent to the adapter.

    `target` is the row's GUID or the CMMS's record id; None creates a CMMS record, whose id the CMMS chooses. `etag`
    None means a create. `values` are in the target's normal form, the business key among them where it is written.
    `sources` are the other side's values that are agreed once the write is confirmed; `before` is what the target held.
    A state that a row is born with and no record says has a source of None, so that what the record says of it is a
    change for the next merge.
    `operation` is the operation id where the write's content decides it: a record has the id of the row that it is
    made from, so that the CMMS refuses to make a second one of it. `stamped` False means that the row cannot show the
    write: Dynamics takes nothing but a state for a closed row.

    Example: `Write(side="dynamics", target="6f…", etag='W/"12"', values={"nombre": "Pump"},
    sources={"nombre": "Pump"}, before={"nombre": "Pumpe"})`.
    """

    side: Side
    target: str | None
    etag: str | None
    values: dict[str, Value] = field(default_factory=dict)
    sources: dict[str, Value] = field(default_factory=dict)
    before: dict[str, Value] = field(default_factory=dict)
    state: tuple[int | None, int] | None = None
    operation: str | None = None
    stamped: bool = True

    @property
    def creates(self) -> bool:
        """Whether the write makes a new row or record."""
        return self.etag is None

    @property
    def unsaid(self) -> frozenset[str]:
        """The fields of a state that is written although no record says it."""
        written = self.sources.keys() & self.values.keys()
        return frozenset(name for name in written if self.values[name] is not None and self.sources[name] is None)


def part_of(operation: str) -> str:
    """What a row shows of a write that it took in part: without a lookup that waits, or to find a refused field."""
    return f"{operation}~" if operation else ""


class Intent(Write, frozen=True, kw_only=True):
    """A write announced before it is sent. `id` is the operation id, which the written row or record then shows.

    `rules` are the fingerprints of the fields' rules by which it was made: a release may change them meanwhile.
    """

    id: str
    expires_at: datetime
    rules: dict[str, str] = field(default_factory=dict)
