"""The customer's field table, made executable: read once from TOML, validated, then pure."""

import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, Self, override

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from shared.domain.messages.queues import OF_ENTITY
from shared.domain.model import Side, Value
from shared.domain.schema import values
from shared.domain.schema.fields import FieldMapping, Frozen, Option, refuse
from shared.domain.schema.problems import meant, sentences
from shared.domain.words import plural
from shared.errors import ConfigurationError, KeyNotUsable

MODIFIED: Final = "modifiedon"
"""The column of every table that says when a row was last touched."""
CREATED: Final = "createdon"
"""The column of every table that says when a row was made."""
STATE: Final = "statecode"
"""The column of every table that says in which state a row is."""
MODIFIED_BY: Final = "_modifiedby_value"
"""The column of every table that says who last touched a row."""
STAMP_LENGTH: Final = 100
"""The characters that the column of an operation stamp must take."""


_BIND: Final = "@odata.bind"
_REFERENCE: Final = re.compile(r"/\w+\((?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\w+='[^']+')\)")


def _named(things: Any) -> Any:
    """Give each table in a table of tables its own name; leave anything else as it is, for the model to refuse."""
    if not isinstance(things, dict):
        return things
    return {name: {**one, "name": name} if isinstance(one, dict) else one for name, one in things.items()}


def _once(what: str, named: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Check that each name or column has one owner.

    Args:
        what: Begins the sentence that refuses, such as `the column`.
        named: Names or columns, each with its owner.

    Returns:
        The owner by name or column.

    Raises:
        ValueError: A name or column has two owners.
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
    `active` is the state of living rows, by default that in which Dataverse has every new row; `inactive` is that of
    deleted records' rows, which differs from table to table.
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
    active: Option = Option(state=0, status=1)
    inactive: Option
    open_states: frozenset[int] | None = None
    constants: dict[str, str | int | bool] = Field(default_factory=dict)
    fields: Annotated[dict[str, FieldMapping], BeforeValidator(_named)]

    @model_validator(mode="after")
    def _consistent_names(self) -> Self:
        _once("the name", self._names())
        return self

    @model_validator(mode="after")
    def _consistent_columns(self) -> Self:
        stamp = [] if self.stamp is None else [(self.stamp, "the stamp")]
        of_fields = [(column, field.name) for field in self.fields.values() for column in field.attributes()]
        owners = _once("the column", [(self.id, "id"), (self.key.column, self.key.name), *stamp, *of_fields])
        refuse((self.stamp in self.constants, f"the column {self.stamp} is the stamp's: no constant may write it"))
        written = owners.keys() | {f"{target.bind}{_BIND}" for field in self.lookups for target in field.targets}
        for name, value in self.constants.items():
            refuse(
                (name in written, f"the constant {name} is written by a field, too"),
                (
                    name.endswith(_BIND) and not _REFERENCE.fullmatch(str(value)),
                    f"the constant {name} must name a row, such as /transactioncurrencies(GUID)",
                ),
            )
        return self

    @cached_property
    def names(self) -> dict[str, str]:
        """Every accepted CMMS name, aliases included, to the field's own name; the key's as well."""
        return dict(self._names())

    def _names(self) -> list[tuple[str, str]]:
        rules = (self.key_rule, *self.fields.values())
        return [(name, rule.name) for rule in rules for name in (rule.name, *rule.aliases)]

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
        of_this_row = (self.stamp, self.currency and f"_{self.currency}_value", MODIFIED, MODIFIED_BY, CREATED)
        return tuple(dict.fromkeys(filter(None, (*self.mapped_columns, *of_this_row))))

    @cached_property
    def mapped_columns(self) -> tuple[str, ...]:
        """The Dynamics columns that tell whether a row differs, each once. The stamp does not: it is no content."""
        of_fields = [column for field in self.fields.values() for column in field.read_columns()]
        return tuple(dict.fromkeys((self.id, self.key.column, *of_fields, STATE)))

    def takes_edits(self, state: int | None) -> bool:
        """Whether a row in this state takes edits of everything: a closed one takes nothing but another state."""
        return self.open_states is None or state in self.open_states

    @cached_property
    def state_fields(self) -> dict[str, FieldMapping]:
        """The fields that hold the row's state, by name."""
        return {name: rule for name, rule in self.fields.items() if rule.state_column is not None}

    @cached_property
    def lookups(self) -> tuple[FieldMapping, ...]:
        """The fields that refer to rows of other tables."""
        return tuple(field for field in self.fields.values() if field.type == "lookup")

    def read_from(self, columns: frozenset[str]) -> frozenset[str]:
        """The names of the fields that are read from one of these Dynamics columns."""
        return frozenset(name for name, rule in self.fields.items() if not columns.isdisjoint(rule.read_columns()))

    @cached_property
    def tells_creation(self) -> bool:
        """Whether Dynamics itself says when a row was made, so that a row that was made again shows."""
        return all(CREATED not in field.attributes() for field in self.fields.values())

    def usable_key(self, raw: object) -> str:
        """Check a business key.

        Raises:
            KeyNotUsable: Not text, empty, too long, with spaces around it, or with control characters.
        """
        return self.key_rule.usable(raw)

    def key_error(self, raw: object) -> KeyNotUsable | None:
        """What `usable_key` raises for a business key; None where the key can be used."""
        return self.key_rule.error(raw)


class KeyRule(FieldMapping):
    """A business key's rule: no key is written that a database could mistake for another."""

    entity: str
    length: int

    def error(self, raw: object) -> KeyNotUsable | None:
        """Why a business key cannot be used; None where it can."""
        if not isinstance(raw, str) or not raw:
            return self._unusable(f"is {values.shape(raw)}: a record needs its key as text.", None)
        if len(raw) > self.length:
            return self._unusable(f"has {plural(len(raw), 'character')}, and the mapping allows {self.length}.", raw)
        if raw != raw.strip() or not raw.isprintable():
            # Databases compare keys without regard to spaces at their end: two records could look like one.
            return self._unusable("has spaces around it or unprintable characters: correct it at its source.", raw)
        return None

    def _unusable(self, problem: str, key: str | None) -> KeyNotUsable:
        return KeyNotUsable(f"{self.name} ({self.entity}) {problem}", field=self.name, key=key)

    def usable(self, raw: object) -> str:
        """The business key where it can be used; raises its error where it cannot."""
        if (error := self.error(raw)) is not None:
            raise error
        return str(raw)

    @override
    def to_dynamics(self, value: Value) -> Value:
        return self.usable(value)


def _with_queues(entities: Any) -> Any:
    """Let only those entities pass that have a queue."""
    for name in entities if isinstance(entities, dict) else ():
        refuse((name not in OF_ENTITY, f"there is no entity {name!r}{meant(str(name), list(OF_ENTITY))}"))
    return entities


class Mapping(Frozen):
    """The whole file: entities by their name in message types (`asset`, `order`)."""

    version: Literal[1]
    entities: Annotated[dict[str, EntityMapping], BeforeValidator(_with_queues), BeforeValidator(_named)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(
            (not self.entities, f"entities must be some of {', '.join(OF_ENTITY)}: each has a queue of its own"),
            (
                len(self.tables) != len(self.entities),
                "two entities have the same table: a webhook could not tell which one it is about",
            ),
        )
        return self

    @property
    def tables(self) -> dict[str, EntityMapping]:
        """The entities by their Dataverse tables."""
        return {entity.table: entity for entity in self.entities.values()}

    @property
    def refers_to_itself(self) -> bool:
        """Whether a lookup refers to rows of an entity: other records may have their keys by now."""
        return any(target.mapped for one in self.entities.values() for rule in one.lookups for target in rule.targets)


def parse_mapping(text: str, source: str) -> Mapping:
    """Read a mapping from TOML; `source` is what messages call it, such as the file's path.

    Raises:
        ConfigurationError: Names the source, and the entity and field at fault.
    """
    try:
        raw = tomllib.loads(text)
        # Validated twice: lookups are told the tables of all entities, which only a valid mapping gives.
        return Mapping.model_validate(raw, context=Mapping.model_validate(raw).tables)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The mapping {source} is not TOML: {error}. Correct it there.") from None
    except ValidationError as error:
        problems = "\n".join(f"  {line}" for line in sentences(error, Mapping))
        raise ConfigurationError(f"The mapping {source} cannot be used:\n{problems}") from None
