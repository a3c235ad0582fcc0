"""What the functions report of themselves: metrics, and spans that follow one change from its cause to its write.

Only OpenTelemetry's API: without an SDK nothing is measured and next to nothing is spent. In Azure the worker sets the
SDK up (`PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY`); on one machine `make up OTEL=console` does.

Trace context travels in the CloudEvent's `traceparent`, because a batch has one invocation and many causes: the batch
span links to every message's trace, and each message gets a span in its own trace that links back to the batch. No
span or metric holds a business key or a value of a record. https://www.w3.org/TR/trace-context/
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SCOPE: Final = "energy.sync"
_PROPAGATOR: Final = TraceContextTextMapPropagator()
# Exporters keep no more by default.
_MOST_LINKS: Final = 128

COUNTERS: Final = {
    "sync.messages.received": "messages taken off a queue; by queue",
    "sync.messages.applied": "messages that ended in a write; by queue",
    "sync.messages.already_true": "messages that found nothing to write; by queue",
    "sync.messages.retried": "messages sent back to be tried again; by queue and reason",
    "sync.messages.parked": "messages and fields set aside for a person; by queue and reason",
    "sync.writes.saved": "finished messages that needed no write of their own; by queue",
    "sync.conflicts": "fields edited on both sides, where the field's rule decided; by entity",
    "sync.drift": "records found to differ; by entity and drift, the class",
    "sync.drift_brake": "runs that repaired nothing because too much drifted; by entity",
    "sync.reconcile.runs": "reconciliations; by outcome",
    "sync.reconcile.repairs": "repairs that reconciliations enqueued; by kind, the pass",
    "sync.reconcile.pages": "pages that reconciliations read; by entity",
    "sync.requests": "requests to either side; by service, kind and status",
    "sync.throttles": "times that a side asked us to slow down; by service",
}
LAG: Final = "sync.lag"
"""Seconds from a change to its write, for the newest applied change of each batch; by queue."""
AGE: Final = "sync.queue.oldest_message_age"
"""Seconds that a queue's oldest message has waited; by queue."""
DURATION: Final = "sync.reconcile.duration"
"""Seconds that a reconciliation took; by kind, the pass."""
PENDING: Final = "sync.reconcile.pending"
"""Records that a reconciliation left to the next one."""
DIMENSIONS: Final = frozenset({"queue", "entity", "reason", "drift", "outcome", "service", "kind", "status"})

# Batches and messages are internal spans: of another kind they would count as requests beside the host's own.
PUBLISH: Final = "sync publish"
BATCH: Final = "sync batch"
MESSAGE: Final = "sync message"
REQUEST: Final = "sync request"
SPANS: Final = frozenset({PUBLISH, BATCH, MESSAGE, REQUEST})


@dataclass(frozen=True)
class End:
    """How one message of a batch ended. `traceparent` is the message's own."""

    traceparent: str | None
    outcome: str
    reason: str = ""


@dataclass
class Answer:
    """What came back: the HTTP status as text, or `none`."""

    status: str = "none"


@cache
def _meter() -> Meter:
    return metrics.get_meter(SCOPE)


@cache
def _tracer() -> Tracer:
    return trace.get_tracer(SCOPE)


@cache
def _counter(name: str) -> metrics.Counter:
    return _meter().create_counter(name, description=COUNTERS[name])


def count(name: str, amount: int = 1, **dimensions: str) -> None:
    """Add to one of COUNTERS; an amount of 0 is not reported."""
    if amount:
        _counter(name).add(amount, dimensions)


@cache
def _lag() -> metrics.Histogram:
    return _meter().create_histogram(LAG, unit="s")


def lag(queue: str, seconds: float) -> None:
    """Report how old the newest change of a batch was when it was written."""
    _lag().record(max(seconds, 0.0), {"queue": queue})


@cache
def _age() -> metrics.Histogram:
    # Not a gauge: every measurement of the interval counts, also of another worker.
    return _meter().create_histogram(AGE, unit="s")


def oldest_message_age(queue: str, seconds: float) -> None:
    """Report how long a queue's oldest message has waited; 0 for an empty queue."""
    _age().record(max(seconds, 0.0), {"queue": queue})


@contextmanager
def _span(name: str, parent: Context | None = None, **options: Any) -> Iterator[Span]:
    # An exception's text may name a record: the span gets its type only, and the log the rest.
    with _tracer().start_as_current_span(
        name, parent, record_exception=False, set_status_on_exception=False, **options
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@cache
def _duration() -> metrics.Histogram:
    return _meter().create_histogram(DURATION, unit="s")


@cache
def _pending() -> metrics.Histogram:
    return _meter().create_histogram(PENDING, unit="{record}")


def reconciled(kind: str, seconds: float, pending: int) -> None:
    """Report how long a reconciliation took, and how many records it left to the next one."""
    _duration().record(seconds, {"kind": kind})
    _pending().record(pending)


def traceparent() -> str | None:
    """The current span's context, for a message that it causes."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def publishing(queue: str, caller: str | None) -> Iterator[str | None]:
    """A span for putting a message on a queue; gives the `traceparent` that the message shall carry.

    `caller` is the caller's own, if it sent one: the trace goes on from it unless the host has begun one already.
    """
    begun = trace.get_current_span().get_span_context().is_valid
    parent = None if begun else _context(caller)
    with _span(PUBLISH, parent, kind=SpanKind.PRODUCER, attributes={"sync.queue": queue}):
        yield traceparent() or caller


@contextmanager
def batch(queue: str, parents: Sequence[str | None]) -> Iterator[None]:
    """A span for one batch, linked to the trace of every message in it."""
    links = [Link(found) for parent in parents if (found := _remote(parent)) is not None][:_MOST_LINKS]
    with _span(BATCH, links=links, attributes={"sync.queue": queue, "sync.messages": len(parents)}):
        yield


def finished(queue: str, ends: Sequence[End], started: int) -> None:
    """Put the end of each message of the current batch span into the message's own trace.

    `started` is when the batch began, in nanoseconds since the epoch (`time.time_ns`).
    """
    whole = trace.get_current_span()
    if not whole.is_recording():
        return
    links = [Link(whole.get_span_context())]
    for end in ends:
        context = _context(end.traceparent)
        if context is None:
            continue
        attributes = {"sync.queue": queue, "sync.outcome": end.outcome, "sync.reason": end.reason}
        span = _tracer().start_span(MESSAGE, context, attributes=attributes, links=links, start_time=started)
        span.end(time.time_ns())


@contextmanager
def request(service: str, method: str, path: str) -> Iterator[Answer]:
    """A span and a count for one request; the caller fills the answer in. Addresses, which hold keys, are left out."""
    kind, answer = _kind(method, path), Answer()
    attributes = {"sync.service": service, "sync.kind": kind, "http.request.method": method}
    with _span(REQUEST, kind=SpanKind.CLIENT, attributes=attributes) as span:
        try:
            yield answer
        finally:
            count("sync.requests", service=service, kind=kind, status=answer.status)
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= "3" and answer.status.isdigit():
                span.set_status(Status(StatusCode.ERROR, answer.status))


def _kind(method: str, path: str) -> str:
    if path.endswith("$batch"):
        return "batch"
    return "read" if method == "GET" or path.endswith("/consulta/") else "write"


def _context(parent: str | None) -> Context | None:
    return None if _remote(parent) is None else _PROPAGATOR.extract({"traceparent": str(parent)}, Context())


def _remote(parent: str | None) -> SpanContext | None:
    if parent is None:
        return None
    found = trace.get_current_span(_PROPAGATOR.extract({"traceparent": parent}, Context())).get_span_context()
    return found if found.is_valid else None
