"""The parts of `host.json` that this host honours."""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.timespan import parse_timespan

# Azure's way to override host.json from app settings: AzureFunctionsJobHost__logging__logLevel__default=Debug
_OVERRIDE = "AzureFunctionsJobHost__"


def _timespan(value: Any) -> Any:
    return parse_timespan(value) if isinstance(value, str) else value


def _timeout(value: Any) -> Any:
    return None if value in {"-1", "-00:00:00.0010000"} else _timespan(value)


type TimeSpan = Annotated[timedelta, BeforeValidator(_timespan)]


class _Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ServiceBusOptions(_Section):
    """`extensions.serviceBus`, with the defaults of extension 5.x.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus#hostjson-settings
    """

    auto_complete_messages: bool = True
    prefetch_count: int = Field(0, ge=0)
    max_concurrent_calls: int = Field(16, ge=1)
    max_message_batch_size: int = Field(1000, ge=1)
    min_message_batch_size: int = Field(1, ge=1)
    max_batch_wait_time: TimeSpan = timedelta(seconds=30)
    max_auto_lock_renewal_duration: TimeSpan = timedelta(minutes=5)


class HttpOptions(_Section):
    """`extensions.http`."""

    route_prefix: str = "api"


class _Extensions(_Section):
    http: HttpOptions = HttpOptions()
    service_bus: ServiceBusOptions = ServiceBusOptions()


class _Logging(_Section):
    log_level: dict[str, str] = {}


class HostJson(_Section):
    """What the file says, with Azure's defaults for the rest. `function_timeout` None is unlimited."""

    function_timeout: Annotated[timedelta | None, BeforeValidator(_timeout)] = timedelta(minutes=30)
    extensions: _Extensions = _Extensions()
    logging: _Logging = _Logging()


def _names(*models: type[BaseModel]) -> dict[str, str]:
    fields = [to_camel(name) for model in models for name in model.model_fields]
    return {name.casefold(): name for name in fields}


_NAMES = _names(HostJson, _Extensions, _Logging, ServiceBusOptions, HttpOptions)
# A text, which is kept, or a comment, which Azure's reader takes.
_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def load_host_json(app_dir: Path, environment: Mapping[str, str] = os.environ) -> HostJson:
    """Read `host.json` of an app; settings that start with `AzureFunctionsJobHost__` override it.

    Raises:
        StartError: the file is missing, is not JSON, or a value is not what Azure accepts.
    """
    path = app_dir / "host.json"
    try:
        document = json.loads(_COMMENT.sub(_without_comment, path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}). A function app needs a host.json: "
            'create one with {"version": "2.0"}, or point --app at the folder that has it.'
        ) from error
    except ValueError as error:
        raise StartError(f"{path} is not JSON ({error}). Correct it.") from error
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise StartError(f'{path} needs "version": "2.0". Add it.')
    canonical = _canonical(document)
    for name, value in environment.items():
        if name.startswith(_OVERRIDE):
            _override(canonical, name.removeprefix(_OVERRIDE).split("__"), value)
    try:
        return HostJson.model_validate(canonical)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise StartError(f"{path} has a value that cannot be used: {where}. Correct it.") from error


def _override(section: dict[str, Any], path: list[str], value: str) -> None:
    *parents, last = [_NAMES.get(name.casefold(), name.casefold()) for name in path]
    for name in parents:
        inner = section.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        section = inner
    section[last] = value


def _canonical(section: dict[str, Any]) -> dict[str, Any]:
    """The section with its names spelt as Azure documents them; .NET's configuration knows no case."""
    result: dict[str, Any] = {}
    for name, value in section.items():
        inner = _canonical(value) if isinstance(value, dict) else value
        result[_NAMES.get(name.casefold(), name.casefold())] = inner
    return result


def _without_comment(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " "
