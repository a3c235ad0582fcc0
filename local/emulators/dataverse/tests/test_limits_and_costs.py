"""Service protection limits, and how long requests take."""

import asyncio
import time

import httpx
import pytest

from local.emulators.dataverse import Costs, Dataverse, Limits
from local.emulators.dataverse.tests.asking import ASSETS, asset, code_of
from local.emulators.dataverse.tests.conftest import Clock
from local.emulators.dataverse.wire.pace import Pace


async def test_too_many_requests_are_refused_until_the_window_has_moved(
    client: httpx.AsyncClient, person: httpx.AsyncClient, dataverse: Dataverse, clock: Clock
) -> None:
    dataverse.protection.limits = Limits(requests=2)
    first = await client.get("WhoAmI")
    clock.advance(100)
    await client.get("WhoAmI")
    refused = await client.get("WhoAmI")
    assert first.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "1"
    assert code_of(refused) == (429, "0x80072322")
    assert refused.headers["Retry-After"] == "200"
    assert (await person.get("WhoAmI")).status_code == 200
    clock.advance(200)
    assert (await client.get("WhoAmI")).status_code == 200
    assert (await client.get("WhoAmI")).status_code == 429


async def test_too_much_execution_time_is_refused(
    client: httpx.AsyncClient, dataverse: Dataverse, clock: Clock
) -> None:
    dataverse.protection.limits = Limits(execution_seconds=10)
    user = dataverse.users["app-1"]
    started = clock().timestamp()
    dataverse.protection.enter(user.id, started)
    clock.advance(11)
    dataverse.protection.leave(user.id, started, clock().timestamp())
    refused = await client.get("WhoAmI")
    assert code_of(refused) == (429, "0x80072321")
    assert refused.headers["Retry-After"] == "300"


async def test_too_many_requests_at_once_are_refused(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.protection.limits = Limits(concurrency=2)
    dataverse.costs.request = 0.2
    answers = await asyncio.gather(*(client.get("WhoAmI") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert code_of(refused) == (429, "0x80072326")
    assert (await client.get("WhoAmI")).status_code == 200


async def test_limits_can_be_switched_off(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.protection.limits = Limits(requests=None, execution_seconds=None, concurrency=None)
    assert (await client.get("WhoAmI")).status_code == 200


async def test_the_hint_of_parallelism_is_configured(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.dop_hint = 3
    assert (await client.get("WhoAmI")).headers["x-ms-dop-hint"] == "3"
    dataverse.dop_hint = None
    assert "x-ms-dop-hint" not in (await client.get("WhoAmI")).headers


@pytest.mark.parametrize(
    ("kind", "rows", "in_batch", "seconds"),
    [("create", 1, False, 11), ("create_multiple", 100, False, 110), ("update", 1, True, 2), ("list", 0, False, 10)],
)
def test_time_is_counted_per_request_and_per_row(
    kind: str,
    rows: int,
    in_batch: bool,  # a parameter of the case
    seconds: float,
) -> None:
    costs = Costs(request=10, create_row=1, update_row=2)
    assert costs.before(kind, rows, in_batch=in_batch) == seconds


async def test_a_slow_write_lands_after_its_client_has_given_up(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    dataverse.costs.create_row = 0.3
    with pytest.raises(httpx.ReadTimeout):
        await client.post(ASSETS, json={"msdyn_name": "Late"}, timeout=0.005)
    assert len(dataverse.tables["msdyn_customerasset"]) == 0
    await client._transport.drain()  # type: ignore[attr-defined]
    assert len(dataverse.tables["msdyn_customerasset"]) == 1


async def test_a_slow_read_shows_what_was_there_when_it_was_read(
    client: httpx.AsyncClient, dataverse: Dataverse
) -> None:
    row = await asset(client)
    dataverse.costs.read_row = 0.3
    reading = asyncio.create_task(client.get(ASSETS))
    await asyncio.sleep(0.01)
    await client.patch(f"{ASSETS}({row['msdyn_customerassetid']})", json={"msdyn_name": "New"})
    assert (await reading).json()["value"][0]["msdyn_name"] == "Pump"


async def test_what_a_request_does_counts_towards_the_time_that_it_is_to_take() -> None:
    pace, begun = Pace(), time.monotonic()
    await pace.let_pass(0.1)
    time.sleep(0.4)  # noqa: ASYNC251  # the processor's work on a row
    await pace.let_pass(0.4)
    assert 0.5 <= time.monotonic() - begun < 0.8


async def test_a_page_of_five_thousand_rows_is_quick(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    rows = [{"@odata.type": "Microsoft.Dynamics.CRM.msdyn_customerasset", "msdyn_name": str(n)} for n in range(5000)]
    created = await client.post(f"{ASSETS}/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": rows})
    assert created.status_code == 200
    started = time.process_time()
    body = (await client.get(ASSETS, params={"$select": "msdyn_name,statecode"})).json()
    assert len(body["value"]) == 5000
    assert time.process_time() - started < 2
