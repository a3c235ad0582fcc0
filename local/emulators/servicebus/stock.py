"""The messages of one queue or dead-letter queue: where each waits, and what receivers and time make of it."""

from datetime import datetime

from local.emulators.servicebus.due import DueKeys
from local.emulators.servicebus.duplicates import RecentIds
from local.emulators.servicebus.entry import Counts, Entry, State, Submission
from local.emulators.servicebus.errors import NotAllowedError
from local.emulators.servicebus.locks import Locks
from local.emulators.servicebus.ready import Ready
from local.emulators.servicebus.settings import QueueSettings
from local.emulators.servicebus.shelf import Shelf


class Stock[T]:
    """Each message on the shelf is in line, scheduled, deferred, or locked.

    Attributes:
        graves: the stock of the dead-letter queue; None on a dead-letter queue.
    """

    def __init__(
        self,
        settings: QueueSettings,
        shelf: Shelf[T],
        locks: Locks[T],
        graves: "Stock[T] | None",
    ) -> None:
        """Put in place what a broker before this one left: its locks are over, without a failed delivery."""
        self.shelf = shelf
        self.graves = graves
        self._settings = settings
        self._locks = locks
        self._ready = Ready(shelf)
        self._deferred: set[int] = set()  # without the locked ones
        self._scheduled: DueKeys[int] = DueKeys()
        self._expiries: DueKeys[int] = DueKeys()
        self._recent_ids = RecentIds(settings.duplicate_window)
        for entry in shelf:
            self._set_expiry(entry, entry.expires_at)
            if entry.state is State.SCHEDULED:
                self._scheduled.add(entry.sequence_number, entry.submission.scheduled_for or entry.enqueued_at)
            else:
                self._put_in_place(entry)
            self._recent_ids.add(entry.submission.message_id, entry.sequence_number, entry.enqueued_at)

    def is_scheduled(self, number: int) -> bool:
        """Whether a message waits for its time."""
        return number in self._scheduled

    def is_deferred(self, number: int, session_id: str | None) -> bool:
        """Whether a message is set aside and unlocked, and in that session if the queue has sessions."""
        return number in self._deferred and self._line(self.shelf[number]) in {None, session_id}

    def waiting_sessions(self) -> list[str]:
        """The sessions with a message in line, the one with the oldest message first."""
        return self._ready.session_ids()

    def counts(self) -> Counts:
        """The figures of now, in constant time."""
        locked, scheduled, deferred = len(self._locks), len(self._scheduled), len(self._deferred)
        return Counts(
            active=len(self.shelf) - locked - scheduled - deferred,
            scheduled=scheduled,
            deferred=deferred,
            dead_lettered=len(self.graves.shelf) if self.graves is not None else 0,
            locked=locked,
        )

    # What comes in and goes out

    def add(self, submission: Submission[T], now: datetime) -> int:
        """Append a message, or drop it as a duplicate; return its number, or the number of the first one."""
        known = self._recent_ids.number_of(submission.message_id, now)
        if known is not None:
            return known
        later = submission.scheduled_for
        state = State.SCHEDULED if later is not None and later > now else State.ACTIVE
        entry = Entry(submission, submission.content, self.shelf.next_number(), now, state)
        if later is not None and state is State.SCHEDULED:
            self._scheduled.add(entry.sequence_number, later)
            self.shelf.put(entry)
        else:
            self._activate(entry, now)
        self._recent_ids.add(submission.message_id, entry.sequence_number, now)
        return entry.sequence_number

    def take_next(self, session_id: str | None, now: datetime, *, delete: bool) -> Entry[T] | None:
        """Lock the message that is first in line, or remove it; None if nobody is in line."""
        number = self._ready.take(session_id if self._locks.by_session else None)
        return self._take(number, now, delete=delete) if number is not None else None

    def take_deferred(self, number: int, now: datetime, *, delete: bool) -> Entry[T]:
        """Lock a message that is deferred, or remove it."""
        self._deferred.discard(number)
        return self._take(number, now, delete=delete)

    def remove(self, entry: Entry[T]) -> None:
        """Forget a message that is not locked."""
        self.shelf.remove(entry)
        self._deferred.discard(entry.sequence_number)
        self._scheduled.discard(entry.sequence_number)
        self._expiries.discard(entry.sequence_number)

    # What becomes of a message that is locked no more

    def fail(self, entry: Entry[T], now: datetime) -> None:
        """Count a failed delivery; give the message back, or dead-letter it after the last permitted one."""
        entry.delivery_count += 1
        limit = self._settings.max_delivery_count
        if self.graves is not None and entry.delivery_count >= limit:
            description = f"The message was delivered {limit} times and never settled successfully."
            self.bury(entry, "MaxDeliveryCountExceeded", description)
        else:
            self.give_back(entry, now)

    def give_back(self, entry: Entry[T], now: datetime) -> None:
        """Let the message be received again, unless its time to live has passed."""
        if entry.state is not State.DEFERRED and entry.is_expired(now):
            self._expire(entry)
            return
        self._put_in_place(entry)
        self.shelf.changed(entry)

    def bury(self, entry: Entry[T], reason: str | None, description: str | None) -> None:
        """Move the message to the dead-letter queue, where it keeps its sequence number.

        Raises:
            NotAllowedError: it is there already.
        """
        if self.graves is None:
            raise NotAllowedError("A dead-letter queue has no dead-letter queue of its own.")
        self.remove(entry)
        entry.state = State.ACTIVE
        entry.expires_at = None  # nothing expires in a dead-letter queue
        entry.dead_letter_reason, entry.dead_letter_description = reason, description
        self.graves.take_over(entry)

    def take_over(self, entry: Entry[T]) -> None:
        """Take a message of the main queue into this dead-letter queue."""
        self.shelf.put(entry)
        self._put_in_place(entry)

    def expire_deferred(self, number: int, now: datetime) -> None:
        """Let a deferred message expire if its time has passed: only an attempt to receive it does that."""
        if number in self._deferred and self.shelf[number].is_expired(now):
            self._expire(self.shelf[number])

    # Time

    def advance(self, now: datetime) -> None:
        """Let happen what has fallen due, in order: lock ends, scheduled messages, expiries."""
        while (due := self.first_due()) is not None and due <= now:
            self._pass(due, now)

    def first_due(self) -> datetime | None:
        """When something happens next by itself; None if nothing will."""
        dues = (self._locks.first_end(), self._scheduled.first(), self._expiries.first())
        return min((due for due in dues if due is not None), default=None)

    def _pass(self, due: datetime, now: datetime) -> None:
        """Let the first thing happen that is due."""
        if due == self._locks.first_end():
            for entry in self._locks.end_first(now):
                self.fail(entry, due)
        elif due == self._scheduled.first():
            entry = self.shelf[self._scheduled.pop()]
            self.shelf.remove(entry)
            # A scheduled message is appended as if sent at that instant, which gives it a new number.
            entry.sequence_number = self.shelf.next_number()
            entry.enqueued_at = due
            entry.state = State.ACTIVE
            self._activate(entry, due)
        else:
            entry = self.shelf[self._expiries.pop()]
            # A locked one expires when its lock ends, a deferred one when somebody tries to receive it.
            if entry.lock_token is None and entry.state is not State.DEFERRED:
                self._expire(entry)

    # The inside

    def _line(self, entry: Entry[T]) -> str | None:
        """The line in which the message waits: its session's, or one for all on a queue without sessions."""
        return entry.submission.session_id if self._locks.by_session else None

    def _activate(self, entry: Entry[T], now: datetime) -> None:
        self._set_expiry(entry, entry.submission.expiry(now, self._settings.time_to_live))
        self.shelf.put(entry)
        self._put_in_place(entry)

    def _set_expiry(self, entry: Entry[T], expires_at: datetime | None) -> None:
        entry.expires_at = expires_at
        if expires_at is not None:
            self._expiries.add(entry.sequence_number, expires_at)

    def _put_in_place(self, entry: Entry[T]) -> None:
        if entry.state is State.DEFERRED:
            self._deferred.add(entry.sequence_number)
        else:
            self._ready.add(entry.sequence_number, self._line(entry))

    def _take(self, number: int, now: datetime, *, delete: bool) -> Entry[T]:
        entry = self.shelf[number]
        if delete:
            self.remove(entry)
        else:
            self._locks.lock(entry, now)
        return entry

    def _expire(self, entry: Entry[T]) -> None:
        if self._settings.dead_letter_on_expiration:
            self.bury(entry, "TTLExpiredException", "The message outlived its time to live.")
        else:
            self.remove(entry)
