import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra import bicep, compiled

FILES = sorted(bicep.INFRA.rglob("*.bicep"))
HOW = "is not current: run 'make template' and look at what changed"


@pytest.fixture(scope="module")
def built() -> subprocess.CompletedProcess[str]:
    """All of infra/: `build` runs the linter as well."""
    return compiled.build()


@pytest.fixture(scope="module")
def template(built: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return compiled.template(built)


def test_build_and_lint_say_nothing(built: subprocess.CompletedProcess[str]) -> None:
    assert (built.returncode, built.stderr) == (0, "")


def test_the_linter_treats_its_rules_as_errors() -> None:
    config = json.loads((bicep.INFRA / "bicepconfig.json").read_text(encoding="utf-8"))
    rules = config["analyzers"]["core"]["rules"]
    assert len(rules) > 40
    assert {rule["level"] for rule in rules.values()} == {"error"}


def test_every_rule_that_is_not_followed_has_a_reason() -> None:
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "#disable" in line:
                assert re.search(r"#disable-(next-line|diagnostics) [a-z-]+ // \S.{20,}", line), f"{path.name}: {line}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_output_and_type_is_described(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    naked = [
        line
        for above, line in re.findall(
            r"((?:^[ ]*@.*\n|^[ ]*//.*\n)*)^([ ]*(?:param|output|type) \w+.*)$", text, re.MULTILINE
        )
        if "@description(" not in above
    ]
    assert naked == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_modules_stay_readable(path: Path) -> None:
    # main.bicep holds each parameter and each module once; the types are a list.
    limit = 330 if path.name in {"main.bicep", "types.bicep"} else 250
    assert len(path.read_text(encoding="utf-8").splitlines()) < limit


def test_the_sources_are_in_the_compilers_form() -> None:
    # One call for the file with most kinds of declarations; each call takes seconds.
    path = bicep.INFRA / "modules" / "access.bicep"
    assert bicep.run("format", str(path), "--stdout").stdout == path.read_text(encoding="utf-8")


def test_the_buttons_template_is_compiled_from_these_sources(template: dict[str, Any]) -> None:
    assert compiled.TEMPLATE.read_text(encoding="utf-8") == compiled.text(template), f"infra/azuredeploy.json {HOW}"


def test_the_buttons_defaults_are_those_of_the_parameter_file(
    template: dict[str, Any], small: list[bicep.Resource]
) -> None:
    given = template["resources"]["installation"]["properties"]["parameters"]
    settings = bicep.one(small, "Microsoft.Web/sites/config", "appsettings")["properties"]
    values = {**given["sync"]["value"], **given["scale"]["value"], **given["costs"]["value"]}
    config = bicep.one(small, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert values["maximumInstances"] == config["maximumInstanceCount"]
    assert values["webhooksPerInstance"] == config["triggers"]["http"]["perInstanceConcurrency"]
    assert values["instanceMemory"] == config["instanceMemoryMB"]
    assert str(values["settleSeconds"]) == settings["RECONCILE_SETTLE_SECONDS"]
    assert str(values["fullEveryHours"]) == settings["RECONCILE_FULL_EVERY"]
    assert str(values["maximumRepairs"]) == settings["RECONCILE_MAX_REPAIRS"]
    assert values["mode"] == settings["RECONCILE_MODE"]
    assert str(values["reportDays"]) == settings["REPORT_RETENTION_DAYS"]
    assert f"*/{values['reconcileMinutes']} " in settings["RECONCILE_SCHEDULE"]


# What must be there before: the app's first start reads the vault and the package, in a private network by name.
ORDER = {
    "app": {"access", "vaultAccess", "endpoints", "privateNetwork"},
    "access": {"storage", "serviceBus", "monitoring", "identity"},
    "vaultAccess": {"newVault", "identity"},
    "endpoints": {"storage", "serviceBus", "monitoring", "privateNetwork"},
    "appEndpoint": {"app", "privateNetwork"},
    "watch": {"app", "serviceBus", "monitoring"},
}


@pytest.mark.parametrize(("module", "before"), ORDER.items(), ids=ORDER)
def test_modules_are_deployed_in_order(template: dict[str, Any], module: str, before: set[str]) -> None:
    main = template["resources"]["installation"]["properties"]["template"]["resources"]
    assert set(main[module]["dependsOn"]) >= before


@pytest.mark.parametrize("name", compiled.SETS)
def test_a_snapshot_shows_what_would_be_deployed(request: pytest.FixtureRequest, name: str) -> None:
    resources = request.getfixturevalue({"public": "small", "private": "private"}[name])
    committed = (compiled.SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8")
    assert committed == compiled.text(compiled.readable(resources)), f"tests/infra/snapshots/{name}.json {HOW}"


def test_every_parameter_of_a_deployment_is_documented_and_no_other() -> None:
    read = set(
        re.findall(
            r"readEnvironmentVariable\(\s*'(\w+)'", (bicep.INFRA / "main.bicepparam").read_text(encoding="utf-8")
        )
    )
    page = (bicep.ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    listed = {
        name
        for row in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
        for name in re.findall(r"`([A-Z_0-9]+)`", row)
    }
    assert len(read) > 50
    assert listed == read
