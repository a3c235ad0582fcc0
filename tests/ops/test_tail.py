"""The log's line for each processed message: written by the router, read back from a file and from a workspace."""

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.activity import LogAnalytics, LogFile
from shared.domain.messages.events import Event
from shared.errors import Conflict, MappingError, NotAuthorized, Unavailable
from shared.flows.routing.outcomes import Again, Done, Outcome, Park, WrittenFields
from shared.flows.routing.route import Routed, Router
from shared.flows.routing.told import Told, read_line, trace_of
from tests.fakes import FakeBus, FakeClock

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BOTH: WrittenFields = frozenset({("dynamics", "nombre"), ("cmms", "estado"), ("dynamics", "costo")})
keys = st.one_of(st.none(), st.text(max_size=30))
ends = st.sampled_from(["applied", "already true", "retried", "parked"])


@given(
    keys, ends, st.sampled_from(["", "conflict", "Dynamics: costo, nombre; CMMS: estado"]), st.sampled_from(["", TRACE])
)
def test_a_line_is_read_back_as_it_was_told(key: str | None, end: Any, what: str, trace: str) -> None:
    told = Told("asset", key, end, what, trace, 1.5)
    assert read_line(told.line()) == told
    assert read_line(f"12:00:00.000Z INFO     assets 1234    {told.line()}\n") == told


@given(st.text())
def test_any_other_line_is_none_of_ours(text: str) -> None:
    assert read_line(f"x{text}") is None or ": " in text


@pytest.mark.parametrize(
    "text",
    ["asset: 1 messages: 1 applied", '9asset "1": applied', 'asset "1": applied and more', "asset 1: applied", ""],
)
def test_a_line_of_another_form_is_not_read(text: str) -> None:
    assert read_line(text) is None


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE), (None, ""), ("", ""), ("00-xyz-1-1", ""), ("00-" + "A" * 32, "")],
)
def test_the_trace_is_that_of_the_message(traceparent: str | None, trace: str) -> None:
    assert trace_of(traceparent) == trace


@pytest.mark.parametrize(
    ("outcome", "end", "what"),
    [
        (Done(fields=BOTH), "applied", "Dynamics: costo, nombre; CMMS: estado"),
        (Done(), "already true", ""),
        (Again(Conflict("It changed.")), "retried", "conflict"),
        (Park(MappingError("Too long.", field="nombre")), "parked", "mapping_error"),
    ],
)
async def test_the_router_tells_the_end_of_each_message_with_its_record(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, end: str, what: str
) -> None:
    clock = FakeClock()
    event = Event(
        source="/t",
        type="sync.asset.dirty",
        time=clock.now() - timedelta(seconds=3),
        data={"key": "A 1"},
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
    )
    with caplog.at_level(logging.INFO):
        await Router(FakeBus(), clock, Random(1)).route("assets", [Routed(b"{}", event, "A 1", outcome)])  # noqa: S311
    (told,) = [one for record in caplog.records if (one := read_line(record.getMessage())) is not None]
    assert told == Told("asset", "A 1", end, what, TRACE, 3.0)  # type: ignore[arg-type]


async def test_a_message_that_was_tried_enough_is_told_as_parked(caplog: pytest.LogCaptureFixture) -> None:
    event = Event(source="/t", type="sync.asset.dirty", attempt=11, data={"key": "1"})
    with caplog.at_level(logging.INFO):
        message = Routed(b"{}", event, "1", Again(Conflict("It changed.")))
        await Router(FakeBus(), FakeClock(), Random(1)).route("assets", [message])  # noqa: S311
    ends = [one.end for record in caplog.records if (one := read_line(record.getMessage())) is not None]
    assert ends == ["parked"]


def line(at: datetime, key: str) -> str:
    stamp = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}Z"
    return f"{stamp} INFO     assets 1234abcd    {Told('asset', key, 'applied').line()}\n"


async def test_a_log_file_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    log, now = tmp_path / "functions.log", datetime.now(UTC)
    log.write_text("Starting\n" + line(now - timedelta(minutes=2), "1") + line(now, "2")[:20])
    source = LogFile(log)
    assert [one.told.key for one in await source.since(now - timedelta(hours=1))] == ["1"]
    with log.open("a") as file:
        file.write(line(now, "2")[20:] + line(now, "3"))
    found = await source.since(now - timedelta(hours=1))
    assert [one.told.key for one in found] == ["1", "2", "3"]
    assert [one.told.key for one in await source.since(now - timedelta(minutes=1))] == ["2", "3"]
    assert abs(found[0].at - (now - timedelta(minutes=2))) < timedelta(seconds=1)


async def test_a_line_of_before_midnight_is_of_yesterday(tmp_path: Path) -> None:
    log, now = tmp_path / "functions.log", datetime.now(UTC)
    log.write_text(line(now + timedelta(minutes=5), "1"))
    assert await LogFile(log).since(now - timedelta(hours=1)) == [], "a day old, and forgotten"


async def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        await LogFile(tmp_path / "none").since(datetime.now(UTC))


class Credential:
    async def get_token(self, *scopes: str, **_options: Any) -> Any:
        assert scopes == ("https://api.loganalytics.azure.com/.default",)
        return type("Token", (), {"token": "t"})()


def workspace(answer: httpx.Response) -> tuple[LogAnalytics, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer

    return LogAnalytics("W-1", Credential(), httpx.MockTransport(receive)), asked  # type: ignore[arg-type]


async def test_a_workspace_is_asked_for_lines_since_an_instant() -> None:
    rows = [
        ["2026-01-31T12:00:01.5Z", Told("order", "R-1", "parked", "conflict").line()],
        ["2026-01-31T12:00:02Z", "x"],
    ]
    source, asked = workspace(httpx.Response(200, json={"tables": [{"name": "PrimaryResult", "rows": rows}]}))
    (found,) = await source.since(datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert (found.told.key, found.at.second) == ("R-1", 1)
    assert asked[0].url.path == "/v1/workspaces/W-1/query"
    assert "datetime(2026-01-31T12:00:00.000000Z)" in json.loads(asked[0].content)["query"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(403), NotAuthorized),
        (httpx.Response(404), Unavailable),
        (httpx.Response(200, json={}), Unavailable),
        (httpx.Response(200, text="x"), Unavailable),
        (httpx.Response(200, json={"tables": [{"rows": [["no time", "x"]]}]}), Unavailable),
    ],
)
async def test_a_workspace_that_gives_no_lines_is_told(answer: httpx.Response, error: type[Exception]) -> None:
    source, _ = workspace(answer)
    with pytest.raises(error):
        await source.since(datetime.now(UTC))
