"""The customer's field table, made executable: read once from TOML, validated, then pure."""

import re
import tomllib
from collections.abc import Collection, Sequence
from collections.abc import Mapping as Map
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, Self, override

from pydantic import Field, ValidationError, model_validator

from shared.domain.messages.queues import OF_ENTITY
from shared.domain.model import Side, Value
from shared.domain.schema import values
from shared.domain.schema.fields import FieldMapping, Frozen, Option, refuse
from shared.domain.schema.problems import meant, sentences
from shared.errors import ConfigurationError, KeyNotUsable

MODIFIED: Final = "modifiedon"
"""The column of every table that says when a row was last touched."""
CREATED: Final = "createdon"
"""And the one that says when it was made."""
MODIFIED_BY: Final = "_modifiedby_value"
"""Who touched it last."""
STAMP_LENGTH: Final = 100
"""The characters that the column of an operation stamp must take."""


_BIND: Final = "@odata.bind"
_REFERENCE: Final = re.compile(r"/\w+\((?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\w+='[^']+')\)")


def _once(what: str, named: Sequence[tuple[str, str]]) -> Map[str, str]:
    """The owners of names or columns, each of which has one.

    Raises:
        ValueError: Two have the same.
    """
    owners: dict[str, str] = {}
    for name, owner in named:
        refuse((name in owners, f"{what} {name} is used by {owners.get(name)} and by {owner}"))
        owners[name] = owner
    return owners


class KeyMapping(Frozen):
    """The business key: the same text on both sides."""

    name: str
    aliases: tuple[str, ...] = ()
    column: str
    length: Annotated[int, Field(gt=0)]


class EntityMapping(Frozen):
    """One entity: where it lives on each side, its policies and its fields.

    `stamp` is the table's text column for the operation stamp: every write of ours leaves its operation id there, so
    that a write whose answer was lost can be told from one that did not land. None: nothing is written or read.
    `currency` is the lookup of the row's currency, such as `transactioncurrencyid`: where it changes, the figures wait
    for a person. None: a currency is not looked at.
    """

    name: str = ""
    table: str
    set: str
    id: str
    cmms: str
    key: KeyMapping
    alternate_key: str
    stamp: str | None = None
    currency: str | None = None
    create_in: frozenset[Side] = frozenset({"cmms", "dynamics"})
    on_delete: Literal["deactivate", "report"] = "deactivate"
    inactive: Option | None = None
    active: Option | None = None
    open_states: frozenset[int] | None = None
    constants: dict[str, str | int | bool] = Field(default_factory=dict)
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
    def _consistent_names(self) -> Self:
        refuse(
            (
                self.on_delete == "deactivate" and self.inactive is None,
                "on_delete = 'deactivate' needs inactive = { state = ..., status = ... }",
            )
        )
        named = [(self.key.name, self.key.aliases), *((one.name, one.aliases) for one in self.fields.values())]
        _once("the name", [(alias, name) for name, aliases in named for alias in (name, *aliases)])
        return self

    @model_validator(mode="after")
    def _consistent_columns(self) -> Self:
        stamp = [] if self.stamp is None else [(self.stamp, "the stamp")]
        of_fields = [(column, field.name) for field in self.fields.values() for column in field.attributes()]
        owners = _once("the column", [(self.id, "id"), (self.key.column, self.key.name), *stamp, *of_fields])
        refuse((self.stamp in self.constants, f"the column {self.stamp} is the stamp's: no constant may write it"))
        bound = {target.bind: field.name for field in self.lookups for target in field.targets}
        for name, value in self.constants.items():
            column = name.removesuffix(_BIND)
            is_reference = column != name
            refuse(
                (column in (bound if is_reference else owners), f"the constant {name} is written by a field, too"),
                (
                    is_reference and not _REFERENCE.fullmatch(str(value)),
                    f"the constant {name} must name a row, such as /transactioncurrencies(GUID)",
                ),
            )
        return self

    @cached_property
    def names(self) -> dict[str, str]:
        """Every accepted CMMS name, aliases included, to the field's own name; the key's as well."""
        found = {alias: f.name for f in self.fields.values() for alias in (f.name, *f.aliases)}
        return found | dict.fromkeys((self.key.name, *self.key.aliases), self.key.name)

    @cached_property
    def key_rule(self) -> "KeyRule":
        """The business key as a field: text that only the CMMS may change."""
        return KeyRule(**self.key.model_dump(), entity=self.name, type="string", direction="to_dynamics")

    @cached_property
    def rules(self) -> dict[str, FieldMapping]:
        """Every field's rule by its name, the business key's first."""
        return {self.key.name: self.key_rule, **self.fields}

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of every field's rule by the field's name, the business key's first."""
        return {name: rule.fingerprint for name, rule in self.rules.items()}

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all rules: under another one records may mean something else, or have to be met anew."""
        meaning = sorted(self.fingerprints.items())
        return blake2b(repr((self.table, self.cmms, meaning)).encode(), digest_size=6).hexdigest()

    @cached_property
    def select(self) -> tuple[str, ...]:
        """The Dynamics columns to read of a row that may be written, each once."""
        stamp = () if self.stamp is None else (self.stamp,)
        currency = () if self.currency is None else (f"_{self.currency}_value",)
        return tuple(dict.fromkeys((*self.mapped_columns, *stamp, *currency, MODIFIED, MODIFIED_BY, CREATED)))

    @cached_property
    def mapped_columns(self) -> tuple[str, ...]:
        """The Dynamics columns that tell whether a row differs, each once. The stamp does not: it is no content."""
        wanted = [self.id, self.key.column]
        for field in self.fields.values():
            wanted.extend(field.read_columns())
        if self.open_states is not None or self.inactive is not None:
            wanted.append("statecode")
        return tuple(dict.fromkeys(wanted))

    @cached_property
    def lookups(self) -> tuple[FieldMapping, ...]:
        """The fields that refer to rows of other tables."""
        return tuple(field for field in self.fields.values() if field.type == "lookup")

    @cached_property
    def tells_creation(self) -> bool:
        """Whether Dynamics itself says when a row was made, so that one that was made again is known."""
        return all(CREATED not in field.attributes() for field in self.fields.values())

    def usable_key(self, raw: object) -> str:
        """Check a business key.

        Raises:
            KeyNotUsable: Not text, empty, too long, with spaces around it, or with control characters.
        """
        if (error := self.key_error(raw)) is not None:
            raise error
        return str(raw)

    def key_error(self, raw: object) -> KeyNotUsable | None:
        """What `usable_key` raises for a business key; None where the key can be used."""
        return self.key_rule.error(raw)


class KeyRule(FieldMapping):
    """A business key's rule: no key is written that a database could mistake for another."""

    entity: str
    length: int

    def error(self, raw: object) -> KeyNotUsable | None:
        """Why a business key cannot be used, if it cannot."""
        where = f"{self.name} ({self.entity})"
        if not isinstance(raw, str) or not raw:
            return KeyNotUsable(f"{where} is {values.shape(raw)}: a record needs its key as text.", field=self.name)
        problem = None
        if len(raw) > self.length:
            problem = f"has {len(raw)} characters, and the mapping allows {self.length}."
        elif raw != raw.strip() or not raw.isprintable():
            # Databases compare keys without regard to spaces at their end: two records could look like one.
            problem = "has spaces around it or unprintable characters: correct it at its source."
        return KeyNotUsable(f"{where} {problem}", field=self.name, key=raw) if problem else None

    @override
    def to_dynamics(self, value: Value) -> Value:
        if (error := self.error(value)) is not None:
            raise error
        return value


class Mapping(Frozen):
    """The whole file: entities by their name in message types (`asset`, `order`)."""

    version: Literal[1]
    entities: dict[str, EntityMapping]

    @model_validator(mode="before")
    @classmethod
    def _name_entities(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("entities"), dict):
            entities = data["entities"]
            for name in entities:
                if name not in OF_ENTITY:
                    raise ValueError(f"there is no entity {name!r}{meant(str(name), list(OF_ENTITY))}")
            tables = {entity.get("table") for entity in entities.values() if isinstance(entity, dict)}
            named = {
                name: {**_knowing(entity, tables), "name": name} if isinstance(entity, dict) else entity
                for name, entity in entities.items()
            }
            return {**data, "entities": named}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.entities:
            raise ValueError(f"entities must be some of {', '.join(OF_ENTITY)}: each has a queue of its own")
        tables = [entity.table for entity in self.entities.values()]
        if len(set(tables)) != len(tables):
            raise ValueError("two entities have the same table: a webhook could not tell which one it is about")
        return self

    def of_table(self, table: str) -> EntityMapping | None:
        """The entity that a Dataverse table holds, if the mapping has one."""
        return next((entity for entity in self.entities.values() if entity.table == table), None)


def _knowing(entity: dict[str, Any], tables: Collection[object]) -> dict[str, Any]:
    """An entity of the file whose lookups know which of their targets are entities of the mapping themselves."""

    def marked(target: object) -> object:
        return {**target, "mapped": target.get("table") in tables} if isinstance(target, dict) else target

    fields = entity.get("fields")
    if not isinstance(fields, dict):
        return entity
    known: dict[str, Any] = {}
    for name, field in fields.items():
        known[name] = field
        if isinstance(field, dict):
            known[name] = dict(field)
            if "target" in field:
                known[name]["target"] = marked(field["target"])
            if isinstance(field.get("targets"), list):
                known[name]["targets"] = [marked(target) for target in field["targets"]]
    return {**entity, "fields": known}


def parse_mapping(text: str, source: str) -> Mapping:
    """Read a mapping from TOML; `source` is what messages call it, such as the file's path.

    Raises:
        ConfigurationError: Names the source, and the entity and field at fault.
    """
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The mapping {source} is not TOML: {error}. Correct it there.") from None
    except ValidationError as error:
        problems = "\n".join(f"  {line}" for line in sentences(error, Mapping))
        raise ConfigurationError(f"The mapping {source} cannot be used:\n{problems}") from None
