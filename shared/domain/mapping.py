"""The customer's field table, made executable: loaded once from TOML, validated, then pure functions."""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.domain import values
from shared.domain.model import Side, Value
from shared.errors import ConfigurationError, KeyNotUsable, MappingError

type FieldType = Literal["string", "decimal", "date", "datetime", "choice"]
type Json = None | bool | int | float | str | list[Json] | dict[str, Json]
type Columns = dict[str, object]

_NORMALISE = {
    "string": values.text,
    "decimal": values.decimal,
    "date": values.day,
    "datetime": values.instant,
    "choice": values.text,
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Option(_Frozen):
    """One choice in Dynamics: the option's number and, for a state, the state that it belongs to."""

    state: int | None = None
    status: int


class FieldMapping(_Frozen):
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
    create_only: bool = False
    to_dynamics_choices: dict[str, Option] = {}
    to_cmms_choices: dict[int, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.type == "choice") != bool(self.to_dynamics_choices):
            raise ValueError("a choice, and only a choice, needs to_dynamics_choices")
        if self.type == "choice" and not self.to_cmms_choices:
            raise ValueError("a choice needs to_cmms_choices")
        if self.length is not None and self.type != "string":
            raise ValueError("length is for strings")
        if self.scale is not None and self.type != "decimal":
            raise ValueError("scale is for decimals")
        if any(
            (option.state is None) != (self.state_column is None)
            for option in self.to_dynamics_choices.values()
        ):
            raise ValueError("state_column and each option's state belong together")
        return self

    @property
    def source(self) -> Side | None:
        """The side that alone may say this field, or None where both may."""
        return {"both": None, "to_dynamics": "cmms", "to_cmms": "dynamics"}[self.direction]  # type: ignore[return-value]

    def read_columns(self) -> tuple[str, ...]:
        """The Dynamics columns that hold the field."""
        return (self.column, self.state_column) if self.state_column else (self.column,)

    def from_cmms(self, raw: object) -> Value:
        """Normalise a CMMS value.

        Raises:
            MappingError: The value's shape is wrong, or a choice is not in the table.
        """
        value = self._normalise(raw, "Energy CMMS")
        if self.type == "choice" and value is not None and value not in self.to_dynamics_choices:
            raise self._error("Energy CMMS", f"is not one of {', '.join(self.to_dynamics_choices)}")
        return value

    def from_dynamics(self, row: dict[str, object]) -> Value:
        """Normalise the field from a row's columns.

        Raises:
            MappingError: The value's shape is wrong, or an option is not in the table.
        """
        raw = row.get(self.column)
        if self.type != "choice":
            return self._normalise(raw, "Dynamics")
        if raw is None:
            return None
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise self._error("Dynamics", f"is {values.shape(raw)}, not an option's number")
        if raw not in self.to_cmms_choices:
            raise self._error("Dynamics", f"is the option {raw}, which the mapping does not know")
        return str(raw)

    def to_dynamics(self, value: Value) -> Value:
        """Translate a CMMS value into what Dynamics should hold.

        Raises:
            MappingError: Too long, too many decimals, or a choice that cannot be cleared.
        """
        if self.type == "choice":
            if value is None:
                raise self._error("Energy CMMS", "has no value, and a state cannot be cleared")
            return str(self.to_dynamics_choices[value].status)
        self._fits(value, "Energy CMMS")
        return value

    def to_cmms(self, value: Value) -> Value:
        """Translate a Dynamics value into what the CMMS should hold.

        Raises:
            MappingError: Too many decimals.
        """
        if self.type == "choice":
            return None if value is None else self.to_cmms_choices[int(value)]
        self._fits(value, "Dynamics")
        return value

    def agree(self, cmms: Value, dynamics: Value) -> bool:
        """Whether the two sides say the same. Many-to-one choices agree in either direction of the table."""
        if self.type != "choice" or cmms is None or dynamics is None:
            return cmms == dynamics
        return (
            str(self.to_dynamics_choices[cmms].status) == dynamics
            or self.to_cmms_choices[int(dynamics)] == cmms
        )

    def state_of(self, dynamics: Value) -> int | None:
        """The state that an option, in the Dynamics normal form, belongs to."""
        for option in self.to_dynamics_choices.values():
            if str(option.status) == dynamics:
                return option.state
        return None

    def _fits(self, value: Value, side: str) -> None:
        if value is None:
            return
        if self.length is not None and len(value) > self.length:
            raise self._error(side, f"has {len(value)} characters, and {self.column} takes {self.length}")
        if self.scale is not None and len(value.partition(".")[2]) > self.scale:
            raise self._error(side, f"has more than the {self.scale} decimals that the mapping allows")

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


class KeyMapping(_Frozen):
    """The business key: the same text on both sides."""

    name: str
    aliases: tuple[str, ...] = ()
    column: str
    length: Annotated[int, Field(gt=0)]


class EntityMapping(_Frozen):
    """One entity: where it lives on each side, its policies and its fields."""

    name: str = ""
    table: str
    set: str
    id: str
    cmms: str
    key: KeyMapping
    alternate_key: str
    create_in: frozenset[Side] = frozenset({"cmms", "dynamics"})
    on_delete: Literal["deactivate", "report"] = "deactivate"
    inactive: Option | None = None
    open_states: frozenset[int] | None = None
    constants: dict[str, str | int | bool] = {}
    fields: dict[str, FieldMapping]

    @model_validator(mode="before")
    @classmethod
    def _name_fields(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("fields"), dict):
            named = {
                name: {**field, "name": name} if isinstance(field, dict) else field
                for name, field in data["fields"].items()
            }
            return {**data, "fields": named}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on_delete == "deactivate" and self.inactive is None:
            raise ValueError("on_delete = 'deactivate' needs inactive = { state = ..., status = ... }")
        taken: dict[str, str] = {}
        for name, names in [
            (self.key.name, self.key.aliases),
            *((f.name, f.aliases) for f in self.fields.values()),
        ]:
            for alias in (name, *names):
                if alias in taken:
                    raise ValueError(f"the name {alias} is used by {taken[alias]} and by {name}")
                taken[alias] = name
        return self

    @cached_property
    def names(self) -> dict[str, str]:
        """Every accepted CMMS name, aliases included, to the field's own name; the key's as well."""
        found = {alias: f.name for f in self.fields.values() for alias in (f.name, *f.aliases)}
        return found | {alias: self.key.name for alias in (self.key.name, *self.key.aliases)}

    @cached_property
    def select(self) -> tuple[str, ...]:
        """The Dynamics columns to read, each once."""
        wanted = [self.id, self.key.column]
        for field in self.fields.values():
            wanted.extend(field.read_columns())
        if self.open_states is not None:
            wanted.append("statecode")
        return tuple(dict.fromkeys(wanted))

    def usable_key(self, raw: object) -> str:
        """Check a business key.

        Raises:
            KeyNotUsable: Not text, empty, too long, with spaces around it, or with control characters.
        """
        where = f"{self.key.name} ({self.name})"
        if not isinstance(raw, str) or not raw:
            raise KeyNotUsable(
                f"{where} is {values.shape(raw)}: a record needs its key as text.", field=self.key.name
            )
        if len(raw) > self.key.length:
            raise KeyNotUsable(
                f"{where} has {len(raw)} characters, and the mapping allows {self.key.length}.",
                field=self.key.name,
            )
        # Databases compare keys without regard to spaces at their end: two records could look like one.
        if raw != raw.strip() or not raw.isprintable():
            raise KeyNotUsable(
                f"{where} has spaces around it or characters that cannot be printed: correct it in its source.",
                field=self.key.name,
            )
        return raw

    def state_columns(self, option: Option) -> Columns:
        """The columns that put a row into a state."""
        return (
            {"statuscode": option.status}
            if option.state is None
            else {"statecode": option.state, "statuscode": option.status}
        )


class Mapping(_Frozen):
    """The whole file: entities by their name in message types (`asset`, `order`)."""

    version: Literal[1]
    entities: dict[str, EntityMapping]

    @model_validator(mode="before")
    @classmethod
    def _name_entities(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("entities"), dict):
            named = {
                name: {**entity, "name": name} if isinstance(entity, dict) else entity
                for name, entity in data["entities"].items()
            }
            return {**data, "entities": named}
        return data

    def of_table(self, table: str) -> EntityMapping | None:
        """The entity that a Dataverse table holds, if the mapping has one."""
        return next((entity for entity in self.entities.values() if entity.table == table), None)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigurationError: Names the file, and the entity and field at fault.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Mapping.model_validate(data)
    except FileNotFoundError:
        raise ConfigurationError(
            f"The mapping file {path} does not exist: set SYNC_MAPPING to one that does."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The mapping file {path} is not TOML in UTF-8: {error}.") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ConfigurationError(f"The mapping file {path} cannot be used:\n" + "\n".join(lines)) from None
