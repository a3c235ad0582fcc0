"""`$batch`: order, errors, change sets, format."""

import re
import time
from dataclasses import dataclass

import httpx
import pytest

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.tests.asking import ASSETS, asset, asset_numbers, code_of
from local.emulators.dataverse.tests.conftest import AUDIENCE, ROOT

JSON = "Content-Type: application/json\r\n"
GO_ON = {"Prefer": "odata.continue-on-error"}


@dataclass(frozen=True)
class Part:
    """A part of a batch's answer."""

    status: int
    headers: str
    body: str


def request(method: str, path: str, body: str = "", headers: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\n{headers}{JSON if body else ''}\r\n{body}"


def part(content: str, content_id: str | None = None) -> str:
    numbered = f"Content-ID: {content_id}\r\n" if content_id else ""
    return f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{numbered}\r\n{content}\r\n"


def change_set(*parts: str) -> str:
    inner = "".join(f"--set\r\n{one}" for one in parts)
    return f"Content-Type: multipart/mixed; boundary=set\r\n\r\n{inner}--set--\r\n"


async def send(client: httpx.AsyncClient, parts: list[str], headers: dict[str, str] | None = None) -> httpx.Response:
    body = "".join(f"--b1\r\n{one}" for one in parts) + "--b1--\r\n"
    kind = {"Content-Type": 'multipart/mixed; boundary="b1"'}
    return await client.post("$batch", content=body.encode(), headers=kind | (headers or {}))


def answers(response: httpx.Response) -> list[Part]:
    found = re.findall(r"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n(.*?)\r\n--", response.text, re.DOTALL)
    return [Part(int(status), headers, body) for status, headers, body in found]


def create(number: str, name: str = "Pump") -> str:
    return request("POST", ASSETS, f'{{"msdyn_name": "{name}", "msdyn_assetnumber": "{number}"}}')


async def test_requests_run_in_order_and_answer_in_order(client: httpx.AsyncClient) -> None:
    row = await asset(client, "A-1")
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    read = request("GET", f"{ROOT}/{address}?$select=msdyn_name", headers="Accept: application/json\r\n")
    rename = request("PATCH", f"/api/data/v9.2/{address}", '{"msdyn_name": "Ñandú"}', "If-Match: *\r\n")
    response = await send(client, [part(one) for one in (read, rename, read)])
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_")
    assert "\n" not in response.text.replace("\r\n", "")
    before, changed, after = answers(response)
    assert (before.status, changed.status, after.status) == (200, 204, 200)
    assert '"msdyn_name":"Pump"' in before.body
    assert '"msdyn_name":"Ñandú"' in after.body
    assert f"OData-EntityId: {ROOT}/{address}" in changed.headers


async def test_an_address_in_a_batch_may_hold_spaces(client: httpx.AsyncClient) -> None:
    await asset(client, "A-1")
    response = await send(client, [part(request("GET", f"{ASSETS}?$filter=msdyn_assetnumber eq 'A-1'"))])
    (answer,) = answers(response)
    assert (answer.status, '"A-1"' in answer.body) == (200, True)


async def test_without_a_preference_the_batch_stops_at_the_first_error(client: httpx.AsyncClient) -> None:
    response = await send(client, [part(create("A-1")), part(create("A-1")), part(create("A-2"))])
    assert response.status_code == 412
    assert [one.status for one in answers(response)] == [204, 412]
    assert await asset_numbers(client, "msdyn_name eq 'Pump'") == ["A-1"]


async def test_with_continue_on_error_every_request_gets_its_own_answer(client: httpx.AsyncClient) -> None:
    parts = [part(create("A-1")), part(create("A-1")), part(create("A-2", "x" * 101)), part(create("A-3"))]
    response = await send(client, parts, GO_ON)
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "odata.continue-on-error"
    assert [one.status for one in answers(response)] == [204, 412, 400, 204]
    assert '"code":"0x80060892"' in answers(response)[1].body
    assert "'msdyn_name'" in answers(response)[2].body
    assert await asset_numbers(client, "msdyn_name eq 'Pump'") == ["A-1", "A-3"]


async def test_a_stale_part_does_not_hinder_its_neighbours(client: httpx.AsyncClient) -> None:
    rows = [await asset(client, f"A-{number}") for number in range(3)]
    await client.patch(f"{ASSETS}({rows[1]['msdyn_customerassetid']})", json={"msdyn_serialid": "moved"})
    parts = [
        part(
            request(
                "PATCH",
                f"{ASSETS}({row['msdyn_customerassetid']})",
                '{"msdyn_name": "New"}',
                f"If-Match: {row['@odata.etag']}\r\nPrefer: return=representation\r\n",
            )
        )
        for row in rows
    ]
    found = answers(await send(client, parts, GO_ON))
    assert [one.status for one in found] == [200, 412, 200]
    assert '"code":"0x80060882"' in found[1].body
    assert '"@odata.etag"' in found[2].body


async def test_a_change_set_succeeds_as_a_whole(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    response = await send(client, [change_set(part(create("A-1"), "1"), part(create("A-2"), "2"))])
    assert response.status_code == 200
    assert [one.status for one in answers(response)] == [204, 204]
    assert re.findall(r"Content-ID: (\d)", response.text) == ["1", "2"]
    assert [change.message for change in dataverse.log] == ["Create", "Create"]


async def test_a_change_set_fails_as_a_whole_with_one_answer(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    row = await asset(client, "A-0")
    rename = request("PATCH", f"{ASSETS}({row['msdyn_customerassetid']})", '{"msdyn_assetnumber": "A-9"}')
    parts = [change_set(part(rename, "1"), part(create("A-1"), "2"), part(create("A-1"), "3")), part(create("A-5"))]
    found = answers(await send(client, parts, GO_ON))
    assert [one.status for one in found] == [412, 204]
    assert await asset_numbers(client, "msdyn_name eq 'Pump'") == ["A-0", "A-5"]
    assert len(dataverse.log) == 2
    duplicate = await client.post(ASSETS, json={"msdyn_name": "x", "msdyn_assetnumber": "A-0"})
    assert duplicate.status_code == 412


@pytest.mark.parametrize(("number", "written"), [("A-2", 2), ("A-1", 0)], ids=["committed", "rolled back"])
async def test_a_change_set_takes_its_rows_time_and_counts_the_rows_that_stay(
    client: httpx.AsyncClient, dataverse: Dataverse, number: str, written: int
) -> None:
    dataverse.costs.create_row = 0.05
    begun = time.monotonic()
    await send(client, [change_set(part(create("A-1"), "1"), part(create(number), "2"))])
    assert time.monotonic() - begun >= 0.1
    stats = (await client.get(f"{AUDIENCE}/_emulator/stats")).json()
    assert (stats["operations_by_kind"], stats["rows_written"]) == ({"create": 2}, written)


async def test_a_later_request_of_a_change_set_can_name_an_earlier_one(client: httpx.AsyncClient) -> None:
    rename = request("PATCH", "$1", '{"msdyn_name": "Valve"}')
    response = await send(client, [change_set(part(create("A-1"), "1"), part(rename, "2"))])
    assert [one.status for one in answers(response)] == [204, 204]
    assert await asset_numbers(client, "msdyn_name eq 'Valve'") == ["A-1"]


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ([change_set(part(request("GET", ASSETS), "1"))], "must not hold GET"),
        ([change_set(part(create("A-1")))], "needs a Content-ID"),
        ([part(request("POST", "$batch", "{}"))], "must not hold another batch"),
        ([part("nonsense")], "must begin with a line"),
        ([part(request("GET", f"{ASSETS}?x={'y' * 65_536}"))], "URL is longer"),
        ([part(request("GET", ASSETS)).replace("application/http", "text/plain")], "application/http"),
    ],
)
async def test_a_malformed_part_is_refused(client: httpx.AsyncClient, parts: list[str], wrong: str) -> None:
    response = await send(client, parts)
    assert response.status_code == 400
    assert wrong in response.text


async def test_lines_must_end_with_cr_lf(client: httpx.AsyncClient) -> None:
    body = f"--b1\r\n{part(create('A-1'))}--b1--\r\n".replace("\r\n", "\n")
    response = await client.post("$batch", content=body, headers={"Content-Type": "multipart/mixed; boundary=b1"})
    assert code_of(response) == (400, "0x80048d19")


@pytest.mark.parametrize("kind", ["application/json", "multipart/mixed", "multipart/mixed; boundary=other"])
async def test_a_batch_needs_its_content_type(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post("$batch", content="--b1\r\n\r\n--b1--\r\n", headers={"Content-Type": kind})
    assert code_of(response) == (400, "0x80048d19")


async def test_a_batch_holds_a_thousand_requests_and_no_more(client: httpx.AsyncClient) -> None:
    who = part(request("GET", "WhoAmI"))
    assert len(answers(await send(client, [who] * 1000))) == 1000
    assert (await send(client, [who] * 1001)).status_code == 400


async def test_a_long_filter_fits_into_a_batch(client: httpx.AsyncClient) -> None:
    await asset(client, "A-1")
    listed = ",".join(f"%27A-{number}%27" for number in range(4000))
    condition = f"Microsoft.Dynamics.CRM.In(PropertyName='msdyn_assetnumber',PropertyValues=[{listed}])"
    response = await send(client, [part(request("GET", f"{ASSETS}?$select=msdyn_name&$filter={condition}"))])
    assert [one.status for one in answers(response)] == [200]
    assert '"msdyn_name":"Pump"' in response.text
