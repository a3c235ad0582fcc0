"""What the app's functions are triggered by, checked as far as it can be before the first event."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.retries import Retries
from local.emulators.functions_host.routes import Route
from local.emulators.functions_host.schedule import Schedule, parse_schedule
from local.emulators.functions_host.settings import resolve

_ALL_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True)
class HttpTrigger:
    """An HTTP endpoint. `auth_level` is anonymous, function or admin."""

    parameter: str
    route: Route
    methods: frozenset[str]
    auth_level: str


@dataclass(frozen=True)
class QueueTrigger:
    """A Service Bus queue, read one message (`many` False) or one batch at a time, as text or as bytes."""

    parameter: str
    queue: str
    connection: str
    many: bool
    binary: bool


@dataclass(frozen=True)
class TimerTrigger:
    """A schedule. An unmonitored timer is not told when it ran and will run."""

    parameter: str
    schedule: Schedule
    run_on_startup: bool
    monitored: bool = True
    retries: Retries | None = None


@dataclass(frozen=True)
class Function:
    """One indexed function."""

    name: str
    id: str
    trigger: HttpTrigger | QueueTrigger | TimerTrigger


def describe(metadata: list[Any], route_prefix: str) -> list[Function]:
    """Turn the runtime's metadata into functions.

    Raises:
        StartError: a trigger or binding is wrong or not supported here, a setting is missing, or two
            functions claim one name or one route.
    """
    functions = [_function(entry, route_prefix) for entry in metadata]
    for name, count in Counter(function.name.casefold() for function in functions).items():
        if count > 1:
            raise StartError(f"{count} functions are named '{name}' (case does not count). Rename all but one.")
    http = [(f, f.trigger) for f in functions if isinstance(f.trigger, HttpTrigger)]
    for position, (function, trigger) in enumerate(http):
        for other, rival in http[:position]:
            if trigger.route.shape == rival.route.shape and trigger.methods & rival.methods:
                raise StartError(
                    f"Functions '{other.name}' and '{function.name}' both serve the route "
                    f"/{trigger.route.template}. Give one of them another route or other methods."
                )
    return functions


def _function(metadata: Any, route_prefix: str) -> Function:
    bindings = [json.loads(binding) for binding in metadata.raw_bindings]
    trigger: HttpTrigger | QueueTrigger | TimerTrigger | None = None
    for binding in bindings:
        match binding["type"]:
            case "httpTrigger":
                trigger = _http(metadata.name, binding, route_prefix)
            case "serviceBusTrigger":
                trigger = _queue(metadata.name, binding)
            case "timerTrigger":
                trigger = _timer(metadata.name, binding, Retries.of(getattr(metadata, "retry_options", None)))
            case "http":
                continue
            case other:
                raise StartError(
                    f"Function '{metadata.name}': bindings of type {other} are not served by this host. "
                    "Use HTTP, Service Bus queue and timer triggers, and an SDK for everything else."
                )
    if trigger is None:
        raise StartError(f"Function '{metadata.name}' has no trigger. Give it one, for example @app.route(...).")
    return Function(metadata.name, metadata.function_id, trigger)


def _http(function: str, binding: dict[str, Any], route_prefix: str) -> HttpTrigger:
    template = resolve(binding.get("route") or function, function=function, attribute="route").strip("/")
    full = f"{route_prefix.strip('/')}/{template}".strip("/")
    methods = frozenset(method.upper() for method in binding.get("methods") or ()) or _ALL_METHODS
    return HttpTrigger(
        parameter=binding["name"],
        route=Route.parse(full, function=function),
        methods=methods,
        auth_level=str(binding.get("authLevel", "FUNCTION")).lower(),
    )


def _queue(function: str, binding: dict[str, Any]) -> QueueTrigger:
    if "queueName" not in binding or binding.get("isSessionsEnabled"):
        raise StartError(
            f"Function '{function}': this host serves Service Bus queues without sessions, "
            "not topics or sessions. Use @app.service_bus_queue_trigger without is_sessions_enabled."
        )
    return QueueTrigger(
        parameter=binding["name"],
        queue=resolve(binding["queueName"], function=function, attribute="queue_name"),
        connection=resolve(binding["connection"], function=function, attribute="connection"),
        many=str(binding.get("cardinality", "ONE")).upper() == "MANY",
        binary=str(binding.get("dataType", "")).upper() == "BINARY",
    )


def _timer(function: str, binding: dict[str, Any], retries: Retries | None) -> TimerTrigger:
    text = resolve(binding["schedule"], function=function, attribute="schedule")
    try:
        schedule = parse_schedule(text)
    except ValueError as error:
        raise StartError(f"Function '{function}': {error}. Correct its schedule or the setting it names.") from error
    return TimerTrigger(
        parameter=binding["name"],
        schedule=schedule,
        run_on_startup=bool(binding.get("runOnStartup")),
        monitored=bool(binding.get("useMonitor", True)) and not schedule.is_frequent(datetime.now(UTC)),
        retries=retries,
    )
