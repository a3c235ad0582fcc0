"""What is particular to the ledger in an Azure table: requests, faults, and rows that people have touched."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Self

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.exceptions import ClientAuthenticationError

from shared.adapters.ledger import AzureTableLedger
from shared.adapters.ledger.rows import name_of
from shared.domain.link import Identity, Stored
from shared.errors import (
    ConfigurationError,
    LedgerUnreadable,
    LinkTooLarge,
    NotAuthorized,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from tests.ledger.proxy import Fault, Proxy, proxy, service_error
from tests.ledger.store import (
    NOW,
    by_key,
    changed,
    cmms,
    conflict,
    filled,
    find,
    fresh,
    hashed,
    keys,
    row,
    stored_one,
    with_identities,
    write_one,
)


@pytest.fixture
async def between(table_url: str) -> AsyncIterator[Proxy]:
    async with proxy(table_url) as state:
        yield state


@pytest.fixture
async def ledger(between: Proxy) -> AsyncIterator[AzureTableLedger]:
    """A ledger with one link, behind the proxy."""
    one = AzureTableLedger(between.url, retry_backoff_factor=0.01)
    await one.write("asset", [fresh(cmms("first"))])
    between.asked.clear()
    yield one
    await one.close()


@pytest.fixture
async def impatient(between: Proxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AzureTableLedger]:
    monkeypatch.setattr("shared.adapters.ledger.table._PAUSE", 0)
    one = AzureTableLedger(between.url, retry_total=0)
    yield one
    await one.close()


def batch(request: web.Request) -> bool:
    return request.path.endswith("$batch")


@contextmanager
def refused_as(kind: type[SyncError]) -> Iterator[pytest.ExceptionInfo[SyncError]]:
    with pytest.raises(kind) as info:
        yield info
    assert info.type is kind
    assert "SECRET-ECHO" not in str(info.value)


async def delete_by_hand(ledger: AzureTableLedger, identity: Identity) -> None:
    await ledger._table.client.delete_entity("asset", name_of(identity))


async def put_by_hand(ledger: AzureTableLedger, identity: Identity, **row: object) -> None:
    await ledger._table.client.upsert_entity({"PartitionKey": "asset", "RowKey": name_of(identity), **row})


async def test_a_batch_of_500_takes_few_requests(between: Proxy, ledger: AzureTableLedger) -> None:
    ids = [(cmms(f"{number}"), row(f"{number}")) for number in range(500)]
    written = [one for one in await ledger.write("asset", [fresh(*each) for each in ids]) if isinstance(one, Stored)]
    assert len(written) == 500
    assert len(between.asked) == 10
    between.asked.clear()
    again = await ledger.write("asset", [changed(one, key="x") for one in written])
    assert all(isinstance(one, Stored) for one in again)
    assert len(between.asked) == 5


async def test_a_cmms_id_costs_one_read_and_a_row_id_two(between: Proxy, ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh(cmms("1"), row("1")), fresh(row("2"))])
    for identity, reads in ((cmms("1"), 1), (row("1"), 2), (row("2"), 1), (cmms("none"), 1)):
        between.asked.clear()
        await find(ledger, identity)
        assert len(between.asked) == reads


LOST = pytest.mark.parametrize("fault", [Fault(), Fault(unseen=True)], ids=["after", "before"])


@LOST
async def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(
    between: Proxy, ledger: AzureTableLedger, fault: Fault
) -> None:
    first = (await find(ledger, cmms("first")))[cmms("first")]
    between.when, between.faults = batch, [fault]
    written = await ledger.write("asset", [fresh(cmms("1"), row("1")), fresh(by_key("2")), changed(first, key="x")])
    assert all(isinstance(one, Stored) for one in written)
    assert not between.faults
    assert list((await find(ledger, row("1"), by_key("2"), cmms("first"))).values()) == list(written)


@LOST
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((row("1"),), (cmms("1"), row("1"))),
        ((cmms("1"), row("1")), (row("1"),)),
        ((cmms("1"), row("1")), (cmms("1"),)),
        ((cmms("1"), row("1")), (cmms("1"), row("2"))),
        ((by_key("1"), row("1")), (cmms("1"), row("1"))),
        ((by_key("1"),), (cmms("1"),)),
    ],
    ids=lambda identities: "-".join(map(name_of, identities)),
)
async def test_a_change_of_identities_whose_answer_was_lost_is_recognised(
    between: Proxy, ledger: AzureTableLedger, before: tuple[Identity, ...], after: tuple[Identity, ...], fault: Fault
) -> None:
    stored = await stored_one(ledger, fresh(*before))
    between.when, between.faults = batch, [fault]
    written = await stored_one(ledger, with_identities(stored, *after))
    assert not between.faults
    assert await find(ledger, *before, *after) == dict.fromkeys(after, written)


async def test_a_pointer_that_changes_between_two_reads_is_followed_again(
    between: Proxy, ledger: AzureTableLedger, table_url: str
) -> None:
    """The link moves from one CMMS id to another after its pointer was read."""
    stored = await stored_one(ledger, fresh(cmms("1"), row("1"), key="found"))
    direct = AzureTableLedger(table_url)
    moved: list[Stored] = []

    async def meanwhile(request: web.Request) -> None:
        if "c.1" in request.path and not moved:
            moved.append(await stored_one(direct, with_identities(stored, cmms("2"), row("1"))))

    between.before = meanwhile
    found = await find(ledger, row("1"))
    assert found == {row("1"): moved[0]}
    await direct.close()


async def test_a_pointer_that_never_rests_is_unavailable(
    between: Proxy, ledger: AzureTableLedger, table_url: str
) -> None:
    direct = AzureTableLedger(table_url)
    held = [await stored_one(direct, fresh(cmms("0"), row("1")))]

    async def meanwhile(request: web.Request) -> None:
        if "'c." in request.path:
            held.append(await stored_one(direct, with_identities(held[-1], cmms(f"{len(held)}"), row("1"))))

    between.before = meanwhile
    with refused_as(Unavailable):
        await find(ledger, row("1"))
    await direct.close()


async def test_a_busy_table_is_asked_again(between: Proxy, ledger: AzureTableLedger) -> None:
    between.faults = [service_error(HTTPStatus.SERVICE_UNAVAILABLE, "ServerBusy") for _ in range(2)]
    assert list(await find(ledger, cmms("first"))) == [cmms("first")]
    assert len(between.asked) == 3


def page(status: HTTPStatus, content_type: str) -> Fault:
    return Fault(status, body="<html>SECRET-ECHO", headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (service_error(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests"), Throttled),
        (service_error(HTTPStatus.SERVICE_UNAVAILABLE, "ServerBusy"), Throttled),
        (service_error(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"), Unavailable),
        (service_error(HTTPStatus.FORBIDDEN, "AuthorizationPermissionMismatch"), NotAuthorized),
        (service_error(HTTPStatus.FORBIDDEN, "AuthenticationFailed"), NotAuthorized),
        (service_error(HTTPStatus.UNAUTHORIZED, "NoAuthenticationInformation"), NotAuthorized),
        (service_error(HTTPStatus.BAD_REQUEST, "InvalidInput"), RejectedByTarget),
        (service_error(HTTPStatus.CONFLICT, "TableBeingDeleted"), RejectedByTarget),
        (page(HTTPStatus.NOT_FOUND, "text/html"), Unavailable),
        (page(HTTPStatus.BAD_GATEWAY, "text/html"), Unavailable),
        (page(HTTPStatus.OK, "application/json"), Unavailable),
        (Fault(), Unavailable),
        (Fault(unseen=True), Unavailable),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Fault) else value.__name__,
)
async def test_every_failure_is_one_of_ours(
    between: Proxy, impatient: AzureTableLedger, fault: Fault, kind: type[SyncError]
) -> None:
    calls: dict[str, Any] = {
        "find": lambda: find(impatient, row("A")),
        "write": lambda: impatient.write("asset", [fresh(cmms("A"))]),
        "scan": lambda: anext(aiter(impatient.scan("asset"))),
        "hashes": lambda: anext(aiter(impatient.hashes("asset"))),
        "get_state": lambda: impatient.get_state(["A"]),
        "put_state": lambda: impatient.put_state({"A": "text"}),
        "swap_state": lambda: impatient.swap_state("A", None, "text"),
    }
    for call in calls.values():
        between.faults = [fault] * 9
        with refused_as(kind):
            await call()


@pytest.mark.parametrize(
    ("text", "wait"), [("7", timedelta(seconds=7)), ("Wed, 01 Jan 2020 00:00:00 GMT", timedelta()), ("soon", None)]
)
async def test_the_wait_that_the_service_asks_for_is_kept(
    between: Proxy, impatient: AzureTableLedger, text: str, wait: timedelta | None
) -> None:
    between.faults = [Fault(HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": text})]
    with refused_as(Throttled) as info:
        await find(impatient, cmms("A"))
    assert isinstance(info.value, Throttled)
    assert info.value.retry_after == wait


async def test_nobody_at_the_address_is_unavailable() -> None:
    ledger = AzureTableLedger("http://127.0.0.1:1/devstoreaccount1/ledger", retry_total=0)
    with refused_as(Unavailable):
        await find(ledger, cmms("A"))
    await ledger.close()


class Credential:
    """Gives a token, or refuses."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        self.scopes += scopes
        if self.error is not None:
            raise self.error
        return AccessToken("token", 2**31)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


async def test_the_credential_is_asked_for_a_storage_token() -> None:
    credential = Credential()
    ledger = AzureTableLedger("https://127.0.0.1:1/ledger", credential, retry_total=0)
    with refused_as(Unavailable):
        await find(ledger, cmms("A"))
    await ledger.close()
    assert credential.scopes == ["https://storage.azure.com/.default"]


async def test_a_credential_without_a_token_is_not_authorized() -> None:
    ledger = AzureTableLedger("https://127.0.0.1:1/ledger", Credential(ClientAuthenticationError("SECRET-ECHO")))
    with refused_as(NotAuthorized):
        await find(ledger, cmms("A"))
    await ledger.close()


async def test_a_connection_string_opens_the_same_table(table_url: str) -> None:
    account, _, table = table_url.rpartition("/")
    by_address = AzureTableLedger(table_url)
    stored = await stored_one(by_address, fresh(cmms("A")))
    credential = by_address._table.client.credential
    assert isinstance(credential, AzureNamedKeyCredential)
    key = credential.named_key.key  # the emulator's published one
    text = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};TableEndpoint={account}"
    ledger = AzureTableLedger.from_connection_string(text, table)
    assert await find(ledger, cmms("A")) == {cmms("A"): stored}
    await ledger.close()
    await by_address.close()


def test_a_connection_string_that_is_none_is_refused_without_being_shown() -> None:
    with refused_as(ConfigurationError) as info:
        AzureTableLedger.from_connection_string("AccountKey=SECRET-ECHO", "ledger")
    assert info.value.__cause__ is None


async def test_a_link_over_the_limit_is_refused_alone_and_by_name(ledger: AzureTableLedger) -> None:
    noise = random.Random(1).randbytes(2_000_000).hex()  # noqa: S311  # chance, not secrets
    long = "x" * 20_000
    results = await ledger.write(
        "asset",
        [
            fresh(cmms("A")), filled(noise, cmms("huge"), row("1")), fresh(cmms(long)), fresh(cmms("B"), key=long),
            changed(fresh(cmms("C")), conflicts=tuple(conflict(number, 132_000) for number in range(110))),
            fresh(cmms("D"), row("1")),
        ],
    )  # fmt: skip
    assert [type(one) for one in results] == [Stored, *[LinkTooLarge] * 4, Stored]
    assert ["cmms huge" in str(results[1]), "cmms_id" in str(results[2]), "its key" in str(results[3])] == [True] * 3
    assert len(str(results[2])) < 1000
    assert list(await find(ledger, *map(cmms, ("A", "huge", "B", "C", "D")))) == [cmms("A"), cmms("D")]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_link_just_under_the_limit_is_stored(ledger: AzureTableLedger) -> None:
    noise = random.Random(1).randbytes(780 * 1024).hex()  # noqa: S311  # chance, not secrets
    written = await stored_one(ledger, filled(noise, cmms("large"), row("1")))
    assert await find(ledger, row("1")) == {row("1"): written}


async def test_old_conflicts_are_not_sent_again(ledger: AzureTableLedger) -> None:
    async def blocks() -> list[str]:
        query = ledger._table.client.query_entities("RowKey ge 'b.' and RowKey lt 'b/'")
        return [str(block.metadata["etag"]) async for block in query]

    history = tuple(conflict(number, 2000) for number in range(400))
    stored = await stored_one(ledger, changed(fresh(row("1")), conflicts=history))
    before = await blocks()
    assert len(before) > 3
    more = changed(with_identities(stored, cmms("1"), row("1")), conflicts=(*history, conflict(400)))
    await stored_one(ledger, more)
    assert await blocks() == before


async def test_pointers_of_a_link_deleted_by_hand_are_taken_over(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh(cmms("A"), row("1"), key="A"), fresh(cmms("B"), row("2"), key="B")])
    await delete_by_hand(ledger, cmms("A"))
    assert await find(ledger, cmms("A"), row("1")) == {}
    results = await ledger.write(
        "asset",
        [fresh(cmms("C"), row("1"), key="C"), fresh(cmms("D"), row("2")), fresh(cmms("A"), row("3"), key="A again")],
    )
    assert [isinstance(one, Stored) for one in results] == [True, False, True]
    assert await keys(ledger, *map(row, "123")) == {row("1"): "C", row("2"): "B", row("3"): "A again"}


async def test_a_link_deleted_by_hand_is_met_anew_with_its_own_row(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh(cmms("A"), row("1")), fresh(cmms("B"), row("2"))])
    await delete_by_hand(ledger, cmms("A"))
    await delete_by_hand(ledger, cmms("B"))
    await stored_one(ledger, fresh(cmms("A"), row("1"), key="anew"))
    without = await stored_one(ledger, fresh(cmms("B"), key="anew"))
    assert await find(ledger, row("2")) == {}, "the pointer leads to a link that does not claim it"
    await stored_one(ledger, with_identities(without, cmms("B"), row("2")))
    assert await keys(ledger, row("1"), row("2")) == {row("1"): "anew", row("2"): "anew"}


async def test_a_pointer_deleted_by_hand_does_not_hold_up_its_link(ledger: AzureTableLedger) -> None:
    stored = await stored_one(ledger, fresh(cmms("A"), row("1"), key="A"))
    await delete_by_hand(ledger, row("1"))
    stored = await stored_one(ledger, with_identities(stored, cmms("A"), row("2")))
    assert await keys(ledger, row("1"), row("2")) == {row("2"): "A"}
    await delete_by_hand(ledger, row("2"))
    await stored_one(ledger, with_identities(stored, cmms("B"), row("2")))
    assert await keys(ledger, cmms("A"), cmms("B"), row("2")) == {cmms("B"): "A", row("2"): "A"}


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"key": "A"},
        {"key": "A", "cmms_id": "A", "z00": b"not compressed"},
        {"key": "A", "cmms_id": "A", "z00": "no bytes"},
        {"key": "A", "cmms_id": "A", "body": '{"cmms_id":"A"}', "blocks": "{"},
        {"key": "A", "cmms_id": "A", "body": '{"cmms_id":"A"}', "blocks": '["gone"]'},
        {"key": "A", "cmms_id": "Z", "body": '{"cmms_id":"Z"}'},
    ],
    ids=lambda row: "-".join(row) or "nothing",
)
async def test_a_row_edited_by_hand_is_named_and_costs_no_other(
    ledger: AzureTableLedger, properties: dict[str, Any]
) -> None:
    await ledger.write("asset", [fresh(cmms("B")), fresh(row("1"))])
    await put_by_hand(ledger, cmms("A"), **properties)
    await put_by_hand(ledger, row("of A"), to="c.A")
    found = await ledger.find("asset", [cmms("A"), cmms("B")])
    error = found[cmms("A")]
    assert isinstance(error, LedgerUnreadable)
    assert error.identity in {"cmms A", "c.A", "cmms Z"}
    assert f"asset {error.identity} " in error.message
    assert isinstance(found[cmms("B")], Stored)
    scanned = [one async for page in ledger.scan("asset") for one in page]
    assert [one.identity for one in scanned if isinstance(one, LedgerUnreadable)] == [error.identity]
    assert len(scanned) == 4
    assert len(await hashed(ledger)) == (4 if properties else 3)
    by_pointer = await ledger.find("asset", [row("of A")])
    assert [type(one) for one in by_pointer.values()] == ([] if properties else [LedgerUnreadable])


async def test_a_pointer_edited_by_hand_leads_to_no_link(ledger: AzureTableLedger) -> None:
    for number, to in enumerate(["c.first", "c.none", "r.0", ""]):
        await put_by_hand(ledger, row(f"{number}"), to=to)
        assert await find(ledger, row(f"{number}")) == {}
        assert isinstance(await write_one(ledger, fresh(cmms(f"{number}"), row(f"{number}"))), Stored)
        assert list(await find(ledger, row(f"{number}"))) == [row(f"{number}")]


async def test_rows_can_be_read_by_people(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [changed(fresh(cmms("A-1/ñ"), row("1"), key="K"), deleted_at=NOW)])
    body = dict(await ledger._table.client.get_entity("asset", "c.A-1!2f!c3!b1"))
    assert body.pop("write")
    assert body == {
        "PartitionKey": "asset", "RowKey": "c.A-1!2f!c3!b1", "key": "K", "cmms_id": "A-1/ñ", "row_id": "1",
        "deleted": True,
        "body": '{"cmms_id":"A-1/ñ","row_id":"1","key":"K","deleted_at":"2026-03-04T05:06:07.891011Z"}',
    }  # fmt: skip
    pointer = await ledger._table.client.get_entity("asset", "r.1")
    assert dict(pointer) == {"PartitionKey": "asset", "RowKey": "r.1", "to": "c.A-1!2f!c3!b1"}
