import math
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.emulators.servicebus.amqp import values as amqp
from local.emulators.servicebus.amqp.decode import decode
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.frames import FrameReader, to_frame
from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.amqp.performatives import Begin, Disposition, Open, Performative, Transfer, from_value
from local.emulators.servicebus.amqp.values import CodecError
from local.emulators.servicebus.content import submissions_of
from local.emulators.servicebus.errors import HeaderTooLargeError, IdTooLongError, PropertyTooLargeError, QueueError


def decode_whole(data: bytes) -> Any:
    value, end = decode(data)
    assert end == len(data)
    return value


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
KINDS: list[st.SearchStrategy[Any]] = [
    st.none(),
    st.booleans(),
    unsigned(8).map(amqp.UByte),
    unsigned(16).map(amqp.UShort),
    unsigned(32).map(amqp.UInt),
    unsigned(64).map(amqp.ULong),
    signed(8).map(amqp.Byte),
    signed(16).map(amqp.Short),
    signed(32).map(amqp.Int),
    signed(64),
    signed(64).map(amqp.Timestamp),
    st.floats(allow_nan=False, width=32).map(amqp.Float),
    st.floats(allow_nan=False),
    st.characters(exclude_categories=["Cs"]).map(amqp.Char),
    st.uuids(),
    st.binary(max_size=300),
    TEXT,
    st.text(st.characters(max_codepoint=127), max_size=300).map(amqp.Symbol),
    st.binary(min_size=4, max_size=4).map(amqp.Decimal32),
    st.binary(min_size=8, max_size=8).map(amqp.Decimal64),
    st.binary(min_size=16, max_size=16).map(amqp.Decimal128),
]
SIMPLE = st.one_of(*KINDS)
ARRAYS = st.one_of(*(st.lists(kind, max_size=20).map(amqp.Array) for kind in KINDS[1:]))


def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=6),
        st.dictionaries(TEXT, children, max_size=6),
        st.builds(
            amqp.Described, st.one_of(unsigned(64).map(amqp.ULong), TEXT.filter(str.isascii).map(amqp.Symbol)), children
        ),
        st.lists(st.lists(children, max_size=4), max_size=4).map(amqp.Array),
        st.lists(st.dictionaries(TEXT, children, max_size=3), max_size=4).map(amqp.Array),
        st.lists(ARRAYS, max_size=4).map(amqp.Array),
    )


VALUES = st.recursive(st.one_of(SIMPLE, ARRAYS), nested, max_leaves=20)


def typed(value: Any) -> Any:
    """The value with the type of everything in it, since 1 == True and a symbol equals a string."""
    if isinstance(value, amqp.Described):
        return amqp.Described, typed(value.descriptor), typed(value.value)
    if isinstance(value, list):
        return type(value), [typed(item) for item in value]
    if isinstance(value, dict):
        return dict, [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, float):
        return type(value), struct.pack(">d", value)
    return type(value), value


@given(VALUES)
def test_every_value_comes_back_as_it_was_with_its_type(value: Any) -> None:
    assert typed(decode_whole(encode(value))) == typed(value)


@given(
    st.lists(
        st.builds(amqp.Described, st.just(amqp.ULong(3)), unsigned(32).map(amqp.UInt)), min_size=1, max_size=5
    ).map(amqp.Array)
)
def test_an_array_of_described_values_comes_back(value: amqp.Array) -> None:
    assert typed(decode_whole(encode(value))) == typed(value)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [  # the examples and the table of encodings in part 1 of the specification
        ("40", None),
        ("41", True),
        ("5600", False),
        ("43", amqp.UInt(0)),
        ("52ff", amqp.UInt(255)),
        ("7000000100", amqp.UInt(256)),
        ("53 10", amqp.ULong(16)),
        ("54ff", amqp.Int(-1)),
        ("55 80", -128),
        ("a1 03 c2a3 21", "£!"),
        ("a3 05 6865 6c6c6f", amqp.Symbol("hello")),
        ("83 0000000000000001", amqp.Timestamp(1)),
        ("45", []),
        ("c0 03 02 41 42", [True, False]),
        ("c1 05 02 a1 01 61 40", {"a": None}),
        ("e0 04 02 50 01 02", amqp.Array([amqp.UByte(1), amqp.UByte(2)])),
        ("73 0001f600", amqp.Char("\N{GRINNING FACE}")),
        ("98 00112233445566778899aabbccddeeff", UUID("00112233-4455-6677-8899-aabbccddeeff")),
    ],
)
def test_the_encodings_of_the_specification_are_read(encoded: str, value: Any) -> None:
    assert typed(decode_whole(bytes.fromhex(encoded))) == typed(value)


def test_not_a_number_comes_back() -> None:
    assert math.isnan(decode_whole(encode(math.nan)))


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x00\x53\x14", b"\xc0", b"\xd1", b"\xf0", b"\xe0"]))
def test_hostile_bytes_raise_nothing_but_the_codecs_own_error(noise: bytes, start: bytes) -> None:
    for read in (decode, Message.parse, lambda data: submissions_of(0x80013700, data)):
        try:
            read(start + noise)
        except CodecError:
            continue


@given(VALUES, st.data())
def test_a_cut_value_is_refused(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CodecError):
        decode_whole(encoded[:cut])


@given(VALUES, st.data())
def test_a_changed_byte_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(encoded))
    except CodecError:
        return


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",  # four billion nulls in ten bytes
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",  # four billion elements in none
        b"\xb0\xff\xff\xff\xff",
        b"\x00" * 100_000,
        b"\xc0\x02\x01" * 100_000,
        b"\xc1\x04\x03\x41\x41\x41",  # a key without a value
        b"\xc1\x05\x04\x41\x41\x41\x42",  # the same key twice
        b"\xc1\x04\x02\x45\x41\x40",
        b"\x73\x00\x11\x00\x00",  # beyond Unicode
        b"\x56\x02",
        b"\xa1\x01\xff",
        b"\x3f",
        b"",
    ],
)
def test_a_bomb_or_nonsense_is_refused_at_once(encoded: bytes) -> None:
    with pytest.raises(CodecError):
        decode_whole(encoded)


@pytest.mark.parametrize(
    "value",
    [1j, object(), 1 << 63, amqp.UInt(1 << 32), amqp.UByte(-1), amqp.Array([1, "a"]), amqp.Symbol("ñ"), {1: 2j}],
)
def test_what_amqp_cannot_express_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        encode(value)


def test_a_timestamp_is_an_instant_to_the_millisecond() -> None:
    instant = datetime(2026, 2, 3, 4, 5, 6, 789_999, tzinfo=UTC)
    assert amqp.Timestamp.of(instant).instant() == instant.replace(microsecond=789_000)


FRAMES: list[tuple[int, Performative, bytes]] = [
    (0, Open("client", max_frame_size=amqp.UInt(4096)), b""),
    (7, Begin(None, amqp.UInt(0), amqp.UInt(10), amqp.UInt(10)), b""),
    (7, Transfer(amqp.UInt(0), amqp.UInt(1), b"tag", more=False), b"payload"),
    (255, Disposition(role=True, first=amqp.UInt(1)), b""),
]


@given(st.lists(st.integers(1, 40), max_size=30))
def test_frames_are_cut_out_of_the_stream_however_it_is_split(cuts: list[int]) -> None:
    stream = b"".join(to_frame(performative, channel, payload) for channel, performative, payload in FRAMES)
    reader, read = FrameReader(4096), []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        reader.feed(piece)
        while (frame := reader.frame()) is not None:
            read.append((frame.channel, frame.performative, frame.payload))
    assert read == FRAMES


@pytest.mark.parametrize(
    "header", ["00001001 02000000", "00000007 02000000", "00000008 01000000", "00000008 03000000", "00000009 02050000"]
)
def test_a_malformed_or_oversize_frame_is_refused_from_its_header(header: str) -> None:
    reader = FrameReader(4096)
    reader.feed(bytes.fromhex(header))
    with pytest.raises(CodecError):
        reader.frame()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        amqp.Described(amqp.ULong(0x99), []),
        amqp.Described([], []),
        amqp.Described(amqp.ULong(0x10), "x"),
        amqp.Described(amqp.ULong(0x10), []),
        amqp.Described(amqp.ULong(0x10), [1]),
        amqp.Described(amqp.ULong(0x15), [True, amqp.UInt(1), None, None, None, None, None]),
        amqp.Described(amqp.Symbol("amqp:nonsense:list"), []),
    ],
)
def test_a_frame_body_that_is_no_performative_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        from_value(value)


def test_a_performative_may_be_named_by_its_symbol() -> None:
    assert from_value(amqp.Described(amqp.Symbol("amqp:open:list"), ["me"])) == Open("me")


SECTIONS = {
    "header": amqp.Described(amqp.ULong(0x70), [None, None, amqp.UInt(5000), None, amqp.UInt(3)]),
    "delivery annotations": amqp.Described(amqp.ULong(0x71), {amqp.Symbol("hop"): 1}),
    "annotations": amqp.Described(amqp.ULong(0x72), {amqp.Symbol("x-opt-partition-key"): "p"}),
    "properties": amqp.Described(amqp.ULong(0x73), ["id", None, "to"]),
    "application properties": amqp.Described(amqp.ULong(0x74), {"a": amqp.Int(1)}),
    "body": amqp.Described(amqp.ULong(0x75), b"data"),
    "footer": amqp.Described(amqp.ULong(0x78), {amqp.Symbol("checksum"): 3}),
}


SECTION_NAMES = list(SECTIONS)


@given(st.permutations(SECTION_NAMES))
def test_a_message_keeps_what_it_carried_in_any_order_and_gains_what_the_broker_says(order: list[str]) -> None:
    message = Message.parse(b"".join(encode(SECTIONS[name]) for name in order))
    assert (message.time_to_live, message.property_at(0), message.property_at(9)) == (5000, "id", None)
    token = UUID(int=7)
    encoded = message.delivered(
        1, {amqp.Symbol("x-opt-lock-token"): token}, {amqp.Symbol("x-opt-sequence-number"): 42}, 100
    )
    delivered = Message.parse(encoded)
    assert delivered.header == [None, None, amqp.UInt(100), None, amqp.UInt(1)]
    assert delivered.delivery_annotations == {"hop": 1, "x-opt-lock-token": token}
    assert delivered.annotations == {"x-opt-partition-key": "p", "x-opt-sequence-number": 42}
    assert delivered.application_properties == {"a": 1}
    assert delivered.encoded_properties == encode(SECTIONS["properties"])
    assert delivered.data_sections() == [b"data"]
    assert delivered.footer == encode(SECTIONS["footer"])
    # Receivers get the standard's order, whatever the sender's was.
    assert [encoded.index(b"\x00\x53" + bytes([code])) for code in range(0x70, 0x76)] == sorted(
        encoded.index(b"\x00\x53" + bytes([code])) for code in range(0x70, 0x76)
    )


@pytest.mark.parametrize("name", ["header", "annotations", "properties", "application properties", "footer"])
def test_a_message_with_a_section_twice_is_refused(name: str) -> None:
    with pytest.raises(CodecError, match="comes twice"):
        Message.parse(encode(SECTIONS[name]) + encode(SECTIONS["body"]) + encode(SECTIONS[name]))


def test_a_message_without_an_id_is_given_one_of_its_own_that_is_no_key_for_duplicates() -> None:
    submissions = [submissions_of(0, encode(SECTIONS["body"]))[0] for _ in range(2)]
    assert [each.message_id for each in submissions] == [None, None]
    ids = {Message.parse(each.content.delivered(0, {}, {}, None)).property_at(0) for each in submissions}
    assert len(ids) == 2
    assert None not in ids


def sized(*, message_id: str = "id", session_id: str = "s", **properties: str) -> bytes:
    fields = [message_id, *[None] * 9, session_id]
    return encode(amqp.Described(amqp.ULong(0x73), fields)) + encode(amqp.Described(amqp.ULong(0x74), dict(properties)))


AT_THE_LIMIT = "x" * 32_768


@pytest.mark.parametrize(
    ("encoded", "refusal"),
    [
        pytest.param(sized(a=AT_THE_LIMIT), None, id="a property of 32 KiB"),
        pytest.param(sized(a=AT_THE_LIMIT + "x"), PropertyTooLargeError, id="a property above 32 KiB"),
        pytest.param(sized(a="ñ" * 16_385), PropertyTooLargeError, id="bytes count and not characters"),
        pytest.param(sized(a="x" * 32_000, b="x" * 32_000), None, id="properties below 64 KiB together"),
        pytest.param(sized(a=AT_THE_LIMIT, b=AT_THE_LIMIT), HeaderTooLargeError, id="properties above 64 KiB together"),
        pytest.param(sized(message_id="x" * 128), None, id="a message id of 128 characters"),
        pytest.param(sized(message_id="x" * 129), IdTooLongError, id="a message id of 129 characters"),
        pytest.param(sized(session_id="x" * 129), IdTooLongError, id="a session id of 129 characters"),
    ],
)
def test_the_services_limits_on_properties_hold(encoded: bytes, refusal: type[QueueError] | None) -> None:
    if refusal is None:
        assert len(submissions_of(0, encoded)) == 1
    else:
        with pytest.raises(refusal):
            submissions_of(0, encoded)
