"""The queue's rules under a clock that only the test moves."""

from copy import copy
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as StateBundle
from hypothesis.stateful import RuleBasedStateMachine, consumes, invariant, rule

from local.emulators.servicebus.entry import Counts, Entry, State, Submission
from local.emulators.servicebus.errors import LockLostError, MessageNotFoundError, NotAllowedError, QueueFullError
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.session_queue import SessionQueue
from local.emulators.servicebus.sessions import SessionLock
from local.emulators.servicebus.settings import QueueSettings

SECOND = timedelta(seconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def token(entry: Entry[str]) -> UUID:
    assert entry.lock_token is not None
    return entry.lock_token


def test_a_jump_in_time_lets_things_happen_in_the_order_in_which_they_were_due(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", lock_duration=10 * SECOND, max_delivery_count=2), clock)
    queue.send(Submission("locked"), Submission("later", scheduled_for=START + 5 * SECOND))
    queue.receive()
    clock.move(60)
    later, locked = sorted(queue.receive(5), key=lambda entry: entry.enqueued_at, reverse=True)
    assert (later.content, later.enqueued_at) == ("later", START + 5 * SECOND)
    assert (locked.content, locked.delivery_count) == ("locked", 1)


def test_a_scheduled_message_gets_a_new_number_behind_what_was_sent_meanwhile(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q"), clock)
    (first,) = queue.send(Submission("scheduled", scheduled_for=START + SECOND))
    queue.send(Submission("sent"))
    clock.move(1)
    assert [(entry.content, entry.state) for entry in queue.receive(5)] == [
        ("sent", State.ACTIVE),
        ("scheduled", State.ACTIVE),
    ]
    with pytest.raises(MessageNotFoundError):
        queue.cancel_scheduled([first])


def test_cancelling_is_all_or_none(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q"), clock)
    (number,) = queue.send(Submission("scheduled", scheduled_for=START + SECOND))
    with pytest.raises(MessageNotFoundError):
        queue.cancel_scheduled([number, number + 1])
    assert queue.counts().scheduled == 1


def test_a_release_does_not_count_as_a_delivery(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", max_delivery_count=1), clock)
    queue.send(Submission("m"))
    queue.release(token(queue.receive()[0]))
    assert queue.receive()[0].delivery_count == 0


def test_a_lock_is_held_until_its_end_and_not_at_its_end(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", lock_duration=10 * SECOND), clock)
    queue.send(Submission("m"))
    (entry,) = queue.receive()
    held = token(entry)
    clock.move(9.999)
    assert queue.renew(held) == clock.now + 10 * SECOND
    clock.move(10)
    with pytest.raises(LockLostError):
        queue.renew(held)


def test_every_settlement_of_a_lost_lock_is_refused_and_changes_nothing(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", lock_duration=SECOND), clock)
    queue.send(Submission("m"))
    (entry,) = queue.receive()
    lost = token(entry)
    clock.move(1)
    for settle in (queue.complete, queue.abandon, queue.release, queue.defer, queue.dead_letter, queue.locked):
        with pytest.raises(LockLostError):
            settle(lost)
    assert queue.counts() == Counts(active=1, scheduled=0, deferred=0, dead_lettered=0, locked=0)


def test_a_locked_message_expires_only_when_its_lock_ends(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", lock_duration=10 * SECOND), clock)
    queue.send(Submission("completed", time_to_live=SECOND), Submission("abandoned", time_to_live=SECOND))
    first, second = queue.receive(2)
    clock.move(5)
    queue.complete(token(first))
    queue.abandon(token(second))
    assert queue.counts() == Counts(active=0, scheduled=0, deferred=0, dead_lettered=1, locked=0)


def test_a_deferred_message_expires_only_when_somebody_tries_to_receive_it(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q"), clock)
    (number,) = queue.send(Submission("m", time_to_live=SECOND))
    queue.defer(token(queue.receive()[0]))
    clock.move(1)
    assert queue.counts() == Counts(active=0, scheduled=0, deferred=1, dead_lettered=0, locked=0)
    with pytest.raises(MessageNotFoundError):
        queue.receive_deferred([number])
    assert queue.counts() == Counts(active=0, scheduled=0, deferred=0, dead_lettered=1, locked=0)


def test_a_message_deferred_after_its_life_has_ended_waits_as_well(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q"), clock)
    queue.send(Submission("m", time_to_live=SECOND))
    (entry,) = queue.receive()
    clock.move(5)
    queue.defer(token(entry))
    assert queue.counts() == Counts(active=0, scheduled=0, deferred=1, dead_lettered=0, locked=0)


def test_nothing_expires_in_a_dead_letter_queue_and_its_locks_end(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", lock_duration=SECOND, time_to_live=SECOND), clock)
    queue.send(Submission("m"))
    queue.dead_letter(token(queue.receive()[0]), "why")
    assert queue.dead_letters is not None
    queue.dead_letters.receive()
    assert queue.next_due() == START + SECOND
    clock.move(1_000_000)
    (entry,) = queue.dead_letters.receive()
    assert (entry.content, entry.dead_letter_reason, entry.delivery_count) == ("m", "why", 1)
    with pytest.raises(NotAllowedError):
        queue.dead_letters.dead_letter(token(entry))
    with pytest.raises(NotAllowedError):
        queue.dead_letters.send(Submission("m"))


def test_a_life_beyond_the_calendar_is_for_ever(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", time_to_live=timedelta.max), clock)
    queue.send(Submission("m"))
    assert queue.next_due() is None


def test_a_full_queue_takes_a_batch_as_a_whole_or_not_at_all(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", max_queue_bytes=10), clock)
    queue.send(Submission("m", size=6))
    with pytest.raises(QueueFullError, match="holds 6 bytes"):
        queue.send(Submission("m", size=1), Submission("m", size=5))
    assert queue.counts().active == 1
    queue.complete(token(queue.receive()[0]))
    queue.send(Submission("m", size=10))


def test_the_ids_of_a_window_are_forgotten_after_it(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", duplicate_window=10 * SECOND), clock)
    for index in range(100):
        queue.send(Submission("m", message_id=str(index)))
        clock.move(1)
    assert len(queue.stock._recent_ids) <= 11


def test_what_was_settled_leaves_no_trace_behind(clock: Clock) -> None:
    queue: Queue[str] = Queue(QueueSettings("q", time_to_live=timedelta(days=14)), clock)
    for _ in range(2000):
        queue.send(Submission("m", size=1))
        queue.complete(token(queue.receive()[0]))
    assert len(queue) == queue.stock.shelf.size == 0
    assert len(queue.stock._expiries._heap) + len(queue._locks._ends._heap) < 300


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/$management"}, "name"),
        ({"name": "q", "lock_duration": timedelta()}, "lock_duration"),
        ({"name": "q", "lock_duration": 301 * SECOND}, "at most 5 minutes"),
        ({"name": "q", "max_delivery_count": 0}, "max_delivery_count"),
        ({"name": "q", "duplicate_window": timedelta()}, "duplicate_window"),
        ({"name": "q", "time_to_live": -SECOND}, "time_to_live"),
        ({"name": "q", "max_message_bytes": 0}, "max_message_bytes"),
    ],
)
def test_settings_that_no_queue_can_have_are_refused_by_name(bad: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        QueueSettings(**bad)  # type: ignore[arg-type]


class Shelf:
    """Keeps copies of the messages of a queue and of its dead letters."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry[int]] = {}
        self.last = 0
        self.graves: Shelf | None = None

    def of_dead_letters(self) -> "Shelf":
        self.graves = self.graves or Shelf()
        return self.graves

    def put(self, entry: Entry[int]) -> None:
        self.entries[entry.sequence_number] = copy(entry)
        self.last = max(self.last, entry.sequence_number)

    def drop(self, number: int) -> None:
        self.entries.pop(number, None)

    def kept(self) -> tuple[int, list[Entry[int]]]:
        return self.last, [copy(entry) for _, entry in sorted(self.entries.items())]


class NothingIsLost(RuleBasedStateMachine):
    """Whatever is done in whatever order, each message is in exactly one place until it is completed."""

    held = StateBundle("held")
    with_sessions = False

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        settings = QueueSettings(
            "q",
            lock_duration=10 * SECOND,
            max_delivery_count=3,
            duplicate_window=60 * SECOND,
            requires_session=self.with_sessions,
        )
        self.settings = settings
        self.shelf = Shelf()
        self.queue = self.begin()
        assert self.queue.dead_letters is not None
        self.graves = self.queue.dead_letters
        self.sent: set[int] = set()
        self.done: set[int] = set()
        self.deferred: set[int] = set()

    @rule(
        life=st.one_of(st.none(), st.integers(1, 40)),
        delay=st.integers(-5, 30),
        key=st.one_of(st.none(), st.integers(0, 5)),
    )
    def send(self, life: int | None, delay: int, key: int | None) -> None:
        content = len(self.sent)
        before = len(self.queue) + len(self.graves)
        self.queue.send(
            Submission(
                content,
                message_id=None if key is None else str(key),
                time_to_live=None if life is None else life * SECOND,
                scheduled_for=self.clock.now + delay * SECOND,
                session_id=str(content % 3),
            )
        )
        if len(self.queue) + len(self.graves) > before:
            self.sent.add(content)

    @rule(target=held, dead=st.booleans())
    def receive(self, dead: bool) -> tuple[bool, UUID, int] | None:
        entries = self.graves.receive() if dead else self.from_queue()
        if not entries:
            return None
        (entry,) = entries
        return dead, token(entry), entry.content  # type: ignore[arg-type]

    def begin(self) -> Queue[int]:
        kind: type[Queue[int]] = SessionQueue if self.with_sessions else Queue
        return kind(self.settings, self.clock, keeper=self.shelf)

    def from_queue(self) -> list[Entry[int]]:
        return self.queue.receive()

    @rule(lock=consumes(held), how=st.sampled_from(["complete", "abandon", "release", "defer", "dead_letter"]))
    def settle(self, lock: tuple[bool, UUID, int] | None, how: str) -> None:
        if lock is None:
            return
        dead, key, content = lock
        try:
            getattr(self.graves if dead else self.queue, how)(key)
        except (LockLostError, NotAllowedError):
            return
        if how == "complete":
            self.done.add(content)

    @rule(lock=held)
    def renew(self, lock: tuple[bool, UUID, int] | None) -> None:
        if lock is not None:
            dead, key, _ = lock
            try:
                assert (self.graves if dead else self.queue).renew(key) == self.clock.now + 10 * SECOND
            except (LockLostError, NotAllowedError):
                return

    @rule()
    def restart(self) -> None:
        """Begin again with nothing but what was kept: all is there as it was, and the locks are over."""
        before = {entry.sequence_number: (entry.content, entry.state) for entry in self.queue.peek(0, 1000)}
        self.queue = self.begin()
        assert self.queue.dead_letters is not None
        self.graves = self.queue.dead_letters
        assert {each.sequence_number: (each.content, each.state) for each in self.queue.peek(0, 1000)} == before
        assert self.queue.counts().locked == 0

    @rule(seconds=st.integers(1, 50))
    def wait(self, seconds: int) -> None:
        self.clock.move(seconds)

    @invariant()
    def each_message_is_in_one_place(self) -> None:
        self.queue.advance()
        places = [entry.content for entry in self.queue.peek(0, 1000) + self.graves.peek(0, 1000)]
        assert sorted([*places, *self.done]) == sorted(self.sent)

    @invariant()
    def the_counts_add_up(self) -> None:
        counts = self.queue.counts()
        assert counts.active + counts.scheduled + counts.deferred + counts.locked == len(self.queue)
        assert min(counts.active, counts.scheduled, counts.deferred, counts.locked) >= 0
        assert counts.active == len(self.queue.stock._ready)

    @invariant()
    def what_is_due_lies_ahead(self) -> None:
        due = self.queue.next_due()
        assert due is None or due > self.clock.now


class NothingIsLostInSessions(NothingIsLost):
    """The same on a queue with sessions, whose receivers come and go."""

    with_sessions = True
    hold: SessionLock | None = None

    def from_queue(self) -> list[Entry[int]]:
        if self.hold is None or not self.queue.with_sessions().holds(self.hold):
            self.hold = self.queue.with_sessions().accept_session()
            assert self.hold is not None or self.queue.counts().active == 0
        entries = self.queue.receive(session=self.hold)
        assert self.hold is None or {entry.submission.session_id for entry in entries} <= {self.hold.session_id}
        return entries

    @rule()
    def release_session(self) -> None:
        if self.hold is not None:
            self.queue.with_sessions().release_session(self.hold)

    @rule()
    def renew_session(self) -> None:
        if self.hold is not None and self.queue.with_sessions().holds(self.hold):
            assert self.queue.with_sessions().renew_session(self.hold.session_id) == self.clock.now + 10 * SECOND

    @invariant()
    def only_who_holds_a_session_holds_its_messages(self) -> None:
        counts = self.queue.counts()
        held = self.hold is not None and self.queue.with_sessions().holds(self.hold)
        assert counts.locked == (len(self.hold.tokens) if self.hold is not None and held else 0)


TestNothingIsLost = NothingIsLost.TestCase
TestNothingIsLostInSessions = NothingIsLostInSessions.TestCase
TestNothingIsLostInSessions.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
TestNothingIsLost.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
