"""Encoded AMQP messages: their sections, read as far as a broker needs and otherwise kept byte for byte.

Source: http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html, part 3.2.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from local.emulators.servicebus.amqp.decode import decode
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.values import CodecError, Described, UInt, ULong

_HEADER = 0x70
_DELIVERY_ANNOTATIONS = 0x71
_MESSAGE_ANNOTATIONS = 0x72
_PROPERTIES = 0x73
_APPLICATION_PROPERTIES = 0x74
_DATA = 0x75
_SEQUENCE = 0x76
_VALUE = 0x77
_FOOTER = 0x78
_SECTIONS: dict[int, type] = {
    _HEADER: list,
    _DELIVERY_ANNOTATIONS: dict,
    _MESSAGE_ANNOTATIONS: dict,
    _PROPERTIES: list,
    _APPLICATION_PROPERTIES: dict,
    _DATA: bytes,
    _SEQUENCE: list,
    _VALUE: object,
    _FOOTER: dict,
}
_NAMES = {
    "amqp:header:list": _HEADER,
    "amqp:delivery-annotations:map": _DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": _MESSAGE_ANNOTATIONS,
    "amqp:properties:list": _PROPERTIES,
    "amqp:application-properties:map": _APPLICATION_PROPERTIES,
    "amqp:data:binary": _DATA,
    "amqp:amqp-sequence:list": _SEQUENCE,
    "amqp:amqp-value:*": _VALUE,
    "amqp:footer:map": _FOOTER,
}
_SMALL_DESCRIPTOR = b"\x00\x53"
_REPEATABLE = {_DATA, _SEQUENCE}
_BODY = {_DATA, _SEQUENCE, _VALUE}
_HEADER_FIELDS = 5
_PREFIXES = {code: b"\x00" + encode(ULong(code)) for code in _SECTIONS}
_TTL = 2
_DELIVERY_COUNT = 4


@dataclass(frozen=True, slots=True)
class Message:
    """A message in its sections; `encoded_properties`, `body` and `footer` as they were encoded."""

    header: list[Any] = field(default_factory=list)
    delivery_annotations: dict[Any, Any] = field(default_factory=dict)
    annotations: dict[Any, Any] = field(default_factory=dict)
    properties: list[Any] = field(default_factory=list)
    application_properties: dict[Any, Any] = field(default_factory=dict)
    encoded_properties: bytes = b""
    body: bytes = b""
    footer: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read an encoded message, whose sections may come in any order.

        The standard orders the sections, but clients do not: the Python SDK writes delivery annotations behind the
        body, rhea a footer before it, and the service takes both.

        Raises:
            CodecError: the data is not a message: an unknown section, one that comes twice, or malformed content.
        """
        found: dict[int, Any] = {}
        encoded: dict[int, bytes] = {}
        body = []
        position = 0
        while position < len(data):
            start = position
            code, value, position = _section(data, position)
            if code in found and code not in _REPEATABLE:
                raise CodecError(f"The message section 0x{code:02x} comes twice.")
            found[code], encoded[code] = value, data[start:position]
            if code in _BODY:
                body.append(encoded[code])
        return cls(
            header=found.get(_HEADER, []),
            delivery_annotations=found.get(_DELIVERY_ANNOTATIONS, {}),
            annotations=found.get(_MESSAGE_ANNOTATIONS, {}),
            properties=found.get(_PROPERTIES, []),
            application_properties=found.get(_APPLICATION_PROPERTIES, {}),
            encoded_properties=encoded.get(_PROPERTIES, b""),
            body=b"".join(body),
            footer=encoded.get(_FOOTER, b""),
        )

    @property
    def time_to_live(self) -> int | None:
        """The header's `ttl`, milliseconds."""
        ttl = self.header[_TTL] if len(self.header) > _TTL else None
        return int(ttl) if isinstance(ttl, UInt) else None

    def property_at(self, index: int) -> Any:
        """A field of the properties section (0 message-id, 4 reply-to, 5 correlation-id); None if absent."""
        return self.properties[index] if len(self.properties) > index else None

    def value(self) -> Any:
        """The body's single value.

        Raises:
            CodecError: the body is not an `amqp-value`.
        """
        if self.body:
            code, value, _ = _section(self.body, 0)
            if code == _VALUE:
                return value
        raise CodecError("The message's body is not an AMQP value.")

    def data_sections(self) -> list[bytes]:
        """The body's data sections; raises CodecError if the body is of another kind."""
        parts, position = [], 0
        while position < len(self.body):
            code, value, position = _section(self.body, position)
            if code != _DATA:
                raise CodecError("The message's body does not consist of data sections.")
            parts.append(value)
        return parts

    def delivered(
        self, delivery_count: int, delivery_annotations: dict[Any, Any], annotations: dict[Any, Any], ttl: int | None
    ) -> bytes:
        """The encoding for a receiver, in the standard's order, with the broker's values on top of the sender's."""
        header = [*self.header, *[None] * (_HEADER_FIELDS - len(self.header))]
        header[_TTL] = UInt(ttl) if ttl is not None else None
        header[_DELIVERY_COUNT] = UInt(delivery_count)
        return b"".join(
            (
                _PREFIXES[_HEADER] + encode(header),
                _map_section(_DELIVERY_ANNOTATIONS, self.delivery_annotations | delivery_annotations),
                _map_section(_MESSAGE_ANNOTATIONS, self.annotations | annotations),
                self.encoded_properties,
                _map_section(_APPLICATION_PROPERTIES, self.application_properties),
                self.body,
                self.footer,
            )
        )

    def with_message_id(self, message_id: str) -> Self:
        """A copy with this message id instead of none."""
        properties = [message_id, *self.properties[1:]]
        encoded = _PREFIXES[_PROPERTIES] + encode(properties)
        return replace(self, properties=properties, encoded_properties=encoded)

    def with_application_properties(self, changes: dict[Any, Any]) -> Self:
        """A copy that carries these application properties too."""
        return replace(self, application_properties=self.application_properties | changes)


def encode_response(correlation_id: object, application_properties: dict[str, Any], value: object) -> bytes:
    """The reply to a request: correlation id, application properties, and an AMQP value as its body."""
    properties = [None, None, None, None, None, correlation_id]
    return (
        _PREFIXES[_PROPERTIES]
        + encode(properties)
        + _PREFIXES[_APPLICATION_PROPERTIES]
        + encode(application_properties)
        + _PREFIXES[_VALUE]
        + encode(value)
    )


def _map_section(code: int, values: dict[Any, Any]) -> bytes:
    return _PREFIXES[code] + encode(values) if values else b""


def _section(data: bytes, position: int) -> tuple[int, Any, int]:
    if data.startswith(_SMALL_DESCRIPTOR, position) and position + 2 < len(data):
        # The usual form of a descriptor, read without the detour over a described value.
        descriptor: Any = data[position + 2]
        value, end = decode(data, position + 3)
    else:
        described, end = decode(data, position)
        if not isinstance(described, Described):
            raise CodecError(f"No message section starts at byte {position}.")
        descriptor, value = described
    code = _NAMES.get(descriptor) if isinstance(descriptor, str) else descriptor
    if not isinstance(code, int) or code not in _SECTIONS:
        raise CodecError("The message has an unknown section.")
    if not isinstance(value, _SECTIONS[code]):
        raise CodecError(f"The message section 0x{code:02x} holds a {type(value).__name__}.")
    return code, value, end
