"""The rules have teeth: each weakening of the templates is found. One evaluation holds them all."""

import pytest

from tests.infra import bicep, rules

# file, what is replaced, by what, the violation that must be found
MUTATIONS = [
    ("storage", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "storage: allowSharedKeyAccess is True"),
    (
        "storage",
        "allowBlobPublicAccess: false",
        "allowBlobPublicAccess: true",
        "storage: allowBlobPublicAccess is True",
    ),
    ("storage", "'TLS1_2'", "'TLS1_0'", "storage: minimumTlsVersion is 'TLS1_0'"),
    ("service-bus", "disableLocalAuth: true", "disableLocalAuth: false", "service bus: disableLocalAuth is False"),
    ("service-bus", "lockDuration: 'PT5M'\n  max", "lockDuration: 'PT1M'\n  max", "assets: lockDuration is 'PT1M'"),
    ("service-bus", "'P14D'", "'P1D'", "orders: defaultMessageTimeToLive is 'P1D'"),
    (
        "service-bus",
        "DetectionHistoryTimeWindow: 'PT10M'",
        "DetectionHistoryTimeWindow: 'PT1M'",
        "TimeWindow is 'PT1M'",
    ),
    ("monitoring", "DisableLocalAuth: true", "DisableLocalAuth: false", "insights: DisableLocalAuth is False"),
    ("key-vault", "enablePurgeProtection: true", "enablePurgeProtection: null", "vault: enablePurgeProtection is None"),
    ("function-app", "httpsOnly: true", "httpsOnly: false", "app: httpsOnly is False"),
    (
        "function-app",
        "minTlsVersion: '1.2'\n      scm",
        "minTlsVersion: '1.0'\n      scm",
        "app: minTlsVersion is '1.0'",
    ),
    (
        "function-app",
        "name: 'ftp'\n    properties: { allow: false }",
        "name: 'ftp'\n    properties: { allow: true }",
        "ftp: allow is True",
    ),
    (
        "function-app",
        "name: 'scm'\n    properties: { allow: false }",
        "name: 'scm'\n    properties: { allow: true }",
        "scm: allow is True",
    ),
    (
        "function-app",
        "CMMS_TOKEN: empty(cmms.baseUrl) ? '' : '@Microsoft.KeyVault(SecretUri=${secrets}/cmms-token)'",
        "CMMS_TOKEN: 'in-plain-text'",
        "CMMS_TOKEN does not refer to the vault",
    ),
    (
        "access",
        "{ to: 'app', queue: 'assets', role: roles.serviceBusDataReceiver }",
        "{ to: 'app', queue: 'assets', role: roles.serviceBusDataOwner }",
        "role too many: app is Service Bus Data Owner on queues/assets",
    ),
    (
        "access",
        "    { to: 'app', queue: 'parked', role: roles.serviceBusDataSender }\n",
        "",
        "role missing: app is not Service Bus Data Sender on queues/parked",
    ),
    (
        "access",
        "scope: account::tables::ledger\n",
        "scope: account\n",
        "role too many: app is Storage Table Data Contributor on storageAccounts",
    ),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = bicep.copy(tmp_path_factory.mktemp("mutated"))
    for file, old, new, _ in MUTATIONS:
        path = folder / "modules" / f"{file}.bicep"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return rules.violations(bicep.snapshot(folder, bicep.SMALL), rules.APP_GRANTS)


@pytest.mark.parametrize("violation", [mutation[-1] for mutation in MUTATIONS])
def test_a_weakened_template_is_found(found: list[str], violation: str) -> None:
    assert [line for line in found if violation in line]


def test_nothing_else_is_complained_about(found: list[str]) -> None:
    others = [line for line in found if not any(mutation[-1] in line for mutation in MUTATIONS)]
    # The other halves: what a widened role no longer is, and the queue that shares the changed settings.
    assert sorted(line.split(" is ")[0] for line in others) == [
        "assets: defaultMessageTimeToLive",
        "orders: lockDuration",
        "role missing: app",
        "role missing: app",
    ]


def test_every_mutated_violation_is_of_a_template_that_is_clean_without_it(small: list[bicep.Resource]) -> None:
    assert rules.violations(small, rules.APP_GRANTS) == []
