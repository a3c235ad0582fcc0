"""The scripts and hooks of infra/, with an Azure that answers from a table."""

import re
from pathlib import Path

import pytest

from tests.infra.bicep import INFRA
from tests.infra.cloud import Cloud
from tests.infra.rules import ROLES

FORBIDDEN = "(Forbidden) Caller is not authorized to perform action. Inner error: ForbiddenByRbac"
DEPLOYED = {
    "AZURE_RESOURCE_GROUP": "rg-energy",
    "FUNCTION_APP_NAME": "func-energy",
    "KEY_VAULT_NAME": "kv-energy",
    "WEBHOOK_URL": "https://func-energy.azurewebsites.net/api/dynamics/webhook",
    "SERVICE_BUS_HOST": "sb-energy.servicebus.windows.net",
    "APPLICATION_USER_CLIENT_ID": "77777777-7777-7777-7777-777777777777",
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com",
}
NAMES = ("webhook", "assets", "backup", "health", "orders", "reconcile")
FUNCTIONS = "".join(f"app/{name}\n" for name in NAMES)


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    found = Cloud(tmp_path)
    found.answer("function list", FUNCTIONS)
    found.answer("properties.defaultHostName", "func-energy.azurewebsites.net\n")
    found.answer("curl", '{"status": "ok"}')
    found.answer("functionapp show --resource-group rg-energy --name func-energy --query id", "/subscriptions/1/app\n")
    return found


@pytest.mark.parametrize("path", sorted(INFRA.rglob("*.sh")), ids=lambda path: path.name)
def test_a_script_can_be_run_and_stops_at_the_first_failure(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o111
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


# The vault's secrets


def test_a_vault_without_the_webhooks_secret_gets_one(cloud: Cloud) -> None:
    done = cloud.run("scripts/secrets.sh", "kv-energy")
    (made,) = cloud.calls("keyvault secret set")
    assert done.returncode == 0
    assert "--name webhook " in made["line"]
    assert re.fullmatch(r"[0-9a-f]{64}", made["file"])
    assert made["file"] not in done.stdout + done.stderr + made["line"]


def test_a_secret_that_is_there_is_left_alone(cloud: Cloud) -> None:
    cloud.answer("keyvault secret list", "cmms-token\nwebhook\n")
    done = cloud.run("scripts/secrets.sh", "kv-energy", "cmms-token")
    assert (done.returncode, done.stderr) == (0, "")
    assert cloud.calls("secret set") == []


def test_a_similar_name_is_no_webhook_secret(cloud: Cloud) -> None:
    cloud.answer("keyvault secret list", "webhook-previous\n")
    cloud.run("scripts/secrets.sh", "kv-energy")
    assert len(cloud.calls("secret set")) == 1


def test_a_new_role_is_waited_for(cloud: Cloud) -> None:
    cloud.answer("keyvault secret list", "")
    cloud.answer("keyvault secret list", FORBIDDEN, 1, times=2)
    done = cloud.run("scripts/secrets.sh", "kv-energy")
    assert done.returncode == 0
    assert len(cloud.calls("secret list")) == 3
    assert len(cloud.calls("secret set")) == 1


@pytest.mark.parametrize(
    ("answer", "hint", "asked"),
    [
        pytest.param(FORBIDDEN, "OPERATORS_PRINCIPAL_ID", 3, id="never an operator"),
        pytest.param("(Forbidden) ... Inner error: ForbiddenByConnection", "ADMINISTRATOR_CIDRS", 1, id="closed"),
        pytest.param("Vault not found", "Vault not found", 1, id="no such vault"),
    ],
)
def test_a_vault_that_cannot_be_read_says_what_to_do(cloud: Cloud, answer: str, hint: str, asked: int) -> None:
    cloud.answer("keyvault secret list", answer, 1)
    done = cloud.run("scripts/secrets.sh", "kv-energy")
    assert (done.returncode, len(cloud.calls("secret list"))) == (1, asked)
    assert hint in done.stderr
    assert cloud.calls("secret set") == []


def test_a_secret_that_nobody_can_make_is_asked_for(cloud: Cloud) -> None:
    cloud.answer("keyvault secret list", "webhook\n")
    done = cloud.run("scripts/secrets.sh", "kv-energy", "cmms-token", "dynamics-client")
    assert done.returncode == 3
    assert "--name cmms-token --file" in done.stderr
    assert "--name dynamics-client --file" in done.stderr


# References


def test_references_are_refreshed_until_all_are_resolved(cloud: Cloud) -> None:
    cloud.answer("rest --method get", "")
    cloud.answer("rest --method get", "CMMS_TOKEN\tSecretNotFound\n", times=1)
    done = cloud.run("scripts/references.sh", "rg-energy", "func-energy")
    assert done.returncode == 0
    posts = cloud.calls("rest --method post")
    assert len(posts) == 2
    assert "/subscriptions/1/app/config/configreferences/appsettings/refresh?api-version=2022-03-01" in posts[0]["line"]
    assert len(cloud.calls("functionapp restart")) == 1


def test_a_reference_that_stays_open_is_named(cloud: Cloud) -> None:
    cloud.answer("rest --method get", "CMMS_TOKEN\tSecretNotFound\n")
    done = cloud.run("scripts/references.sh", "rg-energy", "func-energy")
    assert done.returncode == 1
    assert "CMMS_TOKEN SecretNotFound" in done.stderr
    assert cloud.calls("functionapp restart") == []


# Rotation


def test_rotation_keeps_the_old_secret_before_it_sets_the_new_one(cloud: Cloud) -> None:
    cloud.answer("keyvault secret show", "the-old-one\r\n")
    done = cloud.run("scripts/rotate-webhook.sh", "kv-energy")
    previous, new = cloud.calls("keyvault secret set")
    assert done.returncode == 0
    assert "--name webhook-previous" in previous["line"]
    assert previous["file"] == "the-old-one"
    assert "--name webhook " in new["line"]
    assert re.fullmatch(r"[0-9a-f]{64}", new["file"])
    assert "the-old-one" not in done.stdout + done.stderr


def test_without_a_secret_there_is_nothing_to_rotate(cloud: Cloud) -> None:
    done = cloud.run("scripts/rotate-webhook.sh", "kv-energy")
    assert done.returncode == 1
    assert cloud.calls("secret set") == []


# Before Bicep

ADDRESS = {"DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        pytest.param({}, "DYNAMICS_365_RESOURCE_URL", id="no address"),
        pytest.param({"DYNAMICS_365_RESOURCE_URL": "http://contoso.com"}, "DYNAMICS_365_RESOURCE_URL", id="http"),
        pytest.param(ADDRESS | {"CMMS_BASE_URL": "http://cmms"}, "CMMS_BASE_URL", id="http of the CMMS"),
        pytest.param(ADDRESS | {"DYNAMICS_365_TENANT_ID": "t"}, "DYNAMICS_365_CLIENT_ID", id="tenant alone"),
        pytest.param(ADDRESS | {"DYNAMICS_365_CLIENT_ID": "c"}, "DYNAMICS_365_TENANT_ID", id="client alone"),
        pytest.param(ADDRESS | {"CMMS_PRINCIPAL_ID": "energy-cmms"}, "CMMS_PRINCIPAL_ID", id="a name for an id"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_is_made(
    cloud: Cloud, environment: dict[str, str], named: str
) -> None:
    done = cloud.run("hooks/preprovision.sh", **environment)
    assert done.returncode == 1
    assert named in done.stderr
    assert cloud.calls() == []


def test_a_person_who_deploys_runs_it_until_a_group_is_named(cloud: Cloud) -> None:
    cloud.answer("signed-in-user show", "99999999-9999-9999-9999-999999999999\n")
    assert cloud.run("hooks/preprovision.sh", **ADDRESS).returncode == 0
    lines = [call["line"] for call in cloud.calls("azd env set")]
    assert lines == [
        "azd env set OPERATORS_PRINCIPAL_ID 99999999-9999-9999-9999-999999999999",
        "azd env set OPERATORS_PRINCIPAL_TYPE User",
    ]


def test_a_named_group_stays(cloud: Cloud) -> None:
    assert cloud.run("hooks/preprovision.sh", **ADDRESS, OPERATORS_PRINCIPAL_ID="group").returncode == 0
    assert cloud.calls("azd env set") == []


def test_a_pipeline_is_nobody_who_could_run_it(cloud: Cloud) -> None:
    cloud.answer("signed-in-user show", "no user", 1)
    assert cloud.run("hooks/preprovision.sh", **ADDRESS).returncode == 0
    assert cloud.calls("azd env set") == []


def test_a_budget_begins_once(cloud: Cloud) -> None:
    cloud.run("hooks/preprovision.sh", **ADDRESS, MONTHLY_BUDGET="500", OPERATORS_PRINCIPAL_ID="g")
    (call,) = cloud.calls("azd env set")
    assert re.fullmatch(r"azd env set BUDGET_START \d{4}-\d{2}-01", call["line"])
    cloud.run(
        "hooks/preprovision.sh", **ADDRESS, MONTHLY_BUDGET="500", BUDGET_START="2026-01-01", OPERATORS_PRINCIPAL_ID="g"
    )
    assert len(cloud.calls("azd env set")) == 1


def test_a_private_network_has_its_provider_registered(cloud: Cloud) -> None:
    cloud.run("hooks/preprovision.sh", **ADDRESS, OPERATORS_PRINCIPAL_ID="g")
    assert cloud.calls("provider register") == []
    cloud.run("hooks/preprovision.sh", **ADDRESS, OPERATORS_PRINCIPAL_ID="g", PRIVATE_NETWORK="true")
    assert len(cloud.calls("az provider register --namespace Microsoft.App")) == 1


# After Bicep


def test_after_bicep_the_secret_is_made_and_read(cloud: Cloud) -> None:
    done = cloud.run("hooks/postprovision.sh", **DEPLOYED)
    assert done.returncode == 0
    order = [call["line"].split(" --")[0] for call in cloud.calls()]
    assert order.index("az keyvault secret set") < order.index("az rest")


def test_after_bicep_a_missing_token_is_asked_for_and_the_code_still_deployed(cloud: Cloud) -> None:
    done = cloud.run("hooks/postprovision.sh", **DEPLOYED, CMMS_BASE_URL="https://cmms.contoso.com")
    assert done.returncode == 0
    assert "cmms-token" in done.stderr
    assert "503" in done.stderr
    assert cloud.calls("az rest") == []


def test_after_bicep_a_vault_that_stays_closed_stops_it(cloud: Cloud) -> None:
    cloud.answer("keyvault secret list", FORBIDDEN, 1)
    assert cloud.run("hooks/postprovision.sh", **DEPLOYED).returncode == 1


# After the code


def test_after_the_code_it_is_looked_at_and_said_what_is_left(cloud: Cloud) -> None:
    cloud.answer("get-access-token", "not signed in", 1)
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED)
    assert done.returncode == 0
    assert DEPLOYED["APPLICATION_USER_CLIENT_ID"] in done.stdout
    assert f"ops provision --settings {cloud.folder}/settings.json --url {DEPLOYED['WEBHOOK_URL']}" in done.stdout
    assert "ALERT_EMAILS" in done.stdout
    assert DEPLOYED["SERVICE_BUS_HOST"] in done.stdout


def test_what_was_done_is_not_left_to_do(cloud: Cloud) -> None:
    cloud.answer("get-access-token", "not signed in", 1)
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED, ALERT_EMAILS='["a@b.c"]', CMMS_PRINCIPAL_ID="x")
    assert "ALERT_EMAILS" not in done.stdout
    assert DEPLOYED["SERVICE_BUS_HOST"] not in done.stdout


def test_who_is_signed_in_to_dynamics_sees_the_plan_and_nothing_changes_unasked(cloud: Cloud) -> None:
    cloud.answer("functionapp config appsettings list", "[]")
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED)
    (call,) = cloud.calls("python -m ops provision")
    assert call["line"].endswith(f"--url {DEPLOYED['WEBHOOK_URL']} --dry-run")
    assert "--settings" in call["line"]
    assert done.returncode == 0


def test_dynamics_is_set_up_where_that_was_asked_for(cloud: Cloud) -> None:
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED, PROVISION_DYNAMICS="true")
    (call,) = cloud.calls("python -m ops provision")
    assert call["line"].endswith("--yes")
    assert "As a system customizer" not in done.stdout


def test_a_refusal_of_dynamics_is_left_to_do_and_stops_nothing(cloud: Cloud) -> None:
    cloud.answer("python -m ops", "not authorized", 3)
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED, PROVISION_DYNAMICS="true")
    assert done.returncode == 0
    assert "ops provision --settings" in done.stdout


def test_after_the_code_an_ill_app_stops_it(cloud: Cloud) -> None:
    cloud.answer("curl", '{"status": "misconfigured"}', 22)
    done = cloud.run("hooks/postdeploy.sh", **DEPLOYED)
    assert done.returncode == 1
    assert "misconfigured" in done.stderr
    assert "references.sh rg-energy func-energy" in done.stderr


# GitHub


def test_each_environment_gets_an_identity_that_only_it_can_be(cloud: Cloud) -> None:
    cloud.answer("account show --query id", "SUB\n")
    cloud.answer("account show --query tenantId", "TENANT\n")
    cloud.answer("principalId", "PRINCIPAL\n")
    cloud.answer("query clientId", "CLIENT\n")
    done = cloud.run("scripts/github.sh", "contoso/energy", "westeurope")
    assert done.returncode == 0
    subjects = [re.search(r"--subject (\S+)", call["line"]) for call in cloud.calls("federated-credential create")]
    environments = ("what-if", "test", "production")
    assert [match[1] for match in subjects if match] == [f"repo:contoso/energy:environment:{e}" for e in environments]
    for call in cloud.calls("federated-credential create"):
        assert "--issuer https://token.actions.githubusercontent.com " in call["line"]
    granted = [re.search(r"--role (.+?) --scope", call["line"]) for call in cloud.calls("role assignment create")]
    pipeline = ["Contributor", "Role Based Access Control Administrator"]
    assert [match[1] for match in granted if match] == ["Reader", "Energy sync what-if", *pipeline, *pipeline]
    assert len(cloud.calls("gh variable set")) == 9


def test_a_pipeline_may_grant_what_the_templates_grant_and_nothing_else(cloud: Cloud) -> None:
    cloud.run("scripts/github.sh", "contoso/energy", "westeurope")
    conditions = [call["line"] for call in cloud.calls("Role Based Access Control Administrator")]
    assert len(conditions) == 2
    for line in conditions:
        for action in ("roleAssignments/write'", "roleAssignments/delete'"):
            assert action in line
        lists = re.findall(r"ForAnyOfAnyValues:GuidEquals \{([^}]+)\}", line)
        assert [set(found.split(", ")) for found in lists] == [set(ROLES), set(ROLES)]


def test_the_roles_of_the_templates_are_those_of_the_tests() -> None:
    modules = [INFRA / "modules" / f"{name}.bicep" for name in ("access", "vault-access")]
    guid = r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'"
    found = {role for path in modules for role in re.findall(guid, path.read_text(encoding="utf-8"))}
    assert found == set(ROLES)
