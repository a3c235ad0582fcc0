"""A batch as it shows in metrics and traces."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared import telemetry
from shared.domain.messages.queues import OF_ENTITY
from shared.flows.ports.engine import Clock
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.sync.items import Item


@contextmanager
def observed(entity: str, items: Sequence[Item], clock: Clock) -> Iterator[None]:
    """Report the batch once it is through. A batch that raises is delivered again, and reported then."""
    queue, started = OF_ENTITY[entity].name, time.time_ns()
    with telemetry.batch(queue, [_cause(item) for item in items]):
        yield
        ends = [telemetry.End(_cause(item), *_named(item.outcome)) for item in items]
        telemetry.finished(queue, ends, started)
    telemetry.count("sync.messages.received", len(items), queue=queue)
    tally = Counter(end.outcome for end in ends)
    for outcome in ("applied", "already_true"):
        telemetry.count(f"sync.messages.{outcome}", tally[outcome], queue=queue)
    applied = [item for item in items if isinstance(item.outcome, Done) and item.outcome.applied]
    written = len({item.key for item in applied})
    telemetry.count("sync.writes.saved", tally["applied"] + tally["already_true"] - written, queue=queue)
    changes = [item.event.time for item in applied if item.event is not None and item.event.time is not None]
    if changes:
        telemetry.lag(queue, (clock.now() - max(changes)).total_seconds())


def _cause(item: Item) -> str | None:
    return item.event.traceparent if item.event is not None else None


def _named(outcome: Outcome | None) -> tuple[str, str]:
    match outcome:
        case Done(applied=True):
            return "applied", ""
        case Done():
            return "already_true", ""
        case Again(error=error):
            # Also where routing then found that it was the last attempt: the next message of the trace is parked.
            return "retried", error.reason
        case Park(error=error):
            return "parked", error.reason
        case None:
            return "", ""
