"""A batch reaches the functions as its bodies alone, and only where no body can be taken for another's."""

import json
from types import SimpleNamespace

import pytest
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter

import functions


def decoded(bodies: list[bytes], count: int) -> list[bytes]:
    """The bodies that the worker hands over for a batch of so many messages."""
    metadata = {
        "UserPropertiesArray": Datum(json.dumps([{}] * count), "json"),
        "EnqueuedTimeUtcArray": Datum("nothing that could be read", "json"),
    }
    data = Datum(SimpleNamespace(bytes=bodies), "collection_bytes")
    messages = ServiceBusMessageInConverter.decode(data, trigger_metadata=metadata)
    assert isinstance(messages, list)
    return [message.get_body() for message in messages]


@pytest.mark.parametrize("bodies", [[b"{}"], [b"", b"\xff", b"\0"], [b"{}"] * 500])
def test_the_bodies_of_a_batch_are_handed_over_without_reading_its_properties(bodies: list[bytes]) -> None:
    assert functions.bodies
    assert decoded(bodies, len(bodies)) == bodies


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_of_which_a_body_is_missing_or_left_over_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="line 1 column 1"):  # by azure-functions, which reads all properties then
        decoded([b"{}"] * 2, count)


def test_bodies_that_are_no_bytes_are_left_to_azure_functions() -> None:
    metadata = {"UserPropertiesArray": Datum("[{}]", "json"), "MessageIdArray": Datum('["m-1"]', "json")}
    messages = ServiceBusMessageInConverter.decode(Datum('["text"]', "json"), trigger_metadata=metadata)
    assert isinstance(messages, list)
    assert [message.message_id for message in messages] == ["m-1"]
