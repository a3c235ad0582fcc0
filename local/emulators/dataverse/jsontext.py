"""JSON without floating point: numbers are read as `int` and `Decimal`, and written digit by digit."""

import json
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any


class JsonError(ValueError):
    """The text is not JSON; the message says what and where."""


def loads(text: bytes) -> Any:
    """Parse UTF-8 JSON; NaN and Infinity are not JSON.

    Raises:
        JsonError: malformed text, encoding, or nesting without end.

    """
    try:
        return json.loads(text.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from error


def dumps(value: Any, *, numbers_as_text: bool = False) -> str:
    """Write JSON; `numbers_as_text` writes decimals as strings (`IEEE754Compatible=true`)."""
    parts: list[str] = []
    _write(value, parts, numbers_as_text=numbers_as_text)
    return "".join(parts)


def _write(value: Any, parts: list[str], *, numbers_as_text: bool) -> None:
    match value:
        case str():
            parts.append(encode_basestring(value))
        case None:
            parts.append("null")
        case bool():
            parts.append("true" if value else "false")
        case int():
            parts.append(str(value))
        case Decimal():
            parts.append(f'"{value:f}"' if numbers_as_text else f"{value:f}")
        case dict():
            separator = "{"
            for name, member in value.items():
                parts.append(f"{separator}{encode_basestring(name)}:")
                _write(member, parts, numbers_as_text=numbers_as_text)
                separator = ","
            parts.append("}" if value else "{}")
        case list() | tuple():
            separator = "["
            for member in value:
                parts.append(separator)
                _write(member, parts, numbers_as_text=numbers_as_text)
                separator = ","
            parts.append("]" if value else "[]")
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form here.")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")
