"""Who is called when. Each rule yields its violations."""

from collections.abc import Iterator
from typing import Final

from tests.infra.bicep import Resource, of_type, one
from tests.infra.rules import wanted

METRIC_ALERTS: Final[dict[str, dict[str, object]]] = {
    "dead-letters": {
        "metric": "DeadletteredMessages",
        "queues": ["assets", "orders", "parked"],
        "aggregation": "Maximum",
        "threshold": 0,
        "window": "PT5M",
        "severity": 1,
    },
    "parked": {
        "metric": "ActiveMessages",
        "queues": ["parked"],
        "aggregation": "Maximum",
        "threshold": 0,
        "window": "PT5M",
        "severity": 2,
    },
    "not-taken": {
        "metric": "ActiveMessages",
        "queues": ["assets", "orders"],
        "aggregation": "Minimum",
        "threshold": 0,
        "window": "PT1H",
        "severity": 1,
    },
    "bus-errors": {
        "metric": "ServerErrors",
        "queues": [],
        "aggregation": "Total",
        "threshold": 10,
        "window": "PT15M",
        "severity": 2,
    },
    "bus-throttled": {
        "metric": "ThrottledRequests",
        "queues": [],
        "aggregation": "Total",
        "threshold": 10,
        "window": "PT15M",
        "severity": 2,
    },
}
"""By name: what Service Bus reports of itself, and from when on people are called."""

RUNS: Final = "two runs of the reconciliation"

LOG_ALERTS: Final[dict[str, dict[str, object]]] = {
    "backlog": {
        "query": 'AppMetrics | where Name == "sync.queue.oldest_message_age"'
        ' and tostring(Properties.queue) in ("assets", "orders") | summarize Value = max(Max) / 60',
        "threshold": 30,
        "window": RUNS,
        "severity": 2,
    },
    "failures": {
        "query": 'AppRequests | summarize Failed = countif(Success == false and not(ResultCode startswith "4")),'
        " All = count() | project Value = iff(All >= 5, 100.0 * Failed / All, 0.0)",
        "threshold": 10,
        "window": "PT15M",
        "severity": 1,
    },
    "misconfigured": {
        "query": 'AppMetrics | where Name == "sync.messages.retried"'
        ' and tostring(Properties.reason) == "configuration_error" | summarize Value = sum(Sum)',
        "threshold": 0,
        "window": "PT15M",
        "severity": 1,
    },
    "drift-brake": {
        "query": 'AppMetrics | where Name == "sync.drift_brake" | summarize Value = sum(Sum)',
        "threshold": 0,
        "window": RUNS,
        "severity": 1,
    },
    "mass-clear": {
        "query": 'AppMetrics | where Name == "sync.messages.parked"'
        ' and tostring(Properties.reason) == "mass_clear" | summarize Value = sum(Sum)',
        "threshold": 0,
        "window": "PT15M",
        "severity": 1,
    },
    "no-reconcile": {
        "query": 'AppMetrics | where Name == "sync.reconcile.runs" | summarize Runs = sum(Sum)'
        " | project Value = iff(coalesce(Runs, 0.0) > 0, 0, 1)",
        "threshold": 0,
        "window": RUNS,
        "severity": 1,
    },
    "throttling": {
        "query": 'AppMetrics | where Name == "sync.throttles" and tostring(Properties.service) == "Dynamics"'
        " | summarize Value = sum(Sum)",
        "threshold": 100,
        "window": "PT15M",
        "severity": 3,
    },
    "log-cap": {
        "query": '_LogOperation | where Category == "Ingestion" and Detail has "OverQuota" | summarize Value = count()',
        "threshold": 0,
        "window": "PT60M",
        "severity": 1,
    },
}
"""By name: what the functions report. Queries stand here a second time: their conditions decide who is called."""


def alert_name(rule: Resource) -> str:
    """What the runbook calls it."""
    return str(rule["properties"]["description"]).rpartition("#")[2]


def _window(resources: list[Resource]) -> str:
    """Two runs of the reconciliation, as its schedule says them."""
    schedule = one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"]["RECONCILE_SCHEDULE"]
    minutes, hours = (field.partition("/")[2] for field in schedule.split(" ")[1:3])
    return f"PT{2 * int(minutes) if minutes else 2 * 60 * int(hours)}M"


def metric_alerts(resources: list[Resource]) -> Iterator[str]:
    """Each alert of a metric asks for the right number, of the right queues, at the right level."""
    rules = {
        alert_name(rule): rule["properties"]
        for rule in of_type(resources, "Microsoft.Insights/metricAlerts")
        if "Webtest" not in rule["properties"]["criteria"]["odata.type"]
    }
    if rules.keys() != METRIC_ALERTS.keys():
        yield f"metric alerts: {sorted(rules)}"
    for name in rules.keys() & METRIC_ALERTS.keys():
        expected, rule = METRIC_ALERTS[name], rules[name]
        (criterion,) = rule["criteria"]["allOf"]
        if "serviceBus" not in str(rule["scopes"]):
            yield f"{name}: does not watch the namespace"
        queues = expected["queues"]
        yield from wanted(
            name,
            rule,
            enabled=True,
            autoMitigate=True,
            severity=expected["severity"],
            windowSize=expected["window"],
            evaluationFrequency="PT5M",
        )
        yield from wanted(
            name,
            criterion,
            metricNamespace="Microsoft.ServiceBus/namespaces",
            metricName=expected["metric"],
            dimensions=[{"name": "EntityName", "operator": "Include", "values": queues}] if queues else [],
            operator="GreaterThan",
            threshold=expected["threshold"],
            timeAggregation=expected["aggregation"],
            criterionType="StaticThresholdCriterion",
        )


def log_alerts(resources: list[Resource]) -> Iterator[str]:
    """Each alert of a query measures what it says, over a window in which there is something to measure."""
    rules = {alert_name(r): r["properties"] for r in of_type(resources, "Microsoft.Insights/scheduledQueryRules")}
    if rules.keys() != LOG_ALERTS.keys():
        yield f"log alerts: {sorted(rules)}"
    for name in rules.keys() & LOG_ALERTS.keys():
        expected, rule = LOG_ALERTS[name], rules[name]
        (criterion,) = rule["criteria"]["allOf"]
        yield from wanted(
            name,
            rule,
            enabled=True,
            autoMitigate=True,
            severity=expected["severity"],
            windowSize=_window(resources) if expected["window"] is RUNS else expected["window"],
            evaluationFrequency="PT5M",
            skipQueryValidation=True,
        )
        yield from wanted(
            name,
            criterion,
            metricMeasureColumn="Value",
            timeAggregation="Maximum",
            operator="GreaterThan",
            threshold=expected["threshold"],
            failingPeriods={"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
        )
        if "muteActionsDuration" in rule:
            yield f"{name}: mutes itself"
        yield from wanted(name, criterion, query=expected["query"])
        if "outputs.workspaceId" not in str(rule["scopes"]):
            yield f"{name}: does not ask the workspace"


def availability(resources: list[Resource]) -> Iterator[str]:
    """Somebody outside asks every five minutes, from five places, and two that get no answer call people."""
    test = one(resources, "Microsoft.Insights/webtests")["properties"]
    yield from wanted("availability", test, Enabled=True, Kind="standard", Frequency=300, RetryEnabled=True)
    if "/api/health" not in test["Request"]["RequestUrl"]:
        yield "availability: does not ask /api/health"
    yield from wanted("availability", test, Timeout=60)
    yield from wanted("availability", test["Request"], HttpVerb="GET")
    yield from wanted(
        "availability",
        test["ValidationRules"],
        ExpectedHttpStatusCode=200,
        SSLCheck=True,
        SSLCertRemainingLifetimeCheck=7,
    )
    if len(test["Locations"]) != 5:  # Microsoft's advice, and a location more than may fail twice over
        yield f"availability: asks from {len(test['Locations'])} places"
    (rule,) = [r for r in of_type(resources, "Microsoft.Insights/metricAlerts") if alert_name(r) == "unhealthy"]
    yield from wanted("unhealthy", rule["properties"], enabled=True, autoMitigate=True, severity=1, windowSize="PT15M")
    criteria = rule["properties"]["criteria"]
    yield from wanted("unhealthy", criteria, failedLocationCount=2)
    id_ = one(resources, "Microsoft.Insights/webtests")["id"]
    yield from wanted("unhealthy", criteria, webTestId=id_)
    for part in (id_, "outputs.insightsId"):
        if part not in str(rule["properties"]["scopes"]) or part not in str(criteria):
            yield f"unhealthy: does not watch {part.rpartition('/')[2]}"
    for resource in (rule, one(resources, "Microsoft.Insights/webtests")):
        if "hidden-link" not in str(resource["tags"]):
            yield f"{resource['type']}: the portal does not find it"


def calls_people(resources: list[Resource]) -> Iterator[str]:
    """There is somebody, and every alert calls them."""
    (people,) = of_type(resources, "Microsoft.Insights/actionGroups")
    yield from wanted("people", people["properties"], enabled=True)
    if not people["properties"]["emailReceivers"]:
        yield "people: no e-mail address"
    for receiver in (*people["properties"]["emailReceivers"], *people["properties"]["webhookReceivers"]):
        yield from wanted(receiver["name"], receiver, useCommonAlertSchema=True)
    for rule in of_type(resources, "Microsoft.Insights/metricAlerts"):
        actions = rule["properties"]["actions"]
        if not actions:
            yield f"{alert_name(rule)}: calls nobody"
    for rule in of_type(resources, "Microsoft.Insights/scheduledQueryRules"):
        if not rule["properties"]["actions"]["actionGroups"]:
            yield f"{alert_name(rule)}: calls nobody"
    yield from _expiry(resources)


def _expiry(resources: list[Resource]) -> Iterator[str]:
    """What the vault says of a certificate or secret that ends calls people, in the only form that an alert takes."""
    (expiry,) = of_type(resources, "Microsoft.EventGrid/systemTopics/eventSubscriptions")
    destination = expiry["properties"]["destination"]
    yield from wanted("expiry", destination, endpointType="MonitorAlert")
    if not destination["properties"]["actionGroups"]:
        yield "expiry: calls nobody"
    yield from wanted("expiry", expiry["properties"], eventDeliverySchema="CloudEventSchemaV1_0")
    yield from wanted("expiry", destination["properties"], severity="Sev1")
    seen = expiry["properties"]["filter"]["includedEventTypes"]
    for what in ("certificate", "secret"):
        for end in ("NearExpiry", "Expired"):
            if f"Microsoft.KeyVault.{what.capitalize()}{end}" not in seen:
                yield f"expiry: does not see a {what} that ends ({end})"
    vault = one(resources, "Microsoft.KeyVault/vaults")["id"]
    topic = one(resources, "Microsoft.EventGrid/systemTopics")["properties"]
    yield from wanted("expiry", topic, source=vault, topicType="Microsoft.KeyVault.vaults")
