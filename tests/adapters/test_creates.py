"""Creates in bulk: every row lands once, or is named with the reason why not."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from local.emulators.dataverse import Effect
from local.emulators.dataverse.errors import DataverseError, Refusal
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import Conflict, KeyTaken, NotAuthorized, NotReady, RejectedByTarget, Throttled, Unavailable
from shared.flows.ports.engine import Failed
from tests.adapters.worlds import ASSET, ORDER, World, create, creates, only_failure


async def test_many_rows_are_created_and_read_back_in_one_request(world: World) -> None:
    world.client.gate.hint(8)
    rows = await world.landed(ASSET, creates(200, valor_libros="12.50"))
    assert [row.key for row in rows] == [write.key for write in creates(200)]
    assert {row.values["valor_libros"] for row in rows} == {"12.5"}
    assert all(row.etag.startswith('W/"') and row.is_open for row in rows)
    assert world.statistics.requests == {"metadata": 1, "batch": 1}
    assert world.statistics.operations["create_multiple"] == 1


async def test_what_dynamics_stored_is_what_is_answered(world: World) -> None:
    rows = await world.landed(ASSET, creates(5, valor_libros="0.125"))
    assert {row.values["valor_libros"] for row in rows} == {"0.13"}


async def test_good_rows_of_a_refused_chunk_land_and_each_bad_one_is_named(world: World) -> None:
    writes = creates(50)
    writes[7] = create("A-00007", nombre="x" * 101)
    writes[20] = create("A-00020", valor_adquisicion="1" + "0" * 16)
    writes[31] = create("K" * 101)
    writes[40] = create("A-00040", nombre=None)
    results = await world.write(ASSET, writes)
    bad = {writes[number].key: result for number, result in enumerate(results) if isinstance(result, Failed)}
    assert {key: (type(result.error), result.error.field, result.unknown) for key, result in bad.items()} == {
        "A-00007": (RejectedByTarget, "nombre", False),
        "A-00020": (RejectedByTarget, "valor_adquisicion", False),
        "K" * 101: (RejectedByTarget, "codigo_interno", False),
        "A-00040": (RejectedByTarget, "nombre", False),
    }
    assert sorted(world.rows(ASSET)) == sorted(write.key for write in writes if write.key not in bad)
    assert world.statistics.requests["batch"] == 2


def fail_on(world: World, monkeypatch: pytest.MonkeyPatch, name: str, status: int, times: int = 10_000) -> None:
    """A plug-in of the customer's that answers this status for rows of this name."""
    plain, left = world.dataverse.create, [None] * times

    def create_unless_refused(rows: Any, body: Any, caller: Any, **options: Any) -> Any:
        if body.get("msdyn_name") == name and left:
            left.pop()
            error: Any = SimpleNamespace(value=SimpleNamespace(status=status, code="0x80040216"))
            raise DataverseError(error, "An unexpected error occurred.")
        return plain(rows, body, caller, **options)

    monkeypatch.setattr(world.dataverse, "create", create_unless_refused)


@pytest.mark.parametrize(
    ("status", "kind"), [(500, Unavailable), (403, NotAuthorized), (400, RejectedByTarget), (408, Unavailable)]
)
async def test_good_rows_land_at_once_beside_one_that_fails_in_a_plug_in(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    fail_on(world, monkeypatch, "BOOM", status)
    writes = creates(50)
    writes[7] = create("A-00007", nombre="BOOM")
    results = await world.write(ASSET, writes)
    assert {n: type(result.error) for n, result in enumerate(results) if isinstance(result, Failed)} == {7: kind}
    assert world.count(ASSET) == 49
    # A row that was refused is searched for the field at fault.
    assert (world.statistics.requests["batch"] == 2) is (kind is not RejectedByTarget)
    assert only_failure(results[7]).error.field == ("nombre" if kind is RejectedByTarget else None)


async def test_a_chunk_whose_failure_passes_lands_row_by_row_without_a_second_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(world, monkeypatch, "BOOM", 500, times=1)
    assert len(await world.landed(ASSET, [*creates(9), create("Z", nombre="BOOM")])) == 10
    assert world.count(ASSET) == 10


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
async def test_a_chunk_refused_for_what_concerns_the_whole_service_is_not_sent_row_by_row(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    fail_on(world, monkeypatch, "BOOM", status)
    results = await world.write(ASSET, [*creates(9), create("Z", nombre="BOOM")])
    assert {only_failure(result).error.status for result in results} == {status}
    assert world.statistics.requests["batch"] == 1


async def test_a_row_that_exists_already_does_not_keep_the_others_from_landing(world: World) -> None:
    await world.landed(ASSET, [create("A-00003", nombre="first")])
    results = await world.write(ASSET, creates(10))
    failed = only_failure(results[3])
    assert isinstance(failed.error, Conflict)
    assert not failed.unknown
    assert failed.error.code == "0x80060892"
    assert sum(isinstance(result, Failed) for result in results) == 1
    assert world.count(ASSET) == 10
    assert world.rows(ASSET)["A-00003"]["msdyn_name"] == "first"


async def test_of_two_keys_that_dynamics_takes_for_one_the_first_lands(world: World) -> None:
    results = await world.write(ASSET, [*creates(5), create("Z"), create("z")])
    assert isinstance(only_failure(results[6]).error, Conflict)
    assert sorted(world.rows(ASSET)) == [*(write.key for write in creates(5)), "Z"]


async def test_a_table_without_create_multiple_is_asked_once_and_then_row_by_row(world: World) -> None:
    world.dataverse.tables[ASSET.table].table.bulk_messages = False
    assert len(await world.landed(ASSET, creates(20))) == 20
    assert len(await world.landed(ASSET, creates(20, "B"))) == 20
    assert world.statistics.operations["create_multiple"] == 1
    assert world.statistics.requests["batch"] == 3


async def test_a_few_rows_go_without_create_multiple(world: World) -> None:
    await world.landed(ASSET, creates(3))
    assert "create_multiple" not in world.statistics.operations


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("effect", [Effect.LOST_ANSWER, Effect.TRUNCATED])
async def test_a_lost_answer_is_unknown_and_a_repeat_makes_no_second_row(
    world: World, effect: Effect, count: int
) -> None:
    world.fault(effect, kind="batch")
    lost = await world.write(ASSET, creates(count))
    assert {(type(only_failure(result).error), only_failure(result).unknown) for result in lost} == {
        (Unavailable, True)
    }
    assert world.count(ASSET) == count
    again = await world.write(ASSET, creates(count))
    assert {type(only_failure(result).error) for result in again} == {KeyTaken}
    assert world.count(ASSET) == count
    found = await world.gateway.by_key(ASSET, [write.key for write in creates(count)])
    assert all(len(rows) == 1 for rows in found.values())


@pytest.mark.parametrize("effect", [Effect.DROPPED, Effect.RESET])
async def test_a_broken_connection_is_unknown_for_every_row(world: World, effect: Effect) -> None:
    world.fault(effect, kind="batch")
    results = await world.write(ASSET, creates(30))
    assert all(only_failure(result).unknown for result in results)
    assert world.count(ASSET) == 0


@pytest.mark.parametrize("status", [200, 404, 500, 502])
async def test_a_page_of_a_proxy_creates_nothing_and_blames_no_row(world: World, status: int) -> None:
    world.fault(Effect.HTML, kind="batch", status=status)
    results = await world.write(ASSET, creates(10))
    errors = [only_failure(result) for result in results]
    assert {type(failed.error) for failed in errors} == {NotReady if status == 404 else Unavailable}
    assert {failed.unknown for failed in errors} == {status != 404}


async def test_an_answer_later_than_the_deadline_is_unknown_at_the_deadline(world: World) -> None:
    await world.landed(ASSET, creates(1, "warm"))
    world.fault(Effect.SLOW, kind="batch", seconds=60, before=True)
    started = world.clock.monotonic()
    results = await world.write(ASSET, creates(30), seconds=20)
    assert world.clock.monotonic() - started == pytest.approx(20)
    assert all(only_failure(result).unknown for result in results)
    assert world.count(ASSET) == 1
    await world.settle()
    assert world.count(ASSET) == 31  # a late write does land: what "unknown" is for


async def test_nothing_is_sent_after_the_deadline(world: World) -> None:
    await world.landed(ASSET, creates(1, "warm"))
    world.wire.forget()
    for seconds in (0, -5):
        results = await world.write(ASSET, creates(30), seconds=seconds)
        assert {(type(only_failure(r).error), only_failure(r).unknown) for r in results} == {(Unavailable, False)}
    assert world.wire.requests == []


async def test_chunks_that_wait_for_a_place_until_the_deadline_are_not_sent(world: World) -> None:
    world.dataverse.dop_hint = 1
    await world.landed(ASSET, creates(1, "warm"))
    world.fault(Effect.SLOW, kind="batch", seconds=15, times=None)
    world.wire.forget()
    results = await world.write(ASSET, creates(1000), seconds=40)
    assert world.clock.monotonic() <= 40 + 1e-6
    landed = [result for result in results if not isinstance(result, Failed)]
    failures = [result for result in results if isinstance(result, Failed)]
    assert len(landed) == 500
    # The third chunk was under way at the deadline, the fourth never left.
    assert [failed.unknown for failed in failures] == [True] * 250 + [False] * 250
    assert len(world.wire.requests) == 3
    world.dataverse.faults.clear()


async def test_rows_created_but_not_read_back_are_unknown(world: World) -> None:
    world.wire.change = without_the_reads
    results = await world.write(ASSET, creates(10))
    assert {(type(only_failure(r).error), only_failure(r).unknown) for r in results} == {(Unavailable, True)}
    assert world.count(ASSET) == 10


async def test_a_row_that_is_read_back_with_another_id_is_not_taken_for_the_created_one(world: World) -> None:
    ids = [f"{number:08}-1111-1111-1111-111111111111" for number in range(5)]
    writes = [
        DynamicsWrite(key=write.key, id=None, etag=None, values=write.values, new_id=row_id)
        for write, row_id in zip(creates(5), ids, strict=True)
    ]
    other = b"00000009-1111-1111-1111-111111111111"
    world.wire.change = lambda response: httpx.Response(
        200, headers=response.headers, content=response.content.replace(ids[3].encode(), other)
    )
    results = await world.write(ASSET, writes)
    assert [isinstance(result, Failed) and result.unknown for result in results] == [False, False, False, True, False]


def without_the_reads(response: httpx.Response) -> httpx.Response:
    """A batch's answer of which only the first part arrived whole."""
    if "multipart" not in response.headers["Content-Type"]:
        return response
    boundary = b"--" + response.headers["Content-Type"].partition("boundary=")[2].encode()
    head, created, *_ = response.content.split(boundary)
    return httpx.Response(200, headers=response.headers, content=boundary.join([head, created, b"--\r\n"]))


@pytest.mark.parametrize(
    ("status", "kind", "unknown"),
    [(429, Throttled, False), (503, Unavailable, True), (401, NotAuthorized, False), (403, NotAuthorized, False)],
)
async def test_a_failure_of_the_whole_batch_is_every_rows_failure(
    world: World, status: int, kind: type[Exception], unknown: bool
) -> None:
    world.fault(Effect.STATUS, kind="batch", status=status, retry_after="7", times=2)
    results = [only_failure(result) for result in await world.write(ASSET, creates(10))]
    assert {(type(failed.error), failed.unknown) for failed in results} == {(kind, unknown)}
    assert world.count(ASSET) == 0


async def test_a_missing_privilege_is_our_identitys_failure_not_the_rows(world: World) -> None:
    world.deny(f"Create:{ASSET.table}")
    results = await world.write(ASSET, creates(10))
    assert {type(only_failure(result).error) for result in results} == {NotAuthorized}
    assert only_failure(results[0]).error.code == Refusal.MISSING_PRIVILEGE.value.code


async def test_an_order_is_born_with_its_own_date_and_exact_figures(world: World) -> None:
    values = {"estado": "2", "total": "99999999999.99", "fecha_creacion": "2025-12-31T23:59:59Z"}
    (row,) = await world.landed(ORDER, [DynamicsWrite(key="R-1", id=None, etag=None, values=values)])
    assert {name: row.values[name] for name in values} == values
    sent = world.wire.requests[-1].content.decode()
    assert '"overriddencreatedon":"2025-12-31T23:59:59Z"' in sent
    assert '"totalamount":99999999999.99,' in sent
    assert "statecode" not in sent.partition("\r\n\r\n{")[2]


async def test_a_status_that_no_row_can_be_born_with_is_named(world: World) -> None:
    (result,) = await world.write(ORDER, [DynamicsWrite(key="R-1", id=None, etag=None, values={"estado": "3"})])
    assert only_failure(result).error.field == "estado"
