"""What the setting INTEGRACION_DYNAMICS says, once it is validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models


@dataclass(frozen=True)
class Entity:
    """A model of the host as the contract sees it; `fields` maps contract names to model attributes."""

    name: str
    event: str
    queue: str
    model: type[models.Model]
    key: str
    fields: Mapping[str, str]

    @property
    def key_attribute(self) -> str:
        """The model attribute that holds the business key."""
        return self.fields[self.key]

    def field(self, name: str) -> models.Field[Any, Any]:
        """The model field behind a contract name."""
        found = self.model._meta.get_field(self.fields[name])  # noqa: SLF001 - Django's documented model API
        if not isinstance(found, models.Field):
            raise TypeError(f"{self.fields[name]} of {self.model.__name__} is not a column.")
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
    """The whole setting."""

    entities: Mapping[str, Entity]
    tokens: tuple[str, ...] = field(repr=False)
    service_bus: ServiceBus
    page_limit: int

    def entities_of(self, model: type[models.Model]) -> tuple[Entity, ...]:
        """The entities that a saved instance of this class belongs to; children and proxies count."""
        return tuple(entity for entity in self.entities.values() if issubclass(model, entity.model))
