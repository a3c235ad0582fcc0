"""The customer's field table as it stands at the moment: its columns and choices may be changed while a run goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from tests.simulation.edits import Edit, Held, Side
from tests.simulation.tables import ALL_COLUMNS, CHOICES, CORRECTED, DECIMALS, REFERRING, TO_ESTADO, TO_STATUS, rounded


@dataclass(frozen=True)
class Choices:
    """The two tables of the order's state."""

    to_status: Mapping[str, int]
    to_estado: Mapping[int, str]

    def translated(self, edit: Edit) -> Held:
        """What the other side's value of a choice is: each direction has its own table."""
        if edit.value is None:
            return None
        if edit.cell.side == "cmms":
            return str(self.to_status[edit.value])
        return self.to_estado[int(edit.value)]

    def same(self, cmms: str, dynamics: str) -> bool:
        """Whether one is the other's translation in either direction."""
        return str(self.to_status.get(cmms)) == dynamics or self.to_estado.get(int(dynamics)) == cmms

    def mean_the_same(self, one: str, other: str) -> bool:
        """Whether two values of one side are translated alike."""
        table: dict[str, object] = dict(self.to_status)
        table |= {str(status): estado for status, estado in self.to_estado.items()}
        return one == other or table[one] == table[other]


FIRST: Final = Choices(TO_STATUS, TO_ESTADO)
SECOND: Final = Choices({**TO_STATUS, **CORRECTED}, TO_ESTADO)
"""After a correction of the table, in one direction."""


class Rules:
    """`columns` are those of the mapped fields and keys; what people call a field's column follows them."""

    def __init__(self) -> None:
        self.columns = dict(ALL_COLUMNS)
        self.moved: dict[str, float] = {}
        """When a field got its column, for those that had another one before."""
        self.unmapped: set[str] = set()
        self.retyped: set[str] = set()
        """Fields of another type or scale than the customer's table gives them, which takes the same values."""
        self.currency = False
        """Whether the mapping names the currency of assets as well, as it does that of orders."""
        self.referred: Callable[[str], UUID] | None = None
        """The row that a serial number stands for, where it refers to one; makes the row if it is not there."""
        self.orders = True
        """Whether orders are in the mapping."""
        self.restored = False
        """Whether a side was restored from a backup: it gets back what the other one made of its values."""
        self.choices = FIRST
        self.past = [FIRST]

    def refer(self, referred: Callable[[str], UUID]) -> None:
        """Let serial numbers refer to rows from now on."""
        self.referred = referred
        self.columns[REFERRING] = "msdyn_account"

    def entered(self, name: str, value: Held) -> dict[str, object]:
        """What a person sends who enters a value in Dynamics."""
        column = self.columns[name]
        if name == REFERRING and self.referred is not None:
            return {f"{column}@odata.bind": None if value is None else f"/accounts({self.referred(value)})"}
        return {column: Decimal(value) if name in DECIMALS and value is not None else value}

    def correct(self, choices: Choices) -> None:
        """Let other tables of choices count from now on; what was translated before was so by the earlier ones."""
        self.choices = choices
        self.past.append(choices)

    def same(self, name: str, cmms: Held, dynamics: Held) -> bool:
        """Whether the two sides say the same."""
        if name not in CHOICES or cmms is None or dynamics is None:
            return dynamics in {cmms, rounded(name, cmms)}
        return self.choices.same(cmms, dynamics)

    def knows(self, edit: Edit, replaced: Edit) -> bool:
        """Whether the edit's author saw the replaced value: it, or one by which somebody else said the same."""
        return edit is replaced or any(one is replaced or self._alike(one, replaced) for one in edit.ancestors())

    def _alike(self, one: Edit, other: Edit) -> bool:
        if one.value is None or other.value is None:
            return False
        if one.cell.field not in CHOICES:
            return one.value == other.value
        if one.cell.side == other.cell.side:
            return any(choices.mean_the_same(one.value, other.value) for choices in self.past)
        cmms, dynamics = (one.value, other.value) if one.cell.side == "cmms" else (other.value, one.value)
        return any(choices.same(cmms, dynamics) for choices in self.past)

    def gives(self, edit: Edit, held_on: Side, name: str, value: Held) -> bool:
        """Whether a side that held the edit's value may have given `value` to the other one."""
        if name not in CHOICES:
            return value in {edit.value, rounded(name, edit.value)}
        # The edit may have been made on either side, and have been translated on its way.
        if edit.cell.side == held_on:
            return value in {choices.translated(edit) for choices in self.past}
        return value == edit.value or value in self._there_and_back(edit)

    def _there_and_back(self, edit: Edit) -> set[Held]:
        """What an edit has become that went over by an earlier table, or before a restore, and came back since."""
        if edit.value is None or (len(self.past) < 2 and not self.restored):  # the first one and another
            return set()
        over = {choices.translated(edit) for choices in self.past}
        if edit.cell.side == "cmms":
            return {choices.to_estado[int(str(one))] for one in over for choices in self.past}
        return {str(choices.to_status[str(one)]) for one in over for choices in self.past}
