"""Requests to `$management` as only a hostile client makes them: each is answered, whatever its arguments are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local.emulators.servicebus import QueueSettings
from local.emulators.servicebus.amqp import values as amqp
from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.entity import Outlet
from local.emulators.servicebus.entry import Submission
from local.emulators.servicebus.management import OPERATIONS, respond
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.session_queue import SessionQueue

TOKEN = UUID(int=1)
NAMES = (
    "disposition-status",
    "from-sequence-number",
    "last-updated-time",
    "lock-tokens",
    "message-count",
    "messages",
    "properties-to-modify",
    "receiver-settle-mode",
    "sequence-numbers",
    "session-id",
    "session-state",
    "skip",
    "top",
)
EXTREMES = st.sampled_from([0, 1, -1, (1 << 63) - 1, -(1 << 63)])
VALUES = st.one_of(
    EXTREMES,
    EXTREMES.map(amqp.Timestamp),
    st.none(),
    st.booleans(),
    st.sampled_from(["", "a", "completed", "defered", "suspended", b"", b"state", TOKEN, 0.5]),
    st.lists(EXTREMES, max_size=3).map(amqp.Array),
    st.just(amqp.Array([TOKEN])),
    st.just({"a": 1}),
    st.just([{"message": encode(amqp.Described(amqp.ULong(0x75), b"x"))}]),
    st.just([{"message": b"\x00\x53"}]),
)


def queues() -> list[Queue[Message]]:
    found: list[Queue[Message]] = []
    kinds: tuple[type[Queue[Message]], ...] = (Queue, SessionQueue)
    for kind in kinds:
        settings = QueueSettings("q", requires_session=kind is SessionQueue)
        queue = kind(settings, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        queue.send(Submission(Message.parse(encode(amqp.Described(amqp.ULong(0x75), b"x"))), session_id="a"))
        found.append(queue)
    return found


@pytest.mark.parametrize("operation", [*OPERATIONS, "unknown"])
@given(arguments=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=len(NAMES)))
@example(arguments={"last-updated-time": amqp.Timestamp(-(1 << 63)), "skip": 0, "top": 1})
@example(arguments={"last-updated-time": amqp.Timestamp(253_402_300_799_000), "skip": 0, "top": 1})
def test_every_request_is_answered_whatever_its_arguments_are(operation: str, arguments: dict[str, Any]) -> None:
    for queue in queues():
        request = Message.parse(
            encode(amqp.Described(amqp.ULong(0x74), {"operation": f"com.microsoft:{operation}"}))
            + encode(amqp.Described(amqp.ULong(0x77), arguments))
        )
        response = respond(Outlet(queue, lambda: None), request)
        assert response.status in {200, 204, 400, 403, 404, 410, 500, 501}
        assert Message.parse(response.encoded(None)).application_properties["statusCode"] == response.status
