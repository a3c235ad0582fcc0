import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.emulators.functions_host.tests.brokered import RunningBroker, running_broker
from local.emulators.functions_host.tests.running import APPS, RunningHost, running, until
from local.emulators.servicebus import QueueSettings

QUEUES = [
    QueueSettings("batches", max_delivery_count=3),
    QueueSettings("binary", max_delivery_count=3),
    # Locks shorter than some of the runs below.
    QueueSettings("singles", max_delivery_count=3, lock_duration=timedelta(seconds=4)),
]


class Stack:
    """A broker, and a host that listens to it."""

    def __init__(self, broker: RunningBroker, host: RunningHost) -> None:
        self.broker = broker
        self.host = host
        self._seen: list[dict[str, Any]] = []

    def seen(self, function: str) -> list[dict[str, Any]]:
        """The invocations since `forget` or `run`, oldest first."""
        self._seen += self.host.client.get("/api/seen").json()
        return [entry for entry in self._seen if entry["function"] == function]

    def forget(self) -> None:
        """Begin again with an empty account of invocations."""
        self.seen("")
        self._seen.clear()

    def run(
        self, queue: str, *messages: ServiceBusMessage | AmqpAnnotatedMessage, seconds: float = 60
    ) -> list[dict[str, Any]]:
        """Send, wait until the queue is empty, and return the invocations."""
        self.forget()
        self.broker.send(queue, messages)
        until(lambda: not self.broker.waiting(queue), f"{queue} is empty", seconds)
        return self.seen({"batches": "many", "binary": "many_bytes"}.get(queue, "one"))

    def run_as_one_batch(self, *messages: ServiceBusMessage, queue: str = "batches") -> list[dict[str, Any]]:
        """As `run`, until the first invocation has all messages: batching takes what is there in time."""
        for _ in range(5):
            invocations = self.run(queue, *messages)
            if invocations and len(invocations[0]["messages"]) == len(messages):
                return invocations
        raise AssertionError(f"never one batch: {invocations}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_broker(QUEUES) as broker:
        settings = {"Bus": broker.connection_string, "BATCH_QUEUE": "batches"}
        with running(APPS / "queue", tmp_path_factory.mktemp("queue"), settings) as host:
            host.wait_for_log("listens to queue", 3)
            yield Stack(broker, host)


def test_a_batch_is_one_invocation_and_is_completed(stack: Stack) -> None:
    messages = [ServiceBusMessage(f"text {n}", message_id=f"m{n}", application_properties={"n": n}) for n in range(5)]

    (invocation,) = stack.run_as_one_batch(*messages)

    assert [m["body"] for m in invocation["messages"]] == [f"text {n}" for n in range(5)]
    assert [m["id"] for m in invocation["messages"]] == [f"m{n}" for n in range(5)]
    assert [m["properties"] for m in invocation["messages"]] == [{"n": n} for n in range(5)]
    assert [m["delivery"] for m in invocation["messages"]] == [1] * 5
    assert "+" not in invocation["messages"][0]["enqueued"]
    assert not stack.broker.dead("batches")


def test_a_failure_abandons_every_message_of_the_batch(stack: Stack) -> None:
    dead = stack.broker.dead("batches")

    invocations = stack.run_as_one_batch(*(ServiceBusMessage(text) for text in ("good", "fail", "good")))

    again = [m["body"] for entry in invocations[1:] for m in entry["messages"] if m["delivery"] == 2]
    assert sorted(again) == ["fail", "good", "good"]
    assert stack.broker.dead("batches") > dead


def test_empty_metadata_of_a_batch_shifts_to_other_messages(stack: Stack) -> None:
    messages = [
        ServiceBusMessage("a", message_id="a"),
        ServiceBusMessage("b", message_id="b", correlation_id="of b", subject=""),
        ServiceBusMessage("c", message_id="c", subject="of c"),
    ]

    (invocation,) = stack.run_as_one_batch(*messages)

    assert [m["id"] for m in invocation["messages"]] == ["a", "b", "c"]
    assert [m["correlation"] for m in invocation["messages"]] == ["of b", None, None]
    assert [m["subject"] for m in invocation["messages"]] == ["of c", None, None]


def test_an_empty_body_fails_its_batch_before_user_code(stack: Stack) -> None:
    for _ in range(5):
        if not stack.run("batches", ServiceBusMessage(b""), ServiceBusMessage("good")):
            return
    raise AssertionError("never one batch, or the function was called")


def test_a_binary_binding_takes_every_body_as_it_is_the_empty_ones_too(stack: Stack) -> None:
    bodies = [b"", b"text", b"\xff\x00", None, "Válvula".encode("latin-1"), b""]
    messages = [ServiceBusMessage(body, message_id=f"m{n}", subject="s") for n, body in enumerate(bodies)]

    (invocation,) = stack.run_as_one_batch(*messages, queue="binary")

    assert [m["hex"] for m in invocation["messages"]] == [(body or b"").hex() for body in bodies]
    assert [m["id"] for m in invocation["messages"]] == [f"m{n}" for n in range(6)]
    assert [m["delivery"] for m in invocation["messages"]] == [1] * 6


@pytest.mark.parametrize("queue", ["batches", "binary", "singles"])
def test_a_body_that_is_no_bytes_fails_before_user_code(stack: Stack, queue: str) -> None:
    before = stack.broker.dead(queue)

    assert stack.run(queue, AmqpAnnotatedMessage(value_body={"n": 1})) == []
    assert stack.broker.dead(queue) - before == 1
    assert "cannot be retrieved using the Body property" in stack.host.log


def test_an_amqp_text_can_be_bound_as_text_only(stack: Stack) -> None:
    (invocation,) = stack.run("batches", AmqpAnnotatedMessage(value_body="text"))
    assert invocation["messages"][0]["body"] == "text"
    assert stack.run("binary", AmqpAnnotatedMessage(value_body="text")) == []


def test_a_body_of_a_batch_shadows_nothing(stack: Stack) -> None:
    (invocation,) = stack.run("batches", ServiceBusMessage('{"messageId": "shadow"}', message_id="real"))

    assert invocation["messages"][0]["id"] == "real"


def test_a_number_that_json_does_not_know_arrives_as_a_word(stack: Stack) -> None:
    (invocation,) = stack.run("batches", ServiceBusMessage("x", application_properties={"n": float("nan")}))

    assert invocation["messages"][0]["properties"] == {"n": "NaN"}


def test_a_single_message_arrives_with_its_metadata(stack: Stack) -> None:
    message = ServiceBusMessage(
        "plain",
        message_id="id-1",
        correlation_id="c-1",
        subject="s",
        content_type="text/plain",
        application_properties={"text": "é", "number": 5, "flag": True},
        time_to_live=timedelta(hours=1),
    )

    (invocation,) = stack.run("singles", message)

    (seen,) = invocation["messages"]
    assert (seen["id"], seen["correlation"], seen["subject"], seen["content_type"]) == (
        "id-1",
        "c-1",
        "s",
        "text/plain",
    )
    assert seen["properties"] == {"text": "é", "number": 5, "flag": True}
    assert seen["delivery"] == 1
    assert seen["expires"] > seen["enqueued"]


def test_metadata_has_no_entry_for_what_a_single_message_does_not_have(stack: Stack) -> None:
    # `to` is in the body, and finds the `To` that the message does not have.
    (invocation,) = stack.run("singles", ServiceBusMessage('{"to": "there"}', message_id="id-1"))

    names = invocation["messages"][0]["metadata"]
    assert {"MessageId", "DeliveryCount", "SequenceNumber", "To"} <= set(names)
    assert not {"to", "CorrelationId", "SessionId", "ReplyTo", "DeadLetterSource"} & set(names)


@pytest.mark.parametrize("field", ["messageId", "MESSAGEID"])
def test_a_field_of_the_body_shadows_metadata_of_a_single_message(stack: Stack, field: str) -> None:
    body = json.dumps({field: "shadow", "correlationId": None, "subject": ["list"], "sequenceNumber": 5})

    (invocation,) = stack.run("singles", ServiceBusMessage(body, message_id="real", correlation_id="c", subject="s"))

    (seen,) = invocation["messages"]
    assert (seen["id"], seen["correlation"], seen["subject"], seen["sequence"]) == ("shadow", "c", "s", 5)


@pytest.mark.parametrize("value", ["not a time", "2026-11-22T22:16:00Z"])
def test_a_malformed_shadow_fails_before_user_code(stack: Stack, value: str) -> None:
    dead = stack.broker.dead("singles")

    assert stack.run("singles", ServiceBusMessage(json.dumps({"expiresAtUtc": value}))) == []
    assert stack.broker.dead("singles") - dead == 1


def test_single_messages_run_beside_each_other_up_to_the_limit(stack: Stack) -> None:
    invocations = stack.run("singles", *(ServiceBusMessage("sleep 0.7") for _ in range(8)))

    spans = [(entry["began"], entry["ended"]) for entry in invocations]
    assert len(spans) == 8
    beside = [sum(began <= moment < ended for began, ended in spans) for moment, _ in spans]
    assert 1 < max(beside) <= 4


def test_a_blocking_function_does_not_stop_lock_renewal(stack: Stack) -> None:
    # The lock lasts 4 s. A machine that stalls for long can cost one lock; a host that renews none loses all.
    for _ in range(3):
        stack.forget()
        stack.broker.send("singles", [ServiceBusMessage("block 5")])
        until(lambda: stack.broker.broker.counts("singles").locked, "the message is taken")
        assert stack.host.client.get("/admin/host/status").json() == {"state": "Running"}
        assert stack.broker.waiting("singles"), "the host answered only when the function had ended"
        until(lambda: not stack.broker.waiting("singles"), "singles is empty")
        deliveries = [entry["messages"][0]["delivery"] for entry in stack.seen("one")]
        if deliveries == [1]:
            return
    raise AssertionError(f"the lock was lost each time: deliveries {deliveries}")


def test_a_function_over_its_time_limit_abandons(stack: Stack) -> None:
    invocations = stack.run("singles", ServiceBusMessage("sleep 60"))

    assert [(entry["messages"][0]["delivery"], entry["ended"] is None) for entry in invocations] == [
        (1, True),
        (2, False),
    ]


def test_five_hundred_messages_are_settled_fast(stack: Stack) -> None:
    # About 1 s; one after the other over a stalling link it would be 100 s.
    messages = [ServiceBusMessage("x" * 100, message_id=f"fast-{n}") for n in range(500)]
    invocations = stack.run("batches", *messages, seconds=50)

    taken = {m["id"] for entry in invocations for m in entry["messages"]}
    assert taken == {message.message_id for message in messages}


def test_no_secret_was_logged(stack: Stack) -> None:
    assert "SharedAccessKey=local" not in stack.host.log
    assert "Warning" not in stack.host.log


def test_a_broker_outage_is_survived_and_told_once_each_way(tmp_path: Path) -> None:
    settings = {
        "BATCH_QUEUE": "batches",
        "AzureFunctionsJobHost__extensions__serviceBus__minMessageBatchSize": "2",
        "AzureFunctionsJobHost__extensions__serviceBus__maxBatchWaitTime": "00:00:10",
    }
    with ExitStack() as outage, ExitStack() as rest:
        first = outage.enter_context(running_broker(QUEUES))
        settings["Bus"] = first.connection_string
        host = rest.enter_context(running(APPS / "queue", tmp_path, settings))
        host.wait_for_log("listens to queue", 3)

        outage.close()
        host.wait_for_log("cannot listen to queue", 3)
        time.sleep(0.6)  # attempts fail meanwhile
        second = rest.enter_context(running_broker(QUEUES, port=first.broker.port))
        host.wait_for_log("listens to queue", 6)

        # Two sends, and the second makes the smallest batch full long before the first has waited 10 s.
        second.send("batches", [ServiceBusMessage("one")])
        second.send("batches", [ServiceBusMessage("two")])
        until(lambda: not second.waiting("batches"), "the batch is completed")
        batches = [len(entry["messages"]) for entry in host.client.get("/api/seen").json()]
        host.stop()

        assert batches == [2]
        assert host.log.count("cannot listen to queue") == 3
        assert host.log.count("listens to queue") == 6
