"""The work of reading grows with the length of what is read, whatever stands in it.

A queue takes bodies of 256 KB and the webhook of 1 MiB, and both are read on the worker's one event loop.
"""

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator

import pytest

from shared.domain import jsontext
from shared.domain.messages.events import parse_event
from shared.domain.messages.history import read_history
from shared.domain.messages.webhook import parse_notification
from shared.domain.schema.mapping import parse_mapping
from shared.errors import ConfigurationError, InvalidMessage, KeyNotUsable, MappingError
from shared.settings import DOCUMENT_MAPPING
from tests.fakes import captured, document_mapping

MAPPING = document_mapping()
ASSET = MAPPING.entities["asset"]
SMALL, TIMES = 16_000, 8
# Eight times as much takes about eight times as long where the work is linear, and 64 times where it is quadratic.
MOST: float = TIMES * 3.0


def distinct(size: int, form: str = '"m{}":0') -> list[str]:
    return [form.format(number) for number in range(size // 10)]


def members(*parts: str) -> str:
    return "{" + ",".join(parts) + "}"


SHAPES: dict[str, Callable[[int], str]] = {
    "many members, the first one doubled at the end": lambda size: members(*distinct(size), '"m0":0'),
    "many members, the last one doubled": lambda size: members(*distinct(size), '"a":0,"a":0'),
    "every member doubled": lambda size: members(*distinct(size // 2), *distinct(size // 2)),
    "many members, none doubled": lambda size: members(*distinct(size)),
    "many members that are null": lambda size: members(*distinct(size, '"m{}":null')),
    "many small objects": lambda size: "[" + ",".join(['{"a":0}'] * (size // 8)) + "]",
    "deep and wide": lambda size: "[" * 190 + ",".join(["[]"] * (size // 3)) + "]" * 190,
    "deeper than is read": lambda size: "[" * size,
    "a long decimal": lambda size: "0." + "7" * size,
    "a long whole number": lambda size: "7" * size,
    "many long whole numbers": lambda size: "[" + ",".join(["7" * 4000] * (size // 4000)) + "]",
    "many large exponents": lambda size: "[" + ",".join(["1e999999"] * (size // 9)) + "]",
    "a long text": lambda size: json.dumps("x" * size),
    "a long text of escapes": lambda size: json.dumps("\u00e1" * (size // 6)),
    "a long text of half pairs": lambda size: json.dumps("\ud800" * (size // 6)),
    "many blanks": lambda size: " " * size + "0",
    "a long text that is a date at first": lambda size: json.dumps("2026-01-31T00:00:00." + "0" * size),
    "a text of blanks": lambda size: json.dumps(" " * size + "x" + " " * size),
}


def event(body: str) -> None:
    parse_event(body).to_json()


def attribute(body: str) -> None:
    event(members(captured("cmms_asset_upserted").decode().strip()[1:-1], f'"extension":{body}'))


def attributes(body: str) -> None:
    inner = body[1:-1] if body.startswith("{") else f'"subject":{body}'
    event(members(captured("cmms_asset_upserted").decode().strip()[1:-1], inner))


def data(body: str) -> None:
    head = '"specversion":"1.0","id":"1","source":"/t","type":"energy.asset.upserted"'
    payload = parse_event(members(head, f'"data":{body}')).payload(ASSET)
    ASSET.usable_key(getattr(payload, "key", None))


def key(body: str) -> None:
    data(members(f'"key":{body},"id":{body},"version":{body}'))


def values(body: str) -> None:
    head = '"specversion":"1.0","id":"1","source":"/t","type":"energy.asset.upserted"'
    fields = ",".join(f'"{name}":{body}' for name in ("nombre", "valor_adquisicion", "fecha_adquisicion"))
    payload = parse_event(members(head, f'"data":{{"key":"1","fields":{{{fields}}}}}')).payload(ASSET)
    for name, raw in getattr(payload, "fields", {}).items():
        ASSET.fields[name].from_cmms(raw)


def native(body: str) -> None:
    names = '"MessageName":"Update","PrimaryEntityName":"msdyn_customerasset"'
    parse_notification(members(names, f'"PrimaryEntityId":{body},"OwningExtension":{body}').encode(), MAPPING)


def document(body: str) -> None:
    parse_notification(members(f'"eventType":"asset.updated","data":{body}').encode(), MAPPING)


def document_key(body: str) -> None:
    document(members(f'"msdyn_assetnumber":{body}'))


def loads_and_dumps(body: str) -> None:
    jsontext.dumps(jsontext.loads(body))


READERS: list[Callable[[str], object]] = [
    loads_and_dumps,
    jsontext.parse,
    event,
    attribute,
    attributes,
    data,
    key,
    values,
    native,
    document,
    document_key,
    read_history,
]


def seconds(read: Callable[[str], object], text: str) -> float:
    """The least CPU time of some runs: noise only adds."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        with contextlib.suppress(InvalidMessage, jsontext.JsonError, KeyNotUsable, ConfigurationError, MappingError):
            read(text)
        best = min(best, time.process_time() - started)
    return best


def grows_linearly(read: Callable[[str], object], small: str, large: str) -> bool:
    """Whether the longer text takes about as many times as long. A busy machine may spoil a measurement, not all."""
    # Below a millisecond the clock and the interpreter's own steps tell more than the work.
    return any(seconds(read, large) < max(seconds(read, small), 0.001) * MOST for _ in range(4))


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Without the garbage collector, which walks all that the other tests have left, at moments of its own."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_time_to_read_a_message_grows_with_its_length_and_no_faster(shape: str) -> None:
    small, large = SHAPES[shape](SMALL), SHAPES[shape](SMALL * TIMES)
    for read in READERS:
        assert grows_linearly(read, small, large), read


@pytest.mark.parametrize("what", ["fields", "aliases", "choices", "columns doubled", "names doubled"])
def test_the_time_to_read_a_mapping_grows_with_its_length_and_no_faster(what: str) -> None:
    def parse(text: str) -> None:
        parse_mapping(text, "test")

    small, large = mapping_of(what, 50), mapping_of(what, 50 * TIMES)
    assert grows_linearly(parse, small, large)


def mapping_of(what: str, count: int) -> str:
    """The document's mapping with more of something; the last two are refused."""
    numbers = range(count)
    more = {
        "fields": "\n".join(f'f{n} = {{ column = "c{n}", type = "string" }}' for n in numbers),
        "aliases": f"f = {{ column = 'c', type = 'string', aliases = [{', '.join(f"'a{n}'" for n in numbers)}] }}",
        "choices": "f = { column = 'c', type = 'choice', to_dynamics_choices = {"
        + ", ".join(f"o{n} = {{ status = {n} }}" for n in numbers)
        + "}, to_cmms_choices = {"
        + ", ".join(f"{n} = 'o{n}'" for n in numbers)
        + "} }",
        "columns doubled": "\n".join(f'f{n} = {{ column = "c", type = "string" }}' for n in numbers),
        "names doubled": "\n".join(f'f{n} = {{ column = "c{n}", type = "string", aliases = ["a"] }}' for n in numbers),
    }
    text = DOCUMENT_MAPPING.read_text(encoding="utf-8")
    return text.replace("[entities.asset.fields]\n", f"[entities.asset.fields]\n{more[what]}\n")
