"""The frame bodies of AMQP 1.0 (performatives and SASL) as named tuples, checked when they are read.

Source: http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-transport-v1.0-os.html, parts 2.7 and 5.3.3.
"""

from types import UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.values import Array, CodecError, Described, Symbol, UByte, UInt, ULong, UShort

type Fields = dict[Any, Any]


class Open(NamedTuple):
    """Opens a connection; frame sizes in bytes, time-outs in milliseconds."""

    container_id: str
    hostname: str | None = None
    max_frame_size: UInt | None = None
    channel_max: UShort | None = None
    idle_time_out: UInt | None = None
    outgoing_locales: Symbol | Array | None = None
    incoming_locales: Symbol | Array | None = None
    offered_capabilities: Symbol | Array | None = None
    desired_capabilities: Symbol | Array | None = None
    properties: dict | None = None  # type: ignore[type-arg]


class Begin(NamedTuple):
    """Begins a session on a channel."""

    remote_channel: UShort | None
    next_outgoing_id: UInt
    incoming_window: UInt
    outgoing_window: UInt
    handle_max: UInt | None = None
    offered_capabilities: Symbol | Array | None = None
    desired_capabilities: Symbol | Array | None = None
    properties: dict | None = None  # type: ignore[type-arg]


class Attach(NamedTuple):
    """Attaches a link; `role` is False for the sender's end and True for the receiver's."""

    name: str
    handle: UInt
    role: bool
    snd_settle_mode: UByte | None = None
    rcv_settle_mode: UByte | None = None
    source: Described | None = None
    target: Described | None = None
    unsettled: dict | None = None  # type: ignore[type-arg]
    incomplete_unsettled: bool | None = None
    initial_delivery_count: UInt | None = None
    max_message_size: ULong | None = None
    offered_capabilities: Symbol | Array | None = None
    desired_capabilities: Symbol | Array | None = None
    properties: dict | None = None  # type: ignore[type-arg]


class Flow(NamedTuple):
    """Updates the windows of a session and the credit of a link."""

    next_incoming_id: UInt | None
    incoming_window: UInt
    next_outgoing_id: UInt
    outgoing_window: UInt
    handle: UInt | None = None
    delivery_count: UInt | None = None
    link_credit: UInt | None = None
    available: UInt | None = None
    drain: bool | None = None
    echo: bool | None = None
    properties: dict | None = None  # type: ignore[type-arg]


class Transfer(NamedTuple):
    """Carries a message, or a part of one while `more`."""

    handle: UInt
    delivery_id: UInt | None = None
    delivery_tag: bytes | None = None
    message_format: UInt | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: UByte | None = None
    state: Described | None = None
    resume: bool | None = None
    aborted: bool | None = None
    batchable: bool | None = None


class Disposition(NamedTuple):
    """Tells the state of the deliveries from `first` to `last`."""

    role: bool
    first: UInt
    last: UInt | None = None
    settled: bool | None = None
    state: Described | None = None
    batchable: bool | None = None


class Detach(NamedTuple):
    """Detaches a link, for good if `closed`."""

    handle: UInt
    closed: bool | None = None
    error: Described | None = None


class End(NamedTuple):
    """Ends a session."""

    error: Described | None = None


class Close(NamedTuple):
    """Closes a connection."""

    error: Described | None = None


class SaslMechanisms(NamedTuple):
    """What the server accepts for signing in."""

    sasl_server_mechanisms: Symbol | Array


class SaslInit(NamedTuple):
    """What the client chose."""

    mechanism: Symbol
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslOutcome(NamedTuple):
    """0 is success, 1 a refusal."""

    code: UByte
    additional_data: bytes | None = None


type Performative = (
    Open
    | Begin
    | Attach
    | Flow
    | Transfer
    | Disposition
    | Detach
    | End
    | Close
    | SaslMechanisms
    | SaslInit
    | SaslOutcome
)

_CODES: dict[int, type[Any]] = {
    0x10: Open,
    0x11: Begin,
    0x12: Attach,
    0x13: Flow,
    0x14: Transfer,
    0x15: Disposition,
    0x16: Detach,
    0x17: End,
    0x18: Close,
    0x40: SaslMechanisms,
    0x41: SaslInit,
    0x44: SaslOutcome,
}
_PREFIXES = {kind: b"\x00" + encode(ULong(code)) for code, kind in _CODES.items()}
_NAMES: dict[str, int] = {
    "amqp:open:list": 0x10,
    "amqp:begin:list": 0x11,
    "amqp:attach:list": 0x12,
    "amqp:flow:list": 0x13,
    "amqp:transfer:list": 0x14,
    "amqp:disposition:list": 0x15,
    "amqp:detach:list": 0x16,
    "amqp:end:list": 0x17,
    "amqp:close:list": 0x18,
    "amqp:sasl-mechanisms:list": 0x40,
    "amqp:sasl-init:list": 0x41,
    "amqp:sasl-outcome:list": 0x44,
}


def _accepted_types(kind: type[Any]) -> list[tuple[type, ...]]:
    hints = get_type_hints(kind)
    return [get_args(hint) if isinstance(hint, UnionType) else (hint,) for hint in hints.values()]


_TYPES = {kind: _accepted_types(kind) for kind in _CODES.values()}


def to_bytes(performative: Performative) -> bytes:
    """The performative's encoding, without absent fields at its end."""
    fields = list(performative)
    while fields and fields[-1] is None:
        fields.pop()
    return _PREFIXES[type(performative)] + encode(fields)


def from_value(value: object) -> Performative:
    """The performative behind a decoded frame body.

    Raises:
        CodecError: it is none, or a field is missing or of the wrong type.
    """
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise CodecError("A frame's body must be a described list.")
    code = value.descriptor
    kind = _CODES.get(_NAMES.get(code, -1) if isinstance(code, str) else code) if isinstance(code, (int, str)) else None
    if kind is None:
        raise CodecError("A frame's body has an unknown descriptor.")
    fields, types = value.value, _TYPES[kind]
    if len(fields) > len(types):
        raise CodecError(f"{kind.__name__} has {len(fields)} fields instead of {len(types)}.")
    for index, (field, accepted) in enumerate(zip(fields, types, strict=False)):
        if not isinstance(field, accepted):
            name = kind._fields[index]
            raise CodecError(f"{kind.__name__}: {name} cannot be {type(field).__name__}.")
    try:
        performative: Performative = kind(*fields)
    except TypeError as error:
        raise CodecError(f"{kind.__name__} lacks a mandatory field.") from error
    return performative
