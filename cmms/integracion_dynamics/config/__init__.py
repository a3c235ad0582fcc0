"""The setting INTEGRACION_DYNAMICS, read once and validated as a whole.

Its shape, with defaults where a line may be left out::

    INTEGRACION_DYNAMICS = {
        "ENTITIES": {
            "activos": {                          # the name in the API's addresses
                "EVENT": "asset",                 # energy.asset.upserted
                "QUEUE": "assets",
                "MODEL": "inventario.Activo",
                "KEY": "codigo_interno",          # the contract name of the business key
                "FIELDS": {"codigo_interno": "codigo_interno", "numero_de_serie": "serie",
                           "total": F("neto") + F("isv")},       # computed: read-only
                "DEFAULTS": {"asunto": "Dynamics 365"},           # what a create by the API gives other columns
            },
        },
        "TOKENS": ["..."],                        # two while one replaces the other
        "SERVICE_BUS": {"CONNECTION_STRING": "..."},
        "PAGE_LIMIT": 500,
        "LOCK_TIMEOUT": 3,                        # seconds that a write by the API waits for a lock
        "STATEMENT_TIMEOUT": 20,                  # seconds that one statement of such a write may take
        "SERVICE_USER": "",                       # the user name that audit trails show for such writes
    }

SERVICE_BUS may instead hold NAMESPACE with an optional CLIENT_ID (a managed identity), or NAMESPACE,
TENANT_ID, CLIENT_ID and CERTIFICATE_PATH (an application that signs in with a certificate).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.translation import gettext as _

from integracion_dynamics.entities import Configuration, Entity

from .connections import read_service_bus, read_tokens
from .problems import SETTING, Problem, unknown
from .tables import read_entities

_OPTIONS = {
    *("ENTITIES", "TOKENS", "SERVICE_BUS", "PAGE_LIMIT"),
    *("LOCK_TIMEOUT", "STATEMENT_TIMEOUT", "SERVICE_USER"),
}


@lru_cache(maxsize=1)
def current() -> Configuration:
    """The configuration in force.

    Raises:
        ImproperlyConfigured: with every problem in one message.
    """
    configuration, problems = parse(getattr(settings, SETTING, None))
    _raise_errors(problems)
    if configuration is None:
        raise ImproperlyConfigured(SETTING)
    return configuration


@lru_cache(maxsize=1)
def entities() -> Mapping[str, Entity]:
    """The entities in force, whatever the rest of the setting says: announcing needs no token and no broker.

    Raises:
        ImproperlyConfigured: with every problem that would let changes pass without a message.
    """
    raw = getattr(settings, SETTING, None)
    if not isinstance(raw, Mapping):
        _raise_errors([_no_setting()])
        return {}
    problems: list[Problem] = []
    found = read_entities(raw.get("ENTITIES"), problems)
    _raise_errors([*problems, *_time_zone_problems()])
    return found


def _raise_errors(problems: list[Problem]) -> None:
    errors = [f"{problem.message} {problem.hint}" for problem in problems if not problem.warning]
    if errors:
        raise ImproperlyConfigured(" ".join(errors))


def parse(raw: object) -> tuple[Configuration | None, list[Problem]]:
    """Read the setting; the configuration is None when a problem leaves nothing to work with."""
    if not isinstance(raw, Mapping):
        return None, [_no_setting()]
    problems = unknown(raw, _OPTIONS, SETTING)
    configuration = Configuration(
        entities=read_entities(raw.get("ENTITIES"), problems),
        tokens=read_tokens(raw.get("TOKENS", []), problems),
        service_bus=read_service_bus(raw.get("SERVICE_BUS", {}), problems),
        page_limit=int(_number(raw, "PAGE_LIMIT", 500, (1, 5000), problems, whole=True)),
        lock_timeout=_number(raw, "LOCK_TIMEOUT", 3, (0.1, 60), problems),
        statement_timeout=_number(raw, "STATEMENT_TIMEOUT", 20, (1, 600), problems),
        service_user=_service_user(raw.get("SERVICE_USER", ""), problems),
    )
    return configuration, [*problems, *_time_zone_problems()]


def _no_setting() -> Problem:
    message = _("The setting %(setting)s is missing or is not a dictionary.") % {"setting": SETTING}
    return Problem("E001", message, _("Add it to the settings as the README of energy-cmms-dynamics shows."))


def _number(
    raw: Mapping[Any, Any],
    name: str,
    default: float,
    bounds: tuple[float, float],
    problems: list[Problem],
    *,
    whole: bool = False,
) -> float:
    given = raw.get(name, default)
    types = int if whole else (int, float)
    if isinstance(given, types) and not isinstance(given, bool) and bounds[0] <= given <= bounds[1]:
        return float(given)
    message = _("%(where)s is not a number from %(low)g to %(high)g.")
    where = {"where": f"{SETTING}[{name!r}]", "low": bounds[0], "high": bounds[1]}
    hint = _("Leave it out for %(default)g.") % {"default": default}
    problems.append(Problem("E009", message % where, hint))
    return default


def _service_user(raw: object, problems: list[Problem]) -> str:
    if isinstance(raw, str):
        return raw
    message = _("%(where)s is not text.") % {"where": f"{SETTING}['SERVICE_USER']"}
    problems.append(Problem("E013", message, _("Give the user name of an account that nobody signs in with.")))
    return ""


def _time_zone_problems() -> list[Problem]:
    if settings.USE_TZ:
        return []
    message = _("USE_TZ is False: %(setting)s cannot tell instants from local times.") % {"setting": SETTING}
    return [Problem("E012", message, _("Set USE_TZ = True; Django's documentation on time zones tells how to move."))]


def _forget(*, setting: str, **_: object) -> None:
    if setting in (SETTING, "USE_TZ"):
        current.cache_clear()
        entities.cache_clear()


setting_changed.connect(_forget, dispatch_uid="integracion_dynamics.config")
