"""The table of Dataverse's refusals: which is a row's, which is everybody's, and which only has to wait."""

import json

import httpx
import pytest

from local.emulators.dataverse import Effect
from shared.adapters.dataverse.codes import CODES, Meaning, meaning, normal
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import (
    Conflict,
    KeyTaken,
    NotAuthorized,
    NotReady,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from tests.adapters.virtual import LoopClock
from tests.adapters.worlds import ASSET, World, create, creates, intent_of, only_failure, scripted

ROW_ID = "11111111-1111-1111-1111-111111111111"
PLUG_IN = "Business rule: the serial number is not known."
DEADLOCK = "Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: {}"
NO_ACCESS = f"Principal user (Id=x, type=8) does not have WriteAccess right(s) for record with id {ROW_ID}"

# status, code, text: what a part of a batch means, and what a whole request means.
TABLE = [
    *(
        (status, "0x80040265", PLUG_IN, "row", None)
        for status in (400, 401, 403, 404, 412, 417, 429, 500, 501, 502, 503)
    ),
    *((status, "0x80040224", PLUG_IN, "row", None) for status in (400, 500, 503)),
    *((status, "0x80048306", NO_ACCESS, "row", None) for status in (401, 403, 500)),
    (500, "0x80040251", "There is no active transaction.", "row", "outage"),
    (409, "0x12345678", "A plug-in's own code", "row", "race"),
    (503, "-2147220891", PLUG_IN, "row", "outage"),
    (403, "0x8004f507", "secured", "column", "column"),
    (403, "0x8004F502", "secured", "column", "column"),
    (403, "0x80040220", "Principal user is missing prvWritesalesorder privilege", "sign-in", "sign-in"),
    (403, "0x80040220", NO_ACCESS, "row", "sign-in"),
    (403, "0x80040225", "The user is disabled", "sign-in", "sign-in"),
    (403, "0x80072560", "no member of the organization", "sign-in", "sign-in"),
    *((status, code, "", "sign-in", "sign-in") for status in (401, 403) for code in ("", "0x0")),
    *((500, "0x80044150", DEADLOCK.format(number), "busy", "busy") for number in (1205, -2, 10054)),
    (500, "0x80044150", "Generic SQL error.", "busy", "busy"),
    (400, "0x80044150", DEADLOCK.format(8115), "row", "row"),
    (500, "0x80044150", DEADLOCK.format(547), "row", "outage"),
    (500, "0x80044151", "SQL timeout expired", "busy", "busy"),
    (500, "0x80040255", "rolled back", "busy", "busy"),
    (500, "0x8004418d", "no sandbox worker", "busy", "busy"),
    *(
        (status, code, "", "outage", "outage")
        for status in (302, 408, 500, 502, 503, 504)
        for code in ("", "0x80040216")
    ),
    *(
        (429, code, "", "throttled", "throttled")
        for code in ("", "0x80072322", "0x80072321", "0x80072326", "0x8005f999")
    ),
    (412, "0x80060882", "version", "race", "race"),
    *((status, "", "", "race", "race") for status in (409, 412)),
    *((412, code, "", "duplicate", "duplicate") for code in ("0x80060892", "0x80040237")),
    (412, "0x80040333", "similar", "rule", "rule"),
    *((404, code, "", "absent", "absent") for code in ("0x80040217", "0x80060891")),
    *((status, "", "", "address", "address") for status in (404, 405, 410)),
    (404, "0x8006088a", "no such set", "address", "address"),
    (400, "0x80040239", "out of range", "row", "row"),
    (400, "", "", "row", "row"),
    (413, "", "", "row", "row"),
]
ERRORS: dict[str, type[SyncError]] = {
    "row": RejectedByTarget,
    "column": RejectedByTarget,
    "rule": RejectedByTarget,
    "sign-in": NotAuthorized,
    "busy": Unavailable,
    "outage": Unavailable,
    "throttled": Throttled,
    "race": Conflict,
    "duplicate": KeyTaken,
    "absent": Conflict,
    "address": NotReady,
}


def row_id(case: tuple[object, ...]) -> str:
    return " ".join(str(part) for part in case[:2])


@pytest.mark.parametrize("case", TABLE, ids=row_id)
def test_a_refusal_means_what_the_table_says(case: tuple[int, str, str, str, str | None]) -> None:
    status, code, text, of_row, of_request = case
    assert meaning(status, normal(code), text, of_row=True) == of_row
    if of_request is not None:
        assert meaning(status, normal(code), text, of_row=False) == of_request


def test_every_code_of_the_table_is_tested() -> None:
    tested = {normal(code) for _, code, *_ in TABLE}
    missing = {code for code, what in CODES.items() if code not in tested and what is not Meaning.BUSY}
    assert missing == {"0x80072559", "0x8004a100", "0x8005f101", "0x8004f504"}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("0x80040217", "0x80040217"),
        ("0X8004F507", "0x8004f507"),
        ("80040217", "0x80040217"),
        ("-2147220969", "0x80040217"),
        (-2147220969, "0x80040217"),
        ("", ""),
        (None, ""),
        ("VALIDATION_ERROR", "validation_error"),
    ],
)
def test_a_code_has_one_form(raw: object, code: str) -> None:
    assert normal(raw) == code


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
@pytest.mark.parametrize("case", TABLE, ids=row_id)
async def test_a_part_of_a_batch_becomes_its_rows_error(
    clock: LoopClock, case: tuple[int, str, str, str, str | None], etag: str | None
) -> None:
    status, code, text, of_row, _ = case
    error = json.dumps({"error": {"code": code, "message": text}})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/Keys"):
            keys = [{"KeyAttributes": ["msdyn_assetnumber"], "EntityKeyIndexStatus": "Active"}]
            return httpx.Response(200, json={"value": keys})
        parts = request.content.count(b"Content-Type: application/http")
        part = f"--b\r\n\r\nHTTP/1.1 {status} R\r\nContent-Type: application/json\r\n\r\n{error}\r\n" * parts
        headers = {"Content-Type": "multipart/mixed; boundary=b"}
        return httpx.Response(200, headers=headers, content=f"{part}--b--\r\n".encode())

    write = DynamicsWrite("A", None if etag is None else ROW_ID, etag, {"nombre": "x"})
    gateway = scripted(clock, answer)
    (result,) = await gateway.write(ASSET, [intent_of(ASSET, write)], clock.monotonic() + 100)
    failed = only_failure(result)
    # An update's duplicate is no lost race: another row holds a value that may be there only once.
    expected = RejectedByTarget if of_row == "duplicate" and etag is not None else ERRORS[of_row]
    assert type(failed.error) is expected, failed.error
    assert (failed.error.status, failed.error.code) == (status, normal(code))
    # A lost deadlock was rolled back; only an answer that says nothing leaves a doubt.
    assert failed.unknown is (of_row == "outage")


@pytest.mark.parametrize("status", [401, 403, 404, 405, 412, 500, 501, 503])
async def test_a_chunk_that_a_plug_in_refuses_is_sent_row_by_row_whatever_the_status(world: World, status: int) -> None:
    world.plug_in("refuse", column="msdyn_serialid", value="BAD", status=status, message=PLUG_IN)
    for attempt in range(2):
        writes = [*creates(20, f"A{attempt}"), create(f"B{attempt}", numero_de_serie="BAD")]
        *good, bad = await world.write(ASSET, writes)
        assert [row for row in good if not hasattr(row, "key")] == []
        error = only_failure(bad).error
        assert type(error) is RejectedByTarget
        assert PLUG_IN.rstrip(".") in error.message
    # CreateMultiple is not given up for one plug-in's status.
    assert world.statistics.operations["create_multiple"] == 2


async def test_a_lost_deadlock_is_over_with_the_next_attempt(world: World) -> None:
    world.plug_in("refuse", times=1, status=500, code="0x80044150", message=DEADLOCK.format(1205))
    (result,) = await world.write(ASSET, [create("A")])
    assert isinstance(only_failure(result).error, Unavailable)
    assert not only_failure(result).unknown
    assert len(await world.landed(ASSET, [create("A")])) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_outage_of_the_whole_request_leaves_every_row_waiting(world: World, status: int) -> None:
    world.fault(Effect.STATUS, kind="batch", status=status, code="0x80040265")
    results = await world.write(ASSET, creates(10))
    assert {type(only_failure(result).error) for result in results} == {Unavailable}
