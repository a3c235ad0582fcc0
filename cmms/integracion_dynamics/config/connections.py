"""Reading TOKENS and SERVICE_BUS: who may call, and where the relay sends to."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _

from integracion_dynamics.entities import ServiceBus

from .problems import SETTING, Problem, unknown

_OPTIONS = {"CONNECTION_STRING", "NAMESPACE", "TENANT_ID", "CLIENT_ID", "CERTIFICATE_PATH"}
_SHORTEST_TOKEN = 20


def read_tokens(raw: object, problems: list[Problem]) -> tuple[str, ...]:
    """The usable tokens; what is wrong is added to the problems."""
    where = {"where": f"{SETTING}['TOKENS']"}
    generate = _("Generate one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'")
    if not isinstance(raw, list | tuple) or not all(isinstance(token, str) for token in raw):
        message = _("%(where)s is not a list of texts.") % where
        problems.append(Problem("E008", message, _("Give one token, or two while rotating.")))
        return ()
    tokens = tuple(token for token in raw if token)
    if len(tokens) < len(raw) or any(token.startswith("@Microsoft.KeyVault(") for token in tokens):
        message = _("%(where)s holds an empty token or an unresolved reference.") % where
        hint = _("Set the variable it is read from, or repair the Key Vault reference, and restart.")
        problems.append(Problem("E008", message, hint))
    if any(not token.isascii() or token != token.strip() for token in tokens):
        message = _("%(where)s holds a token with other than plain characters.") % where
        hint = _("Use letters, digits and -._~+/= only: a header carries nothing else safely.")
        problems.append(Problem("E008", message, hint))
    if not tokens:
        message = _("%(where)s is empty: the API refuses every request.") % where
        problems.append(Problem("W001", message, generate, warning=True))
    elif any(len(token) < _SHORTEST_TOKEN for token in tokens):
        message = _("%(where)s holds a token under %(length)d characters.") % {**where, "length": _SHORTEST_TOKEN}
        problems.append(Problem("W001", message, generate, warning=True))
    return tokens


def read_service_bus(raw: object, problems: list[Problem]) -> ServiceBus:
    """The broker's address and sign-in; what is wrong is added to the problems."""
    where = f"{SETTING}['SERVICE_BUS']"
    if not isinstance(raw, Mapping) or not all(isinstance(value, str) for value in raw.values()):
        message = _("%(where)s is not a dictionary of texts.") % {"where": where}
        problems.append(Problem("E010", message, _("Set it as the README shows.")))
        return ServiceBus()
    problems += unknown(raw, _OPTIONS, where)
    bus = ServiceBus(**{name.lower(): value for name, value in raw.items() if name in _OPTIONS})
    if bus.connection_string and bus.namespace:
        message = _("%(where)s holds CONNECTION_STRING and NAMESPACE.") % {"where": where}
        problems.append(Problem("E010", message, _("Keep one: NAMESPACE needs no secret.")))
    elif bus.connection_string and "Endpoint=sb://" not in bus.connection_string:
        message = _("%(where)s is not a connection string.") % {"where": f"{where}['CONNECTION_STRING']"}
        problems.append(Problem("E010", message, _("Copy it again: it begins with Endpoint=sb://.")))
    elif not bus.connection_string and not bus.namespace:
        message = _("%(where)s names no Service Bus: the relay cannot send.") % {"where": where}
        hint = _("Set CONNECTION_STRING or NAMESPACE; until then messages wait in the outbox.")
        problems.append(Problem("W002", message, hint, warning=True))
    if bus.certificate_path and not (bus.tenant_id and bus.client_id):
        message = _("%(where)s has CERTIFICATE_PATH but not both ids.") % {"where": where}
        problems.append(
            Problem("E010", message, _("A certificate signs in an application: add TENANT_ID and CLIENT_ID."))
        )
    return bus
