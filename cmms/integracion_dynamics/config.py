"""The setting INTEGRACION_DYNAMICS, read once and validated as a whole.

Its shape, with defaults where a line may be left out::

    INTEGRACION_DYNAMICS = {
        "ENTITIES": {
            "activos": {                          # the name in the API's addresses
                "EVENT": "asset",                 # energy.asset.upserted
                "QUEUE": "assets",
                "MODEL": "inventario.Activo",
                "KEY": "codigo_interno",          # the contract name of the business key
                "FIELDS": {"codigo_interno": "codigo_interno", "numero_de_serie": "serie"},
            },
        },
        "TOKENS": ["..."],                        # two while one replaces the other
        "SERVICE_BUS": {"CONNECTION_STRING": "..."},
        "PAGE_LIMIT": 500,
    }

SERVICE_BUS may instead hold NAMESPACE with an optional CLIENT_ID (a managed identity), or NAMESPACE,
TENANT_ID, CLIENT_ID and CERTIFICATE_PATH (an application that signs in with a certificate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import models

from .entities import Configuration, Entity, ServiceBus
from .fields import Kind, kind_of

SETTING = "INTEGRACION_DYNAMICS"
KEY_LENGTH = 255
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_ENTITY_SETTINGS = {"EVENT", "QUEUE", "MODEL", "KEY", "FIELDS"}
_SERVICE_BUS_SETTINGS = {"CONNECTION_STRING", "NAMESPACE", "TENANT_ID", "CLIENT_ID", "CERTIFICATE_PATH"}


@dataclass(frozen=True)
class Problem:
    """One fault of the setting: what is wrong and where, and what to do."""

    id: str
    message: str
    hint: str
    warning: bool = False


@lru_cache(maxsize=1)
def current() -> Configuration:
    """The configuration in force.

    Raises:
        ImproperlyConfigured: with every problem in one message.
    """
    configuration, problems = parse(getattr(settings, SETTING, None))
    errors = [f"{problem.message} {problem.hint}" for problem in problems if not problem.warning]
    if configuration is None or errors:
        raise ImproperlyConfigured(" ".join(errors))
    return configuration


def parse(raw: object) -> tuple[Configuration | None, list[Problem]]:
    """Read the setting; the configuration is None when a problem leaves nothing to work with."""
    if not isinstance(raw, Mapping):
        hint = "Add it to the settings as the README of energy-cmms-dynamics shows."
        return None, [Problem("E001", f"The setting {SETTING} is missing or is not a dictionary.", hint)]
    problems = _unknown(raw, {"ENTITIES", "TOKENS", "SERVICE_BUS", "PAGE_LIMIT"}, SETTING)
    entities = _entities(raw.get("ENTITIES"), problems)
    tokens = _tokens(raw.get("TOKENS", []), problems)
    service_bus = _service_bus(raw.get("SERVICE_BUS", {}), problems)
    page_limit = raw.get("PAGE_LIMIT", 500)
    if not isinstance(page_limit, int) or isinstance(page_limit, bool) or not 1 <= page_limit <= 5000:  # noqa: PLR2004 - the bounds stand in the message
        problems.append(
            Problem("E009", f"{SETTING}['PAGE_LIMIT'] is not a number from 1 to 5000.", "Leave it out for 500.")
        )
        page_limit = 500
    return Configuration(entities, tokens, service_bus, page_limit), problems


def _unknown(raw: Mapping[Any, Any], known: set[str], where: str) -> list[Problem]:
    hint = f"Known here: {', '.join(sorted(known))}. Correct the spelling or remove it."
    return [Problem("E002", f"{where} has an unknown entry {name!r}.", hint) for name in raw if name not in known]


def _entities(raw: object, problems: list[Problem]) -> dict[str, Entity]:
    where = f"{SETTING}['ENTITIES']"
    if not isinstance(raw, Mapping) or not raw:
        problems.append(
            Problem("E003", f"{where} is missing or empty.", "Name at least one entity, for example 'activos'.")
        )
        return {}
    entities = {}
    for name, options in raw.items():
        entity = _entity(name, options, f"{where}[{name!r}]", problems)
        if entity is not None:
            entities[entity.name] = entity
    return entities


def _entity(name: object, raw: object, where: str, problems: list[Problem]) -> Entity | None:
    before = len(problems)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = "Use 1 to 50 of a-z, 0-9, - and _, beginning with a letter."
        problems.append(Problem("E004", f"{where}: the name cannot stand in an address.", hint))
    if not isinstance(raw, Mapping):
        problems.append(
            Problem("E004", f"{where} is not a dictionary.", f"Give it {', '.join(sorted(_ENTITY_SETTINGS))}.")
        )
        return None
    problems += _unknown(raw, _ENTITY_SETTINGS, where)
    texts = {option: raw.get(option) for option in ("EVENT", "QUEUE", "MODEL", "KEY")}
    for option, value in texts.items():
        if not isinstance(value, str) or not value:
            problems.append(
                Problem("E004", f"{where}[{option!r}] is missing or is not text.", "Set it as the README shows.")
            )
    fields = raw.get("FIELDS")
    if not isinstance(fields, Mapping) or not all(isinstance(part, str) for pair in fields.items() for part in pair):
        problems.append(
            Problem("E005", f"{where}['FIELDS'] does not map names to names.", "Map contract names to attributes.")
        )
    if len(problems) > before:
        return None
    try:
        model = apps.get_model(str(texts["MODEL"]))
    except (LookupError, ValueError):
        hint = "Write it as 'app_label.Model' and have its app in INSTALLED_APPS."
        problems.append(Problem("E006", f"{where}['MODEL'] names no model: {texts['MODEL']!r}.", hint))
        return None
    entity = Entity(str(name), str(texts["EVENT"]), str(texts["QUEUE"]), model, str(texts["KEY"]), dict(fields or {}))
    problems += _field_problems(entity, where)
    return entity if len(problems) == before else None


def _field_problems(entity: Entity, where: str) -> list[Problem]:
    problems = []
    for name, attribute in entity.fields.items():
        try:
            field_ = entity.field(name)
        except (FieldDoesNotExist, TypeError):
            message = f"{where}['FIELDS'][{name!r}]: {entity.model.__name__} has no column {attribute!r}."
            hint = "Name an existing attribute, or leave the field out: a field left out is simply not said."
            problems.append(Problem("E005", message, hint))
            continue
        kind = kind_of(field_)
        if kind is None:
            message = f"{where}['FIELDS'][{name!r}]: {attribute!r} is a {type(field_).__name__}: not supported."
            hint = "Map a text, decimal, date, instant, integer or boolean column; money needs a DecimalField."
            problems.append(Problem("E005", message, hint))
        elif name == entity.key:
            problems += _key_problems(field_, kind, where)
    if entity.key not in entity.fields:
        hint = "Add it, with the model attribute that holds the business key."
        problems.append(Problem("E007", f"{where}['FIELDS'] does not contain the key {entity.key!r}.", hint))
    return problems


def _key_problems(field_: models.Field[Any, Any], kind: Kind, where: str) -> list[Problem]:
    if kind is not Kind.TEXT or not field_.max_length or field_.max_length > KEY_LENGTH or not field_.unique:
        message = f"{where}['KEY']: {field_.name!r} is not a unique text column of at most {KEY_LENGTH} characters."
        return [Problem("E007", message, "Choose the business key, a CharField with unique=True.")]
    return []


def _tokens(raw: object, problems: list[Problem]) -> tuple[str, ...]:
    where = f"{SETTING}['TOKENS']"
    if not isinstance(raw, list | tuple) or not all(isinstance(token, str) for token in raw):
        problems.append(Problem("E008", f"{where} is not a list of texts.", "Give one token, or two while rotating."))
        return ()
    tokens = tuple(token for token in raw if token)
    if len(tokens) < len(raw) or any(token.startswith("@Microsoft.KeyVault(") for token in tokens):
        hint = "Set the variable it is read from, or repair the Key Vault reference, and restart."
        problems.append(Problem("E008", f"{where} holds an empty token or an unresolved reference.", hint))
    if any(not token.isascii() or token != token.strip() for token in tokens):
        hint = "Use letters, digits and -._~+/= only: a header carries nothing else safely."
        problems.append(Problem("E008", f"{where} holds a token with other than plain characters.", hint))
    if not tokens:
        hint = "Generate one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        problems.append(Problem("W001", f"{where} is empty: the API refuses every request.", hint, warning=True))
    elif any(len(token) < 20 for token in tokens):  # noqa: PLR2004 - the bound stands in the message
        hint = "Generate one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        problems.append(Problem("W001", f"{where} holds a token under 20 characters.", hint, warning=True))
    return tokens


def _service_bus(raw: object, problems: list[Problem]) -> ServiceBus:
    where = f"{SETTING}['SERVICE_BUS']"
    if not isinstance(raw, Mapping) or not all(isinstance(value, str) for value in raw.values()):
        problems.append(Problem("E010", f"{where} is not a dictionary of texts.", "Set it as the README shows."))
        return ServiceBus()
    problems += _unknown(raw, _SERVICE_BUS_SETTINGS, where)
    bus = ServiceBus(**{name.lower(): value for name, value in raw.items() if name in _SERVICE_BUS_SETTINGS})
    if bus.connection_string and bus.namespace:
        problems.append(
            Problem(
                "E010",
                f"{where} holds CONNECTION_STRING and NAMESPACE.",
                "Keep one: NAMESPACE needs no secret.",
            )
        )
    elif bus.connection_string and "Endpoint=sb://" not in bus.connection_string:
        hint = "Copy it again: it begins with Endpoint=sb://."
        problems.append(Problem("E010", f"{where}['CONNECTION_STRING'] is not a connection string.", hint))
    elif not bus.connection_string and not bus.namespace:
        hint = "Set CONNECTION_STRING or NAMESPACE; until then messages wait in the outbox."
        problems.append(Problem("W002", f"{where} names no Service Bus: the relay cannot send.", hint, warning=True))
    if bus.certificate_path and not (bus.tenant_id and bus.client_id):
        hint = "A certificate signs in an application: add TENANT_ID and CLIENT_ID."
        problems.append(Problem("E010", f"{where} has CERTIFICATE_PATH but not both ids.", hint))
    return bus


def _forget(*, setting: str, **_: object) -> None:
    if setting == SETTING:
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="integracion_dynamics.config")
