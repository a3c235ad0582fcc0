"""The semantics of one queue as a pure state machine: no sockets, no asyncio, no wall clock.

Every operation first lets the time since the last one pass (`advance`), in the order in which things fall
due, so that a queue behaves the same under a real clock and under a simulated one that jumps.
Rules: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from local.emulators.servicebus.entry import Counts, Entry, State, Submission
from local.emulators.servicebus.errors import MessageNotFoundError, NotAllowedError, QueueFullError
from local.emulators.servicebus.keeper import Keeper
from local.emulators.servicebus.locks import Locks
from local.emulators.servicebus.sessions import SessionLock
from local.emulators.servicebus.settings import QueueSettings
from local.emulators.servicebus.shelf import Shelf
from local.emulators.servicebus.stock import Stock

if TYPE_CHECKING:
    from local.emulators.servicebus.session_queue import SessionQueue


class Queue[T]:
    """One queue and its dead-letter queue (`dead_letters`, None on a dead-letter queue itself).

    Deterministic for a given `clock` (UTC) and `tokens` (unique lock tokens).
    """

    def __init__(
        self,
        settings: QueueSettings,
        clock: Callable[[], datetime],
        tokens: Callable[[], UUID] = uuid4,
        *,
        is_dead_letter_queue: bool = False,
        keeper: Keeper[T] | None = None,
        locks: Locks[T] | None = None,
    ) -> None:
        self.settings = settings
        self.dead_letters: Queue[T] | None = None
        if not is_dead_letter_queue:
            kept = keeper.of_dead_letters() if keeper is not None else None
            self.dead_letters = Queue(settings, clock, tokens, is_dead_letter_queue=True, keeper=kept)
        self._clock = clock
        self._locks = locks if locks is not None else Locks(settings.lock_duration, tokens)
        graves = self.dead_letters.stock if self.dead_letters is not None else None
        self.stock: Stock[T] = Stock(settings, Shelf(keeper), self._locks, graves)

    def __len__(self) -> int:
        """How many messages there are, in any state, without those of the dead-letter queue."""
        return len(self.stock.shelf)

    # Sending

    def send(self, *submissions: Submission[T]) -> list[int]:
        """Enqueue all or none, each at once or at its `scheduled_for` ahead; return the sequence numbers.

        A duplicate (same `message_id` within the window) is accepted and dropped; its number is the first's.

        Raises:
            QueueFullError: there is no room for all of them below `max_queue_bytes`.
            NotAllowedError: this is a dead-letter queue, or one that requires sessions, and a message has none.
        """
        now = self.advance()
        if self.dead_letters is None:
            raise NotAllowedError("A dead-letter queue takes no messages from senders.")
        size = self.stock.shelf.size
        if size + sum(each.size for each in submissions) > self.settings.max_queue_bytes:
            raise QueueFullError(
                f"The queue {self.settings.name!r} is full: it holds {size} bytes, its limit is "
                f"{self.settings.max_queue_bytes}. Receive messages from it first."
            )
        return [self.stock.add(submission, now) for submission in submissions]

    def cancel_scheduled(self, sequence_numbers: list[int]) -> None:
        """Withdraw scheduled messages, all or none.

        Raises:
            MessageNotFoundError: one of them is not scheduled (any more).
        """
        self.advance()
        for number in sequence_numbers:
            if not self.stock.is_scheduled(number):
                raise MessageNotFoundError(number, "scheduled")
        for number in set(sequence_numbers):
            self.stock.remove(self.stock.shelf[number])

    # Receiving

    def receive(self, limit: int = 1, *, delete: bool = False, session: SessionLock | None = None) -> list[Entry[T]]:
        """Take up to `limit` messages, lowest sequence number first: locked, or removed if `delete`.

        `session` is whose messages to take, on a queue with sessions.
        """
        now = self.advance()
        line = session.session_id if session is not None else None
        taken: list[Entry[T]] = []
        while len(taken) < limit and (entry := self.stock.take_next(line, now, delete=delete)) is not None:
            taken.append(entry)
        return taken

    def receive_deferred(
        self, sequence_numbers: list[int], *, delete: bool = False, session_id: str | None = None
    ) -> list[Entry[T]]:
        """Take deferred messages by number, all or none; one whose time to live has passed expires now.

        Raises:
            MessageNotFoundError: one of them is not deferred, is locked, has expired, or is of another session.
            SessionLockLostError: the queue requires sessions, and nobody holds this one.
        """
        now = self.advance()
        for number in sequence_numbers:
            self.stock.expire_deferred(number, now)
            if not self.stock.is_deferred(number, session_id):
                raise MessageNotFoundError(number, "deferred and unlocked")
        return [self.stock.take_deferred(number, now, delete=delete) for number in dict.fromkeys(sequence_numbers)]

    def peek(self, from_sequence_number: int = 0, limit: int = 1, *, session_id: str | None = None) -> list[Entry[T]]:
        """Look at messages in any state, by ascending number. The entries are live: only read them."""
        self.advance()
        return self.stock.shelf.from_number(from_sequence_number, limit, session_id)

    def with_sessions(self) -> "SessionQueue[T]":
        """The same queue as one with sessions.

        Raises:
            NotAllowedError: it has none.
        """
        raise NotAllowedError(
            f"The queue {self.settings.name!r} has no sessions. Receive without a session, or configure it with "
            "requires_session."
        )

    # Settling; each raises LockLostError unless the token's lock is still held

    def complete(self, token: UUID) -> None:
        """Remove the message: it was processed."""
        self.stock.remove(self._unlock(token))

    def abandon(self, token: UUID) -> None:
        """Count a failed delivery; give the message back, or dead-letter it after the last permitted one."""
        self.stock.fail(self._unlock(token), self._clock())

    def release(self, token: UUID) -> None:
        """Give the message back as if it had not been delivered."""
        self.stock.give_back(self._unlock(token), self._clock())

    def defer(self, token: UUID) -> None:
        """Set the message aside until it is received by its sequence number; counts as a failed delivery."""
        entry = self._unlock(token)
        entry.delivery_count += 1
        entry.state = State.DEFERRED
        self.stock.give_back(entry, self._clock())

    def dead_letter(self, token: UUID, reason: str | None = None, description: str | None = None) -> None:
        """Move the message to the dead-letter queue.

        Raises:
            NotAllowedError: it is there already.
        """
        if self.dead_letters is None:
            raise NotAllowedError(
                "A message in a dead-letter queue cannot be dead-lettered again. Complete it instead."
            )
        self.stock.bury(self._unlock(token), reason, description)

    def renew(self, token: UUID) -> datetime:
        """Lock the message for another `lock_duration` from now; return the new end."""
        return self._locks.renew(token, self.advance())

    def locked(self, token: UUID) -> Entry[T]:
        """The message behind a held lock."""
        self.advance()
        return self._locks.held(token)

    # Time and figures

    def advance(self) -> datetime:
        """Let happen what has fallen due: lock ends, scheduled messages, expiries. Return the present."""
        now = self._clock()
        self.stock.advance(now)
        return now

    def next_due(self) -> datetime | None:
        """When something happens next by itself, here or in the dead-letter queue."""
        dues = [self.stock.first_due(), self.dead_letters.next_due() if self.dead_letters is not None else None]
        return min((due for due in dues if due is not None), default=None)

    def counts(self) -> Counts:
        """The figures of now, in constant time."""
        self.advance()
        return self.stock.counts()

    def _unlock(self, token: UUID) -> Entry[T]:
        self.advance()
        return self._locks.unlock(token)
