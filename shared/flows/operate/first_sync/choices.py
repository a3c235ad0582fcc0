"""What an operator decides about a first sync: which records take part, who wins, where missing ones are created."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as FieldTable

SIDES: Final[tuple[Side, ...]] = ("cmms", "dynamics")
_PREFER: Final[Mapping[str, Side | None]] = {"cmms": "cmms", "dynamics": "dynamics", "mapping": None}
_CREATE_IN: Final[Mapping[str, frozenset[Side]]] = {
    "cmms": frozenset({"cmms"}),
    "dynamics": frozenset({"dynamics"}),
    "both": frozenset(SIDES),
    "none": frozenset(),
}


class WrongChoice(ValueError):
    """A choice that the mapping does not allow; the text says what would be right."""


class EntityChoices(BaseModel):
    """The choices for one entity.

    `prefer` is by field, and holds only what differs from the field's own rule. `create_in` are the sides in which
    missing records are created.
    """

    model_config = ConfigDict(frozen=True)

    prefer: dict[str, Side] = {}
    create_in: frozenset[Side] = frozenset(SIDES)


class Choices(BaseModel):
    """The choices by entity, in the order in which the entities are synchronized."""

    model_config = ConfigDict(frozen=True)

    entities: dict[str, EntityChoices]


def choose(
    mapping: FieldTable, *, entities: Sequence[str] = (), prefer: Sequence[str] = (), create_in: str | None = None
) -> Choices:
    """Read an operator's words.

    Args:
        mapping: The field table.
        entities: The names of those that take part; all where none is given.
        prefer: Each `cmms`, `dynamics` or `mapping`, for all fields, or with `FIELD=` or `ENTITY.FIELD=` before it.
        create_in: `cmms`, `dynamics`, `both` or `none`; None leaves it to the mapping.

    Raises:
        WrongChoice: A word that is not known, or that the mapping does not allow.
    """
    if unknown := [name for name in entities if name not in mapping.entities]:
        raise WrongChoice(f"There is no entity {unknown[0]!r}: the mapping has {', '.join(mapping.entities)}.")
    chosen = [mapping.entities[name] for name in mapping.entities if not entities or name in entities]
    overall: Side | None = None
    by_field: dict[tuple[str, str], Side | None] = {}
    for text in prefer:
        place, _, word = text.rpartition("=")
        if word not in _PREFER:
            raise WrongChoice(f"--prefer {text}: {word!r} is none of {', '.join(_PREFER)}.")
        if place:
            by_field |= dict.fromkeys(_fields(chosen, place, _PREFER[word]), _PREFER[word])
        else:
            overall = _PREFER[word]
    return Choices(
        entities={
            one.name: EntityChoices(prefer=_preferred(one, overall, by_field), create_in=_created(one, create_in))
            for one in chosen
        }
    )


def _fields(entities: Sequence[EntityMapping], place: str, side: Side | None) -> list[tuple[str, str]]:
    """The fields that `FIELD` or `ENTITY.FIELD` names."""
    name, _, field = place.rpartition(".")
    meant = [one for one in entities if name in {"", one.name}]
    found = [(one.name, one.names[field]) for one in meant if one.names.get(field) in one.fields]
    if not found:
        known = ", ".join(f"{one.name}.{rule}" for one in meant or entities for rule in one.fields)
        raise WrongChoice(f"--prefer {place}=...: there is no such field. There are {known}.")
    for entity, rule in [(one, one.fields[field]) for one in entities for of, field in found if of == one.name]:
        if side is not None and rule.source not in {None, side}:
            raise WrongChoice(
                f"--prefer {entity.name}.{rule.name}={side}: the mapping carries this field in one direction only"
                f" ({rule.direction}). Change its direction there first, if that is meant."
            )
    return found


def _preferred(
    entity: EntityMapping, overall: Side | None, by_field: Mapping[tuple[str, str], Side | None]
) -> dict[str, Side]:
    found: dict[str, Side] = {}
    for rule in entity.fields.values():
        side = by_field.get((entity.name, rule.name), overall)
        if rule.source is None and side is not None and side != rule.on_conflict:
            found[rule.name] = side
    return found


def _created(entity: EntityMapping, create_in: str | None) -> frozenset[Side]:
    if create_in is None:
        return entity.create_in
    if create_in not in _CREATE_IN:
        raise WrongChoice(f"--create-in {create_in}: that is none of {', '.join(_CREATE_IN)}.")
    wanted = _CREATE_IN[create_in]
    if not wanted <= entity.create_in:
        allowed = ", ".join(sorted(entity.create_in)) or "neither side"
        raise WrongChoice(
            f"--create-in {create_in}: the mapping creates {entity.name} records in {allowed}. Change create_in there"
            " first, if that is meant."
        )
    return wanted
