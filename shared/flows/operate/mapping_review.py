"""What a mapping that can be used still looks odd in: judged from the file alone, with what was probably meant."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping, Mapping

_ALIKE = 0.85
"""From how alike two names are one is taken for the other with a letter wrong."""


@dataclass(frozen=True)
class Remark:
    """Something to look at: where in the file, what, and what to do."""

    where: str
    what: str
    action: str


def review(mapping: Mapping, reference: Mapping) -> Iterator[Remark]:
    """Look for names that are nearly those of a mapping that is known to work, and for rules without a limit.

    `reference` is the customer's own document, whose tables and columns exist.
    """
    for entity in mapping.entities.values():
        known = reference.entities.get(entity.name)
        if known is not None:
            yield from _misspelt(entity, known)
        for rule in entity.fields.values():
            yield from _limits(entity, rule)


def _misspelt(entity: EntityMapping, known: EntityMapping) -> Iterator[Remark]:
    place = f"entities.{entity.name}"
    for part in ("table", "set", "id", "cmms"):
        name, usual = getattr(entity, part), getattr(known, part)
        if _nearly(name, usual):
            yield Remark(f"{place}.{part}", f"{name} is nearly {usual}", f"did you mean {usual}?")
    usual_columns = {column for rule in known.fields.values() for column in rule.attributes()} | {known.key.column}
    own_columns = {column for rule in entity.fields.values() for column in rule.attributes()} | {entity.key.column}
    owners = {column: f"fields.{rule.name}" for rule in entity.fields.values() for column in rule.attributes()}
    for column in sorted(own_columns - usual_columns):
        near = max(usual_columns - own_columns, key=lambda usual: _alike(column, usual), default="")
        if _nearly(column, near):
            where = f"{place}.{owners.get(column, 'key')}"
            yield Remark(where, f"the column {column} is nearly {near}", f"did you mean {near}?")
    for name in sorted(entity.names.keys() - known.names.keys()):
        near = max(known.names.keys() - entity.names.keys(), key=lambda usual: _alike(name, usual), default="")
        if _nearly(name, near):
            yield Remark(f"{place}.fields", f"the CMMS's name {name} is nearly {near}", f"did you mean {near}?")


def _limits(entity: EntityMapping, rule: FieldMapping) -> Iterator[Remark]:
    place = f"entities.{entity.name}.fields.{rule.name}"
    if rule.type == "string" and rule.length is None and rule.source != "dynamics":
        action = (
            "set 'length' to the column's MaxLength: a value beyond it is then parked by name, not refused as a row"
        )
        yield Remark(place, "is text without a length", action)
    if rule.type == "decimal" and rule.scale is None and rule.source != "dynamics":
        action = (
            "set 'scale' to the column's precision: Dynamics rounds what has more, which would come back as an edit"
        )
        yield Remark(place, "is a decimal without a scale", action)


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _nearly(name: str, usual: str) -> bool:
    return name != usual and _alike(name, usual) >= _ALIKE
