"""A batch as it shows in metrics and traces."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from shared import telemetry
from shared.domain.messages.events import Event
from shared.domain.messages.queues import OF_ENTITY
from shared.flows.ports.engine import Clock
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.sync.deliveries import Delivery, Outcomes, Unread


@contextmanager
def observed(
    entity: str, deliveries: Sequence[Delivery], unread: Sequence[Unread], clock: Clock
) -> Iterator[Callable[[Outcomes], None]]:
    """Trace a batch. The yielded function reports its outcomes; a batch that raises is reported when it comes again."""
    queue, started = OF_ENTITY[entity].name, time.time_ns()
    events: dict[int, Event | None] = {one.place: one.event for one in deliveries}
    events |= {one.place: one.event for one in unread}

    def report(outcomes: Outcomes) -> None:
        ends = {place: telemetry.End(_cause(event), *_named(outcomes[place])) for place, event in events.items()}
        telemetry.finished(queue, list(ends.values()), started)
        telemetry.count("sync.messages.received", len(events), queue=queue)
        tally = Counter(end.outcome for end in ends.values())
        for outcome in ("applied", "already_true"):
            telemetry.count(f"sync.messages.{outcome}", tally[outcome], queue=queue)
        applied = [one for one in deliveries if ends[one.place].outcome == "applied"]
        written = len({one.identity or one.key for one in applied})
        telemetry.count("sync.writes.saved", tally["applied"] + tally["already_true"] - written, queue=queue)
        changes = [one.event.time for one in applied if one.event.time is not None]
        if changes:
            telemetry.lag(queue, (clock.now() - max(changes)).total_seconds())

    with telemetry.batch(queue, [_cause(event) for event in events.values()]):
        yield report


def _cause(event: Event | None) -> str | None:
    return event.traceparent if event is not None else None


def _named(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Done(applied=applied):
            return ("applied" if applied else "already_true"), ""
        case Again(error=error):
            # Also where routing then found that it was the last attempt: the next message of the trace is parked.
            return "retried", error.reason
        case Park(error=error):
            return "parked", error.reason
