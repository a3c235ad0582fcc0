from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import telemetry

CALLER = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", lambda: provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_one_change_is_one_trace_from_the_caller_over_the_queue_to_its_end(spans: InMemorySpanExporter) -> None:
    with telemetry.publishing("assets", CALLER) as carried:
        pass
    assert carried is not None
    assert carried.split("-")[1] == "a" * 32
    with telemetry.batch("assets", [carried, None]), telemetry.request("Dynamics", "POST", "/$batch") as answer:
        answer.status = "200"
    with telemetry.batch("assets", [carried, None]):
        telemetry.finished("assets", [telemetry.End(carried, "applied"), telemetry.End(None, "parked", "x")], 1)
    found = spans.get_finished_spans()
    message = next(span for span in found if span.name == telemetry.MESSAGE)
    batch = [span for span in found if span.name == telemetry.BATCH][-1]
    request = next(span for span in found if span.name == telemetry.REQUEST)
    assert message.context is not None
    assert message.context.trace_id == int("a" * 32, 16)
    assert [link.context for link in message.links] == [batch.context]
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == ["a" * 32]
    assert request.parent is not None
    assert request.attributes is not None
    assert request.attributes["sync.kind"] == "batch"
    assert {span.name for span in found} == telemetry.SPANS


def test_the_hosts_trace_goes_before_the_callers(spans: InMemorySpanExporter) -> None:
    with telemetry._tracer().start_as_current_span("host") as host, telemetry.publishing("assets", CALLER) as carried:
        pass
    assert carried is not None
    assert carried.split("-")[1] == f"{host.get_span_context().trace_id:032x}"


def test_without_an_sdk_the_callers_trace_is_passed_on() -> None:
    with telemetry.publishing("assets", CALLER) as carried:
        assert carried == CALLER
    with telemetry.publishing("assets", None) as carried:
        assert carried is None


@pytest.mark.parametrize("damaged", ["", "x", "00-zz-yy-01", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "é" * 100])
def test_a_damaged_trace_context_is_ignored(spans: InMemorySpanExporter, damaged: str) -> None:
    with telemetry.batch("assets", [damaged]):
        telemetry.finished("assets", [telemetry.End(damaged, "applied")], 1)
    (batch,) = spans.get_finished_spans()
    assert len(batch.links) == 0


def test_a_request_that_fails_is_an_error_and_shows_no_address(spans: InMemorySpanExporter) -> None:
    address = "https://contoso.crm.dynamics.com/api/data/v9.2/salesorders?$filter=name eq 'SECRET-KEY'"

    def ask() -> None:
        with telemetry.request("Dynamics", "GET", address):
            raise ConnectionError(address)

    with pytest.raises(ConnectionError):
        ask()
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "SECRET-KEY" not in span.to_json()
