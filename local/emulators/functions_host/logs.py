"""The host's log: one record a line, with the function that it came from."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from aiohttp.http_exceptions import HttpProcessingError
from azure_functions_runtime import invocation_id_cv  # type: ignore[import-untyped]

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 10,
}
_SECRET = re.compile(r"(?i)\b(SharedAccessKey|SharedAccessSignature|AccountKey|sig|code)=([^;&\s\"']+)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_HOST = "local.emulators.functions_host"
_WORKER = "azure.functions"
_LIBRARIES = ("azure", "asyncio", "aiohttp")

_running: dict[str, str] = {}


@contextmanager
def invocation_scope(function: str, invocation_id: str) -> Iterator[None]:
    """Attribute the records of this context, and of the worker's thread under the same id, to a function."""
    _running[invocation_id] = function
    token = invocation_id_cv.set(invocation_id)
    try:
        yield
    finally:
        invocation_id_cv.reset(token)
        del _running[invocation_id]


def set_up_logging(log_level: Mapping[str, str], *, as_json: bool) -> None:
    """Send all records to standard output, filtered by `logging.logLevel` of host.json.

    Raises:
        ValueError: a level is not one of Azure's.
    """
    unknown = sorted({level for level in log_level.values() if level.lower() not in _LEVELS})
    if unknown:
        raise ValueError(f"logging.logLevel has {', '.join(unknown)}; Azure knows {', '.join(_LEVELS).title()}")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    handler.addFilter(_LevelFilter({name.lower(): _LEVELS[level.lower()] for name, level in log_level.items()}))
    root = logging.getLogger()
    root.handlers = [handler]
    # Azure's worker drops debug records before they reach the host, unless this setting is on.
    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in {"1", "true"}
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)


def redact(text: str) -> str:
    """Blank the secrets of connection strings and URLs."""
    return _SECRET.sub(r"\1=***", text)


class _LevelFilter(logging.Filter):
    """Host.json's levels: the longest matching category decides.

    Both the function's category and the logger's own name have to agree, so that a rule
    for "Azure" quietens the Azure SDKs as it does in .NET.
    """

    def __init__(self, levels: dict[str, int]) -> None:
        super().__init__()
        self._levels = levels
        self._default = levels.get("default", logging.INFO)

    def filter(self, record: logging.LogRecord) -> bool:
        invocation_id = invocation_id_cv.get()
        record.invocation = (invocation_id or "")[:8]
        function = _running.get(invocation_id or "", "")
        record.function = function
        if record.name.startswith(_HOST):
            category = f"function.{function}" if function else "host"
        else:
            category = f"function.{function}.user" if function else ""
        by_function, by_name = self._level(category), self._level(record.name.lower())
        if by_name is None and (
            record.name.startswith(_WORKER) or (not function and record.name.startswith(_LIBRARIES))
        ):
            by_name = logging.WARNING  # chatter of the worker and of the host's own libraries
        wanted = [level for level in (by_function, by_name) if level is not None]
        return record.levelno >= (max(wanted) if wanted else self._default)

    def _level(self, category: str) -> int | None:
        while category:
            if category in self._levels:
                return self._levels[category]
            category = category.rpartition(".")[0]
        return None


def _parts(record: logging.LogRecord) -> tuple[str, str]:
    """The message in one line, and the traceback if there is one."""
    message, _, rest = record.getMessage().partition("\nTraceback ")
    details = f"Traceback {rest}" if rest else ""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        # The caller's mistake; the server's own words would quote the request, and with it a key.
        return f"A malformed HTTP request was refused ({type(error).__name__})", ""
    if record.exc_info:
        details = logging.Formatter().formatException(record.exc_info)
    line = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), message)
    return redact(line), redact(details)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        message, details = _parts(record)
        where = f"{record.function} {record.invocation}" if record.function else "host"  # type: ignore[attr-defined]
        line = f"{moment}Z {record.levelname:<8} {where:<18} {message}"
        return line + "".join(f"\n    {part}" for part in details.splitlines())


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message, details = _parts(record)
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "function": record.function,  # type: ignore[attr-defined]
            "invocation": record.invocation,  # type: ignore[attr-defined]
            "message": message,
        }
        return json.dumps(fields | ({"exception": details} if details else {}), ensure_ascii=False)
