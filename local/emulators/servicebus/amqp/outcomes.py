"""Errors, outcomes and link ends: the described lists that performatives carry.

Source: http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html, parts 3.4 and 3.5.
"""

from enum import IntEnum
from typing import Any, NamedTuple

from local.emulators.servicebus.amqp.values import CodecError, Described, Symbol, ULong

_ERROR = ULong(0x1D)
_COORDINATOR = 0x30


class OutcomeKind(IntEnum):
    """The delivery states, by descriptor."""

    RECEIVED = 0x23
    ACCEPTED = 0x24
    REJECTED = 0x25
    RELEASED = 0x26
    MODIFIED = 0x27


_NAMES = {f"amqp:{kind.name.lower()}:list": kind for kind in OutcomeKind}


class Outcome(NamedTuple):
    """What a receiver decided about a delivery."""

    kind: OutcomeKind
    undeliverable_here: bool = False
    annotations: dict[Any, Any] | None = None
    error_description: str | None = None
    error_info: dict[Any, Any] | None = None


ACCEPTED = Described(ULong(OutcomeKind.ACCEPTED), [])


def error(condition: str, description: str) -> Described:
    """An AMQP error. Its info is never left out, because clients read it unchecked."""
    return Described(_ERROR, [Symbol(condition), description, {}])


def rejected(condition: str, description: str) -> Described:
    """The outcome of a delivery that could not be accepted or settled."""
    return Described(ULong(OutcomeKind.REJECTED), [error(condition, description)])


def read_outcome(state: Described) -> Outcome:
    """Read a delivery state.

    Raises:
        CodecError: it is none, or a part of it has the wrong type.
    """
    named = isinstance(state.descriptor, str)
    code: Any = _NAMES.get(state.descriptor) if named else state.descriptor
    try:
        kind = OutcomeKind(code)
    except ValueError as unknown:
        raise CodecError(f"There is no delivery state {state.descriptor!r}.") from unknown
    fields = state.value
    if not isinstance(fields, list):
        raise CodecError("A delivery state must be a list.")
    if kind is OutcomeKind.MODIFIED:
        undeliverable_here = bool(_at(fields, 1, bool))
        return Outcome(kind, undeliverable_here, annotations=_at(fields, 2, dict))
    if kind is OutcomeKind.REJECTED:
        described = _at(fields, 0, Described)
        parts = described.value if described else []
        if not isinstance(parts, list):
            raise CodecError("An error must be a list.")
        return Outcome(kind, error_description=_at(parts, 1, str), error_info=_at(parts, 2, dict))
    return Outcome(kind)


def address_of(terminus: Described | None) -> str | None:
    """The address of a source or target.

    Raises:
        CodecError: it is none that has an address, for example a transaction coordinator.
    """
    if terminus is None:
        return None
    if terminus.descriptor == _COORDINATOR or not isinstance(terminus.value, list):
        raise CodecError("Transactions are not supported: a link must name a queue.")
    address = _at(terminus.value, 0, str)
    return str(address) if address is not None else None


def filters_of(source: Described | None) -> dict[Any, Any]:
    """The filters of a source, for example the one that asks for a session."""
    if source is None or not isinstance(source.value, list):
        return {}
    return _at(source.value, 7, dict) or {}


def _at(fields: list[Any], index: int, kind: type) -> Any:
    value = fields[index] if len(fields) > index else None
    if value is not None and not isinstance(value, kind):
        raise CodecError(f"A {kind.__name__} was expected instead of a {type(value).__name__}.")
    return value
