"""One row of the customer's field table: its rule, and the translations that follow from it."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from shared.domain.model import Side, Value
from shared.domain.schema import limits, values
from shared.domain.words import plural
from shared.errors import MappingError

type FieldType = Literal["string", "decimal", "date", "datetime", "choice", "boolean", "integer", "lookup"]

_NORMALISE = {
    "string": values.text,
    "decimal": values.decimal,
    "date": values.day,
    "datetime": values.instant,
    "choice": values.text,
    "boolean": values.boolean,
    "integer": values.integer,
    "lookup": values.text,
}


_AS_JSON: Final[Mapping[FieldType, Callable[[str], str | int | bool]]] = {
    "boolean": lambda value: value == "true",
    "integer": int,
}


class Frozen(BaseModel):
    """A part of the mapping file: immutable, and strict about unknown names."""

    # A fault is told under the member's own name, whichever of its names the file uses.
    model_config = ConfigDict(frozen=True, extra="forbid", loc_by_alias=False)


def refuse(*problems: tuple[bool, str]) -> None:
    """Check a part of the mapping file against a table of problems.

    Raises:
        ValueError: With the first sentence whose condition is true.
    """
    for is_so, sentence in problems:
        if is_so:
            raise ValueError(sentence)


class Option(Frozen):
    """One choice in Dynamics: the option's number and, for a state, the state that it belongs to."""

    state: int | None = None
    status: int


class Target(Frozen):
    """A table that a lookup refers to, and the column by which the CMMS knows its rows.

    `bind` is the navigation property that writes the lookup (`customerid_account`): by default the lookup's column.
    `mapped` tells that the table is an entity of the mapping: a row that is not there may still come. The tables of all
    entities are the context of the validation.
    """

    table: str
    set: str
    id: str
    key: str
    bind: str
    mapped: bool = Field(default=False, validate_default=True)

    @field_validator("mapped")
    @classmethod
    def _is_mapped(cls, given: bool, info: ValidationInfo) -> bool:
        return given if info.context is None else info.data.get("table") in info.context


class FieldMapping(Frozen):
    """One row of the field table."""

    name: str = Field(default="", description="the CMMS's name; the table's key in TOML")
    aliases: tuple[str, ...] = ()
    column: str
    write_column: str | None = None
    state_column: str | None = None
    type: FieldType
    direction: Literal["both", "to_dynamics", "to_cmms"] = "both"
    on_conflict: Side = "cmms"
    length: Annotated[int, Field(gt=0)] | None = None
    scale: Annotated[int, Field(ge=0, le=10)] | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    create_only: bool = False
    targets: tuple[Target, ...] = Field(default=(), validation_alias=AliasChoices("targets", "target"))
    to_dynamics_choices: dict[str, Option] = {}
    to_cmms_choices: dict[int, str] = {}

    @field_validator("targets", mode="before")
    @classmethod
    def _bind_alone(cls, given: object, info: ValidationInfo) -> object:
        """Let a lookup's only navigation property be called as its column."""
        match given:
            case (dict() as alone) | [dict() as alone]:
                return [{"bind": info.data.get("column"), **alone}]
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        is_lookup, is_choice, is_number = self.type == "lookup", self.type == "choice", self.type in limits.RANGES
        options = self.to_dynamics_choices
        statuses = {option.status for option in options.values()}
        unknown = sorted(set(self.to_cmms_choices.values()) - options.keys())
        lost = ", ".join(map(str, sorted(statuses - self.to_cmms_choices.keys())))
        stateful = {option.state is not None for option in options.values()}
        lowest, highest = self.range
        refuse(
            (is_lookup != bool(self.targets), "a lookup, and only a lookup, needs a target"),
            (
                len({target.bind for target in self.targets}) != len(self.targets),
                "each target needs a 'bind' of its own, such as customerid_account",
            ),
            (
                is_lookup and self.write_column is not None,
                "a lookup is written by its target's 'bind', not by a write_column",
            ),
            (is_choice != bool(options), "a choice, and only a choice, needs to_dynamics_choices"),
            (
                bool(unknown),
                f"to_cmms_choices names {', '.join(unknown)}, which to_dynamics_choices does not have",
            ),
            (bool(lost), f"to_cmms_choices lacks {lost}, which to_dynamics_choices writes"),
            (
                not stateful <= {self.state_column is not None},
                "state_column and each option's state belong together",
            ),
            (self.length is not None and self.type not in {"string", "lookup"}, "length is for strings"),
            (self.scale is not None and self.type != "decimal", "scale is for decimals"),
            (
                (self.minimum, self.maximum) != (None, None) and not is_number,
                "minimum and maximum are for numbers",
            ),
            (lowest > highest, "minimum is above maximum"),
        )
        return self

    @property
    def range(self) -> tuple[Decimal, Decimal]:
        """The numbers that Dynamics takes: the mapping's, else the widest that a column of the type can hold."""
        lowest, highest = limits.RANGES.get(self.type, (Decimal(0), Decimal(0)))
        return (
            lowest if self.minimum is None else self.minimum,
            highest if self.maximum is None else self.maximum,
        )

    @property
    def source(self) -> Side | None:
        """The only side that may set the field; None where both may."""
        return {"both": None, "to_dynamics": "cmms", "to_cmms": "dynamics"}[self.direction]

    @property
    def read_column(self) -> str:
        """The Dynamics column that holds the field's value, as it is read: of a lookup `_msdyn_account_value`."""
        return f"_{self.column}_value" if self.type == "lookup" else self.column

    def read_columns(self) -> tuple[str, ...]:
        """The Dynamics columns that hold the field, as they are read: its value's, and its state's."""
        return tuple(filter(None, (self.read_column, self.state_column)))

    def attributes(self) -> tuple[str, ...]:
        """The Dynamics columns of the field, as they are defined: a lookup as `msdyn_account`."""
        return tuple(filter(None, (self.column, self.state_column, self.write_column)))

    def from_cmms(self, raw: object) -> Value:
        """Normalise a CMMS value.

        Raises:
            MappingError: The value's shape is wrong, or a choice is not in the table.
        """
        value = self._normalise(raw, "Energy CMMS")
        if self.type == "choice" and value not in {None, *self.to_dynamics_choices}:
            raise self._error("Energy CMMS", f"is not one of {', '.join(self.to_dynamics_choices)}")
        return value

    def from_dynamics(self, row: Mapping[str, object]) -> Value:
        """Normalise the field from a row's columns, where a lookup stands as the code of the row that it refers to.

        Raises:
            MappingError: The value's shape is wrong, or an option is not in the table.
        """
        raw = row.get(self.read_column)
        if self.type == "lookup" and not isinstance(raw, (str, type(None))):
            where = " or ".join(f"{target.table} without {target.key}" for target in self.targets)
            raise self._error("Dynamics", f"refers to a row of {where}, or to one that our user may not read")
        if self.type != "choice":
            return self._normalise(raw, "Dynamics")
        if raw is None:
            return None
        # Not isinstance: `True` is an `int`, too.
        if type(raw) is not int:
            raise self._error("Dynamics", f"is {values.shape(raw)}, not an option's number")
        if raw not in self.to_cmms_choices:
            raise self._error("Dynamics", f"is the option {raw}, which the mapping does not know")
        return str(raw)

    def to_dynamics(self, value: Value) -> Value:
        """Translate a CMMS value into what Dynamics should hold.

        Raises:
            MappingError: Too long, too many decimals, beyond what Dynamics stores, or a choice that cannot be cleared.
        """
        if self.type == "choice":
            if value is None:
                raise self._error("Energy CMMS", "has no value, and a state cannot be cleared")
            return str(self.to_dynamics_choices[value].status)
        if value is None:
            return None
        self._fits(value, "Energy CMMS", limits.utf16_length)
        if problem := limits.refused(self.type, value, self.range):
            raise self._error("Energy CMMS", f"{problem}, which {self.column} does not take")
        return value

    def to_cmms(self, value: Value) -> Value:
        """Translate a Dynamics value into what the CMMS should hold.

        Raises:
            MappingError: Too many decimals.
        """
        if value is None:
            return None
        if self.type == "choice":
            return self.to_cmms_choices[int(value)]
        self._fits(value, "Dynamics", len)
        return value

    def agree(self, cmms: Value, dynamics: Value) -> bool:
        """Whether the two sides say the same. Many-to-one choices agree in either direction of the table."""
        if self.type != "choice" or cmms is None or dynamics is None:
            return cmms == dynamics
        return str(self.to_dynamics_choices[cmms].status) == dynamics or self.to_cmms_choices[int(dynamics)] == cmms

    def as_json(self, value: Value) -> str | int | bool | None:
        """A value in its normal form as JSON carries it: true and false, whole numbers, and text for all others."""
        return None if value is None else _AS_JSON.get(self.type, str)(value)

    @cached_property
    def options(self) -> Mapping[Value, Option]:
        """The options of a choice by their values in the Dynamics normal form."""
        return {str(option.status): option for option in self.to_dynamics_choices.values()}

    def state_of(self, dynamics: Value) -> int | None:
        """The state that an option, in the Dynamics normal form, belongs to."""
        option = self.options.get(dynamics)
        return None if option is None else option.state

    def translate(self, value: Value, target: Side) -> Value:
        """Translate a value of one side into what the other side, the target, should hold.

        Raises:
            MappingError: As `to_dynamics` and `to_cmms`.
        """
        return self.to_dynamics(value) if target == "dynamics" else self.to_cmms(value)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all that gives the field's values their meaning. Bases of another hash do not count."""
        options = [(code, option.state, option.status) for code, option in sorted(self.to_dynamics_choices.items())]
        targets = sorted((target.table, target.key) for target in self.targets)
        choices = sorted(self.to_cmms_choices.items())
        meaning = (self.column, self.state_column, self.type, self.scale, options, choices, targets)
        return blake2b(repr(meaning).encode(), digest_size=6).hexdigest()

    def _fits(self, value: str, side: str, measure: Callable[[str], int]) -> None:
        if self.length is not None and (size := measure(value)) > self.length:
            raise self._error(side, f"has {plural(size, 'character')}, and {self.column} takes {self.length}")
        if self.scale is not None and len(value.partition(".")[2]) > self.scale:
            raise self._error(side, f"has more than the {plural(self.scale, 'decimal')} that the mapping allows")

    def _normalise(self, raw: object, side: str) -> Value:
        try:
            return _NORMALISE[self.type](raw)
        except ValueError as error:
            raise self._error(side, str(error)) from None

    def _error(self, side: str, problem: str) -> MappingError:
        return MappingError(
            f"{self.name}: the value in {side} {problem}. Correct it there, or change the field's rule.",
            field=self.name,
        )
