"""Python values to AMQP bytes, in the most compact form of each type."""

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

from local.emulators.servicebus.amqp import values as amqp
from local.emulators.servicebus.amqp.values import CodecError

_BYTE = 0xFF
_COMPACT_LIMIT = 254  # a compact size counts the element count's own byte

type _Writer = Callable[[bytearray, Any], None]


def encode(value: object) -> bytes:
    """The AMQP encoding of `value`.

    Raises:
        CodecError: the value's type has no AMQP type, or it is out of its type's range.
    """
    out = bytearray()
    encode_into(out, value)
    return bytes(out)


def encode_into(out: bytearray, value: object) -> None:
    """Append the AMQP encoding of `value`; raises as `encode`."""
    try:
        _WRITERS[type(value)](out, value)
    except KeyError as error:
        raise CodecError(f"There is no AMQP type for {error.args[0]}.") from error
    except (struct.error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CodecError(f"A {type(value).__name__} cannot be written as AMQP: {error}.") from error


def _null(out: bytearray, _: None) -> None:
    out.append(0x40)


def _boolean(out: bytearray, value: bool) -> None:
    out.append(0x41 if value else 0x42)


def _fixed(code: int, form: str) -> _Writer:
    pack = struct.Struct(f">B{form}").pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(code, value)

    return write


def _unsigned(zero: int, small: int, full: int, form: str) -> _Writer:
    pack = struct.Struct(f">B{form}").pack

    def write(out: bytearray, value: int) -> None:
        if value == 0:
            out.append(zero)
        elif 0 < value <= _BYTE:
            out.append(small)
            out.append(value)
        else:
            out += pack(full, value)

    return write


def _signed(small: int, full: int, form: str) -> _Writer:
    pack_small = struct.Struct(">Bb").pack
    pack = struct.Struct(f">B{form}").pack

    def write(out: bytearray, value: int) -> None:
        out += pack_small(small, value) if -0x80 <= value < 0x80 else pack(full, value)  # noqa: PLR2004 - a byte's range

    return write


def _variable(small: int, full: int, to_bytes: Callable[[Any], bytes]) -> _Writer:
    pack = struct.Struct(">BI").pack

    def write(out: bytearray, value: Any) -> None:
        raw = to_bytes(value)
        if len(raw) <= _BYTE:
            out.append(small)
            out.append(len(raw))
        else:
            out += pack(full, len(raw))
        out += raw

    return write


def _decimal(code: int, width: int) -> _Writer:
    def write(out: bytearray, value: bytes) -> None:
        if len(value) != width:
            raise CodecError(f"a decimal of {width} bytes has {len(value)}")
        out.append(code)
        out += value

    return write


def _char(out: bytearray, value: str) -> None:
    out += struct.pack(">BI", 0x73, ord(value))


def _uuid(out: bytearray, value: UUID) -> None:
    out.append(0x98)
    out += value.bytes


def _compound(out: bytearray, small: int, full: int, count: int, body: bytearray) -> None:
    if len(body) <= _COMPACT_LIMIT and count <= _BYTE:
        out.append(small)
        out.append(len(body) + 1)
        out.append(count)
    else:
        out += struct.pack(">BII", full, len(body) + 4, count)
    out += body


def _list(out: bytearray, items: list[Any]) -> None:
    if not items:
        out.append(0x45)
        return
    body = bytearray()
    for item in items:
        _WRITERS[type(item)](body, item)
    _compound(out, 0xC0, 0xD0, len(items), body)


def _map(out: bytearray, pairs: dict[Any, Any]) -> None:
    body = bytearray()
    for key, value in pairs.items():
        _WRITERS[type(key)](body, key)
        _WRITERS[type(value)](body, value)
    _compound(out, 0xC1, 0xD1, 2 * len(pairs), body)


def _described(out: bytearray, described: amqp.Described) -> None:
    out.append(0x00)
    _WRITERS[type(described.descriptor)](out, described.descriptor)
    _WRITERS[type(described.value)](out, described.value)


def _array(out: bytearray, items: amqp.Array) -> None:
    if len({type(item) for item in items}) > 1:
        raise CodecError("the elements of an array must have one type")
    body = bytearray()
    constructor = b"\x40"
    if items:
        constructor, write = _constructor(items[0])
        for item in items:
            if isinstance(item, amqp.Described) and _constructor(item)[0] != constructor:
                raise CodecError("the described elements of an array must have one descriptor and one type")
            write(body, item)
    _compound(out, 0xE0, 0xF0, len(items), bytearray(constructor) + body)


def _constructor(item: Any) -> tuple[bytes, _Writer]:
    """The constructor that an array's elements share, and how each element is written after it."""
    if isinstance(item, amqp.Described):
        inner, write = _constructor(item.value)
        return b"\x00" + encode(item.descriptor) + inner, lambda out, each: write(out, each.value)
    full = _ELEMENTS[type(item)]
    return full[:1], _element(full)


def _element(form: bytes) -> _Writer:
    """Array elements all use the full form of their type, whatever their size."""
    code = form[0]
    if code in _FULL_WRITERS:
        return _FULL_WRITERS[code]
    pack = struct.Struct(">" + form[1:].decode()).pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write


def _full_bytes(to_bytes: Callable[[Any], bytes]) -> _Writer:
    def write(out: bytearray, value: Any) -> None:
        raw = to_bytes(value)
        out += struct.pack(">I", len(raw))
        out += raw

    return write


def _full_compound(out: bytearray, value: list[Any] | dict[Any, Any]) -> None:
    body = bytearray()
    items = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
    for item in items:
        _WRITERS[type(item)](body, item)
    out += struct.pack(">II", len(body) + 4, len(items))
    out += body


def _full_array(out: bytearray, items: amqp.Array) -> None:
    whole = bytearray()
    _array(whole, items)
    small = whole[0] == 0xE0  # noqa: PLR2004 - the compact array's constructor
    size, count = (whole[1], whole[2]) if small else struct.unpack_from(">II", whole, 1)
    body = whole[3:] if small else whole[9:]
    out += struct.pack(">II", size + 3 if small else size, count)
    out += body


def _raw(value: bytes) -> bytes:
    return value


def _ascii(value: str) -> bytes:
    return value.encode("ascii")


_WRITERS: dict[type, _Writer] = {
    type(None): _null,
    bool: _boolean,
    amqp.UByte: _fixed(0x50, "B"),
    amqp.UShort: _fixed(0x60, "H"),
    amqp.UInt: _unsigned(0x43, 0x52, 0x70, "I"),
    amqp.ULong: _unsigned(0x44, 0x53, 0x80, "Q"),
    amqp.Byte: _fixed(0x51, "b"),
    amqp.Short: _fixed(0x61, "h"),
    amqp.Int: _signed(0x54, 0x71, "i"),
    int: _signed(0x55, 0x81, "q"),
    amqp.Float: _fixed(0x72, "f"),
    float: _fixed(0x82, "d"),
    amqp.Timestamp: _fixed(0x83, "q"),
    amqp.Decimal32: _decimal(0x74, 4),
    amqp.Decimal64: _decimal(0x84, 8),
    amqp.Decimal128: _decimal(0x94, 16),
    amqp.Char: _char,
    UUID: _uuid,
    bytes: _variable(0xA0, 0xB0, _raw),
    str: _variable(0xA1, 0xB1, str.encode),
    amqp.Symbol: _variable(0xA3, 0xB3, _ascii),
    list: _list,
    dict: _map,
    amqp.Array: _array,
    amqp.Described: _described,
}

# For each type the full constructor, and where a struct does it, the form of an element.
_ELEMENTS: dict[type, bytes] = {
    type(None): b"\x40",
    bool: b"\x56?",
    amqp.UByte: b"\x50B",
    amqp.UShort: b"\x60H",
    amqp.UInt: b"\x70I",
    amqp.ULong: b"\x80Q",
    amqp.Byte: b"\x51b",
    amqp.Short: b"\x61h",
    amqp.Int: b"\x71i",
    int: b"\x81q",
    amqp.Float: b"\x72f",
    float: b"\x82d",
    amqp.Timestamp: b"\x83q",
    amqp.Decimal32: b"\x744s",
    amqp.Decimal64: b"\x848s",
    amqp.Decimal128: b"\x9416s",
    amqp.Char: b"\x73",
    UUID: b"\x98",
    bytes: b"\xb0",
    str: b"\xb1",
    amqp.Symbol: b"\xb3",
    list: b"\xd0",
    dict: b"\xd1",
    amqp.Array: b"\xf0",
}

_FULL_WRITERS: dict[int, _Writer] = {
    0x40: lambda _out, _value: None,
    0x73: lambda out, value: out.extend(struct.pack(">I", ord(value))),
    0x98: lambda out, value: out.extend(value.bytes),
    0xB0: _full_bytes(_raw),
    0xB1: _full_bytes(str.encode),
    0xB3: _full_bytes(_ascii),
    0xD0: _full_compound,
    0xD1: _full_compound,
    0xF0: _full_array,
}
