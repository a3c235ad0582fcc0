"""An embedded message broker for one machine: the unmodified Service Bus SDKs work against it."""

from local.emulators.servicebus.broker import Broker, Tls
from local.emulators.servicebus.entry import Counts
from local.emulators.servicebus.faults import Faults
from local.emulators.servicebus.settings import QueueSettings

__all__ = ["Broker", "Counts", "Faults", "QueueSettings", "Tls"]
__version__ = "1.0.0"
