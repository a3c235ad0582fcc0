"""What the app reports by OpenTelemetry, as lines of the log; in Azure the worker sets the SDK up, here this does.

Switched on by `OTEL=console` in the environment.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, override

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

_logger = logging.getLogger(__name__)

EVERY_MILLISECONDS = 10_000


def set_up_console() -> None:
    """Measure, and tell the worker to hand each invocation's trace to the app."""
    os.environ["PYTHON_ENABLE_OPENTELEMETRY"] = "true"
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(_Spans()))
    trace.set_tracer_provider(tracing)
    reader = PeriodicExportingMetricReader(_Metrics(), export_interval_millis=EVERY_MILLISECONDS)
    metrics.set_meter_provider(MeterProvider([reader]))


class _Spans(SpanExporter):
    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            taken = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
            trace_id = f"{span.context.trace_id:032x}" if span.context else "?"
            links = f" links={len(span.links)}" if span.links else ""
            _logger.info("span %s %.1f ms %s trace=%s%s", span.name, taken, _said(span.attributes), trace_id, links)
        return SpanExportResult.SUCCESS


class _Metrics(MetricExporter):
    def __init__(self) -> None:
        # What happened since the last line, as Azure Monitor counts.
        delta = AggregationTemporality.DELTA
        super().__init__(preferred_temporality={Counter: delta, Histogram: delta})

    @override
    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        _logger.info("metric %s %s %s", metric.name, _value(point), _said(point.attributes))
        return MetricExportResult.SUCCESS

    @override
    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    @override
    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing is held."""


def _value(point: Any) -> str:
    match point:
        case HistogramDataPoint(count=count, min=least, max=most):
            return f"n={count} min={least:.2f} max={most:.2f}"
        case NumberDataPoint(value=value):
            return f"{value}"
        case _:
            return "?"


def _said(attributes: Mapping[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in (attributes or {}).items() if value != "")
