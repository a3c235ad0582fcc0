"""JSON in and out without loss: decimals never pass through float, and whatever was read can be written again."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, Final

# A plug-in's nested contexts stay well below; a retry copy of anything deeper could not be written.
DEEPEST: Final = 200
# Windows tools put one before the text. RFC 8259 lets a reader ignore it: https://www.rfc-editor.org/rfc/rfc8259#section-8.1
_MARK: Final = "\N{BYTE ORDER MARK}"
_BRACKETS: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _BRACKETS.keys())
# Made once: the module's own functions would make an encoder for each value.
_OWN_LETTERS: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ASCII: Final = json.JSONEncoder(separators=(",", ":")).encode


class JsonError(ValueError):
    """A text is no JSON, or JSON with two meanings.

    The message ends a sentence that the caller begins with the text's name: "The body" + " is not UTF-8 text".
    """


def loads(body: str | bytes) -> Any:
    """Read JSON; numbers with a point or an exponent become Decimal, a byte order mark before the text is skipped.

    Raises:
        JsonError: Not UTF-8, not JSON, a member named twice, NaN or Infinity, or nested deeper than 200 levels.
    """
    try:
        text = _decoded(body)
        found = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_object)
        # Few texts have more openings than a value may have levels, and only those need to be looked through.
        if text.count("{") + text.count("[") > DEEPEST:
            _check_depth(text)
    except JsonError:
        raise
    except UnicodeDecodeError:
        raise JsonError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"is not JSON at character {error.pos}") from None
    except (ValueError, InvalidOperation):
        # An integer of more digits than Python converts, or an exponent beyond those of Decimal.
        raise JsonError("holds a number that cannot be read") from None
    except RecursionError:
        raise JsonError(f"is nested deeper than {DEEPEST} levels") from None
    return found


def parse(text: str | bytes, number: Callable[[str], Any] = Decimal) -> Any:
    """Read a service's answer, quickly; `number` makes what stands for a number with a point or an exponent.

    Raises:
        JsonError: Not UTF-8, not JSON, or nested or sized beyond reading.
    """
    try:
        return json.loads(text.removeprefix(_MARK) if isinstance(text, str) else text, parse_float=number)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise JsonError(f"is not JSON that can be read ({type(error).__name__})") from error


def _decoded(body: str | bytes) -> str:
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    return text.removeprefix(_MARK)


def dumps(value: object, decimal: Callable[[Decimal], str] = str) -> str:
    """Write what was read, in its own letters; in ASCII where half a surrogate pair leaves no other way."""
    text = _write(value, _OWN_LETTERS, decimal)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _write(value, _ASCII, decimal)
    return text


def _write(value: object, plain: Callable[[object], str], decimal: Callable[[Decimal], str]) -> str:
    try:
        return plain(value)
    except TypeError:
        # The standard library writes no Decimal; the detour through float would change it.
        return _exactly(value, plain, decimal)


def _exactly(value: object, plain: Callable[[object], str], decimal: Callable[[Decimal], str]) -> str:
    match value:
        case Decimal():
            return decimal(value)
        case dict():
            return (
                "{" + ",".join([f"{plain(name)}:{_exactly(one, plain, decimal)}" for name, one in value.items()]) + "}"
            )
        case list():
            return "[" + ",".join([_exactly(one, plain, decimal) for one in value]) + "]"
        case _:
            return plain(value)


def _refuse(name: str) -> None:
    raise JsonError(f"holds {name}, which is not JSON")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        # A counter is one pass. Looking for each name among all takes minutes for a body as large as a queue takes.
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise JsonError(f"names the member {twice[:60]!r} twice")
    return found


def _check_depth(text: str) -> None:
    """Raise what the standard library raises for even deeper text, which must be JSON."""
    # Without escapes, every other part between quotation marks is a string, which may hold any bracket.
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    brackets = outside.encode().translate(None, _NO_BRACKETS)
    if max(accumulate(map(_BRACKETS.__getitem__, brackets))) > DEEPEST:
        raise RecursionError
