"""What a queue answers when it cannot do what was asked.

QueueError
├── LockLostError          the lock token is unknown, settled or expired
├── MessageNotFoundError   no deferred or scheduled message has that sequence number
├── QueueFullError         the queue has reached its size limit
└── NotAllowedError        the operation does not exist on this kind of queue
"""

from typing import ClassVar
from uuid import UUID


class QueueError(Exception):
    """A refusal; `condition` is the AMQP error condition under which a client sees it."""

    condition: ClassVar[str] = "amqp:internal-error"


class LockLostError(QueueError):
    """The message behind this lock may be somebody else's by now."""

    condition = "com.microsoft:message-lock-lost"

    def __init__(self, token: UUID) -> None:
        super().__init__(
            f"The lock {token} is not held: it expired or the message was settled. Receive the message again."
        )
        self.token = token


class MessageNotFoundError(QueueError):
    """No message with this sequence number is in the state that the operation needs."""

    condition = "com.microsoft:message-not-found"

    def __init__(self, sequence_number: int, state: str) -> None:
        super().__init__(f"No {state} message has the sequence number {sequence_number}.")
        self.sequence_number = sequence_number


class QueueFullError(QueueError):
    """The queue holds as many bytes as it may."""

    condition = "amqp:resource-limit-exceeded"


class NotAllowedError(QueueError):
    """For example a send to a dead-letter queue."""

    condition = "amqp:not-allowed"
