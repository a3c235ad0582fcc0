"""What the setting INTEGRACION_DYNAMICS says, once it is validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models.expressions import Combinable

Source = str | Combinable | Callable[[Any], Any]
"""Where a value comes from: the attribute of a column; or, read-only, an expression or a function of the row."""


@dataclass(frozen=True)
class Entity:
    """A model of the host as the contract sees it.

    `fields` maps contract names to their sources, `defaults` attributes of the model to what a create gives them where
    the caller says nothing: a value, or a function of the new instance.
    """

    name: str
    event: str
    queue: str
    model: type[models.Model]
    key: str
    fields: Mapping[str, Source]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> type[models.Model]:
        """The concrete model: several proxies may show it."""
        concrete: type[models.Model] = self.model._meta.concrete_model or self.model  # noqa: SLF001 - Django's documented model API
        return concrete

    @property
    def pk_attribute(self) -> str:
        """The attribute that holds the primary key, in instances of the model and of its children alike."""
        attribute: str = self.model._meta.pk.attname  # noqa: SLF001 - Django's documented model API
        return attribute

    @property
    def columns(self) -> dict[str, str]:
        """The model attributes behind contract names; computed fields have none."""
        return {name: source for name, source in self.fields.items() if isinstance(source, str)}

    @property
    def key_attribute(self) -> str:
        """The model attribute that holds the business key."""
        return self.columns[self.key]

    def field(self, name: str) -> models.Field[Any, Any]:
        """The model field behind a contract name."""
        found = self.model._meta.get_field(self.columns[name])  # noqa: SLF001 - Django's documented model API
        if not isinstance(found, models.Field):
            raise TypeError(f"{self.columns[name]} of {self.model.__name__} is not a column.")
        return found


@dataclass(frozen=True)
class ServiceBus:
    """Where the relay sends to; without a connection string it signs in with azure-identity."""

    connection_string: str = field(default="", repr=False)
    namespace: str = ""
    tenant_id: str = ""
    client_id: str = ""
    certificate_path: str = ""


@dataclass(frozen=True)
class Configuration:
    """The whole setting; the time-outs are seconds."""

    entities: Mapping[str, Entity]
    tokens: tuple[str, ...] = field(repr=False)
    service_bus: ServiceBus
    page_limit: int = 500
    lock_timeout: float = 3
    statement_timeout: float = 20
    service_user: str = ""


def announced_by(entity: Entity, model: type[models.Model]) -> bool:
    """Whether saving an instance of this class may change a record of the entity.

    True of the entity's model, its proxies and children, and of the concrete parents that hold some of its columns.
    """
    saved = model._meta.concrete_model  # noqa: SLF001 - Django's documented model API
    return saved is not None and (issubclass(saved, entity.table) or issubclass(entity.table, saved))
