"""What a queue answers when it cannot do what was asked.

QueueError
├── LockLostError                the lock token is unknown, settled or expired
├── SessionLockLostError         no receiver holds the session (any more)
├── SessionCannotBeLockedError   another receiver holds the session
├── MessageNotFoundError         no deferred or scheduled message has that sequence number
├── QueueFullError               the queue has reached its size limit
├── NotAllowedError              the operation does not exist on this kind of queue
├── HeaderTooLargeError          a message's properties together are too large
├── PropertyTooLargeError        one property of a message is too large
└── IdTooLongError               a message id, session id or partition key is too long
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


class SessionLockLostError(QueueError):
    """Another receiver may hold the session by now."""

    condition = "com.microsoft:session-lock-lost"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"The lock of the session {session_id!r} is not held: it expired. Accept the session again.")


class SessionCannotBeLockedError(QueueError):
    """The session is not free."""

    condition = "com.microsoft:session-cannot-be-locked"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"The requested session {session_id!r} cannot be accepted. It may be locked by another receiver."
        )


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


class HeaderTooLargeError(QueueError):
    """The service fails to serialize such a header, and says that the size quota of the stream was exceeded."""

    condition = "amqp:link:message-size-exceeded"


class PropertyTooLargeError(QueueError):
    """The service has no condition of its own for it: clients see that it was unable to process the request."""

    condition = "amqp:internal-error"


class IdTooLongError(QueueError):
    """Longer than the service permits."""

    condition = "com.microsoft:argument-out-of-range"
