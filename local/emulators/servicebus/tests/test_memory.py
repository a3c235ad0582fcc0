"""The mischief of the bus in memory: seeded, bounded, and never a loss."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from local.emulators.servicebus import QueueSettings
from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.memory import BusMessage, MemoryBus, Mischief, Settlement

START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Mischief(seed=7, resend=0.2, lose_lock=0.2, reorder=0.3, delay=0.3)


class Simulation:
    def __init__(self, mischief: Mischief, **settings: object) -> None:
        self.now = START
        queue = QueueSettings("q", max_delivery_count=50, **settings)  # type: ignore[arg-type]
        self.bus = MemoryBus([queue], lambda: self.now, mischief)
        self.seen: list[str] = []
        self.completed: list[str] = []

    async def run(self, count: int = 100) -> None:
        """Send, then receive and complete until the queue is empty, letting the clock jump when nothing is there."""
        await self.bus.send("q", [BusMessage(str(index).encode(), str(index)) for index in range(count)])
        while True:
            for delivery in await self.bus.receive_batch("q", 10):
                body = delivery.message.body.decode()
                self.seen.append(body)
                try:
                    await self.bus.settle(delivery, Settlement.COMPLETE)
                except LockLostError:
                    continue
                self.completed.append(body)
            counts = self.bus.counts("q")
            if counts.active:
                continue
            due = self.bus.next_due()
            if due is None:
                return
            self.now = max(self.now, due)


async def test_without_mischief_every_message_is_seen_once_and_in_order() -> None:
    simulation = Simulation(Mischief())
    await simulation.run()
    assert simulation.seen == simulation.completed == [str(index) for index in range(100)]
    assert simulation.now == START


async def test_with_all_mischief_no_message_is_lost_and_each_kind_shows() -> None:
    simulation = Simulation(ALL)
    await simulation.run()
    assert set(simulation.completed) == {str(index) for index in range(100)}
    assert len(simulation.seen) > len(simulation.completed) > 100
    assert simulation.seen != sorted(simulation.seen, key=int)
    assert START < simulation.now <= START + ALL.longest_delay


async def test_duplicate_detection_swallows_what_a_sender_repeats() -> None:
    simulation = Simulation(Mischief(resend=1.0), duplicate_window=timedelta(minutes=10))
    await simulation.run()
    assert Counter(simulation.seen) == {str(index): 1 for index in range(100)}


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_same_seed_plays_the_same_history(seed: int) -> None:
    mischief = Mischief(seed, 0.2, 0.2, 0.3, 0.3)
    first, second = Simulation(mischief), Simulation(mischief)
    await first.run()
    await second.run()
    assert (first.seen, first.now) == (second.seen, second.now)


async def test_another_seed_plays_another_history() -> None:
    first, second = Simulation(Mischief(1, reorder=0.5)), Simulation(Mischief(2, reorder=0.5))
    await first.run()
    await second.run()
    assert first.seen != second.seen


async def test_a_lost_lock_lets_somebody_else_receive_while_the_first_still_works() -> None:
    simulation = Simulation(Mischief(lose_lock=1.0))
    await simulation.bus.send("q", [BusMessage(b"m")])
    (first,) = await simulation.bus.receive_batch("q", 1)
    (second,) = await simulation.bus.receive_batch("q", 1)
    assert first.message == second.message
    assert second.delivery_count == 1
    with pytest.raises(LockLostError):
        await simulation.bus.settle(first, Settlement.COMPLETE)


async def test_a_deleted_message_cannot_be_settled_and_an_unknown_queue_is_named() -> None:
    simulation = Simulation(Mischief())
    await simulation.bus.send("q", [BusMessage(b"m")])
    (taken,) = await simulation.bus.receive_batch("q", 1, delete=True)
    with pytest.raises(LockLostError):
        await simulation.bus.settle(taken, Settlement.COMPLETE)
    with pytest.raises(LookupError, match="the bus has: q"):
        await simulation.bus.send("nowhere", [])


async def test_a_released_message_keeps_its_delivery_count() -> None:
    simulation = Simulation(Mischief())
    await simulation.bus.send("q", [BusMessage(b"m")])
    (taken,) = await simulation.bus.receive_batch("q", 1)
    await simulation.bus.settle(taken, Settlement.RELEASE)
    (again,) = await simulation.bus.receive_batch("q", 1)
    assert again.delivery_count == 0
