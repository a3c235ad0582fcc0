"""Injected faults, in process and on real connections."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from local.emulators.dataverse import Dataverse, Effect, Fault, InProcessTransport, SystemUser, create_app
from local.emulators.dataverse.tests.asking import ASSETS, asset_numbers
from local.emulators.dataverse.tests.conftest import AUDIENCE, KEY, Clock, client_of, drawn_id, seeded_ids, token
from local.emulators.dataverse.wire.connections import Connections
from local.emulators.identity.tests.serving import serving

NEW = {"msdyn_name": "Pump", "msdyn_assetnumber": "A-1"}


@pytest.fixture(params=["in process", "real connection"])
async def anywhere(
    request: pytest.FixtureRequest, dataverse: Dataverse, transport: InProcessTransport, clock: Clock
) -> AsyncIterator[httpx.AsyncClient]:
    """The integration's client, over both kinds of transport."""
    if request.param == "in process":
        async with client_of(transport, token("app-1", clock)) as client:
            yield client
        return
    connections = Connections()
    app = create_app(dataverse, signing_key=KEY, audiences=[AUDIENCE], connections=connections)
    async with (
        serving(app, connections.protocol()) as url,
        httpx.AsyncClient(
            base_url=f"{url}/api/data/v9.2/",
            headers={"Authorization": f"Bearer {token('app-1', clock)}"},
            trust_env=False,
        ) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("effect", "error", "carried_out"),
    [
        (Effect.DROPPED, httpx.RemoteProtocolError, False),
        (Effect.RESET, httpx.ReadError, False),
        (Effect.LOST_ANSWER, httpx.RemoteProtocolError, True),
        (Effect.TRUNCATED, httpx.RemoteProtocolError, True),
    ],
)
async def test_a_broken_connection_breaks_before_or_after_the_write(
    anywhere: httpx.AsyncClient,
    dataverse: Dataverse,
    effect: Effect,
    error: type[Exception],
    carried_out: bool,  # a parameter of the case
) -> None:
    dataverse.faults.add(Fault(effect, kind="create"))
    with pytest.raises(error):
        await anywhere.post(ASSETS, json=NEW, headers={"Prefer": "return=representation"})
    assert await asset_numbers(anywhere, "msdyn_name eq 'Pump'") == (["A-1"] if carried_out else [])


async def test_a_status_comes_with_body_and_retry_after(anywhere: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.faults.add(Fault(Effect.STATUS, status=429, code="0x80072322", message="Slow down", retry_after="7"))
    response = await anywhere.get("WhoAmI")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.json()["error"] == {"code": "0x80072322", "message": "Slow down"}
    assert (await anywhere.get("WhoAmI")).status_code == 200


async def test_a_page_of_a_proxy_is_no_json(anywhere: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.faults.add(Fault(Effect.HTML, status=502))
    response = await anywhere.get("WhoAmI")
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html")
    assert response.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("before", [False, True])
async def test_a_slow_answer_meets_the_clients_time_out_and_is_carried_out(
    anywhere: httpx.AsyncClient,
    dataverse: Dataverse,
    before: bool,  # a parameter of the case
) -> None:
    await anywhere.get("WhoAmI")
    landed = asyncio.Event()
    dataverse.subscribers.append(lambda _change: landed.set())
    dataverse.faults.add(Fault(Effect.SLOW, seconds=0.5, before=before, kind="create"))
    with pytest.raises(httpx.ReadTimeout):
        await anywhere.post(ASSETS, json=NEW, timeout=0.25)
    assert (len(dataverse.tables["msdyn_customerasset"]) == 0) is before
    if before:
        await asyncio.wait_for(landed.wait(), 10)


async def test_a_rule_chooses_by_method_path_and_place(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.faults.add(Fault(Effect.STATUS, method="GET", path=r"^msdyn_customerassets\?", after=1, times=2))
    statuses = [(await client.get(ASSETS)).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert (await client.get("salesorders")).status_code == 200


async def test_a_rule_may_last_until_it_is_lifted(client: httpx.AsyncClient, dataverse: Dataverse) -> None:
    dataverse.faults.add(Fault(Effect.STATUS, times=None))
    assert [(await client.get("WhoAmI")).status_code for _ in range(3)] == [503] * 3
    dataverse.faults.clear()
    assert (await client.get("WhoAmI")).status_code == 200


async def test_a_cancelled_client_leaves_the_write_to_land(
    client: httpx.AsyncClient, transport: InProcessTransport, dataverse: Dataverse
) -> None:
    dataverse.costs.request = 0.2
    writing = asyncio.create_task(client.post(ASSETS, json=NEW))
    await asyncio.sleep(0.005)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await transport.drain()
    assert len(dataverse.tables["msdyn_customerasset"]) == 1


async def test_the_same_seed_makes_the_same_ids() -> None:
    seen = []
    for _ in range(2):
        clock, source = Clock(), seeded_ids(7)
        integration = SystemUser.of("Integration", "app-1")
        dataverse = Dataverse(users=[integration], clock=clock, ids=partial(drawn_id, source))
        transport = InProcessTransport(create_app(dataverse, signing_key=KEY, audiences=[AUDIENCE]))
        async with client_of(transport, token("app-1", clock)) as client:
            responses = [await client.post(ASSETS, json={"msdyn_name": str(number)}) for number in range(3)]
        seen.append([dict(response.headers) for response in responses])
    assert seen[0] == seen[1]
