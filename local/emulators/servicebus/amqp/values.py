"""Python values for those AMQP types that Python's own types cannot tell apart.

None, bool, bytes (binary), str (string), float (double), int (long), UUID, list and dict (map) need no such
help.
Source: OASIS AMQP 1.0 part 1, http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CodecError(ValueError):
    """The bytes are not AMQP, or the value cannot be expressed in AMQP."""


class UByte(int):
    """An unsigned integer of 8 bits."""


class UShort(int):
    """An unsigned integer of 16 bits."""


class UInt(int):
    """An unsigned integer of 32 bits."""


class ULong(int):
    """An unsigned integer of 64 bits."""


class Byte(int):
    """A signed integer of 8 bits."""


class Short(int):
    """A signed integer of 16 bits."""


class Int(int):
    """A signed integer of 32 bits; Python's own int is the one of 64 bits."""


class Float(float):
    """A number of 32 bits; Python's own float is the one of 64 bits."""


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class Symbol(str):
    """An ASCII name from a constrained domain."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since 1970-01-01 UTC."""

    @classmethod
    def of(cls, instant: datetime) -> Self:
        """The timestamp of an aware instant, cut to the millisecond."""
        return cls((instant - _EPOCH) // timedelta(milliseconds=1))

    def instant(self) -> datetime:
        """The instant in UTC.

        Raises:
            OverflowError: it lies outside of Python's calendar.
        """
        return _EPOCH + timedelta(milliseconds=self)


class Decimal32(bytes):
    """An IEEE 754 decimal of 4 bytes, kept as it came."""


class Decimal64(bytes):
    """An IEEE 754 decimal of 8 bytes, kept as it came."""


class Decimal128(bytes):
    """An IEEE 754 decimal of 16 bytes, kept as it came."""


class Array(list[Any]):
    """Elements of one AMQP type. An empty one is written as an array of nulls."""


class Described(NamedTuple):
    """A value with a descriptor that says what it means."""

    descriptor: Any
    value: Any
