"""Reading ENTITIES: which models and columns take part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F
from django.db.models.expressions import Combinable
from django.utils.translation import gettext as _

from integracion_dynamics.entities import Entity, Source
from integracion_dynamics.fields import Kind, kind_of

from .problems import SETTING, Problem, unknown

KEY_LENGTH = 255
_NAME = re.compile(r"(?!salud$)[a-z][a-z0-9_-]{0,49}")  # salud/ is the API's own address
_TEXTS = ("EVENT", "QUEUE", "MODEL", "KEY")
_OPTIONS = {*_TEXTS, "FIELDS", "DEFAULTS"}


def read_entities(raw: object, problems: list[Problem]) -> dict[str, Entity]:
    """The entities that are in order, by name; what is wrong is added to the problems."""
    where = f"{SETTING}['ENTITIES']"
    if not isinstance(raw, Mapping) or not raw:
        message = _("%(where)s is missing or empty.") % {"where": where}
        problems.append(Problem("E003", message, _("Name at least one entity, for example 'activos'.")))
        return {}
    read = (_entity(name, options, f"{where}[{name!r}]", problems) for name, options in raw.items())
    return {entity.name: entity for entity in read if entity is not None}


def _entity(name: object, raw: object, where: str, problems: list[Problem]) -> Entity | None:
    before = len(problems)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = _("%(where)s: the name cannot stand in an address.") % {"where": where}
        problems.append(Problem("E004", message, _("Use 1 to 50 of a-z, 0-9, - and _, beginning with a letter.")))
    if not isinstance(raw, Mapping):
        message = _("%(where)s is not a dictionary.") % {"where": where}
        hint = _("Give it %(options)s.") % {"options": ", ".join(sorted(_OPTIONS))}
        problems.append(Problem("E004", message, hint))
        return None
    problems += unknown(raw, _OPTIONS, where)
    texts = {option: raw.get(option) for option in _TEXTS}
    for option, value in texts.items():
        if not isinstance(value, str) or not value:
            message = _("%(where)s is missing or is not text.") % {"where": f"{where}[{option!r}]"}
            problems.append(Problem("E004", message, _("Set it as the README shows.")))
    fields = _sources(raw.get("FIELDS"), where, problems)
    defaults = raw.get("DEFAULTS", {})
    if not isinstance(defaults, Mapping) or not all(isinstance(attribute, str) for attribute in defaults):
        message = _("%(where)s does not map attributes to values.") % {"where": f"{where}['DEFAULTS']"}
        problems.append(Problem("E014", message, _("Map attributes of the model to values or functions.")))
    if len(problems) > before:
        return None
    try:
        model = apps.get_model(str(texts["MODEL"]))
    except (LookupError, ValueError):
        message = _("%(where)s names no model: %(name)r.") % {"where": f"{where}['MODEL']", "name": texts["MODEL"]}
        hint = _("Write it as 'app_label.Model' and have its app in INSTALLED_APPS.")
        problems.append(Problem("E006", message, hint))
        return None
    fields = {one: _read_only(model, source) for one, source in fields.items()}
    entity = Entity(
        str(name), str(texts["EVENT"]), str(texts["QUEUE"]), model, str(texts["KEY"]), fields, dict(defaults)
    )
    problems += [*_field_problems(entity, where), *_default_problems(entity, where)]
    return entity if len(problems) == before else None


def _sources(raw: object, where: str, problems: list[Problem]) -> dict[str, Source]:
    if isinstance(raw, Mapping) and all(
        isinstance(name, str) and (isinstance(source, str | Combinable) or callable(source))
        for name, source in raw.items()
    ):
        return dict(raw)
    message = _("%(where)s does not map names to attributes, expressions or functions.")
    hint = _("Map contract names to attributes; a computed field to an expression or to a function of the row.")
    problems.append(Problem("E005", message % {"where": f"{where}['FIELDS']"}, hint))
    return {}


def _read_only(model: type[models.Model], source: Source) -> Source:
    """A column that the database computes (`GeneratedField` of Django 5.0) is read as an expression is."""
    generated = getattr(models, "GeneratedField", None)
    if generated is None or not isinstance(source, str):
        return source
    columns = {column.name: column for column in model._meta.concrete_fields}  # noqa: SLF001 - Django's documented model API
    return F(source) if isinstance(columns.get(source), generated) else source


def _field_problems(entity: Entity, where: str) -> list[Problem]:
    pk = entity.model._meta.pk  # noqa: SLF001 - Django's documented model API
    problems = []
    text = isinstance(pk, models.CharField | models.TextField)
    if not isinstance(pk, models.Field) or pk.column is None or (text and not 0 < (pk.max_length or 0) <= KEY_LENGTH):
        message = _("%(where)s: the primary key of %(model)s is not one column of at most %(length)d characters.")
        named = {"where": f"{where}['MODEL']", "model": entity.model.__name__, "length": KEY_LENGTH}
        problems.append(Problem("E015", message % named, _("Choose a model that one short value identifies.")))
    for name, attribute in entity.columns.items():
        at = f"{where}['FIELDS'][{name!r}]"
        try:
            field = entity.field(name)
        except (FieldDoesNotExist, TypeError):
            message = _("%(where)s: %(model)s has no column %(attribute)r.")
            named = {"where": at, "model": entity.model.__name__, "attribute": attribute}
            hint = _("Name an existing attribute, or leave the field out: a field left out is simply not said.")
            problems.append(Problem("E005", message % named, hint))
            continue
        kind = kind_of(field)
        if kind is None:
            message = _("%(where)s: %(attribute)r is a %(type)s: not supported.")
            named = {"where": at, "attribute": attribute, "type": type(field).__name__}
            hint = _("Map a text, decimal, date, instant, integer or boolean column; money needs a DecimalField.")
            problems.append(Problem("E005", message % named, hint))
        elif name == entity.key:
            problems += _key_problems(field, kind, where)
    if entity.key not in entity.columns:
        message = _("%(where)s does not contain the key %(key)r.") % {"where": f"{where}['FIELDS']", "key": entity.key}
        hint = _("Add it, with the model attribute that holds the business key.")
        problems.append(Problem("E007", message, hint))
    return problems


def _key_problems(field: models.Field[Any, Any], kind: Kind, where: str) -> list[Problem]:
    if kind is Kind.TEXT and field.max_length and field.max_length <= KEY_LENGTH and field.unique:
        return []
    message = _("%(where)s: %(name)r is not a unique text column of at most %(length)d characters.")
    named = {"where": f"{where}['KEY']", "name": field.name, "length": KEY_LENGTH}
    return [Problem("E007", message % named, _("Choose the business key, a CharField with unique=True."))]


def _default_problems(entity: Entity, where: str) -> list[Problem]:
    known = {
        name
        for field in entity.model._meta.concrete_fields  # noqa: SLF001 - Django's documented model API
        for name in (field.name, field.attname)
    }
    message = _("%(where)s: %(model)s has no column %(attribute)r.")
    hint = _("Name a column of the model, such as one that a create must fill and FIELDS does not map.")
    return [
        Problem(
            "E014",
            message % {"where": f"{where}['DEFAULTS']", "model": entity.model.__name__, "attribute": attribute},
            hint,
        )
        for attribute in entity.defaults
        if attribute not in known
    ]
