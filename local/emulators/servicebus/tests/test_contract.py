"""What every bus must do, the broker behind the real SDK and the bus in memory alike."""

from datetime import timedelta

import pytest

from local.emulators.servicebus.errors import LockLostError, MessageNotFoundError
from local.emulators.servicebus.memory import BusMessage
from local.emulators.servicebus.tests.drivers import Driver

pytestmark = pytest.mark.asyncio(loop_scope="module")


def messages(count: int) -> list[BusMessage]:
    return [BusMessage(f"body {index}".encode(), f"id-{index}") for index in range(count)]


async def test_a_batch_arrives_once_and_in_order(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(5))
    received = await bus.receive(queue, 5)
    assert [each.body for each in received] == [f"body {index}" for index in range(5)]
    assert [each.message_id for each in received] == [f"id-{index}" for index in range(5)]
    numbers = [each.sequence_number for each in received]
    assert numbers == sorted(set(numbers))
    assert await bus.is_empty(queue)


async def test_a_completed_message_is_gone(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    assert (bus.counts(queue).active, bus.counts(queue).locked) == (0, 1)
    await bus.settle(queue, received, "complete")
    counts = bus.counts(queue)
    assert (counts.active, counts.locked, counts.dead_lettered) == (0, 0, 0)


async def test_an_abandoned_message_comes_back_with_a_higher_delivery_count_and_before_later_ones(
    bus: Driver,
) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(2))
    (first,) = await bus.receive(queue, 1)
    assert first.delivery_count == 0
    await bus.settle(queue, first, "abandon")
    again, second = await bus.receive(queue, 2)
    assert (again.sequence_number, again.delivery_count) == (first.sequence_number, 1)
    assert (second.message_id, second.delivery_count) == ("id-1", 0)


async def test_a_message_is_dead_lettered_after_the_last_permitted_delivery(bus: Driver) -> None:
    queue = bus.queue("strict")
    await bus.send(queue, *messages(1))
    for _ in range(2):
        (received,) = await bus.receive(queue)
        await bus.settle(queue, received, "abandon")
    assert await bus.is_empty(queue)
    (dead,) = await bus.receive(queue, dead_letters=True)
    assert (dead.body, dead.reason) == ("body 0", "MaxDeliveryCountExceeded")
    assert dead.description
    assert dead.delivery_count == 2


async def test_a_dead_lettered_message_tells_why_and_can_be_completed_there(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    await bus.settle(queue, received, "dead-letter", "Unmapped", "estado: PERDIDO is not in the table")
    assert bus.counts(queue).dead_lettered == 1
    (dead,) = await bus.receive(queue, dead_letters=True)
    assert (dead.reason, dead.description) == ("Unmapped", "estado: PERDIDO is not in the table")
    assert (dead.body, dead.message_id) == ("body 0", "id-0")
    await bus.settle(queue, dead, "complete")
    assert bus.counts(queue).dead_lettered == 0


async def test_a_message_abandoned_in_the_dead_letter_queue_stays_there(bus: Driver) -> None:
    queue = bus.queue("strict")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    await bus.settle(queue, received, "dead-letter", "Why", "because")
    for _ in range(3):
        (dead,) = await bus.receive(queue, dead_letters=True)
        await bus.settle(queue, dead, "abandon")
    assert bus.counts(queue).dead_lettered == 1


async def test_a_deferred_message_is_received_only_by_its_number(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    await bus.settle(queue, received, "defer")
    assert bus.counts(queue).deferred == 1
    assert await bus.is_empty(queue)
    (deferred,) = await bus.receive_deferred(queue, [received.sequence_number])
    assert deferred.body == "body 0"
    await bus.settle(queue, deferred, "complete")
    assert bus.counts(queue).deferred == bus.counts(queue).locked == 0


async def test_a_deferred_message_that_is_abandoned_stays_deferred(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    await bus.settle(queue, received, "defer")
    (deferred,) = await bus.receive_deferred(queue, [received.sequence_number])
    await bus.settle(queue, deferred, "abandon")
    assert await bus.is_empty(queue)
    assert bus.counts(queue).deferred == 1


async def test_a_number_that_is_not_deferred_is_not_found(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (peeked,) = await bus.peek(queue)
    with pytest.raises(MessageNotFoundError):
        await bus.receive_deferred(queue, [peeked.sequence_number])
    assert bus.counts(queue).active == 1


async def test_a_lock_ends_and_the_message_comes_back_with_a_higher_delivery_count(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (first,) = await bus.receive(queue)
    await bus.pass_time(61)
    (second,) = await bus.receive(queue)
    assert (second.message_id, second.delivery_count) == ("id-0", 1)
    with pytest.raises(LockLostError):
        await bus.settle(queue, first, "complete")
    await bus.settle(queue, second, "complete")
    assert bus.counts(queue).active == bus.counts(queue).locked == 0


async def test_a_renewed_lock_outlives_its_first_duration(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(1))
    (received,) = await bus.receive(queue)
    await bus.pass_time(40)
    end = await bus.renew(queue, received)
    assert timedelta(seconds=30) < end - bus.now() <= timedelta(seconds=60)
    await bus.pass_time(30)
    await bus.settle(queue, received, "complete")
    assert bus.counts(queue).active == bus.counts(queue).locked == 0


async def test_a_scheduled_message_arrives_at_its_time_and_not_before(bus: Driver) -> None:
    queue = bus.queue("plain")
    due = bus.now() + timedelta(seconds=60)
    await bus.send(queue, BusMessage(b"later", scheduled_for=due), BusMessage(b"now"))
    (received,) = await bus.receive(queue)
    assert received.body == "now"
    await bus.settle(queue, received, "complete")
    assert bus.counts(queue).scheduled == 1
    await bus.pass_time(61)
    assert [each.body for each in await bus.receive(queue)] == ["later"]


async def test_a_message_scheduled_for_the_past_is_there_at_once(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, BusMessage(b"late", scheduled_for=bus.now() - timedelta(days=1)))
    assert [each.body for each in await bus.receive(queue)] == ["late"]


async def test_a_scheduled_message_can_be_cancelled_once(bus: Driver) -> None:
    queue = bus.queue("plain")
    number = await bus.schedule(queue, BusMessage(b"never"), after=60)
    assert bus.counts(queue).scheduled == 1
    await bus.cancel(queue, number)
    with pytest.raises(MessageNotFoundError):
        await bus.cancel(queue, number)
    assert bus.counts(queue).scheduled == bus.counts(queue).active == 0


async def test_a_scheduled_message_that_is_not_cancelled_arrives(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.schedule(queue, BusMessage(b"soon", "soon"), after=60)
    await bus.pass_time(61)
    (received,) = await bus.receive(queue)
    assert (received.body, received.message_id) == ("soon", "soon")


async def test_a_repeated_message_id_is_swallowed_within_the_window_only(bus: Driver) -> None:
    queue = bus.queue("unique")
    await bus.send(queue, BusMessage(b"first", "a"), BusMessage(b"other", "b"))
    await bus.send(queue, BusMessage(b"again", "a"))
    first, other = await bus.receive(queue, 2)
    assert (first.body, other.body) == ("first", "other")
    await bus.settle(queue, first, "complete")
    await bus.settle(queue, other, "complete")
    await bus.pass_time(601)
    await bus.send(queue, BusMessage(b"afterwards", "a"))
    assert [each.body for each in await bus.receive(queue)] == ["afterwards"]


async def test_a_repeated_message_id_is_swallowed_even_when_the_first_was_completed_or_is_scheduled(
    bus: Driver,
) -> None:
    queue = bus.queue("unique")
    await bus.send(queue, BusMessage(b"first", "a"))
    (received,) = await bus.receive(queue)
    await bus.settle(queue, received, "complete")
    await bus.schedule(queue, BusMessage(b"later", "b"), after=60)
    await bus.send(queue, BusMessage(b"first again", "a"), BusMessage(b"later again", "b"))
    counts = bus.counts(queue)
    assert (counts.active, counts.scheduled) == (0, 1)


async def test_messages_without_an_id_are_never_duplicates(bus: Driver) -> None:
    queue = bus.queue("unique")
    await bus.send(queue, BusMessage(b"same"), BusMessage(b"same"))
    assert bus.counts(queue).active == 2


async def test_without_a_window_the_same_id_arrives_twice(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, BusMessage(b"one", "a"), BusMessage(b"two", "a"))
    assert [each.body for each in await bus.receive(queue, 2)] == ["one", "two"]


async def test_an_expired_message_is_dead_lettered(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, BusMessage(b"old", time_to_live=timedelta(seconds=60)), BusMessage(b"young"))
    await bus.pass_time(61)
    assert [each.body for each in await bus.receive(queue)] == ["young"]
    (dead,) = await bus.receive(queue, dead_letters=True)
    assert (dead.body, dead.reason) == ("old", "TTLExpiredException")


async def test_the_queue_limits_the_life_of_every_message_counted_from_its_enqueue_time(bus: Driver) -> None:
    queue = bus.queue("brief")
    await bus.send(queue, BusMessage(b"asks for more", time_to_live=timedelta(days=1)))
    await bus.schedule(queue, BusMessage(b"scheduled"), after=400)
    await bus.pass_time(601)
    assert [each.body for each in await bus.receive(queue)] == ["scheduled"]
    assert [each.body for each in await bus.receive(queue, dead_letters=True)] == ["asks for more"]


async def test_an_expired_message_is_dropped_where_the_queue_says_so(bus: Driver) -> None:
    queue = bus.queue("forgetful")
    await bus.send(queue, *messages(1))
    await bus.pass_time(601)
    counts = bus.counts(queue)
    assert (counts.active, counts.dead_lettered) == (0, 0)


async def test_peeking_shows_every_state_and_takes_nothing(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(2))
    (locked,) = await bus.receive(queue, 1)
    await bus.schedule(queue, BusMessage(b"later"), after=60)
    assert [each.body for each in await bus.peek(queue)] == ["body 0", "body 1", "later"]
    assert [each.delivery_count for each in await bus.peek(queue)] == [0, 0, 0]
    await bus.settle(queue, locked, "complete")
    assert bus.counts(queue).active == 1
    assert await bus.peek(queue, dead_letters=True) == []


async def test_receive_and_delete_leaves_nothing_to_settle(bus: Driver) -> None:
    queue = bus.queue("plain")
    await bus.send(queue, *messages(2))
    assert len(await bus.receive(queue, 2, delete=True)) == 2
    counts = bus.counts(queue)
    assert (counts.active, counts.locked) == (0, 0)
