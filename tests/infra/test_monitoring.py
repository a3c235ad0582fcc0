"""What alerts and the workbook ask for is what the code reports, and every alert says what to do."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared import errors, telemetry
from tests.infra import watching
from tests.infra.bicep import FULL, ROOT, Resource, of_type, one

# The functions of the module that report something else than a counter.
REPORTERS = {
    "lag": {telemetry.LAG},
    "oldest_message_age": {telemetry.AGE},
    "reconciled": {telemetry.DURATION, telemetry.PENDING},
}
METRICS = {*telemetry.COUNTERS, *(name for names in REPORTERS.values() for name in names)}
ALERTS = {*watching.METRIC_ALERTS, *watching.LOG_ALERTS, "unhealthy"}
# Sums that the workbook makes itself.
TABLES = {"AppMetrics", "AppRequests", "AppDependencies", "AppTraces", "_LogOperation"}


def sections(text: str) -> set[str]:
    """The anchors that a Markdown page has."""
    return {line.lstrip("# ").strip().lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}


def workbook(resources: list[Resource]) -> dict[str, Any]:
    raw = one(resources, "Microsoft.Insights/workbooks")["properties"]["serializedData"]
    # What only Azure knows leaves the text unevaluated: then it is the file's.
    text = raw if raw.startswith("{") else (ROOT / "infra" / "workbooks" / "sync.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def queries(resources: list[Resource]) -> list[str]:
    items = workbook(resources)["items"]
    rules = of_type(resources, "Microsoft.Insights/scheduledQueryRules")
    return [item["content"]["query"] for item in items if "query" in item["content"]] + [
        rule["properties"]["criteria"]["allOf"][0]["query"] for rule in rules
    ]


def emitted() -> Iterator[tuple[str, ast.Call]]:
    """Every call of the telemetry module outside it: the function's name and the call."""
    for path in sorted([*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).removeprefix("telemetry.")
                if ast.unparse(node.func).startswith("telemetry.") or path.name == "telemetry.py":
                    yield name, node


def test_every_metric_is_emitted_somewhere_and_nothing_undeclared_is() -> None:
    names, dimensions = set(), set()
    for name, call in emitted():
        if name == "count" and call.args:
            text = ast.unparse(call.args[0]).strip("'\"")
            # f"sync.messages.{outcome}" stands for each of them.
            pattern = re.compile(re.sub(r"\{\w+\}", r"\\w+", text.removeprefix("f'").removeprefix('f"').strip("'\"")))
            found = {metric for metric in telemetry.COUNTERS if pattern.fullmatch(metric)}
            assert found, f"{text} is not declared in telemetry.COUNTERS"
            names |= found
            dimensions |= {word.arg for word in call.keywords if word.arg} - {"amount"}
        elif name in REPORTERS:
            names |= REPORTERS[name]
    assert names == METRICS
    assert dimensions == telemetry.DIMENSIONS


def test_queries_ask_for_what_is_reported(full: list[Resource]) -> None:
    asked = queries(full)
    assert len(asked) > 15
    for query in asked:
        assert query.split(" ", maxsplit=1)[0] in TABLES
        names = set(re.findall(r'"(sync\.[a-z_.]+)"', query)) - set(re.findall(r'Properties\["([a-z_.]+)"\]', query))
        assert names <= METRICS, query
        assert set(re.findall(r'Name == "(sync [a-z]+)"', query)) <= telemetry.SPANS, query
        assert set(re.findall(r"Properties\.([a-z_]+)", query)) <= telemetry.DIMENSIONS, query


def test_attributes_that_queries_read_are_set_on_spans(full: list[Resource]) -> None:
    source = (ROOT / "shared" / "telemetry.py").read_text(encoding="utf-8")
    read = {name for query in queries(full) for name in re.findall(r'Properties\["([a-z_.]+)"\]', query)}
    assert read
    assert [name for name in sorted(read) if f'"{name}"' not in source] == []


def test_what_the_issue_wants_to_see_is_shown(full: list[Resource]) -> None:
    shown = " ".join(queries(full))
    assert [name for name in sorted(METRICS) if name not in shown] == []


def test_every_alert_leads_to_its_section_of_the_runbook(full: list[Resource], runbook: str) -> None:
    rules = of_type(full, "Microsoft.Insights/metricAlerts") + of_type(full, "Microsoft.Insights/scheduledQueryRules")
    led = {re.search(r"What to do: (\S+)#([a-z-]+)$", rule["properties"]["description"]) for rule in rules}
    assert {match[2] for match in led if match} == ALERTS
    assert {match[1] for match in led if match} == {FULL["RUNBOOK_URL"]}
    assert sections(runbook) >= ALERTS
    assert all(rule["properties"]["enabled"] for rule in rules)


def test_links_of_the_workbook_lead_to_sections(full: list[Resource], runbook: str) -> None:
    anchors = set(re.findall(r"\]\([^)#]+#([a-z-]+)\)", json.dumps(workbook(full))))
    assert anchors
    assert anchors <= sections(runbook)


def test_the_window_without_a_reconciliation_is_two_intervals(small: list[Resource], full: list[Resource]) -> None:
    def window(resources: list[Resource]) -> str:
        (rule,) = [
            r for r in of_type(resources, "Microsoft.Insights/scheduledQueryRules") if "no-reconcile" in r["name"]
        ]
        return str(rule["properties"]["windowSize"])

    assert (window(small), window(full)) == ("PT30M", "PT240M")


def reasons() -> list[str]:
    """The reason of every error that can end in a parked message, and of what routing itself parks."""
    tree: list[type[errors.SyncError]] = [errors.PermanentError, errors.TransientError]
    for kind in tree:
        tree.extend(kind.__subclasses__())
    branches = {"permanent", "transient"}
    return sorted({kind.reason for kind in tree} - branches | {"dead_lettered"})


@pytest.mark.parametrize("reason", reasons())
def test_every_reason_of_a_parked_message_has_a_section(reason: str, runbook: str) -> None:
    assert f"## {reason}\n" in runbook


def test_the_runbook_explains_no_reason_that_does_not_exist(runbook: str) -> None:
    explained = sections(runbook.split("# Reasons", maxsplit=1)[1])
    assert explained == set(reasons())
