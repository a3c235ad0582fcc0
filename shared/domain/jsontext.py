"""JSON in and out without loss: decimals never pass through float, and whatever was read can be written again."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

# A plug-in's nested contexts stay well below; a retry copy of anything deeper could not be written.
DEEPEST: Final = 200


class JsonError(ValueError):
    """What was read is not JSON that means one thing; the text continues a sentence that begins with its name."""


def loads(body: str | bytes) -> Any:
    """Read JSON; numbers with a point or an exponent become Decimal.

    Raises:
        JsonError: Not UTF-8, not JSON, a member named twice, NaN or Infinity, or nested deeper than 200 levels.
    """
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        found = json.loads(text, parse_float=_decimal, parse_constant=_refuse, object_pairs_hook=_object)
    except JsonError:
        raise
    except UnicodeDecodeError:
        raise JsonError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"is not JSON at character {error.pos}") from None
    except ValueError:
        # An integer of more digits than Python converts.
        raise JsonError("holds a number that cannot be read") from None
    except RecursionError:
        raise JsonError(f"is nested deeper than {DEEPEST} levels") from None
    if _too_deep(found):
        raise JsonError(f"is nested deeper than {DEEPEST} levels")
    return found


def dumps(value: object) -> str:
    """Write what `loads` gives, in its own letters; in ASCII where half a surrogate pair leaves no other way."""
    text = _write(value, ascii_only=False)
    return text if text.isascii() or _encodable(text) else _write(value, ascii_only=True)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write(value: object, *, ascii_only: bool) -> str:
    try:
        return json.dumps(value, ensure_ascii=ascii_only)
    except TypeError:
        # The standard library writes no Decimal; the detour through float would change it.
        pass
    match value:
        case Decimal():
            return str(value)
        case dict():
            members = (
                f"{json.dumps(name, ensure_ascii=ascii_only)}: {_write(member, ascii_only=ascii_only)}"
                for name, member in value.items()
            )
            return "{" + ", ".join(members) + "}"
        case list():
            return "[" + ", ".join(_write(member, ascii_only=ascii_only) for member in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise JsonError("holds a number that cannot be read") from None


def _refuse(name: str) -> None:
    raise JsonError(f"holds {name}, which is not JSON")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError(f"names the member {twice[:60]!r} twice")
    return found


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            member
            for parent in level
            if isinstance(parent, (dict, list))
            for member in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
