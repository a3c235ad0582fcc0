"""Native webhooks: who is called, with what, and what a receiver's answer does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from local.emulators.dataverse import AuthType, Dataverse, Webhook, WebhookSender
from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.tests.asking import ASSETS, ORDERS, asset, money, order
from local.emulators.dataverse.tests.conftest import Clock

URL = "https://functions.example/api/dynamics/webhook"


@dataclass
class Receiver:
    """Keeps what it gets and answers as told."""

    answers: list[int] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(json.loads(await request.aread()))
        status = self.answers.pop(0) if self.answers else 202
        if status == 0:
            await asyncio.sleep(60)
        return httpx.Response(status)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


type Register = Callable[..., WebhookSender]


@pytest.fixture
async def register(dataverse: Dataverse, receiver: Receiver) -> AsyncIterator[Register]:
    senders: list[WebhookSender] = []

    def register(*webhooks: Webhook, **options: Any) -> WebhookSender:
        sender = WebhookSender(dataverse, list(webhooks), transport=httpx.MockTransport(receiver), **options)
        senders.append(sender)
        return sender

    yield register
    for sender in senders:
        await sender.aclose()


def attributes(body: dict[str, Any]) -> dict[str, Any]:
    target = body["InputParameters"][0]["value"]
    return {one["key"]: one["value"] for one in target["Attributes"]}


async def test_a_create_is_told_with_headers_and_every_set_column(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, dataverse: Dataverse
) -> None:
    sender = register(Webhook(URL, "msdyn_customerasset", auth={"x-key": "secret"}))
    row = await asset(client, msdyn_acquisitioncost=money("10.50"), msdyn_acquisitiondate="2024-02-29")
    await sender.drain()
    (request,), (body,) = receiver.requests, receiver.bodies
    assert request.headers["x-key"] == "secret"
    assert request.headers["x-ms-dynamics-organization"] == dataverse.organization.host
    assert request.headers["x-ms-dynamics-entity-name"] == "msdyn_customerasset"
    assert request.headers["x-ms-dynamics-request-name"] == "Create"
    assert request.headers["x-ms-correlation-request-id"] == body["CorrelationId"]
    assert "x-ms-dynamics-msg-size-exceeded" not in request.headers
    assert (body["MessageName"], body["PrimaryEntityId"]) == ("Create", row["msdyn_customerassetid"])
    assert (body["Mode"], body["Stage"], body["Depth"]) == (1, 40, 1)
    assert body["OrganizationId"] == str(dataverse.organization.id)
    assert body["OperationCreatedOn"] == "/Date(1772366400000)/"
    found = attributes(body)
    assert found["msdyn_acquisitioncost"]["Value"] == 10.5
    assert found["msdyn_acquisitiondate"] == "/Date(1709164800000)/"
    assert found["statuscode"]["Value"] == 1
    assert found["ownerid"]["LogicalName"] == "systemuser"
    assert "msdyn_serialid" not in found


async def test_an_update_tells_only_what_was_sent_and_who_sent_it(
    client: httpx.AsyncClient, person: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    row = await asset(client)
    sender = register(Webhook(URL, "msdyn_customerasset"))
    await person.patch(f"{ASSETS}({row['msdyn_customerassetid']})?tag=ours", json={"msdyn_serialid": None})
    await sender.drain()
    (body,) = receiver.bodies
    assert body["MessageName"] == "Update"
    assert body["InitiatingUserId"] == (await person.get("WhoAmI")).json()["UserId"]
    assert body["SharedVariables"] == [{"key": "tag", "value": "ours"}]
    assert set(attributes(body)) == {
        "msdyn_serialid",
        "modifiedon",
        "modifiedby",
        "versionnumber",
        "msdyn_customerassetid",
    }
    assert attributes(body)["msdyn_serialid"] is None


async def test_a_delete_tells_a_reference(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    row = await asset(client)
    sender = register(Webhook(URL, "msdyn_customerasset", pre_image=("msdyn_assetnumber",)))
    await client.delete(f"{ASSETS}({row['msdyn_customerassetid']})")
    await sender.drain()
    (body,) = receiver.bodies
    target = body["InputParameters"][0]["value"]
    assert target["__type"].startswith("EntityReference:")
    assert target["Id"] == row["msdyn_customerassetid"]
    (image,) = body["PreEntityImages"]
    assert image["value"]["Attributes"] == [{"key": "msdyn_assetnumber", "value": "A-1"}]


async def test_images_show_the_row_before_and_after(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    row = await asset(client, msdyn_serialid="S-1")
    sender = register(
        Webhook(URL, "msdyn_customerasset", pre_image=("msdyn_serialid",), post_image=("msdyn_serialid",))
    )
    await client.patch(f"{ASSETS}({row['msdyn_customerassetid']})", json={"msdyn_serialid": "S-2"})
    await sender.drain()
    (body,) = receiver.bodies
    assert body["PreEntityImages"][0]["value"]["Attributes"][0]["value"] == "S-1"
    assert body["PostEntityImages"][0]["value"]["Attributes"][0]["value"] == "S-2"


async def test_a_step_hears_only_its_table_messages_and_attributes(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    sender = register(
        Webhook(
            URL,
            "msdyn_customerasset",
            messages=frozenset({Message.UPDATE}),
            filtering_attributes=frozenset({"msdyn_name"}),
        )
    )
    row = await asset(client)
    await order(client)
    address = f"{ASSETS}({row['msdyn_customerassetid']})"
    await client.patch(address, json={"msdyn_serialid": "S-1"})
    await client.patch(address, json={"msdyn_name": row["msdyn_name"]})
    await client.delete(address)
    await sender.drain()
    assert [body["MessageName"] for body in receiver.bodies] == ["Update"]
    assert "msdyn_name" in attributes(receiver.bodies[0])


@pytest.mark.parametrize(
    ("auth_type", "auth", "query"),
    [
        (AuthType.WEBHOOK_KEY, {"code": "a+b/c="}, {"code": "a+b/c="}),
        (AuthType.HTTP_QUERY_STRING, {"who": "d365", "key": "k"}, {"who": "d365", "key": "k"}),
    ],
)
async def test_a_key_in_the_query_is_added_to_the_address(
    client: httpx.AsyncClient,
    receiver: Receiver,
    register: Register,
    auth_type: AuthType,
    auth: dict[str, str],
    query: dict[str, str],
) -> None:
    sender = register(Webhook(f"{URL}?fixed=1", "salesorder", auth_type=auth_type, auth=auth))
    await order(client)
    await sender.drain()
    assert dict(receiver.requests[0].url.params) == {"fixed": "1"} | query


@pytest.mark.parametrize(
    ("answers", "attempts", "succeeded"),
    [
        ([202], 1, True),
        ([503, 202], 2, True),
        ([502, 504], 2, False),
        ([500], 1, False),
        ([429], 1, False),
        ([403], 1, False),
    ],
)
async def test_only_502_503_and_504_get_one_more_attempt(
    client: httpx.AsyncClient,
    receiver: Receiver,
    register: Register,
    answers: list[int],
    attempts: int,
    succeeded: bool,  # a parameter of the case
) -> None:
    sender = register(Webhook(URL, "salesorder"))
    receiver.answers = answers
    await order(client)
    await sender.drain()
    (delivery,) = sender.deliveries
    assert (delivery.attempts, delivery.succeeded, len(receiver.requests)) == (attempts, succeeded, attempts)
    assert (sender.sent, sender.failed) == ((1, 0) if succeeded else (0, 1))


async def test_a_receiver_that_does_not_answer_in_time_is_not_asked_again(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    sender = register(Webhook(URL, "salesorder"), timeout_seconds=0.01)
    receiver.answers = [0]
    await order(client)
    await sender.drain()
    (delivery,) = sender.deliveries
    assert (delivery.status, delivery.attempts) == (None, 1)
    assert delivery.error == "no answer within 0.01 s"


async def test_a_body_over_256_kilobytes_loses_its_parameters_and_images(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, dataverse: Dataverse
) -> None:
    dataverse.tables["salesorder"].table.columns["description"].max_length = 300_000
    sender = register(Webhook(URL, "salesorder", post_image=()))
    row = await order(client, description="x" * 140_000)
    await sender.drain()
    (request,), (body,) = receiver.requests, receiver.bodies
    assert request.headers["x-ms-dynamics-msg-size-exceeded"]
    assert body["PrimaryEntityId"] == row["salesorderid"]
    assert not {"InputParameters", "PostEntityImages", "PreEntityImages", "ParentContext"} & set(body)


async def test_a_write_can_bypass_asynchronous_logic(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    sender = register(Webhook(URL, "salesorder"))
    headers = {"MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync"}
    assert (await client.post(ORDERS, json={"name": "R-1"}, headers=headers)).status_code == 204
    await sender.drain()
    assert receiver.requests == []


async def test_a_refused_write_is_not_announced(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    sender = register(Webhook(URL, "salesorder"))
    await client.post(ORDERS, json={"name": "x" * 301})
    await sender.drain()
    assert receiver.requests == []


async def test_an_unreachable_receiver_does_not_harm_the_write(
    client: httpx.AsyncClient, dataverse: Dataverse, clock: Clock
) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    sender = WebhookSender(dataverse, [Webhook(URL, "salesorder")], transport=httpx.MockTransport(unreachable))
    await order(client)
    await sender.drain()
    assert [one.error for one in sender.deliveries] == ["ConnectError: refused"]
    await sender.aclose()
