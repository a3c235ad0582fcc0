"""The semantics of one queue as a pure state machine: no sockets, no asyncio, no wall clock.

Every operation first lets the time since the last one pass (`advance`), in the order in which things fall
due, so that a queue behaves the same under a real clock and under a simulated one that jumps.
Rules: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
"""

import heapq
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from local.emulators.servicebus.due import DueKeys
from local.emulators.servicebus.duplicates import RecentIds
from local.emulators.servicebus.entry import Counts, Entry, State, Submission
from local.emulators.servicebus.errors import LockLostError, MessageNotFoundError, NotAllowedError, QueueFullError
from local.emulators.servicebus.keeper import Forgetful, Keeper
from local.emulators.servicebus.ready import Ready
from local.emulators.servicebus.sessions import SessionLock
from local.emulators.servicebus.settings import QueueSettings

_ONE_FOR_ALL: Final[str | None] = None  # the line of a queue without sessions

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
    ) -> None:
        self.settings = settings
        self.dead_letters: Queue[T] | None = None
        if not is_dead_letter_queue:
            graves = keeper.of_dead_letters() if keeper is not None else None
            self.dead_letters = Queue(settings, clock, tokens, is_dead_letter_queue=True, keeper=graves)
        self._clock = clock
        self._tokens = tokens
        self._entries: dict[int, Entry[T]] = {}
        self._ready = Ready(self._entries)
        self._deferred: set[int] = set()  # without the locked ones
        self._locks: dict[UUID, Entry[T]] = {}
        self._lock_ends: DueKeys[int] = DueKeys()
        self._scheduled: DueKeys[int] = DueKeys()
        self._expiries: DueKeys[int] = DueKeys()
        self._recent_ids = RecentIds(settings.duplicate_window)
        self._last_number = 0
        self._bytes = 0
        self._keeper: Keeper[T] = keeper if keeper is not None else Forgetful[T]()
        self._restore()

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
        if self._bytes + sum(each.size for each in submissions) > self.settings.max_queue_bytes:
            raise QueueFullError(
                f"The queue {self.settings.name!r} is full: it holds {self._bytes} bytes, its limit is "
                f"{self.settings.max_queue_bytes}. Receive messages from it first."
            )
        return [self._enqueue(submission, now) for submission in submissions]

    def cancel_scheduled(self, sequence_numbers: list[int]) -> None:
        """Withdraw scheduled messages, all or none.

        Raises:
            MessageNotFoundError: one of them is not scheduled (any more).
        """
        self.advance()
        for number in sequence_numbers:
            if number not in self._scheduled:
                raise MessageNotFoundError(number, "scheduled")
        for number in set(sequence_numbers):
            self._remove(self._entries[number])

    # Receiving

    def receive(self, limit: int = 1, *, delete: bool = False, session: SessionLock | None = None) -> list[Entry[T]]:
        """Take up to `limit` messages, lowest sequence number first: locked, or removed if `delete`.

        `session` is whose messages to take, on a queue with sessions.
        """
        now = self.advance()
        line = session.session_id if session is not None else None
        taken: list[Entry[T]] = []
        while len(taken) < limit and (number := self._ready.take(line)) is not None:
            entry = self._entries[number]
            self._take(entry, now, delete=delete)
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
            entry = self._entries.get(number)
            if entry is not None and number in self._deferred and _is_expired(entry, now):
                self._expire(entry)
            if number not in self._deferred or self._line(self._entries[number]) not in {None, session_id}:
                raise MessageNotFoundError(number, "deferred and unlocked")
        entries = [self._entries[number] for number in dict.fromkeys(sequence_numbers)]
        for entry in entries:
            self._deferred.discard(entry.sequence_number)
            self._take(entry, now, delete=delete)
        return entries

    def peek(self, from_sequence_number: int = 0, limit: int = 1, *, session_id: str | None = None) -> list[Entry[T]]:
        """Look at messages in any state, by ascending number. The entries are live: only read them."""
        self.advance()
        wanted = (
            number
            for number, entry in self._entries.items()
            if number >= from_sequence_number and session_id in {None, entry.submission.session_id}
        )
        return [self._entries[number] for number in heapq.nsmallest(limit, wanted)]

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
        self._remove(self._unlock(token))

    def abandon(self, token: UUID) -> None:
        """Count a failed delivery; give the message back, or dead-letter it after the last permitted one."""
        self._fail(self._unlock(token), self._clock())

    def release(self, token: UUID) -> None:
        """Give the message back as if it had not been delivered."""
        self._give_back(self._unlock(token), self._clock())

    def defer(self, token: UUID) -> None:
        """Set the message aside until it is received by its sequence number; counts as a failed delivery."""
        entry = self._unlock(token)
        entry.delivery_count += 1
        entry.state = State.DEFERRED
        self._give_back(entry, self._clock())

    def dead_letter(self, token: UUID, reason: str | None = None, description: str | None = None) -> None:
        """Move the message to the dead-letter queue.

        Raises:
            NotAllowedError: it is there already.
        """
        if self.dead_letters is None:
            raise NotAllowedError(
                "A message in a dead-letter queue cannot be dead-lettered again. Complete it instead."
            )
        self._bury(self._unlock(token), reason, description)

    def renew(self, token: UUID) -> datetime:
        """Lock the message for another `lock_duration` from now; return the new end."""
        now = self.advance()
        entry = self._held(token)
        entry.locked_until = now + self.settings.lock_duration
        self._lock_ends.add(entry.sequence_number, entry.locked_until)
        return entry.locked_until

    def locked(self, token: UUID) -> Entry[T]:
        """The message behind a held lock."""
        self.advance()
        return self._held(token)

    # Time and figures

    def advance(self) -> datetime:
        """Let happen what has fallen due: lock ends, scheduled messages, expiries. Return the present."""
        now = self._clock()
        while (due := self._first_due()) is not None and due <= now:
            self._pass(due, now)
        return now

    def next_due(self) -> datetime | None:
        """When something happens next by itself, here or in the dead-letter queue."""
        dues = [self._first_due(), self.dead_letters.next_due() if self.dead_letters is not None else None]
        return min((due for due in dues if due is not None), default=None)

    def counts(self) -> Counts:
        """The figures of now, in constant time."""
        self.advance()
        locked, scheduled, deferred = len(self._locks), len(self._scheduled), len(self._deferred)
        return Counts(
            active=len(self._entries) - locked - scheduled - deferred,
            scheduled=scheduled,
            deferred=deferred,
            dead_lettered=len(self.dead_letters) if self.dead_letters is not None else 0,
            locked=locked,
        )

    def _enqueue(self, submission: Submission[T], now: datetime) -> int:
        known = self._recent_ids.number_of(submission.message_id, now)
        if known is not None:
            return known
        later = submission.scheduled_for
        state = State.SCHEDULED if later is not None and later > now else State.ACTIVE
        entry = Entry(submission, submission.content, self._next_number(), now, state)
        self._insert(entry)
        if later is not None and state is State.SCHEDULED:
            self._scheduled.add(entry.sequence_number, later)
        else:
            self._activate(entry, now)
        self._recent_ids.add(submission.message_id, entry.sequence_number, now)
        self._keeper.put(entry)
        return entry.sequence_number

    def take_over(self, entry: Entry[T]) -> None:
        """Make a message of the main queue one of this dead-letter queue; it keeps its sequence number."""
        self._insert(entry)
        self._put_in_line(entry)
        self._keeper.put(entry)

    def __len__(self) -> int:
        """How many messages there are, in any state, without those of the dead-letter queue."""
        return len(self._entries)

    def _restore(self) -> None:
        """Take up what a broker before this one left; locks that it gave are over, without a failed delivery."""
        self._last_number, entries = self._keeper.kept()
        for entry in entries:
            self._insert(entry)
            if entry.expires_at is not None:
                self._expiries.add(entry.sequence_number, entry.expires_at)
            if entry.state is State.SCHEDULED:
                self._scheduled.add(entry.sequence_number, entry.submission.scheduled_for or entry.enqueued_at)
            else:
                self._settle_down(entry)
            self._recent_ids.add(entry.submission.message_id, entry.sequence_number, entry.enqueued_at)

    def _first_due(self) -> datetime | None:
        dues = (self._lock_ends.first(), self._scheduled.first(), self._expiries.first())
        return min((due for due in dues if due is not None), default=None)

    def _pass(self, due: datetime, now: datetime) -> None:
        """Let one thing happen that is due, the first one."""
        del now
        if due == self._lock_ends.first():
            entry = self._entries[self._lock_ends.pop()]
            if entry.lock_token is not None:
                del self._locks[entry.lock_token]
            entry.lock_token = entry.locked_until = None
            self._fail(entry, due)
        elif due == self._scheduled.first():
            entry = self._entries.pop(self._scheduled.pop())
            self._keeper.drop(entry.sequence_number)
            # A scheduled message is appended as if sent at that instant, which gives it a new number.
            entry.sequence_number = self._next_number()
            entry.enqueued_at = due
            entry.state = State.ACTIVE
            self._entries[entry.sequence_number] = entry
            self._activate(entry, due)
            self._keeper.put(entry)
        else:
            entry = self._entries[self._expiries.pop()]
            # A locked one expires when its lock ends, a deferred one when somebody tries to receive it.
            if entry.lock_token is None and entry.state is not State.DEFERRED:
                self._expire(entry)

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _line(self, entry: Entry[T]) -> str | None:
        """The line in which the message waits: one for all, on a queue without sessions."""
        del entry
        return _ONE_FOR_ALL

    def _put_in_line(self, entry: Entry[T]) -> None:
        self._ready.add(entry.sequence_number, self._line(entry))

    def _insert(self, entry: Entry[T]) -> None:
        self._entries[entry.sequence_number] = entry
        self._bytes += entry.submission.size

    def _remove(self, entry: Entry[T]) -> None:
        number = entry.sequence_number
        del self._entries[number]
        self._keeper.drop(number)
        self._bytes -= entry.submission.size
        self._deferred.discard(number)
        self._scheduled.discard(number)
        self._expiries.discard(number)

    def _activate(self, entry: Entry[T], now: datetime) -> None:
        lives = [life for life in (entry.submission.time_to_live, self.settings.time_to_live) if life is not None]
        if lives:
            try:
                entry.expires_at = now + min(lives)
            except OverflowError:
                entry.expires_at = None  # beyond the calendar is never
            else:
                self._expiries.add(entry.sequence_number, entry.expires_at)
        self._put_in_line(entry)

    def _take(self, entry: Entry[T], now: datetime, *, delete: bool) -> None:
        if delete:
            self._remove(entry)
            return
        entry.lock_token = self._tokens()
        self._locks[entry.lock_token] = entry
        self._lock(entry, entry.lock_token, now)

    def _lock(self, entry: Entry[T], token: UUID, now: datetime) -> None:
        """Say how long the message is locked."""
        del token
        entry.locked_until = now + self.settings.lock_duration
        self._lock_ends.add(entry.sequence_number, entry.locked_until)

    def _held(self, token: UUID) -> Entry[T]:
        entry = self._locks.get(token)
        if entry is None:
            raise LockLostError(token)
        return entry

    def _unlock(self, token: UUID) -> Entry[T]:
        self.advance()
        entry = self._held(token)
        del self._locks[token]
        self._lock_ends.discard(entry.sequence_number)
        entry.lock_token = entry.locked_until = None
        return entry

    def _fail(self, entry: Entry[T], now: datetime) -> None:
        entry.delivery_count += 1
        limit = self.settings.max_delivery_count
        if self.dead_letters is not None and entry.delivery_count >= limit:
            description = f"The message was delivered {limit} times and never settled successfully."
            self._bury(entry, "MaxDeliveryCountExceeded", description)
        else:
            self._give_back(entry, now)

    def _give_back(self, entry: Entry[T], now: datetime) -> None:
        if entry.state is not State.DEFERRED and _is_expired(entry, now):
            self._expire(entry)
            return
        self._settle_down(entry)
        self._keeper.put(entry)

    def _settle_down(self, entry: Entry[T]) -> None:
        if entry.state is State.DEFERRED:
            self._deferred.add(entry.sequence_number)
        else:
            self._put_in_line(entry)

    def _expire(self, entry: Entry[T]) -> None:
        if self.settings.dead_letter_on_expiration:
            self._bury(entry, "TTLExpiredException", "The message outlived its time to live.")
        else:
            self._remove(entry)

    def _bury(self, entry: Entry[T], reason: str | None, description: str | None) -> None:
        grave = self.dead_letters
        if grave is None:
            raise NotAllowedError("A dead-letter queue has no dead-letter queue of its own.")
        self._remove(entry)
        entry.state = State.ACTIVE
        entry.expires_at = None  # nothing expires in a dead-letter queue
        entry.dead_letter_reason, entry.dead_letter_description = reason, description
        grave.take_over(entry)


def _is_expired(entry: Entry[Any], now: datetime) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now
