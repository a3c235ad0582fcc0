"""AMQP bytes to Python values. Hostile bytes cost what their length costs and raise only `CodecError`."""

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

from local.emulators.servicebus.amqp import values as amqp
from local.emulators.servicebus.amqp.values import CodecError

_MAX_DEPTH = 32
_MAX_WIDTHLESS = 64  # elements that take no bytes would make a small array expand without bound

type _Reader = Callable[[bytes, int, int], tuple[Any, int]]


def decode(data: bytes, position: int = 0) -> tuple[Any, int]:
    """The value that starts at `position`, and the position after it.

    Raises:
        CodecError: there is no complete, valid value, or it is nested deeper than 32 levels.
    """
    try:
        return _read(data, position, 0)
    except CodecError:
        raise
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise CodecError(f"No valid AMQP value at byte {position}: {error}.") from error


def _read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise CodecError(f"Values are nested deeper than {_MAX_DEPTH} levels.")
    code = data[position]
    reader = _READERS[code]
    if reader is None:
        raise CodecError(f"There is no AMQP type with the constructor 0x{code:02x} (byte {position}).")
    return reader(data, position + 1, depth + 1)


def _constant(value: Any) -> _Reader:
    return lambda _data, position, _depth: (value, position)


def _fixed(form: str, convert: Callable[[Any], Any] | None = None) -> _Reader:
    layout = struct.Struct(f">{form}")
    unpack, width = layout.unpack_from, layout.size
    if convert is None:
        return lambda data, position, _depth: (unpack(data, position)[0], position + width)
    return lambda data, position, _depth: (convert(unpack(data, position)[0]), position + width)


def _variable(form: str, convert: Callable[[bytes], Any]) -> _Reader:
    layout = struct.Struct(f">{form}")
    unpack, width = layout.unpack_from, layout.size

    def read(data: bytes, position: int, _depth: int) -> tuple[Any, int]:
        start = position + width
        end = start + unpack(data, position)[0]
        if end > len(data):
            raise CodecError(f"A value of {end - start} bytes starts {len(data) - start} bytes before the end.")
        return convert(data[start:end]), end

    return read


def _span(layout: struct.Struct, data: bytes, position: int) -> tuple[int, int, int]:
    """Element count, start of the elements, end of the compound."""
    size, count = layout.unpack_from(data, position)
    width = layout.size // 2
    end = position + width + size
    if size < width or end > len(data):
        raise CodecError(f"A compound value at byte {position} has the wrong size {size}.")
    return count, position + 2 * width, end


def _list(form: str) -> _Reader:
    layout = struct.Struct(f">{form}")

    def read(data: bytes, position: int, depth: int) -> tuple[list[Any], int]:
        count, position, end = _span(layout, data, position)
        return _elements(data, position, end, count, depth), end

    return read


def _map(form: str) -> _Reader:
    layout = struct.Struct(f">{form}")

    def read(data: bytes, position: int, depth: int) -> tuple[dict[Any, Any], int]:
        count, position, end = _span(layout, data, position)
        flat = _elements(data, position, end, count, depth)
        pairs = dict(zip(flat[::2], flat[1::2], strict=True))
        if 2 * len(pairs) != count:
            raise CodecError("A map has the same key twice.")
        return pairs, end

    return read


def _elements(data: bytes, position: int, end: int, count: int, depth: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(count):
        if position >= end:
            raise CodecError(f"A compound value announces {count} elements but holds {len(items)}.")
        item, position = _read(data, position, depth)
        items.append(item)
    if position != end:
        raise CodecError("The elements of a compound value do not fill its size.")
    return items


def _array(form: str) -> _Reader:
    layout = struct.Struct(f">{form}")

    def read(data: bytes, position: int, depth: int) -> tuple[amqp.Array, int]:
        count, position, end = _span(layout, data, position)
        reader, position = _constructor(data, position, depth)
        items = amqp.Array()
        for _ in range(count):
            if position >= end and len(items) >= _MAX_WIDTHLESS:
                raise CodecError(f"An array announces {count} elements but holds {len(items)}.")
            item, position = reader(data, position, depth + 1)
            items.append(item)
        if position != end:
            raise CodecError("The elements of an array do not fill its size.")
        return items, end

    return read


def _constructor(data: bytes, position: int, depth: int) -> tuple[_Reader, int]:
    if depth > _MAX_DEPTH:
        raise CodecError(f"Values are nested deeper than {_MAX_DEPTH} levels.")
    code = data[position]
    if code == 0:
        descriptor, position = _read(data, position + 1, depth)
        inner, position = _constructor(data, position, depth + 1)

        def described_element(data: bytes, position: int, depth: int) -> tuple[amqp.Described, int]:
            value, position = inner(data, position, depth)
            return amqp.Described(descriptor, value), position

        return described_element, position
    reader = _READERS[code]
    if reader is None:
        raise CodecError(f"There is no AMQP type with the constructor 0x{code:02x} (byte {position}).")
    return reader, position + 1


def _described(data: bytes, position: int, depth: int) -> tuple[amqp.Described, int]:
    descriptor, position = _read(data, position, depth)
    value, position = _read(data, position, depth)
    return amqp.Described(descriptor, value), position


def _boolean(octet: int) -> bool:
    if octet > 1:
        raise CodecError(f"A boolean is 0 or 1, not {octet}.")
    return octet == 1


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8")


def _symbol(raw: bytes) -> amqp.Symbol:
    return amqp.Symbol(raw.decode("ascii"))


def _uuid(raw: bytes) -> UUID:
    return UUID(bytes=raw)


def _char(code_point: int) -> amqp.Char:
    return amqp.Char(chr(code_point))


_READERS: list[_Reader | None] = [None] * 256
for _code, _reader in {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(amqp.UInt(0)),
    0x44: _constant(amqp.ULong(0)),
    0x50: _fixed("B", amqp.UByte),
    0x51: _fixed("b", amqp.Byte),
    0x52: _fixed("B", amqp.UInt),
    0x53: _fixed("B", amqp.ULong),
    0x54: _fixed("b", amqp.Int),
    0x55: _fixed("b"),
    0x56: _fixed("B", _boolean),
    0x60: _fixed("H", amqp.UShort),
    0x61: _fixed("h", amqp.Short),
    0x70: _fixed("I", amqp.UInt),
    0x71: _fixed("i", amqp.Int),
    0x72: _fixed("f", amqp.Float),
    0x73: _fixed("I", _char),
    0x74: _fixed("4s", amqp.Decimal32),
    0x80: _fixed("Q", amqp.ULong),
    0x81: _fixed("q"),
    0x82: _fixed("d"),
    0x83: _fixed("q", amqp.Timestamp),
    0x84: _fixed("8s", amqp.Decimal64),
    0x94: _fixed("16s", amqp.Decimal128),
    0x98: _fixed("16s", _uuid),
    0xA0: _variable("B", bytes),
    0xA1: _variable("B", _utf8),
    0xA3: _variable("B", _symbol),
    0xB0: _variable("I", bytes),
    0xB1: _variable("I", _utf8),
    0xB3: _variable("I", _symbol),
    0xC0: _list("BB"),
    0xC1: _map("BB"),
    0xD0: _list("II"),
    0xD1: _map("II"),
    0xE0: _array("BB"),
    0xF0: _array("II"),
}.items():
    _READERS[_code] = _reader
_READERS[0x45] = lambda _data, position, _depth: ([], position)
