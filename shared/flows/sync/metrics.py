"""A batch as it shows in metrics and traces."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from shared import telemetry
from shared.domain.messages.queues import OF_ENTITY
from shared.flows.ports.engine import Clock
from shared.flows.sync.deliveries import Delivery, Outcomes, Unread


@contextmanager
def observed(
    entity: str, deliveries: Sequence[Delivery], unread: Sequence[Unread], clock: Clock
) -> Iterator[Callable[[Outcomes], Counter[str]]]:
    """Trace a batch; one that raises is reported when it comes again.

    Yields:
        A function that reports the batch's outcomes, and returns how many messages ended how.
    """
    queue, started = OF_ENTITY[entity].name, time.time_ns()
    messages: list[Delivery | Unread] = [*deliveries, *unread]
    causes = {one.place: one.event.traceparent if one.event else None for one in messages}

    def report(outcomes: Outcomes) -> Counter[str]:
        # A message that is retried may be parked by routing: then the next message of its trace says so.
        ends = {
            place: telemetry.End(cause, outcomes[place].name, outcomes[place].reason) for place, cause in causes.items()
        }
        telemetry.finished(queue, list(ends.values()), started)
        tally = Counter(end.outcome for end in ends.values())
        applied = [one for one in deliveries if ends[one.place].outcome == "applied"]
        written = {one.identity for one in applied}
        telemetry.count("sync.messages.received", len(ends), queue=queue)
        telemetry.count("sync.messages.applied", tally["applied"], queue=queue)
        telemetry.count("sync.messages.already_true", tally["already_true"], queue=queue)
        telemetry.count("sync.writes.saved", tally["applied"] + tally["already_true"] - len(written), queue=queue)
        if changes := list(filter(None, (one.event.time for one in applied))):
            telemetry.lag(queue, (clock.now() - max(changes)).total_seconds())
        return tally

    with telemetry.batch(queue, list(causes.values())):
        yield report
