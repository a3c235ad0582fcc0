"""Messages about orders become writes on the side that lacks them."""

from typing import List  # noqa: UP035  # the worker refuses list[...] as a binding's type

import azure.functions as func

from functions.causes import told
from shared.wiring import wiring

blueprint = func.Blueprint()


@blueprint.function_name("orders")
@blueprint.service_bus_queue_trigger(
    arg_name="messages",
    queue_name="orders",
    connection="ServiceBusConnection",
    cardinality=func.Cardinality.MANY,
    # As text the host would decode each body, with U+FFFD for what is not UTF-8, and drop the empty ones, so that the
    # worker cannot tell which body is whose and refuses the batch.
    data_type=func.DataType.BINARY,
)
async def orders(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006
    """Give every message of the batch its own outcome; raises only when an outcome cannot be written down."""
    with told("orders"):
        await wiring.handle("order", [message.get_body() for message in messages])
