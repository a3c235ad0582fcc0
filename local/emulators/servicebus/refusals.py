"""The outcomes that tell a client why its message was not taken or settled."""

from uuid import UUID

from local.emulators.servicebus.amqp.outcomes import rejected
from local.emulators.servicebus.amqp.values import Described
from local.emulators.servicebus.errors import LockLostError, QueueError


def refused(error: QueueError) -> Described:
    """The outcome for a message that the queue refused to take or to settle."""
    return rejected(error.condition, str(error))


def lock_lost() -> Described:
    """The outcome for a delivery that this session does not know (any more)."""
    return refused(LockLostError(UUID(int=0)))
