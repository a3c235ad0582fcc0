"""The CMMS client against the real Django app on a real port."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Any, cast

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp

from local.emulators.identity.tests.serving import serving
from shared.adapters.clock import SystemClock
from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.row_hasher import UNUSABLE
from shared.domain.model import CmmsRecord
from shared.domain.write import Intent
from shared.errors import Conflict, KeyTaken, MappingError, NotAuthorized, NotReady, RejectedByTarget, Unavailable
from shared.flows.ports.engine import Failed
from tests.adapters.virtual import LoopClock
from tests.adapters.worlds import ASSET, ORDER, only_failure, record_write

pytestmark = [pytest.mark.real_time, pytest.mark.django_db(transaction=True)]

TOKEN = "the-token-of-these-tests"
AWKWARD = ["a/b", "/a", "a/", "..", ".", "a%2Fb", "a?b#c", "ñandú 資", "consulta", "a+b&c=d", "'\"", "a\\b"]


@pytest.fixture
async def url(settings: Any, no_proxy: None) -> AsyncIterator[str]:
    changed = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed["TOKENS"] = [TOKEN]
    settings.INTEGRACION_DYNAMICS = changed
    async with serving(cast("ASGIApp", get_asgi_application())) as url:
        yield url


@pytest.fixture
async def cmms(url: str) -> AsyncIterator[CmmsGateway]:
    gateway = CmmsGateway(url, TOKEN, SystemClock())
    yield gateway
    await gateway.aclose()


def model(name: str) -> Any:
    """A model of the demo project, which is a package of its own."""
    return apps.get_model("inventario", name)


async def write(gateway: CmmsGateway, *writes: Intent, seconds: float = 60) -> list[CmmsRecord | Failed]:
    return list(await gateway.write(ASSET, writes, SystemClock().monotonic() + seconds))


async def stored(gateway: CmmsGateway, *writes: Intent) -> list[CmmsRecord]:
    results = await write(gateway, *writes)
    assert [result for result in results if isinstance(result, Failed)] == []
    return [result for result in results if isinstance(result, CmmsRecord)]


def new(key: str, **values: str | None) -> Intent:
    """A create whose operation is named after its key."""
    operation = sha256(key.encode()).hexdigest()[:20]
    return record_write(None, None, {"codigo_interno": key, "nombre": "Bomba"} | values, operation)


def records(found: Mapping[str, CmmsRecord | MappingError]) -> dict[str, CmmsRecord]:
    """What was read, where all of it is readable."""
    return {name: one for name, one in found.items() if isinstance(one, CmmsRecord)}


async def test_any_key_is_created_found_and_updated(cmms: CmmsGateway) -> None:
    created = await stored(cmms, *(new(key) for key in AWKWARD))
    assert [record.key for record in created] == AWKWARD
    found = records(await cmms.by_key(ASSET, AWKWARD))
    assert set(found) == set(AWKWARD)
    written = await stored(
        cmms, *(record_write(found[key].id, found[key].etag, {"nombre": f"{key}!"}) for key in AWKWARD)
    )
    assert [record.values["nombre"] for record in written] == [f"{key}!" for key in AWKWARD]


async def test_the_answer_of_a_write_is_the_record_as_stored(cmms: CmmsGateway) -> None:
    values = {"valor_libros": "1234567890.1", "fecha_adquisicion": "2026-02-28", "numero_de_serie": None}
    (record,) = await stored(cmms, new("A", **values))
    assert {name: record.values[name] for name in values} == values
    assert record.version is not None
    assert (await cmms.by_key(ASSET, ["A"]))["A"] == record
    assert (await cmms.by_id(ASSET, [record.id]))[record.id] == record
    (record,) = await stored(cmms, record_write(record.id, record.etag, {"valor_libros": None}))
    assert record.values["valor_libros"] is None
    assert record.values["fecha_adquisicion"] == "2026-02-28"


async def test_a_record_shows_the_names_of_the_writes_that_it_took(cmms: CmmsGateway) -> None:
    values = {"codigo_interno": "A", "nombre": "Bomba"}
    (made,) = await stored(cmms, record_write(None, None, values, operation="make"))
    await stored(cmms, record_write(made.id, made.etag, {"nombre": "Motor"}, operation="change"))
    await write(cmms, record_write(made.id, made.etag, {"nombre": "late"}, operation="late"))
    found = records(await cmms.by_id(ASSET, [made.id]))[made.id]
    assert (found.operations, found.last_operation, found.by_us) == (("make", "change"), "change", True)


async def test_a_create_is_done_once_for_its_operation_and_answers_what_it_made(cmms: CmmsGateway) -> None:
    (made,) = await stored(cmms, new("A"))
    await stored(cmms, record_write(made.id, made.etag, {"nombre": "Motor"}, operation="change"))
    (again,) = await write(cmms, new("A"))
    assert isinstance(again, Failed)
    assert isinstance(again.error, Conflict)
    assert isinstance(again.row, CmmsRecord)
    assert (again.row.id, again.row.values["nombre"]) == (made.id, "Motor")
    assert [len(page) async for page in cmms.pages(ASSET)] == [1]


async def test_a_deleted_record_is_read_as_a_tombstone_and_an_unknown_one_is_absent(cmms: CmmsGateway) -> None:
    first, second = await stored(cmms, new("A"), new("B"))
    await sync_to_async(lambda: model("Activo").objects.get(codigo_interno="A").delete())()
    found = records(await cmms.by_id(ASSET, [first.id, second.id, "never"]))
    assert {name: record.deleted for name, record in found.items()} == {first.id: True, second.id: False}
    assert (found[first.id].values, found[first.id].key) == ({}, "A")
    assert found[first.id].version is not None
    assert set(await cmms.by_key(ASSET, ["A", "B", "C"])) == {"B"}


async def test_a_record_is_found_by_its_id_under_whatever_key_it_has_now(cmms: CmmsGateway) -> None:
    first, second = await stored(cmms, new("A"), new("B"))
    assets = model("Activo").objects
    await sync_to_async(lambda: assets.get(codigo_interno="B").delete())()
    renamed = await sync_to_async(assets.get)(codigo_interno="A")
    renamed.codigo_interno = "C"
    await sync_to_async(renamed.save)()
    found = records(await cmms.by_id(ASSET, [first.id, second.id, "never"]))
    assert {name: (record.key, record.deleted) for name, record in found.items()} == {
        first.id: ("C", False),
        second.id: ("B", True),
    }


async def test_every_record_is_read_once_page_by_page(cmms: CmmsGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.cmms.client.PAGE", 4)
    orders = model("Requisicion")
    rows = [orders(numero_requisicion=f"R-{number}") for number in range(10)]
    await sync_to_async(orders.objects.bulk_create)(rows)
    pages = [[record.key for record in page] async for page in cmms.pages(ORDER)]
    assert [len(page) for page in pages] == [4, 4, 2]
    assert sorted(key for page in pages for key in page) == sorted(row.numero_requisicion for row in rows)
    assert len(await cmms.by_key(ORDER, [row.numero_requisicion for row in rows])) == 10


async def test_lost_races_conflict_and_change_nothing(cmms: CmmsGateway) -> None:
    (first,) = await stored(cmms, new("A"))
    await stored(cmms, record_write(first.id, first.etag, {"nombre": "by another"}))
    another = record_write(None, None, {"codigo_interno": "A", "nombre": "x"}, operation="another-create")
    late, twice, gone = await write(
        cmms,
        record_write(first.id, first.etag, {"nombre": "late"}),
        another,
        record_write("99", first.etag, {"nombre": "x"}),
    )
    assert [(only_failure(one).error.status, only_failure(one).unknown) for one in (late, twice, gone)] == [
        (412, False),
        (409, False),
        (404, False),
    ]
    assert [type(only_failure(one).error) for one in (late, twice, gone)] == [Conflict, KeyTaken, Conflict]
    assert records(await cmms.by_key(ASSET, ["A"]))["A"].values["nombre"] == "by another"


async def test_a_refused_value_names_its_field(cmms: CmmsGateway) -> None:
    good, bad = await write(cmms, new("A"), new("B", nombre="x" * 201))
    assert isinstance(good, CmmsRecord)
    failed = only_failure(bad)
    assert (type(failed.error), failed.error.field, failed.error.status) == (RejectedByTarget, "nombre", 422)
    assert not failed.unknown


async def test_a_wrong_token_is_not_authorized_and_not_shown(url: str) -> None:
    gateway = CmmsGateway(url, "a-wrong-token-of-somebody", SystemClock())
    with pytest.raises(NotAuthorized, match="CMMS_TOKEN") as caught:
        await gateway.by_key(ASSET, ["A"])
    assert isinstance(only_failure((await write(gateway, new("A")))[0]).error, NotAuthorized)
    assert "a-wrong-token" not in caught.value.message
    await gateway.aclose()


async def test_a_wrong_entity_or_address_is_the_set_ups_fault_not_the_records(cmms: CmmsGateway, url: str) -> None:
    other = ASSET.model_copy(update={"cmms": "equipos"})
    with pytest.raises(NotReady, match="CMMS_BASE_URL"):
        await cmms.by_key(other, ["A"])
    (result,) = await cmms.write(other, [new("A")], SystemClock().monotonic() + 10)
    assert isinstance(only_failure(result).error, NotReady)
    elsewhere = CmmsGateway(f"{url}/demo", TOKEN, SystemClock())
    with pytest.raises(NotReady):
        await elsewhere.by_key(ASSET, ["A"])
    await elsewhere.aclose()


async def test_nobody_listening_is_known_not_to_have_written(unused_tcp_port: int, no_proxy: None) -> None:
    gateway = CmmsGateway(f"http://127.0.0.1:{unused_tcp_port}", TOKEN, SystemClock())
    failed = only_failure((await write(gateway, new("A")))[0])
    assert (type(failed.error), failed.unknown) == (Unavailable, False)
    await gateway.aclose()


async def test_a_write_without_an_answer_in_time_is_unknown_and_none_is_sent_after_the_deadline(
    clock: LoopClock,
) -> None:
    sent: list[httpx.Request] = []

    async def never(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        await asyncio.sleep(60)
        raise AssertionError("the client should have given up")

    gateway = CmmsGateway("https://cmms.example", TOKEN, clock, httpx.MockTransport(never))
    results = await gateway.write(ASSET, [new(str(number)) for number in range(6)], clock.monotonic() + 0.2)
    # Four at a time: the other two had their turn when the time was over.
    assert [only_failure(result).unknown for result in results] == [True] * 4 + [False] * 2
    assert len(sent) == 4
    await gateway.aclose()


def showing(*records: dict[str, Any]) -> httpx.MockTransport:
    """A CMMS that answers every list with these records."""
    return httpx.MockTransport(lambda _: httpx.Response(200, json={"resultados": list(records), "siguiente": None}))


GOOD: dict[str, Any] = {
    "id": "1",
    "clave": "A",
    "etag": '"1"',
    "version": "2026-01-31T12:00:00Z",
    "campos": {"nombre": "Bomba"},
}


@pytest.mark.parametrize(
    ("member", "wrong", "why"),
    [
        ("version", "2026-01-31T12:00:00", "without an offset from UTC"),
        ("version", 5, "is a number"),
        ("campos", "secreto", "is text of 7 characters, not an object"),
        ("etag", "", "no usable etag"),
        ("etag", "\u00f1", "no usable etag"),
        ("operaciones", [5], "is a number, not text"),
    ],
)
async def test_a_record_of_unusable_form_is_a_failure_of_its_own_key_that_says_what_is_wrong(
    clock: LoopClock, member: str, wrong: object, why: str
) -> None:
    transport = showing(GOOD, {**GOOD, "clave": "B", member: wrong}, {**GOOD, "clave": "C"})
    gateway = CmmsGateway("https://cmms.example", TOKEN, clock, transport)
    found = await gateway.by_key(ASSET, ["A", "B", "C"])
    assert {key for key, one in found.items() if isinstance(one, CmmsRecord)} == {"A", "C"}
    error = found["B"]
    assert isinstance(error, MappingError)
    assert error.field == member
    assert f"The record B of the CMMS's {ASSET.cmms} cannot be read, as its {member} " in error.message
    assert why in error.message
    await gateway.aclose()


@pytest.mark.parametrize(
    "raw", [{**GOOD, "clave": None}, {**GOOD, "clave": 5}, {**GOOD, "clave": ""} | {"etag": ""}, [], 7]
)
async def test_a_record_that_does_not_name_itself_spoils_the_whole_answer(clock: LoopClock, raw: Any) -> None:
    """Which key it is of, and so which key is absent, cannot be told."""
    gateway = CmmsGateway("https://cmms.example", TOKEN, clock, showing(GOOD, raw))
    with pytest.raises(Unavailable, match="without a usable clave"):
        await gateway.by_key(ASSET, ["A", "B"])
    await gateway.aclose()


async def test_a_list_goes_on_past_a_record_without_usable_fields_which_is_then_looked_at_closely(
    clock: LoopClock,
) -> None:
    full = {**GOOD, "campos": dict.fromkeys(ASSET.fields) | {"codigo_interno": "A"}}
    unusable: list[Any] = [None, [], "x", {}]
    spoilt = [{**full, "clave": f"B{n}", "campos": campos} for n, campos in enumerate(unusable)]
    gateway = CmmsGateway("https://cmms.example", TOKEN, clock, showing(spoilt[0], full, *spoilt[1:]))
    (page,) = [page async for page in gateway.hashes(ASSET)]
    assert [(key, row_hash == UNUSABLE) for _, key, row_hash in page] == [
        ("B0", True), ("A", False), ("B1", True), ("B2", True), ("B3", True),
    ]  # fmt: skip
    await gateway.aclose()
