"""The values of a write, from the contract's form to the model's attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.utils.translation import gettext as _

from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, from_wire

from .errors import invalid_field

_LONGEST_NAME = 100


def read_values(entity: Entity, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the form that their columns take, by contract name.

    Raises:
        ApiError: 422, naming a field that the entity does not have, that is computed, or whose value has another form.
    """
    values = {}
    for name, value in fields.items():
        if name not in entity.fields:
            message = _("is not a field of %(entity)s; known are: %(known)s.")
            known = ", ".join(entity.fields)
            raise invalid_field(_printable(name), message % {"entity": entity.name, "known": known})
        if name not in entity.columns:
            raise invalid_field(name, _("is computed by the CMMS and cannot be written."))
        try:
            values[name] = from_wire(entity.field(name), value)
        except UnusableValueError as error:
            raise invalid_field(name, f"{error}.") from None
    return values


def assign(entity: Entity, instance: models.Model, values: Mapping[str, Any]) -> None:
    """Set the attributes behind contract names."""
    for name, value in values.items():
        setattr(instance, entity.columns[name], value)


def _printable(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:_LONGEST_NAME]
