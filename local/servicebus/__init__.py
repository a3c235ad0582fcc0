"""An embedded message broker for one machine: the unmodified Service Bus SDKs work against it."""

from local.servicebus.broker import Broker
from local.servicebus.entry import Counts
from local.servicebus.faults import Faults
from local.servicebus.settings import QueueSettings

__all__ = ["Broker", "Counts", "Faults", "QueueSettings"]
