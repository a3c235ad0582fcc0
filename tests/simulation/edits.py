"""People's edits, the cells that hold them, and the losers that a conflict record must name."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, override

type Side = Literal["cmms", "dynamics"]
SIDES: Final[tuple[Side, ...]] = ("cmms", "dynamics")
type Held = str | None
type Name = tuple[Side, str]
"""A record on its side: the CMMS's primary key as text, or a row's id."""


@dataclass(eq=False)
class Edit:
    """A person's edit. `previous` is the edit whose value it replaced, `over` what the cell showed then.

    `silent` as a bulk import is, which gives the record no version.
    """

    number: int
    at: float
    cell: "Cell"
    value: Held
    previous: "Edit | None"
    over: Held = None
    silent: bool = False

    def ancestors(self) -> Iterator["Edit"]:
        """The edits that it has replaced, directly or not."""
        edit = self.previous
        while edit is not None:
            yield edit
            edit = edit.previous

    @property
    def shown(self) -> "Edit | None":
        """The edit whose value the author had before their eyes."""
        return self.previous

    def seen(self) -> Iterator["Edit"]:
        """The edits whose values the author can have seen, directly or not."""
        edit = self.shown
        while edit is not None:
            yield edit
            edit = edit.shown

    def __str__(self) -> str:
        return f"edit {self.number} ({self.cell}={self.value!r} at {self.at:.3f})"


@dataclass(eq=False)
class Adopted(Edit):
    """A value that a backup brought back and somebody went on from: it counts as given over what the backup took.

    `brought` is the edit that had given it: of what the backup took its author may have seen nothing.
    """

    brought: Edit | None = None

    @property
    @override
    def shown(self) -> Edit | None:
        return self.brought


@dataclass(eq=False)
class Cell:
    """One field of one record. `edit` is where its present value comes from; None for one never given. `given`
    is what the integration gave it last.

    `before` is what it held before that.

    `by_policy` marks a value that the integration sets by itself: a row's first state, or that of a deleted record.
    """

    side: Side
    entity: str
    record: str
    field: str
    value: Held = None
    edit: Edit | None = None
    held: list[Edit] = dataclasses.field(default_factory=list)
    by_policy: bool = False
    given: Held = None
    before: Held = None
    put_back: bool = False
    """Whether a person ever gave again what the integration had replaced last."""
    outdated: bool = False
    """Whether its value arrived late: it was sent before an operator said that the side which gave it was restored."""

    def hold(self, value: Held, edit: Edit | None) -> None:
        """Take a value, wherever it comes from."""
        self.value, self.edit, self.by_policy, self.outdated = value, edit, False, False
        if edit is not None:
            self.held.append(edit)

    def __str__(self) -> str:
        return f"{self.side} {self.entity} {self.record} {self.field}"


@dataclass(frozen=True)
class Owed:
    """A loser that must be found in a conflict record at the end, by the value that the cell showed of it.

    `origins` are the edits that may have given the value by which it was replaced; none of their authors saw it.
    """

    edit: Edit
    cell: Cell
    lost: Held
    by: Held
    origins: tuple[Edit, ...]


def across(side: Side) -> Side:
    """The other side."""
    return "cmms" if side == "dynamics" else "dynamics"
