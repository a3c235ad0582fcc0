"""A batch of Service Bus messages as its bodies alone: the engine looks at nothing else.

azure-functions decodes some twenty properties of each message, and reads the JSON of all messages' properties anew for
each message and each property: half a second for a batch of 500, which grows with the square of the batch.
`.venv/bin/python -m benchmarks.metadata` measures it. Should a later version decode batches in another place, the
functions go on as before, only slower.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import azure.functions as func

_Converter = func.servicebus.ServiceBusMessageInConverter
WHOLE: Final = _Converter.decode_multiple_messages
"""azure-functions' own way."""
_BYTES: Final = "collection_bytes"


def bodies_alone(
    data: func.meta.Datum, *, trigger_metadata: Mapping[str, func.meta.Datum]
) -> list[func.servicebus.ServiceBusMessage]:
    """The messages of a batch, without their properties: those are as of a message that has none.

    What is not one body of bytes for each message is left to azure-functions, which refuses the batch.
    """
    bodies = data.value.bytes if data.type == _BYTES else []
    if len(bodies) != len(json.loads(trigger_metadata["UserPropertiesArray"].value)):
        return WHOLE(data, trigger_metadata=trigger_metadata)
    none: dict[str, Any] = {"application_properties": {}, "user_properties": {}, "message_id": ""}
    return [func.servicebus.ServiceBusMessage(body=body, trigger_metadata=trigger_metadata, **none) for body in bodies]


def bind() -> None:
    """Let the worker hand batches to the functions as their bodies alone."""
    _Converter.decode_multiple_messages = staticmethod(bodies_alone)  # type: ignore[method-assign]
