from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.db.models import F
from django.dispatch import Signal
from django.utils import translation
from django.utils.module_loading import import_string

from integracion_dynamics import config, observed
from integracion_dynamics.checks import check_configuration
from integracion_dynamics.config import connections, current, parse, tables


def test_the_demo_and_its_migrations_are_in_order(db: None) -> None:
    assert [check for check in checks.run_checks() if check.level >= checks.ERROR] == []
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def _asset(options: dict[str, Any]) -> dict[str, Any]:
    asset: dict[str, Any] = options["ENTITIES"]["activos"]
    return asset


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda o: o.update(ENTITIES={}), "['ENTITIES'] is missing or empty"),
        (lambda o: o.update(ENTITY={}), "unknown entry 'ENTITY'"),
        (lambda o: o["ENTITIES"].update({"Bad name": _asset(o)}), "cannot stand in an address"),
        (lambda o: o["ENTITIES"].update(activos=1), "is not a dictionary"),
        (lambda o: _asset(o).pop("QUEUE"), "['activos']['QUEUE'] is missing"),
        (lambda o: _asset(o).update(CAMPOS={}), "['activos'] has an unknown entry 'CAMPOS'"),
        (lambda o: _asset(o).update(MODEL="inventario.Nada"), "names no model: 'inventario.Nada'"),
        (lambda o: _asset(o).update(MODEL="nonsense"), "names no model: 'nonsense'"),
        (lambda o: _asset(o).update(FIELDS=[]), "does not map names to attributes, expressions or functions"),
        (lambda o: _asset(o)["FIELDS"].update(valor_libros="absent"), "Activo has no column 'absent'"),
        (lambda o: _asset(o)["FIELDS"].pop("codigo_interno"), "does not contain the key 'codigo_interno'"),
        (lambda o: _asset(o).update(KEY="nombre"), "not a unique text column"),
        (lambda o: o.update(TOKENS="one"), "is not a list of texts"),
        (lambda o: o.update(TOKENS=["x" * 30, ""]), "empty token or an unresolved reference"),
        (lambda o: o.update(TOKENS=["@Microsoft.KeyVault(x)"]), "empty token or an unresolved reference"),
        (lambda o: o.update(TOKENS=["contraseña-con-eñes-y-más"]), "other than plain characters"),
        (lambda o: o.update(PAGE_LIMIT=0), "is not a number from 1 to 5000"),
        (lambda o: o.update(PAGE_LIMIT=1.5), "['PAGE_LIMIT'] is not a number"),
        (lambda o: o.update(LOCK_TIMEOUT=0), "['LOCK_TIMEOUT'] is not a number from 0.1 to 60"),
        (lambda o: o.update(STATEMENT_TIMEOUT="5"), "['STATEMENT_TIMEOUT'] is not a number"),
        (lambda o: o.update(SERVICE_USER=5), "['SERVICE_USER'] is not text"),
        (lambda o: _asset(o).update(DEFAULTS=["x"]), "does not map attributes to values"),
        (lambda o: _asset(o).update(DEFAULTS={"absent": 1}), "['DEFAULTS']: Activo has no column 'absent'"),
        (lambda o: _asset(o)["FIELDS"].update(codigo_interno=F("codigo_interno")), "does not contain the key"),
        (lambda o: o.update(SERVICE_BUS={"CONNECTION_STRING": "oops"}), "is not a connection string"),
        (
            lambda o: o.update(SERVICE_BUS={"CONNECTION_STRING": "Endpoint=sb://x", "NAMESPACE": "x"}),
            "and NAMESPACE",
        ),
        (lambda o: o.update(SERVICE_BUS={"NAMESPACE": "x", "CERTIFICATE_PATH": "c.pem"}), "but not both ids"),
        (lambda o: o.update(SERVICE_BUS={"NAMESPACE": 5}), "is not a dictionary of texts"),
    ],
)
def test_each_fault_of_the_setting_is_an_error_that_says_where_and_what_to_do(
    configuration: dict[str, Any], settings: Any, change: Any, expected: str
) -> None:
    change(configuration)
    settings.INTEGRACION_DYNAMICS = configuration
    with translation.override("en"):
        errors = [found for found in check_configuration() if found.level == checks.ERROR]
    assert expected in " ".join(error.msg for error in errors)
    assert all(error.hint and "INTEGRACION_DYNAMICS" in error.msg for error in errors)


def test_a_setting_that_is_no_dictionary_is_one_error() -> None:
    configuration, problems = parse("activos")
    assert configuration is None
    assert [problem.id for problem in problems] == ["E001"]


def test_missing_tokens_and_bus_are_warnings_because_the_cmms_itself_still_works(
    configuration: dict[str, Any],
) -> None:
    _, problems = parse({"ENTITIES": configuration["ENTITIES"]})
    assert [(problem.id, problem.warning) for problem in problems] == [("W001", True), ("W002", True)]


def test_a_field_that_the_host_lacks_is_simply_left_out(configuration: dict[str, Any], settings: Any) -> None:
    del _asset(configuration)["FIELDS"]["valor_libros"]
    settings.INTEGRACION_DYNAMICS = configuration
    assert "valor_libros" not in current().entities["activos"].fields


def test_secrets_do_not_stand_in_a_repr(configuration: dict[str, Any]) -> None:
    secret = "Endpoint=sb://x.servicebus.windows.net;SharedAccessKeyName=n;SharedAccessKey=hush"
    parsed, _ = parse({**configuration, "SERVICE_BUS": {"CONNECTION_STRING": secret}})
    assert parsed is not None
    assert "hush" not in repr(parsed)
    assert configuration["TOKENS"][0] not in repr(parsed)


ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README.es.md"]


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readmes_example_of_the_setting_is_valid(readme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in blocks(readme, "python") if "ENTITIES" in block]
    monkeypatch.setenv("CMMS_TOKEN", "x" * 40)
    names: dict[str, Any] = {"os": os, "INSTALLED_APPS": [], "MIDDLEWARE": []}
    exec(block, names)  # noqa: S102 - our own documentation
    assert parse(names["INTEGRACION_DYNAMICS"])[1] == []
    assert import_string(names["MIDDLEWARE"][0])


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readme_names_every_status_code_option_signal_and_setting(readme: Path) -> None:
    text = readme.read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "integracion_dynamics" / "api").glob("*.py"))
    raised = re.findall(r'ApiError\(\s*(\d{3}),\s*"(\w+)"', sources)
    assert len(raised) >= 12
    for status, code in raised:
        assert re.search(rf"^\| {status} \|.*`{code}`", text, re.MULTILINE), (status, code)
    commands = (ROOT / "integracion_dynamics" / "management" / "commands").glob("*.py")
    options = re.findall(r'"(--[a-z-]+)"', "".join(path.read_text("utf-8") for path in commands))
    known = vars(config)["_OPTIONS"] | vars(tables)["_OPTIONS"] | vars(connections)["_OPTIONS"]
    signals = {name for name, value in vars(observed).items() if isinstance(value, Signal)}
    assert [name for name in (*options, *known, *signals) if name not in text] == []


def test_both_readmes_have_the_same_parts() -> None:
    shapes = [
        [line.partition(" ")[0] for line in readme.read_text("utf-8").splitlines() if re.match("#+ |```|[|]", line)]
        for readme in READMES
    ]
    assert shapes[0] == shapes[1]
