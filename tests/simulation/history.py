"""Every value that a person gave, and every value that the integration wrote over one: the checker's evidence.

The rules are stated without the engine's merge. A cell is one field of one record on one side. Each person's edit
has its predecessor: the edit whose value the cell held then, wherever that was made; so an edit's ancestors are what
its author could see. People's values are unique (but for choices), so that a value tells which edit it is.

When the integration writes a value over another one:
- the value must be one that a person gave on the other side: nothing is invented;
- what it replaces must be an ancestor of it, or have been deleted with its CMMS record, or be named as the loser of a
  conflict record: nothing vanishes;
- it must not be an ancestor of what it replaces: nothing goes back.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.simulation.tables import CHOICES, INACTIVE, KEYS, ONE_WAY, TO_ESTADO, TO_STATUS, UNIQUE, rounded, same

type Side = Literal["cmms", "dynamics"]
type Held = str | None
type Name = tuple[Side, str]
"""A record on its side: the CMMS's primary key as text, or a row's id."""


@dataclass(eq=False)
class Edit:
    """A person's edit. `previous` is the edit whose value it replaced, `over` what the cell showed then."""

    number: int
    at: float
    cell: "Cell"
    value: Held
    previous: "Edit | None"
    over: Held = None

    def ancestors(self) -> Iterator["Edit"]:
        """The edits that it has replaced, directly or not."""
        edit = self.previous
        while edit is not None:
            yield edit
            edit = edit.previous

    def __str__(self) -> str:
        return f"edit {self.number} ({self.cell}={self.value!r} at {self.at:.3f})"


@dataclass(eq=False)
class Cell:
    """One field of one record. `edit` is where its present value comes from; None for one never given. `given`
    is what the integration gave it last.

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

    def hold(self, value: Held, edit: Edit | None) -> None:
        """Take a value, wherever it comes from."""
        self.value, self.edit, self.by_policy = value, edit, False
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


class History:
    """All cells. `keys` tells which business keys a record has had, `on_record` what conflict records name by now.

    A record and a row belong together from when the ledger first links them: that is the only thing which is taken
    from the product, and `pair` judges whether it linked rightly.
    """

    def __init__(self, on_record: Callable[[Cell], set[Held]], *, only_told: bool = False) -> None:
        """`only_told`: nothing but messages tells of the CMMS."""
        self._on_record = on_record
        self._only_told = only_told
        self.cells: dict[tuple[Side, str, str, str], Cell] = {}
        self.keys: dict[tuple[Side, str, str], set[str]] = defaultdict(set)
        self.partners: dict[tuple[Side, str, str], list[str]] = defaultdict(list)
        """By record or row, those of the other side that it was ever linked with, the first first."""
        self.rows: set[tuple[str, str]] = set()
        """(entity, id) of the rows that there are."""
        self.owed: list[Owed] = []
        self.violations: list[str] = []
        self._buried: set[Edit] = set()
        self._graves: set[Cell] = set()
        self._edits = 0

    def pair(self, entity: str, record: str, row: str, at: float) -> None:
        """Note that the ledger links the two: neither may have another partner that is still there."""
        if row in self.partners["cmms", entity, record]:
            return
        for other in self.partners["cmms", entity, record]:
            if (entity, other) in self.rows:
                self.violations.append(f"{at:.3f}: {entity} #{record} has the row {other}, and was linked with {row}")
        for other in self.partners["dynamics", entity, row]:
            # A create that arrived late makes a row whose record has another one by then.
            late = self.partners["cmms", entity, other][-1] != row
            if not late and not any(grave.record == other and grave.entity == entity for grave in self._graves):
                self.violations.append(f"{at:.3f}: the row {row} of {entity} #{other} was linked with #{record}")
        self.partners["cmms", entity, record].append(row)
        self.partners["dynamics", entity, row].append(record)

    def kin(self, entity: str, names: Iterable[Name]) -> set[Name]:
        """The records and rows, with all that they were ever linked with, and what that was linked with."""
        found = set(names)
        for _ in range(2):
            found |= {(across(side), one) for side, name in found for one in self.partners[side, entity, name]}
        return found

    def cell(self, side: Side, entity: str, record: str, name: str) -> Cell:
        """The cell, made when it is first asked for."""
        address = (side, entity, record, name)
        if address not in self.cells:
            self.cells[address] = Cell(*address)
        return self.cells[address]

    def edited(self, cell: Cell, value: Held, at: float) -> None:
        """Note a person's edit."""
        self._edits += 1
        edit = Edit(self._edits, at, cell, value, cell.edit, cell.value)
        cell.hold(value, edit)

    def bury(self, cell: Cell) -> None:
        """Note that a person deleted the record, and with it all that the cell ever held."""
        self._buried.update(cell.held)
        self._graves.add(cell)

    def _is_buried(self, edit: Edit) -> bool:
        """Whether the value went with a deleted record, in which somebody else may have given it as well."""
        return edit in self._buried or (
            edit.cell.field in UNIQUE
            and edit.value is not None
            and any(
                (one.cell.entity, one.cell.field, one.value) == (edit.cell.entity, edit.cell.field, edit.value)
                for one in self._buried
            )
        )

    def _made_anew(self, cell: Cell) -> bool:
        """Whether the row was once the row of a record that was deleted in the CMMS."""
        return any(one in self._graves for one in self._across(cell))

    def left_out(self, cell: Cell, value: Held, at: float) -> None:
        """Note a value that a row was made with because nobody gave another one."""
        if cell.field == "fecha_creacion" and not self._only_told:
            # The CMMS's orders always have one, and no later write could mend it.
            self.violations.append(f"{at:.3f}: {cell}: the row was made without the CMMS's value")
        origins = self._origins(cell, value)
        cell.hold(value, origins[-1] if origins else None)
        cell.by_policy, cell.given = True, value

    def written(self, cell: Cell, value: Held, at: float, *, policy: bool = False) -> None:
        """Judge and note a value that the integration wrote, or that its `policy` set where nobody gave it."""
        if value == cell.value:
            return
        before, cell.given = cell.given, value
        origins = self._origins(cell, value)
        if value is None and cell.side == "dynamics" and self._made_anew(cell):
            # Nobody gave the new record's nothing: that the record before it was emptied once tells nothing of it.
            origins = [edit for edit in origins if edit not in self._buried]
        replaced = cell.edit
        if policy:
            self._by_policy(cell, value, at, origins)
            return
        if not origins:
            if value is not None:
                self.violations.append(f"{at:.3f}: {cell}: nobody gave {value!r}")
            elif replaced is None or self._is_buried(replaced):
                pass
            elif cell.side == "dynamics" and (self._only_told or cell.field in ONE_WAY or self._made_anew(cell)):
                # The CMMS alone says the field, or its record was made anew, and it says nothing.
                self._owe(replaced, cell, value, at, ())
            else:
                self.violations.append(f"{at:.3f}: {cell}: nobody cleared {replaced}")
            cell.hold(value, None)
            return
        origin = origins[-1]
        if replaced is not None and not self._is_buried(replaced):
            descended = [edit for edit in origins if knows(edit, replaced)]
            origin = (descended or origins)[-1]
            # A row in the state of deleted records says nothing of its own, whoever put it there.
            dead = cell.field in CHOICES and cell.value == INACTIVE and self._made_anew(cell)
            empty = self._emptied_with_a_row(cell, replaced, origin) or self._emptied_before_they_met(
                cell, replaced, origin
            )
            untold = self._only_told and cell.side == "dynamics" and self._is_no_news(replaced, before, origin)
            if not (descended or cell.by_policy or dead or empty or untold):
                self._owe(replaced, cell, value, at, origins)
                self._not_back(cell, origins, replaced, at)
        cell.hold(value, origin)

    def _by_policy(self, cell: Cell, value: Held, at: float, origins: list[Edit]) -> None:
        """Note a value that nobody gave. A key that a person gave the row is lost as any other value."""
        replaced = cell.edit
        if cell.field in KEYS.values() and replaced is not None and replaced.cell is cell:
            self._owe(replaced, cell, value, at, ())
        cell.hold(value, origins[-1] if origins else replaced)
        cell.by_policy = True

    def _is_no_news(self, replaced: Edit, before: Held, origin: Edit) -> bool:
        """Whether the edit is no difference to what was agreed, where the CMMS can be told nothing in between.

        It put back what the integration had written; or it emptied what a message on its way was to empty as well.
        """
        emptied = any(one.value is None and one.cell.side == "cmms" for one in origin.ancestors())
        return replaced.value == before or (replaced.value is None and emptied)

    def _emptied_with_a_row(self, cell: Cell, replaced: Edit, origin: Edit) -> bool:
        """Whether both sides had agreed on nothing, and the value is of a row that somebody made since.

        Then the CMMS's nothing is no edit against the new row: a value beats it.
        """
        rows = [one for one in self._across(cell) if replaced in one.held]
        return cell.side == "cmms" and replaced.value is None and bool(rows) and origin.cell not in rows

    def _emptied_before_they_met(self, cell: Cell, replaced: Edit, origin: Edit) -> bool:
        """Whether this nothing, and what was before it, was never agreed: on first contact a value beats nothing.

        A record made anew in the CMMS meets the row of the one before it; its field's first values are news.
        """
        given = [origin, *origin.ancestors()]
        if (
            cell.side == "dynamics"
            and replaced.value is None
            and self._made_anew(cell)
            and origin.cell.side == "cmms"
            and all(one.cell is origin.cell and one.number > replaced.number for one in given)
            and origin not in self._buried
        ):
            return True
        agreed = {edit for one in self._across(cell) for edit in one.held}
        return replaced.value is None and agreed.isdisjoint({replaced, *replaced.ancestors()})

    def _owe(self, replaced: Edit, cell: Cell, by: Held, at: float, origins: Iterable[Edit]) -> None:
        """The record must be there before the write is: afterwards nobody may be left to make it."""
        self.owed.append(Owed(replaced, cell, cell.value, by, tuple(origins)))
        if cell.value not in self._on_record(cell):
            self.violations.append(f"{at:.3f}: {cell}: {replaced} was replaced by {by!r} before any record named it")

    def _not_back(self, cell: Cell, origins: list[Edit], replaced: Edit, at: float) -> None:
        edited_there = replaced.cell.side == "dynamics"
        if cell.field not in UNIQUE or (cell.side == "dynamics" and cell.field in ONE_WAY and edited_there):
            return
        if all(edit in replaced.ancestors() for edit in origins):
            self.violations.append(f"{at:.3f}: {cell}: {replaced} went back to {origins[-1]}")

    def _origins(self, cell: Cell, value: Held) -> list[Edit]:
        """The edits that the other side has held and that may have given this value, oldest first."""
        other = across(cell.side)
        found = {edit for one in self._across(cell) for edit in one.held}
        return sorted((edit for edit in found if gives(edit, other, cell.field, value)), key=lambda edit: edit.number)

    def _across(self, cell: Cell) -> list[Cell]:
        """The same field of what the cell's record was ever linked with."""
        partners = self.partners[cell.side, cell.entity, cell.record]
        return [self.cell(across(cell.side), cell.entity, one, cell.field) for one in partners]

    def held(self, side: Side, entity: str, field: str, names: Collection[Name]) -> set[Edit]:
        """The edits whose values a side held in this field of these records or rows."""
        return {edit for of, name in names if of == side for edit in self.cell(side, entity, name, field).held}


def across(side: Side) -> Side:
    """The other side."""
    return "cmms" if side == "dynamics" else "dynamics"


def knows(edit: Edit, replaced: Edit) -> bool:
    """Whether the edit's author saw the replaced value: it, or one by which somebody else said the same choice."""
    return edit is replaced or any(one is replaced or _alike(one, replaced) for one in edit.ancestors())


def _alike(one: Edit, other: Edit) -> bool:
    if one.value is None or other.value is None:
        return False
    if one.cell.field not in CHOICES:
        return one.value == other.value
    if one.cell.side == other.cell.side:
        table: dict[str, object] = dict(TO_STATUS)
        table |= {str(status): estado for status, estado in TO_ESTADO.items()}
        return one.value == other.value or table[one.value] == table[other.value]
    cmms, dynamics = (one, other) if one.cell.side == "cmms" else (other, one)
    return same(one.cell.field, cmms.value, dynamics.value)


def gives(edit: Edit, held_on: Side, name: str, value: Held) -> bool:
    """Whether a side that held the edit's value may have given `value` to the other one."""
    if name not in CHOICES:
        return value in {edit.value, rounded(name, edit.value)}
    # The edit may have been made on either side, and have been translated on its way.
    if edit.cell.side != held_on:
        return edit.value == value
    return value == (_translated(edit) if edit.value is not None else None)


def _translated(edit: Edit) -> Held:
    """What the other side's value of a choice is: each direction has its own table."""
    if edit.cell.side == "cmms":
        return str(TO_STATUS[str(edit.value)])
    return TO_ESTADO[int(str(edit.value))]
