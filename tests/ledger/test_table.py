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
from shared.domain.ledger import Entry, Stored
from shared.errors import (
    ConfigurationError,
    KeyNotUsable,
    LedgerUnreadable,
    NotAuthorized,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from tests.ledger.proxy import Fault, Proxy, proxy, service_error
from tests.ledger.store import changed, conflict, fresh, read


@pytest.fixture
async def between(table_url: str) -> AsyncIterator[Proxy]:
    async with proxy(table_url) as state:
        yield state


@pytest.fixture
async def ledger(between: Proxy) -> AsyncIterator[AzureTableLedger]:
    """A ledger with one entry, behind the proxy."""
    one = AzureTableLedger(between.url, retry_backoff_factor=0.01)
    await one.write("asset", [fresh("first")])
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


async def test_a_batch_of_500_takes_few_requests(between: Proxy, ledger: AzureTableLedger) -> None:
    entries = [fresh(f"A{number}", f"id{number}") for number in range(500)]
    written = await ledger.write("asset", entries)
    assert all(isinstance(one, Stored) for one in written)
    assert len(between.asked) == 10
    between.asked.clear()
    again = await ledger.write("asset", [changed(one, cmms_id="x") for one in written if isinstance(one, Stored)])
    assert all(isinstance(one, Stored) for one in again)
    assert len(between.asked) == 5


async def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(between: Proxy, ledger: AzureTableLedger) -> None:
    first = await read(ledger, ["first"])
    between.when, between.faults = batch, [Fault()]
    written = await ledger.write("asset", [fresh("A", "1"), fresh("B", "2"), changed(first["first"], cmms_id="x")])
    assert all(isinstance(one, Stored) for one in written)
    assert not between.faults
    found = await read(ledger, ["A", "B", "first"])
    assert list(found.values()) == list(written)


async def test_a_move_whose_answer_was_lost_is_recognised_as_our_own(between: Proxy, ledger: AzureTableLedger) -> None:
    (old,) = await ledger.write("asset", [fresh("A", "1")])
    assert isinstance(old, Stored)
    between.when, between.faults = batch, [Fault()]
    assert await ledger.move("asset", changed(old, dynamics_id=None, moved_to="B"), fresh("B", "1"))
    assert not between.faults


async def test_a_busy_table_is_asked_again(between: Proxy, ledger: AzureTableLedger) -> None:
    between.faults = [service_error(HTTPStatus.SERVICE_UNAVAILABLE, "ServerBusy") for _ in range(2)]
    assert (await read(ledger, ["first"]))["first"].etag is not None
    assert len(between.asked) == 3


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
        (Fault(HTTPStatus.NOT_FOUND, "<html>SECRET-ECHO", {"Content-Type": "text/html"}), Unavailable),
        (Fault(HTTPStatus.BAD_GATEWAY, "<html>SECRET-ECHO", {"Content-Type": "text/html"}), Unavailable),
        (Fault(HTTPStatus.OK, "<html>SECRET-ECHO", {"Content-Type": "application/json"}), Unavailable),
        (Fault(), Unavailable),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Fault) else value.__name__,
)
async def test_every_failure_is_one_of_ours(
    between: Proxy, impatient: AzureTableLedger, fault: Fault, kind: type[SyncError]
) -> None:
    calls: dict[str, Any] = {
        "read": lambda: read(impatient, ["A"]),
        "keys_of": lambda: impatient.keys_of("asset", ["A"]),
        "write": lambda: impatient.write("asset", [fresh("A")]),
        "move": lambda: impatient.move("asset", fresh("A"), fresh("B")),
        "scan": lambda: anext(aiter(impatient.scan("asset"))),
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
    between.faults = [Fault(HTTPStatus.SERVICE_UNAVAILABLE, "", {"Retry-After": text})]
    with refused_as(Throttled) as info:
        await read(impatient, ["A"])
    assert isinstance(info.value, Throttled)
    assert info.value.retry_after == wait


async def test_nobody_at_the_address_is_unavailable() -> None:
    ledger = AzureTableLedger("http://127.0.0.1:1/devstoreaccount1/ledger", retry_total=0)
    with refused_as(Unavailable):
        await read(ledger, ["A"])
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
        await read(ledger, ["A"])
    await ledger.close()
    assert credential.scopes == ["https://storage.azure.com/.default"]


async def test_a_credential_without_a_token_is_not_authorized() -> None:
    ledger = AzureTableLedger("https://127.0.0.1:1/ledger", Credential(ClientAuthenticationError("SECRET-ECHO")))
    with refused_as(NotAuthorized):
        await read(ledger, ["A"])
    await ledger.close()


async def test_a_connection_string_opens_the_same_table(table_url: str) -> None:
    account, _, table = table_url.rpartition("/")
    by_address = AzureTableLedger(table_url)
    await by_address.write("asset", [fresh("A")])
    credential = by_address._client.credential
    assert isinstance(credential, AzureNamedKeyCredential)
    key = credential.named_key.key  # the emulator's published one
    text = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};TableEndpoint={account}"
    ledger = AzureTableLedger.from_connection_string(text, table)
    assert (await read(ledger, ["A"]))["A"].etag is not None
    await ledger.close()
    await by_address.close()


def test_a_connection_string_that_is_none_is_refused_without_being_shown() -> None:
    with refused_as(ConfigurationError) as info:
        AzureTableLedger.from_connection_string("AccountKey=SECRET-ECHO", "ledger")
    assert info.value.__cause__ is None


async def test_an_entry_over_the_limit_is_refused_alone_and_by_name(ledger: AzureTableLedger) -> None:
    noise = random.Random(1).randbytes(2_000_000).hex()  # noqa: S311  # chance, not secrets
    results = await ledger.write("asset", [fresh("A"), Stored(entry=Entry(key="huge", cmms_id=noise)), fresh("B")])
    assert isinstance(results[0], Stored)
    assert isinstance(results[1], KeyNotUsable)
    assert "huge" in results[1].message
    assert isinstance(results[2], Stored)
    assert (await read(ledger, ["huge"]))["huge"].etag is None


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_entry_just_under_the_limit_is_stored(ledger: AzureTableLedger) -> None:
    noise = random.Random(1).randbytes(780 * 1024).hex()  # noqa: S311  # chance, not secrets
    written = await ledger.write("asset", [Stored(entry=Entry(key="large", cmms_id=noise))])
    assert isinstance(written[0], Stored)
    assert (await read(ledger, ["large"]))["large"] == written[0]


async def test_old_conflicts_are_not_sent_again(between: Proxy, ledger: AzureTableLedger) -> None:
    history = tuple(conflict(number, 2000) for number in range(400))
    (stored,) = await ledger.write("asset", [changed(fresh("A"), conflicts=history)])
    assert isinstance(stored, Stored)
    rows = [row async for row in ledger._client.query_entities("RowKey ge 'c.' and RowKey lt 'c/'")]
    assert len(rows) > 3
    between.asked.clear()
    await ledger.write("asset", [changed(stored, conflicts=(*history, conflict(400)))])
    after = [row async for row in ledger._client.query_entities("RowKey ge 'c.' and RowKey lt 'c/'")]
    assert [row.metadata["etag"] for row in after] == [row.metadata["etag"] for row in rows]


async def test_an_id_left_behind_by_an_entry_deleted_by_hand_is_taken_over(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh("A", "1"), fresh("B", "2")])
    await ledger._client.delete_entity("asset", "k.A")
    results = await ledger.write("asset", [fresh("C", "1"), fresh("D", "2"), fresh("A", "3")])
    assert [type(one) for one in results] == [Stored, KeyNotUsable, Stored]
    assert await ledger.keys_of("asset", ["1", "2", "3"]) == {"1": "C", "2": "B", "3": "A"}


async def test_an_entry_deleted_by_hand_gets_its_own_id_back(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh("A", "1")])
    await ledger._client.delete_entity("asset", "k.A")
    results = await ledger.write("asset", [fresh("A", "1")])
    assert [type(one) for one in results] == [Stored]


async def test_an_id_row_deleted_by_hand_does_not_hold_up_its_entry(ledger: AzureTableLedger) -> None:
    (stored,) = await ledger.write("asset", [fresh("A", "1")])
    assert isinstance(stored, Stored)
    await ledger._client.delete_entity("asset", "i.1")
    results = await ledger.write("asset", [changed(stored, dynamics_id="2")])
    assert [type(one) for one in results] == [Stored]
    assert await ledger.keys_of("asset", ["1", "2"]) == {"2": "A"}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"key": "A"},
        {"key": "A", "z00": b"not compressed"},
        {"key": "A", "z00": "no bytes"},
        {"key": "A", "body": '{"key":"A"}', "blocks": "{"},
        {"key": "A", "body": '{"key":"A"}', "blocks": '["gone"]'},
    ],
    ids=lambda row: "-".join(row) or "nothing",
)
async def test_a_row_edited_by_hand_is_named_and_costs_no_other(ledger: AzureTableLedger, row: dict[str, Any]) -> None:
    await ledger._client.upsert_entity({"PartitionKey": "asset", "RowKey": "k.A", **row})
    await ledger.write("asset", [fresh("B")])
    found = await ledger.read("asset", ["A", "B"])
    assert isinstance(found["A"], LedgerUnreadable)
    assert "asset A" in found["A"].message
    assert isinstance(found["B"], Stored)
    scanned = [one.key async for page in ledger.scan("asset") for one in page]
    assert scanned[:2] == ["A", "B"]
    assert [key async for page in ledger.bodies("asset") for key, _ in page] == scanned


async def test_an_id_row_edited_by_hand_binds_nothing(ledger: AzureTableLedger) -> None:
    await ledger._client.upsert_entity({"PartitionKey": "asset", "RowKey": "i.1"})
    assert await ledger.keys_of("asset", ["1"]) == {}
    assert [type(one) for one in await ledger.write("asset", [fresh("A", "1")])] == [Stored]
    assert await ledger.keys_of("asset", ["1"]) == {"1": "A"}


async def test_rows_can_be_read_by_people(ledger: AzureTableLedger) -> None:
    await ledger.write("asset", [fresh("A-1/ñ", "1")])
    row = await ledger._client.get_entity("asset", "k.A-1!2f!c3!b1")
    assert (row["key"], row["dynamics_id"], row["body"]) == ("A-1/ñ", "1", '{"key":"A-1/ñ","dynamics_id":"1"}')
